/* What a reader must not lose, double or wait for without end: permits, pieces, the end, retention; against a
 * scripted broker. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "client/pulsar/pulsar_priv.h"
#include "support/pulsar_world.h"

/* ---- permits and pieces ---- */

static void put_batch(struct pworld *w, uint64_t entry, uint32_t n)
{
	CLEANUP(buf_done) struct buf body = BUF_INIT(1 << 20);

	for (uint32_t i = 0; i < n; i++)
		pulsar_make_single(&body, slice_of(&i, sizeof(i)), NULL);
	pulsar_broker_put(w->a, (struct pulsar_id){1, entry, -1, -1},
		&(const struct pulsar_make){.batch = n}, buf_slice(&body));
}

static void expect_numbers(struct pworld *w, struct pulsar_reader *r, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		struct err e = ERR_INIT;
		struct pulsar_msg *m;
		if (pworld_next(w, r, &m, &e))
			fail_msg("message %u: %s", i, e.text);
		assert_true(slice_eq(m->payload, slice_of(&i, sizeof(i))));
		pulsar_msg_free(m);
	}
}

/* A broker counts a batch by its messages, and sends it while there is a permit at all. */
static void test_batches_overdraw_the_permits(void **state UNUSED)
{
	enum { BATCHES = 20, N = 2 * LIMIT_PULSAR_PERMITS };
	struct pworld *w = pworld_open(NULL, NULL);

	for (uint64_t i = 0; i < BATCHES; i++)
		put_batch(w, i, N);
	struct pulsar_reader *r = pworld_read(w, &(const struct pulsar_id){1, 0, 0, N / 2});
	expect_numbers(w, r, N / 2, N);
	for (int i = 1; i < BATCHES; i++)
		expect_numbers(w, r, 0, N);
	pworld_expect_end(w, r);
	pulsar_reader_close(r);
	pworld_free(w);
}

static bool close_the_first(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct pworld *w = arg;

	if (r->type != PULSAR_FLOW || w->left == 0)
		return false;
	w->left--;
	broker_serve(c, r);
	broker_close_consumer(c, r->consumer);
	return true;
}

/* The entry that comes again at each new subscription costs its permits, too. */
static void test_a_batch_that_comes_again(void **state UNUSED)
{
	enum { BATCHES = 4, N = LIMIT_PULSAR_PERMITS * 4 };
	struct pworld *w = pworld_open(close_the_first, NULL);

	for (uint64_t i = 0; i < BATCHES; i++)
		put_batch(w, i, N);
	w->left = 2;
	struct pulsar_reader *r = pworld_read(w, &PULSAR_EARLIEST);
	for (int i = 0; i < BATCHES; i++)
		expect_numbers(w, r, 0, N);
	pworld_expect_end(w, r);
	pulsar_reader_close(r);
	pworld_free(w);
}

/* All pieces are there, and they make up no message: nothing of it is given out, and it is not passed
 * over. */
static void test_pieces_that_make_up_nothing(void **state UNUSED)
{
	struct pworld *w = pworld_open(NULL, NULL);
	struct pulsar_make piece = {.uuid = "u", .chunks = 2, .chunked = 9};

	pworld_put(w, 1, 0, NULL);
	pworld_put(w, 1, 1, &piece);
	piece.chunk = 1;
	pworld_put(w, 1, 2, &piece);
	pworld_put(w, 1, 3, NULL);
	struct pulsar_reader *r = pworld_read(w, &PULSAR_EARLIEST);
	pworld_expect_entries(w, r, 1, 0, 1);
	pworld_expect_failure(w, r, ERR_MALFORMED,
		"the message in pieces that begins at 1:1: 2 pieces hold 8 bytes of 9");
	pulsar_reader_close(r);
	pworld_free(w);
}

/* Its id is that of its first piece, which comes first; the position behind it is behind them all. */
static void test_starting_behind_pieces(void **state UNUSED)
{
	struct pworld *w = pworld_open(pworld_cut_mid_frame, NULL);
	struct pulsar_make piece = {.uuid = "u", .chunks = 3, .chunked = 12};

	for (uint64_t i = 0; i < 3; i++) {
		piece.chunk = (uint32_t)i;
		pworld_put(w, 1, 2 * i, &piece);
		pworld_put(w, 1, 2 * i + 1, NULL);
	}
	for (int after = 0; after < 2; after++) {
		w->left = 1; /* no reader is open */
		struct pulsar_reader *r = pworld_read(w, &(const struct pulsar_id){1, 0, 0, after});
		if (!after)
			pworld_expect(w, r, "m1-0m1-2m1-4");
		for (int i = 1; i < 6; i += 2)
			pworld_expect_entries(w, r, 1, i, i + 1);
		pworld_expect_end(w, r);
		pulsar_reader_close(r);
	}
	pworld_free(w);
}

