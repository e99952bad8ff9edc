#include "client/pulsar/codec.h"

#include <string.h>

#include "base/wire.h"

enum { SIZE_BYTES = 4, F_TYPE = 1 };

/* Field numbers, by command. */
enum {
	CONNECT_VERSION = 1,
	CONNECT_AUTH_DATA = 3,
	CONNECT_PROTOCOL,
	CONNECT_AUTH_METHOD,
	CONNECT_PROXY_TO
};
enum { CONNECT_FEATURES = 10, FEATURE_AUTH_REFRESH = 1, FEATURE_ENTRY_METADATA = 2 };
enum { CONNECTED_VERSION = 1, CONNECTED_MAX_BYTES = 3 };
enum { SUBSCRIBE_TOPIC = 1, SUBSCRIBE_NAME, SUBSCRIBE_TYPE, SUBSCRIBE_CONSUMER, SUBSCRIBE_REQUEST };
enum { SUBSCRIBE_DURABLE = 8, SUBSCRIBE_START = 9, SUBSCRIBE_INITIAL = 13, SUBSCRIBE_CREATE = 15 };
enum { SUBSCRIBE_EXCLUSIVE = 0, INITIAL_EARLIEST = 1 };
enum { MESSAGE_CONSUMER = 1, MESSAGE_ID, MESSAGE_REDELIVERED };
enum { FLOW_CONSUMER = 1, FLOW_PERMITS };
enum { ERROR_REQUEST = 1, ERROR_CODE, ERROR_TEXT };
enum { CLOSE_CONSUMER = 1, CLOSE_REQUEST };
enum { PARTITIONS_TOPIC = 1, PARTITIONS_REQUEST, PARTITIONS_CREATE = 6 };
enum {
	PARTITIONS_COUNT = 1,
	PARTITIONS_ANSWER_REQUEST,
	PARTITIONS_RESPONSE,
	PARTITIONS_ERROR,
	PARTITIONS_TEXT
};
enum { LOOKUP_TOPIC = 1, LOOKUP_REQUEST, LOOKUP_AUTHORITATIVE };
enum {
	LOOKUP_URL = 1,
	LOOKUP_URL_TLS,
	LOOKUP_RESPONSE,
	LOOKUP_ANSWER_REQUEST,
	LOOKUP_ANSWER_AUTHORITATIVE
};
enum { LOOKUP_ERROR = 6, LOOKUP_TEXT, LOOKUP_THROUGH };
enum { LAST_CONSUMER = 1, LAST_REQUEST };
enum { LAST_ANSWER_ID = 1, LAST_ANSWER_REQUEST, LAST_ANSWER_MARK_DELETE };
enum { CHALLENGE_VERSION = 1, CHALLENGE_DATA, CHALLENGE_PROTOCOL, AUTH_METHOD = 1, AUTH_DATA = 2 };

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

enum err_code pulsar_frame_size(
	const uint8_t head[PULSAR_HEAD_BYTES], size_t most, size_t *ret_n, struct err *e)
{
	uint32_t n = be32(head);

	if (n < SIZE_BYTES)
		return err_set(e, ERR_MALFORMED, "a frame of %u bytes holds no command", n);
	*ret_n = n;
	if (n > most)
		return err_set(e, ERR_LIMIT,
			"a frame of %u bytes; at most %zu are taken: raise "
			"sourceConfig.pulsar.maxMessageSize to the broker's maxMessageSize",
			n, most);
	return ERR_OK;
}

enum err_code pulsar_frame_split(
	struct slice frame, struct slice *ret_command, struct slice *ret_rest, struct err *e)
{
	if (frame.n < SIZE_BYTES)
		return err_set(e, ERR_MALFORMED, "a frame of %zu bytes holds no command", frame.n);
	uint32_t n = be32(frame.p);
	if (n > frame.n - SIZE_BYTES || n > PULSAR_COMMAND_MOST)
		return err_set(
			e, ERR_MALFORMED, "a command of %u bytes in a frame of %zu", n, frame.n);
	*ret_command = slice_of(frame.p + SIZE_BYTES, n);
	*ret_rest = slice_of(frame.p + SIZE_BYTES + n, frame.n - SIZE_BYTES - n);
	return ERR_OK;
}

