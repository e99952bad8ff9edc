/* The task record's memory, and the two questions everything asks of a task: is this collection
 * selected, and what is it called on the target. An empty database name means "default". */
#include "model/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* Every string of the record that is not part of a list, for new, free and copy alike. */
/* clang-format off: it does not settle on a list of macro calls */
#define TASK_STRINGS(X)                                                                            \
	X(id)                                                                                      \
	X(rpc_channel)                                                                             \
	X(rpc_position)                                                                            \
	X(reason)                                                                                  \
	X(on_unsupported)                                                                          \
	X(milvus.uri)                                                                              \
	X(milvus.token)                                                                            \
	X(milvus.host)                                                                             \
	X(milvus.username)                                                                         \
	X(milvus.password)                                                                         \
	X(milvus.server_name)                                                                      \
	X(milvus.server_pem_path)                                                                  \
	X(milvus.ca_pem_path)                                                                      \
	X(milvus.client_pem_path)                                                                  \
	X(milvus.client_key_path)                                                                  \
	X(kafka.address)                                                                           \
	X(kafka.topic)                                                                             \
	X(kafka.sasl_username)                                                                     \
	X(kafka.sasl_password)                                                                     \
	X(kafka.sasl_mechanisms)                                                                   \
	X(kafka.security_protocol)                                                                 \
	X(kafka.format)
/* clang-format on */

const char *task_state_name(enum task_state s)
{
	switch (s) {
	case TASK_INITIAL:
		return "Initial";
	case TASK_RUNNING:
		return "Running";
	case TASK_PAUSED:
		return "Paused";
	}
	return "Unknown";
}

struct task *task_new(void)
{
	struct task *t = xcalloc(1, sizeof(*t));
#define EMPTY(field) t->field = xstrdup("");
	TASK_STRINGS(EMPTY)
#undef EMPTY
	return t;
}

static void pairs_free(struct task_pair *l, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(l[i].key);
		free(l[i].value);
	}
	free(l);
}

static void collections_free(struct task_collection *l, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(l[i].name);
		pairs_free(l[i].positions, l[i].n_positions);
	}
	free(l);
}

static void dbs_free(struct task_db *l, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(l[i].db);
		collections_free(l[i].collections, l[i].n_collections);
	}
	free(l);
}

static void mappings_free(struct task_mapping *l, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(l[i].source_db);
		free(l[i].target_db);
		pairs_free(l[i].collections, l[i].n_collections);
	}
	free(l);
}

void task_free(struct task *t)
{
	if (!t)
		return;
#define FREE(field) free(t->field);
	TASK_STRINGS(FREE)
#undef FREE
	collections_free(t->collection_infos, t->n_collection_infos);
	dbs_free(t->dbs, t->n_dbs);
	mappings_free(t->mappings, t->n_mappings);
	pairs_free(t->kafka.settings, t->kafka.n_settings);
	for (size_t i = 0; i < t->n_excludes; i++)
		free(t->excludes[i]);
	free(t->excludes);
	free(t);
}

void task_freep(struct task **t)
{
	task_free(*t);
	*t = NULL;
}

static struct task_pair *pairs_copy(const struct task_pair *l, size_t n)
{
	if (!l)
		return NULL;
	struct task_pair *c = xcalloc(n, sizeof(*c));
	for (size_t i = 0; i < n; i++)
		c[i] = (struct task_pair){.key = xstrdup(l[i].key), .value = xstrdup(l[i].value)};
	return c;
}

static struct task_collection *collections_copy(const struct task_collection *l, size_t n)
{
	if (!l)
		return NULL;
	struct task_collection *c = xcalloc(n, sizeof(*c));
	for (size_t i = 0; i < n; i++) {
		c[i] = l[i];
		c[i].name = xstrdup(l[i].name);
		c[i].positions = pairs_copy(l[i].positions, l[i].n_positions);
	}
	return c;
}

static struct task_db *dbs_copy(const struct task_db *l, size_t n)
{
	if (!l)
		return NULL;
	struct task_db *c = xcalloc(n, sizeof(*c));
	for (size_t i = 0; i < n; i++) {
		c[i] = l[i];
		c[i].db = xstrdup(l[i].db);
		c[i].collections = collections_copy(l[i].collections, l[i].n_collections);
	}
	return c;
}

static struct task_mapping *mappings_copy(const struct task_mapping *l, size_t n)
{
	if (!l)
		return NULL;
	struct task_mapping *c = xcalloc(n, sizeof(*c));
	for (size_t i = 0; i < n; i++) {
		c[i] = l[i];
		c[i].source_db = xstrdup(l[i].source_db);
		c[i].target_db = xstrdup(l[i].target_db);
		c[i].collections = pairs_copy(l[i].collections, l[i].n_collections);
	}
	return c;
}

struct task *task_copy(const struct task *t)
{
	struct task *c = xmemdup(t, sizeof(*t));
#define COPY(field) c->field = xstrdup(t->field);
	TASK_STRINGS(COPY)
#undef COPY
	c->collection_infos = collections_copy(t->collection_infos, t->n_collection_infos);
	c->dbs = dbs_copy(t->dbs, t->n_dbs);
	c->mappings = mappings_copy(t->mappings, t->n_mappings);
	c->kafka.settings = pairs_copy(t->kafka.settings, t->kafka.n_settings);
	if (t->excludes)
		c->excludes = xcalloc(t->n_excludes, sizeof(*c->excludes));
	for (size_t i = 0; i < t->n_excludes; i++)
		c->excludes[i] = xstrdup(t->excludes[i]);
	return c;
}

