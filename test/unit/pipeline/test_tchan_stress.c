/* A target channel under load from several threads: readers push, streams leave and come back
 * through chasers that merge into the readers' lanes, calls are slow, refused or of unknown fate.
 * In the end every key lives exactly once. Beside that, two cases where a pack leaves in parts. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/thread.h"
#include "base/wire.h"
#include "model/ts.h"
#include "pipeline/tchan_priv.h"
#include "pipeline/worker.h"
#include "support/dml_make.h"
#include "support/model_target.h"
#include "support/stream_fakes.h"

enum {
	LANES = 2,
	STREAMS = 6,
	TICKS = 600,
	TICK_MS = 10,
	COMEBACKS = 40,
	FAULTS = 1,
	REFUSALS = 4
};

static const char shard[] = "tgt-rootcoord-dml_0_500v0";

/* One reader: all its streams ride in one lane; row k of stream i at tick k has key 1 + k * STREAMS
 * + i. */
struct reader {
	struct fixture *f;
	struct mutex mtx; /* a round, or a change of who rides */
	struct lane *lane;
	int tick; /* ticks pushed */
	struct thread thread;
};

struct fixture {
	struct mutex mtx; /* of the model */
	struct model_target model;
	struct tchan *chan;
	struct worker *worker;
	struct stop stop;
	struct reader readers[LANES];
	struct stream *streams[STREAMS];
	bool riding[STREAMS]; /* under the reader's mtx */
	bool gate;            /* atomic: calls wait */
	int sends;            /* atomic: answered well */
	int64_t next_id;
	int faults, refusals;
	unsigned seed;
};

static uint64_t tick_ts(int tick)
{
	return ts_from_ms(1000 + (int64_t)tick * TICK_MS);
}

static uint64_t clock_now(void *arg)
{
	(void)arg;
	return ts_from_ms(100000000);
}

static enum err_code fake_send(void *arg, const struct iov *req, int64_t deadline_ms,
	struct stop *s, struct mq_id *ret, struct err *e)
{
	struct fixture *f = arg;
	enum err_code code = ERR_OK;

	(void)deadline_ms;
	while (__atomic_load_n(&f->gate, __ATOMIC_ACQUIRE))
		if (stop_sleep(s, 1))
			return err_set(e, ERR_UNCERTAIN, "cut");
	mutex_lock(&f->mtx);
	f->seed = f->seed * 1103515245u + 12345u;
	unsigned dice = f->seed >> 16;
	if (f->refusals && dice % 20 == 0) {
		f->refusals--;
		code = err_set(e, ERR_UNAVAILABLE, "refused before production");
	} else if (f->faults && dice % 20 == 1) {
		f->faults--;
		model_target_append(&f->model, req->v, req->n, (int64_t)(dice % 7));
		code = err_set(e, ERR_UNCERTAIN, "connection lost");
	} else {
		model_target_append(&f->model, req->v, req->n, -1);
		model_target_position(&f->model, ret);
		__atomic_fetch_add(&f->sends, 1, __ATOMIC_RELEASE);
	}
	mutex_unlock(&f->mtx);
	return code;
}

static int64_t fake_id(void *arg)
{
	struct fixture *f = arg;
	return __atomic_fetch_add(&f->next_id, 1, __ATOMIC_RELAXED);
}

static const struct stream_ops ops = {
	.partition = stream_fake_partition, .drop = stream_fake_drop, .failed = stream_fake_failed};

static void setup(struct fixture *f, unsigned seed)
{
	struct err e = ERR_INIT;
	struct worker_metrics none = {0};

	*f = (struct fixture){.seed = seed, .next_id = 1LL << 62};
	mutex_init(&f->mtx, "model");
	stop_init(&f->stop, NULL);
	struct tchan_opts o = {.name = "tgt-rootcoord-dml_0",
		.floor_ts = ts_from_ms(1),
		.late_bound_ms = 100,
		.keepalive_ms = 60000,
		.clock = clock_now,
		.clock_arg = f};
	struct chan_sink sink = {
		.arg = f, .send = fake_send, .fresh_id = fake_id, .waiting = stream_fake_waiting};
	assert_int_equal(tchan_new(&o, &f->chan, &e), ERR_OK);
	assert_int_equal(worker_start(f->chan, &sink, &none, &f->stop, &f->worker, &e), ERR_OK);
}

static void teardown(struct fixture *f)
{
	worker_stop(f->worker, 1000);
	tchan_free(f->chan);
	assert_int_equal(dml_msgs_alive(), 0);
	model_target_done(&f->model);
	stop_done(&f->stop);
	mutex_done(&f->mtx);
}

static struct stream *stream_new(struct fixture *f, uint64_t acked, uint64_t replay_until)
{
	struct stream *st = xcalloc(1, sizeof(*st));

