/* The layout (Milvus 2.2 to 2.5, the tenant is always empty):
 *   credential/users/<user>                                JSON with encrypted_password
 *   credential/roles/<role>                                nothing that counts
 *   credential/user-role-mapping/<user>/<role>             the same
 *   credential/grantee-privileges/<role>/<object>/<[db.]name>   an id
 *   credential/grantee-id/<id>/<privilege>                 who granted it
 *   privilege-group/<group>                                PrivilegeGroupInfo
 * Newer servers keep grants on collections a second time with "dbID:" and "colID:" in place of names;
 * these are not read. */
#include "source/rbac_decode.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "source/catalog_decode.h"

enum { PARTS_MAX = 3 };

struct decode {
	const struct rbac_record *l;
	size_t n;
	struct rbac *ret;
	struct buf *left_out;
	size_t n_left_out;
	struct smap ids;   /* grantee id -> index + 1 of its last grantee-id record */
	size_t *next;      /* index + 1 of the one before it with the same id */
	struct smap users; /* name -> index + 1 in ret */
};

static void leave_out(struct decode *d, size_t i, const char *why)
{
	d->n_left_out++;
	buf_putf(d->left_out, "%.200s: %s\n", d->l[i].key, why);
}

/* The text behind prefix as `want` parts between slashes, heap; false if it has others. */
static bool split(const char *key, const char *prefix, char *parts[PARTS_MAX], size_t want)
{
	const char *at = key + strlen(prefix);

	for (size_t i = 0; i < want; i++) {
		const char *end = strchrnul(at, '/');
		parts[i] = xstrndup(at, (size_t)(end - at));
		if (end == at || (*end == '\0') != (i + 1 == want))
			return false;
		at = end + 1;
	}
	return true;
}

static void parts_done(char *(*parts)[PARTS_MAX])
{
	for (size_t i = 0; i < PARTS_MAX; i++)
		free((*parts)[i]);
}

static const char users_at[] = "credential/users/", roles_at[] = "credential/roles/",
		  members_at[] = "credential/user-role-mapping/",
		  grants_at[] = "credential/grantee-privileges/",
		  ids_at[] = "credential/grantee-id/", groups_at[] = "privilege-group/";

/* ---- what stands alone ---- */

static const char *take_user(struct decode *d, size_t i)
{
	CLEANUP(parts_done) char *parts[PARTS_MAX] = {NULL};
	CLEANUP(json_in_freep) json_t *j = NULL;
	struct err e = ERR_INIT;

	if (!split(d->l[i].key, users_at, parts, 1))
		return "not a user's key";
	if (json_in_parse(d->l[i].value, &j, &e))
		return "not JSON";
	const char *password = json_string_value(json_object_get(j, "encrypted_password"));
	if (!password || !*password)
		return "no encrypted_password";
	rbac_holders_add(&d->ret->users, parts[0], password);
	smap_put(&d->users, parts[0], (void *)(uintptr_t)d->ret->users.n);
	return NULL;
}

static const char *take_role(struct decode *d, size_t i)
{
	CLEANUP(parts_done) char *parts[PARTS_MAX] = {NULL};

	if (!split(d->l[i].key, roles_at, parts, 1))
		return "not a role's key";
	rbac_names_add(&d->ret->roles, parts[0]);
	return NULL;
}

static const char *take_group(struct decode *d, size_t i)
{
	struct err e = ERR_INIT;
	size_t n = d->ret->groups.n;

	if (!rbac_read_group(&d->ret->groups, d->l[i].value, &e))
		return NULL;
	/* A group that is read in part would grant less, or more, than it says. */
	if (d->ret->groups.n > n) {
		struct rbac part = {
			.groups = {.v = xcalloc(1, sizeof(struct rbac_holder)), .n = 1}};
		part.groups.v[0] = d->ret->groups.v[--d->ret->groups.n];
		rbac_done(&part);
	}
	return "not a privilege group";
}

static const char *take_id(struct decode *d, size_t i)
{
	CLEANUP(parts_done) char *parts[PARTS_MAX] = {NULL};

	if (!split(d->l[i].key, ids_at, parts, 2))
		return "not the key of a grant's privilege";
	void *before = smap_put(&d->ids, parts[0], (void *)(uintptr_t)(i + 1));
	d->next[i] = (size_t)(uintptr_t)before;
	return NULL;
}

