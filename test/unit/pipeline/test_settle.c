/* A call of unknown fate, settled against a fake target whose log the test writes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/wire.h"
#include "model/ts.h"
#include "pipeline/settle.h"

enum { FLOOR_MS = 1000, LAST_OFFSET = 100, GRACE_MS = 1 };

struct fake {
	uint64_t offset; /* of the newest message on the target */
	int foreign[8];  /* messages of the lost call that land before fence i */
	int refuse;      /* fences refused before one is answered */
	enum err_code refuse_as;
	int fences, waits;
	struct stop *stop_at_wait;
	struct tchan *chan;
	struct mq_id last;
	struct stop stop;
};

static void put_offset(struct mq_id *id, uint64_t offset)
{
	id->n = 8;
	for (int i = 0; i < 8; i++)
		id->b[i] = (uint8_t)(offset >> (8 * i));
}

/* The one message of the request is a tick of the given time. */
static bool is_tick(const struct iov *request, uint64_t ts)
{
	CLEANUP(buf_done) struct buf flat = BUF_INIT(10000);
	struct wire_field f, b, t;
	int msgs = 0;
	bool good = false;

	for (size_t i = 0; i < request->n; i++)
		buf_put(&flat, request->v[i].p, request->v[i].n);
	for (struct wire w = wire_open(buf_slice(&flat)); wire_next(&w, &f);) {
		if (f.num != 5)
			continue;
		msgs++;
		struct wire msg = wire_open(f.data);
		assert_true(wire_next(&msg, &b) && b.num == 1);
		for (struct wire base = wire_open(b.data); wire_next(&base, &t);)
			good = good || (t.num == 3 && t.value == ts);
	}
	return msgs == 1 && good;
}

static enum err_code fake_send(void *arg, const struct iov *request, int64_t deadline_ms,
	struct stop *s, struct mq_id *ret, struct err *e)
{
	struct fake *f = arg;

	(void)s;
	assert_true(deadline_ms >= 60000);
	assert_true(is_tick(request, ts_from_ms(FLOOR_MS)));
	if (f->refuse > 0) {
		f->refuse--;
		f->offset += f->refuse_as == ERR_UNCERTAIN; /* landed, the answer was lost */
		return err_set(e, f->refuse_as, "not now");
	}
	f->offset += (uint64_t)f->foreign[f->fences++] + 1;
	put_offset(ret, f->offset);
	return ERR_OK;
}

static int64_t fake_id(void *arg)
{
	(void)arg;
	return 1;
}

static void fake_waiting(void *arg, const struct tchan *c, const struct err *e, int64_t delay_ms)
{
	struct fake *f = arg;

	assert_ptr_equal(c, f->chan);
	assert_true(e->code != ERR_OK && delay_ms >= 0);
	f->waits++;
	if (f->stop_at_wait)
		stop_set(f->stop_at_wait);
}

static uint64_t no_clock(void *arg)
{
	(void)arg;
	return 0;
}

static int setup(void **state)
{
	struct fake *f = xcalloc(1, sizeof(*f));
	struct tchan_opts o = {.name = "by-dev-dml_0",
		.floor_ts = ts_from_ms(FLOOR_MS),
		.late_bound_ms = 1000,
		.keepalive_ms = 2000,
		.clock = no_clock};
	struct err e = ERR_INIT;

	stop_init(&f->stop, NULL);
	f->offset = LAST_OFFSET;
	put_offset(&f->last, LAST_OFFSET);
	*state = f;
	return tchan_new(&o, &f->chan, &e);
}

static int teardown(void **state)
{
	struct fake *f = *state;

	tchan_free(f->chan);
	stop_done(&f->stop);
	freep(state);
	return 0;
}

static enum err_code settle(struct fake *f, enum settle *ret)
{
	struct chan_sink sink = {
		.arg = f, .send = fake_send, .fresh_id = fake_id, .waiting = fake_waiting};
	struct settle_opts o = {.chan = f->chan,
		.sink = &sink,
		.grace_ms = GRACE_MS,
		.tick = tchan_last_tick(f->chan),
		.last = &f->last};
	struct err e = ERR_INIT;

	return settle_run(&o, &f->stop, ret, &e);
}

