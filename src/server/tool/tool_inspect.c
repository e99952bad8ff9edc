#include "server/tool/tool_inspect.h"

#include <inttypes.h>

#include "base/json.h"
#include "model/dml_keys.h"
#include "sink/ops.h"
#include "source/catalog.h"

enum { LINE_BYTES = 1 << 20, KEYS_SHOWN = 3, KEY_TEXT = 60, NAME_TEXT = 80 };

/* What a line tells; empty or 0 = not known. */
struct line {
	const char *type;
	char number[24]; /* of an unknown type */
	char collection[TOOL_NAME_BYTES];
	char partition[TOOL_NAME_BYTES];
	int64_t collection_id, partition_id;
};

static void take_text(char out[TOOL_NAME_BYTES], struct slice s)
{
	snprintf(out, TOOL_NAME_BYTES, "%.*s", (int)MIN(s.n, (size_t)NAME_TEXT),
		s.n ? (const char *)s.p : "");
}

/* Operations of the replicate channel name what they are about by themselves. */
static void take_operation(struct line *l, const struct dml *d)
{
	CLEANUP(arena_done) struct arena a = ARENA_INIT;
	struct op op;

	if (ops_read(&op, d->payload, &a, NULL))
		return;
	struct slice db = op.db.n ? op.db : slice_str("default");
	struct slice name = op.n_collections ? op.collections[0] : slice_str("");
	snprintf(l->collection, sizeof(l->collection), "%.*s%s%.*s%s",
		(int)MIN(db.n, (size_t)NAME_TEXT), (const char *)db.p, name.n ? "." : "",
		(int)MIN(name.n, (size_t)NAME_TEXT), name.n ? (const char *)name.p : "",
		op.n_collections > 1 ? ",..." : "");
	if (op.n_partitions)
		take_text(l->partition, op.partitions[0]);
}

static void describe(struct tool_inspect *in, const struct dml *d, struct line *l)
{
	*l = (struct line){.type = msg_type_name(d->type),
		.collection_id = d->collection_id,
		.partition_id = d->partition_id};
	if (!l->type) {
		snprintf(l->number, sizeof(l->number), "type-%d", d->type);
		l->type = l->number;
	}
	if (in->tool && d->collection_id)
		tool_name(in->tool, d->collection_id, l->collection);
	if (!l->collection[0])
		take_text(l->collection, d->collection_name);
	take_text(l->partition, d->partition_name);
	if (!d->collection_id && d->type != MSG_TIME_TICK && ops_supports(d->type))
		take_operation(l, d);
}

/* The first keys as text, joined by commas; "" if they can't be told. */
static void put_keys(struct tool_inspect *in, const struct dml *d, struct buf *out)
{
	struct dml_keys k = {.count = 0};
	struct collection *c = NULL;
	enum err_code code = ERR_NOT_FOUND;
	struct dml_key key;

	if (d->type == MSG_DELETE) {
		code = dml_keys_of_delete(&k, d, NULL);
	} else if (d->type == MSG_INSERT && in->tool && in->tool->catalog) {
		c = catalog_collection(in->tool->catalog, d->collection_id);
		if (c)
			code = dml_keys_of_insert(&k, d, c->pk_field_id, c->pk_is_varchar, NULL);
	}
	struct dml_keys_iter it = dml_keys_begin(&k);
	for (int64_t i = 0; !code && i < in->keys && dml_keys_next(&it, &key); i++) {
		if (i)
			buf_put_u8(out, ',');
		if (k.varchar)
			buf_putf(out, "\"%.*s\"", (int)MIN(key.text.n, (size_t)KEY_TEXT),
				key.text.n ? (const char *)key.text.p : "");
		else
			buf_putf(out, "%" PRId64, key.number);
	}
	if (!code && k.count > (uint64_t)in->keys && in->keys)
		buf_put_str(out, ",...");
	collection_unref(c);
}

static void put_json(struct buf *b, const struct tool_message *m, const char *id,
	const struct line *l, const char *keys)
{
	struct json_out o = {.b = b};

	json_out_open(&o, NULL, '{');
	json_out_str(&o, "channel", m->pchannel);
	json_out_str(&o, "id", id);
	if (!m->dml) {
		json_out_str(&o, "error", m->why);
		json_out_i64(&o, "bytes", (int64_t)m->msg->payload.n);
		json_out_close(&o, '}');
		return;
	}
	json_out_str(&o, "type", l->type);
	json_out_u64(&o, "ts", m->ts);
	json_out_i64(&o, "msg_id", m->dml->base.msg_id);
	json_out_str_if(&o, "collection", l->collection);
	if (l->collection_id)
		json_out_i64(&o, "collection_id", l->collection_id);
	json_out_str_if(&o, "partition", l->partition);
	if (l->partition_id)
		json_out_i64(&o, "partition_id", l->partition_id);
	if (m->dml->rows)
		json_out_u64(&o, "rows", m->dml->rows);
	json_out_i64(&o, "bytes", (int64_t)m->msg->payload.n);
	if (m->dml->base.is_replicate)
		json_out_bool(&o, "is_replicate", true);
	json_out_str_if(&o, "keys", keys);
	json_out_close(&o, '}');
}

