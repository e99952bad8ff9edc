/* The etcd metastore. Reads are plain. Changes take turns in this process and go through change(),
 * which builds a transaction, adds the owner key to it (store_etcd.h) and builds it anew when a
 * write of ours that was given up, or a person, moved a key in between.
 *
 * known: ids of tasks that have a record, so that positions of a deleted task are not written again
 * without a read per batch. It is true exactly at the owner key's revision guard_rev: any change
 * made elsewhere moves the revision, then our transaction fails and known starts empty. */
#include "store/store_etcd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "store/keys.h"
#include "store/owner.h"
#include "store/record.h"
#include "store/turn.h"

enum {
	TRIES = 4,
	/* etcd refuses requests above 1.5 MiB by default; a single bigger record is tried alone. */
	TXN_BYTES = 1 << 20,
	UNKNOWN = -1,
};

struct store_etcd {
	struct store st;
	struct etcd *c;
	char *root, *guard_key;
	char *owner; /* the value we put under guard_key */
	struct turn turn;
	/* Of whoever has the turn: */
	int64_t guard_rev;
	bool claimed;
	struct smap known; /* id -> me */
};

/* A transaction being built. */
struct txn {
	struct etcd_op ops[LIMIT_ETCD_TXN_OPS];
	char *keys[LIMIT_ETCD_TXN_OPS], *values[LIMIT_ETCD_TXN_OPS]; /* what the ops point to */
	size_t n, bytes;
	struct etcd_cmp cmps[2];
	size_t n_cmps;
	char *cmp_key;
};

static struct store_etcd *self(struct store *st)
{
	return CONTAINER_OF(st, struct store_etcd, st);
}

/* --- building --- */

static void txn_done(struct txn *x)
{
	for (size_t i = 0; i < x->n; i++) {
		free(x->keys[i]);
		free(x->values[i]);
	}
	free(x->cmp_key);
	*x = (struct txn){.n = 0};
}

/* Takes key and value (which may be NULL). */
static void txn_add(struct txn *x, enum etcd_op_kind kind, char *key, char *value)
{
	struct slice v = value ? slice_str(value) : (struct slice){.n = 0};

	x->keys[x->n] = key;
	x->values[x->n] = value;
	x->ops[x->n++] = (struct etcd_op){.kind = kind, .key = key, .value = v};
	x->bytes += strlen(key) + v.n;
}

/* Is there room for a value of n more bytes? One place is the owner key's. */
static bool txn_fits(const struct txn *x, size_t n)
{
	return x->n == 0 || (x->n < LIMIT_ETCD_TXN_OPS - 1 && x->bytes + n <= TXN_BYTES);
}

/* --- turns, the owner key, and what is known at its revision --- */

static void forget_guard(struct store_etcd *me)
{
	smap_done(&me->known);
	me->guard_rev = UNKNOWN;
}

/* Reads the owner key. CONFLICT when it was ours and is no longer. */
static enum err_code load_guard(struct store_etcd *me, struct stop *s, struct err *e)
{
	CLEANUP(etcd_range_done)
	struct etcd_range r;

	etcd_range_init(&r);
	if (etcd_get(me->c, me->guard_key, s, &r, e))
		return e->code;
	if (me->claimed && r.n && !slice_eq_str(r.kvs[0].value, me->owner))
		return store_taken_over(me->root, r.kvs[0].value, e);
	me->guard_rev = r.n ? r.kvs[0].mod_revision : 0;
	return ERR_OK;
}

/* --- changes --- */

/* build fills x; it is called again when the transaction met a conflict. done (may be NULL) runs
 * once after success. */
struct change {
	enum err_code (*build)(
		struct store_etcd *me, void *arg, struct txn *x, struct stop *s, struct err *e);
	void (*done)(struct store_etcd *me, void *arg);
	void *arg;
};

/* One attempt, with the turn. *ret_again: build again. */
static enum err_code attempt(struct store_etcd *me, const struct change *ch, struct stop *s,
	bool *ret_again, struct err *e)
{
	CLEANUP(txn_done)
	struct txn x = {.n = 0};
	struct err mine = ERR_INIT;

	*ret_again = false;
	if (me->guard_rev == UNKNOWN && load_guard(me, s, e))
		return e->code;
	if (ch->build(me, ch->arg, &x, s, e))
		return e->code;
	if (!x.n)
		return ERR_OK;
	txn_add(&x, ETCD_PUT, xstrdup(me->guard_key), xstrdup(me->owner));
	x.cmps[x.n_cmps++] = (struct etcd_cmp){.key = me->guard_key, .mod_revision = me->guard_rev};
	enum err_code code =
		etcd_txn(me->c, x.cmps, x.n_cmps, x.ops, x.n, s, &me->guard_rev, &mine);
	if (code) {
		forget_guard(me);
		*ret_again = code == ERR_CONFLICT;
		return err_set_origin(e, code, mine.origin, "%s", mine.text);
	}
	me->claimed = true;
	if (ch->done)
		ch->done(me, ch->arg);
	return ERR_OK;
}

