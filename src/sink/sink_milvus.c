/* The Milvus kind of a target: the client's verbs behind the vtable, nothing else. */
#include "sink/sink_milvus.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/failpoint.h"
#include "base/mem.h"

struct sink_milvus {
	struct sink head;
	struct milvus *client;
};

static struct milvus *client_of(struct sink *k)
{
	return CONTAINER_OF(k, struct sink_milvus, head)->client;
}

static enum err_code connect_once(
	struct sink *k, struct stop *s, struct sink_info *ret_info, struct err *e)
{
	struct milvus_info info;

	if (FAILPOINTS("target.connect", milvus_connect(client_of(k), s, &info, e)))
		return e->code;
	snprintf(ret_info->version, sizeof(ret_info->version), "%s", info.version);
	return ERR_OK;
}

static enum err_code read_clock(struct sink *k, struct stop *s, uint64_t *ret_ts, struct err *e)
{
	return FAILPOINTS("target.clock", milvus_clock(client_of(k), s, ret_ts, e));
}

/* Moves what m owns to c. */
static void take_collection(struct sink_collection *c, struct milvus_collection *m)
{
	*c = (struct sink_collection){.id = m->id,
		.created_ts = m->created_ts,
		.shards_num = m->shards_num,
		.n_partitions = m->n_partitions,
		.schema = m->schema,
		.aliases = m->aliases,
		.n_aliases = m->n_aliases};
	c->shards = xcalloc((size_t)MAX(m->shards_num, 1), sizeof(*c->shards));
	for (int i = 0; i < m->shards_num; i++) {
		c->shards[i].vchannel = TAKE(m->shards[i].vchannel);
		c->shards[i].pchannel = TAKE(m->shards[i].pchannel);
	}
	c->partitions = xcalloc(m->n_partitions + 1, sizeof(*c->partitions));
	for (size_t i = 0; i < m->n_partitions; i++) {
		c->partitions[i].id = m->partitions[i].id;
		c->partitions[i].name = TAKE(m->partitions[i].name);
	}
	m->schema = (struct slice){0};
	m->aliases = NULL;
	m->n_aliases = 0;
	milvus_collection_done(m);
}

static enum err_code describe(struct sink *k, const char *db, const char *name, struct stop *s,
	struct sink_collection *ret_c, struct err *e)
{
	struct milvus_collection m = {.id = 0};

	if (FAILPOINTS("target.describe", milvus_describe(client_of(k), db, name, s, &m, e)))
		return e->code;
	take_collection(ret_c, &m);
	return ERR_OK;
}

static enum err_code databases(
	struct sink *k, struct stop *s, struct sink_names *ret_l, struct err *e)
{
	struct milvus_names l = {.n = 0};

	if (FAILPOINTS("target.databases", milvus_list_databases(client_of(k), s, &l, e)))
		return e->code;
	*ret_l = (struct sink_names){.names = l.names, .n = l.n};
	return ERR_OK;
}

static enum err_code create_collection(
	struct milvus *m, const struct sink_change *c, struct stop *s, struct err *e)
{
	struct milvus_create req = {.db = c->db,
		.name = c->collection,
		.schema = c->schema,
		.properties = c->properties,
		.shards_num = c->shards_num,
		.consistency_level = c->consistency_level,
		.num_partitions = c->num_partitions,
		.ts = c->ts};

	return milvus_create_collection(m, &req, s, e);
}

static enum err_code change(
	struct sink *k, const struct sink_change *c, struct stop *s, struct err *e)
{
	struct milvus *m = client_of(k);

	switch (c->kind) {
	case SINK_CREATE_DATABASE:
		return FAILPOINTS("target.create_database",
			milvus_create_database(m, c->db, c->properties, c->ts, s, e));
	case SINK_DROP_DATABASE:
		return FAILPOINTS(
			"target.drop_database", milvus_drop_database(m, c->db, c->ts, s, e));
	case SINK_CREATE_COLLECTION:
		return FAILPOINTS("target.create_collection", create_collection(m, c, s, e));
	case SINK_DROP_COLLECTION:
		return FAILPOINTS("target.drop_collection",
			milvus_drop_collection(m, c->db, c->collection, c->ts, s, e));
	case SINK_CREATE_PARTITION:
		return FAILPOINTS(
			"target.create_partition", milvus_create_partition(m, c->db, c->collection,
							   c->partition, c->ts, s, e));
	case SINK_DROP_PARTITION:
		return FAILPOINTS("target.drop_partition",
			milvus_drop_partition(m, c->db, c->collection, c->partition, c->ts, s, e));
	case SINK_DROP_ALIAS:
		return FAILPOINTS("target.drop_alias", milvus_drop_alias(m, c->db, c->alias, s, e));
	}
	return err_set(e, ERR_UNSUPPORTED, "change %d", (int)c->kind);
}

static enum err_code call(struct sink *k, const struct sink_call *c, struct stop *s, struct err *e)
{
	return FAILPOINTS(
		"target.operation", milvus_call(client_of(k), c->method, c->db, c->body->v,
					    c->body->n, 0, s, c->ret_answer, e));
}

static enum err_code replicate(struct sink *k, const struct iov *request, int64_t deadline_ms,
	struct stop *s, struct mq_id *ret_position, struct err *e)
{
	size_t n = 0;
	enum err_code code = FAILPOINTS("target.replicate",
		milvus_replicate(client_of(k), request->v, request->n, deadline_ms, s,
			ret_position->b, sizeof(ret_position->b), &n, e));

	ret_position->n = code ? 0 : (uint8_t)n;
	return code;
}

static void close_client(struct sink *k)
{
	struct sink_milvus *self = CONTAINER_OF(k, struct sink_milvus, head);

	milvus_close(self->client);
	free(self);
}

static const struct sink_ops ops = {.name = "milvus",
	.connect = connect_once,
	.clock = read_clock,
	.describe = describe,
	.databases = databases,
	.change = change,
	.call = call,
	.replicate = replicate,
	.close = close_client};

enum err_code sink_milvus_open(
	struct grpc *g, const struct milvus_opts *o, struct sink **ret_k, struct err *e)
{
	struct sink_milvus *self = xcalloc(1, sizeof(*self));

	self->head.ops = &ops;
	if (milvus_open(g, o, &self->client, e)) {
		free(self);
		return e->code;
	}
	*ret_k = &self->head;
	return ERR_OK;
}