static void put_text(struct buf *b, const struct tool_message *m, const char *id,
	const struct line *l, const char *keys)
{
	char when[TOOL_TIME_BYTES];

	if (!m->dml) {
		buf_putf(b, "%s %s  can't be read: %s (%zu bytes)", m->pchannel, id, m->why,
			m->msg->payload.n);
		return;
	}
	tool_time(m->ts, when);
	buf_putf(b, "%s %s  %s  %-16s", m->pchannel, id, when, l->type);
	if (l->collection[0])
		buf_putf(b, " %s", l->collection);
	if (l->collection_id)
		buf_putf(b, " (%" PRId64 ")", l->collection_id);
	if (l->partition[0])
		buf_putf(b, " partition %s", l->partition);
	if (m->dml->rows)
		buf_putf(b, " rows %" PRIu64, m->dml->rows);
	buf_putf(b, " bytes %zu ts %" PRIu64, m->msg->payload.n, m->ts);
	if (m->dml->base.is_replicate)
		buf_put_str(b, " replicated");
	if (*keys)
		buf_putf(b, " keys %s", keys);
}

static bool wanted(const struct tool_inspect *in, const struct tool_message *m)
{
	if (m->dml && m->dml->type == MSG_TIME_TICK && !in->ticks)
		return false;
	for (size_t i = in->first; i < in->last; i++)
		if (tool_wants(in->mq, &in->plan->list[i], m))
			return true;
	return false;
}

/* Nothing of a name or a key may act on the terminal. */
static void print_line(FILE *out, struct buf *b)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->p[i] < ' ' || b->p[i] == 0x7f)
			b->p[i] = '?';
	fprintf(out, "%s\n", buf_cstr(b));
	fflush(out);
}

bool tool_inspect_message(void *inspect, const struct tool_message *m)
{
	struct tool_inspect *in = inspect;
	CLEANUP(buf_done) struct buf b = BUF_INIT(LINE_BYTES);
	CLEANUP(buf_done) struct buf keys = BUF_INIT(LINE_BYTES / 2);
	struct line l = {.type = ""};
	char id[TOOL_ID_BYTES];

	if (!wanted(in, m))
		return true;
	tool_id(&m->msg->id, id);
	if (m->dml) {
		describe(in, m->dml, &l);
		put_keys(in, m->dml, &keys);
	}
	if (in->json)
		put_json(&b, m, id, &l, buf_cstr(&keys));
	else
		put_text(&b, m, id, &l, buf_cstr(&keys));
	print_line(in->out, &b);
	in->shown++;
	return !in->limit || in->shown < in->limit;
}

static enum err_code scan_all(struct tool *t, struct tool_inspect *in, bool follow, struct err *e)
{
	for (in->first = 0; in->first < in->plan->n; in->first = in->last) {
		struct tool_scan s = {.mq = t->mq,
			.stop = &t->stop,
			.pchannel = in->plan->list[in->first].pchannel,
			.follow = follow,
			.message = tool_inspect_message,
			.arg = in};
		s.from = tool_first_id(t->mq, in->plan, in->first, &in->last);
		if (tool_scan(&s, e))
			return e->code;
		if (in->limit && in->shown >= in->limit)
			break;
	}
	return ERR_OK;
}

static bool many_topics(const struct tool_plan *p)
{
	return p->n && strcmp(p->list[0].pchannel, p->list[p->n - 1].pchannel) != 0;
}

static enum err_code run(struct tool *t, const struct cli *c, struct err *e)
{
	unsigned needs = TOOL_CATALOG | TOOL_QUEUE | (cli_text(c, "--task") ? TOOL_STORE : 0);
	bool follow = cli_flag(c, "--follow");
	struct tool_plan plan = {.n = 0};

	if (tool_open(t, c->config_path, needs, e) || tool_plan(t, c, &plan, e))
		return e->code;
	struct tool_inspect in = {.out = stdout,
		.json = cli_flag(c, "--json"),
		.ticks = cli_flag(c, "--ticks"),
		.limit = cli_number(c, "--limit", 0),
		.keys = cli_number(c, "--keys", KEYS_SHOWN),
		.plan = &plan,
		.mq = t->mq,
		.tool = t};
	enum err_code code = follow && many_topics(&plan)
				     ? err_set(e, ERR_INVALID,
					       "--follow reads one topic: name it with --channel")
				     : scan_all(t, &in, follow, e);
	tool_plan_done(&plan);
	return code;
}

int tool_inspect_main(const struct cli *c)
{
	struct err e = ERR_INIT;
	struct tool t;

	enum err_code code = run(&t, c, &e);
	tool_close(&t);
	return code ? tool_exit("inspect", &e) : 0;
}
