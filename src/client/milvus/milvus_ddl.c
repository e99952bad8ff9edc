/* Create and drop. Every request says that a replicator sends it and when it happened at the
 * source: the target's coordinator then writes no drop messages of its own. */
#include "base/limits.h"
#include "base/wire.h"
#include "client/milvus/milvus_codec.h"
#include "client/milvus/milvus_priv.h"

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

static enum err_code send_ddl(struct milvus *m, const char *method, const char *db,
	const struct buf *body, struct stop *s, struct err *e)
{
	CLEANUP(buf_done)
	struct buf answer = BUF_INIT(LIMIT_GRPC_RECV);
	struct milvus_req r = {.method = method, .db = db};

	return milvus_do_buf(m, &r, body, s, &answer, e);
}

enum err_code milvus_create_collection(
	struct milvus *m, const struct milvus_create *c, struct stop *s, struct err *e)
{
	CLEANUP(buf_done)
	struct buf body = BUF_INIT(LIMIT_RECORD);
	struct milvus_create copy = *c;

	copy.db = or_empty(c->db);
	milvus_put_create(&body, &copy);
	return send_ddl(m, "CreateCollection", c->db, &body, s, e);
}

enum err_code milvus_drop_collection(struct milvus *m, const char *db, const char *name,
	uint64_t ts, struct stop *s, struct err *e)
{
	CLEANUP(buf_done)
	struct buf body = BUF_INIT(LIMIT_RECORD);

	milvus_put_names(&body, ts, or_empty(db), name, NULL);
	return send_ddl(m, "DropCollection", db, &body, s, e);
}

enum err_code milvus_create_partition(struct milvus *m, const char *db, const char *collection,
	const char *partition, uint64_t ts, struct stop *s, struct err *e)
{
	CLEANUP(buf_done)
	struct buf body = BUF_INIT(LIMIT_RECORD);

	milvus_put_names(&body, ts, or_empty(db), collection, partition);
	return send_ddl(m, "CreatePartition", db, &body, s, e);
}

enum err_code milvus_drop_partition(struct milvus *m, const char *db, const char *collection,
	const char *partition, uint64_t ts, struct stop *s, struct err *e)
{
	CLEANUP(buf_done)
	struct buf body = BUF_INIT(LIMIT_RECORD);

	milvus_put_names(&body, ts, or_empty(db), collection, partition);
	return send_ddl(m, "DropPartition", db, &body, s, e);
}

enum err_code milvus_create_database(struct milvus *m, const char *db, struct slice properties,
	uint64_t ts, struct stop *s, struct err *e)
{
	CLEANUP(buf_done)
	struct buf body = BUF_INIT(LIMIT_RECORD);

	milvus_put_names(&body, ts, db, "", NULL);
	buf_put(&body, properties.p, properties.n);
	return send_ddl(m, "CreateDatabase", NULL, &body, s, e);
}

enum err_code milvus_drop_database(
	struct milvus *m, const char *db, uint64_t ts, struct stop *s, struct err *e)
{
	CLEANUP(buf_done)
	struct buf body = BUF_INIT(LIMIT_RECORD);

	milvus_put_names(&body, ts, db, "", NULL);
	return send_ddl(m, "DropDatabase", NULL, &body, s, e);
}

enum err_code milvus_drop_alias(
	struct milvus *m, const char *db, const char *alias, struct stop *s, struct err *e)
{
	CLEANUP(buf_done)
	struct buf body = BUF_INIT(LIMIT_RECORD);

	wire_put_str_opt(&body, 2, or_empty(db));
	wire_put_str(&body, 3, alias);
	return send_ddl(m, "DropAlias", db, &body, s, e);
}