static enum err_code attempts(
	struct store_etcd *me, const struct change *ch, struct stop *s, struct err *e)
{
	bool again;

	for (int i = 1;; i++) {
		struct err mine = ERR_INIT;
		enum err_code code = attempt(me, ch, s, &again, &mine);
		if (!code)
			return ERR_OK;
		if (!again || i == TRIES || stop_is_set(s))
			return err_set_origin(
				e, code, mine.origin, "metastore etcd: %s", mine.text);
	}
}

static enum err_code change(
	struct store_etcd *me, const struct change *ch, struct stop *s, struct err *e)
{
	if (turn_take(&me->turn, s, e))
		return e->code;
	enum err_code code = attempts(me, ch, s, e);
	turn_give(&me->turn);
	return code;
}

static enum err_code et_check(struct store *st, struct stop *s, struct err *e)
{
	struct store_etcd *me = self(st);

	if (etcd_status(me->c, s, e))
		return err_ctx(e, "metastore etcd");
	/* The status needs no rights, a read does; and it shows whether we are still the owner. */
	if (turn_take(&me->turn, s, e))
		return e->code;
	forget_guard(me);
	enum err_code code = load_guard(me, s, e);
	turn_give(&me->turn);
	return code ? err_ctx(e, "metastore etcd") : ERR_OK;
}

static enum err_code add_task(
	struct store_etcd *me, const struct task *t, struct txn *x, struct stop *s, struct err *e)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(LIMIT_RECORD);
	CLEANUP(etcd_range_done)
	struct etcd_range r;
	CLEANUP(freep)
	char *key = keys_task(me->root, t->id);

	etcd_range_init(&r);
	if (etcd_get(me->c, key, s, &r, e))
		return e->code;
	if (r.n ? record_task_merge(&b, r.kvs[0].value, t, e) : record_task_encode(&b, t, e))
		return e->code;
	/* Nobody, not even a person with etcdctl, may change it between our read and our write. */
	x->cmp_key = xstrdup(key);
	x->cmps[x->n_cmps++] = (struct etcd_cmp){
		.key = x->cmp_key, .mod_revision = r.n ? r.kvs[0].mod_revision : 0};
	txn_add(x, ETCD_PUT, TAKE(key), buf_take(&b));
	return ERR_OK;
}

struct delete_call {
	const char *id;
};

static enum err_code build_delete(struct store_etcd *me, void *arg, struct txn *x,
	struct stop *s UNUSED, struct err *e UNUSED)
{
	struct delete_call *d = arg;
	CLEANUP(freep)
	char *object = keys_ext_task("object", d->id, "");
	CLEANUP(freep)
	char *bound = keys_ext_task("bound", d->id, "");
	CLEANUP(freep)
	char *canonical = keys_decode_id(slice_str(d->id));

	txn_add(x, ETCD_DELETE, keys_task(me->root, d->id), NULL);
	txn_add(x, ETCD_DELETE_PREFIX, keys_position_prefix(me->root, d->id), NULL);
	txn_add(x, ETCD_DELETE_PREFIX, keys_ext(me->root, object), NULL);
	txn_add(x, ETCD_DELETE_PREFIX, keys_ext(me->root, bound), NULL);
	if (canonical)
		return ERR_OK;
	/* The reference wrote such an id as it is; no key of ours looks like that. */
	char *task = keys_task_prefix(me->root), *docs = keys_position_prefix(me->root, NULL);
	txn_add(x, ETCD_DELETE, xasprintf("%s%s", task, d->id), NULL);
	txn_add(x, ETCD_DELETE_PREFIX, xasprintf("%s%s/", docs, d->id), NULL);
	free(task);
	free(docs);
	return ERR_OK;
}

static void done_delete(struct store_etcd *me, void *arg)
{
	struct delete_call *d = arg;
	smap_del(&me->known, d->id);
}

