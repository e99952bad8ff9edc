#include "source/catalog_decode.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/wire.h"
#include "model/channel.h"

enum { PROPERTIES_OF_CREATE = 7, PROPERTIES_OF_CREATE_DB = 3, VARINT_SLACK = 32 };

enum { DB_NAME = 2, DB_ID, DB_STATE, DB_CREATED, DB_PROPERTIES };
enum { PART_ID = 1, PART_NAME, PART_CREATED, PART_COLLECTION, PART_STATE };
enum {
	COLL_ID = 1,
	COLL_SCHEMA,
	COLL_CREATED,
	COLL_VCHANNELS = 7,
	COLL_PCHANNELS,
	COLL_SHARDS = 10,
	COLL_STARTS,
	COLL_CONSISTENCY,
	COLL_STATE,
	COLL_PROPERTIES
};
enum { ALIAS_COLLECTION = 2, ALIAS_STATE = 4 };
enum { SCHEMA_NAME = 1 };
enum { PAIR_KEY = 1, PAIR_DATA };
enum {
	FIELD_ID = 1,
	FIELD_NAME,
	FIELD_IS_PK,
	FIELD_TYPE = 5,
	FIELD_IS_DYNAMIC = 12,
	FIELD_IS_PARTITION_KEY
};

/* Keys */

static bool parse_id(struct slice s, int64_t *ret_id)
{
	return s.n && s.p[0] >= '0' && s.p[0] <= '9' && slice_to_i64(s, ret_id);
}

/* "<parent>/<id>" */
static bool parse_two(const char *text, struct catalog_key *k)
{
	const char *slash = strchr(text, '/');

	return slash && parse_id(slice_of(text, (size_t)(slash - text)), &k->parent) &&
	       parse_id(slice_str(slash + 1), &k->id);
}

/* "<database>/<name>" */
static bool parse_alias(const char *text, struct catalog_key *k)
{
	const char *slash = strchr(text, '/');

	return slash && slash[1] && parse_id(slice_of(text, (size_t)(slash - text)), &k->parent);
}

struct catalog_key catalog_key_parse(const char *tail)
{
	static const struct {
		const char *prefix;
		enum catalog_key_kind kind;
	} kinds[] = {
		{"database/collection-info/", CATALOG_KEY_COLLECTION},
		{"fields/", CATALOG_KEY_FIELD},
		{"functions/", CATALOG_KEY_FUNCTION},
		{"struct-array-fields/", CATALOG_KEY_STRUCT},
		{"partitions/", CATALOG_KEY_PARTITION},
	};
	static const char db_info[] = "database/db-info/";
	static const char aliases[] = "database/aliases/";
	struct catalog_key k = {.kind = CATALOG_KEY_OTHER};
	bool ok = true;

	if (str_starts(tail, db_info)) {
		k.kind = CATALOG_KEY_DATABASE;
		ok = parse_id(slice_str(tail + strlen(db_info)), &k.id);
	}
	if (str_starts(tail, aliases)) {
		k.kind = CATALOG_KEY_ALIAS;
		ok = parse_alias(tail + strlen(aliases), &k);
	}
	for (size_t i = 0; i < ARRAY_LEN(kinds) && k.kind == CATALOG_KEY_OTHER; i++) {
		if (!str_starts(tail, kinds[i].prefix))
			continue;
		k.kind = kinds[i].kind;
		ok = parse_two(tail + strlen(kinds[i].prefix), &k);
	}
	if (!ok)
		k.kind = CATALOG_KEY_BAD;
	return k;
}

bool catalog_is_tombstone(struct slice value)
{
	return slice_eq(value, slice_of("\xe2\x9b\xbc", 3));
}

/* Values */

static enum err_code malformed(struct err *e, const char *what)
{
	return err_set(e, ERR_MALFORMED, "%s", what);
}

/* A heap text; false for bytes with a 0, which no name of Milvus has. */
static bool take_text(char **text, struct slice s)
{
	if (s.n && memchr(s.p, 0, s.n))
		return false;
	free(*text);
	*text = xstrndup((const char *)s.p, s.n);
	return true;
}

static struct slice own(const struct buf *b)
{
	return b->n ? slice_of(xmemdup(b->p, b->n), b->n) : (struct slice){0};
}

/* Database states are one higher than those of collections, with 0 for unknown. */
static bool db_state(uint64_t v, enum object_state *ret_state)
{
	if (v > OBJECT_DROPPED + 1)
		return false;
	*ret_state = v ? (enum object_state)(v - 1) : OBJECT_CREATED;
	return true;
}

static bool object_state(uint64_t v, enum object_state *ret_state)
{
	if (v > OBJECT_DROPPED)
		return false;
	*ret_state = (enum object_state)v;
	return true;
}