/* ---- reading ---- */

/* One field of a command; false if it can't be read. */
typedef bool read_fn(struct pulsar_cmd *c, const struct wire_field *f);

static void read_request(struct pulsar_cmd *c, const struct wire_field *f)
{
	c->request = f->value;
	c->has_request = true;
}

static void read_error(struct pulsar_cmd *c, const struct wire_field *f)
{
	c->error = (int)f->value;
	c->failed = true;
}

static bool read_id(struct pulsar_id *id, const struct wire_field *f)
{
	struct err e = ERR_INIT;
	return f->type == WIRE_LEN && !pulsar_id_read(id, f->data, &e);
}

static bool connected_field(struct pulsar_cmd *c, const struct wire_field *f)
{
	if (f->num == CONNECTED_VERSION)
		c->version = f->data;
	else if (f->num == CONNECTED_MAX_BYTES)
		c->max_message_bytes = f->value;
	return true;
}

static bool message_field(struct pulsar_cmd *c, const struct wire_field *f)
{
	if (f->num == MESSAGE_CONSUMER)
		read_request(c, f);
	else if (f->num == MESSAGE_ID)
		return read_id(&c->id, f);
	else if (f->num == MESSAGE_REDELIVERED)
		c->redelivered = (uint32_t)f->value;
	return true;
}

static bool success_field(struct pulsar_cmd *c, const struct wire_field *f)
{
	if (f->num == ERROR_REQUEST)
		read_request(c, f);
	return true;
}

static bool error_field(struct pulsar_cmd *c, const struct wire_field *f)
{
	if (f->num == ERROR_REQUEST)
		read_request(c, f);
	else if (f->num == ERROR_CODE)
		read_error(c, f);
	else if (f->num == ERROR_TEXT)
		c->text = f->data;
	return true;
}

static bool consumer_field(struct pulsar_cmd *c, const struct wire_field *f)
{
	if (f->num == CLOSE_CONSUMER)
		read_request(c, f);
	return true;
}

static bool partitions_field(struct pulsar_cmd *c, const struct wire_field *f)
{
	switch (f->num) {
	case PARTITIONS_COUNT:
		c->partitions = (uint32_t)f->value;
		return true;
	case PARTITIONS_ANSWER_REQUEST:
		read_request(c, f);
		return true;
	case PARTITIONS_RESPONSE:
		c->failed |= f->value != 0;
		return true;
	case PARTITIONS_ERROR:
		read_error(c, f);
		return true;
	case PARTITIONS_TEXT:
		c->text = f->data;
		return true;
	default:
		return true;
	}
}

static bool lookup_response(struct pulsar_cmd *c, const struct wire_field *f)
{
	if (f->value > PULSAR_LOOKUP_FAILED)
		return false;
	c->lookup = (enum pulsar_lookup)f->value;
	c->failed |= c->lookup == PULSAR_LOOKUP_FAILED;
	return true;
}

static bool lookup_field(struct pulsar_cmd *c, const struct wire_field *f)
{
	switch (f->num) {
	case LOOKUP_URL:
		c->url = f->data;
		return true;
	case LOOKUP_URL_TLS:
		c->url_tls = f->data;
		return true;
	case LOOKUP_RESPONSE:
		return lookup_response(c, f);
	case LOOKUP_ANSWER_REQUEST:
		read_request(c, f);
		return true;
	case LOOKUP_ANSWER_AUTHORITATIVE:
		c->authoritative = f->value != 0;
		return true;
	case LOOKUP_ERROR:
		read_error(c, f);
		return true;
	case LOOKUP_TEXT:
		c->text = f->data;
		return true;
	case LOOKUP_THROUGH:
		c->through_service_url = f->value != 0;
		return true;
	default:
		return true;
	}
}

