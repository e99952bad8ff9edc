#include "server/tool/tool_count.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "model/dml_keys.h"
#include "pipeline/translate.h"
#include "source/catalog.h"

enum { TEXT_BYTES = 64 << 20, UNREADABLE = -1 };

/* ---- counting ---- */

static struct tool_tally *tally_of(struct tool_count *n, const char *pchannel, int64_t id)
{
	for (size_t i = n->n; i-- > 0;)
		if (n->list[i].collection_id == id && strcmp(n->list[i].pchannel, pchannel) == 0)
			return &n->list[i];
	mem_grow(&n->list, &n->cap, n->n + 1, sizeof(*n->list));
	struct tool_tally *t = &n->list[n->n++];
	*t = (struct tool_tally){.collection_id = id};
	snprintf(t->pchannel, sizeof(t->pchannel), "%s", pchannel);
	return t;
}

/* More types than there are places share the last one. */
static struct tool_type_count *type_of(struct tool_tally *t, int type)
{
	for (size_t i = 0; i < t->n_types; i++)
		if (t->types[i].type == type)
			return &t->types[i];
	if (t->n_types == TOOL_COUNT_TYPES)
		return &t->types[TOOL_COUNT_TYPES - 1];
	t->types[t->n_types].type = type;
	return &t->types[t->n_types++];
}

static void add(struct tool_count *n, const struct tool_message *m)
{
	struct tool_tally *t = tally_of(n, m->pchannel, m->dml ? m->dml->collection_id : 0);
	struct tool_type_count *c = type_of(t, m->dml ? m->dml->type : UNREADABLE);

	c->messages++;
	c->bytes += (int64_t)m->msg->payload.n;
	c->rows += m->dml ? m->dml->rows : 0;
	if (!m->dml || m->dml->type == MSG_TIME_TICK)
		return;
	t->first_ts = t->first_ts ? MIN(t->first_ts, m->ts) : m->ts;
	t->last_ts = MAX(t->last_ts, m->ts);
}

/* ---- keys ---- */

static enum err_code find_keys(
	struct tool_count *n, const struct dml *d, struct dml_keys *k, struct err *e)
{
	if (d->type == MSG_DELETE)
		return dml_keys_of_delete(k, d, e);
	struct collection *c =
		n->tool ? catalog_collection(n->tool->catalog, d->collection_id) : NULL;
	enum err_code code = c ? dml_keys_of_insert(k, d, c->pk_field_id, c->pk_is_varchar, e)
			       : err_set(e, ERR_NOT_FOUND,
					 "the source does not know collection %" PRId64 " any more",
					 d->collection_id);
	collection_unref(c);
	return code;
}

static void put_csv_text(FILE *out, struct slice s)
{
	fputc('"', out);
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			fputc('"', out);
		fputc(s.p[i], out);
	}
	fputc('"', out);
}

/* A line a row: operation, collection id, source time, key. */
static void list_keys(struct tool_count *n, const struct dml *d)
{
	struct dml_keys k = {.count = 0};
	struct dml_key key;
	struct err e = ERR_INIT;
	uint64_t *times = xcalloc((size_t)d->rows + 1, sizeof(*times));

	if (find_keys(n, d, &k, &e) || translate_row_times(d, times, &e)) {
		fprintf(stderr, "milvus-cdc count: keys of a message are left out: %s\n", e.text);
		free(times);
		return;
	}
	struct dml_keys_iter it = dml_keys_begin(&k);
	for (uint64_t i = 0; i < d->rows && dml_keys_next(&it, &key); i++) {
		fprintf(n->csv, "%s,%" PRId64 ",%" PRIu64 ",",
			d->type == MSG_INSERT ? "insert" : "delete", d->collection_id, times[i]);
		if (k.varchar)
			put_csv_text(n->csv, key.text);
		else
			fprintf(n->csv, "%" PRId64, key.number);
		fputc('\n', n->csv);
	}
	free(times);
}

bool tool_count_message(void *count, const struct tool_message *m)
{
	struct tool_count *n = count;
	bool wanted = false;

	for (size_t i = n->first; i < n->last && !wanted; i++)
		wanted = tool_wants(n->mq, &n->plan->list[i], m);
	if (!wanted)
		return true;
	add(n, m);
	if (n->csv && m->dml && (m->dml->type == MSG_INSERT || m->dml->type == MSG_DELETE))
		list_keys(n, m->dml);
	return true;
}

void tool_count_done(struct tool_count *n)
{
	free(n->list);
	n->list = NULL;
	n->n = n->cap = 0;
}

/* ---- printing ---- */

