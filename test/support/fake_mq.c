#include "support/fake_mq.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/mutex.h"

enum { MOST_PROPS = 8 };

struct entry {
	uint8_t *payload;
	size_t n;
	char *props[2 * MOST_PROPS];
};

struct topic {
	struct entry **entries;
	size_t n, cap;
	int64_t first;
};

struct fake_mq {
	struct mq mq;
	struct mutex mtx;
	struct cond cond;
	struct smap topics;
	int readers, opens, alive;
	enum err_code open_code, next_code;
	int open_times, next_times;
	unsigned latency_us;
	size_t cost;
	unsigned seed;
};

struct fake_reader {
	struct fake_mq *f;
	struct topic *t;
	int64_t next;
};

struct fake_msg {
	struct mq_msg msg;
	struct fake_mq *f;
	const struct entry *entry;
};

struct mq_id fake_mq_id(int64_t number)
{
	struct mq_id id = {.n = 8};
	for (int i = 0; i < 8; i++)
		id.b[i] = (uint8_t)((uint64_t)number >> (8 * i));
	return id;
}

int64_t fake_mq_number(const struct mq_id *id)
{
	uint64_t v = 0;
	for (int i = 0; i < id->n && i < 8; i++)
		v |= (uint64_t)id->b[i] << (8 * i);
	return (int64_t)v;
}

static struct fake_mq *of(struct mq *q)
{
	return CONTAINER_OF(q, struct fake_mq, mq);
}

static struct topic *topic_locked(struct fake_mq *f, const char *name, bool make)
{
	struct topic *t = smap_get(&f->topics, name);
	if (!t && make) {
		t = xcalloc(1, sizeof(*t));
		smap_put(&f->topics, name, t);
	}
	return t;
}

static enum err_code fake_check(struct mq *q, struct stop *s, struct err *e)
{
	(void)q, (void)s, (void)e;
	return ERR_OK;
}

static enum err_code fake_latest(
	struct mq *q, const char *topic, struct stop *s, struct mq_id *ret_id, struct err *e)
{
	struct fake_mq *f = of(q);

	(void)s;
	mutex_lock(&f->mtx);
	struct topic *t = topic_locked(f, topic, false);
	if (t)
		*ret_id = fake_mq_id((int64_t)t->n);
	mutex_unlock(&f->mtx);
	return t ? ERR_OK : err_set(e, ERR_NOT_FOUND, "no topic %s", topic);
}

static bool fails(enum err_code code, int *times, struct err *e)
{
	if (*times <= 0)
		return false;
	--*times;
	err_set(e, code, "scripted fault");
	return true;
}

static enum err_code check_position(const struct topic *t, int64_t at, struct err *e)
{
	if (at >= t->first && at <= (int64_t)t->n)
		return ERR_OK;
	return err_set(e, ERR_GONE, "position %lld, kept are %lld to %zu", (long long)at,
		(long long)t->first, t->n);
}

static enum err_code fake_open(struct mq *q, const char *topic, const struct mq_start *from,
	struct stop *s, struct mq_reader **ret_r, struct err *e)
{
	struct fake_mq *f = of(q);
	struct fake_reader *r = xcalloc(1, sizeof(*r));

	(void)s;
	mutex_lock(&f->mtx);
	r->f = f;
	r->t = topic_locked(f, topic, false);
	r->next = fake_mq_number(&from->id) + from->after;
	if (fails(f->open_code, &f->open_times, e))
		;
	else if (!r->t)
		err_set(e, ERR_NOT_FOUND, "no topic %s", topic);
	else
		check_position(r->t, r->next, e);
	f->readers += e->code == ERR_OK;
	f->opens += e->code == ERR_OK;
	mutex_unlock(&f->mtx);
	if (e->code)
		free(r);
	else
		*ret_r = (struct mq_reader *)r;
	return e->code;
}

static const struct mq_ops fake_ops;

static struct mq_msg *message_locked(struct fake_reader *r)
{
	struct fake_msg *m = xcalloc(1, sizeof(*m));
	m->f = r->f;
	m->entry = r->t->entries[r->next];
	m->msg = (struct mq_msg){.payload = slice_of(m->entry->payload, m->entry->n),
		.id = fake_mq_id(r->next),
		.cost_bytes = r->f->cost ? r->f->cost : m->entry->n + 64,
		.ops = &fake_ops};
	r->next++;
	m->msg.more = r->next < (int64_t)r->t->n;
	r->f->alive++;
	return &m->msg;
}

static enum err_code look_locked(struct fake_reader *r, struct mq_msg **ret_m, struct err *e)
{
	*ret_m = NULL;
	if (fails(r->f->next_code, &r->f->next_times, e) || check_position(r->t, r->next, e))
		return e->code;
	if (r->next < (int64_t)r->t->n)
		*ret_m = message_locked(r);
	return ERR_OK;
}

static void linger_locked(struct fake_mq *f, struct stop *s) REQUIRES(f->mtx)
{
	unsigned us = f->latency_us ? (unsigned)rand_r(&f->seed) % f->latency_us : 0;
	if (us < 1000)
		return;
	mutex_unlock(&f->mtx);
	stop_sleep(s, us / 1000);
	mutex_lock(&f->mtx);
}

static enum err_code fake_next(struct mq_reader *mr, struct deadline d, struct stop *s,
	struct mq_msg **ret_m, struct err *e)
{
	struct fake_reader *r = (struct fake_reader *)mr;
	struct fake_mq *f = r->f;
	struct stop_watch w;
	enum err_code code;