static bool last_id_field(struct pulsar_cmd *c, const struct wire_field *f)
{
	if (f->num == LAST_ANSWER_REQUEST)
		read_request(c, f);
	else if (f->num == LAST_ANSWER_ID)
		return read_id(&c->id, f);
	else if (f->num == LAST_ANSWER_MARK_DELETE)
		return c->has_mark_delete = read_id(&c->mark_delete, f);
	return true;
}

/* The commands a broker sends us. key: the number that says whom it is for; required: the fields
 * without which it means nothing. */
static const struct command {
	enum pulsar_type type;
	read_fn *read;
	bool for_consumer;
	uint32_t required; /* bits by field number */
} commands[] = {
	{PULSAR_CONNECTED, connected_field, false, 1U << CONNECTED_VERSION},
	{PULSAR_MESSAGE, message_field, true, 1U << MESSAGE_CONSUMER | 1U << MESSAGE_ID},
	{PULSAR_SUCCESS, success_field, false, 1U << ERROR_REQUEST},
	{PULSAR_ERROR, error_field, false,
		1U << ERROR_REQUEST | 1U << ERROR_CODE | 1U << ERROR_TEXT},
	{PULSAR_CLOSE_CONSUMER, consumer_field, true, 1U << CLOSE_CONSUMER},
	{PULSAR_PARTITIONS_ANSWER, partitions_field, false, 1U << PARTITIONS_ANSWER_REQUEST},
	{PULSAR_LOOKUP_ANSWER, lookup_field, false, 1U << LOOKUP_ANSWER_REQUEST},
	{PULSAR_LAST_ID_ANSWER, last_id_field, false,
		1U << LAST_ANSWER_ID | 1U << LAST_ANSWER_REQUEST},
};

static enum err_code read_command(
	struct pulsar_cmd *c, const struct command *k, struct slice in, struct err *e)
{
	struct wire w = wire_open(in);
	struct wire_field f;
	uint32_t seen = 0;
	bool ok = true;

	while (ok && wire_next(&w, &f)) {
		ok = k->read(c, &f);
		if (f.num < 32)
			seen |= 1U << f.num;
	}
	if (!ok || w.bad || (seen & k->required) != k->required)
		return err_set(e, ERR_MALFORMED,
			"a command of type %d lacks a field or can't be read", c->type);
	if (k->for_consumer) {
		c->consumer = c->request;
		c->has_request = false;
	}
	return ERR_OK;
}

enum err_code pulsar_cmd_read(struct pulsar_cmd *c, struct slice command, struct err *e)
{
	struct wire w = wire_open(command);
	struct wire_field f;
	struct slice body = slice_of(NULL, 0);

	*c = (struct pulsar_cmd){.type = 0};
	while (wire_next(&w, &f)) {
		if (f.num == F_TYPE && f.type == WIRE_VARINT)
			c->type = f.value <= INT32_MAX ? (int)f.value : -1;
		else if (f.type == WIRE_LEN && (int)f.num == c->type)
			body = f.data;
	}
	if (w.bad || !c->type)
		return err_set(e, ERR_MALFORMED, "a command without a type");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if ((int)commands[i].type == c->type)
			return read_command(c, &commands[i], body, e);
	return ERR_OK;
}

/* ---- a broker's errors ---- */