static bool read_database(struct slice value, struct database *db, struct buf *properties)
{
	struct wire w = wire_open(value);
	struct wire_field f;
	bool ok = true;

	while (ok && wire_next(&w, &f)) {
		if (f.num == DB_NAME && f.type == WIRE_LEN)
			ok = take_text(&db->name, f.data);
		else if (f.num == DB_ID && f.type == WIRE_VARINT)
			ok = (int64_t)f.value == db->id;
		else if (f.num == DB_STATE && f.type == WIRE_VARINT)
			ok = db_state(f.value, &db->state);
		else if (f.num == DB_CREATED && f.type == WIRE_VARINT)
			db->create_ts = f.value;
		else if (f.num == DB_PROPERTIES && f.type == WIRE_LEN)
			wire_put_bytes(properties, PROPERTIES_OF_CREATE_DB, f.data);
	}
	return ok && !w.bad && db->name && *db->name;
}

enum err_code catalog_decode_database(
	struct slice value, int64_t id, struct database *ret_db, struct err *e)
{
	CLEANUP(buf_done) struct buf properties = BUF_INIT(value.n);
	struct database db = {.id = id};

	if (!read_database(value, &db, &properties)) {
		free(db.name);
		return malformed(e, "not a DatabaseInfo with a name and the key's id");
	}
	db.properties = own(&properties);
	*ret_db = db;
	return ERR_OK;
}

static bool read_partition(struct slice value, struct partition *p)
{
	struct wire w = wire_open(value);
	struct wire_field f;
	int64_t id = 0;
	bool ok = true;

	while (ok && wire_next(&w, &f)) {
		if (f.num == PART_ID && f.type == WIRE_VARINT)
			id = (int64_t)f.value;
		else if (f.num == PART_NAME && f.type == WIRE_LEN)
			ok = take_text(&p->name, f.data);
		else if (f.num == PART_CREATED && f.type == WIRE_VARINT)
			p->create_ts = f.value;
		else if (f.num == PART_COLLECTION && f.type == WIRE_VARINT)
			ok = (int64_t)f.value == p->collection_id;
		else if (f.num == PART_STATE && f.type == WIRE_VARINT)
			ok = object_state(f.value, &p->state);
	}
	return ok && !w.bad && id == p->id && p->name && *p->name;
}

enum err_code catalog_decode_partition(struct slice value, int64_t collection_id, int64_t id,
	struct partition *ret_p, struct err *e)
{
	struct partition p = {.id = id, .collection_id = collection_id};

	if (!read_partition(value, &p)) {
		free(p.name);
		return malformed(e, "not a PartitionInfo with a name and the key's ids");
	}
	*ret_p = p;
	return ERR_OK;
}

enum err_code catalog_decode_alias(struct slice value, int64_t *ret_collection_id, struct err *e)
{
	struct wire w = wire_open(value);
	struct wire_field f;
	enum object_state state = OBJECT_CREATED;
	int64_t id = 0;
	bool ok = true;

	while (ok && wire_next(&w, &f)) {
		if (f.num == ALIAS_COLLECTION && f.type == WIRE_VARINT)
			id = (int64_t)f.value;
		else if (f.num == ALIAS_STATE && f.type == WIRE_VARINT)
			ok = object_state(f.value, &state);
	}
	if (!ok || w.bad || !id)
		return malformed(e, "not an AliasInfo with a collection");
	*ret_collection_id = state >= OBJECT_DROPPING ? 0 : id;
	return ERR_OK;
}

/* Collections: repeated fields are noted in one pass and put together when their number is
 * known. */
struct coll_lists {
	struct slice vchannels[COLLECTION_SHARDS_MAX], pchannels[COLLECTION_SHARDS_MAX];
	struct slice starts[COLLECTION_SHARDS_MAX];
	size_t n_v, n_p, n_s;
};

static bool add_slice(struct slice *list, size_t *n, struct slice s)
{
	if (*n == COLLECTION_SHARDS_MAX)
		return false;
	list[(*n)++] = s;
	return true;
}

static bool read_name(struct slice schema, char **name)
{
	struct wire w = wire_open(schema);
	struct wire_field f;
	bool ok = true;

	while (ok && wire_next(&w, &f))
		if (f.num == SCHEMA_NAME && f.type == WIRE_LEN)
			ok = take_text(name, f.data);
	return ok && !w.bad;
}

static bool read_bytes_field(const struct wire_field *f, struct coll_lists *l, struct slice *schema,
	struct buf *properties)
{
	switch (f->num) {
	case COLL_SCHEMA:
		*schema = f->data;
		return true;
	case COLL_VCHANNELS:
		return add_slice(l->vchannels, &l->n_v, f->data);
	case COLL_PCHANNELS:
		return add_slice(l->pchannels, &l->n_p, f->data);
	case COLL_STARTS:
		return add_slice(l->starts, &l->n_s, f->data);
	case COLL_PROPERTIES:
		wire_put_bytes(properties, PROPERTIES_OF_CREATE, f->data);
		return true;
	default: /* not needed, or newer */
		return true;
	}
}

