#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/mutex.h"
#include "base/str.h"
#include "base/thread.h"
#include "store/store_mem.h"
#include "store/writer.h"

enum { WAIT_MS = 10000, LONG_MS = 3600000 };

/* A store whose writes can be held at a gate, and fail after it. */
struct gate {
	struct store st;
	struct store *mem;
	struct mutex mtx;
	struct cond cond;
	/* Under mtx: */
	bool closed;
	int waiting, calls;
	enum err_code fail;
};

static struct gate *gate_of(struct store *st)
{
	return CONTAINER_OF(st, struct gate, st);
}

static enum err_code gate_write(
	struct store *st, const struct store_batch *b, struct stop *s, struct err *e)
{
	struct gate *g = gate_of(st);
	struct stop_watch w;

	stop_watch_add(s, &w, &g->mtx, &g->cond);
	mutex_lock(&g->mtx);
	g->calls++;
	g->waiting++;
	cond_broadcast(&g->cond);
	while (g->closed && !stop_is_set(s))
		cond_wait(&g->cond, &g->mtx, DEADLINE_NEVER);
	g->waiting--;
	enum err_code fail = g->fail;
	mutex_unlock(&g->mtx);
	stop_watch_del(s, &w);
	if (fail)
		return err_set(e, fail, "the gate says no");
	return store_write(g->mem, b, s, e);
}

static const struct store_ops gate_ops = {.name = "gate", .write = gate_write};

struct bed {
	struct gate gate;
	struct writer *w;
	struct stop stop;
};

static void start(struct bed *b, int64_t interval_ms)
{
	struct err e = ERR_INIT;
	assert_int_equal(writer_new(&b->gate.st, interval_ms, &b->w, &e), ERR_OK);
}

static void put_task(struct bed *b, const char *id)
{
	CLEANUP(task_freep)
	struct task *t = task_new();
	struct err e = ERR_INIT;
	free(t->id);
	t->id = xstrdup(id);
	assert_int_equal(store_put_task(b->gate.mem, t, &b->stop, &e), ERR_OK);
}

static int up(void **state)
{
	struct bed *b = *state = xcalloc(1, sizeof(*b));
	log_set_level(LOG_OFF);
	stop_init(&b->stop, NULL);
	b->gate.st.ops = &gate_ops;
	b->gate.mem = store_mem_new("cdc");
	mutex_init(&b->gate.mtx, "gate");
	cond_init(&b->gate.cond);
	put_task(b, "a");
	put_task(b, "b");
	return 0;
}

static void set_gate(struct bed *b, bool closed, enum err_code fail)
{
	mutex_lock(&b->gate.mtx);
	b->gate.closed = closed;
	b->gate.fail = fail;
	cond_broadcast(&b->gate.cond);
	mutex_unlock(&b->gate.mtx);
}

static int down(void **state)
{
	struct bed *b = *state;
	writer_free(b->w);
	b->gate.mem->ops->close(b->gate.mem);
	cond_done(&b->gate.cond);
	mutex_done(&b->gate.mtx);
	stop_done(&b->stop);
	free(b);
	return 0;
}

/* Until a write stands at the gate. */
static void wait_at_gate(struct bed *b)
{
	struct deadline d = deadline_in(WAIT_MS);
	mutex_lock(&b->gate.mtx);
	while (!b->gate.waiting)
		assert_true(cond_wait(&b->gate.cond, &b->gate.mtx, d));
	mutex_unlock(&b->gate.mtx);
}

static void put_doc(struct bed *b, const char *id, int64_t cid, uint64_t n)
{
	CLEANUP(freep)
	char *task = xstrdup(id);
	char name[] = "n";
	struct store_position s = {.channel = "ch", .pos.ts = n << 18, .exact = true};
	struct store_positions p = {.task_id = task,
		.collection_id = cid,
		.collection_name = name,
		.source = &s,
		.n_source = 1};
	writer_put_position(b->w, &p);
}

static enum err_code flush(struct bed *b, int64_t ms, struct err *e)
{
	return writer_flush(b->w, deadline_in(ms), &b->stop, e);
}

static void flush_ok(struct bed *b)
{
	struct err e = ERR_INIT;
	if (flush(b, WAIT_MS, &e))
		fail_msg("%s", e.text);
}