char *task_target(const struct task *t)
{
	const struct task_milvus *m = &t->milvus;

	if (*m->uri)
		return xstrdup(m->uri);
	if (!*m->host)
		return xstrdup(t->kafka.address);
	/* The reference takes a host that already names a scheme as it is, without the port. */
	if (strstr(m->host, "http://") || strstr(m->host, "https://"))
		return xstrdup(m->host);
	return xasprintf(
		"%s://%s:%lld", m->enable_tls ? "https" : "http", m->host, (long long)m->port);
}

char *task_token(const struct task *t)
{
	const struct task_milvus *m = &t->milvus;

	if (*m->token)
		return xstrdup(m->token);
	if (!*m->username && !*m->password)
		return xstrdup("");
	return xasprintf("%s:%s", m->username, m->password);
}

bool task_holds_operations(const struct task *t)
{
	return strcmp(t->on_unsupported, "hold") == 0;
}

static const char *db_or_default(const char *db)
{
	return db && *db ? db : "default";
}

static bool is_star(const char *s)
{
	return strcmp(s, "*") == 0;
}

/* Is text "<db>.<name>"? An exclude is never split at a dot: odd names hold dots. */
static bool text_is(const char *text, const char *db, const char *name)
{
	size_t n = strlen(db);
	return strncmp(text, db, n) == 0 && text[n] == '.' && strcmp(text + n + 1, name) == 0;
}

bool task_excludes(const struct task *t, const char *db, const char *name)
{
	for (size_t i = 0; i < t->n_excludes; i++) {
		const char *x = t->excludes[i];
		if (text_is(x, db, name) || text_is(x, db, "*") || text_is(x, "*", name) ||
			text_is(x, "*", "*"))
			return true;
	}
	return false;
}

static bool excluded_by_name(const struct task *t, const char *db, const char *name)
{
	for (size_t i = 0; i < t->n_excludes; i++)
		if (text_is(t->excludes[i], db, name))
			return true;
	return false;
}

/* One selection list: a named entry always selects its collection, "*" all that are not excluded.
 */
static const struct task_collection *find_entry(const struct task *t,
	const struct task_collection *l, size_t n, const char *db, const char *name)
{
	const struct task_collection *star = NULL;

	for (size_t i = 0; i < n; i++) {
		if (is_star(l[i].name))
			star = star ? star : &l[i];
		else if (strcmp(l[i].name, name) == 0)
			return &l[i];
	}
	return star && !task_excludes(t, db, name) ? star : NULL;
}

/* All lists of db_collections under key; *ret_present says whether there is any. */
static const struct task_collection *find_in_dbs(
	const struct task *t, const char *key, const char *db, const char *name, bool *ret_present)
{
	const struct task_collection *found = NULL;

	*ret_present = false;
	for (size_t i = 0; i < t->n_dbs && !found; i++) {
		if (strcmp(db_or_default(t->dbs[i].db), key) != 0)
			continue;
		*ret_present = true;
		found = find_entry(t, t->dbs[i].collections, t->dbs[i].n_collections, db, name);
	}
	return found;
}

bool task_selects(const struct task *t, const char *db, const char *name,
	const struct task_collection **ret_info)
{
	const struct task_collection *found = NULL;
	bool own_list = false, star_list = false;

	db = db_or_default(db);
	if (strcmp(db, "default") == 0)
		found = find_entry(t, t->collection_infos, t->n_collection_infos, db, name);
	if (!found)
		found = find_in_dbs(t, db, db, name, &own_list);
	/* A database with a list of its own never falls back to that of "*". */
	if (!found && !own_list && !excluded_by_name(t, db, name))
		found = find_in_dbs(t, "*", db, name, &star_list);
	if (ret_info)
		*ret_info = found;
	return found != NULL;
}

bool task_covers_db(const struct task *t, const char *db)
{
	db = db_or_default(db);
	if (t->n_collection_infos && strcmp(db, "default") == 0)
		return true;
	for (size_t i = 0; i < t->n_dbs; i++) {
		const char *key = db_or_default(t->dbs[i].db);
		if (t->dbs[i].n_collections && (is_star(key) || strcmp(key, db) == 0))
			return true;
	}
	return false;
}

static const struct task_pair *find_pair(const struct task_mapping *m, const char *key)
{
	for (size_t i = 0; i < m->n_collections; i++)
		if (strcmp(m->collections[i].key, key) == 0)
			return &m->collections[i];
	return NULL;
}

static void put_name(char *out, size_t cap, const char *s)
{
	snprintf(out, cap, "%s", s);
}

void task_map_name(const struct task *t, const char *db, const char *name, char *ret_db,
	char *ret_name, size_t cap)
{
	const struct task_mapping *whole = NULL;

	db = db_or_default(db);
	for (size_t i = 0; i < t->n_mappings; i++) {
		const struct task_mapping *m = &t->mappings[i];
		if (strcmp(m->source_db, db) != 0)
			continue;
		const struct task_pair *p = name && !is_star(name) ? find_pair(m, name) : NULL;
		if (p && ret_name) {
			put_name(ret_db, cap, db_or_default(m->target_db));
			put_name(ret_name, cap, *p->value ? p->value : name);
			return;
		}
		if (!whole && (!m->n_collections || find_pair(m, "*")))
			whole = m;
	}
	put_name(ret_db, cap, whole ? db_or_default(whole->target_db) : db);
	if (ret_name)
		put_name(ret_name, cap, name ? name : "");
}
