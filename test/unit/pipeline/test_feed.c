/* An untimed channel with its worker against a log that confirms late, loses records and refuses some:
 * every message of a stream is in the log, in the order of its times, and what follows a lost one
 * follows it again. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/mem.h"
#include "pipeline/feed.h"
#include "pipeline/worker.h"
#include "support/dml_make.h"

enum { STREAMS = 3, LOG_MOST = 1 << 14 };

struct record {
	const struct stream *st; /* NULL: a note */
	uint64_t ts;
	int type;
	bool lost, last, again;
	bool out, large, refused; /* see large_id */
};

struct fixture {
	struct tchan *chan;
	struct worker *worker;
	struct stop stop;
	struct stream streams[STREAMS];
	struct lane *lane;
	int failed, drops;
	/* The worker's until it has ended */
	struct record log[LOG_MOST];
	size_t n;
	unsigned seed;
	unsigned lost_percent;
	int64_t refuse_id; /* put refuses the message with this id */
	int64_t large_id;  /* wait refuses this one, and all that are out together with it */
	int tickets;
	int waits;
	bool stuck;  /* nothing is confirmed */
	bool silent; /* the log is not told of notes */
};

static unsigned rnd(struct fixture *f)
{
	f->seed = f->seed * 1103515245u + 12345u;
	return f->seed >> 16;
}

/* A large record spoils the batch: all that are out. */
static void refuse_batch(struct fixture *f)
{
	bool large = false;

	for (size_t i = 0; i < f->n; i++)
		large = large || (f->log[i].out && f->log[i].large);
	for (size_t i = 0; i < f->n; i++)
		f->log[i].refused = f->log[i].refused || (large && f->log[i].out);
}

static enum err_code fake_put(
	void *arg, const struct feed_item *it, struct stop *s, void **ret_ticket, struct err *e)
{
	struct fixture *f = arg;

	(void)s;
	if (it->dml && it->dml->base.msg_id == f->refuse_id)
		return err_set(e, ERR_LIMIT, "too large");
	if (rnd(f) % 100 < f->lost_percent / 2)
		return err_set(e, ERR_UNAVAILABLE, "not now");
	if (it->note && f->silent)
		return ERR_OK;
	assert_true(f->n < LOG_MOST);
	f->log[f->n] = (struct record){.st = it->stream,
		.ts = it->dml ? it->dml->min_ts : it->note->source_ts,
		.type = it->dml ? it->dml->type : it->note->type,
		.lost = rnd(f) % 100 < f->lost_percent,
		.last = it->last,
		.again = it->again};
	struct record *r = &f->log[f->n++];
	r->out = true;
	r->large = it->dml && f->large_id && it->dml->base.msg_id == f->large_id;
	refuse_batch(f);
	*ret_ticket = r;
	f->tickets++;
	return ERR_OK;
}

static enum err_code fake_wait(
	void *arg, void *ticket, struct deadline d, struct stop *s, struct err *e)
{
	struct fixture *f = arg;
	struct record *r = ticket;

	(void)d;
	r->out = false;
	if (__atomic_load_n(&f->stuck, __ATOMIC_ACQUIRE)) {
		stop_sleep(s, 20000);
		return stop_err(e);
	}
	if (r->refused)
		return err_set(e, ERR_LIMIT, "the batch is too large");
	return r->lost ? err_set(e, ERR_UNAVAILABLE, "lost") : ERR_OK;
}

static void fake_drop(void *arg, void *ticket)
{
	struct fixture *f = arg;
	((struct record *)ticket)->out = false;
	f->tickets--;
}

static const struct feed_ops feed_ops = {fake_put, fake_wait, fake_drop};

static void fake_waiting(void *arg, const struct tchan *c, const struct err *e, int64_t delay_ms)
{
	struct fixture *f = arg;
	(void)c;
	(void)e;
	f->waits += delay_ms >= 0;
}

static uint64_t no_clock(void *arg)
{
	(void)arg;
	return 0;
}

static enum stream_partition any_partition(
	struct stream *st, int64_t source_id, struct slice name, int64_t *ret)
{
	(void)st;
	(void)name;
	*ret = source_id;
	return STREAM_PARTITION_OK;
}

static void note_drop(struct stream *st, const struct dml *d)
{
	struct fixture *f = st->owner;
	(void)d;
	f->drops++;
}

static void note_failed(struct stream *st, const struct err *e)
{
	struct fixture *f = st->owner;
	assert_int_equal(e->code, ERR_LIMIT);
	st->failed = true;
	f->failed++;
}

static const struct stream_ops ops = {
	.partition = any_partition, .drop = note_drop, .failed = note_failed};