/* ---- the end ---- */

static bool deaf(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct pworld *w = arg;

	(void)c;
	return (r->type == PULSAR_LAST_ID || r->type == PULSAR_PING) &&
	       __atomic_load_n(&w->flag, __ATOMIC_SEQ_CST);
}

/* Who hears nothing is not at the end: only the broker's word counts. */
static void test_silence_is_not_the_end(void **state UNUSED)
{
	struct pworld *w = pworld_open(deaf, NULL);

	w->p->ask_ms = 20;
	pworld_put(w, 1, 0, NULL);
	struct pulsar_reader *r = pworld_read(w, &PULSAR_EARLIEST);
	__atomic_store_n(&w->flag, true, __ATOMIC_SEQ_CST);
	pworld_expect_entries(w, r, 1, 0, 1);
	assert_int_equal(pworld_end_age(w, r, PWORLD_SHORT_MS), -1);
	pulsar_reader_close(r);
	__atomic_store_n(&w->flag, false, __ATOMIC_SEQ_CST);
	r = pworld_read(w, &PULSAR_EARLIEST);
	pworld_expect_entries(w, r, 1, 0, 1);
	assert_true(pworld_end_age(w, r, PWORLD_WAIT_MS) >= 0);
	__atomic_store_n(&w->flag, true, __ATOMIC_SEQ_CST);
	pworld_expect_end(w, r); /* what is on its way comes */
	int64_t age_ms = pulsar_reader_end_age_ms(r);
	pworld_expect_end(w, r);
	assert_true(pulsar_reader_end_age_ms(r) >= age_ms + PWORLD_SHORT_MS);
	pulsar_reader_close(r);
	pworld_free(w);
}

static bool give_nothing(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct pworld *w = arg;

	(void)c;
	return r->type == PULSAR_FLOW && w->left-- > 0;
}

/* Messages that the broker says it has and never sends are asked for with a new subscription. */
static void test_a_broker_that_forgets_a_reader(void **state UNUSED)
{
	struct pworld *w = pworld_open(give_nothing, NULL);

	w->left = 1;
	w->p->ask_ms = 20;
	w->p->stuck_ms = 100;
	pworld_put(w, 1, 0, NULL);
	struct pulsar_reader *r = pworld_read(w, &PULSAR_EARLIEST);
	pworld_expect_entries(w, r, 1, 0, 1);
	assert_int_equal(pulsar_broker_received(w->a, PULSAR_SUBSCRIBE), 2);
	pulsar_reader_close(r);
	pworld_free(w);
}

/* Ledgers that roll over under a reader that is never given time to wait, as one that catches up. */
static void test_ledgers_without_waiting(void **state UNUSED)
{
	enum { LEDGERS = 40 };
	struct pworld *w = pworld_open(NULL, NULL);
	struct deadline d = deadline_in(PWORLD_WAIT_MS);
	int n = 0;

	for (uint64_t ledger = 1; ledger <= LEDGERS; ledger++)
		pworld_put(w, ledger, 0, NULL);
	struct pulsar_reader *r = pworld_read(w, &PULSAR_EARLIEST);
	while (n < LEDGERS && !deadline_passed(d)) {
		struct err e = ERR_INIT;
		struct pulsar_msg *m = NULL;
		enum err_code code = pulsar_reader_next(r, deadline_in(0), &w->stop, &m, &e);
		assert_true(!code || code == ERR_TIMEOUT); /* nothing is away */
		n += !code;
		pulsar_msg_free(m);
	}
	assert_int_equal(n, LEDGERS);
	pulsar_reader_close(r);
	pworld_free(w);
}

