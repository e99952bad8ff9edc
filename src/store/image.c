#include "store/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "store/keys.h"
#include "store/record.h"

enum { BATCH = 500 };

void image_done(struct image *m)
{
	size_t pos = 0;
	void *v;

	store_exts_free(m->texts, m->n_texts);
	store_exts_free(m->exts, m->n_exts);
	store_positions_free(m->docs, m->n_docs);
	while (smap_next(&m->values, &pos, &(const char *){NULL}, &v))
		free(v);
	smap_done(&m->values);
	*m = (struct image){.n_texts = 0};
}

/* --- reading --- */

/* MySQL keeps JSON in an order and with spaces of its own. */
static char *canonical(const char *text)
{
	CLEANUP(json_in_freep)
	json_t *j = NULL;

	if (json_in_parse(slice_str(text), &j, NULL))
		return xstrdup(text);
	char *out = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	char *copy = xstrdup(out ? out : text);
	free(out);
	return copy;
}

/* Takes name and value. */
static void remember(struct image *m, char *name, char *value)
{
	free(smap_put(&m->values, name, value));
	free(name);
}

static void remember_kvs(struct image *m, const char *kind, const struct store_ext_kv *l, size_t n)
{
	for (size_t i = 0; i < n; i++)
		remember(m, xasprintf("%s/%s", kind, l[i].key), canonical(l[i].value));
}

static bool has_task(const struct image *m, const char *id)
{
	CLEANUP(freep)
	char *name = xasprintf("task/%s", id);
	return smap_get(&m->values, name) != NULL;
}

/* Takes p: keeps it, or counts why not. */
static enum err_code take_doc(struct image *m, struct store_positions *p, struct err *e)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(LIMIT_RECORD);
	long long id = p->collection_id;

	if (p->damaged || !has_task(m, p->task_id)) {
		m->damaged += p->damaged != NULL;
		m->orphans += p->damaged == NULL;
		if (p->damaged)
			snprintf(m->damaged_name, sizeof(m->damaged_name),
				"position of task %s, collection %lld", p->task_id, id);
		store_positions_done(p);
		return ERR_OK;
	}
	m->docs[m->n_docs++] = *p;
	if (record_positions_encode(&b, p, e))
		return err_ctx(e, "position of task %s, collection %lld", p->task_id, id);
	remember(m, xasprintf("position/%s/%lld", p->task_id, id), buf_take(&b));
	return ERR_OK;
}

static enum err_code take_docs(struct image *m, struct store_positions *l, size_t n, struct err *e)
{
	enum err_code code = ERR_OK;

	m->docs = xcalloc(n, sizeof(*m->docs));
	for (size_t i = 0; i < n; i++) {
		if (code)
			store_positions_done(&l[i]);
		else
			code = take_doc(m, &l[i], e);
	}
	free(l);
	return code;
}

static enum err_code read_all(struct store *st, struct stop *s, struct image *m, struct err *e)
{
	struct store_positions *docs;
	size_t n;

	if (store_read_texts(st, s, &m->texts, &m->n_texts, &m->damaged, e))
		return e->code;
	if (m->damaged)
		snprintf(m->damaged_name, sizeof(m->damaged_name), "task record");
	remember_kvs(m, "task", m->texts, m->n_texts);
	if (store_read_exts(st, "", s, &m->exts, &m->n_exts, e))
		return e->code;
	remember_kvs(m, "ext", m->exts, m->n_exts);
	if (store_read_positions(st, NULL, s, &docs, &n, e))
		return e->code;
	return take_docs(m, docs, n, e);
}

enum err_code image_read(struct store *st, struct stop *s, struct image *ret, struct err *e)
{
	*ret = (struct image){.n_texts = 0};
	enum err_code code = read_all(st, s, ret, e);

	if (code)
		image_done(ret);
	return code;
}

bool image_is_part(const struct image *a, const struct image *b, const char **ret_name)
{
	const char *name;
	size_t pos = 0;
	void *value;

	while (smap_next(&a->values, &pos, &name, &value)) {
		const char *other = smap_get(&b->values, name);
		if (other && strcmp(other, value) == 0)
			continue;
		*ret_name = name;
		return false;
	}
	return true;
}

/* --- writing --- */

/* The next records of one kind; kvs is for STORE_TASKS and STORE_EXTS. */
static enum err_code write_some(const struct image *m, enum store_kind kind, size_t from, size_t n,
	struct store *st, struct stop *s, struct err *e)
{
	CLEANUP(freep)
	struct store_ext *l = xcalloc(n, sizeof(*l));
	const struct store_ext_kv *kvs = kind == STORE_TASKS ? m->texts : m->exts;
	struct store_batch b = {.task = NULL};

	for (size_t i = 0; i < n && kind != STORE_POSITIONS; i++)
		l[i] = (struct store_ext){kvs[from + i].key, kvs[from + i].value};
	switch (kind) {
	case STORE_TASKS:
		b.texts = l;
		b.n_texts = n;
		break;
	case STORE_POSITIONS:
		b.positions = m->docs + from;
		b.n_positions = n;
		break;
	case STORE_EXTS:
		b.exts = l;
		b.n_exts = n;
		break;
	}
	return store_write(st, &b, s, e);
}

enum err_code image_write(const struct image *m, struct store *st, struct stop *s, struct err *e)
{
	const size_t counts[] = {m->n_texts, m->n_docs, m->n_exts};

	for (enum store_kind kind = STORE_TASKS; kind <= STORE_EXTS; kind++)
		for (size_t i = 0; i < counts[kind]; i += BATCH)
			if (write_some(m, kind, i, MIN(BATCH, counts[kind] - i), st, s, e))
				return e->code;
	return ERR_OK;
}
