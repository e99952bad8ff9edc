/* A target channel with its worker against a model of the target: several lanes at different
 * places, late joiners, moves between lanes, calls that are refused or whose fate is unknown. After
 * each run every key lives exactly once and no promise of a channel was broken. */
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

enum { STREAMS = 4, PACKS = 120, TICK_MS = 200 };

struct fixture {
	struct mutex mtx; /* of the model */
	struct model_target model;
	struct tchan *chan;
	struct worker *worker;
	struct stop stop;
	struct stream streams[STREAMS];
	uint64_t clock;
	unsigned seed;
	int fault_percent;
	int64_t next_id;
	int waits;
	int sends;
};

static unsigned rnd(struct fixture *f)
{
	f->seed = f->seed * 1103515245u + 12345u;
	return f->seed >> 16;
}

static uint64_t clock_now(void *arg)
{
	struct fixture *f = arg;
	return __atomic_load_n(&f->clock, __ATOMIC_RELAXED);
}

static enum err_code fake_send(void *arg, const struct iov *req, int64_t deadline_ms,
	struct stop *s, struct mq_id *ret, struct err *e)
{
	struct fixture *f = arg;
	enum err_code code = ERR_OK;

	(void)deadline_ms;
	if (stop_is_set(s))
		return err_set(e, ERR_UNCERTAIN, "cut");
	mutex_lock(&f->mtx);
	f->sends++;
	unsigned dice = rnd(f) % 100;
	if ((int)dice >= f->fault_percent) {
		model_target_append(&f->model, req->v, req->n, -1);
		model_target_position(&f->model, ret);
	} else if (dice % 3 == 0) {
		code = err_set(e, ERR_UNAVAILABLE, "refused before production");
	} else {
		int64_t part = dice % 3 == 1 ? -1 : (int64_t)(rnd(f) % 4);
		model_target_append(&f->model, req->v, req->n, part);
		code = err_set(e, ERR_UNCERTAIN, "connection lost");
	}
	mutex_unlock(&f->mtx);
	return code;
}

static int64_t fake_id(void *arg)
{
	struct fixture *f = arg;
	return __atomic_fetch_add(&f->next_id, 1, __ATOMIC_RELAXED);
}

static void fake_waiting(void *arg, const struct tchan *c, const struct err *e, int64_t delay_ms)
{
	struct fixture *f = arg;
	(void)c;
	(void)e;
	f->waits += delay_ms >= 0;
}

static void note_drop(struct stream *st, const struct dml *d)
{
	(void)d;
	(*(int *)st->owner)++;
}

static const struct stream_ops ops = {
	.partition = stream_fake_partition, .drop = note_drop, .failed = stream_fake_failed};

static void setup(struct fixture *f, unsigned seed, int fault_percent)
{
	struct err e = ERR_INIT;

	*f = (struct fixture){.seed = seed, .fault_percent = fault_percent, .next_id = 1LL << 62};
	mutex_init(&f->mtx, "model");
	stop_init(&f->stop, NULL);
	f->clock = ts_from_ms(1000000);
	struct tchan_opts o = {.name = "tgt-rootcoord-dml_0",
		.floor_ts = ts_from_ms(1000),
		.late_bound_ms = 1000,
		.keepalive_ms = 60000,
		.clock = clock_now,
		.clock_arg = f};
	struct chan_sink sink = {
		.arg = f, .send = fake_send, .fresh_id = fake_id, .waiting = fake_waiting};
	struct worker_metrics none = {0};
	assert_int_equal(tchan_new(&o, &f->chan, &e), ERR_OK);
	assert_int_equal(worker_start(f->chan, &sink, &none, &f->stop, &f->worker, &e), ERR_OK);
	for (int i = 0; i < STREAMS; i++) {
		struct stream *st = &f->streams[i];
		st->ops = &ops;
		st->db = "default";
		st->collection = "c";
		snprintf(st->shard, sizeof(st->shard), "tgt-rootcoord-dml_0_%dv0", 500 + i);
		st->target_id = 500 + i;
		st->pk_field_id = DML_MAKE_KEY_FIELD;
		tchan_attach(f->chan, st);
	}
}

static void teardown(struct fixture *f)
{
	for (int i = 0; i < STREAMS; i++)
		tchan_detach(&f->streams[i], 1000);
	worker_stop(f->worker, 1000);
	tchan_free(f->chan);
	assert_int_equal(dml_msgs_alive(), 0);
	model_target_done(&f->model);
	stop_done(&f->stop);
	mutex_done(&f->mtx);
}

