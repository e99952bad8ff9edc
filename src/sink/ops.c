/* One table row per operation; ops_read picks the names out of the fields the row tells,
 * ops_forward puts new ones into the same fields. */
#include "sink/ops.h"

#include "base/splice.h"
#include "base/wire.h"
#include "model/msg_base.h"

enum { F_BASE = 1, FIELDS_MAX = 6, NAMES_MAX = 1 << 16 };
/* milvus.GrantEntity inside OperatePrivilege (field 2), its object's name */
enum { F_ENTITY = 2, G_OBJECT = 2, G_OBJECT_NAME = 3, G_DB = 5, O_NAME = 1 };

/* Field numbers; 0 = the request has none. */
struct op_row {
	int type;
	const char *method;
	uint8_t db, collection, collection2, new_db, partitions, alias, source_id;
	unsigned flags;
};

static const struct op_row rows[] = {
	{MSG_CREATE_DATABASE, "CreateDatabase", .db = 2, .flags = OP_DATABASE},
	{MSG_DROP_DATABASE, "DropDatabase", .db = 2, .flags = OP_DATABASE},
	{MSG_ALTER_DATABASE, "AlterDatabase", .db = 2, .source_id = 3, .flags = OP_DATABASE},
	{MSG_FLUSH, "Flush", .db = 2, .collection = 3},
	{MSG_LOAD_COLLECTION, "LoadCollection", .db = 2, .collection = 3, .flags = OP_LOAD},
	{MSG_RELEASE_COLLECTION, "ReleaseCollection", .db = 2, .collection = 3, .flags = OP_LOAD},
	{MSG_LOAD_PARTITIONS, "LoadPartitions", .db = 2, .collection = 3, .partitions = 4,
		.flags = OP_LOAD},
	{MSG_RELEASE_PARTITIONS, "ReleasePartitions", .db = 2, .collection = 3, .partitions = 4,
		.flags = OP_LOAD},
	{MSG_CREATE_INDEX, "CreateIndex", .db = 2, .collection = 3, .flags = OP_INDEX},
	{MSG_DROP_INDEX, "DropIndex", .db = 2, .collection = 3, .flags = OP_INDEX},
	{MSG_ALTER_INDEX, "AlterIndex", .db = 2, .collection = 3, .flags = OP_INDEX},
	{MSG_CREATE_ALIAS, "CreateAlias", .db = 2, .collection = 3, .alias = 4, .flags = OP_ALIAS},
	{MSG_DROP_ALIAS, "DropAlias", .db = 2, .alias = 3, .flags = OP_ALIAS},
	{MSG_ALTER_ALIAS, "AlterAlias", .db = 2, .collection = 3, .alias = 4, .flags = OP_ALIAS},
	{MSG_ALTER_COLLECTION, "AlterCollection", .db = 2, .collection = 3, .source_id = 4},
	{MSG_ALTER_COLLECTION_FIELD, "AlterCollectionField", .db = 2, .collection = 3},
	{MSG_ADD_COLLECTION_FIELD, "AddCollectionField", .db = 2, .collection = 3, .source_id = 4},
	{MSG_RENAME_COLLECTION, "RenameCollection", .db = 2, .collection = 3, .collection2 = 4,
		.new_db = 5, .flags = OP_RENAME},
	{MSG_CREATE_CREDENTIAL, "CreateCredential", .flags = OP_RBAC},
	{MSG_UPDATE_CREDENTIAL, "UpdateCredential", .flags = OP_RBAC},
	{MSG_DELETE_CREDENTIAL, "DeleteCredential", .flags = OP_RBAC},
	{MSG_CREATE_ROLE, "CreateRole", .flags = OP_RBAC},
	{MSG_DROP_ROLE, "DropRole", .flags = OP_RBAC},
	{MSG_OPERATE_USER_ROLE, "OperateUserRole", .flags = OP_RBAC},
	/* its names are those of the entity in field 2 */
	{MSG_OPERATE_PRIVILEGE, "OperatePrivilege", .flags = OP_RBAC | OP_GRANT},
	{MSG_OPERATE_PRIVILEGE_V2, "OperatePrivilegeV2", .db = 5, .collection = 6,
		.flags = OP_RBAC | OP_GRANT},
	{MSG_CREATE_PRIVILEGE_GROUP, "CreatePrivilegeGroup", .flags = OP_RBAC},
	{MSG_DROP_PRIVILEGE_GROUP, "DropPrivilegeGroup", .flags = OP_RBAC},
	{MSG_OPERATE_PRIVILEGE_GROUP, "OperatePrivilegeGroup", .flags = OP_RBAC},
};