/* The second time it is given time, and a caller that can't wait is told why nothing comes. */
static void test_a_broker_that_forgets_again(void **state UNUSED)
{
	struct pworld *w = pworld_open(give_nothing, NULL);
	struct deadline d = deadline_in(PWORLD_WAIT_MS);
	bool told = false, came = false;

	w->left = 2;
	w->p->ask_ms = 20;
	w->p->stuck_ms = 100;
	pworld_put(w, 1, 0, NULL);
	struct pulsar_reader *r = pworld_read(w, &PULSAR_EARLIEST);
	while (!came && !deadline_passed(d)) {
		struct err e = ERR_INIT;
		struct pulsar_msg *m = NULL;
		enum err_code code = pulsar_reader_next(r, deadline_in(0), &w->stop, &m, &e);
		told |= code == ERR_UNAVAILABLE && strstr(e.text, "has messages and sends none");
		came = !code;
		pulsar_msg_free(m);
	}
	assert_true(told && came);
	pulsar_reader_close(r);
	pworld_free(w);
}

/* ---- retention ---- */

/* As slow as it would be with a far reader: only so many entries come for now. */
static bool few_permits(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct pworld *w = arg;

	if (r->type != PULSAR_FLOW || w->left == 0)
		return false;
	struct broker_request few = *r;
	few.permits = MIN(r->permits, (uint32_t)w->left);
	w->left -= (int)few.permits;
	broker_serve(c, &few);
	return true;
}

/* Three ledgers of three entries. */
static void put_ledgers(struct pworld *w)
{
	for (uint64_t ledger = 1; ledger <= 3; ledger++)
		for (uint64_t i = 0; i < 3; i++)
			pworld_put(w, ledger, i, NULL);
}

/* The broker moves a reader that is behind silently on when it trims below it. */
static void test_trimmed_below_a_reader_that_lags(void **state UNUSED)
{
	for (int trims = 0; trims < 2; trims++) {
		struct pworld *w = pworld_open(few_permits, NULL);
		w->left = 2;
		put_ledgers(w);
		struct pulsar_reader *r = pworld_read(w, &PULSAR_EARLIEST);
		pworld_expect_entries(w, r, 1, 0, 2);
		if (trims)
			pulsar_broker_trim(w->a, 3);
		pulsar_broker_permit(w->a, 100);
		if (trims) {
			pworld_expect_failure(w, r, ERR_GONE,
				"position behind 1:1 of topic persistent://public/default/t is "
				"older than the broker keeps: first available 3:0");
		} else {
			pworld_expect_entries(w, r, 1, 2, 3);
			pworld_expect_entries(w, r, 2, 0, 3);
			pworld_expect_entries(w, r, 3, 0, 3);
			pworld_expect_end(w, r);
		}
		pulsar_reader_close(r);
		pworld_free(w);
	}
}

/* It was at the end a moment ago, and then the broker told of more, which is gone. */
static void test_trimmed_below_a_reader_that_fell_behind(void **state UNUSED)
{
	struct pworld *w = pworld_open(few_permits, NULL);
	const struct pulsar_id earliest = PULSAR_EARLIEST;

	w->left = 2;
	w->p->ask_ms = 20;
	pworld_put(w, 1, 0, NULL);
	struct pulsar_reader *r = pworld_read(w, &earliest);
	pworld_expect_entries(w, r, 1, 0, 1);
	assert_true(pworld_end_age(w, r, PWORLD_WAIT_MS) >= 0);
	for (uint64_t i = 1; i < 4; i++)
		pworld_put(w, 1, i, NULL);
	pworld_expect_entries(w, r, 1, 1, 2);
	pworld_expect_end(w, r);
	assert_int_equal(pulsar_reader_end_age_ms(r), -1);
	assert_true(pulsar_reader_has_more(r));
	pworld_put(w, 2, 0, NULL);
	pulsar_broker_trim(w->a, 2);
	pworld_expect_end(w, r);
	pulsar_broker_permit(w->a, 100);
	pworld_expect_failure(w, r, ERR_GONE, "position behind 1:1 of topic");
	pulsar_reader_close(r);
	pworld_free(w);
}

