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
#include <unistd.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/mutex.h"
#include "base/str.h"
#include "store/keys.h"
#include "store/record.h"

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
	struct mutex mtx;
	struct cond turn;
	bool changing; /* under mtx: somebody has the turn */
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

static enum err_code take_turn(struct store_etcd *me, struct stop *s, struct err *e)
{
	struct stop_watch w;

	stop_watch_add(s, &w, &me->mtx, &me->turn);
	mutex_lock(&me->mtx);
	while (me->changing && !stop_is_set(s))
		cond_wait(&me->turn, &me->mtx, DEADLINE_NEVER);
	bool ok = !stop_is_set(s);
	me->changing = ok ? true : me->changing;
	mutex_unlock(&me->mtx);
	stop_watch_del(s, &w);
	return ok ? ERR_OK : stop_err(e);
}

static void give_turn(struct store_etcd *me)
{
	mutex_lock(&me->mtx);
	me->changing = false;
	/* All: a waiter whose token is set would swallow a single signal. */
	cond_broadcast(&me->turn);
	mutex_unlock(&me->mtx);
}

static void forget_guard(struct store_etcd *me)
{
	smap_done(&me->known);
	me->guard_rev = UNKNOWN;
}

static enum err_code taken_over(const struct store_etcd *me, struct slice by, struct err *e)
{
	return err_set(e, ERR_CONFLICT,
		"the metastore below \"%s\" was taken over by another server: %.*s", me->root,
		(int)MIN(by.n, 200), (const char *)by.p);
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
		return taken_over(me, r.kvs[0].value, e);
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
	if (take_turn(me, s, e))
		return e->code;
	enum err_code code = attempts(me, ch, s, e);
	give_turn(me);
	return code;
}

static enum err_code et_check(struct store *st, struct stop *s, struct err *e)
{
	struct store_etcd *me = self(st);

	if (etcd_status(me->c, s, e))
		return err_ctx(e, "metastore etcd");
	/* The status needs no rights, a read does; and it shows whether we are still the owner. */
	if (take_turn(me, s, e))
		return e->code;
	forget_guard(me);
	enum err_code code = load_guard(me, s, e);
	give_turn(me);
	return code ? err_ctx(e, "metastore etcd") : ERR_OK;
}

struct put_call {
	const struct task *task;
};

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

static enum err_code build_put(
	struct store_etcd *me, void *arg, struct txn *x, struct stop *s, struct err *e)
{
	struct put_call *p = arg;
	return add_task(me, p->task, x, s, e);
}

static void done_put(struct store_etcd *me, void *arg)
{
	struct put_call *p = arg;
	smap_put(&me->known, p->task->id, me);
}

static enum err_code et_task_put(
	struct store *st, const struct task *t, struct stop *s, struct err *e)
{
	struct put_call p = {.task = t};
	struct change ch = {.build = build_put, .done = done_put, .arg = &p};

	return change(self(st), &ch, s, e);
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

/* One transaction's worth of a batch: from here on, and how far build came. */
struct write_call {
	const struct store_batch *b;
	size_t position, ext;           /* the first ones not yet written */
	size_t next_position, next_ext; /* behind the last ones built */
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

static enum err_code task_exists(struct store_etcd *me, struct write_call *w, const char *id,
	struct stop *s, bool *ret_yes, struct err *e)
{
	CLEANUP(etcd_range_done)
	struct etcd_range r;
	CLEANUP(freep)
	char *key = keys_task(me->root, id);

	etcd_range_init(&r);
	*ret_yes = true;
	if ((w->with_task && strcmp(w->b->task->id, id) == 0) || is_seen(w, id) ||
		smap_get(&me->known, id))
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
	const struct store_positions *p = &w->b->positions[w->next_position];
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

static bool add_ext(struct store_etcd *me, const struct store_ext *ext, struct txn *x)
{
	if (!txn_fits(x, ext->value ? strlen(ext->value) : 0))
		return false;
	txn_add(x, ext->value ? ETCD_PUT : ETCD_DELETE, keys_ext(me->root, ext->key),
		ext->value ? xstrdup(ext->value) : NULL);
	return true;
}

static enum err_code build_write(
	struct store_etcd *me, void *arg, struct txn *x, struct stop *s, struct err *e)
{
	struct write_call *w = arg;
	const struct store_batch *b = w->b;
	bool fits = true;

	w->n_seen = 0;
	w->built_missing = NULL;
	w->next_position = w->position;
	w->next_ext = w->ext;
	if (w->with_task && add_task(me, b->task, x, s, e))
		return e->code;
	while (fits && w->next_position < b->n_positions) {
		if (add_position(me, w, x, s, &fits, e))
			return e->code;
		w->next_position += fits;
	}
	while (fits && w->next_ext < b->n_exts) {
		fits = add_ext(me, &b->exts[w->next_ext], x);
		w->next_ext += fits;
	}
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

static enum err_code et_write(
	struct store *st, const struct store_batch *b, struct stop *s, struct err *e)
{
	CLEANUP(freep)
	const char **seen = xcalloc(b->n_positions, sizeof(*seen));
	struct write_call w = {.b = b, .with_task = b->task != NULL, .seen = seen};
	struct change ch = {.build = build_write, .done = done_write, .arg = &w};