/* Known, and left out for a reason that an operator should read. */
static const struct {
	int type;
	const char *why;
} left_out[] = {
#define GROUPS "resource groups divide the source's own nodes; make them on the target by hand"
	{MSG_CREATE_RESOURCE_GROUP, GROUPS},
	{MSG_DROP_RESOURCE_GROUP, GROUPS},
	{MSG_UPDATE_RESOURCE_GROUPS, GROUPS},
	{MSG_TRANSFER_NODE, GROUPS},
	{MSG_TRANSFER_REPLICA, GROUPS},
#undef GROUPS
	{MSG_IMPORT, "an import's files are in the source's object storage; import them into the "
		     "target as well"},
};

static const char *why_left_out(int type)
{
	for (size_t i = 0; i < ARRAY_LEN(left_out); i++)
		if (left_out[i].type == type)
			return left_out[i].why;
	return "this version does not know how";
}

static const struct op_row *row_of(int type)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].type == type)
			return &rows[i];
	return NULL;
}

bool ops_supports(int type)
{
	return row_of(type) != NULL;
}

/* The one field num of a message; what it has twice can't be mapped. */
static bool read_one(struct slice in, uint32_t num, struct slice *ret_s)
{
	struct wire w = wire_open(in);
	struct wire_field f;
	unsigned seen = 0;

	while (wire_next(&w, &f)) {
		if (f.num != num)
			continue;
		if (f.type != WIRE_LEN || seen++)
			return false;
		*ret_s = f.data;
	}
	return !w.bad;
}

/* All fields num of a message, in the arena. A scalar that is there twice counts as its last. */
static bool read_all(struct slice in, uint32_t num, bool repeated, struct arena *a,
	struct slice **ret_v, size_t *ret_n)
{
	struct wire w = wire_open(in);
	struct wire_field f;
	size_t n = 0;

	*ret_n = 0;
	while (num && wire_next(&w, &f))
		n += f.num == num;
	if (!n || n > NAMES_MAX)
		return !w.bad && !n;
	struct slice *v = arena_alloc(a, n * sizeof(*v));
	for (w = wire_open(in), n = 0; wire_next(&w, &f);) {
		if (f.num != num)
			continue;
		if (f.type != WIRE_LEN)
			return false;
		v[n++] = f.data;
	}
	if (!repeated)
		v[0] = v[n - 1];
	*ret_v = v;
	*ret_n = repeated ? n : 1;
	return !w.bad;
}

/* GrantEntity{object{name}, object_name, db_name}: a collection only if the object is one. */
static bool read_entity(struct op *op, struct slice payload, struct arena *a)
{
	struct slice entity = {0}, object = {0}, kind = {0}, name = {0};

	if (!read_one(payload, F_ENTITY, &entity) || !read_one(entity, G_OBJECT, &object) ||
		!read_one(object, O_NAME, &kind) || !read_one(entity, G_OBJECT_NAME, &name) ||
		!read_one(entity, G_DB, &op->db))
		return false;
	if (slice_eq_str(kind, "Collection") && name.n) {
		op->collections = arena_alloc(a, sizeof(*op->collections));
		op->collections[0] = name;
		op->n_collections = 1;
	}
	return true;
}

/* "*" in a grant is no name. */
static void drop_wildcards(struct op *op)
{
	if (slice_eq_str(op->db, "*")) {
		op->db = (struct slice){0};
		op->flags |= OP_ANY_DB;
	}
	if (op->n_collections && slice_eq_str(op->collections[0], "*"))
		op->n_collections = 0;
}

static bool read_rename(
	struct op *op, const struct op_row *r, struct slice payload, struct arena *a)
{
	struct slice *two = arena_alloc(a, 2 * sizeof(*two));

	two[0] = two[1] = (struct slice){0};
	op->collections = two;
	op->n_collections = 2;
	return read_one(payload, r->collection, &two[0]) &&
	       read_one(payload, r->collection2, &two[1]) &&
	       read_one(payload, r->new_db, &op->new_db);
}

