#include "model/dml.h"

#include "base/wire.h"

enum { B_TYPE = 1, B_ID = 2, B_TS = 3, B_SOURCE = 4, B_REPLICATE = 7 };
enum { R_IS = 1, R_TS = 2, R_ID = 3 };
enum { F_BASE = 1, F_TIMESTAMPS = 10 };

static const struct {
	int type;
	const char *name;
} names[] = {{MSG_CREATE_COLLECTION, "CreateCollection"}, {MSG_DROP_COLLECTION, "DropCollection"},
	{MSG_LOAD_COLLECTION, "LoadCollection"}, {MSG_RELEASE_COLLECTION, "ReleaseCollection"},
	{MSG_CREATE_ALIAS, "CreateAlias"}, {MSG_DROP_ALIAS, "DropAlias"},
	{MSG_ALTER_ALIAS, "AlterAlias"}, {MSG_ALTER_COLLECTION, "AlterCollection"},
	{MSG_RENAME_COLLECTION, "RenameCollection"},
	{MSG_ALTER_COLLECTION_FIELD, "AlterCollectionField"},
	{MSG_CREATE_PARTITION, "CreatePartition"}, {MSG_DROP_PARTITION, "DropPartition"},
	{MSG_LOAD_PARTITIONS, "LoadPartitions"}, {MSG_RELEASE_PARTITIONS, "ReleasePartitions"},
	{MSG_CREATE_INDEX, "CreateIndex"}, {MSG_DROP_INDEX, "DropIndex"},
	{MSG_ALTER_INDEX, "AlterIndex"}, {MSG_INSERT, "Insert"}, {MSG_DELETE, "Delete"},
	{MSG_FLUSH, "Flush"}, {MSG_IMPORT, "Import"}, {MSG_TIME_TICK, "TimeTick"},
	{MSG_REPLICATE, "Replicate"}, {MSG_CREATE_CREDENTIAL, "CreateCredential"},
	{MSG_DELETE_CREDENTIAL, "DeleteCredential"}, {MSG_UPDATE_CREDENTIAL, "UpdateCredential"},
	{MSG_CREATE_ROLE, "CreateRole"}, {MSG_DROP_ROLE, "DropRole"},
	{MSG_OPERATE_USER_ROLE, "OperateUserRole"}, {MSG_OPERATE_PRIVILEGE, "OperatePrivilege"},
	{MSG_CREATE_PRIVILEGE_GROUP, "CreatePrivilegeGroup"},
	{MSG_DROP_PRIVILEGE_GROUP, "DropPrivilegeGroup"},
	{MSG_OPERATE_PRIVILEGE_GROUP, "OperatePrivilegeGroup"},
	{MSG_OPERATE_PRIVILEGE_V2, "OperatePrivilegeV2"}, {MSG_CREATE_DATABASE, "CreateDatabase"},
	{MSG_DROP_DATABASE, "DropDatabase"}, {MSG_ALTER_DATABASE, "AlterDatabase"},
	{MSG_CREATE_RESOURCE_GROUP, "CreateResourceGroup"},
	{MSG_DROP_RESOURCE_GROUP, "DropResourceGroup"}, {MSG_TRANSFER_NODE, "TransferNode"},
	{MSG_TRANSFER_REPLICA, "TransferReplica"},
	{MSG_UPDATE_RESOURCE_GROUPS, "UpdateResourceGroups"},
	{MSG_ADD_COLLECTION_FIELD, "AddCollectionField"}};

/* Which field holds what, per type; 0 = the type has none. */
static const struct layout {
	int type;
	uint8_t shard, collection_name, partition_name, collection_id, partition_id;
	bool rows;
} layouts[] = {
	{MSG_INSERT, 2, 4, 5, 7, 8, true},
	{MSG_DELETE, 2, 4, 5, 7, 8, true},
	{MSG_CREATE_COLLECTION, 0, 3, 0, 6, 0, false},
	{MSG_DROP_COLLECTION, 0, 3, 0, 5, 0, false},
	{MSG_CREATE_PARTITION, 0, 3, 4, 6, 7, false},
	{MSG_DROP_PARTITION, 0, 3, 4, 6, 7, false},
	{MSG_IMPORT, 0, 3, 0, 4, 0, false},
};

const char *msg_type_name(int type)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].type == type)
			return names[i].name;
	return NULL;
}

int msg_type_parse(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (slice_eq_str(name, names[i].name))
			return names[i].type;
	return MSG_UNDEFINED;
}

