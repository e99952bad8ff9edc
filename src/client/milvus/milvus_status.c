/* Milvus' Status turned into our errors. The number decides; 65535 ("unexpected") says nothing, so
 * there known texts decide, and what is still unknown counts as a permanent no. Status: 1
 * error_code (legacy), 2 reason, 3 code, 4 retriable. Numbers are those of Milvus 2.3.5. */
#include "base/wire.h"
#include "client/milvus/milvus_codec.h"

enum { S_LEGACY = 1, S_REASON = 2, S_CODE = 3, S_RETRIABLE = 4 };
enum { CODE_UNEXPECTED = 65535 };

struct status {
	int legacy, code;
	bool retriable;
	struct slice reason;
};

static const struct {
	int first, last;
	enum err_code code;
} by_code[] = {
	{1, 2, ERR_UNAVAILABLE},                           /* service not ready, not available */
	{3, 4, ERR_BUSY},                                  /* memory limit, request limit */
	{7, 9, ERR_BUSY},                                  /* disk, rate and quota limits */
	{10, 10, ERR_UNSUPPORTED},                         /* not implemented */
	{11, 12, ERR_BUSY},                                /* time tick delayed, resources */
	{100, 100, ERR_NOT_FOUND},                         /* collection */
	{102, 102, ERR_LIMIT},                             /* number of collections */
	{103, 103, ERR_BUSY},                              /* not fully loaded */
	{106, 106, ERR_UNAVAILABLE},                       /* recovering */
	{108, 108, ERR_DENIED},                            /* standby mode */
	{200, 200, ERR_NOT_FOUND},                         /* partition */
	{202, 202, ERR_BUSY},                              /* partition not fully loaded */
	{250, 250, ERR_LIMIT},                             /* general capacity */
	{300, 300, ERR_NOT_FOUND},                         /* resource group */
	{700, 700, ERR_NOT_FOUND},                         /* index */
	{702, 702, ERR_EXISTS}, {800, 800, ERR_NOT_FOUND}, /* database */
	{801, 801, ERR_LIMIT},
	{901, 905, ERR_UNAVAILABLE},   /* a node is missing, offline, another one */
	{1302, 1302, ERR_UNAVAILABLE}, /* message queue */
	{1400, 1401, ERR_DENIED}, {1600, 1600, ERR_NOT_FOUND}, /* alias */
	{1601, 1602, ERR_EXISTS}, /* alias, or a collection of that name */
	{1800, 1800, ERR_DENIED},
	{1900, 1900, ERR_DENIED},    /* replicate messages are not allowed here */
	{1901, 1901, ERR_MALFORMED}, /* a replicate message it can't read */
	{1902, 1903, ERR_BUSY},      /* no segment, no stream: nothing was produced */
};

/* error_code of servers that leave code 0. */
static const struct {
	int legacy;
	enum err_code code;
} by_legacy[] = {
	{2, ERR_UNAVAILABLE},
	{3, ERR_DENIED},
	{4, ERR_NOT_FOUND},
	{25, ERR_NOT_FOUND},
	{28, ERR_NOT_FOUND},
	{46, ERR_UNAVAILABLE},
	{48, ERR_BUSY},
	{49, ERR_BUSY},
	{52, ERR_BUSY},
	{53, ERR_BUSY},
	{54, ERR_BUSY},
	{55, ERR_BUSY},
	{56, ERR_UNAVAILABLE},
	{57, ERR_UNAVAILABLE},
	{100, ERR_UNAVAILABLE},
};

static const struct {
	const char *text;
	enum err_code code;
} by_text[] = {
	{"already exist", ERR_EXISTS},
	{"duplicate collection", ERR_EXISTS}, /* same name, other parameters */
	{"can't find collection", ERR_NOT_FOUND},
	{"collection not found", ERR_NOT_FOUND},
	{"database not found", ERR_NOT_FOUND},
	{"partition not found", ERR_NOT_FOUND},
	{"duplicated new collection name", ERR_EXISTS},
	{"not found the role", ERR_NOT_FOUND},
	{"not found the user", ERR_NOT_FOUND},
	{"does not exist", ERR_NOT_FOUND},
	{"fail to get authorization", ERR_DENIED}, /* a grant wants a grantor: a token is needed */
	{"getSegmentID failed", ERR_BUSY},
	{"Message size too large", ERR_LIMIT}, /* Kafka */
	{"message size exceeds", ERR_LIMIT},   /* Pulsar */
	{"please release it first", ERR_BUSY}, /* drop of a loaded partition: its release comes */
	{"context deadline exceeded", ERR_UNAVAILABLE},
	{"context canceled", ERR_UNAVAILABLE},
	{"not ready", ERR_UNAVAILABLE},
	{"etcdserver:", ERR_UNAVAILABLE},
	{"connection refused", ERR_UNAVAILABLE},
};

static enum err_code code_of(const struct status *st)
{
	if (st->code && st->code != CODE_UNEXPECTED) {
		for (size_t i = 0; i < ARRAY_LEN(by_code); i++)
			if (st->code >= by_code[i].first && st->code <= by_code[i].last)
				return by_code[i].code;
	} else if (!st->code) {
		for (size_t i = 0; i < ARRAY_LEN(by_legacy); i++)
			if (st->legacy == by_legacy[i].legacy)
				return by_legacy[i].code;
	}
	for (size_t i = 0; st->reason.n && i < ARRAY_LEN(by_text); i++)
		if (memmem(st->reason.p, st->reason.n, by_text[i].text, strlen(by_text[i].text)))
			return by_text[i].code;
	return st->retriable ? ERR_UNAVAILABLE : ERR_INVALID;
}

static bool status_decode(struct status *st, struct slice raw)
{
	struct wire w = wire_open(raw);
	struct wire_field f;

	*st = (struct status){0};
	while (wire_next(&w, &f)) {
		if (f.num == S_LEGACY && f.type == WIRE_VARINT)
			st->legacy = (int)f.value;
		else if (f.num == S_REASON && f.type == WIRE_LEN)
			st->reason = f.data;
		else if (f.num == S_CODE && f.type == WIRE_VARINT)
			st->code = (int)f.value;
		else if (f.num == S_RETRIABLE && f.type == WIRE_VARINT)
			st->retriable = f.value != 0;
	}
	return !w.bad;
}

/* Field 1 tells the two shapes apart: a number in a bare Status, a message in every other answer. A
 * Status without it has its code in field 3. */
static bool find_status(struct slice answer, struct slice *ret_raw)
{
	struct wire w = wire_open(answer);
	struct wire_field f;

	*ret_raw = (struct slice){0};
	while (wire_next(&w, &f)) {
		if (f.num == S_LEGACY && f.type == WIRE_LEN)
			*ret_raw = f.data;
		else if ((f.num == S_LEGACY || f.num == S_CODE) && f.type == WIRE_VARINT &&
			 !ret_raw->p)
			*ret_raw = answer;
	}
	return !w.bad;
}

enum err_code milvus_status_read(struct slice answer, struct err *e)
{
	struct status st;
	struct slice raw;

	if (!find_status(answer, &raw) || !status_decode(&st, raw))
		return err_set(e, ERR_MALFORMED, "an answer of %zu bytes can't be read", answer.n);
	if (!st.legacy && !st.code)
		return ERR_OK;
	int origin = st.code ? st.code : st.legacy;
	return err_set_origin(e, code_of(&st), origin, "%.*s (Milvus code %d)",
		(int)MIN(st.reason.n, (size_t)ERR_TEXT_BYTES), (const char *)st.reason.p, origin);
}