	while (w.with_task || w.position < b->n_positions || w.ext < b->n_exts) {
		if (change(self(st), &ch, s, e))
			return e->code;
		w.position = w.next_position;
		w.ext = w.next_ext;
		w.missing = w.built_missing ? w.built_missing : w.missing;
		w.with_task = false;
	}
	if (w.missing)
		return err_set(
			e, ERR_NOT_FOUND, "positions of task %s, which does not exist", w.missing);
	return ERR_OK;
}

/* --- reading --- */

static struct slice rest_of(const struct etcd_kv *kv, size_t skip)
{
	return slice_of(kv->key + skip, kv->key_n - skip);
}

static enum err_code read_prefix(
	struct store *st, const char *prefix, struct stop *s, struct etcd_range *r, struct err *e)
{
	if (etcd_get_prefix(self(st)->c, prefix, 0, s, r, e))
		return err_ctx(e, "metastore etcd");
	return ERR_OK;
}

static enum err_code et_tasks(
	struct store *st, struct stop *s, struct task ***ret_list, size_t *ret_n, struct err *e)
{
	CLEANUP(etcd_range_done)
	struct etcd_range r;
	CLEANUP(freep)
	char *prefix = keys_task_prefix(self(st)->root);
	struct record_tasks out = {.n = 0};

	etcd_range_init(&r);
	if (read_prefix(st, prefix, s, &r, e))
		return e->code;
	for (size_t i = 0; i < r.n; i++)
		record_tasks_add(&out, rest_of(&r.kvs[i], strlen(prefix)), r.kvs[i].value);
	*ret_list = out.v;
	*ret_n = out.n;
	return ERR_OK;
}

static enum err_code et_positions(struct store *st, const char *task_id, struct stop *s,
	struct store_positions **ret_list, size_t *ret_n, struct err *e)
{
	CLEANUP(etcd_range_done)
	struct etcd_range r;
	CLEANUP(freep)
	char *all = keys_position_prefix(self(st)->root, NULL);
	CLEANUP(freep)
	char *prefix = keys_position_prefix(self(st)->root, task_id);
	struct record_docs out = {.n = 0};

	etcd_range_init(&r);
	if (read_prefix(st, prefix, s, &r, e))
		return e->code;
	for (size_t i = 0; i < r.n; i++)
		record_docs_add(&out, rest_of(&r.kvs[i], strlen(all)), r.kvs[i].value);
	*ret_list = out.v;
	*ret_n = out.n;
	return ERR_OK;
}

static enum err_code et_exts(struct store *st, const char *prefix, struct stop *s,
	struct store_ext_kv **ret_list, size_t *ret_n, struct err *e)
{
	CLEANUP(etcd_range_done)
	struct etcd_range r;
	CLEANUP(freep)
	char *all = keys_ext_prefix(self(st)->root);
	CLEANUP(freep)
	char *full = keys_ext(self(st)->root, prefix);

	etcd_range_init(&r);
	if (read_prefix(st, full, s, &r, e))
		return e->code;
	struct store_ext_kv *l = r.n ? xcalloc(r.n, sizeof(*l)) : NULL;
	for (size_t i = 0; i < r.n; i++) {
		struct slice key = rest_of(&r.kvs[i], strlen(all)), value = r.kvs[i].value;
		l[i] = (struct store_ext_kv){.key = xstrndup((const char *)key.p, key.n),
			.value = xstrndup((const char *)value.p, value.n)};
	}
	*ret_list = l;
	*ret_n = r.n;
	return ERR_OK;
}

static void et_close(struct store *st)
{
	struct store_etcd *me = self(st);

	smap_done(&me->known);
	cond_done(&me->turn);
	mutex_done(&me->mtx);
	free(me->root);
	free(me->guard_key);
	free(me->owner);
	free(me);
}

static const struct store_ops etcd_ops = {
	.name = "etcd",
	.check = et_check,
	.tasks = et_tasks,
	.task_put = et_task_put,
	.task_delete = et_task_delete,
	.positions = et_positions,
	.write = et_write,
	.exts = et_exts,
	.close = et_close,
};

enum err_code store_etcd_open(
	struct etcd *c, const char *root_path, struct store **ret, struct err *e UNUSED)
{
	struct store_etcd *me = xcalloc(1, sizeof(*me));
	char id[33], host[64] = "";

	gethostname(host, sizeof(host) - 1);
	str_random_id(id);
	me->st.ops = &etcd_ops;
	me->c = c;
	me->root = keys_root(root_path);
	me->guard_key = keys_owner(me->root);
	me->owner =
		xasprintf("{\"owner\":\"%s\",\"process\":\"%d on %s\"}", id, (int)getpid(), host);
	me->guard_rev = UNKNOWN;
	mutex_init(&me->mtx, "store etcd");
	cond_init(&me->turn);
	*ret = &me->st;
	return ERR_OK;
}
