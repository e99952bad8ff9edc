#include "server/tool/tool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/wire.h"
#include "client/etcd/etcd.h"
#include "model/ts.h"
#include "net/grpc.h"
#include "server/config/config.h"
#include "server/connect.h"
#include "source/catalog.h"
#include "store/store.h"

enum { CATALOG_MS = 15000, TEXT_BYTES = 1 << 20, KAFKA_ID_BYTES = 8 };

enum err_code tool_config(const char *path, struct config **ret_c, struct err *e)
{
	CLEANUP(buf_done) struct buf problems = BUF_INIT(TEXT_BYTES);
	CLEANUP(buf_done) struct buf warnings = BUF_INIT(TEXT_BYTES);

	if (!config_load(path, ret_c, &problems, &warnings, e))
		return ERR_OK;
	if (!problems.n)
		return e->code;
	err_clear(e);
	return err_set(e, ERR_INVALID, "%s can't be used; milvus-cdc check-config tells why:\n%s",
		path, buf_cstr(&problems));
}

static enum err_code open_catalog(struct tool *t, struct err *e)
{
	const struct config *c = t->config;
	struct catalog_opts o = {.root_path = c->source_etcd.root_path,
		.meta_sub_path = c->source_etcd.meta_sub_path};
	char why[512];

	if (connect_etcd(t->grpc, &c->source_etcd, &t->source_etcd, e))
		return err_ctx(e, "sourceConfig.etcd");
	if (catalog_new(t->source_etcd, &o, &t->catalog, e) || catalog_start(t->catalog, e))
		return e->code;
	if (catalog_wait(t->catalog, 0, deadline_in(CATALOG_MS), &t->stop))
		return ERR_OK;
	catalog_status(t->catalog, why, sizeof(why));
	return err_set(e, ERR_UNAVAILABLE, "the source's etcd: %s", why);
}

enum err_code tool_open(struct tool *t, const char *config_path, unsigned needs, struct err *e)
{
	*t = (struct tool){.config = NULL};
	stop_init(&t->stop, NULL);
	log_set_level(LOG_ERROR); /* what matters comes back as an error */
	if (tool_config(config_path, &t->config, e) || grpc_new(&t->grpc, e))
		return e->code;
	if ((needs & TOOL_CATALOG) && open_catalog(t, e))
		return e->code;
	if ((needs & TOOL_QUEUE) && connect_mq(t->config, &t->mq, e))
		return e->code;
	if ((needs & TOOL_STORE) &&
		connect_store_read(t->config, t->grpc, &t->store_etcd, &t->store, e))
		return e->code;
	return ERR_OK;
}

void tool_close(struct tool *t)
{
	connect_mq_free(t->mq);
	catalog_free(t->catalog);
	store_close(t->store);
	etcd_close(t->source_etcd);
	etcd_close(t->store_etcd);
	grpc_free(t->grpc);
	config_free(t->config);
	stop_done(&t->stop);
}

int tool_exit(const char *tool, const struct err *e)
{
	if (!e->code)
		return 0;
	fprintf(stderr, "milvus-cdc %s: %s\n", tool, e->text);
	return 1;
}

/* ---- collections ---- */

static struct collection *newest(struct tool *t, const char *db, const char *name)
{
	struct collection **list, *best = NULL;
	size_t n = catalog_collections(t->catalog, &list);
	char of[TOOL_NAME_BYTES];

	for (size_t i = 0; i < n; i++) {
		struct collection *c = list[i];
		bool same = strcmp(c->name, name) == 0 &&
			    catalog_database_name(t->catalog, c->db_id, of, sizeof(of)) &&
			    strcmp(of, db) == 0;
		if (same && (!best || c->create_ts >= best->create_ts)) {
			collection_unref(best);
			best = collection_ref(c);
		}
		collection_unref(c);
	}
	free(list);
	return best;
}

enum err_code tool_collection(
	struct tool *t, const struct cli *c, struct collection **ret_c, struct err *e)
{
	const char *name = cli_text(c, "--collection"), *db = cli_text(c, "--db");
	int64_t id = cli_number(c, "--collection-id", 0);

