#include "server/target/replicate_id.h"

#include "base/wire.h"

static const char name[] = "replicate.id";

enum { TAG_PROPERTIES = 7, P_KEY = 1, P_VALUE = 2, PAIR_BYTES = 1024 };
/* Milvus codes of ReplicateMessage */
enum { NOT_REPLICATED = 108, DENIED = 1900, UNREADABLE = 1901 };

static bool is_ours(struct slice pair, struct slice *ret_value)
{
	struct wire w = wire_open(pair);
	struct wire_field f;
	struct slice key = {0};

	*ret_value = (struct slice){0};
	while (wire_next(&w, &f)) {
		if (f.num == P_KEY && f.type == WIRE_LEN)
			key = f.data;
		else if (f.num == P_VALUE && f.type == WIRE_LEN)
			*ret_value = f.data;
	}
	return !w.bad && slice_eq_str(key, name);
}

struct slice replicate_id_of(struct slice properties)
{
	struct wire w = wire_open(properties);
	struct slice found = {0}, value;
	struct wire_field f;

	while (wire_next(&w, &f))
		if (f.type == WIRE_LEN && is_ours(f.data, &value))
			found = value;
	return found;
}

void replicate_id_properties(struct slice properties, const char *id, struct buf *out)
{
	CLEANUP(buf_done) struct buf pair = BUF_INIT(PAIR_BYTES);
	struct wire w = wire_open(properties);
	struct wire_field f;
	struct slice value;

	while (wire_next(&w, &f))
		if (f.type != WIRE_LEN || !is_ours(f.data, &value))
			buf_put(out, f.raw.p, f.raw.n);
	if (!*id)
		return;
	wire_put_str(&pair, P_KEY, name);
	wire_put_str(&pair, P_VALUE, id);
	wire_put_bytes(out, TAG_PROPERTIES, buf_slice(&pair));
}

const char *replicate_id_advice(const struct err *e, const char *id)
{
	if (e->origin == DENIED && !*id)
		return "; set common.ttMsgEnabled to false on the target "
		       "(collectionReplicateEnable "
		       "stays false) and restart it";
	if (e->origin == DENIED)
		return "; with replicateID set, common.collectionReplicateEnable and "
		       "common.ttMsgEnabled must both be true on the target (2.5 or later); or "
		       "remove replicateID here and set ttMsgEnabled to false there";
	if (e->origin == NOT_REPLICATED && *id)
		return "; neither this collection of the target nor its database has the property "
		       "replicate.id: it was not made by this server. Drop it there, or give it "
		       "that property with this server's replicateID";
	if (e->origin == UNREADABLE && *id)
		return "; replicateID is set, and this target does not know its messages: it needs "
		       "Milvus 2.5 with common.collectionReplicateEnable true";
	return "";
}
