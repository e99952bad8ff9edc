#include "store/store.h"

#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/keys.h"
#include "store/record.h"
#include "store/seal.h"

void store_positions_done(struct store_positions *p)
{
	free(p->task_id);
	free(p->collection_name);
	free(p->source);
	free(p->op);
	free(p->target);
	free(p->damaged);
	*p = (struct store_positions){.task_id = NULL};
}

static struct store_position *entries_copy(const struct store_position *l, size_t n)
{
	return n ? xmemdup(l, n * sizeof(*l)) : NULL;
}

void store_positions_copy(struct store_positions *to, const struct store_positions *from)
{
	*to = *from;
	to->task_id = xstrdup(from->task_id);
	to->collection_name = xstrdup(from->collection_name ? from->collection_name : "");
	to->source = entries_copy(from->source, from->n_source);
	to->op = entries_copy(from->op, from->n_op);
	to->target = entries_copy(from->target, from->n_target);
	to->damaged = from->damaged ? xstrdup(from->damaged) : NULL;
}

void store_exts_free(struct store_ext_kv *l, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(l[i].key);
		free(l[i].value);
	}
	free(l);
}

void store_positions_free(struct store_positions *l, size_t n)
{
	for (size_t i = 0; i < n; i++)
		store_positions_done(&l[i]);
	free(l);
}

void store_tasks_free(struct task **l, size_t n)
{
	for (size_t i = 0; i < n; i++)
		task_free(l[i]);
	free(l);
}

/* --- reading --- */

static void add_task(void *arg, const struct store_row *row)
{
	record_tasks_add(arg, row);
}

/* As they are stored, still sealed. */
static enum err_code read_tasks(
	struct store *st, struct stop *s, struct task ***ret_list, size_t *ret_n, struct err *e)
{
	CLEANUP(record_tasks_done)
	struct record_tasks out = {.n = 0};
	struct store_listing l = {.kind = STORE_TASKS, .below = "", .fn = add_task, .arg = &out};
	enum err_code code = st->ops->list(st, &l, s, e);

	if (code)
		return code;
	*ret_n = out.n;
	*ret_list = TAKE(out.v);
	out.n = 0;
	return ERR_OK;
}

enum err_code store_read_tasks(
	struct store *st, struct stop *s, struct task ***ret_list, size_t *ret_n, struct err *e)
{
	struct task **list = NULL;
	size_t n = 0;

	if (read_tasks(st, s, &list, &n, e))
		return e->code;
	for (size_t i = 0; i < n; i++)
		if (unseal_task(st->vault, list[i], e))
			break;
	if (e->code) {
		store_tasks_free(list, n);
		return e->code;
	}
	*ret_list = list;
	*ret_n = n;
	return ERR_OK;
}

static void add_doc(void *arg, const struct store_row *row)
{
	record_docs_add(arg, row);
}

enum err_code store_read_positions(struct store *st, const char *task_id, struct stop *s,
	struct store_positions **ret_list, size_t *ret_n, struct err *e)
{
	CLEANUP(record_docs_done)
	struct record_docs out = {.n = 0};
	CLEANUP(freep)
	char *below = keys_position_below(task_id);
	struct store_listing l = {
		.kind = STORE_POSITIONS, .below = below, .fn = add_doc, .arg = &out};
	enum err_code code = st->ops->list(st, &l, s, e);

	if (code)
		return code;
	*ret_n = out.n;
	*ret_list = TAKE(out.v);
	out.n = 0;
	return ERR_OK;
}

struct kv_list {
	struct store_ext_kv *v;
	size_t n, cap;
	size_t damaged; /* task records left out */
};

/* Takes key. */
static void kv_add(struct kv_list *out, char *key, struct slice value)
{
	mem_grow(&out->v, &out->cap, out->n + 1, sizeof(*out->v));
	out->v[out->n++] = (struct store_ext_kv){
		.key = key, .value = xstrndup((const char *)value.p, value.n)};
}

static void add_ext(void *arg, const struct store_row *row)
{
	kv_add(arg, xstrndup((const char *)row->rest.p, row->rest.n), row->texts[0]);
}

static void add_text(void *arg, const struct store_row *row)
{
	struct kv_list *out = arg;
	CLEANUP(task_freep)
	struct task *t = NULL;
	CLEANUP(freep)
	char *id = keys_decode_id(row->rest);
	struct err e = ERR_INIT;

	if (!id || record_task_decode(row->texts[0], &t, &e) || strcmp(t->id, id) != 0)
		out->damaged++;
	else
		kv_add(out, TAKE(id), row->texts[0]);
}

static enum err_code read_kvs(struct store *st, const struct store_listing *l, struct stop *s,
	struct store_ext_kv **ret_list, size_t *ret_n, struct err *e)
{
	struct kv_list *out = l->arg;
	enum err_code code = FAILPOINTS("store.read", st->ops->list(st, l, s, e));

	if (code) {
		store_exts_free(out->v, out->n);
		return code;
	}
	*ret_list = out->v;
	*ret_n = out->n;
	return ERR_OK;
}

