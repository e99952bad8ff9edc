#include "server/tool/tool_positions.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/wire.h"
#include "server/config/config.h"
#include "source/catalog.h"

enum { TEXT_BYTES = 4 << 20, DECODE_BYTES = 4096 };
enum { P_CHANNEL = 1, P_ID = 2, P_GROUP = 3, P_TS = 4 };

/* ---- decoding ---- */

struct decoded {
	bool wrapped; /* a MsgPosition, not a bare id */
	char channel[CHANNEL_BYTES];
	struct position pos;
};

static void copy_text(char *to, size_t cap, struct slice s)
{
	snprintf(to, cap, "%.*s", (int)MIN(s.n, cap - 1), s.n ? (const char *)s.p : "");
}

/* Bare ids of both queues are no MsgPosition: Kafka's has 8 bytes, Pulsar's begins with a number. */
static bool read_wrapped(struct slice in, struct decoded *d)
{
	struct wire w = wire_open(in);
	struct wire_field f;
	bool ok = true;

	while (ok && wire_next(&w, &f)) {
		if (f.num == P_CHANNEL && f.type == WIRE_LEN)
			copy_text(d->channel, sizeof(d->channel), f.data);
		else if (f.num == P_ID && f.type == WIRE_LEN)
			ok = !mq_id_set(&d->pos.id, f.data, NULL);
		else if (f.num == P_TS && f.type == WIRE_VARINT)
			d->pos.ts = f.value;
		else
			ok = f.num == P_GROUP && f.type == WIRE_LEN;
	}
	return ok && !w.bad && (d->channel[0] || d->pos.id.n);
}

static bool decode(struct slice in, struct decoded *d)
{
	*d = (struct decoded){.wrapped = true};
	if (in.n != sizeof(int64_t) && read_wrapped(in, d))
		return true;
	*d = (struct decoded){.wrapped = false};
	return in.n && !mq_id_set(&d->pos.id, in, NULL);
}

static void print_json(FILE *out, struct buf *b)
{
	fprintf(out, "%s\n", buf_cstr(b));
	buf_done(b);
}

enum err_code tool_positions_decode(FILE *out, const char *text, bool json, struct err *e)
{
	CLEANUP(buf_done) struct buf raw = BUF_INIT(DECODE_BYTES);
	char id[TOOL_ID_BYTES], when[TOOL_TIME_BYTES];
	struct decoded d;

	if (!b64_decode(&raw, text) || !decode(buf_slice(&raw), &d))
		return err_set(e, ERR_INVALID,
			"%s is no position: a MsgPosition or a message id in base64 is expected",
			text);
	tool_id(&d.pos.id, id);
	tool_time(d.pos.ts, when);
	if (!json) {
		fprintf(out, "form     %s\n",
			d.wrapped ? "MsgPosition" : "bare message id (MQ position)");
		if (d.wrapped)
			fprintf(out, "channel  %s\n", d.channel);
		fprintf(out, "id       %s\n", id);
		if (d.pos.ts)
			fprintf(out, "time     %" PRIu64 " (%s UTC)\n", d.pos.ts, when);
		return ERR_OK;
	}
	struct buf b = BUF_INIT(TEXT_BYTES);
	struct json_out o = {.b = &b};
	json_out_open(&o, NULL, '{');
	json_out_str(&o, "form", d.wrapped ? "MsgPosition" : "id");
	json_out_str_if(&o, "channel", d.channel);
	json_out_str(&o, "id", id);
	json_out_u64(&o, "ts", d.pos.ts);
	json_out_close(&o, '}');
	print_json(out, &b);
	return ERR_OK;
}

/* ---- printing ---- */

static void put_shard(struct json_out *o, const struct shard *s, const struct position *p)
{
	CLEANUP(freep) char *bare = b64_text(mq_id_slice(&p->id));
	CLEANUP(freep) char *wrapped = position_to_b64(s->pchannel, p, p->ts != 0);
	char id[TOOL_ID_BYTES];

	tool_id(&p->id, id);
	json_out_open(o, NULL, '{');
	json_out_str(o, "vchannel", s->vchannel);
	json_out_str(o, "pchannel", s->pchannel);
	json_out_str(o, "id", id);
	json_out_str(o, "mq_position", bare);
	json_out_str(o, "milvus_position", wrapped);
	json_out_close(o, '}');
}

/* What a create request wants: {"db":[{"name":...,"positions":{vchannel: position}}]} */
static void put_request(struct json_out *o, const char *key, const struct collection *c,
	const char *db, const struct position *p)
{
	json_out_open(o, key, '{');
	json_out_open(o, db, '[');
	json_out_open(o, NULL, '{');
	json_out_str(o, "name", c->name);
	json_out_open(o, "positions", '{');
	for (int i = 0; i < c->shards_num; i++) {
		if (!p[i].id.n)
			continue;
		CLEANUP(freep)
		char *text = position_to_b64(c->shards[i].pchannel, &p[i], p[i].ts != 0);
		json_out_str(o, c->shards[i].vchannel, text);
	}
	json_out_close(o, '}');
	json_out_close(o, '}');
	json_out_close(o, ']');
	json_out_close(o, '}');
}