static enum err_code et_task_delete(struct store *st, const char *id, struct stop *s, struct err *e)
{
	struct delete_call d = {.id = id};
	struct change ch = {.build = build_delete, .done = done_delete, .arg = &d};

	return change(self(st), &ch, s, e);
}

/* --- write --- */

/* How far a batch is done, by its arrays. */
struct write_place {
	size_t text, position, gone, ext;
};

/* One transaction's worth of a batch: from here on, and how far build came. */
struct write_call {
	const struct store_batch *b;
	/* The first ones not yet written, and those behind the last ones built: */
	struct write_place at, next;
	bool with_task;
	const char *missing, *built_missing; /* a task without a record; in the present build */
	const char **seen; /* ids found to have a record, n_seen of them; borrowed */
	size_t n_seen;
};

static bool is_seen(const struct write_call *w, const char *id)
{
	for (size_t i = 0; i < w->n_seen; i++)
		if (strcmp(w->seen[i], id) == 0)
			return true;
	return false;
}

static bool is_copied(const struct write_call *w, const char *id)
{
	for (size_t i = 0; i < w->next.text; i++)
		if (strcmp(w->b->texts[i].key, id) == 0)
			return true;
	return false;
}

static enum err_code task_exists(struct store_etcd *me, struct write_call *w, const char *id,
	struct stop *s, bool *ret_yes, struct err *e)
{
	CLEANUP(etcd_range_done)
	struct etcd_range r;
	CLEANUP(freep)
	char *key = keys_task(me->root, id);

	etcd_range_init(&r);
	*ret_yes = true;
	if ((w->with_task && strcmp(w->b->task->id, id) == 0) || is_copied(w, id) ||
		is_seen(w, id) || smap_get(&me->known, id))
		return ERR_OK;
	if (etcd_get(me->c, key, s, &r, e))
		return e->code;
	*ret_yes = r.n > 0;
	if (r.n)
		w->seen[w->n_seen++] = id;
	return ERR_OK;
}

/* *ret_fits false: p belongs to the next transaction. */
static enum err_code add_position(struct store_etcd *me, struct write_call *w, struct txn *x,
	struct stop *s, bool *ret_fits, struct err *e)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(LIMIT_RECORD);
	const struct store_positions *p = &w->b->positions[w->next.position];
	bool exists;

	*ret_fits = true;
	if (task_exists(me, w, p->task_id, s, &exists, e))
		return e->code;
	if (!exists) {
		w->built_missing = p->task_id;
		return ERR_OK;
	}
	if (record_positions_encode(&b, p, e))
		return e->code;
	*ret_fits = txn_fits(x, b.n);
	if (*ret_fits)
		txn_add(x, ETCD_PUT, keys_position(me->root, p->task_id, p->collection_id),
			buf_take(&b));
	return ERR_OK;
}

/* Puts value under key, or deletes the key; takes key. False: it belongs to the next transaction. */
static bool add_value(struct txn *x, char *key, const char *value)
{
	bool fits = txn_fits(x, value ? strlen(value) : 0);

	if (fits)
		txn_add(x, value ? ETCD_PUT : ETCD_DELETE, key, value ? xstrdup(value) : NULL);
	else
		free(key);
	return fits;
}

static bool add_text(struct store_etcd *me, struct write_call *w, struct txn *x)
{
	const struct store_ext *text = &w->b->texts[w->next.text];
	return add_value(x, keys_task(me->root, text->key), text->value);
}

static bool add_gone(struct store_etcd *me, struct write_call *w, struct txn *x)
{
	const struct store_doc_id *d = &w->b->gone[w->next.gone];
	return add_value(x, keys_position(me->root, d->task_id, d->collection_id), NULL);
}

static bool add_ext(struct store_etcd *me, struct write_call *w, struct txn *x)
{
	const struct store_ext *ext = &w->b->exts[w->next.ext];
	return add_value(x, keys_ext(me->root, ext->key), ext->value);
}

/* Adds items *at .. n - 1 as long as there is room; false when there is no more. */
static bool add_all(struct store_etcd *me, struct write_call *w, struct txn *x,
	bool (*add)(struct store_etcd *me, struct write_call *w, struct txn *x), size_t *at,
	size_t n)
{
	while (*at < n) {
		if (!add(me, w, x))
			return false;
		++*at;
	}
	return true;
}

static enum err_code build_write(
	struct store_etcd *me, void *arg, struct txn *x, struct stop *s, struct err *e)
{
	struct write_call *w = arg;
	const struct store_batch *b = w->b;