enum err_code store_read_exts(struct store *st, const char *prefix, struct stop *s,
	struct store_ext_kv **ret_list, size_t *ret_n, struct err *e)
{
	struct kv_list out = {.n = 0};
	struct store_listing l = {.kind = STORE_EXTS, .below = prefix, .fn = add_ext, .arg = &out};

	return read_kvs(st, &l, s, ret_list, ret_n, e);
}

enum err_code store_read_texts(struct store *st, struct stop *s, struct store_ext_kv **ret_list,
	size_t *ret_n, size_t *ret_damaged, struct err *e)
{
	struct kv_list out = {.n = 0};
	struct store_listing l = {.kind = STORE_TASKS, .below = "", .fn = add_text, .arg = &out};
	struct store_ext_kv *list = NULL;
	size_t n = 0;

	if (read_kvs(st, &l, s, &list, &n, e))
		return e->code;
	for (size_t i = 0; i < n && !e->code; i++) {
		char *plain = NULL;
		if (!unseal_text(st->vault, list[i].value, &plain, e)) {
			free(list[i].value);
			list[i].value = plain;
		}
	}
	if (e->code) {
		store_exts_free(list, n);
		return e->code;
	}
	*ret_damaged = out.damaged;
	*ret_list = list;
	*ret_n = n;
	return ERR_OK;
}

/* --- changes --- */

/* Does the batch hold one of our records of that kind? For failpoints. */
static bool has_ext(const struct store_batch *b, const char *prefix)
{
	for (size_t i = 0; i < b->n_exts; i++)
		if (str_starts(b->exts[i].key, prefix))
			return true;
	return false;
}

static enum err_code write_out(
	struct store *st, const struct store_batch *b, struct stop *s, struct err *e)
{
	if (FAILPOINTS_ON && b->task)
		return FAILPOINTS("store.task", st->ops->write(st, b, s, e));
	if (FAILPOINTS_ON && has_ext(b, "chan/"))
		return FAILPOINTS("store.channel", st->ops->write(st, b, s, e));
	if (FAILPOINTS_ON && has_ext(b, "object/"))
		return FAILPOINTS("store.object", st->ops->write(st, b, s, e));
	return FAILPOINTS("store.positions", st->ops->write(st, b, s, e));
}

static void sealed_free(struct store_ext *l, size_t n)
{
	for (size_t i = 0; l && i < n; i++)
		free((char *)(uintptr_t)l[i].value);
	free(l);
}

/* Keys stay b's, values are ours. */
static enum err_code seal_texts(
	const struct vault *v, const struct store_batch *b, struct store_ext **ret, struct err *e)
{
	struct store_ext *l = *ret = xcalloc(b->n_texts, sizeof(*l));

	for (size_t i = 0; i < b->n_texts; i++) {
		char *sealed = NULL;
		if (seal_text(v, b->texts[i].value, &sealed, e))
			return e->code;
		l[i] = (struct store_ext){b->texts[i].key, sealed};
	}
	return ERR_OK;
}

enum err_code store_write(
	struct store *st, const struct store_batch *b, struct stop *s, struct err *e)
{
	CLEANUP(task_freep) struct task *t = b->task ? task_copy(b->task) : NULL;
	struct store_batch sealed = *b;
	struct store_ext *texts = NULL;

	if (t && seal_task(st->vault, t, e))
		return e->code;
	sealed.task = t;
	enum err_code code = b->n_texts ? seal_texts(st->vault, b, &texts, e) : ERR_OK;
	sealed.texts = texts;
	if (!code)
		code = write_out(st, &sealed, s, e);
	sealed_free(texts, b->n_texts);
	return code;
}

enum err_code store_put_task(struct store *st, const struct task *t, struct stop *s, struct err *e)
{
	struct store_batch b = {.task = t};
	return store_write(st, &b, s, e);
}

void store_use_vault(struct store *st, struct vault *v)
{
	st->vault = v;
}

enum err_code store_reseal(struct store *st, struct stop *s, size_t *ret_n, struct err *e)
{
	struct task **stored = NULL, **list = NULL;
	size_t n = 0, n_list = 0;

	*ret_n = 0;
	/* All are opened before the first is written. */
	if (!st->vault || read_tasks(st, s, &stored, &n, e))
		return e->code;
	enum err_code code = store_read_tasks(st, s, &list, &n_list, e);
	for (size_t i = 0; !code && i < MIN(n, n_list); i++) {
		/* Damaged ones have no credentials, and nothing to write. */
		if (seal_is_current(st->vault, stored[i]) ||
			strcmp(stored[i]->id, list[i]->id) != 0)
			continue;
		code = store_put_task(st, list[i], s, e);
		*ret_n += code == ERR_OK;
	}
	store_tasks_free(stored, n);
	store_tasks_free(list, n_list);
	return code;
}

enum err_code store_delete_task(struct store *st, const char *id, struct stop *s, struct err *e)
{
	return FAILPOINTS("store.delete", st->ops->task_delete(st, id, s, e));
}

enum err_code store_no_task(const char *task_id, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, "positions of task %s, which does not exist", task_id);
}

void store_close(struct store *st)
{
	struct vault *v = st ? st->vault : NULL;

	if (st)
		st->ops->close(st);
	vault_free(v);
}