static bool read_names(struct op *op, const struct op_row *r, struct slice payload, struct arena *a)
{
	struct slice *db = NULL;
	size_t n_db = 0;

	if (r->type == MSG_OPERATE_PRIVILEGE)
		return read_entity(op, payload, a);
	if (!read_all(payload, r->db, false, a, &db, &n_db))
		return false;
	if (n_db)
		op->db = db[0];
	if (r->alias && !read_one(payload, r->alias, &op->alias))
		return false;
	if (r->collection2)
		return read_rename(op, r, payload, a);
	return read_all(payload, r->collection, r->type == MSG_FLUSH, a, &op->collections,
		       &op->n_collections) &&
	       read_all(payload, r->partitions, true, a, &op->partitions, &op->n_partitions);
}

enum err_code ops_read(struct op *op, struct slice payload, struct arena *a, struct err *e)
{
	struct wire w = wire_open(payload);
	struct wire_field f;
	struct msg_base base;

	*op = (struct op){.payload = payload};
	if (!wire_next(&w, &f) || f.num != F_BASE || f.type != WIRE_LEN)
		return err_set(
			e, ERR_MALFORMED, "an operation does not begin with a base (field 1)");
	if (msg_base_read(&base, f.data, e))
		return e->code;
	op->type = base.type;
	op->row = row_of(base.type);
	if (!op->row)
		return err_set(e, ERR_UNSUPPORTED,
			"operations of type %d (%s) can't be replicated: %s", base.type,
			msg_type_name(base.type) ? msg_type_name(base.type) : "unknown",
			why_left_out(base.type));
	op->method = op->row->method;
	op->flags = op->row->flags;
	op->is_replicate = base.is_replicate;
	op->replicate_id = base.replicate_id;
	op->ts = base.is_replicate && base.replicate_ts ? base.replicate_ts : base.ts;
	if (!read_names(op, op->row, payload, a))
		return err_set(
			e, ERR_MALFORMED, "%s of %zu bytes can't be read", op->method, payload.n);
	if (op->flags & OP_GRANT)
		drop_wildcards(op);
	return ERR_OK;
}

/* What may stand for success. */
static const struct {
	int type;
	enum err_code code;
	const char *instead; /* NULL = done */
} verdicts[] = {
	{MSG_CREATE_DATABASE, ERR_EXISTS, NULL},
	{MSG_DROP_DATABASE, ERR_NOT_FOUND, NULL},
	{MSG_CREATE_INDEX, ERR_EXISTS, NULL},
	{MSG_DROP_INDEX, ERR_NOT_FOUND, NULL},
	{MSG_RELEASE_COLLECTION, ERR_NOT_FOUND, NULL},
	{MSG_RELEASE_PARTITIONS, ERR_NOT_FOUND, NULL},
	/* The source's alias was free when it was made, so what has it on the target is older. */
	{MSG_CREATE_ALIAS, ERR_EXISTS, "AlterAlias"},
	{MSG_ALTER_ALIAS, ERR_NOT_FOUND, "CreateAlias"},
	{MSG_DROP_ALIAS, ERR_NOT_FOUND, NULL},
	{MSG_ADD_COLLECTION_FIELD, ERR_EXISTS, NULL},
	{MSG_CREATE_CREDENTIAL, ERR_EXISTS, NULL},
	{MSG_DELETE_CREDENTIAL, ERR_NOT_FOUND, NULL},
	{MSG_CREATE_ROLE, ERR_EXISTS, NULL},
	{MSG_DROP_ROLE, ERR_NOT_FOUND, NULL},
	{MSG_CREATE_PRIVILEGE_GROUP, ERR_EXISTS, NULL},
	{MSG_DROP_PRIVILEGE_GROUP, ERR_NOT_FOUND, NULL},
};

/* Removing and revoking are a value of the request's field type. */
static bool takes_away(const struct op *op)
{
	enum { ROLE_TYPE = 4, GRANT_TYPE = 3, REMOVE = 1 };
	struct wire w = wire_open(op->payload);
	struct wire_field f;
	uint64_t value = 0;

	if (op->type != MSG_OPERATE_USER_ROLE && op->type != MSG_OPERATE_PRIVILEGE &&
		op->type != MSG_OPERATE_PRIVILEGE_V2 && op->type != MSG_OPERATE_PRIVILEGE_GROUP)
		return false;
	uint32_t num = op->type == MSG_OPERATE_PRIVILEGE ? GRANT_TYPE : ROLE_TYPE;
	while (wire_next(&w, &f))
		if (f.num == num && f.type == WIRE_VARINT)
			value = f.value;
	return value == REMOVE;
}