/* ---- what refers to others ---- */

static const char *take_member(struct decode *d, size_t i)
{
	CLEANUP(parts_done) char *parts[PARTS_MAX] = {NULL};

	if (!split(d->l[i].key, members_at, parts, 2))
		return "not the key of a user's role";
	size_t at = (size_t)(uintptr_t)smap_get(&d->users, parts[0]);
	if (!at)
		return "its user is not there";
	rbac_names_add(&d->ret->users.v[at - 1].holds, parts[1]);
	return NULL;
}

/* The API's name: "PrivilegeLoad" is Load, "PrivilegeGroupMine" the group Mine. */
static const char *privilege_name(const char *stored)
{
	static const char group[] = "PrivilegeGroup", one[] = "Privilege";

	if (strcmp(stored, "*") == 0)
		return stored;
	const char *prefix = str_starts(stored, group) ? group : one;
	return str_starts(stored, prefix) && stored[strlen(prefix)] ? stored + strlen(prefix)
								    : NULL;
}

static const char *take_privilege(struct decode *d, struct rbac_grant *g, size_t i)
{
	CLEANUP(parts_done) char *parts[PARTS_MAX] = {NULL};
	struct slice grantor = d->l[i].value;

	if (!split(d->l[i].key, ids_at, parts, 2))
		return "not the key of a grant's privilege";
	const char *privilege = privilege_name(parts[1]);
	if (!privilege)
		return "an unknown privilege";
	if (!grantor.n || memchr(grantor.p, 0, grantor.n))
		grantor = slice_str("root");
	g->grantor = xstrndup((const char *)grantor.p, grantor.n);
	g->privilege = (char *)(uintptr_t)privilege; /* only copied from */
	rbac_grant_add(d->ret, g);
	freep(&g->grantor);
	return NULL;
}

static const char *take_grant(struct decode *d, size_t i)
{
	CLEANUP(parts_done) char *parts[PARTS_MAX] = {NULL};
	struct slice id = d->l[i].value;

	if (!split(d->l[i].key, grants_at, parts, 3))
		return "not a grant's key";
	if (str_starts(parts[2], "dbID:") || strstr(parts[2], "colID:"))
		return "names its collection by id";
	char *dot = strchr(parts[2], '.');
	if (dot)
		*dot = '\0';
	struct rbac_grant g = {.role = parts[0],
		.object = parts[1],
		.object_name = dot ? dot + 1 : parts[2],
		.db = dot ? parts[2] : (char[]){"default"}};
	size_t at = id.n ? (size_t)(uintptr_t)smap_getn(&d->ids, id.p, id.n) : 0;
	for (; at; at = d->next[at - 1]) {
		const char *why = take_privilege(d, &g, at - 1);
		if (why)
			leave_out(d, at - 1, why);
	}
	return NULL;
}

struct kind {
	const char *prefix;
	const char *(*take)(struct decode *d, size_t i);
};

static void take_all(struct decode *d, const struct kind *kinds, size_t n_kinds)
{
	for (size_t i = 0; i < d->n; i++)
		for (size_t k = 0; k < n_kinds; k++) {
			if (!str_starts(d->l[i].key, kinds[k].prefix) ||
				catalog_is_tombstone(d->l[i].value))
				continue;
			const char *why = kinds[k].take(d, i);
			if (why)
				leave_out(d, i, why);
		}
}

size_t rbac_decode(const struct rbac_record *l, size_t n, struct rbac *ret, struct buf *left_out)
{
	static const struct kind alone[] = {{users_at, take_user}, {roles_at, take_role},
		{groups_at, take_group}, {ids_at, take_id}};
	static const struct kind referring[] = {{members_at, take_member}, {grants_at, take_grant}};
	struct decode d = {.l = l,
		.n = n,
		.ret = ret,
		.left_out = left_out,
		.next = xcalloc(n + 1, sizeof(size_t))};

	take_all(&d, alone, ARRAY_LEN(alone));
	take_all(&d, referring, ARRAY_LEN(referring));
	smap_done(&d.ids);
	smap_done(&d.users);
	free(d.next);
	return d.n_left_out;
}