static uint64_t last_offset(const struct fake *f)
{
	uint64_t v = 0;
	for (int i = 7; i >= 0; i--)
		v = v << 8 | f->last.b[i];
	return v;
}

static void test_nothing_landed(void **state)
{
	struct fake *f = *state;
	enum settle how = SETTLE_REPLAY;

	assert_int_equal(settle(f, &how), ERR_OK);
	assert_int_equal(how, SETTLE_RESEND);
	assert_int_equal(f->fences, 2);
	assert_int_equal(last_offset(f), f->offset); /* the fences are not foreign next time */
}

static void test_some_landed(void **state)
{
	struct fake *f = *state;
	enum settle how = SETTLE_RESEND;

	f->foreign[0] = 3;
	assert_int_equal(settle(f, &how), ERR_OK);
	assert_int_equal(how, SETTLE_REPLAY);
	assert_int_equal(f->fences, 2);
	assert_int_equal(last_offset(f), f->offset);
}

/* The lost call goes on producing between two fences: it is waited for. */
static void test_waits_for_the_lost_call_to_end(void **state)
{
	struct fake *f = *state;
	enum settle how = SETTLE_RESEND;

	f->foreign[1] = 1;
	f->foreign[2] = 2;
	assert_int_equal(settle(f, &how), ERR_OK);
	assert_int_equal(how, SETTLE_REPLAY);
	assert_int_equal(f->fences, 4); /* the third and the fourth show nothing between them */
}

/* A restart knows no last position: what landed can't be counted. */
static void test_without_a_position_it_is_a_replay(void **state)
{
	struct fake *f = *state;
	enum settle how = SETTLE_RESEND;

	f->last.n = 0;
	assert_int_equal(settle(f, &how), ERR_OK);
	assert_int_equal(how, SETTLE_REPLAY);
}

/* A fence whose own answer was lost makes the count doubtful: replay, never resend. */
static void test_a_lost_fence_is_a_replay(void **state)
{
	struct fake *f = *state;
	enum settle how = SETTLE_RESEND;

	f->refuse = 1;
	f->refuse_as = ERR_UNCERTAIN;
	assert_int_equal(settle(f, &how), ERR_OK);
	assert_int_equal(how, SETTLE_REPLAY);
	assert_int_equal(f->waits, 1);
}

static void test_a_refused_fence_is_repeated(void **state)
{
	struct fake *f = *state;
	enum settle how = SETTLE_REPLAY;

	f->refuse = 2;
	f->refuse_as = ERR_UNAVAILABLE;
	assert_int_equal(settle(f, &how), ERR_OK);
	assert_int_equal(how, SETTLE_RESEND);
	assert_int_equal(f->waits, 2);
}

static void test_stop_ends_the_waiting(void **state)
{
	struct fake *f = *state;
	enum settle how;

	f->refuse = 1000;
	f->refuse_as = ERR_UNAVAILABLE;
	f->stop_at_wait = &f->stop;
	assert_int_equal(settle(f, &how), ERR_CANCELLED);
	assert_int_equal(f->waits, 1);
	assert_int_equal(last_offset(f), LAST_OFFSET);
}

static void test_between_counts_what_is_strictly_between(void **state)
{
	struct mq_id a, b, other = {.n = 4};

	(void)state;
	put_offset(&a, 255);
	put_offset(&b, 256);
	assert_int_equal(settle_between(&a, &b), 0);
	put_offset(&b, 259);
	assert_int_equal(settle_between(&a, &b), 3);
	assert_int_equal(settle_between(&b, &a), -1);
	assert_int_equal(settle_between(&a, &a), -1);
	assert_int_equal(settle_between(&a, &other), -1);
	assert_int_equal(settle_between(&other, &b), -1);
}

#define T(f) cmocka_unit_test_setup_teardown(test_##f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(nothing_landed),
		T(some_landed),
		T(waits_for_the_lost_call_to_end),
		T(without_a_position_it_is_a_replay),
		T(a_lost_fence_is_a_replay),
		T(a_refused_fence_is_repeated),
		T(stop_ends_the_waiting),
		cmocka_unit_test(test_between_counts_what_is_strictly_between),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
