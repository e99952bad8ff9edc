#include "store/store_mem.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/mutex.h"
#include "base/str.h"
#include "store/keys.h"
#include "store/record.h"

struct store_mem {
	struct store st;
	char *root;
	struct mutex mtx;
	/* Under mtx: */
	struct smap kv; /* full key -> heap text */
	enum err_code fail_code;
	unsigned fail_times;
	uint64_t writes;
};

static struct store_mem *self(struct store *st)
{
	return CONTAINER_OF(st, struct store_mem, st);
}

static enum err_code enter_locked(struct store_mem *m, struct err *e) REQUIRES(m->mtx)
{
	if (!m->fail_times)
		return ERR_OK;
	m->fail_times--;
	return err_set(e, m->fail_code, "store mem: told to fail");
}

/* Takes value. */
static void put_locked(struct store_mem *m, const char *key, char *value) REQUIRES(m->mtx)
{
	free(value ? smap_put(&m->kv, key, value) : smap_del(&m->kv, key));
}

static int by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;
	return strcmp(*x, *y);
}

/* Borrowed keys with the prefix, in order; the array is heap. */
static const char **keys_locked(struct store_mem *m, const char *prefix, size_t *ret_n)
	REQUIRES(m->mtx)
{
	const char **l = xcalloc(smap_count(&m->kv), sizeof(*l));
	size_t pos = 0, n = 0;
	const char *key;
	void *value;

	while (smap_next(&m->kv, &pos, &key, &value))
		if (str_starts(key, prefix))
			l[n++] = key;
	qsort(l, n, sizeof(*l), by_text);
	*ret_n = n;
	return l;
}

static void delete_prefix_locked(struct store_mem *m, const char *prefix) REQUIRES(m->mtx)
{
	size_t n;
	CLEANUP(freep)
	const char **l = keys_locked(m, prefix, &n);

	for (size_t i = 0; i < n; i++)
		put_locked(m, l[i], NULL);
}

static enum err_code mem_check(struct store *st, struct stop *s, struct err *e)
{
	struct store_mem *m = self(st);

	if (stop_is_set(s))
		return stop_err(e);
	mutex_lock(&m->mtx);
	enum err_code code = enter_locked(m, e);
	mutex_unlock(&m->mtx);
	return code;
}

static enum err_code mem_tasks(
	struct store *st, struct stop *s, struct task ***ret_list, size_t *ret_n, struct err *e)
{
	CLEANUP(freep)
	char *prefix = keys_task_prefix(self(st)->root);
	struct store_mem *m = self(st);
	struct record_tasks out = {.n = 0};
	size_t n = 0;

	if (stop_is_set(s))
		return stop_err(e);
	mutex_lock(&m->mtx);
	enum err_code code = enter_locked(m, e);
	CLEANUP(freep)
	const char **l = keys_locked(m, prefix, &n);
	for (size_t i = 0; i < n && !code; i++)
		record_tasks_add(
			&out, slice_str(l[i] + strlen(prefix)), slice_str(smap_get(&m->kv, l[i])));
	mutex_unlock(&m->mtx);
	*ret_list = out.v;
	*ret_n = out.n;
	return code;
}

/* The text of t over what is stored; NULL on failure. */
static char *merged_locked(
	struct store_mem *m, const char *key, const struct task *t, struct err *e) REQUIRES(m->mtx)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(LIMIT_RECORD);
	const char *stored = smap_get(&m->kv, key);

	if (stored ? record_task_merge(&b, slice_str(stored), t, e) : record_task_encode(&b, t, e))
		return NULL;
	return buf_take(&b);
}

static enum err_code task_put_locked(struct store_mem *m, const struct task *t, struct err *e)
	REQUIRES(m->mtx)
{
	CLEANUP(freep)
	char *key = keys_task(m->root, t->id);
	char *text = merged_locked(m, key, t, e);

	if (!text)
		return e->code;
	put_locked(m, key, text);
	return ERR_OK;
}