static const char *type_text(int type, char out[24])
{
	const char *name = type == UNREADABLE ? "unreadable" : msg_type_name(type);

	if (name)
		return name;
	snprintf(out, 24, "type-%d", type);
	return out;
}

static void put_tally(struct json_out *o, const struct tool_count *n, const struct tool_tally *t)
{
	char name[TOOL_NAME_BYTES] = "", type[24];

	if (n->tool && t->collection_id)
		tool_name(n->tool, t->collection_id, name);
	json_out_open(o, NULL, '{');
	json_out_str(o, "channel", t->pchannel);
	json_out_i64(o, "collection_id", t->collection_id);
	json_out_str_if(o, "collection", name);
	json_out_u64(o, "first_ts", t->first_ts);
	json_out_u64(o, "last_ts", t->last_ts);
	json_out_open(o, "types", '{');
	for (size_t i = 0; i < t->n_types; i++) {
		json_out_open(o, type_text(t->types[i].type, type), '{');
		json_out_i64(o, "messages", t->types[i].messages);
		json_out_u64(o, "rows", t->types[i].rows);
		json_out_i64(o, "bytes", t->types[i].bytes);
		json_out_close(o, '}');
	}
	json_out_close(o, '}');
	json_out_close(o, '}');
}

static void print_json(FILE *out, const struct tool_count *n)
{
	struct buf b = BUF_INIT(TEXT_BYTES);
	struct json_out o = {.b = &b};

	json_out_open(&o, NULL, '[');
	for (size_t i = 0; i < n->n; i++)
		put_tally(&o, n, &n->list[i]);
	json_out_close(&o, ']');
	fprintf(out, "%s\n", buf_cstr(&b));
	buf_done(&b);
}

static void print_tally(FILE *out, const struct tool_count *n, const struct tool_tally *t)
{
	char name[TOOL_NAME_BYTES] = "", first[TOOL_TIME_BYTES], last[TOOL_TIME_BYTES], type[24];

	if (n->tool && t->collection_id)
		tool_name(n->tool, t->collection_id, name);
	fprintf(out, "%s", t->pchannel);
	if (t->collection_id)
		fprintf(out, "  %s (%" PRId64 ")", *name ? name : "unknown", t->collection_id);
	fputc('\n', out);
	for (size_t i = 0; i < t->n_types; i++) {
		const struct tool_type_count *c = &t->types[i];
		fprintf(out,
			"  %-18s %10" PRId64 " messages %12" PRIu64 " rows %14" PRId64 " bytes\n",
			type_text(c->type, type), c->messages, c->rows, c->bytes);
	}
	if (!t->first_ts)
		return;
	tool_time(t->first_ts, first);
	tool_time(t->last_ts, last);
	fprintf(out, "  from %s to %s UTC\n", first, last);
}

void tool_count_print(FILE *out, const struct tool_count *n, bool json)
{
	if (json) {
		print_json(out, n);
		return;
	}
	for (size_t i = 0; i < n->n; i++)
		print_tally(out, n, &n->list[i]);
	if (!n->n)
		fprintf(out, "nothing there\n");
}

/* ---- the command ---- */

static enum err_code scan_all(struct tool *t, struct tool_count *n, struct err *e)
{
	for (n->first = 0; n->first < n->plan->n; n->first = n->last) {
		struct tool_scan s = {.mq = t->mq,
			.stop = &t->stop,
			.pchannel = n->plan->list[n->first].pchannel,
			.message = tool_count_message,
			.arg = n};
		s.from = tool_first_id(t->mq, n->plan, n->first, &n->last);
		if (tool_scan(&s, e))
			return e->code;
	}
	return ERR_OK;
}

static enum err_code run(struct tool *t, const struct cli *c, struct err *e)
{
	unsigned needs = TOOL_CATALOG | TOOL_QUEUE | (cli_text(c, "--task") ? TOOL_STORE : 0);
	bool csv = cli_flag(c, "--csv");
	struct tool_plan plan = {.n = 0};

	if (tool_open(t, c->config_path, needs, e) || tool_plan(t, c, &plan, e))
		return e->code;
	struct tool_count n = {.mq = t->mq, .plan = &plan, .csv = csv ? stdout : NULL, .tool = t};
	if (csv)
		printf("op,collection_id,ts,key\n");
	enum err_code code = scan_all(t, &n, e);
	if (!code && !csv)
		tool_count_print(stdout, &n, cli_flag(c, "--json"));
	tool_count_done(&n);
	tool_plan_done(&plan);
	return code;
}

int tool_count_main(const struct cli *c)
{
	struct err e = ERR_INIT;
	struct tool t;

	enum err_code code = run(&t, c, &e);
	tool_close(&t);
	return code ? tool_exit("count", &e) : 0;
}
