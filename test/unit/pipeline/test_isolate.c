/* One message, or one collection, that the target refuses: its stream stops, the others on the
 * channel go on, and what was sent in front of it counts once. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/wire.h"
#include "model/ts.h"
#include "pipeline/tchan.h"
#include "pipeline/worker.h"
#include "support/dml_make.h"
#include "support/model_target.h"
#include "support/stream_fakes.h"

enum { GOOD, BAD, STREAMS };
enum { PACKS = 30, POISON_AT = 12, BIG_ROWS = 300, BIG_BYTES = 2000, Q_MSGS = 5, WAIT_MS = 30000 };

struct fixture {
	struct mutex mtx;
	struct model_target model;
	struct tchan *chan;
	struct worker *worker;
	struct stop stop;
	struct stream streams[STREAMS];
	int64_t next_id;
	enum err_code
		refusal; /* of a call with a big message; those before it land if it is LIMIT */
	bool gone;       /* all rows of BAD are refused as BUSY */
	int refused;
	int failed[STREAMS], doubted[STREAMS]; /* under mtx */
	char why[400];
};

static uint64_t clock_now(void *arg)
{
	(void)arg;
	return ts_from_ms(1000000);
}

/* The place of the first message that is too big, or of BAD's rows if that is asked; -1. */
static int64_t find(struct slice request, size_t most, const char *shard)
{
	struct wire w = wire_open(request);
	struct wire_field f;

	for (int64_t i = 0; wire_next(&w, &f);) {
		if (f.num != Q_MSGS)
			continue;
		if (f.data.n > most || (shard && memmem(f.data.p, f.data.n, shard, strlen(shard))))
			return i;
		i++;
	}
	return -1;
}

static enum err_code fake_send(void *arg, const struct iov *req, int64_t deadline_ms,
	struct stop *s, struct mq_id *ret, struct err *e)
{
	struct fixture *f = arg;
	CLEANUP(buf_done) struct buf flat = BUF_INIT(10 << 20);
	enum err_code code = ERR_OK;

	(void)deadline_ms;
	(void)s;
	for (size_t i = 0; i < req->n; i++)
		buf_put(&flat, req->v[i].p, req->v[i].n);
	mutex_lock(&f->mtx);
	int64_t big = f->refusal ? find(buf_slice(&flat), BIG_BYTES, NULL) : -1;
	if (big >= 0 && f->refusal == ERR_LIMIT) {
		model_target_append(&f->model, req->v, req->n, big);
		code = err_set(e, ERR_LIMIT, "Message size too large");
	} else if (big >= 0) {
		code = err_set(e, f->refusal, "no, never");
	} else if (f->gone && find(buf_slice(&flat), SIZE_MAX, f->streams[BAD].shard) >= 0) {
		code = err_set(e, ERR_BUSY, "getSegmentID failed");
	} else {
		model_target_append(&f->model, req->v, req->n, -1);
		model_target_position(&f->model, ret);
	}
	f->refused += code != ERR_OK;
	mutex_unlock(&f->mtx);
	return code;
}

static int64_t fake_id(void *arg)
{
	struct fixture *f = arg;
	return __atomic_fetch_add(&f->next_id, 1, __ATOMIC_RELAXED);
}

static void note_failed(struct stream *st, const struct err *e)
{
	struct fixture *f = st->owner;

	mutex_lock(&f->mtx);
	f->failed[st - f->streams]++;
	snprintf(f->why, sizeof(f->why), "%.399s", e->text);
	mutex_unlock(&f->mtx);
	st->failed = true;
}

static void note_doubted(struct stream *st)
{
	struct fixture *f = st->owner;

	mutex_lock(&f->mtx);
	f->doubted[st - f->streams]++;
	mutex_unlock(&f->mtx);
}

static const struct stream_ops ops = {.partition = stream_fake_partition,
	.drop = stream_fake_drop,
	.failed = note_failed,
	.doubted = note_doubted};