static enum err_code mem_task_put(
	struct store *st, const struct task *t, struct stop *s, struct err *e)
{
	struct store_mem *m = self(st);

	if (stop_is_set(s))
		return stop_err(e);
	mutex_lock(&m->mtx);
	enum err_code code = enter_locked(m, e);
	if (!code)
		code = task_put_locked(m, t, e);
	mutex_unlock(&m->mtx);
	return code;
}

static enum err_code mem_task_delete(
	struct store *st, const char *id, struct stop *s, struct err *e)
{
	struct store_mem *m = self(st);
	CLEANUP(freep)
	char *task = keys_task(m->root, id);
	CLEANUP(freep)
	char *positions = keys_position_prefix(m->root, id);
	CLEANUP(freep)
	char *object = keys_ext_task("object", id, "");
	CLEANUP(freep)
	char *objects = keys_ext(m->root, object);
	CLEANUP(freep)
	char *bound = keys_ext_task("bound", id, "");
	CLEANUP(freep)
	char *bounds = keys_ext(m->root, bound);

	if (stop_is_set(s))
		return stop_err(e);
	mutex_lock(&m->mtx);
	enum err_code code = enter_locked(m, e);
	if (!code) {
		put_locked(m, task, NULL);
		delete_prefix_locked(m, positions);
		delete_prefix_locked(m, objects);
		delete_prefix_locked(m, bounds);
	}
	mutex_unlock(&m->mtx);
	return code;
}

static enum err_code mem_positions(struct store *st, const char *task_id, struct stop *s,
	struct store_positions **ret_list, size_t *ret_n, struct err *e)
{
	struct store_mem *m = self(st);
	CLEANUP(freep)
	char *all = keys_position_prefix(m->root, NULL);
	CLEANUP(freep)
	char *prefix = keys_position_prefix(m->root, task_id);
	struct record_docs out = {.n = 0};
	size_t n = 0;

	if (stop_is_set(s))
		return stop_err(e);
	mutex_lock(&m->mtx);
	enum err_code code = enter_locked(m, e);
	CLEANUP(freep)
	const char **l = keys_locked(m, prefix, &n);
	for (size_t i = 0; i < n && !code; i++)
		record_docs_add(
			&out, slice_str(l[i] + strlen(all)), slice_str(smap_get(&m->kv, l[i])));
	mutex_unlock(&m->mtx);
	*ret_list = out.v;
	*ret_n = out.n;
	return code;
}

static bool has_task_locked(struct store_mem *m, const struct store_batch *b, const char *id)
	REQUIRES(m->mtx)
{
	CLEANUP(freep)
	char *key = keys_task(m->root, id);
	return smap_get(&m->kv, key) || (b->task && strcmp(b->task->id, id) == 0);
}

/* All texts first, so that a record that can't be encoded changes nothing. */
static enum err_code encode_all(const struct store_batch *b, char **texts, struct err *e)
{
	for (size_t i = 0; i < b->n_positions; i++) {
		CLEANUP(buf_done)
		struct buf text = BUF_INIT(LIMIT_RECORD);
		if (record_positions_encode(&text, &b->positions[i], e))
			return e->code;
		texts[i] = buf_take(&text);
	}
	return ERR_OK;
}

static enum err_code write_locked(struct store_mem *m, const struct store_batch *b, char **texts,
	struct err *e) REQUIRES(m->mtx)
{
	const char *missing = NULL;

	if (b->task && task_put_locked(m, b->task, e))
		return e->code;
	for (size_t i = 0; i < b->n_positions; i++) {
		const struct store_positions *p = &b->positions[i];
		CLEANUP(freep)
		char *key = keys_position(m->root, p->task_id, p->collection_id);
		if (has_task_locked(m, b, p->task_id))
			put_locked(m, key, TAKE(texts[i]));
		else
			missing = p->task_id;
	}
	for (size_t i = 0; i < b->n_exts; i++) {
		CLEANUP(freep)
		char *key = keys_ext(m->root, b->exts[i].key);
		put_locked(m, key, b->exts[i].value ? xstrdup(b->exts[i].value) : NULL);
	}
	m->writes++;
	return missing ? err_set(e, ERR_NOT_FOUND, "positions of task %s, which does not exist",
				 missing)
		       : ERR_OK;
}

