#include "sink/event_data.h"

#include "base/arena.h"
#include "base/mem.h"
#include "base/wire.h"
#include "sink/event.h"
#include "sink/pbjson.h"
#include "sink/requests.h"
#include "sink/schema_json.h"

enum { TAG_COLLECTION_PROPERTIES = 7, TAG_DATABASE_PROPERTIES = 3 };

const char *event_change_kind(enum sink_change_kind kind)
{
	static const char *const kinds[] = {[SINK_CREATE_DATABASE] = "create database",
		[SINK_DROP_DATABASE] = "drop database",
		[SINK_CREATE_COLLECTION] = "create collection",
		[SINK_DROP_COLLECTION] = "drop collection",
		[SINK_CREATE_PARTITION] = "create partition",
		[SINK_DROP_PARTITION] = "drop partition",
		[SINK_DROP_ALIAS] = "drop alias"};

	return kinds[kind];
}

static void put_info(struct gojson *o, uint64_t ts)
{
	gojson_open(o, "replicateInfo", '{');
	gojson_bool(o, "isReplicate", true);
	if (ts)
		gojson_u64(o, "msgTimestamp", ts);
	gojson_close(o, '}');
}

void event_data_base(struct gojson *o, const char *key, uint64_t ts)
{
	gojson_open(o, key, '{');
	put_info(o, ts);
	gojson_close(o, '}');
}

static enum err_code put_properties(
	struct gojson *o, const char *name, struct slice raw, uint32_t tag, struct err *e)
{
	const struct pb_field list[] = {{tag, PB_MSG, name, pb_key_value, true}, {0}};
	size_t before = o->b->n;

	if (pbjson_fields(o, raw, list, e))
		return e->code;
	if (o->b->n == before)
		gojson_null(o, name);
	return ERR_OK;
}

static enum err_code put_collection(struct gojson *o, const struct sink_change *c, struct err *e)
{
	event_data_base(o, "Base", c->ts);
	gojson_cstr(o, "Database", c->db);
	if (schema_json(o, "Schema", c->schema, c->collection, e))
		return e->code;
	gojson_i64(o, "ShardsNum", c->shards_num);
	gojson_i64(o, "ConsistencyLevel", c->consistency_level);
	return put_properties(o, "Properties", c->properties, TAG_COLLECTION_PROPERTIES, e);
}

/* Requests of the target's database service, flattened like an operation's. */
static enum err_code put_database(struct gojson *o, const struct sink_change *c, struct err *e)
{
	static const struct pb_field list[] = {
		{TAG_DATABASE_PROPERTIES, PB_MSG, "properties", pb_key_value, true}, {0}};

	gojson_cstr(o, "Database", "");
	event_data_base(o, "base", c->ts);
	gojson_cstr(o, "db_name", c->db);
	if (c->kind == SINK_CREATE_DATABASE)
		return pbjson_fields(o, c->properties, list, e);
	return ERR_OK;
}

static void put_alias(struct gojson *o, const struct sink_change *c)
{
	gojson_cstr(o, "Database", c->db);
	event_data_base(o, "base", c->ts);
	gojson_cstr(o, "db_name", c->db);
	gojson_cstr(o, "alias", c->alias);
}

static void put_names(struct gojson *o, const struct sink_change *c, bool partition)
{
	event_data_base(o, "Base", c->ts);
	gojson_cstr(o, "Database", c->db);
	gojson_cstr(o, "CollectionName", c->collection);
	if (partition)
		gojson_cstr(o, "PartitionName", c->partition);
}

static enum err_code put_change(struct gojson *o, const struct sink_change *c, struct err *e)
{
	switch (c->kind) {
	case SINK_CREATE_DATABASE:
	case SINK_DROP_DATABASE:
		return put_database(o, c, e);
	case SINK_CREATE_COLLECTION:
		return put_collection(o, c, e);
	case SINK_DROP_COLLECTION:
		put_names(o, c, false);
		break;
	case SINK_CREATE_PARTITION:
	case SINK_DROP_PARTITION:
		put_names(o, c, true);
		break;
	case SINK_DROP_ALIAS:
		put_alias(o, c);
		break;
	}
	return ERR_OK;
}

enum err_code event_data_change(
	struct gojson *o, const char *key, const struct sink_change *c, struct err *e)
{
	gojson_open(o, key, '{');
	if (put_change(o, c, e))
		return err_ctx(e, "%s", event_change_kind(c->kind));
	gojson_close(o, '}');
	return ERR_OK;
}

/* The pieces of a request as one run of bytes; long ones are rare. */
static struct slice flat(const struct iov *body, struct arena *a)
{
	uint8_t *p = arena_alloc(a, body->bytes + 1);
	size_t n = 0;

	for (size_t i = 0; i < body->n; i++) {
		memcpy(p + n, body->v[i].p, body->v[i].n);
		n += body->v[i].n;
	}
	return slice_of(p, n);
}

enum err_code event_data_call(struct gojson *o, const char *key, const struct sink_call *c,
	const char **ret_kind, struct err *e)
{
	CLEANUP(arena_done) struct arena a = ARENA_INIT;

	gojson_open(o, key, '{');
	if (requests_put(o, c->method, c->db, flat(c->body, &a), ret_kind, e))
		return e->code;
	gojson_close(o, '}');
	return ERR_OK;
}
