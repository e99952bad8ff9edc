/* A target channel that is killed again and again, against a model of the target: the process ends
 * in the middle of a call, between a bound's write and its use, or while it replays the life before;
 * a lost call goes on producing into the next life. No row is ever sent beyond a durable bound; in
 * the end every key lives exactly once. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/thread.h"
#include "model/ts.h"
#include "pipeline/tchan_priv.h"
#include "pipeline/worker.h"
#include "support/dml_make.h"
#include "support/model_target.h"
#include "support/stream_fakes.h"

enum {
	STREAMS = 4,
	LAGGARD = 3, /* hours behind the others */
	PACKS = 150,
	TICK_MS = 200,
	LIVES = 8,
	KEYS_OF_STREAM = 1000000,
	KEYS_OF_PACK = 10,
	TARGET_AHEAD_S = 9000
};

static const char *const names[STREAMS] = {"t/1/0", "t/2/0", "t/3/0", "t/4/0"};

struct fixture {
	struct mutex mtx; /* of the model and what follows */
	struct model_target model;
	struct bound_record stored; /* durable */
	size_t checked;             /* rows of the model */
	int64_t sends_left;         /* until this life ends; < 0 = it won't */
	bool dead;
	bool fence;        /* the first call of a later life carries no row */
	struct buf zombie; /* a lost call */
	int64_t zombie_from;
	struct stop stop;
	struct tchan *chan;
	struct worker *worker;
	struct stream streams[STREAMS];
	int at[STREAMS]; /* stored position: packs acknowledged */
	uint64_t clock;
	unsigned seed;
	int64_t next_id;
};

static unsigned rnd(struct fixture *f)
{
	f->seed = f->seed * 1103515245u + 12345u;
	return f->seed >> 16;
}

static uint64_t pack_end(int stream, int pack)
{
	return ts_from_ms(1000000 + (stream == LAGGARD ? 0 : 7200000) + (pack + 1) * TICK_MS);
}

static uint64_t clock_now(void *arg)
{
	struct fixture *f = arg;
	return __atomic_add_fetch(&f->clock, ts_from_ms(1), __ATOMIC_RELAXED);
}

static void wants_bound(void *arg)
{
	(void)arg; /* the test asks all the time */
}

/* Every row that arrived since the last call must lie within the durable bound. */
static void check_bounds(struct fixture *f)
{
	for (; f->checked < f->model.n; f->checked++) {
		int64_t key = model_target_key(&f->model, f->checked) - 1;
		int stream = (int)(key / KEYS_OF_STREAM);
		int pack = (int)(key % KEYS_OF_STREAM / KEYS_OF_PACK);
		assert_true(pack_end(stream, pack) <= bound_record_of(&f->stored, names[stream]));
	}
}

static void keep_zombie(struct fixture *f, const struct iov *req, int64_t from)
{
	buf_reset(&f->zombie);
	for (size_t i = 0; i < req->n; i++)
		buf_put(&f->zombie, req->v[i].p, req->v[i].n);
	f->zombie_from = from;
}

/* What is left of the lost call comes behind the first call of the next life: a fence, or rows would
 * have gone below a tick. */
static void wake_zombie(struct fixture *f)
{
	struct slice all = buf_slice(&f->zombie);

	if (!f->zombie.n)
		return;
	model_target_append_rest(&f->model, &all, 1, f->zombie_from);
	buf_reset(&f->zombie);
}

static enum err_code killed_send(struct fixture *f, const struct iov *req, struct err *e)
{
	f->dead = true;
	int64_t part = (int64_t)(rnd(f) % 6);
	model_target_append(&f->model, req->v, req->n, part);
	check_bounds(f);
	if (rnd(f) % 2)
		keep_zombie(f, req, part);
	return err_set(e, ERR_UNCERTAIN, "killed");
}

static enum err_code fake_send(void *arg, const struct iov *req, int64_t deadline_ms,
	struct stop *s, struct mq_id *ret, struct err *e)
{
	struct fixture *f = arg;
	enum err_code code = ERR_OK;

