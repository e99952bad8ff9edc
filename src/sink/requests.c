/* Field names and numbers are those of milvus.proto and common.proto (2.3 to 2.5). Names of kinds are
 * the reference's as far as it has them. */
#include "sink/requests.h"

#include "base/wire.h"
#include "sink/pbjson.h"

#define STR(num, name)                                                                             \
	{                                                                                          \
		num, PB_STR, name, NULL, false                                                     \
	}
#define STRS(num, name)                                                                            \
	{                                                                                          \
		num, PB_STR, name, NULL, true                                                      \
	}
#define INT(num, name)                                                                             \
	{                                                                                          \
		num, PB_INT, name, NULL, false                                                     \
	}
#define UINT(num, name)                                                                            \
	{                                                                                          \
		num, PB_UINT, name, NULL, false                                                    \
	}
#define BOOL(num, name)                                                                            \
	{                                                                                          \
		num, PB_BOOL, name, NULL, false                                                    \
	}
#define MSG(num, name, sub)                                                                        \
	{                                                                                          \
		num, PB_MSG, name, sub, false                                                      \
	}
#define MSGS(num, name, sub)                                                                       \
	{                                                                                          \
		num, PB_MSG, name, sub, true                                                       \
	}
#define MAP(num, name)                                                                             \
	{                                                                                          \
		num, PB_MAP, name, NULL, false                                                     \
	}
#define END                                                                                        \
	{                                                                                          \
		0, PB_END, NULL, NULL, false                                                       \
	}
#define BASE MSG(1, "base", base)
#define NAMED BASE, STR(2, "db_name"), STR(3, "collection_name")

typedef const struct pb_field fields[];

static fields replicate_info = {
	BOOL(1, "isReplicate"), UINT(2, "msgTimestamp"), STR(3, "replicateID"), END};
static fields base = {INT(1, "msg_type"), INT(2, "msgID"), UINT(3, "timestamp"), INT(4, "sourceID"),
	INT(5, "targetID"), MAP(6, "properties"), MSG(7, "replicateInfo", replicate_info), END};
static fields named = {STR(1, "name"), END}; /* RoleEntity, ObjectEntity, UserEntity, ... */
static fields grantor = {MSG(1, "user", named), MSG(2, "privilege", named), END};
static fields grant = {MSG(1, "role", named), MSG(2, "object", named), STR(3, "object_name"),
	MSG(4, "grantor", grantor), STR(5, "db_name"), END};

static fields create_database = {BASE, STR(2, "db_name"), MSGS(3, "properties", pb_key_value), END};
static fields drop_database = {BASE, STR(2, "db_name"), END};
static fields alter_database = {BASE, STR(2, "db_name"), STR(3, "db_id"),
	MSGS(4, "properties", pb_key_value), STRS(5, "delete_keys"), END};
static fields flush = {BASE, STR(2, "db_name"), STRS(3, "collection_names"), END};
static fields load_collection = {NAMED, INT(4, "replica_number"), STRS(5, "resource_groups"),
	BOOL(6, "refresh"), STRS(7, "load_fields"), BOOL(8, "skip_load_dynamic_field"),
	MAP(9, "load_params"), END};
static fields release_collection = {NAMED, END};
static fields load_partitions = {NAMED, STRS(4, "partition_names"), INT(5, "replica_number"),
	STRS(6, "resource_groups"), BOOL(7, "refresh"), STRS(8, "load_fields"),
	BOOL(9, "skip_load_dynamic_field"), MAP(10, "load_params"), END};
static fields release_partitions = {NAMED, STRS(4, "partition_names"), END};
static fields create_index = {NAMED, STR(4, "field_name"), MSGS(5, "extra_params", pb_key_value),
	STR(6, "index_name"), END};
static fields drop_index = {NAMED, STR(4, "field_name"), STR(5, "index_name"), END};
static fields alter_index = {NAMED, STR(4, "index_name"), MSGS(5, "extra_params", pb_key_value),
	STRS(6, "delete_keys"), END};
static fields set_alias = {NAMED, STR(4, "alias"), END};
static fields drop_alias = {BASE, STR(2, "db_name"), STR(3, "alias"), END};
static fields alter_collection = {NAMED, INT(4, "collectionID"),
	MSGS(5, "properties", pb_key_value), STRS(6, "delete_keys"), END};
static fields alter_field = {NAMED, STR(4, "field_name"), MSGS(5, "properties", pb_key_value),
	STRS(6, "delete_keys"), END};
static fields rename_collection = {
	BASE, STR(2, "db_name"), STR(3, "oldName"), STR(4, "newName"), STR(5, "newDBName"), END};