/* By ServerError. What a broker says while it starts, stops or moves topics passes by itself. */
static const struct {
	const char *name;
	enum err_code code;
} errors[] = {
	{"UnknownError", ERR_UNAVAILABLE},
	{"MetadataError", ERR_UNAVAILABLE},
	{"PersistenceError", ERR_UNAVAILABLE},
	{"AuthenticationError", ERR_DENIED},
	{"AuthorizationError", ERR_DENIED},
	{"ConsumerBusy", ERR_BUSY},
	{"ServiceNotReady", ERR_UNAVAILABLE},
	{"ProducerBlockedQuotaExceededError", ERR_BUSY},
	{"ProducerBlockedQuotaExceededException", ERR_BUSY},
	{"ChecksumError", ERR_UNAVAILABLE},
	{"UnsupportedVersionError", ERR_UNSUPPORTED},
	{"TopicNotFound", ERR_NOT_FOUND},
	{"SubscriptionNotFound", ERR_UNAVAILABLE},
	{"ConsumerNotFound", ERR_UNAVAILABLE},
	{"TooManyRequests", ERR_BUSY},
	{"TopicTerminatedError", ERR_GONE},
	{"ProducerBusy", ERR_BUSY},
	{"InvalidTopicName", ERR_INVALID},
	{"IncompatibleSchema", ERR_UNSUPPORTED},
	{"ConsumerAssignError", ERR_BUSY},
	{"TransactionCoordinatorNotFound", ERR_UNAVAILABLE},
	{"InvalidTxnStatus", ERR_UNAVAILABLE},
	{"NotAllowedError", ERR_DENIED},
};

enum err_code pulsar_cmd_error(const struct pulsar_cmd *c, struct err *e)
{
	bool known = c->error >= 0 && (size_t)c->error < ARRAY_LEN(errors);
	const char *name = known ? errors[c->error].name : "an error we do not know";
	int n = (int)MIN(c->text.n, ERR_TEXT_BYTES / 2);

	return err_set_origin(e, known ? errors[c->error].code : ERR_UNAVAILABLE, c->error,
		"%s: %.*s", name, n, n ? (const char *)c->text.p : "");
}

/* ---- writing ---- */