/* The last ledger is trimmed with the reader in it: an empty topic has no end that it has reached. */
static void test_an_emptied_topic(void **state UNUSED)
{
	struct pworld *w = pworld_open(few_permits, NULL);

	w->left = 2;
	w->p->ask_ms = 1LL << 40;
	pworld_put(w, 1, 0, NULL);
	struct pulsar_reader *r = pworld_read(w, &PULSAR_EARLIEST);
	for (uint64_t i = 1; i < 3; i++)
		pworld_put(w, 1, i, NULL);
	pworld_expect_entries(w, r, 1, 0, 2);
	pulsar_broker_trim(w->a, 2);
	w->p->ask_ms = 20;
	assert_int_equal(pworld_end_age(w, r, PWORLD_SHORT_MS), -1);
	pulsar_reader_close(r);
	pworld_free(w);
}

/* The broker moves a reader that is behind on when messages expire, also within a ledger. As long as it
 * has them they are read. */
static void test_moved_on_by_the_broker(void **state UNUSED)
{
	for (size_t n = 1; n <= 5; n += 2) {
		struct pworld *w = pworld_open(few_permits, NULL);
		w->left = 1;
		put_ledgers(w);
		struct pulsar_reader *r = pworld_read(w, &PULSAR_EARLIEST);
		pworld_expect_entries(w, r, 1, 0, 1);
		pulsar_broker_expire(w->a, n);
		pulsar_broker_permit(w->a, 100);
		pworld_expect_entries(w, r, 1, 1, 3);
		pworld_expect_entries(w, r, 2, 0, 3);
		pworld_expect_entries(w, r, 3, 0, 3);
		pworld_expect_end(w, r);
		pulsar_reader_close(r);
		pworld_free(w);
	}
}

static bool cut_when_told(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	struct pworld *w = arg;

	if (r->type != PULSAR_PING || !__atomic_exchange_n(&w->flag, false, __ATOMIC_SEQ_CST))
		return false;
	broker_cut(c);
	return true;
}

/* All is trimmed, and the reader waits behind it for longer than its start was believed: what it has
 * seen meanwhile counts. */
static void test_waiting_behind_a_trimmed_message(void **state UNUSED)
{
	const int64_t hour_ms = 3600 * 1000;
	struct pworld *w = pworld_open(cut_when_told, NULL);
	const struct pulsar_start at = {{1, 0, 0, 1}, time_wall_ms() - hour_ms};
	struct pulsar_reader *r;
	struct err e = ERR_INIT;

	w->p->quiet_ms = 100;
	pworld_put(w, 1, 0, NULL);
	pulsar_broker_trim(w->a, 2);
	assert_int_equal(pulsar_reader_open(w->p, "t", &at, &w->stop, &r, &e), ERR_GONE);
	assert_non_null(strstr(e.text, "position behind 1:0"));
	err_clear(&e);
	w->p->calm_ms = 2 * hour_ms;
	assert_int_equal(pulsar_reader_open(w->p, "t", &at, &w->stop, &r, &e), ERR_OK);
	pworld_expect_end(w, r);
	w->p->calm_ms = hour_ms / 2;
	__atomic_store_n(&w->flag, true, __ATOMIC_SEQ_CST); /* PINGs come meanwhile */
	struct deadline d = deadline_in(PWORLD_WAIT_MS);
	while (pulsar_broker_received(w->a, PULSAR_SUBSCRIBE) < 3 && !deadline_passed(d)) {
		struct pulsar_msg *m;
		err_clear(&e);
		assert_int_not_equal(
			pulsar_reader_next(r, deadline_in(50), &w->stop, &m, &e), ERR_OK);
	}
	pworld_put(w, 2, 0, NULL);
	pworld_expect(w, r, "m2-0");
	pworld_expect_end(w, r);
	pulsar_reader_close(r);
	pworld_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_batches_overdraw_the_permits),
		cmocka_unit_test(test_a_batch_that_comes_again),
		cmocka_unit_test(test_pieces_that_make_up_nothing),
		cmocka_unit_test(test_starting_behind_pieces),
		cmocka_unit_test(test_silence_is_not_the_end),
		cmocka_unit_test(test_a_broker_that_forgets_a_reader),
		cmocka_unit_test(test_a_broker_that_forgets_again),
		cmocka_unit_test(test_ledgers_without_waiting),
		cmocka_unit_test(test_trimmed_below_a_reader_that_lags),
		cmocka_unit_test(test_trimmed_below_a_reader_that_fell_behind),
		cmocka_unit_test(test_an_emptied_topic),
		cmocka_unit_test(test_moved_on_by_the_broker),
		cmocka_unit_test(test_waiting_behind_a_trimmed_message),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