static fields create_credential = {BASE, STR(2, "username"), STR(3, "password"),
	UINT(4, "created_utc_timestamps"), UINT(5, "modified_utc_timestamps"), END};
static fields update_credential = {BASE, STR(2, "username"), STR(3, "oldPassword"),
	STR(4, "newPassword"), UINT(5, "created_utc_timestamps"),
	UINT(6, "modified_utc_timestamps"), END};
static fields delete_credential = {BASE, STR(2, "username"), END};
static fields create_role = {BASE, MSG(2, "entity", named), END};
static fields drop_role = {BASE, STR(2, "role_name"), BOOL(3, "force_drop"), END};
static fields user_role = {BASE, STR(2, "username"), STR(3, "role_name"), INT(4, "type"), END};
static fields privilege = {BASE, MSG(2, "entity", grant), INT(3, "type"), STR(4, "version"), END};
static fields privilege_v2 = {BASE, MSG(2, "role", named), MSG(3, "grantor", grantor),
	INT(4, "type"), STR(5, "db_name"), STR(6, "collection_name"), END};
static fields privilege_group = {BASE, STR(2, "group_name"), END};
static fields operate_group = {
	BASE, STR(2, "group_name"), MSGS(3, "privileges", named), INT(4, "type"), END};

static const struct request {
	const char *method, *kind;
	const struct pb_field *fields;
	uint32_t type;          /* the field that tells kind and other apart; 0 = none */
	const char *other_kind; /* when it is 1 */
} requests[] = {
	{"CreateDatabase", "create database", create_database, 0, NULL},
	{"DropDatabase", "drop database", drop_database, 0, NULL},
	{"AlterDatabase", "alter database", alter_database, 0, NULL},
	{"Flush", "flush", flush, 0, NULL},
	{"LoadCollection", "load collection", load_collection, 0, NULL},
	{"ReleaseCollection", "release collection", release_collection, 0, NULL},
	{"LoadPartitions", "load partitions", load_partitions, 0, NULL},
	{"ReleasePartitions", "release partitions", release_partitions, 0, NULL},
	{"CreateIndex", "create index", create_index, 0, NULL},
	{"DropIndex", "drop index", drop_index, 0, NULL},
	{"AlterIndex", "alter index", alter_index, 0, NULL},
	{"CreateAlias", "create alias", set_alias, 0, NULL},
	{"DropAlias", "drop alias", drop_alias, 0, NULL},
	{"AlterAlias", "alter alias", set_alias, 0, NULL},
	{"AlterCollection", "alter collection", alter_collection, 0, NULL},
	{"AlterCollectionField", "alter collection field", alter_field, 0, NULL},
	{"RenameCollection", "rename collection", rename_collection, 0, NULL},
	{"CreateCredential", "create user", create_credential, 0, NULL},
	{"UpdateCredential", "update user", update_credential, 0, NULL},
	{"DeleteCredential", "delete user", delete_credential, 0, NULL},
	{"CreateRole", "create role", create_role, 0, NULL},
	{"DropRole", "drop role", drop_role, 0, NULL},
	{"OperateUserRole", "add user to role", user_role, 4, "remove user from role"},
	{"OperatePrivilege", "grant privilege", privilege, 3, "revoke privilege"},
	{"OperatePrivilegeV2", "grant privilege v2", privilege_v2, 4, "revoke privilege v2"},
	{"CreatePrivilegeGroup", "create privilege group", privilege_group, 0, NULL},
	{"DropPrivilegeGroup", "drop privilege group", privilege_group, 0, NULL},
	{"OperatePrivilegeGroup", "add privileges to group", operate_group, 4,
		"remove privileges from group"},
};

static const struct request *request_of(const char *method)
{
	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		if (strcmp(requests[i].method, method) == 0)
			return &requests[i];
	return NULL;
}

const char *requests_kind(const char *method, struct slice request)
{
	const struct request *r = request_of(method);
	struct wire w = wire_open(request);
	struct wire_field f;
	uint64_t type = 0;

	if (!r || !r->type)
		return r ? r->kind : NULL;
	while (wire_next(&w, &f))
		if (f.num == r->type && f.type == WIRE_VARINT)
			type = f.value;
	return type == 1 ? r->other_kind : r->kind;
}

enum err_code requests_put(struct gojson *o, const char *method, const char *db,
	struct slice request, const char **ret_kind, struct err *e)
{
	const struct request *r = request_of(method);

	if (!r)
		return err_set(e, ERR_UNSUPPORTED, "%s has no event", method);
	*ret_kind = requests_kind(method, request);
	gojson_cstr(o, "Database", db);
	if (pbjson_fields(o, request, r->fields, e))
		return err_ctx(e, "%s", method);
	return ERR_OK;
}