/* What is stored for (id, cid); 0 if nothing. */
static uint64_t stored(struct bed *b, const char *id, int64_t cid)
{
	struct store_positions *l;
	struct err e = ERR_INIT;
	size_t n;
	uint64_t v = 0;

	assert_int_equal(store_read_positions(b->gate.mem, id, &b->stop, &l, &n, &e), ERR_OK);
	for (size_t i = 0; i < n; i++)
		if (l[i].collection_id == cid)
			v = l[i].source[0].pos.ts >> 18;
	store_positions_free(l, n);
	return v;
}

static void expect_ext(struct bed *b, const char *key, const char *want)
{
	CLEANUP(freep)
	char *full = xasprintf("cdc/ext/%s", key);
	CLEANUP(freep)
	char *text = store_mem_get(b->gate.mem, full);
	if (want)
		assert_string_equal(text, want);
	else
		assert_null(text);
}

static void test_flush_makes_everything_durable(void **state)
{
	struct bed *b = *state;
	struct writer_status st;

	start(b, LONG_MS);
	flush_ok(b); /* of nothing */
	for (uint64_t i = 1; i <= 50; i++)
		for (int64_t cid = 0; cid < 20; cid++)
			put_doc(b, "a", cid, i);
	writer_put_ext(b->w, "bound/a/x", "{}");
	writer_put_ext(b->w, "gone", "{}");
	writer_put_ext(b->w, "gone", NULL);
	writer_status(b->w, &st);
	assert_int_equal(st.waiting, 22);
	assert_int_equal(store_mem_writes(b->gate.mem), 0);
	flush_ok(b);
	for (int64_t cid = 0; cid < 20; cid++)
		assert_int_equal(stored(b, "a", cid), 50);
	expect_ext(b, "bound/a/x", "{}");
	expect_ext(b, "gone", NULL);
	/* A thousand puts are one write of the newest ones. */
	assert_int_equal(store_mem_writes(b->gate.mem), 1);
	writer_status(b->w, &st);
	assert_true(st.healthy);
	assert_int_equal(st.waiting, 0);
	assert_string_equal(st.text, "");
}

/* The newest of put and delete counts, whichever it is. */
static void test_a_document_is_deleted(void **state)
{
	struct bed *b = *state;

	start(b, LONG_MS);
	for (int64_t cid = 1; cid <= 3; cid++)
		put_doc(b, "a", cid, 5);
	flush_ok(b);
	writer_delete_position(b->w, "a", 1);
	put_doc(b, "a", 2, 6);
	writer_delete_position(b->w, "a", 2);
	writer_delete_position(b->w, "a", 3);
	put_doc(b, "a", 3, 7);
	flush_ok(b);
	assert_int_equal(stored(b, "a", 1), 0);
	assert_int_equal(stored(b, "a", 2), 0);
	assert_int_equal(stored(b, "a", 3), 7);
}

static void test_writes_by_itself_every_interval(void **state)
{
	struct bed *b = *state;
	struct deadline d = deadline_in(WAIT_MS);

	start(b, 10);
	put_doc(b, "a", 1, 5);
	while (stored(b, "a", 1) != 5)
		assert_false(deadline_passed(d));
	put_doc(b, "a", 1, 6);
	while (stored(b, "a", 1) != 6)
		assert_false(deadline_passed(d));
}

static void test_many_records_go_in_batches(void **state)
{
	struct bed *b = *state;

	start(b, LONG_MS);
	for (int64_t cid = 1; cid <= 2500; cid++)
		put_doc(b, cid % 2 ? "a" : "b", cid, (uint64_t)cid);
	flush_ok(b);
	assert_int_equal(store_mem_writes(b->gate.mem), 3);
	assert_int_equal(stored(b, "b", 2500), 2500);
}

