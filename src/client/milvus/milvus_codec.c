#include "client/milvus/milvus_codec.h"

#include <stdio.h>
#include <strings.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/wire.h"
#include "model/channel.h"
#include "model/collection.h"
#include "proto/milvus.pb-c.h"

enum { F_BASE = 1, F_DB = 2, F_COLLECTION = 3, F_FOURTH = 4 };
enum { B_REPLICATE = 7, R_IS = 1, R_TS = 2 };
enum { C_SCHEMA = 4, C_SHARDS = 5, C_CONSISTENCY = 6, C_PARTITIONS = 8 };
enum { SCHEMA_NAME = 1 };
enum { PORT_TLS = 443, PORT_PLAIN = 19530, SMALL_BYTES = 64, ID_TEXT_BYTES = 4096 };

static bool host_is_good(const char *host, size_t n)
{
	if (n > 2 && host[0] == '[')
		return host[n - 1] == ']';
	return n > 0 && !memchr(host, ':', n) && !memchr(host, '[', n);
}

/* Where host[:port] ends its host: the last ':' outside brackets, or the end. */
static size_t host_length(const char *at, size_t n)
{
	for (size_t i = n; i > 0 && at[i - 1] != ']'; i--)
		if (at[i - 1] == ':')
			return i - 1;
	return n;
}

/* What stands before an '@' is a user and a password, and not for a log. */
static enum err_code no_address(const char *uri, struct err *e)
{
	const char *at = strrchr(uri, '@');

	return err_set(e, ERR_INVALID,
		"\"%s%s\" is no address: http(s)://host:port or host:port is expected",
		at ? "***" : "", at ? at : uri);
}

enum err_code milvus_address_parse(struct milvus_address *a, const char *uri, struct err *e)
{
	const char *at = uri;
	int64_t port;

	*a = (struct milvus_address){0};
	if (!strncasecmp(at, "https://", 8)) {
		a->tls = true;
		at += 8;
	} else if (!strncasecmp(at, "http://", 7)) {
		at += 7;
	}
	size_t n = strlen(at);
	while (n > 0 && at[n - 1] == '/')
		n--;
	size_t host = host_length(at, n);
	port = a->tls ? PORT_TLS : PORT_PLAIN;
	if (!host_is_good(at, host) || strcspn(at, "/@?# ") < n ||
		(host < n && !slice_to_i64(slice_of(at + host + 1, n - host - 1), &port)) ||
		port < 1 || port > UINT16_MAX || host + sizeof(":65535") > sizeof(a->host_port))
		return no_address(uri, e);
	snprintf(a->host_port, sizeof(a->host_port), "%.*s:%d", (int)host, at, (int)port);
	return ERR_OK;
}

void milvus_put_base(struct buf *b, uint64_t ts)
{
	CLEANUP(buf_done)
	struct buf info = BUF_INIT(SMALL_BYTES);
	CLEANUP(buf_done)
	struct buf base = BUF_INIT(SMALL_BYTES);

	wire_put_u64(&info, R_IS, 1);
	wire_put_u64(&info, R_TS, ts);
	wire_put_bytes(&base, B_REPLICATE, buf_slice(&info));
	wire_put_bytes(b, F_BASE, buf_slice(&base));
}

void milvus_put_names(
	struct buf *b, uint64_t ts, const char *db, const char *collection, const char *fourth)
{
	milvus_put_base(b, ts);
	wire_put_str_opt(b, F_DB, db);
	wire_put_str_opt(b, F_COLLECTION, collection);
	if (fourth)
		wire_put_str(b, F_FOURTH, fourth);
}

void milvus_put_connect(struct buf *b, const char *host)
{
	CLEANUP(buf_done)
	struct buf info = BUF_INIT(LIMIT_GRPC_HEADERS);

	wire_put_str(&info, 1, "milvus-cdc");
	wire_put_str(&info, 2, "1");
	wire_put_str_opt(&info, 5, host);
	wire_put_bytes(b, 2, buf_slice(&info));
}

/* The CollectionSchema with name (field 1) replaced; all else as it stands, in its order. */
static void put_schema(struct buf *b, struct slice schema, const char *name)
{
	CLEANUP(buf_done)
	struct buf out = BUF_INIT(LIMIT_RECORD);
	struct wire w = wire_open(schema);
	struct wire_field f;

	wire_put_str(&out, SCHEMA_NAME, name);
	while (wire_next(&w, &f))
		if (f.num != SCHEMA_NAME)
			buf_put(&out, f.raw.p, f.raw.n);
	b->failed = b->failed || w.bad || buf_failed(&out);
	wire_put_bytes(b, C_SCHEMA, buf_slice(&out));
}

void milvus_put_create(struct buf *b, const struct milvus_create *c)
{
	milvus_put_names(b, c->ts, c->db, c->name, NULL);
	put_schema(b, c->schema, c->name);
	wire_put_i64(b, C_SHARDS, c->shards_num);
	wire_put_i64(b, C_CONSISTENCY, c->consistency_level);
	buf_put(b, c->properties.p, c->properties.n);
	if (c->num_partitions)
		wire_put_i64(b, C_PARTITIONS, c->num_partitions);
}

static enum err_code unreadable(struct err *e, const char *what)
{
	return err_set(e, ERR_MALFORMED, "the answer to %s can't be read", what);
}

enum err_code milvus_info_read(struct milvus_info *i, struct slice answer, struct err *e)
{
	Mv__ConnectResponse *r = mv__connect_response__unpack(NULL, answer.n, answer.p);

	if (!r)
		return unreadable(e, "Connect");
	*i = (struct milvus_info){.identifier = r->identifier};
	if (r->server_info)
		snprintf(i->version, sizeof(i->version), "%s", r->server_info->build_tags);
	mv__connect_response__free_unpacked(r, NULL);
	return ERR_OK;
}