static bool read_replicate(struct msg_base *b, struct slice raw)
{
	struct wire w = wire_open(raw);
	struct wire_field f;

	while (wire_next(&w, &f)) {
		if (f.num == R_IS && f.type == WIRE_VARINT)
			b->is_replicate = f.value != 0;
		else if (f.num == R_TS && f.type == WIRE_VARINT)
			b->replicate_ts = f.value;
		else if (f.num == R_ID && f.type == WIRE_LEN)
			b->replicate_id = f.data;
	}
	return !w.bad;
}

enum err_code msg_base_read(struct msg_base *b, struct slice raw, struct err *e)
{
	struct wire w = wire_open(raw);
	struct wire_field f;
	bool good = true;

	*b = (struct msg_base){.raw = raw};
	while (wire_next(&w, &f)) {
		bool number = f.type == WIRE_VARINT;
		if (number && f.num == B_TYPE)
			b->type = (int)f.value;
		else if (number && f.num == B_ID)
			b->msg_id = (int64_t)f.value;
		else if (number && f.num == B_TS)
			b->ts = f.value;
		else if (number && f.num == B_SOURCE)
			b->source_id = (int64_t)f.value;
		else if (f.num == B_REPLICATE && f.type == WIRE_LEN)
			good = good && read_replicate(b, f.data);
	}
	if (w.bad || !good)
		return err_set(e, ERR_MALFORMED, "the message's base (field 1) can't be read");
	return ERR_OK;
}

static const struct layout *layout_of(int type)
{
	for (size_t i = 0; i < ARRAY_LEN(layouts); i++)
		if (layouts[i].type == type)
			return &layouts[i];
	return NULL;
}

static void count_ts(struct dml *d, uint64_t ts)
{
	d->min_ts = d->rows ? MIN(d->min_ts, ts) : ts;
	d->max_ts = d->rows ? MAX(d->max_ts, ts) : ts;
	d->rows++;
}

/* A request's rows nearly always share one time: then the packed bytes repeat with the length of
 * the first number, which one memcmp shows. */
static bool read_packed(struct dml *d, struct slice s)
{
	struct wire w = wire_open(s);
	uint64_t ts;

	if (!s.n)
		return true;
	if (!wire_varint(&w, &ts))
		return false;
	size_t one = (size_t)(w.p - s.p);
	if (s.n % one == 0 && memcmp(s.p, s.p + one, s.n - one) == 0) {
		uint64_t before = d->rows;
		count_ts(d, ts);
		d->rows = before + s.n / one;
		return true;
	}
	for (count_ts(d, ts); wire_varint(&w, &ts);)
		count_ts(d, ts);
	return !w.bad;
}

static bool read_ts(struct dml *d, const struct wire_field *f)
{
	if (f->type == WIRE_VARINT) {
		count_ts(d, f->value);
		return true;
	}
	if (f->type != WIRE_LEN)
		return false;
	d->timestamps = f->data;
	return read_packed(d, f->data);
}

static bool read_fields(struct dml *d, const struct layout *l)
{
	struct wire w = wire_open(d->payload);
	struct wire_field f;

	while (wire_next(&w, &f)) {
		bool text = f.type == WIRE_LEN, number = f.type == WIRE_VARINT;
		if (text && f.num == l->shard)
			d->shard = f.data;
		else if (text && f.num == l->collection_name)
			d->collection_name = f.data;
		else if (text && f.num == l->partition_name)
			d->partition_name = f.data;
		else if (number && f.num == l->collection_id)
			d->collection_id = (int64_t)f.value;
		else if (number && f.num == l->partition_id)
			d->partition_id = (int64_t)f.value;
		else if (l->rows && f.num == F_TIMESTAMPS && !read_ts(d, &f))
			return false;
	}
	return !w.bad;
}

enum err_code dml_read(struct dml *d, struct slice payload, struct err *e)
{
	return dml_read_as(d, payload, MSG_UNDEFINED, e);
}

enum err_code dml_read_as(struct dml *d, struct slice payload, int type, struct err *e)
{
	struct wire w = wire_open(payload);
	struct wire_field f;

	*d = (struct dml){.payload = payload};
	if (!wire_next(&w, &f) || f.num != F_BASE || f.type != WIRE_LEN)
		return err_set(
			e, ERR_MALFORMED, "the message does not begin with a base (field 1)");
	if (msg_base_read(&d->base, f.data, e))
		return e->code;
	d->type = type ? type : d->base.type;
	const struct layout *l = layout_of(d->type);
	if (l && !read_fields(d, l))
		return err_set(e, ERR_MALFORMED, "a %s message of %zu bytes can't be read",
			msg_type_name(d->type), payload.n);
	if (!l || !l->rows || !d->rows)
		d->min_ts = d->max_ts = d->base.ts;
	d->one_ts = d->min_ts == d->max_ts;
	return ERR_OK;
}