static void setup(struct fixture *f)
{
	struct err e = ERR_INIT;
	struct tchan_opts o = {.name = "tgt-rootcoord-dml_0",
		.floor_ts = ts_from_ms(1000),
		.late_bound_ms = 1000,
		.keepalive_ms = 60000,
		.clock = clock_now};
	struct chan_sink sink = {.arg = f,
		.send = fake_send,
		.fresh_id = fake_id,
		.waiting = stream_fake_waiting,
		.retry_first_ms = 1,
		.retry_most_ms = 2};
	struct worker_metrics none = {0};

	mutex_init(&f->mtx, "model");
	stop_init(&f->stop, NULL);
	f->next_id = 1LL << 62;
	assert_int_equal(tchan_new(&o, &f->chan, &e), ERR_OK);
	assert_int_equal(worker_start(f->chan, &sink, &none, &f->stop, &f->worker, &e), ERR_OK);
	for (int i = 0; i < STREAMS; i++) {
		struct stream *st = &f->streams[i];
		st->ops = &ops;
		st->owner = f;
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

static void add_rows(struct pack *pk, struct stream *st, uint64_t ts, size_t rows, int64_t key)
{
	struct buf b = BUF_INIT(1 << 20);
	uint64_t times[BIG_ROWS];

	for (size_t i = 0; i < rows; i++)
		times[i] = ts;
	dml_make_rows(&b, MSG_INSERT, key + 1, "src_1v0", 1, 7, times, rows, key);
	dml_pack_add(pk, st, buf_slice(&b));
	buf_done(&b);
}

static int64_t key_of(int stream, int pack)
{
	return (stream + 1) * 1000000 + pack * 1000;
}

static uint64_t end_of(int pack)
{
	return ts_from_ms(2000 + 200 * (pack + 1));
}

/* Both streams in one lane, three rows a pack each; pack POISON_AT of BAD is big. */
static void feed(struct fixture *f)
{
	struct err e = ERR_INIT;
	struct lane *l = lane_open(f->chan, "src-rootcoord-dml_0", ts_from_ms(2000), false);

	for (int i = 0; i < STREAMS; i++)
		lane_set(&f->streams[i], l);
	for (int p = 0; p < PACKS; p++) {
		struct pack *pk = dml_pack_new(p ? end_of(p - 1) : ts_from_ms(2000), end_of(p), 0);
		for (int i = 0; i < STREAMS; i++)
			add_rows(pk, &f->streams[i], end_of(p) - 1000,
				i == BAD && p == POISON_AT ? BIG_ROWS : 3, key_of(i, p));
		add_rows(pk, &f->streams[GOOD], end_of(p) - 500, 2, key_of(GOOD, p) + 500);
		assert_int_equal(lane_push(l, pk, &f->stop, &e), ERR_OK);
	}
	lane_close(l);
}

static void await_end(struct fixture *f)
{
	struct deadline d = deadline_in(WAIT_MS);

	while (tchan_position(&f->streams[GOOD]).ts < end_of(PACKS - 1) && !deadline_passed(d))
		stop_sleep(&f->stop, 2);
	assert_int_equal(tchan_position(&f->streams[GOOD]).ts, end_of(PACKS - 1));
}

static void check_good(struct fixture *f)
{
	mutex_lock(&f->mtx);
	if (f->model.broken)
		print_error("%s\n", f->model.why);
	assert_int_equal(f->model.broken, 0);
	for (int p = 0; p < PACKS; p++)
		for (int k = 0; k < 3; k++)
			assert_int_equal(model_target_live(&f->model, key_of(GOOD, p) + k), 1);
	assert_int_equal(f->failed[GOOD], 0);
	mutex_unlock(&f->mtx);
}

static void poison(enum err_code refusal, const char *text)
{
	struct fixture f = {.refusal = refusal};

	setup(&f);
	feed(&f);
	await_end(&f);
	check_good(&f);
	assert_int_equal(f.failed[BAD], 1);
	assert_non_null(strstr(f.why, text));
	assert_non_null(strstr(f.why, "(300 rows)"));
	/* It stands before its message; what came before is there once. */
	assert_true(tchan_position(&f.streams[BAD]).ts < end_of(POISON_AT));
	for (int p = 0; p < PACKS; p++)
		assert_int_equal(model_target_live(&f.model, key_of(BAD, p)), p < POISON_AT);
	teardown(&f);
	assert_true(f.streams[BAD].failed);
}

static void a_message_beyond_the_queues_limit(void **state)
{
	(void)state;
	poison(ERR_LIMIT, "raise max.message.bytes");
}

static void a_message_that_is_refused_each_time(void **state)
{
	(void)state;
	poison(ERR_MALFORMED, "refuses a message");
}

/* A collection that somebody dropped on the target: its stream is asked, and leaves. */
static void a_collection_that_is_gone(void **state)
{
	struct fixture f = {.gone = true};
	struct deadline d = deadline_in(WAIT_MS);
	int doubted = 0;

	(void)state;
	setup(&f);
	feed(&f);
	while (!doubted && !deadline_passed(d)) {
		stop_sleep(&f.stop, 2);
		mutex_lock(&f.mtx);
		doubted = f.doubted[BAD];
		mutex_unlock(&f.mtx);
	}
	assert_true(doubted > 0);
	tchan_detach(&f.streams[BAD], 0);
	await_end(&f);
	check_good(&f);
	assert_int_equal(f.failed[BAD], 0);
	for (int p = 0; p < PACKS; p++)
		assert_int_equal(model_target_live(&f.model, key_of(BAD, p)), 0);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_beyond_the_queues_limit),
		cmocka_unit_test(a_message_that_is_refused_each_time),
		cmocka_unit_test(a_collection_that_is_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
