#include "source/raw.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/wire.h"

enum { SHARD_NAME = 2 }; /* of an insert or delete; of a drop it is the database */

struct hub_raw *raw_new(struct mq_msg *m)
{
	struct hub_raw *raw = xcalloc(1, sizeof(*raw));
	raw->m = m;
	raw->refs = 1;
	list_init(&raw->link);
	return raw;
}

static struct slice property(const struct hub_raw *raw, const char *key)
{
	return raw->m->ops->property(raw->m, key);
}

static enum raw_kind kind_of(int type)
{
	switch (type) {
	case MSG_TIME_TICK:
		return RAW_TICK;
	case MSG_INSERT:
	case MSG_DELETE:
	case MSG_DROP_COLLECTION:
	case MSG_DROP_PARTITION:
	case MSG_IMPORT:
		return RAW_DATA;
	case MSG_CREATE_COLLECTION:
	case MSG_CREATE_PARTITION:
		return RAW_SILENT;
	default:
		return RAW_UNKNOWN;
	}
}

/* With all five properties the source's consumers take the time from there, else from the rows. */
static bool full_header_ts(const struct hub_raw *raw, uint64_t *ret_ts)
{
	int64_t ts;

	if (!property(raw, "vchannel").p || !property(raw, "collection_id").n ||
		!property(raw, "msg_id").n)
		return false;
	if (!slice_to_i64(property(raw, "timestamp"), &ts) || ts < 0)
		return false;
	*ret_ts = (uint64_t)ts;
	return true;
}

enum err_code raw_peek(struct hub_raw *raw, enum raw_kind *ret_kind, struct err *e)
{
	if (property(raw, "_v").n)
		return err_set(e, ERR_UNSUPPORTED,
			"this is a Milvus 2.6 streaming message (it has the property _v), which "
			"this "
			"server can't read");
	*ret_kind = RAW_EMPTY;
	if (!raw->m->payload.n)
		return ERR_OK;
	struct slice name = property(raw, "msg_type");
	int type = name.n ? msg_type_parse(name) : MSG_UNDEFINED;
	if (name.n && type == MSG_UNDEFINED) {
		*ret_kind = RAW_UNKNOWN;
		return ERR_OK;
	}
	if (dml_read_as(&raw->dml, raw->m->payload, type, e))
		return e->code;
	*ret_kind = kind_of(raw->dml.type);
	raw->at_next_tick = raw->dml.base.replicate_id.n > 0;
	raw->ts = raw->dml.min_ts;
	if (name.n)
		full_header_ts(raw, &raw->ts);
	return ERR_OK;
}

struct slice raw_shard(const struct hub_raw *raw)
{
	struct slice name = property(raw, "vchannel");
	struct wire w = wire_open(raw->m->payload);
	struct wire_field f;

	while (!name.n && wire_next(&w, &f))
		if (f.num == SHARD_NAME && f.type == WIRE_LEN)
			name = f.data;
	return name;
}

enum err_code raw_charge(struct hub_raw *raw, struct account *a, struct stop *s, struct err *e)
{
	if (account_take(a, raw->m->cost_bytes, s, e))
		return e->code;
	raw->acct = a;
	return ERR_OK;
}

void raw_ref(struct hub_raw *raw)
{
	account_ref(raw->acct, &raw->refs);
}

void raw_unref(struct hub_raw *raw)
{
	if (raw->acct && !account_unref(raw->acct, &raw->refs))
		return;
	size_t cost = raw->m->cost_bytes;
	mq_msg_free(raw->m);
	if (raw->acct)
		account_give(raw->acct, cost);
	free(raw);
}
