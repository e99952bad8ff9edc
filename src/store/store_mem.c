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

static enum err_code mem_list(
	struct store *st, const struct store_listing *l, struct stop *s, struct err *e)
{
	struct store_mem *m = self(st);
	CLEANUP(freep)
	char *all = keys_kind_prefix(m->root, l->kind);
	CLEANUP(freep)
	char *prefix = xasprintf("%s%s", all, l->below);
	size_t n = 0;

	if (stop_is_set(s))
		return stop_err(e);
	mutex_lock(&m->mtx);
	enum err_code code = enter_locked(m, e);
	CLEANUP(freep)
	const char **keys = keys_locked(m, prefix, &n);
	for (size_t i = 0; i < n && !code; i++) {
		struct store_row row = {.rest = slice_str(keys[i] + strlen(all)),
			.texts = {slice_str(smap_get(&m->kv, keys[i]))}};
		l->fn(l->arg, &row);
	}
	mutex_unlock(&m->mtx);
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

static void positions_put_locked(struct store_mem *m, const struct store_batch *b, char **texts,
	const char **ret_missing) REQUIRES(m->mtx)
{
	for (size_t i = 0; i < b->n_positions; i++) {
		const struct store_positions *p = &b->positions[i];
		CLEANUP(freep)
		char *key = keys_position(m->root, p->task_id, p->collection_id);
		if (has_task_locked(m, b, p->task_id))
			put_locked(m, key, TAKE(texts[i]));
		else
			*ret_missing = p->task_id;
	}
}

/* Takes key. */
static void copy_locked(struct store_mem *m, char *key, const char *value) REQUIRES(m->mtx)
{
	put_locked(m, key, value ? xstrdup(value) : NULL);
	free(key);
}

static enum err_code write_locked(struct store_mem *m, const struct store_batch *b, char **texts,
	struct err *e) REQUIRES(m->mtx)
{
	const char *missing = NULL;

	for (size_t i = 0; i < b->n_texts; i++)
		copy_locked(m, keys_task(m->root, b->texts[i].key), b->texts[i].value);
	if (b->task && task_put_locked(m, b->task, e))
		return e->code;
	positions_put_locked(m, b, texts, &missing);
	for (size_t i = 0; i < b->n_gone; i++)
		copy_locked(m, keys_position(m->root, b->gone[i].task_id, b->gone[i].collection_id),
			NULL);
	for (size_t i = 0; i < b->n_exts; i++)
		copy_locked(m, keys_ext(m->root, b->exts[i].key), b->exts[i].value);
	m->writes += b->n_positions || b->n_gone || b->n_exts;
	return missing ? store_no_task(missing, e) : ERR_OK;
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

static enum err_code mem_fence(
	struct store *st, struct stop *s UNUSED, struct store_fence *ret, struct err *e UNUSED)
{
	*ret = (struct store_fence){.revision = (int64_t)store_mem_writes(st)};
	return ERR_OK;
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
	.list = mem_list,
	.write = mem_write,
	.task_delete = mem_task_delete,
	.fence = mem_fence,
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