static void print_as_json(
	FILE *out, const struct collection *c, const char *db, const struct position *p)
{
	struct buf b = BUF_INIT(TEXT_BYTES);
	struct json_out o = {.b = &b};

	json_out_open(&o, NULL, '{');
	json_out_str(&o, "db", db);
	json_out_str(&o, "collection", c->name);
	json_out_i64(&o, "collection_id", c->id);
	json_out_u64(&o, "create_ts", c->create_ts);
	json_out_open(&o, "channels", '[');
	for (int i = 0; i < c->shards_num; i++)
		put_shard(&o, &c->shards[i], &p[i]);
	json_out_close(&o, ']');
	put_request(&o, "db_collections", c, db, p);
	json_out_close(&o, '}');
	print_json(out, &b);
}

static void print_as_text(
	FILE *out, const struct collection *c, const char *db, const struct position *p)
{
	struct buf b = BUF_INIT(TEXT_BYTES);
	struct json_out o = {.b = &b};
	char when[TOOL_TIME_BYTES], id[TOOL_ID_BYTES];

	tool_time(c->create_ts, when);
	fprintf(out, "%s.%s, id %" PRId64 ", created %s UTC\n", db, c->name, c->id, when);
	for (int i = 0; i < c->shards_num; i++) {
		CLEANUP(freep) char *bare = b64_text(mq_id_slice(&p[i].id));
		CLEANUP(freep)
		char *wrapped = position_to_b64(c->shards[i].pchannel, &p[i], p[i].ts != 0);
		tool_id(&p[i].id, id);
		fprintf(out, "%s\n", c->shards[i].vchannel);
		fprintf(out, "  message id      %s\n", *id ? id : "unknown");
		fprintf(out, "  MQPosition      %s\n", bare);
		fprintf(out, "  MilvusPosition  %s\n", wrapped);
	}
	put_request(&o, NULL, c, db, p);
	fprintf(out, "\ndb_collections of a create request:\n");
	print_json(out, &b);
}

void tool_positions_print(FILE *out, const struct collection *c, const char *db,
	const struct mq_id *latest, bool json)
{
	struct position *p = xcalloc((size_t)c->shards_num, sizeof(*p));

	for (int i = 0; i < c->shards_num; i++)
		p[i].id = latest ? latest[i] : c->shards[i].start;
	if (json)
		print_as_json(out, c, db, p);
	else
		print_as_text(out, c, db, p);
	free(p);
}

/* ---- the command ---- */

static enum err_code find_latest(
	struct tool *t, const struct collection *c, struct mq_id *latest, struct err *e)
{
	for (int i = 0; i < c->shards_num; i++)
		if (t->mq->ops->latest(t->mq, c->shards[i].pchannel, &t->stop, &latest[i], e))
			return err_ctx(e, "topic %s", c->shards[i].pchannel);
	return ERR_OK;
}

/* The replicate channel's end, as rpc_channel_info wants it. */
static enum err_code print_replicate(struct tool *t, bool json, struct err *e)
{
	const char *name = t->config->replicate_channel;
	struct position at = {.ts = 0};

	enum err_code code = t->mq->ops->latest(t->mq, name, &t->stop, &at.id, e);
	if (code == ERR_NOT_FOUND) {
		err_clear(e);
		fprintf(stderr, "no operation was ever written to %s: leave rpc_channel_info out\n",
			name);
		return ERR_OK;
	}
	if (code)
		return err_ctx(e, "topic %s", name);
	CLEANUP(freep) char *text = position_to_b64(name, &at, false);
	if (!json)
		printf("\nrpc_channel_info of a create request:\n");
	printf("{\"name\":\"%s\",\"position\":\"%s\"}\n", name, text);
	return ERR_OK;
}

static enum err_code run(struct tool *t, const struct cli *c, struct err *e)
{
	bool json = cli_flag(c, "--json"), latest = cli_flag(c, "--latest");
	unsigned needs = latest ? TOOL_CATALOG | TOOL_QUEUE : TOOL_CATALOG;
	struct collection *col = NULL;
	char db[TOOL_NAME_BYTES] = "";

	if (tool_open(t, c->config_path, needs, e) || tool_collection(t, c, &col, e))
		return e->code;
	if (!col)
		return err_set(e, ERR_INVALID,
			"say which collection: --collection NAME, --collection-id ID, or --decode "
			"POSITION");
	struct mq_id *ends = xcalloc((size_t)col->shards_num, sizeof(*ends));
	if (!catalog_database_name(t->catalog, col->db_id, db, sizeof(db)))
		snprintf(db, sizeof(db), "default");
	enum err_code code = latest ? find_latest(t, col, ends, e) : ERR_OK;
	if (!code)
		tool_positions_print(stdout, col, db, latest ? ends : NULL, json);
	if (!code && latest)
		code = print_replicate(t, json, e);
	free(ends);
	collection_unref(col);
	return code;
}

int tool_positions_main(const struct cli *c)
{
	const char *text = cli_text(c, "--decode");
	struct err e = ERR_INIT;
	struct tool t;

	if (text) {
		enum err_code code = tool_positions_decode(stdout, text, cli_flag(c, "--json"), &e);
		return code ? tool_exit("positions", &e) : 0;
	}
	enum err_code code = run(&t, c, &e);
	tool_close(&t);
	return code ? tool_exit("positions", &e) : 0;
}
