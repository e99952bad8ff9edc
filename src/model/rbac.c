#include "model/rbac.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/wire.h"

enum { ENTITY_BYTES = 64 << 10, MESSAGE_BYTES = 16 << 20 };
enum { META_USERS = 1, META_ROLES, META_GRANTS, META_GROUPS };
enum { ENTITY_NAME = 1 }; /* of a user, role, object or privilege */
enum { USER_NAME = 1, USER_PASSWORD, USER_ROLES };
enum { GROUP_NAME = 1, GROUP_PRIVILEGES };
enum { GRANT_ROLE = 1, GRANT_OBJECT, GRANT_OBJECT_NAME, GRANT_GRANTOR, GRANT_DB };
enum { GRANTOR_USER = 1, GRANTOR_PRIVILEGE };

/* ---- lists ---- */

static void names_done(struct rbac_names *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
}

static void holders_done(struct rbac_holders *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].name);
		free(l->v[i].password);
		names_done(&l->v[i].holds);
	}
	free(l->v);
}

static void grant_done(struct rbac_grant *g)
{
	free(g->role);
	free(g->object);
	free(g->object_name);
	free(g->db);
	free(g->grantor);
	free(g->privilege);
}

void rbac_done(struct rbac *r)
{
	holders_done(&r->users);
	holders_done(&r->groups);
	names_done(&r->roles);
	for (size_t i = 0; i < r->n_grants; i++)
		grant_done(&r->grants[i]);
	free(r->grants);
	*r = (struct rbac){.n_grants = 0};
}

void rbac_names_add(struct rbac_names *l, const char *name)
{
	mem_grow(&l->v, &l->cap, l->n + 1, sizeof(char *));
	l->v[l->n++] = xstrdup(name);
}

bool rbac_names_has(const struct rbac_names *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i], name) == 0)
			return true;
	return false;
}

struct rbac_holder *rbac_holders_add(struct rbac_holders *l, const char *name, const char *password)
{
	mem_grow(&l->v, &l->cap, l->n + 1, sizeof(*l->v));
	l->v[l->n] = (struct rbac_holder){.name = xstrdup(name), .password = xstrdup(password)};
	return &l->v[l->n++];
}

struct rbac_holder *rbac_holders_find(const struct rbac_holders *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i].name, name) == 0)
			return &l->v[i];
	return NULL;
}

void rbac_grant_add(struct rbac *r, const struct rbac_grant *g)
{
	mem_grow(&r->grants, &r->cap_grants, r->n_grants + 1, sizeof(*r->grants));
	r->grants[r->n_grants++] = (struct rbac_grant){.role = xstrdup(g->role),
		.object = xstrdup(g->object),
		.object_name = xstrdup(g->object_name),
		.db = xstrdup(g->db),
		.grantor = xstrdup(g->grantor),
		.privilege = xstrdup(g->privilege)};
}

bool rbac_has_grant(const struct rbac *r, const struct rbac_grant *g)
{
	for (size_t i = 0; i < r->n_grants; i++) {
		const struct rbac_grant *o = &r->grants[i];
		if (strcmp(o->role, g->role) == 0 && strcmp(o->object, g->object) == 0 &&
			strcmp(o->object_name, g->object_name) == 0 && strcmp(o->db, g->db) == 0 &&
			strcmp(o->privilege, g->privilege) == 0)
			return true;
	}
	return false;
}

/* ---- reading ---- */

/* The last field of the number as heap text, in place of what *text held; false if it is no text. */
static bool read_text(struct slice in, uint32_t num, char **text)
{
	struct wire w = wire_open(in);
	struct wire_field f;

	freep(text);
	*text = xstrdup("");
	while (wire_next(&w, &f)) {
		if (f.num != num)
			continue;
		if (f.type != WIRE_LEN || (f.data.n && memchr(f.data.p, 0, f.data.n)))
			return false;
		freep(text);
		*text = xstrndup((const char *)(f.data.p ? f.data.p : in.p), f.data.n);
	}
	return !w.bad;
}

static bool read_part(struct slice in, uint32_t num, struct slice *ret)
{
	struct wire w = wire_open(in);
	struct wire_field f;

	*ret = (struct slice){0};
	while (wire_next(&w, &f)) {
		if (f.num == num && f.type != WIRE_LEN)
			return false;
		if (f.num == num)
			*ret = f.data;
	}
	return !w.bad;
}

/* The name of the entity in field num. */
static bool read_name(struct slice in, uint32_t num, char **text)
{
	struct slice entity;

	return read_part(in, num, &entity) && read_text(entity, ENTITY_NAME, text);
}

static bool read_names(struct slice in, uint32_t num, struct rbac_names *l)
{
	struct wire w = wire_open(in);
	struct wire_field f;

	while (wire_next(&w, &f)) {
		CLEANUP(freep) char *name = NULL;
		if (f.num != num)
			continue;
		if (f.type != WIRE_LEN || !read_text(f.data, ENTITY_NAME, &name))
			return false;
		rbac_names_add(l, name);
	}
	return !w.bad;
}