	(void)deadline_ms;
	(void)s;
	mutex_lock(&f->mtx);
	if (f->dead) {
		code = err_set(e, ERR_UNCERTAIN, "killed");
	} else if (f->sends_left == 0) {
		code = killed_send(f, req, e);
	} else {
		f->sends_left -= f->sends_left > 0;
		size_t rows = f->model.n;
		model_target_append(&f->model, req->v, req->n, -1);
		if (f->fence)
			assert_int_equal(f->model.n, rows);
		f->fence = false;
		model_target_position(&f->model, ret);
		wake_zombie(f);
		check_bounds(f);
	}
	mutex_unlock(&f->mtx);
	return code;
}

static int64_t fake_id(void *arg)
{
	struct fixture *f = arg;
	return __atomic_fetch_add(&f->next_id, 1, __ATOMIC_RELAXED);
}

static void no_drop(struct stream *st, const struct dml *d)
{
	(void)st;
	(void)d;
	abort();
}

static const struct stream_ops ops = {
	.partition = stream_fake_partition, .drop = no_drop, .failed = stream_fake_failed};

static void open_channel(struct fixture *f, bool first)
{
	struct err e = ERR_INIT;
	uint64_t now = clock_now(f);
	struct tchan_opts o = {.name = "tgt-rootcoord-dml_0",
		.floor_ts = now,
		.late_bound_ms = 1000,
		.keepalive_ms = 60000,
		.clock = clock_now,
		.clock_arg = f,
		.bounded = true,
		.bound = &f->stored,
		.wants_bound = wants_bound,
		.unclean = !first};
	struct chan_sink sink = {.arg = f,
		.send = fake_send,
		.fresh_id = fake_id,
		.waiting = stream_fake_waiting,
		.grace_ms = 2};
	struct worker_metrics none = {0};

	assert_int_equal(tchan_new(&o, &f->chan, &e), ERR_OK);
	assert_int_equal(worker_start(f->chan, &sink, &none, &f->stop, &f->worker, &e), ERR_OK);
}

static void attach(struct fixture *f, int i, bool first)
{
	struct stream *st = &f->streams[i];

	*st = (struct stream){.ops = &ops,
		.db = "default",
		.collection = "c",
		.key = names[i],
		.target_id = 500 + i,
		.pk_field_id = DML_MAKE_KEY_FIELD,
		.acked.ts = f->at[i] ? pack_end(i, f->at[i] - 1) : pack_end(i, 0) - 1};
	snprintf(st->shard, sizeof(st->shard), "tgt-rootcoord-dml_0_%dv0", 500 + i);
	if (!first)
		st->replay_until = bound_record_of(&f->stored, names[i]);
	tchan_attach(f->chan, st);
}

/* The same rows in every life. */
static struct pack *make_pack(struct fixture *f, int stream, int p)
{
	uint64_t end = pack_end(stream, p), begin = end - ts_from_ms(TICK_MS);
	struct pack *pk = dml_pack_new(begin, end, (uint8_t)stream);
	int64_t key = 1 + (int64_t)stream * KEYS_OF_STREAM + (int64_t)p * KEYS_OF_PACK;

	for (int i = 0; i < (stream + p) % 3; i++) {
		struct buf b = BUF_INIT(1 << 20);
		uint64_t ts[2] = {begin + 10 + (uint64_t)i * 10, begin + 15 + (uint64_t)i * 10};
		dml_make_rows(&b, MSG_INSERT, 100000 * stream + 10 * p + i + 1, "src_1v0", 1, 7, ts,
			2, key + 2 * i);
		dml_pack_add(pk, &f->streams[stream], buf_slice(&b));
		buf_done(&b);
	}
	return pk;
}

static void feed(struct fixture *f, int i)
{
	struct err e = ERR_INIT;
	struct lane *l =
		lane_open(f->chan, "src-rootcoord-dml_0", f->streams[i].acked.ts, i == LAGGARD);

	lane_set(&f->streams[i], l);
	for (int p = f->at[i]; p < PACKS; p++)
		assert_int_equal(lane_push(l, make_pack(f, i, p), &f->stop, &e), ERR_OK);
	lane_close(l);
}