	st->ops = &ops;
	st->db = "default";
	st->collection = "c";
	snprintf(st->shard, sizeof(st->shard), "%s", shard);
	st->target_id = 500;
	st->pk_field_id = DML_MAKE_KEY_FIELD;
	st->acked.ts = acked;
	st->replay_until = replay_until;
	tchan_attach(f->chan, st);
	return st;
}

static int64_t key_of(int stream, int tick)
{
	return 1 + (int64_t)tick * STREAMS + stream;
}

static void add_row(struct pack *pk, struct stream *st, uint64_t ts, int64_t key)
{
	struct buf b = BUF_INIT(1 << 20);
	dml_make_rows(&b, MSG_INSERT, key, "src_1v0", 1, 7, &ts, 1, key);
	dml_pack_add(pk, st, buf_slice(&b));
	buf_done(&b);
}

static struct pack *pack_of_tick(int tick)
{
	return dml_pack_new(tick_ts(tick), tick_ts(tick + 1), 1);
}

static void read_main(void *arg)
{
	struct reader *r = arg;
	struct fixture *f = r->f;

	for (int t = 0; t < TICKS; t++) {
		struct err e = ERR_INIT;
		struct pack *pk = pack_of_tick(t);
		mutex_lock(&r->mtx);
		for (int i = (int)(r - f->readers); i < STREAMS; i += LANES)
			if (f->riding[i])
				add_row(pk, f->streams[i], tick_ts(t) + 5, key_of(i, t));
		if (lane_push(r->lane, pk, &f->stop, &e))
			abort();
		r->tick = t + 1;
		mutex_unlock(&r->mtx);
		stop_sleep(&f->stop, t % 8 == 0);
	}
}

/* From st's position up to the reader's place through a lane of its own, then into the reader's. */
static void chase(struct fixture *f, struct reader *r, int i, int from)
{
	struct stream *st = f->streams[i];
	struct err e = ERR_INIT;
	struct lane *l = lane_open(f->chan, "src", tick_ts(from), true);

	lane_set(st, l);
	for (int t = from;; t++) {
		mutex_lock(&r->mtx);
		if (t == r->tick) {
			lane_set(st, r->lane);
			lane_move(l, r->lane);
			f->riding[i] = true;
			mutex_unlock(&r->mtx);
			return;
		}
		mutex_unlock(&r->mtx);
		struct pack *pk = pack_of_tick(t);
		add_row(pk, st, tick_ts(t) + 5, key_of(i, t));
		assert_int_equal(lane_push(l, pk, &f->stop, &e), ERR_OK);
	}
}

/* A pause and a resume of stream i. */
static void come_back(struct fixture *f, int i, int64_t patience_ms)
{
	struct reader *r = &f->readers[i % LANES];
	struct stream *old = f->streams[i];

	mutex_lock(&r->mtx);
	f->riding[i] = false;
	tchan_detach(old, patience_ms);
	uint64_t head = tick_ts(r->tick + 1);
	mutex_unlock(&r->mtx);
	uint64_t until = old->unclean ? head : old->replay_until;
	int from = (int)((ts_ms(old->acked.ts) - 1000) / TICK_MS);
	f->streams[i] = stream_new(f, old->acked.ts, until);
	free(old);
	chase(f, r, i, from);
}

static bool drained(struct fixture *f)
{
	struct tchan_stats s;
	tchan_stats(f->chan, &s);
	return s.lanes == 0;
}

static void check_keys(struct fixture *f, int64_t first, int64_t last)
{
	int wrong = 0;

	mutex_lock(&f->mtx);
	if (f->model.broken)
		print_error("%s\n", f->model.why);
	assert_int_equal(f->model.broken, 0);
	for (int64_t k = first; k <= last; k++) {
		int live = model_target_live(&f->model, k);
		if (live != 1 && wrong++ < 5)
			print_error("key %d lives %d times\n", (int)k, live);
	}
	mutex_unlock(&f->mtx);
	assert_int_equal(wrong, 0);
}

static void wait_drained(struct fixture *f)
{
	struct deadline d = deadline_in(60000);
	while (!drained(f) && !deadline_passed(d))
		stop_sleep(&f->stop, 5);
	assert_true(drained(f));
}

