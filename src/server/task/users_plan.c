/* RestoreRBAC refuses the whole list for one entity that exists already, or for one that refers to
 * what exists nowhere (Milvus 2.5): so the list is cut to what it takes. */
#include <stdio.h>
#include <string.h>

#include "server/task/run_priv.h"
#include "server/task/users.h"

static bool built_in_role(const char *name)
{
	return strcmp(name, "admin") == 0 || strcmp(name, "public") == 0;
}

/* There after the restore. */
static bool role_there(const struct rbac *target, const struct rbac *plan, const char *name)
{
	return built_in_role(name) || rbac_names_has(&target->roles, name) ||
	       rbac_names_has(&plan->roles, name);
}

static size_t plan_roles(const struct rbac *source, const struct rbac *target, struct rbac *ret)
{
	size_t there = 0;

	for (size_t i = 0; i < source->roles.n; i++) {
		const char *name = source->roles.v[i];
		bool has = rbac_names_has(&target->roles, name);
		there += has;
		if (!has && !built_in_role(name) && !rbac_names_has(&ret->roles, name))
			rbac_names_add(&ret->roles, name);
	}
	return there;
}

static size_t plan_groups(const struct rbac *source, const struct rbac *target, struct rbac *ret)
{
	size_t there = 0;

	for (size_t i = 0; i < source->groups.n; i++) {
		const struct rbac_holder *g = &source->groups.v[i];
		bool has = rbac_holders_find(&target->groups, g->name);
		there += has;
		if (has || rbac_holders_find(&ret->groups, g->name))
			continue;
		struct rbac_holder *to = rbac_holders_add(&ret->groups, g->name, "");
		for (size_t k = 0; k < g->holds.n; k++)
			rbac_names_add(&to->holds, g->holds.v[k]);
	}
	return there;
}

static size_t plan_users(const struct rbac *source, const struct rbac *target, struct rbac *ret)
{
	size_t there = 0;

	for (size_t i = 0; i < source->users.n; i++) {
		const struct rbac_holder *u = &source->users.v[i];
		bool has = rbac_holders_find(&target->users, u->name);
		there += has;
		if (has || strcmp(u->name, "root") == 0 || rbac_holders_find(&ret->users, u->name))
			continue;
		struct rbac_holder *to = rbac_holders_add(&ret->users, u->name, u->password);
		for (size_t k = 0; k < u->holds.n; k++)
			if (role_there(target, ret, u->holds.v[k]))
				rbac_names_add(&to->holds, u->holds.v[k]);
	}
	return there;
}

/* "*" is no name: it stays. */
static void map_grant(const struct task *t, struct rbac_grant *g, char *db, char *name)
{
	bool collection = strcmp(g->object, "Collection") == 0 && strcmp(g->object_name, "*") != 0;

	if (strcmp(g->db, "*") == 0)
		return;
	task_map_name(t, g->db, collection ? g->object_name : NULL, db, collection ? name : NULL,
		NAME_BYTES);
	g->db = db;
	if (collection)
		g->object_name = name;
}

static size_t plan_grants(const struct task *t, const struct rbac *source,
	const struct rbac *target, struct rbac *ret)
{
	char db[NAME_BYTES], name[NAME_BYTES];
	size_t there = 0;

	for (size_t i = 0; i < source->n_grants; i++) {
		struct rbac_grant g = source->grants[i]; /* borrows */
		if (built_in_role(g.role) || !role_there(target, ret, g.role))
			continue;
		map_grant(t, &g, db, name);
		bool has = rbac_has_grant(target, &g);
		there += has;
		if (!has && !rbac_has_grant(ret, &g))
			rbac_grant_add(ret, &g);
	}
	return there;
}

size_t users_plan(const struct task *t, const struct rbac *source, const struct rbac *target,
	struct rbac *ret)
{
	size_t there = plan_roles(source, target, ret);

	there += plan_groups(source, target, ret);
	there += plan_users(source, target, ret);
	return there + plan_grants(t, source, target, ret);
}