enum op_verdict ops_verdict(const struct op *op, enum err_code code, const char **ret_method)
{
	if (code == ERR_OK || (code == ERR_NOT_FOUND && takes_away(op)))
		return OP_DONE;
	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
		if (verdicts[i].type != op->type || verdicts[i].code != code)
			continue;
		*ret_method = verdicts[i].instead;
		return verdicts[i].instead ? OP_INSTEAD : OP_DONE;
	}
	return OP_FAILED;
}

/* The new values of one request; the fields point into it. */
struct plan {
	struct splice_field fields[FIELDS_MAX];
	size_t n;
	struct slice base, db, new_db, entity;
	struct slice *collections;
};

static void plan_list(struct plan *p, uint32_t num, const struct slice *list, size_t n)
{
	if (num)
		p->fields[p->n++] = (struct splice_field){.num = num,
			.kind = n == 1 ? SPLICE_BYTES : SPLICE_LIST,
			.list = list,
			.n = n};
}

static void plan_drop(struct plan *p, uint32_t num)
{
	if (num)
		p->fields[p->n++] = (struct splice_field){.num = num, .kind = SPLICE_DROP};
}

static struct slice *target_names(const struct op *op, const struct op_names *to, struct arena *a)
{
	struct slice *v = arena_alloc(a, (op->n_collections + 1) * sizeof(*v));

	for (size_t i = 0; i < op->n_collections; i++)
		v[i] = slice_str(to->collections[i]);
	return v;
}

static enum err_code plan_entity(
	struct plan *p, const struct op *op, struct arena *a, struct err *e)
{
	struct plan in = {.n = 0};
	struct slice entity = {0};

	if (!read_one(op->payload, F_ENTITY, &entity))
		return err_set(e, ERR_MALFORMED, "%s names two entities", op->method);
	if (op->n_collections)
		plan_list(&in, G_OBJECT_NAME, p->collections, 1);
	if (!(op->flags & OP_ANY_DB))
		plan_list(&in, G_DB, &p->db, 1);
	if (splice_flat(entity, in.fields, in.n, a, &p->entity, e))
		return e->code;
	plan_list(p, F_ENTITY, &p->entity, 1);
	return ERR_OK;
}

static enum err_code plan_names(struct plan *p, const struct op *op, const struct op_names *to,
	struct arena *a, struct err *e)
{
	const struct op_row *r = op->row;

	p->collections = target_names(op, to, a);
	p->db = slice_str(to->db);
	p->new_db = slice_str(to->new_db ? to->new_db : to->db);
	if (r->type == MSG_OPERATE_PRIVILEGE)
		return plan_entity(p, op, a, e);
	if (!(op->flags & OP_ANY_DB))
		plan_list(p, r->db, &p->db, 1);
	if (r->collection2) {
		plan_list(p, r->collection, &p->collections[0], 1);
		plan_list(p, r->collection2, &p->collections[1], 1);
		if (op->new_db.n)
			plan_list(p, r->new_db, &p->new_db, 1);
	} else if (op->n_collections) {
		plan_list(p, r->collection, p->collections, op->n_collections);
	}
	plan_drop(p, r->source_id);
	return ERR_OK;
}

enum err_code ops_forward(const struct op *op, const struct op_names *to, struct arena *a,
	struct iov *out, struct err *e)
{
	struct msg_base_change change = {
		.replicated = true, .replicate_ts = op->ts, .replicate_id = to->replicate_id};
	struct plan p = {.n = 0};

	if (msg_base_rewrite(op->payload, &change, a, &p.base, e))
		return err_ctx(e, "%s", op->method);
	plan_list(&p, F_BASE, &p.base, 1);
	if (plan_names(&p, op, to, a, e) || splice_message(op->payload, p.fields, p.n, a, out, e))
		return err_ctx(e, "%s", op->method);
	return ERR_OK;
}

enum err_code ops_ask_password(const struct op *op, struct arena *a, struct iov *out, struct err *e)
{
	enum { F_OLD = 3, F_NEW = 4 };
	struct msg_base_change change = {.replicated = true, .replicate_ts = op->ts};
	struct plan p = {.n = 0};
	struct slice password = {0};

	if (op->type != MSG_UPDATE_CREDENTIAL || !read_one(op->payload, F_NEW, &password))
		return err_set(e, ERR_MALFORMED, "%s without a new password", op->method);
	if (msg_base_rewrite(op->payload, &change, a, &p.base, e))
		return e->code;
	plan_list(&p, F_BASE, &p.base, 1);
	plan_list(&p, F_OLD, &password, 1);
	return splice_message(op->payload, p.fields, p.n, a, out, e);
}