enum err_code milvus_clock_read(uint64_t *ret_ts, struct slice answer, struct err *e)
{
	Mv__AllocTimestampResponse *r =
		mv__alloc_timestamp_response__unpack(NULL, answer.n, answer.p);

	if (!r)
		return unreadable(e, "AllocTimestamp");
	*ret_ts = r->timestamp;
	mv__alloc_timestamp_response__free_unpacked(r, NULL);
	return *ret_ts ? ERR_OK : unreadable(e, "AllocTimestamp");
}

/* Puts each shard where its own name says it belongs. */
static bool take_shards(struct milvus_collection *c, const Mv__DescribeCollectionResponse *r)
{
	size_t n = r->n_virtual_channel_names;

	if (!n || n > COLLECTION_SHARDS_MAX || n != r->n_physical_channel_names)
		return false;
	c->shards = xcalloc(n, sizeof(*c->shards));
	c->shards_num = (int)n;
	for (size_t i = 0; i < n; i++) {
		struct vchannel v;
		if (!vchannel_parse(&v, slice_str(r->virtual_channel_names[i])) ||
			v.shard >= (int)n || c->shards[v.shard].vchannel)
			return false;
		c->shards[v.shard].vchannel = xstrdup(r->virtual_channel_names[i]);
		c->shards[v.shard].pchannel = xstrdup(r->physical_channel_names[i]);
	}
	return true;
}

static char **take_strings(char *const *strings, size_t n)
{
	char **out = xcalloc(n, sizeof(*out));
	for (size_t i = 0; i < n; i++)
		out[i] = xstrdup(strings[i]);
	return out;
}

static enum err_code take_collection(struct milvus_collection *c, const char *name,
	const Mv__DescribeCollectionResponse *r, struct err *e)
{
	for (size_t i = 0; i < r->n_aliases; i++)
		if (!strcmp(r->aliases[i], name))
			return err_set(e, ERR_EXISTS, "%s is an alias of another collection", name);
	c->id = r->collection_id;
	c->created_ts = r->created_timestamp;
	c->schema = slice_of(xmemdup(r->schema.data, r->schema.len), r->schema.len);
	c->consistency_level = r->consistency_level;
	c->num_partitions = r->num_partitions;
	c->aliases = take_strings(r->aliases, r->n_aliases);
	c->n_aliases = r->n_aliases;
	return take_shards(c, r) ? ERR_OK
				 : err_set(e, ERR_MALFORMED,
					   "collection %s has unreadable channel names", name);
}

enum err_code milvus_collection_read(
	struct milvus_collection *c, const char *name, struct slice answer, struct err *e)
{
	Mv__DescribeCollectionResponse *r =
		mv__describe_collection_response__unpack(NULL, answer.n, answer.p);

	if (!r)
		return unreadable(e, "DescribeCollection");
	enum err_code code = take_collection(c, name, r, e);
	mv__describe_collection_response__free_unpacked(r, NULL);
	return code;
}

enum err_code milvus_partitions_read(
	struct milvus_collection *c, struct slice answer, struct err *e)
{
	Mv__ShowPartitionsResponse *r =
		mv__show_partitions_response__unpack(NULL, answer.n, answer.p);
	bool good = r && r->n_partition_names == r->n_partition_ids;

	if (good) {
		c->n_partitions = r->n_partition_ids;
		c->partitions = xcalloc(c->n_partitions, sizeof(*c->partitions));
		for (size_t i = 0; i < c->n_partitions; i++)
			c->partitions[i] = (struct milvus_partition){
				.id = r->partition_ids[i], .name = xstrdup(r->partition_names[i])};
	}
	mv__show_partitions_response__free_unpacked(r, NULL);
	return good ? ERR_OK : unreadable(e, "ShowPartitions");
}

enum err_code milvus_names_read(struct milvus_names *l, struct slice answer, struct err *e)
{
	Mv__ListDatabasesResponse *r =
		mv__list_databases_response__unpack(NULL, answer.n, answer.p);

	if (!r)
		return unreadable(e, "ListDatabases");
	*l = (struct milvus_names){take_strings(r->db_names, r->n_db_names), r->n_db_names};
	mv__list_databases_response__free_unpacked(r, NULL);
	return ERR_OK;
}

/* msg.MsgPosition{channel_name 1, msgID 2} if raw is one, else raw itself. Kafka's and rocksmq's
 * ids are 8 bytes, too few for a position with a channel name; Pulsar's begin with a number. */
static struct slice unwrap_position(struct slice raw)
{
	struct wire w = wire_open(raw);
	struct wire_field f;
	struct slice channel = {0}, id = {0};

	if (raw.n <= sizeof(int64_t))
		return raw;
	while (wire_next(&w, &f)) {
		if (f.num == 1)
			channel = f.data;
		else if (f.num == 2)
			id = f.data;
	}
	return w.bad || !channel.n || !id.n ? raw : id;
}

enum err_code milvus_position_read(
	uint8_t *ret_id, size_t cap, size_t *ret_n, struct slice answer, struct err *e)
{
	CLEANUP(buf_done)
	struct buf raw = BUF_INIT(ID_TEXT_BYTES);
	Mv__ReplicateMessageResponse *r =
		mv__replicate_message_response__unpack(NULL, answer.n, answer.p);
	bool good = r && b64_decode(&raw, r->position) && !buf_failed(&raw);

	mv__replicate_message_response__free_unpacked(r, NULL);
	if (!good)
		return unreadable(e, "ReplicateMessage");
	struct slice id = unwrap_position(buf_slice(&raw));
	*ret_n = MIN(id.n, cap);
	if (*ret_n)
		memcpy(ret_id, id.p, *ret_n);
	return ERR_OK;
}