	*ret_c = NULL;
	if (!name && !id)
		return db ? err_set(e, ERR_INVALID, "--db goes with --collection NAME") : ERR_OK;
	db = db ? db : "default";
	*ret_c = id ? catalog_collection(t->catalog, id) : newest(t, db, name);
	if (*ret_c)
		return ERR_OK;
	if (id)
		return err_set(
			e, ERR_NOT_FOUND, "the source has no collection with id %" PRId64, id);
	return err_set(
		e, ERR_NOT_FOUND, "the source has no collection %s in database %s", name, db);
}

void tool_name(struct tool *t, int64_t collection_id, char out[TOOL_NAME_BYTES])
{
	struct collection *c = t->catalog ? catalog_collection(t->catalog, collection_id) : NULL;
	char db[TOOL_NAME_BYTES / 2];

	out[0] = '\0';
	if (c && catalog_database_name(t->catalog, c->db_id, db, sizeof(db)))
		snprintf(out, TOOL_NAME_BYTES, "%s.%.250s", db, c->name);
	collection_unref(c);
}

/* ---- the plan ---- */

void tool_plan_done(struct tool_plan *p)
{
	free(p->list);
	*p = (struct tool_plan){.n = 0};
}

static void add(struct tool_plan *p, const char *pchannel, int64_t collection_id,
	const struct position *from)
{
	mem_grow(&p->list, &p->cap, p->n + 1, sizeof(*p->list));
	struct tool_channel *ch = &p->list[p->n++];
	*ch = (struct tool_channel){.collection_id = collection_id, .from = *from};
	snprintf(ch->pchannel, sizeof(ch->pchannel), "%s", pchannel);
}

/* A vchannel stands for its collection on its pchannel. */
static void plan_channel(struct tool_plan *p, const char *name, int64_t collection_id)
{
	struct position none = {.ts = 0};
	struct vchannel v;

	if (vchannel_parse(&v, slice_str(name)))
		add(p, v.pchannel, v.collection_id, &none);
	else
		add(p, name, collection_id, &none);
}

static void plan_collection(struct tool_plan *p, const struct collection *col)
{
	for (int i = 0; i < col->shards_num; i++) {
		struct position from = {.id = col->shards[i].start};
		bool twice = false;
		for (size_t k = 0; k < p->n; k++)
			twice = twice || strcmp(p->list[k].pchannel, col->shards[i].pchannel) == 0;
		if (!twice)
			add(p, col->shards[i].pchannel, col->id, &from);
	}
}

/* The time of a reference's record is in milliseconds; see store/record.h. */
static struct position stored(const struct store_position *p)
{
	struct position from = p->pos;

	if (!p->exact)
		from.ts = p->time_ms ? ts_from_ms(p->time_ms) : 0;
	return from;
}

static enum err_code plan_task(
	struct tool *t, struct tool_plan *p, const char *task, int64_t collection_id, struct err *e)
{
	struct store_positions *docs = NULL;
	size_t n = 0;

	if (store_read_positions(t->store, task, &t->stop, &docs, &n, e))
		return e->code;
	for (size_t i = 0; i < n; i++) {
		const struct store_positions *d = &docs[i];
		if (d->collection_id == STORE_ID_USER ||
			(collection_id && d->collection_id != collection_id))
			continue;
		for (size_t k = 0; k < d->n_source; k++) {
			struct position from = stored(&d->source[k]);
			if (!d->source[k].dropped && from.id.n)
				add(p, d->source[k].channel,
					d->collection_id > 0 ? d->collection_id : 0, &from);
		}
	}
	store_positions_free(docs, n);
	if (!p->n)
		return err_set(e, ERR_NOT_FOUND, "the metastore has no positions of task %s%s",
			task, collection_id ? " for that collection" : "");
	return ERR_OK;
}

/* --from latest, earliest or base64 instead of what the plan has. */
static enum err_code plan_from(struct tool *t, struct tool_plan *p, const char *from, struct err *e)
{
	struct position at = {.ts = 0};
	bool latest = strcmp(from, "latest") == 0;