/* What the bounds' thread does; the process may end between the write and its use. */
static void store_bound(struct fixture *f)
{
	struct bound_record next = {.all = 0};

	if (!tchan_bound_next(f->chan, &next))
		return;
	mutex_lock(&f->mtx);
	bool dead = f->dead;
	if (!dead) {
		bound_record_done(&f->stored);
		f->stored.all = next.all;
		for (size_t i = 0; i < next.n_late; i++)
			bound_record_add(&f->stored, next.late[i].key, next.late[i].ts);
		if (f->sends_left >= 0 && rnd(f) % 20 == 0)
			f->dead = dead = true;
	}
	mutex_unlock(&f->mtx);
	if (!dead)
		tchan_bound_set(f->chan, &next);
	bound_record_done(&next);
}

/* The stored position: what is acknowledged, or what was a while ago. */
static void store_positions(struct fixture *f)
{
	for (int i = 0; i < STREAMS; i++) {
		uint64_t ts = tchan_position(&f->streams[i]).ts;
		while (f->at[i] < PACKS && pack_end(i, f->at[i]) <= ts)
			f->at[i]++;
	}
}

static bool ended(struct fixture *f)
{
	struct tchan_stats s;

	tchan_stats(f->chan, &s);
	mutex_lock(&f->mtx);
	bool dead = f->dead;
	mutex_unlock(&f->mtx);
	return dead || s.lanes == 0;
}

static void live(struct fixture *f, int n)
{
	bool last = n == LIVES - 1;
	struct deadline d = deadline_in(30000);

	f->dead = false;
	f->fence = n > 0;
	f->sends_left = last ? -1 : (int64_t)(rnd(f) % 12);
	stop_init(&f->stop, NULL);
	open_channel(f, n == 0);
	for (int i = 0; i < STREAMS; i++)
		attach(f, i, n == 0);
	for (int i = 0; i < STREAMS; i++)
		feed(f, i);
	while (!ended(f) && !deadline_passed(d)) {
		store_bound(f);
		if (rnd(f) % 8 == 0)
			store_positions(f);
		stop_sleep(&f->stop, 1);
	}
	assert_false(deadline_passed(d));
	if (last || rnd(f) % 2)
		store_positions(f);
	stop_set(&f->stop);
	for (int i = 0; i < STREAMS; i++)
		tchan_detach(&f->streams[i], 0);
	worker_stop(f->worker, 0);
	tchan_free(f->chan);
	stop_done(&f->stop);
	assert_int_equal(dml_msgs_alive(), 0);
}

static void run_one(unsigned seed)
{
	struct fixture f = {.seed = seed, .next_id = 1LL << 62, .zombie = BUF_INIT(64 << 20)};

	mutex_init(&f.mtx, "model");
	f.clock = pack_end(0, PACKS) + ts_from_ms(TARGET_AHEAD_S * 1000);
	for (int n = 0; n < LIVES; n++)
		live(&f, n);
	if (f.model.broken)
		print_error("seed %u: %s\n", seed, f.model.why);
	assert_int_equal(f.model.broken, 0);
	for (int i = 0; i < STREAMS; i++)
		for (int p = 0; p < PACKS; p++)
			for (int k = 0; k < (i + p) % 3 * 2; k++) {
				int64_t key =
					1 + (int64_t)i * KEYS_OF_STREAM + p * KEYS_OF_PACK + k;
				int n = model_target_live(&f.model, key);
				if (n != 1)
					print_error("seed %u: key %lld lives %d times\n", seed,
						(long long)key, n);
				assert_int_equal(n, 1);
			}
	bound_record_done(&f.stored);
	buf_done(&f.zombie);
	model_target_done(&f.model);
	mutex_done(&f.mtx);
}

static void test_kills(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 4; seed++)
		run_one(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kills),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