	stop_watch_add(s, &w, &f->mtx, &f->cond);
	mutex_lock(&f->mtx);
	linger_locked(f, s);
	for (;;) {
		code = look_locked(r, ret_m, e);
		if (code || *ret_m)
			break;
		if (stop_is_set(s)) {
			code = stop_err(e);
			break;
		}
		if (!cond_wait(&f->cond, &f->mtx, d)) {
			code = err_set(e, ERR_TIMEOUT, "no message");
			break;
		}
	}
	mutex_unlock(&f->mtx);
	stop_watch_del(s, &w);
	return code;
}

static void fake_close(struct mq_reader *mr)
{
	struct fake_reader *r = (struct fake_reader *)mr;
	if (!r)
		return;
	mutex_lock(&r->f->mtx);
	r->f->readers--;
	mutex_unlock(&r->f->mtx);
	free(r);
}

static void fake_msg_free(struct mq_msg *m)
{
	struct fake_msg *fm = CONTAINER_OF(m, struct fake_msg, msg);
	mutex_lock(&fm->f->mtx);
	fm->f->alive--;
	mutex_unlock(&fm->f->mtx);
	free(fm);
}

static struct slice fake_property(const struct mq_msg *m, const char *key)
{
	const struct entry *en = ((const struct fake_msg *)(const void *)m)->entry;
	for (int i = 0; i < 2 * MOST_PROPS && en->props[i]; i += 2)
		if (strcmp(en->props[i], key) == 0)
			return slice_str(en->props[i + 1]);
	return slice_of(NULL, 0);
}

static int fake_compare(const struct mq_id *a, const struct mq_id *b)
{
	if (!a->n || !b->n)
		return (a->n > 0) - (b->n > 0);
	int64_t x = fake_mq_number(a), y = fake_mq_number(b);
	return (x > y) - (x < y);
}

static const struct mq_ops fake_ops = {.name = "fake",
	.check = fake_check,
	.latest = fake_latest,
	.open = fake_open,
	.next = fake_next,
	.close = fake_close,
	.msg_free = fake_msg_free,
	.property = fake_property,
	.compare = fake_compare};

struct fake_mq *fake_mq_new(void)
{
	struct fake_mq *f = xcalloc(1, sizeof(*f));
	f->mq.ops = &fake_ops;
	f->seed = 1;
	mutex_init(&f->mtx, "fake mq");
	cond_init(&f->cond);
	return f;
}

static void topic_free(struct topic *t)
{
	for (size_t i = 0; i < t->n; i++) {
		for (int p = 0; p < 2 * MOST_PROPS; p++)
			free(t->entries[i]->props[p]);
		free(t->entries[i]->payload);
		free(t->entries[i]);
	}
	free(t->entries);
	free(t);
}

int fake_mq_free(struct fake_mq *f)
{
	size_t pos = 0;
	void *t;
	int alive = f->alive;

	assert(f->readers == 0);
	while (smap_next(&f->topics, &pos, NULL, &t))
		topic_free(t);
	smap_done(&f->topics);
	cond_done(&f->cond);
	mutex_done(&f->mtx);
	free(f);
	return alive;
}

struct mq *fake_mq_queue(struct fake_mq *f)
{
	return &f->mq;
}

int64_t fake_mq_put(
	struct fake_mq *f, const char *topic, struct slice payload, const char *const *props)
{
	struct entry *en = xcalloc(1, sizeof(*en));

	en->payload = xmemdup(payload.p, payload.n);
	en->n = payload.n;
	for (int i = 0; props && props[i] && i < 2 * MOST_PROPS; i++)
		en->props[i] = xstrdup(props[i]);
	mutex_lock(&f->mtx);
	struct topic *t = topic_locked(f, topic, true);
	mem_grow(&t->entries, &t->cap, t->n + 1, sizeof(*t->entries));
	t->entries[t->n] = en;
	int64_t number = (int64_t)t->n++;
	cond_broadcast(&f->cond);
	mutex_unlock(&f->mtx);
	return number;
}

void fake_mq_make(struct fake_mq *f, const char *topic)
{
	mutex_lock(&f->mtx);
	topic_locked(f, topic, true);
	mutex_unlock(&f->mtx);
}

void fake_mq_trim(struct fake_mq *f, const char *topic, int64_t first)
{
	mutex_lock(&f->mtx);
	topic_locked(f, topic, true)->first = first;
	cond_broadcast(&f->cond);
	mutex_unlock(&f->mtx);
}

void fake_mq_fail_open(struct fake_mq *f, enum err_code code, int times)
{
	mutex_lock(&f->mtx);
	f->open_code = code;
	f->open_times = times;
	mutex_unlock(&f->mtx);
}

void fake_mq_fail_next(struct fake_mq *f, enum err_code code, int times)
{
	mutex_lock(&f->mtx);
	f->next_code = code;
	f->next_times = times;
	cond_broadcast(&f->cond);
	mutex_unlock(&f->mtx);
}

void fake_mq_latency_us(struct fake_mq *f, unsigned most_us)
{
	mutex_lock(&f->mtx);
	f->latency_us = most_us;
	mutex_unlock(&f->mtx);
}

void fake_mq_cost(struct fake_mq *f, size_t bytes)
{
	mutex_lock(&f->mtx);
	f->cost = bytes;
	mutex_unlock(&f->mtx);
}

static int read_int(struct fake_mq *f, const int *v)
{
	mutex_lock(&f->mtx);
	int n = *v;
	mutex_unlock(&f->mtx);
	return n;
}

int fake_mq_readers(struct fake_mq *f)
{
	return read_int(f, &f->readers);
}

int fake_mq_opens(struct fake_mq *f)
{
	return read_int(f, &f->opens);
}

int fake_mq_alive(struct fake_mq *f)
{
	return read_int(f, &f->alive);
}