static bool read_holder(struct slice in, uint32_t password, uint32_t holds, struct rbac_holders *l)
{
	CLEANUP(freep) char *name = NULL;
	CLEANUP(freep) char *secret = xstrdup("");

	if (!read_text(in, USER_NAME, &name) || !*name ||
		(password && !read_text(in, password, &secret)))
		return false;
	return read_names(in, holds, &rbac_holders_add(l, name, secret)->holds);
}

static bool read_grant(struct slice in, struct rbac *r)
{
	struct rbac_grant g = {.role = NULL};
	struct slice grantor;

	bool ok = read_name(in, GRANT_ROLE, &g.role) && read_name(in, GRANT_OBJECT, &g.object) &&
		  read_text(in, GRANT_OBJECT_NAME, &g.object_name) &&
		  read_text(in, GRANT_DB, &g.db) && read_part(in, GRANT_GRANTOR, &grantor) &&
		  read_name(grantor, GRANTOR_USER, &g.grantor) &&
		  read_name(grantor, GRANTOR_PRIVILEGE, &g.privilege);
	if (ok)
		rbac_grant_add(r, &g);
	grant_done(&g);
	return ok;
}

enum err_code rbac_read_group(struct rbac_holders *l, struct slice message, struct err *e)
{
	if (!read_holder(message, 0, GROUP_PRIVILEGES, l))
		return err_set(e, ERR_MALFORMED, "not a privilege group");
	return ERR_OK;
}

enum err_code rbac_read(struct rbac *r, struct slice message, struct err *e)
{
	struct wire w = wire_open(message);
	struct wire_field f;
	bool ok = read_names(message, META_ROLES, &r->roles);

	while (ok && wire_next(&w, &f)) {
		if (f.num < META_USERS || f.num > META_GROUPS)
			continue;
		ok = f.type == WIRE_LEN;
		if (ok && f.num == META_USERS)
			ok = read_holder(f.data, USER_PASSWORD, USER_ROLES, &r->users);
		else if (ok && f.num == META_GROUPS)
			ok = read_holder(f.data, 0, GROUP_PRIVILEGES, &r->groups);
		else if (ok && f.num == META_GRANTS)
			ok = read_grant(f.data, r);
	}
	if (!ok || w.bad)
		return err_set(e, ERR_MALFORMED, "not a list of users, roles and grants");
	return ERR_OK;
}

/* ---- writing ---- */

static void put_name(struct buf *b, uint32_t num, const char *name)
{
	CLEANUP(buf_done) struct buf in = BUF_INIT(ENTITY_BYTES);

	wire_put_str_opt(&in, ENTITY_NAME, name);
	wire_put_bytes(b, num, buf_slice(&in));
}

static void put_holders(struct buf *b, uint32_t num, const struct rbac_holders *l,
	uint32_t password, uint32_t holds)
{
	for (size_t i = 0; i < l->n; i++) {
		CLEANUP(buf_done) struct buf in = BUF_INIT(MESSAGE_BYTES);
		wire_put_str_opt(&in, USER_NAME, l->v[i].name);
		if (password)
			wire_put_str_opt(&in, password, l->v[i].password);
		for (size_t k = 0; k < l->v[i].holds.n; k++)
			put_name(&in, holds, l->v[i].holds.v[k]);
		wire_put_bytes(b, num, buf_slice(&in));
	}
}

static void put_grant(struct buf *b, const struct rbac_grant *g)
{
	CLEANUP(buf_done) struct buf in = BUF_INIT(ENTITY_BYTES);
	CLEANUP(buf_done) struct buf grantor = BUF_INIT(ENTITY_BYTES);

	put_name(&grantor, GRANTOR_USER, g->grantor);
	put_name(&grantor, GRANTOR_PRIVILEGE, g->privilege);
	put_name(&in, GRANT_ROLE, g->role);
	put_name(&in, GRANT_OBJECT, g->object);
	wire_put_str_opt(&in, GRANT_OBJECT_NAME, g->object_name);
	wire_put_bytes(&in, GRANT_GRANTOR, buf_slice(&grantor));
	wire_put_str_opt(&in, GRANT_DB, g->db);
	wire_put_bytes(b, META_GRANTS, buf_slice(&in));
}

void rbac_put(struct buf *b, const struct rbac *r)
{
	put_holders(b, META_USERS, &r->users, USER_PASSWORD, USER_ROLES);
	for (size_t i = 0; i < r->roles.n; i++)
		put_name(b, META_ROLES, r->roles.v[i]);
	for (size_t i = 0; i < r->n_grants; i++)
		put_grant(b, &r->grants[i]);
	put_holders(b, META_GROUPS, &r->groups, 0, GROUP_PRIVILEGES);
}