	if (!latest && strcmp(from, "earliest") != 0 && position_from_b64(&at, from, e))
		return err_ctx(e, "--from is earliest, latest or a position");
	for (size_t i = 0; i < p->n; i++) {
		if (latest && t->mq->ops->latest(t->mq, p->list[i].pchannel, &t->stop, &at.id, e))
			return e->code;
		p->list[i].from = at;
	}
	return ERR_OK;
}

static int by_pchannel(const void *a, const void *b)
{
	const struct tool_channel *x = a, *y = b;
	int diff = strcmp(x->pchannel, y->pchannel);

	if (diff)
		return diff;
	return (x->collection_id > y->collection_id) - (x->collection_id < y->collection_id);
}

static enum err_code choose(struct tool *t, const struct cli *c, const struct collection *col,
	struct tool_plan *p, struct err *e)
{
	const char *channel = cli_text(c, "--channel"), *task = cli_text(c, "--task");

	if (channel && task)
		return err_set(e, ERR_INVALID, "--channel and --task exclude each other");
	if (channel)
		plan_channel(p, channel, col ? col->id : 0);
	else if (task)
		return plan_task(t, p, task, col ? col->id : 0, e);
	else if (col)
		plan_collection(p, col);
	else
		return err_set(e, ERR_INVALID,
			"say what to read: --channel, --collection, --collection-id or --task");
	return ERR_OK;
}

enum err_code tool_plan(struct tool *t, const struct cli *c, struct tool_plan *ret_p, struct err *e)
{
	const char *from = cli_text(c, "--from");
	struct collection *col = NULL;

	*ret_p = (struct tool_plan){.n = 0};
	enum err_code code = tool_collection(t, c, &col, e);
	if (!code)
		code = choose(t, c, col, ret_p, e);
	collection_unref(col);
	if (!code && from)
		code = plan_from(t, ret_p, from, e);
	if (code) {
		tool_plan_done(ret_p);
		return code;
	}
	qsort(ret_p->list, ret_p->n, sizeof(*ret_p->list), by_pchannel);
	return ERR_OK;
}

/* ---- text ---- */

void tool_time(uint64_t ts, char out[TOOL_TIME_BYTES])
{
	time_t s = (time_t)(ts_ms(ts) / 1000);
	struct tm tm;
	char text[TOOL_TIME_BYTES / 2 + 8];

	snprintf(out, TOOL_TIME_BYTES, "-");
	if (!ts || !gmtime_r(&s, &tm) || !strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm))
		return;
	snprintf(out, TOOL_TIME_BYTES, "%s.%03d", text, (int)(ts_ms(ts) % 1000));
}

/* MessageIdData: ledger and entry, and the partition and batch index if they are not -1. */
static bool pulsar_id(struct slice s, char out[TOOL_ID_BYTES])
{
	struct wire w = wire_open(s);
	struct wire_field f;
	int64_t v[5] = {0, -1, -1, -1, -1};
	size_t n = 0;

	while (wire_next(&w, &f)) {
		if (f.type != WIRE_VARINT || f.num > 4)
			continue;
		v[f.num] = (int64_t)f.value;
	}
	if (w.bad || v[1] < 0 || v[2] < 0)
		return false;
	for (int i = 1; i <= 4 && (i < 3 || v[i] >= 0); i++)
		n += (size_t)snprintf(
			out + n, TOOL_ID_BYTES - n, "%s%" PRId64, i > 1 ? ":" : "", v[i]);
	return true;
}

void tool_id(const struct mq_id *id, char out[TOOL_ID_BYTES])
{
	uint64_t v = 0;

	out[0] = '\0';
	if (id->n == KAFKA_ID_BYTES) {
		for (int i = KAFKA_ID_BYTES; i-- > 0;)
			v = v << 8 | id->b[i];
		snprintf(out, TOOL_ID_BYTES, "%" PRIu64, v);
		return;
	}
	if (id->n && pulsar_id(mq_id_slice(id), out))
		return;
	for (size_t i = 0; i < id->n; i++)
		snprintf(out + 2 * i, 3, "%02x", id->b[i]);
}