static void test_a_failed_write_never_replaces_a_newer_value(void **state)
{
	struct bed *b = *state;
	struct writer_status st;
	struct err e = ERR_INIT;

	start(b, 0);
	set_gate(b, true, ERR_OK);
	put_doc(b, "a", 1, 1);
	wait_at_gate(b);
	put_doc(b, "a", 1, 2);
	put_doc(b, "a", 2, 1);
	set_gate(b, false, ERR_UNCERTAIN);
	assert_int_equal(flush(b, 300, &e), ERR_TIMEOUT);
	assert_non_null(strstr(e.text, "the gate says no"));
	writer_status(b->w, &st);
	assert_false(st.healthy);
	assert_int_equal(st.code, ERR_UNCERTAIN);
	assert_int_equal(st.waiting, 2);
	assert_non_null(strstr(st.text, "metastore uncertain: the gate says no; retry in "));
	assert_non_null(strstr(st.text, "2 records waiting"));
	set_gate(b, false, ERR_OK);
	flush_ok(b);
	assert_int_equal(stored(b, "a", 1), 2);
	assert_int_equal(stored(b, "a", 2), 1);
	writer_status(b->w, &st);
	assert_true(st.healthy);
	assert_int_equal(st.failures, 0);
}

static void test_failures_back_off(void **state)
{
	struct bed *b = *state;
	struct err e = ERR_INIT;

	start(b, 0);
	set_gate(b, false, ERR_UNAVAILABLE);
	put_doc(b, "a", 1, 1);
	assert_int_equal(flush(b, 600, &e), ERR_TIMEOUT);
	mutex_lock(&b->gate.mtx);
	int calls = b->gate.calls;
	mutex_unlock(&b->gate.mtx);
	/* At once, or twice with the flush, then after about 250 and 500 ms: not a busy loop. */
	assert_in_range(calls, 2, 5);
	set_gate(b, false, ERR_OK);
	flush_ok(b); /* does not wait for the backoff */
	assert_int_equal(stored(b, "a", 1), 1);
}

static void put_bad(struct bed *b, int64_t cid)
{
	char id[] = "a", name[] = "\xff";
	struct store_positions bad = {.task_id = id, .collection_id = cid, .collection_name = name};
	writer_put_position(b->w, &bad);
}

static void test_a_bad_record_does_not_hold_up_the_others(void **state)
{
	struct bed *b = *state;
	struct writer_status st;
	struct err e = ERR_INIT;

	start(b, 0);
	for (int64_t cid = 1; cid <= 30; cid++)
		put_doc(b, "a", cid, 7);
	put_bad(b, 13);
	/* It is told at once, by name: not when the time is up. */
	assert_int_equal(flush(b, LONG_MS, &e), ERR_INVALID);
	assert_non_null(strstr(e.text, "refuses the record task_position/a/13"));
	for (int64_t cid = 1; cid <= 30; cid++)
		if (cid != 13)
			assert_int_equal(stored(b, "a", cid), 7);
	writer_status(b->w, &st);
	assert_true(st.healthy);
	assert_int_equal(st.waiting, 1);
	assert_int_equal(st.refused, 1);
	assert_non_null(strstr(st.text, "refuses 1 records, one is task_position/a/13"));
	put_doc(b, "a", 13, 8);
	flush_ok(b);
	assert_int_equal(stored(b, "a", 13), 8);
	writer_status(b->w, &st);
	assert_int_equal(st.waiting, 0);
	assert_string_equal(st.text, "");
}

/* Whoever needs one record, or those of one task, does not depend on the bad one; its own task does. */
static void test_flush_of_a_part_depends_on_that_part(void **state)
{
	struct bed *b = *state;
	struct err e = ERR_INIT;
	struct deadline d = deadline_in(WAIT_MS);

	start(b, LONG_MS);
	put_doc(b, "b", 1, 7);
	put_bad(b, 13);
	writer_put_ext(b->w, "chan/x", "{}");
	assert_int_equal(writer_flush_ext(b->w, "chan/x", d, &b->stop, &e), ERR_OK);
	expect_ext(b, "chan/x", "{}");
	assert_int_equal(writer_flush_task(b->w, "b", d, &b->stop, &e), ERR_OK);
	assert_int_equal(stored(b, "b", 1), 7);
	assert_int_equal(writer_flush_task(b->w, "a", d, &b->stop, &e), ERR_INVALID);
	writer_forget_task(b->w, "a");
	flush_ok(b);
}