static enum err_code mem_write(
	struct store *st, const struct store_batch *b, struct stop *s, struct err *e)
{
	struct store_mem *m = self(st);
	CLEANUP(freep)
	char **texts = xcalloc(b->n_positions, sizeof(*texts));
	enum err_code code = stop_is_set(s) ? stop_err(e) : encode_all(b, texts, e);

	if (!code) {
		mutex_lock(&m->mtx);
		code = enter_locked(m, e);
		if (!code)
			code = write_locked(m, b, texts, e);
		mutex_unlock(&m->mtx);
	}
	for (size_t i = 0; i < b->n_positions; i++)
		free(texts[i]);
	return code;
}

static enum err_code mem_exts(struct store *st, const char *prefix, struct stop *s,
	struct store_ext_kv **ret_list, size_t *ret_n, struct err *e)
{
	struct store_mem *m = self(st);
	CLEANUP(freep)
	char *all = keys_ext_prefix(m->root);
	CLEANUP(freep)
	char *full = keys_ext(m->root, prefix);
	struct store_ext_kv *out = NULL;
	size_t n = 0;

	if (stop_is_set(s))
		return stop_err(e);
	mutex_lock(&m->mtx);
	enum err_code code = enter_locked(m, e);
	CLEANUP(freep)
	const char **l = keys_locked(m, full, &n);
	n = code ? 0 : n;
	out = n ? xcalloc(n, sizeof(*out)) : NULL;
	for (size_t i = 0; i < n; i++)
		out[i] = (struct store_ext_kv){.key = xstrdup(l[i] + strlen(all)),
			.value = xstrdup(smap_get(&m->kv, l[i]))};
	mutex_unlock(&m->mtx);
	*ret_list = out;
	*ret_n = n;
	return code;
}

static void mem_close(struct store *st)
{
	struct store_mem *m = self(st);
	size_t pos = 0;
	void *value;

	while (smap_next(&m->kv, &pos, &(const char *){NULL}, &value))
		free(value);
	smap_done(&m->kv);
	mutex_done(&m->mtx);
	free(m->root);
	free(m);
}

static const struct store_ops mem_ops = {
	.name = "mem",
	.check = mem_check,
	.tasks = mem_tasks,
	.task_put = mem_task_put,
	.task_delete = mem_task_delete,
	.positions = mem_positions,
	.write = mem_write,
	.exts = mem_exts,
	.close = mem_close,
};

struct store *store_mem_new(const char *root_path)
{
	struct store_mem *m = xcalloc(1, sizeof(*m));

	m->st.ops = &mem_ops;
	m->root = keys_root(root_path);
	mutex_init(&m->mtx, "store mem");
	return &m->st;
}

void store_mem_fail(struct store *st, enum err_code code, unsigned times)
{
	struct store_mem *m = self(st);

	mutex_lock(&m->mtx);
	m->fail_code = code;
	m->fail_times = times;
	mutex_unlock(&m->mtx);
}

void store_mem_raw(struct store *st, const char *key, const char *value)
{
	struct store_mem *m = self(st);

	mutex_lock(&m->mtx);
	put_locked(m, key, value ? xstrdup(value) : NULL);
	mutex_unlock(&m->mtx);
}

char *store_mem_get(struct store *st, const char *key)
{
	struct store_mem *m = self(st);

	mutex_lock(&m->mtx);
	const char *v = smap_get(&m->kv, key);
	char *copy = v ? xstrdup(v) : NULL;
	mutex_unlock(&m->mtx);
	return copy;
}

uint64_t store_mem_writes(struct store *st)
{
	struct store_mem *m = self(st);

	mutex_lock(&m->mtx);
	uint64_t n = m->writes;
	mutex_unlock(&m->mtx);
	return n;
}