static void put_be32(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static void put_frame(struct buf *b, enum pulsar_type type, const struct buf *body)
{
	struct buf cmd = BUF_INIT(PULSAR_COMMAND_MOST);
	uint8_t sizes[2 * SIZE_BYTES];

	wire_put_u64(&cmd, F_TYPE, (uint64_t)type);
	wire_put_bytes(&cmd, (uint32_t)type, buf_slice(body));
	put_be32(sizes, cmd.n + SIZE_BYTES);
	put_be32(sizes + SIZE_BYTES, cmd.n);
	b->failed |= cmd.failed || body->failed;
	buf_put(b, sizes, sizeof(sizes));
	buf_put(b, cmd.p, cmd.n);
	buf_done(&cmd);
}

static void put_features(struct buf *b)
{
	CLEANUP(buf_done) struct buf f = BUF_INIT(PULSAR_COMMAND_MOST);

	wire_put_u64(&f, FEATURE_AUTH_REFRESH, 1);
	wire_put_u64(&f, FEATURE_ENTRY_METADATA, 1);
	wire_put_bytes(b, CONNECT_FEATURES, buf_slice(&f));
}

void pulsar_put_connect(struct buf *b, const struct pulsar_hello *h)
{
	CLEANUP(buf_done) struct buf c = BUF_INIT(PULSAR_COMMAND_MOST);

	wire_put_str(&c, CONNECT_VERSION, h->version);
	if (h->auth_method)
		wire_put_bytes(&c, CONNECT_AUTH_DATA, h->auth_data);
	wire_put_u64(&c, CONNECT_PROTOCOL, PULSAR_PROTOCOL);
	if (h->auth_method)
		wire_put_str(&c, CONNECT_AUTH_METHOD, h->auth_method);
	if (h->proxy_to)
		wire_put_str(&c, CONNECT_PROXY_TO, h->proxy_to);
	put_features(&c);
	put_frame(b, PULSAR_CONNECT, &c);
}

void pulsar_put_challenge_answer(struct buf *b, const struct pulsar_hello *h)
{
	CLEANUP(buf_done) struct buf c = BUF_INIT(PULSAR_COMMAND_MOST);
	CLEANUP(buf_done) struct buf data = BUF_INIT(PULSAR_COMMAND_MOST);

	wire_put_str(&data, AUTH_METHOD, h->auth_method ? h->auth_method : "none");
	wire_put_bytes(&data, AUTH_DATA, h->auth_data);
	wire_put_str(&c, CHALLENGE_VERSION, h->version);
	wire_put_bytes(&c, CHALLENGE_DATA, buf_slice(&data));
	wire_put_u64(&c, CHALLENGE_PROTOCOL, PULSAR_PROTOCOL);
	put_frame(b, PULSAR_CHALLENGE_ANSWER, &c);
}

void pulsar_put_partitions(struct buf *b, const char *topic, uint64_t request)
{
	CLEANUP(buf_done) struct buf c = BUF_INIT(PULSAR_COMMAND_MOST);

	wire_put_str(&c, PARTITIONS_TOPIC, topic);
	wire_put_u64(&c, PARTITIONS_REQUEST, request);
	wire_put_u64(&c, PARTITIONS_CREATE, 0);
	put_frame(b, PULSAR_PARTITIONS, &c);
}

void pulsar_put_lookup(struct buf *b, const char *topic, uint64_t request, bool authoritative)
{
	CLEANUP(buf_done) struct buf c = BUF_INIT(PULSAR_COMMAND_MOST);

	wire_put_str(&c, LOOKUP_TOPIC, topic);
	wire_put_u64(&c, LOOKUP_REQUEST, request);
	wire_put_u64(&c, LOOKUP_AUTHORITATIVE, authoritative);
	put_frame(b, PULSAR_LOOKUP, &c);
}

/* Where the broker can't start it takes the initial position: from the front nothing is lost, and
 * the reader drops what stands before its start. */
void pulsar_put_subscribe(struct buf *b, const struct pulsar_subscribe *s)
{
	CLEANUP(buf_done) struct buf c = BUF_INIT(PULSAR_COMMAND_MOST);
	CLEANUP(buf_done) struct buf id = BUF_INIT(PULSAR_COMMAND_MOST);

	pulsar_id_put(&id, &s->start);
	wire_put_str(&c, SUBSCRIBE_TOPIC, s->topic);
	wire_put_str(&c, SUBSCRIBE_NAME, s->name);
	wire_put_u64(&c, SUBSCRIBE_TYPE, SUBSCRIBE_EXCLUSIVE);
	wire_put_u64(&c, SUBSCRIBE_CONSUMER, s->consumer);
	wire_put_u64(&c, SUBSCRIBE_REQUEST, s->request);
	wire_put_u64(&c, SUBSCRIBE_DURABLE, 0);
	wire_put_bytes(&c, SUBSCRIBE_START, buf_slice(&id));
	wire_put_u64(&c, SUBSCRIBE_INITIAL, INITIAL_EARLIEST);
	wire_put_u64(&c, SUBSCRIBE_CREATE, 0);
	put_frame(b, PULSAR_SUBSCRIBE, &c);
}

/* Three commands are two numbers. */
static void put_pair(struct buf *b, enum pulsar_type type, uint64_t first, uint64_t second)
{
	CLEANUP(buf_done) struct buf c = BUF_INIT(PULSAR_COMMAND_MOST);

	wire_put_u64(&c, 1, first);
	wire_put_u64(&c, 2, second);
	put_frame(b, type, &c);
}

void pulsar_put_flow(struct buf *b, uint64_t consumer, uint32_t permits)
{
	put_pair(b, PULSAR_FLOW, consumer, permits);
}

void pulsar_put_last_id(struct buf *b, uint64_t consumer, uint64_t request)
{
	put_pair(b, PULSAR_LAST_ID, consumer, request);
}

void pulsar_put_close_consumer(struct buf *b, uint64_t consumer, uint64_t request)
{
	put_pair(b, PULSAR_CLOSE_CONSUMER, consumer, request);
}

void pulsar_put_ping(struct buf *b)
{
	put_frame(b, PULSAR_PING, &(const struct buf){.max = 0});
}

void pulsar_put_pong(struct buf *b)
{
	put_frame(b, PULSAR_PONG, &(const struct buf){.max = 0});
}