/* What is refused goes alone from then on, newer values of its key, too: the others stay together. */
static void test_a_bad_record_goes_alone(void **state)
{
	struct bed *b = *state;
	struct err e = ERR_INIT;

	start(b, LONG_MS);
	put_doc(b, "a", 1, 1);
	put_bad(b, 13);
	assert_int_equal(flush(b, WAIT_MS, &e), ERR_INVALID);
	mutex_lock(&b->gate.mtx);
	int before = b->gate.calls;
	mutex_unlock(&b->gate.mtx);
	for (int64_t cid = 1; cid <= 10; cid++)
		put_doc(b, "a", cid, 2);
	put_bad(b, 13);
	err_clear(&e);
	assert_int_equal(flush(b, WAIT_MS, &e), ERR_INVALID);
	mutex_lock(&b->gate.mtx);
	assert_int_equal(b->gate.calls - before, 2);
	mutex_unlock(&b->gate.mtx);
}

/* It is kept: once the store takes it, it is there without anybody's doing. */
static void test_a_refused_record_is_tried_again(void **state)
{
	struct bed *b = *state;
	struct err e = ERR_INIT;
	struct deadline d = deadline_in(WAIT_MS);

	start(b, LONG_MS);
	set_gate(b, false, ERR_LIMIT);
	put_doc(b, "a", 1, 5);
	assert_int_equal(flush(b, WAIT_MS, &e), ERR_LIMIT);
	set_gate(b, false, ERR_OK);
	while (stored(b, "a", 1) != 5)
		assert_false(deadline_passed(d));
}

/* A damaged store: that is no matter of its records. */
static void test_a_store_that_takes_nothing_is_not_well(void **state)
{
	struct bed *b = *state;
	struct writer_status st;
	struct err e = ERR_INIT;

	start(b, LONG_MS);
	set_gate(b, false, ERR_MALFORMED);
	put_doc(b, "a", 1, 1);
	put_doc(b, "b", 1, 1);
	assert_int_equal(flush(b, 200, &e), ERR_TIMEOUT);
	writer_status(b->w, &st);
	assert_false(st.healthy);
	assert_int_equal(st.code, ERR_MALFORMED);
	set_gate(b, false, ERR_OK);
	flush_ok(b);
}

static void test_positions_of_a_task_without_record_are_done_with(void **state)
{
	struct bed *b = *state;

	start(b, LONG_MS);
	put_doc(b, "nobody", 1, 1);
	put_doc(b, "a", 1, 1);
	flush_ok(b);
	assert_int_equal(stored(b, "a", 1), 1);
	assert_int_equal(stored(b, "nobody", 1), 0);
}

static void test_forget_drops_one_task_only(void **state)
{
	struct bed *b = *state;

	start(b, LONG_MS);
	put_task(b, "a/b");
	put_doc(b, "a", 1, 1);
	put_doc(b, "a", 2, 1);
	put_doc(b, "a/b", 1, 1);
	put_doc(b, "b", 1, 1);
	writer_put_ext(b->w, "object/a/1", "{}");
	writer_put_ext(b->w, "bound/a/1", "{}");
	writer_put_ext(b->w, "object/ab/1", "{}");
	writer_forget_task(b->w, "a");
	flush_ok(b);
	assert_int_equal(stored(b, "a", 1), 0);
	assert_int_equal(stored(b, "a", 2), 0);
	assert_int_equal(stored(b, "a/b", 1), 1);
	assert_int_equal(stored(b, "b", 1), 1);
	expect_ext(b, "object/a/1", NULL);
	expect_ext(b, "bound/a/1", NULL);
	expect_ext(b, "object/ab/1", "{}");
}

struct forgetter {
	struct bed *b;
	bool done; /* atomic */
};

static void forget(void *arg)
{
	struct forgetter *f = arg;
	writer_forget_task(f->b->w, "a");
	__atomic_store_n(&f->done, true, __ATOMIC_RELEASE);
}

/* A round that fails puts its records back: they must not come back to life. */
static void test_forget_waits_for_the_write_in_flight(void **state)
{
	struct bed *b = *state;
	struct forgetter f = {.b = b};
	struct thread t;
	struct err e = ERR_INIT;

	start(b, 0);
	set_gate(b, true, ERR_OK);
	put_doc(b, "a", 1, 1);
	wait_at_gate(b);
	assert_int_equal(thread_start(&t, "forget", forget, &f, &e), ERR_OK);
	stop_sleep(&b->stop, 30); /* time for a wrong one to return; a right one can't */
	assert_false(__atomic_load_n(&f.done, __ATOMIC_ACQUIRE));
	set_gate(b, false, ERR_UNAVAILABLE);
	thread_join(&t);
	set_gate(b, false, ERR_OK);
	flush_ok(b);
	assert_int_equal(stored(b, "a", 1), 0);
}