static struct fixture *setup(unsigned seed, unsigned lost_percent)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct err e = ERR_INIT;

	f->seed = seed;
	f->lost_percent = lost_percent;
	stop_init(&f->stop, NULL);
	struct tchan_opts o = {
		.name = "src-rootcoord-dml_0", .untimed = true, .clock = no_clock, .clock_arg = f};
	struct chan_sink sink = {.arg = f, .feed = &feed_ops, .waiting = fake_waiting};
	struct worker_metrics none = {0};
	assert_int_equal(tchan_new(&o, &f->chan, &e), ERR_OK);
	assert_int_equal(worker_start(f->chan, &sink, &none, &f->stop, &f->worker, &e), ERR_OK);
	f->lane = lane_open(f->chan, "src-rootcoord-dml_0", 10, false);
	for (int i = 0; i < STREAMS; i++) {
		struct stream *st = &f->streams[i];
		st->ops = &ops;
		st->owner = f;
		st->db = "default";
		st->collection = "c";
		st->replay_until = 100;
		tchan_attach(f->chan, st);
		lane_set(st, f->lane);
	}
	return f;
}

static void teardown(struct fixture *f)
{
	lane_close(f->lane);
	for (int i = 0; i < STREAMS; i++)
		tchan_detach(&f->streams[i], 5000);
	worker_stop(f->worker, 5000);
	assert_int_equal(f->tickets, 0);
	tchan_free(f->chan);
	assert_int_equal(dml_msgs_alive(), 0);
	stop_done(&f->stop);
	free(f);
}

static void add(struct fixture *f, struct pack *pk, int stream, int type, uint64_t ts, int64_t id)
{
	struct buf b = BUF_INIT(1 << 16);
	dml_make_rows(&b, type, id, "src_1v0", 1, 7, &ts, 1, id);
	dml_pack_add(pk, &f->streams[stream], buf_slice(&b));
	buf_done(&b);
}

static void push(struct fixture *f, struct pack *pk)
{
	struct err e = ERR_INIT;
	assert_int_equal(lane_push(f->lane, pk, &f->stop, &e), ERR_OK);
}

static void wait_acked(struct fixture *f, uint64_t ts)
{
	struct deadline d = deadline_in(20000);
	for (int i = 0; i < STREAMS; i++)
		while (f->streams[i].chan && tchan_position(&f->streams[i]).ts < ts &&
			!f->streams[i].failed && !deadline_passed(d))
			stop_sleep(&f->stop, 1);
}

/* What a consumer is left with that drops repeats: the highest time so far never falls. */
static void check_stream(const struct fixture *f, const struct stream *st, size_t want)
{
	uint64_t delivered = 0, floor = 0;
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++) {
		const struct record *r = &f->log[i];
		if (r->st != st)
			continue;
		if (r->lost) {
			/* it and all later ones come again */
			floor = floor ? MIN(floor, r->ts) : r->ts;
			continue;
		}
		if (r->ts <= delivered)
			continue;
		if (floor && r->ts > floor)
			continue; /* overtakes a lost one: it must come again, see below */
		floor = 0;
		delivered = r->ts;
		n++;
	}
	assert_int_equal(n, want);
}

static void run_one(unsigned seed, unsigned lost_percent, int packs)
{
	struct fixture *f = setup(seed, lost_percent);
	size_t want[STREAMS] = {0};
	uint64_t at = 10;
	int64_t id = 1;

	for (int p = 0; p < packs; p++, at += 10) {
		struct pack *pk = dml_pack_new(at, at + 10, 1);
		/* in the topic out of order: the times count down */
		for (int k = (int)(rnd(f) % 9); k > 0; k--) {
			int stream = (int)(rnd(f) % STREAMS);
			add(f, pk, stream, MSG_INSERT, at + (uint64_t)k, id++);
			want[stream]++;
		}
		push(f, pk);
	}
	wait_acked(f, at);
	for (int i = 0; i < STREAMS; i++) {
		assert_int_equal(tchan_position(&f->streams[i]).ts, at);
		check_stream(f, &f->streams[i], want[i]);
	}
	if (!lost_percent)
		assert_int_equal(f->n, want[0] + want[1] + want[2]);
	teardown(f);
}

static void test_all_delivered(void **state)
{
	(void)state;
	run_one(1, 0, 60);
}

static void test_lost_records(void **state)
{
	(void)state;
	run_one(2, 5, 8);
}

/* An upsert is an insert and a delete of one time; a log's consumer wants the delete first. */
static void test_order_in_pack(void **state)
{
	(void)state;
	struct fixture *f = setup(1, 0);
	struct pack *pk = dml_pack_new(200, 210, 1);

	add(f, pk, 0, MSG_INSERT, 207, 1);
	add(f, pk, 0, MSG_INSERT, 205, 2);
	add(f, pk, 1, MSG_INSERT, 204, 3);
	add(f, pk, 0, MSG_DELETE, 205, 4);
	add(f, pk, 0, MSG_DELETE, 207, 5);
	push(f, pk);
	wait_acked(f, 210);
	assert_int_equal(f->n, 5);
	static const struct {
		uint64_t ts;
		int type;
		bool last;
	} want[] = {{204, MSG_INSERT, true}, {205, MSG_DELETE, false}, {205, MSG_INSERT, false},
		{207, MSG_DELETE, false}, {207, MSG_INSERT, true}};
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(f->log[i].ts, want[i].ts);
		assert_int_equal(f->log[i].type, want[i].type);
		assert_int_equal(f->log[i].last, want[i].last);
		assert_false(f->log[i].again); /* above replay_until */
	}
	teardown(f);
}