static bool read_number_field(const struct wire_field *f, struct collection *c)
{
	switch (f->num) {
	case COLL_ID:
		return (int64_t)f->value == c->id;
	case COLL_CREATED:
		c->create_ts = f->value;
		return true;
	case COLL_CONSISTENCY:
		c->consistency_level = (int)f->value;
		return true;
	case COLL_STATE:
		return object_state(f->value, &c->state);
	default:
		return true;
	}
}

static bool read_collection(struct slice value, struct collection *c, struct coll_lists *l,
	struct slice *schema, struct buf *properties)
{
	struct wire w = wire_open(value);
	struct wire_field f;
	bool ok = true;

	while (ok && wire_next(&w, &f)) {
		if (f.type == WIRE_LEN)
			ok = read_bytes_field(&f, l, schema, properties);
		else if (f.type == WIRE_VARINT)
			ok = read_number_field(&f, c);
	}
	return ok && !w.bad && read_name(*schema, &c->name) && c->name && *c->name;
}

/* Several shards may share a pchannel, then also its start. */
static bool find_start(const struct coll_lists *l, const char *pchannel, struct mq_id *ret_id)
{
	for (size_t i = 0; i < l->n_s; i++) {
		struct wire w = wire_open(l->starts[i]);
		struct wire_field f;
		struct slice key = {0}, data = {0};
		while (wire_next(&w, &f)) {
			if (f.num == PAIR_KEY && f.type == WIRE_LEN)
				key = f.data;
			else if (f.num == PAIR_DATA && f.type == WIRE_LEN)
				data = f.data;
		}
		if (w.bad)
			return false;
		if (slice_eq_str(key, pchannel))
			return mq_id_set(ret_id, data, NULL) == ERR_OK;
	}
	return true;
}

static bool make_shard(const struct coll_lists *l, size_t i, struct shard *sh)
{
	char physical[CHANNEL_BYTES];

	if (!l->vchannels[i].n || l->vchannels[i].n >= CHANNEL_BYTES ||
		!take_text(&sh->vchannel, l->vchannels[i]))
		return false;
	channel_to_physical(physical, sh->vchannel);
	if (!l->n_p)
		sh->pchannel = xstrdup(physical);
	else if (l->pchannels[i].n >= CHANNEL_BYTES || !take_text(&sh->pchannel, l->pchannels[i]))
		return false;
	return find_start(l, sh->pchannel, &sh->start);
}

static bool make_shards(const struct coll_lists *l, struct collection *c)
{
	if (!l->n_v || (l->n_p && l->n_p != l->n_v))
		return false;
	c->shards = xcalloc(l->n_v, sizeof(*c->shards));
	c->shards_num = (int)l->n_v;
	for (size_t i = 0; i < l->n_v; i++)
		if (!make_shard(l, i, &c->shards[i]))
			return false;
	return true;
}

enum err_code catalog_decode_collection(struct slice value, int64_t db_id, int64_t id,
	struct collection **ret_c, struct slice *ret_schema, struct err *e)
{
	/* As long as in value (both tags take one byte); the writer reserves room for longer. */
	CLEANUP(buf_done) struct buf properties = BUF_INIT(value.n + VARINT_SLACK);
	struct collection *c = xcalloc(1, sizeof(*c));
	struct coll_lists lists = {.n_v = 0};
	struct slice schema = {0};

	c->ref = 1;
	c->id = id;
	c->db_id = db_id;
	if (!read_collection(value, c, &lists, &schema, &properties)) {
		collection_unref(c);
		return malformed(e, "not a CollectionInfo with a name and the key's id");
	}
	if (!make_shards(&lists, c)) {
		collection_unref(c);
		return malformed(
			e, "the CollectionInfo's channels or start positions are not in order");
	}
	c->properties = own(&properties);
	*ret_c = c;
	*ret_schema = schema;
	return ERR_OK;
}

enum err_code catalog_decode_field(struct slice value, struct catalog_field *ret_f, struct err *e)
{
	struct wire w = wire_open(value);
	struct wire_field f;

	*ret_f = (struct catalog_field){0};
	while (wire_next(&w, &f)) {
		if (f.num == FIELD_ID && f.type == WIRE_VARINT)
			ret_f->id = (int64_t)f.value;
		else if (f.num == FIELD_NAME && f.type == WIRE_LEN)
			ret_f->name = f.data;
		else if (f.num == FIELD_IS_PK && f.type == WIRE_VARINT)
			ret_f->is_pk = f.value != 0;
		else if (f.num == FIELD_TYPE && f.type == WIRE_VARINT)
			ret_f->data_type = (int)f.value;
		else if (f.num == FIELD_IS_DYNAMIC && f.type == WIRE_VARINT)
			ret_f->is_dynamic = f.value != 0;
		else if (f.num == FIELD_IS_PARTITION_KEY && f.type == WIRE_VARINT)
			ret_f->is_partition_key = f.value != 0;
	}
	return w.bad ? malformed(e, "not a FieldSchema") : ERR_OK;
}