static void test_flush_ends_with_its_stop_token(void **state)
{
	struct bed *b = *state;
	struct err e = ERR_INIT;
	struct stop s;

	start(b, 0);
	set_gate(b, true, ERR_OK);
	put_doc(b, "a", 1, 1);
	stop_init(&s, NULL);
	stop_set(&s);
	assert_int_equal(writer_flush(b->w, deadline_in(WAIT_MS), &s, &e), ERR_CANCELLED);
	stop_done(&s);
}

static void test_free_cancels_a_write_in_flight(void **state)
{
	struct bed *b = *state;

	start(b, 0);
	set_gate(b, true, ERR_OK);
	put_doc(b, "a", 1, 1);
	wait_at_gate(b);
	writer_free(b->w);
	b->w = NULL;
	assert_int_equal(stored(b, "a", 1), 0);
	writer_free(NULL);
}

enum { THREADS = 4, PUTS = 400, DOCS = 5 };

struct putter {
	struct bed *b;
	int id;
};

static void put_many(void *arg)
{
	struct putter *p = arg;
	char key[32];

	snprintf(key, sizeof(key), "bound/a/%d", p->id);
	for (uint64_t i = 1; i <= PUTS; i++) {
		char value[32];
		snprintf(value, sizeof(value), "%llu", (unsigned long long)i);
		put_doc(p->b, "a", p->id * DOCS + (int64_t)(i % DOCS), i);
		writer_put_ext(p->b->w, key, value);
		if (i % 100 == 0)
			flush_ok(p->b);
	}
}

/* Meanwhile the store fails now and then. In the end the newest value of each is there. */
static void test_many_threads_and_a_failing_store(void **state)
{
	struct bed *b = *state;
	struct putter p[THREADS];
	struct thread t[THREADS];
	struct err e = ERR_INIT;

	start(b, 1);
	for (int i = 0; i < THREADS; i++) {
		p[i] = (struct putter){b, i};
		assert_int_equal(thread_start(&t[i], "putter", put_many, &p[i], &e), ERR_OK);
	}
	for (int i = 0; i < 20; i++) {
		store_mem_fail(b->gate.mem, i % 2 ? ERR_UNCERTAIN : ERR_UNAVAILABLE, 1);
		writer_forget_task(b->w, "b");
	}
	for (int i = 0; i < THREADS; i++)
		thread_join(&t[i]);
	store_mem_fail(b->gate.mem, ERR_OK, 0);
	flush_ok(b);
	for (int i = 0; i < THREADS; i++) {
		char key[32], value[16];
		snprintf(key, sizeof(key), "bound/a/%d", i);
		snprintf(value, sizeof(value), "%d", PUTS);
		expect_ext(b, key, value);
		for (int k = 0; k < DOCS; k++)
			assert_int_equal(stored(b, "a", i * DOCS + k), k ? PUTS - DOCS + k : PUTS);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_flush_makes_everything_durable),
		TEST(test_a_document_is_deleted),
		TEST(test_writes_by_itself_every_interval),
		TEST(test_many_records_go_in_batches),
		TEST(test_a_failed_write_never_replaces_a_newer_value),
		TEST(test_failures_back_off),
		TEST(test_a_bad_record_does_not_hold_up_the_others),
		TEST(test_flush_of_a_part_depends_on_that_part),
		TEST(test_a_bad_record_goes_alone),
		TEST(test_a_refused_record_is_tried_again),
		TEST(test_a_store_that_takes_nothing_is_not_well),
		TEST(test_positions_of_a_task_without_record_are_done_with),
		TEST(test_forget_drops_one_task_only),
		TEST(test_forget_waits_for_the_write_in_flight),
		TEST(test_flush_ends_with_its_stop_token),
		TEST(test_free_cancels_a_write_in_flight),
		TEST(test_many_threads_and_a_failing_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