static void test_load(void **state)
{
	struct fixture f;
	struct err e = ERR_INIT;

	(void)state;
	setup(&f, 3);
	f.faults = FAULTS;
	f.refusals = REFUSALS;
	for (int i = 0; i < STREAMS; i++) {
		f.streams[i] = stream_new(&f, tick_ts(0), 0);
		f.riding[i] = true;
	}
	for (int i = 0; i < LANES; i++) {
		struct reader *r = &f.readers[i];
		r->f = &f;
		mutex_init(&r->mtx, "reader");
		r->lane = lane_open(f.chan, "src", tick_ts(0), false);
		for (int k = i; k < STREAMS; k += LANES)
			lane_set(f.streams[k], r->lane);
	}
	for (int i = 0; i < LANES; i++)
		assert_int_equal(
			thread_start(&f.readers[i].thread, "reader", read_main, &f.readers[i], &e),
			ERR_OK);
	for (int n = 0; n < COMEBACKS; n++)
		come_back(&f, n % STREAMS, n == COMEBACKS / 2 ? 0 : 10000);
	for (int i = 0; i < LANES; i++) {
		thread_join(&f.readers[i].thread);
		lane_close(f.readers[i].lane);
		mutex_done(&f.readers[i].mtx);
	}
	wait_drained(&f);
	check_keys(&f, 1, (int64_t)TICKS * STREAMS);
	for (int i = 0; i < STREAMS; i++) {
		assert_true(f.streams[i]->acked.ts == tick_ts(TICKS));
		tchan_detach(f.streams[i], 1000);
		free(f.streams[i]);
	}
	teardown(&f);
}

/* An upsert as Milvus writes it, insert first, delete of the same time behind it, where a call's
 * limit falls between the two and the lane is late: the row must stay. */
static void test_upsert_over_two_calls(void **state)
{
	struct fixture f;
	struct err e = ERR_INIT;
	struct buf d = BUF_INIT(1 << 20), ids = BUF_INIT(256), longs = BUF_INIT(256),
		   num = BUF_INIT(64);
	uint64_t ts = ts_from_ms(5000);

	(void)state;
	setup(&f, 1);
	struct stream *st = stream_new(&f, 0, 0);
	struct lane *l = lane_open(f.chan, "src", 0, false);
	lane_set(st, l);
	struct pack *pk = dml_pack_new(ts - 10, ts, 1);
	for (int k = 1; k <= LIMIT_CALL_MSGS; k++)
		add_row(pk, st, ts, k);
	dml_make_rows(&d, MSG_DELETE, LIMIT_CALL_MSGS + 1, "src_1v0", 1, 7, &ts, 1, 0);
	wire_put_varint(&num, LIMIT_CALL_MSGS);
	wire_put_bytes(&longs, 1, buf_slice(&num));
	wire_put_bytes(&ids, 1, buf_slice(&longs));
	wire_put_bytes(&d, 12, buf_slice(&ids));
	dml_pack_add(pk, st, buf_slice(&d));
	buf_done(&d);
	buf_done(&ids);
	buf_done(&longs);
	buf_done(&num);
	mutex_lock(&f.chan->mtx);
	f.chan->last_tick = ts_from_ms(6000); /* so the lane is late */
	mutex_unlock(&f.chan->mtx);
	assert_int_equal(lane_push(l, pk, &f.stop, &e), ERR_OK);
	lane_close(l);
	wait_drained(&f);
	int64_t deletes = f.model.deletes;
	check_keys(&f, LIMIT_CALL_MSGS, LIMIT_CALL_MSGS);
	assert_int_equal(deletes, 1);
	tchan_detach(st, 1000);
	free(st);
	teardown(&f);
}

/* A pack leaves in parts; the first holds all rows of a. When a leaves then, its position stands
 * before rows that are on the target: it must say so. */
static void test_leaving_between_parts(void **state)
{
	struct fixture f;
	struct err e = ERR_INIT;
	uint64_t ts = ts_from_ms(5000);

	(void)state;
	setup(&f, 1);
	struct stream *a = stream_new(&f, 0, 0), *b = stream_new(&f, 0, 0);
	struct lane *l = lane_open(f.chan, "src", 0, false);
	lane_set(a, l);
	lane_set(b, l);
	struct pack *pk = dml_pack_new(ts - 10, ts, 1);
	for (int k = 1; k <= LIMIT_CALL_MSGS + 3; k++)
		add_row(pk, k <= LIMIT_CALL_MSGS ? a : b, ts, k);
	assert_int_equal(lane_push(l, pk, &f.stop, &e), ERR_OK);
	struct deadline d = deadline_in(20000);
	/* The second call is held once the first was answered. */
	while (!__atomic_load_n(&f.sends, __ATOMIC_ACQUIRE) && !deadline_passed(d))
		stop_sleep(&f.stop, 0);
	__atomic_store_n(&f.gate, true, __ATOMIC_RELEASE);
	tchan_detach(a, 5000);
	bool told = a->unclean || a->acked.ts >= ts;
	__atomic_store_n(&f.gate, false, __ATOMIC_RELEASE);
	lane_close(l);
	wait_drained(&f);
	tchan_detach(b, 1000);
	free(a);
	free(b);
	teardown(&f);
	assert_true(told);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_upsert_over_two_calls),
		cmocka_unit_test(test_leaving_between_parts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