	w->n_seen = 0;
	w->built_missing = NULL;
	w->next = w->at;
	if (w->with_task && add_task(me, b->task, x, s, e))
		return e->code;
	bool fits = add_all(me, w, x, add_text, &w->next.text, b->n_texts);
	while (fits && w->next.position < b->n_positions) {
		if (add_position(me, w, x, s, &fits, e))
			return e->code;
		w->next.position += fits;
	}
	fits = fits && add_all(me, w, x, add_gone, &w->next.gone, b->n_gone);
	if (fits)
		add_all(me, w, x, add_ext, &w->next.ext, b->n_exts);
	return ERR_OK;
}

static void done_write(struct store_etcd *me, void *arg)
{
	struct write_call *w = arg;

	for (size_t i = 0; i < w->n_seen; i++)
		smap_put(&me->known, w->seen[i], me);
	if (w->with_task)
		smap_put(&me->known, w->b->task->id, me);
}

static bool is_done(const struct write_call *w)
{
	return w->at.text == w->b->n_texts && w->at.position == w->b->n_positions &&
	       w->at.gone == w->b->n_gone && w->at.ext == w->b->n_exts;
}

static enum err_code et_write(
	struct store *st, const struct store_batch *b, struct stop *s, struct err *e)
{
	CLEANUP(freep)
	const char **seen = xcalloc(b->n_positions, sizeof(*seen));
	struct write_call w = {.b = b, .with_task = b->task != NULL, .seen = seen};
	struct change ch = {.build = build_write, .done = done_write, .arg = &w};

	while (w.with_task || !is_done(&w)) {
		if (change(self(st), &ch, s, e))
			return e->code;
		w.at = w.next;
		w.missing = w.built_missing ? w.built_missing : w.missing;
		w.with_task = false;
	}
	return w.missing ? store_no_task(w.missing, e) : ERR_OK;
}

/* --- reading --- */

static enum err_code et_list(
	struct store *st, const struct store_listing *l, struct stop *s, struct err *e)
{
	CLEANUP(etcd_range_done)
	struct etcd_range r;
	CLEANUP(freep)
	char *all = keys_kind_prefix(self(st)->root, l->kind);
	CLEANUP(freep)
	char *prefix = xasprintf("%s%s", all, l->below);
	size_t skip = strlen(all);

	etcd_range_init(&r);
	if (etcd_get_prefix(self(st)->c, prefix, 0, s, &r, e))
		return err_ctx(e, "metastore etcd");
	for (size_t i = 0; i < r.n; i++) {
		struct store_row row = {
			.rest = slice_of(r.kvs[i].key + skip, r.kvs[i].key_n - skip),
			.texts = {r.kvs[i].value}};
		l->fn(l->arg, &row);
	}
	return ERR_OK;
}

static enum err_code et_fence(
	struct store *st, struct stop *s, struct store_fence *ret, struct err *e)
{
	CLEANUP(etcd_range_done)
	struct etcd_range r;

	etcd_range_init(&r);
	*ret = (struct store_fence){.text = ""};
	if (etcd_get(self(st)->c, self(st)->guard_key, s, &r, e))
		return err_ctx(e, "metastore etcd");
	if (!r.n)
		return ERR_OK;
	snprintf(ret->text, sizeof(ret->text), "%.*s", (int)r.kvs[0].value.n,
		(const char *)r.kvs[0].value.p);
	ret->revision = r.kvs[0].mod_revision;
	return ERR_OK;
}

static void et_close(struct store *st)
{
	struct store_etcd *me = self(st);

	smap_done(&me->known);
	turn_done(&me->turn);
	free(me->root);
	free(me->guard_key);
	free(me->owner);
	free(me);
}

static const struct store_ops etcd_ops = {
	.name = "etcd",
	.check = et_check,
	.list = et_list,
	.write = et_write,
	.task_delete = et_task_delete,
	.fence = et_fence,
	.close = et_close,
};

enum err_code store_etcd_open(
	struct etcd *c, const char *root_path, struct store **ret, struct err *e UNUSED)
{
	struct store_etcd *me = xcalloc(1, sizeof(*me));
	me->st.ops = &etcd_ops;
	me->c = c;
	me->root = keys_root(root_path);
	me->guard_key = keys_owner(me->root);
	me->owner = store_owner_text();
	me->guard_rev = UNKNOWN;
	turn_init(&me->turn, "store etcd");
	*ret = &me->st;
	return ERR_OK;
}