static struct pack *make_pack(
	struct fixture *f, int stream, uint64_t begin, uint64_t end, int64_t *key, int64_t msg_id)
{
	struct pack *pk = dml_pack_new(begin, end, (uint8_t)stream);
	int n = (int)(rnd(f) % 3);

	for (int i = 0; i < n; i++) {
		struct buf b = BUF_INIT(1 << 20);
		uint64_t ts[3];
		size_t rows = 1 + rnd(f) % 3;
		for (size_t k = 0; k < rows; k++)
			ts[k] = begin + 1 + rnd(f) % (end - begin);
		bool same = rnd(f) % 2;
		for (size_t k = 0; same && k < rows; k++)
			ts[k] = ts[0];
		dml_make_rows(&b, MSG_INSERT, msg_id + i, "src_1v0", 1, 7, ts, rows, *key);
		*key += (int64_t)rows;
		dml_pack_add(pk, &f->streams[stream], buf_slice(&b));
		buf_done(&b);
	}
	return pk;
}

/* All lanes push the same ticks, each with its own rows; stream 3 joins late through a chaser lane
 * and moves. */
static void feed(struct fixture *f, int64_t *ret_keys)
{
	struct err e = ERR_INIT;
	struct lane *lanes[STREAMS];
	int64_t key = 1;
	uint64_t at[STREAMS] = {0};

	for (int i = 0; i < STREAMS; i++) {
		at[i] = ts_from_ms(i == 3 ? 500 : 2000);
		lanes[i] = lane_open(f->chan, "src-rootcoord-dml_0", at[i], i == 3);
		lane_set(&f->streams[i], lanes[i]);
	}
	bool moved = false;
	for (int p = 0; p < PACKS; p++) {
		for (int i = 0; i < STREAMS; i++) {
			struct lane *l = i == 3 && moved ? lanes[0] : lanes[i];
			uint64_t end = at[i] + ts_from_ms(TICK_MS);
			if (i == 3 && moved)
				end = at[0]; /* rides in lane 0's packs: fed below */
			struct pack *pk = make_pack(
				f, i, at[i], MAX(end, at[i] + 10), &key, 1000 * p + 10 * i + 1);
			if (i == 3 && moved) {
				/* a row of the moved stream inside lane 0: its pack follows lane
				 * 0's own */
				pk->end_ts = pk->end.ts = at[0] + 10;
				at[0] = at[3] = pk->end_ts;
			} else {
				at[i] = end;
			}
			assert_int_equal(lane_push(l, pk, &f->stop, &e), ERR_OK);
		}
		if (!moved && at[3] + ts_from_ms(TICK_MS) * 10 > at[0] && p > PACKS / 2) {
			at[3] = at[0];
			lane_set(&f->streams[3], lanes[0]);
			lane_move(lanes[3], lanes[0]);
			moved = true;
		}
	}
	for (int i = 0; i < 3; i++)
		lane_close(lanes[i]);
	if (!moved)
		lane_close(lanes[3]);
	*ret_keys = key;
}

static bool drained(struct fixture *f)
{
	struct tchan_stats s;
	tchan_stats(f->chan, &s);
	return s.lanes == 0;
}

static void run_one(unsigned seed, int faults)
{
	struct fixture f;
	int64_t keys;
	struct deadline d = deadline_in(60000);

	setup(&f, seed, faults);
	feed(&f, &keys);
	while (!drained(&f) && !deadline_passed(d))
		stop_sleep(&f.stop, 5);
	assert_true(drained(&f));
	mutex_lock(&f.mtx);
	if (f.model.broken)
		print_error("seed %u: %s\n", seed, f.model.why);
	assert_int_equal(f.model.broken, 0);
	if (!faults)
		assert_int_equal(f.model.stale_ticks, 0);
	for (int64_t k = 1; k < keys; k++) {
		if (model_target_live(&f.model, k) != 1)
			print_error("seed %u: key %d lives %d times\n", seed, (int)k,
				model_target_live(&f.model, k));
		assert_int_equal(model_target_live(&f.model, k), 1);
	}
	mutex_unlock(&f.mtx);
	teardown(&f);
}

static void test_no_faults(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++)
		run_one(seed, 0);
}

static void test_unknown_fates(void **state)
{
	(void)state;
	run_one(7, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_faults),
		cmocka_unit_test(test_unknown_fates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