static void test_refused_message_ends_its_stream(void **state)
{
	(void)state;
	struct fixture *f = setup(1, 0);
	struct pack *pk = dml_pack_new(50, 60, 1), *next = dml_pack_new(60, 70, 1);

	f->refuse_id = 2;
	add(f, pk, 0, MSG_INSERT, 51, 1);
	add(f, pk, 0, MSG_INSERT, 52, 2);
	add(f, pk, 0, MSG_INSERT, 53, 3);
	add(f, pk, 1, MSG_INSERT, 54, 4);
	add(f, next, 0, MSG_INSERT, 61, 5);
	add(f, next, 1, MSG_INSERT, 62, 6);
	push(f, pk);
	push(f, next);
	wait_acked(f, 70);
	assert_int_equal(f->failed, 1);
	assert_int_equal(tchan_position(&f->streams[0]).ts, 0);
	assert_int_equal(tchan_position(&f->streams[1]).ts, 70);
	assert_int_equal(f->n, 3);
	assert_true(f->log[0].again); /* at or below replay_until */
	teardown(f);
}

/* A log that refuses small messages for a large neighbour: only the large one's stream ends. */
static void test_large_neighbour(void **state)
{
	(void)state;
	struct fixture *f = setup(1, 0);
	struct pack *pk = dml_pack_new(50, 60, 1);
	size_t in_log = 0;

	f->large_id = 3;
	add(f, pk, 1, MSG_INSERT, 51, 1);
	add(f, pk, 0, MSG_INSERT, 52, 2);
	add(f, pk, 0, MSG_INSERT, 53, 3);
	add(f, pk, 0, MSG_INSERT, 54, 4);
	add(f, pk, 1, MSG_INSERT, 55, 5);
	push(f, pk);
	wait_acked(f, 60);
	assert_int_equal(f->failed, 1);
	assert_int_equal(tchan_position(&f->streams[0]).ts, 0);
	assert_int_equal(tchan_position(&f->streams[1]).ts, 60);
	for (size_t i = 0; i < f->n; i++)
		in_log += !f->log[i].refused;
	assert_int_equal(in_log, 3); /* 1, 2 and 5, once each */
	teardown(f);
}

static void tell_drop(struct fixture *f)
{
	struct tchan_note note = {.type = MSG_DROP_COLLECTION, .shard = "s", .source_ts = 55};
	struct deadline d = deadline_in(5000);

	tchan_note(f->chan, &note);
	while (!tchan_note_done(f->chan, &note) && !deadline_passed(d))
		stop_sleep(&f->stop, 1);
	assert_false(deadline_passed(d));
}

static void test_drop_and_note(void **state)
{
	(void)state;
	struct fixture *f = setup(1, 0);
	struct pack *pk = dml_pack_new(50, 60, 1);
	struct buf b = BUF_INIT(1 << 16);

	add(f, pk, 0, MSG_INSERT, 51, 1);
	dml_make_drop(&b, MSG_DROP_COLLECTION, 55, 1, 0);
	dml_pack_add(pk, &f->streams[0], buf_slice(&b));
	buf_done(&b);
	push(f, pk);
	wait_acked(f, 60);
	assert_int_equal(f->drops, 1);
	assert_int_equal(f->n, 1);
	tell_drop(f);
	assert_int_equal(f->n, 2);
	assert_int_equal(f->log[1].type, MSG_DROP_COLLECTION);
	/* a format that has no record for it */
	f->silent = true;
	tell_drop(f);
	assert_int_equal(f->n, 2);
	teardown(f);
}

/* A stream that leaves does not wait for a log that is stuck; its neighbours go on later. */
static void test_detach_from_stuck_log(void **state)
{
	(void)state;
	struct fixture *f = setup(1, 0);
	struct pack *pk = dml_pack_new(50, 60, 1);

	f->stuck = true;
	add(f, pk, 0, MSG_INSERT, 51, 1);
	add(f, pk, 1, MSG_INSERT, 52, 2);
	push(f, pk);
	while (!__atomic_load_n(&f->tickets, __ATOMIC_ACQUIRE))
		stop_sleep(&f->stop, 1);
	__atomic_store_n(&f->stuck, false, __ATOMIC_RELEASE);
	tchan_detach(&f->streams[0], 50);
	assert_true(f->streams[0].unclean || f->streams[0].acked.ts == 60);
	wait_acked(f, 60);
	assert_int_equal(tchan_position(&f->streams[1]).ts, 60);
	teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_delivered),
		cmocka_unit_test(test_lost_records), cmocka_unit_test(test_order_in_pack),
		cmocka_unit_test(test_refused_message_ends_its_stream),
		cmocka_unit_test(test_large_neighbour), cmocka_unit_test(test_drop_and_note),
		cmocka_unit_test(test_detach_from_stuck_log)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
