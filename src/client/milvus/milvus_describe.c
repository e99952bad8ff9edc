/* The reads: what the target has. All idempotent. */
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/wire.h"
#include "client/milvus/milvus_codec.h"
#include "client/milvus/milvus_priv.h"

static void free_strings(char **strings, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(strings[i]);
	free(strings);
}

void milvus_collection_done(struct milvus_collection *c)
{
	for (int i = 0; i < c->shards_num; i++) {
		free(c->shards[i].vchannel);
		free(c->shards[i].pchannel);
	}
	free(c->shards);
	for (size_t i = 0; i < c->n_partitions; i++)
		free(c->partitions[i].name);
	free(c->partitions);
	free_strings(c->aliases, c->n_aliases);
	free((void *)(uintptr_t)c->schema.p);
	*c = (struct milvus_collection){0};
}

void milvus_names_done(struct milvus_names *l)
{
	free_strings(l->names, l->n);
	*l = (struct milvus_names){0};
}

static enum err_code read_collection(struct milvus *m, const char *db, const char *name,
	struct stop *s, struct milvus_collection *c, struct err *e)
{
	CLEANUP(buf_done)
	struct buf body = BUF_INIT(LIMIT_RECORD);
	CLEANUP(buf_done)
	struct buf answer = BUF_INIT(LIMIT_GRPC_RECV);
	struct milvus_req r = {.method = "DescribeCollection", .db = db, .idempotent = true};

	wire_put_str_opt(&body, 2, db);
	wire_put_str_opt(&body, 3, name);
	if (milvus_do_buf(m, &r, &body, s, &answer, e) ||
		milvus_collection_read(c, name, buf_slice(&answer), e))
		return e->code;
	buf_reset(&answer);
	r.method = "ShowPartitions";
	if (milvus_do_buf(m, &r, &body, s, &answer, e))
		return e->code;
	return milvus_partitions_read(c, buf_slice(&answer), e);
}

enum err_code milvus_describe(struct milvus *m, const char *db, const char *name, struct stop *s,
	struct milvus_collection *ret_c, struct err *e)
{
	CLEANUP(milvus_collection_done)
	struct milvus_collection c = {0};

	if (read_collection(m, db ? db : "", name, s, &c, e))
		return e->code;
	*ret_c = c;
	c = (struct milvus_collection){0};
	return ERR_OK;
}

enum err_code milvus_list_databases(
	struct milvus *m, struct stop *s, struct milvus_names *ret_l, struct err *e)
{
	CLEANUP(buf_done)
	struct buf body = BUF_INIT(LIMIT_RECORD);
	CLEANUP(buf_done)
	struct buf answer = BUF_INIT(LIMIT_GRPC_RECV);
	struct milvus_req r = {.method = "ListDatabases", .idempotent = true};

	if (milvus_do_buf(m, &r, &body, s, &answer, e))
		return e->code;
	return milvus_names_read(ret_l, buf_slice(&answer), e);
}
