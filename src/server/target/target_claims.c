/* Who replicates what to a session: each source collection is one task's, each name on the target
 * one collection's. Names stay claimed while their task is paused, over a restart too; a collection gives its name back
 * when it is dropped there or renamed. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "server/task/coll.h"
#include "server/target/target_priv.h"
#include "store/keys.h"

enum { NAME_KEY_BYTES = 2100 };

struct name_claim {
	int64_t source_id;
	char task[160];
};

bool target_claim(struct target *t, int64_t source_id, const void *owner)
{
	struct session *s = t->session;
	void *mine = (void *)(uintptr_t)owner; /* only compared */

	mutex_lock(&s->mtx);
	void *has = umap_get(&s->claims, (uint64_t)source_id);
	if (!has)
		umap_put(&s->claims, (uint64_t)source_id, mine);
	mutex_unlock(&s->mtx);
	return !has || has == mine;
}

bool target_has_claim(struct target *t, int64_t source_id)
{
	struct session *s = t->session;

	mutex_lock(&s->mtx);
	bool has = umap_get(&s->claims, (uint64_t)source_id) != NULL;
	mutex_unlock(&s->mtx);
	return has;
}

void target_unclaim_one(struct target *t, int64_t source_id, const void *owner)
{
	struct session *s = t->session;

	mutex_lock(&s->mtx);
	if (umap_get(&s->claims, (uint64_t)source_id) == owner)
		umap_del(&s->claims, (uint64_t)source_id);
	mutex_unlock(&s->mtx);
}

void target_unclaim(struct target *t, const void *owner)
{
	struct session *s = t->session;
	struct umap left = {0};
	size_t pos = 0;
	uint64_t id;
	void *v;

	mutex_lock(&s->mtx);
	while (umap_next(&s->claims, &pos, &id, &v))
		if (v != owner)
			umap_put(&left, id, v);
	umap_done(&s->claims);
	s->claims = left;
	mutex_unlock(&s->mtx);
}

/* ---- names ---- */

static void name_key(const char *db, const char *name, char out[NAME_KEY_BYTES])
{
	snprintf(out, NAME_KEY_BYTES, "%s\x1f%s", db, name);
}

int64_t target_claim_name(struct target *t, const char *db, const char *name, int64_t source_id)
{
	struct session *s = t->session;
	char key[NAME_KEY_BYTES];
	int64_t holder = 0;

	name_key(db, name, key);
	mutex_lock(&s->mtx);
	const struct name_claim *has = smap_get(&s->names, key);
	if (has && has->source_id != source_id)
		holder = has->source_id;
	if (!has) {
		struct name_claim *mine = xcalloc(1, sizeof(*mine));
		mine->source_id = source_id;
		snprintf(mine->task, sizeof(mine->task), "%s", t->task->id);
		smap_put(&s->names, key, mine);
	}
	mutex_unlock(&s->mtx);
	return holder;
}

void target_release_name(struct target *t, const char *db, const char *name, int64_t source_id)
{
	struct session *s = t->session;
	char key[NAME_KEY_BYTES];

	name_key(db, name, key);
	mutex_lock(&s->mtx);
	struct name_claim *has = smap_get(&s->names, key);
	if (has && has->source_id == source_id) {
		smap_del(&s->names, key);
		free(has);
	}
	mutex_unlock(&s->mtx);
}

void target_release_task(struct target *t)
{
	struct session *s = t->session;
	struct smap left = {0};
	size_t pos = 0;
	const char *key;
	void *v;

	mutex_lock(&s->mtx);
	while (smap_next(&s->names, &pos, &key, &v)) {
		struct name_claim *c = v;
		if (strcmp(c->task, t->task->id) == 0)
			free(c);
		else
			smap_put(&left, key, c);
	}
	smap_done(&s->names);
	s->names = left;
	mutex_unlock(&s->mtx);
}

void session_claims_done(struct session *s)
{
	size_t pos = 0;
	const char *key;
	void *v;

	while (smap_next(&s->names, &pos, &key, &v))
		free(v);
	smap_done(&s->names);
	umap_done(&s->claims);
}

/* One record of a collection: it holds its name until it is dropped on the target. */
static void claim_record(struct target *t, int64_t source_id, const char *json)
{
	json_t *o = json_loads(json, 0, NULL);
	const char *state = json_string_value(json_object_get(o, "state"));
	const char *db = json_string_value(json_object_get(o, "target_db"));
	const char *name = json_string_value(json_object_get(o, "target_name"));

	if (state && db && name && strcmp(state, coll_state_name(COLL_DROPPED)) != 0)
		(void)target_claim_name(t, db, name, source_id);
	json_decref(o);
}

enum err_code target_claim_recorded(
	struct target *t, struct store *st, struct stop *s, struct err *e)
{
	CLEANUP(freep) char *prefix = keys_ext_task("object", t->task->id, "");
	struct store_ext_kv *kv = NULL;
	int64_t id;
	size_t n = 0;

	if (store_read_exts(st, prefix, s, &kv, &n, e))
		return err_ctx(e, "records of task %s", t->task->id);
	for (size_t i = 0; i < n; i++)
		if (str_to_i64(kv[i].key + strlen(prefix), &id))
			claim_record(t, id, kv[i].value);
	store_exts_free(kv, n);
	return ERR_OK;
}

bool target_any_task(struct target *t, bool (*fn)(void *arg, const struct task *task), void *arg)
{
	struct targets *set = t->session->set;
	bool found = false;

	mutex_lock(&set->mtx);
	list_foreach (it, &t->session->handles)
		found = found || fn(arg, LIST_ITEM(it, struct target, link)->task);
	mutex_unlock(&set->mtx);
	return found;
}
