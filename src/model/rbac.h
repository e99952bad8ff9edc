/* Users, roles, grants and privilege groups of a Milvus, and their message RBACMeta as BackupRBAC
 * answers it and RestoreRBAC takes it (Milvus 2.5). Passwords are Milvus' own hashes; they belong in
 * no log. Everything is owned; rbac_done. */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"

struct rbac_names {
	char **v;
	size_t n, cap;
};

/* A user and its roles, or a privilege group and its privileges. */
struct rbac_holder {
	char *name;
	char *password; /* a user's, encrypted; a group's is "" */
	struct rbac_names holds;
};

struct rbac_holders {
	struct rbac_holder *v;
	size_t n, cap;
};

/* All texts are set, "" if unknown. object_name and db may be "*"; privilege is the API's name. */
struct rbac_grant {
	char *role, *object, *object_name, *db, *grantor, *privilege;
};

struct rbac {
	struct rbac_holders users, groups;
	struct rbac_names roles;
	struct rbac_grant *grants;
	size_t n_grants, cap_grants;
};

/* Frees what r holds and leaves it empty. */
void rbac_done(struct rbac *r);

/* Appends a copy. */
void rbac_names_add(struct rbac_names *l, const char *name);
bool rbac_names_has(const struct rbac_names *l, const char *name);
/* Appends one that holds nothing; all are copied. Valid until the next one is added. */
struct rbac_holder *rbac_holders_add(
	struct rbac_holders *l, const char *name, const char *password);
/* NULL if there is none. */
struct rbac_holder *rbac_holders_find(const struct rbac_holders *l, const char *name);
/* Appends a copy of g. */
void rbac_grant_add(struct rbac *r, const struct rbac_grant *g);
/* The same privilege on the same object for the same role? Who granted it makes no difference. */
bool rbac_has_grant(const struct rbac *r, const struct rbac_grant *g);

/* Appends a PrivilegeGroupInfo. MALFORMED. */
NODISCARD enum err_code rbac_read_group(
	struct rbac_holders *l, struct slice message, struct err *e);
/* Adds what an RBACMeta holds to r. MALFORMED; r may hold a part then. */
NODISCARD enum err_code rbac_read(struct rbac *r, struct slice message, struct err *e);
/* Appends r as an RBACMeta. */
void rbac_put(struct buf *b, const struct rbac *r);
