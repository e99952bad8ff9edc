/* The hub against a queue in memory: every row exactly once and in order, whatever the schedule. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/wire.h"
#include "source/hub_priv.h"
#include "support/dml_make.h"
#include "support/hub_world.h"

enum { STEPS = 150, SEEDS = 6, WAIT_MS = 10000 };

static const struct position from_0 = {.id = {.n = 8}};

/* Polls a condition that has no signal, without a sleep of its own. */
static bool eventually(struct world *w, bool (*is)(struct world *w))
{
	struct deadline d = deadline_in(WAIT_MS);
	while (!is(w) && !deadline_passed(d))
		stop_sleep(&w->never, 1);
	return is(w);
}

static bool no_reader(struct world *w)
{
	return hub_readers(w->hub) == 0 && fake_mq_readers(w->mq) == 0;
}

static bool one_reader(struct world *w)
{
	return hub_readers(w->hub) == 1 && fake_mq_readers(w->mq) == 1;
}

static bool two_readers(struct world *w)
{
	return hub_readers(w->hub) == 2 && fake_mq_readers(w->mq) == 2;
}

static bool has_lane(struct world *w)
{
	mutex_lock(&w->mtx);
	bool has = w->groups[0].opened > 0;
	mutex_unlock(&w->mtx);
	return has;
}

static bool holds_nothing(struct world *w)
{
	return hub_held_bytes(w->hub) == 0;
}

static bool reads_something(struct world *w)
{
	return fake_mq_opens(w->mq) > 0;
}

static void test_one_sub_gets_its_rows_in_order(void **state)
{
	struct world w;
	struct topic_model *t = &w.topics[0];

	(void)state;
	world_open(&w, 1, LIMIT_PROCESS_BUDGET);
	world_row(&w, t, 0, 1010, 0);
	world_row(&w, t, 1, 1011, 0);
	world_row(&w, t, 0, 1030, 0); /* of the next pack, though it stands before the tick */
	world_tick(&w, t, 1020);
	world_row(&w, t, 0, 1025, 0);
	world_tick(&w, t, 1020); /* again: ignored */
	world_tick(&w, t, 1040);
	world_sub(&w, 0, t, 0, 0, from_0);
	world_sub(&w, 1, t, 1, 0, from_0);
	world_expect(&w, 0);
	world_expect(&w, 1);
	assert_int_equal(w.subs[0].n, 3);
	assert_int_equal(w.groups[0].opened, 1);
	assert_int_equal(fake_mq_opens(w.mq), 1); /* gathered: one reader for both */
	world_close(&w);
}

static void test_start_time_is_exact(void **state)
{
	struct world w;
	struct topic_model *t = &w.topics[0];

	(void)state;
	world_open(&w, 1, LIMIT_PROCESS_BUDGET);
	for (uint64_t ts = 1001; ts <= 1009; ts++)
		world_row(&w, t, 0, ts, 0);
	world_tick(&w, t, 1004);
	world_tick(&w, t, 1020);
	world_sub(&w, 0, t, 0, 0, (struct position){.id = fake_mq_id(4), .ts = 1006});
	world_expect(&w, 0);
	assert_int_equal(w.subs[0].n, 3);
	assert_int_equal(w.subs[0].got[0], 7);
	world_close(&w);
}

static void test_drop_goes_to_every_sub_of_the_collection(void **state)
{
	struct world w;
	struct topic_model *t = &w.topics[0];

	(void)state;
	world_open(&w, 1, LIMIT_PROCESS_BUDGET);
	world_drop(&w, t, 2, 1001);
	world_tick(&w, t, 1010);
	for (int i = 0; i < 4; i++)
		world_sub(&w, i, t, i < 2 ? 2 : 3, i % 2, from_0);
	for (int i = 0; i < 4; i++)
		world_expect(&w, i);
	assert_int_equal(w.subs[0].n + w.subs[1].n, 2);
	assert_int_equal(w.subs[2].n + w.subs[3].n, 0);
	world_close(&w);
}

static void test_chaser_catches_up_and_merges(void **state)
{
	struct world w;
	struct topic_model *t = &w.topics[0];

	(void)state;
	world_open(&w, 3, LIMIT_PROCESS_BUDGET);
	world_write(&w, t, 300);
	world_tick(&w, t, t->clock + 50);
	world_sub(&w, 0, t, 0, 0, t->cuts[t->n_cuts - 1]);
	assert_true(eventually(&w, reads_something));
	world_row(&w, t, 0, t->ticked + 1, 0);
	world_tick(&w, t, t->ticked + 10);
	world_expect(&w, 0);
	/* Now main is at the head; this one is far behind it, in its group and in another. */
	world_sub(&w, 1, t, 1, 0, t->cuts[t->n_cuts / 3]);
	world_sub(&w, 2, t, 2, 1, from_0);
	world_expect(&w, 1);
	world_expect(&w, 2);
	for (int i = 0; i < 400 && fake_mq_readers(w.mq) > 1; i++) {
		world_row(&w, t, i % 3, t->ticked + 1, 0);
		world_tick(&w, t, t->ticked + 2);
		stop_sleep(&w.never, 1);
	}
	assert_true(eventually(&w, one_reader));
	for (int i = 0; i < 3; i++)
		world_expect(&w, i);
	assert_true(w.groups[0].moves == 1 && w.groups[1].moves == 1);
	world_close(&w);
}

static void test_unsubscribe_does_not_wait_for_a_full_lane(void **state)
{
	struct world w;
	struct topic_model *t = &w.topics[0];

	(void)state;
	world_open(&w, 1, LIMIT_PROCESS_BUDGET);
	world_block(&w, 0, true);
	world_sub(&w, 0, t, 0, 0, from_0);
	world_sub(&w, 1, t, 1, 0, from_0);
	world_row(&w, t, 0, 1001, 0);
	world_row(&w, t, 1, 1002, 0);
	world_tick(&w, t, 1010);
	assert_true(eventually(&w, has_lane));
	int64_t before = time_mono_ms();
	world_unsub(&w, 0);
	assert_true(time_mono_ms() - before < 2000);
	assert_int_equal(w.subs[0].n, 0);
	world_block(&w, 0, false);
	world_expect(&w, 1); /* its row was in the pack that was cancelled */
	world_resub(&w, 0);
	world_row(&w, t, 0, 1020, 0);
	world_tick(&w, t, 1030);
	world_expect(&w, 0);
	world_close(&w);
}

static void test_full_lane_does_not_hold_up_other_groups(void **state)
{
	struct world w;
	struct topic_model *t = &w.topics[0];

	(void)state;
	world_open(&w, 1, LIMIT_PROCESS_BUDGET);
	w.hub->split_ms = 50;
	world_block(&w, 0, true);
	world_sub(&w, 0, t, 0, 0, from_0);
	world_sub(&w, 1, t, 1, 1, from_0);
	for (int i = 0; i < 50; i++) {
		world_row(&w, t, i % 2, t->ticked + 1, 0);
		world_tick(&w, t, t->ticked + 2);
	}
	world_expect(&w, 1);
	assert_int_equal(w.subs[0].n, 0);
	assert_true(eventually(&w, two_readers));
	world_block(&w, 0, false);
	world_expect(&w, 0);
	for (int i = 0; i < 400 && fake_mq_readers(w.mq) > 1; i++) {
		world_tick(&w, t, t->ticked + 2);
		stop_sleep(&w.never, 1);
	}
	assert_true(eventually(&w, one_reader));
	world_row(&w, t, 0, t->ticked + 1, 0);
	world_tick(&w, t, t->ticked + 2);
	world_expect(&w, 0);
	assert_int_equal(w.groups[0].opened, 1); /* the lane went along */
	world_close(&w);
}

/* No lane is full, but what one of them keeps leaves no room for what the other one waits for. */
static void test_a_hoarding_lane_does_not_starve_other_groups(void **state)
{
	struct world w;
	struct topic_model *t = &w.topics[0];

	(void)state;
	world_open(&w, 1, 1 << 20);
	w.hub->split_ms = 50;
	fake_mq_cost(w.mq, 512 << 10);
	world_hoard(&w, 0, true);
	world_sub(&w, 0, t, 0, 0, from_0);
	world_sub(&w, 1, t, 1, 1, from_0);
	for (int i = 0; i < 100; i++) {
		world_row(&w, t, i % 2, t->ticked + 1, 0);
		if (i % 3 == 2) /* the reader stands between two ticks when it is relieved */
			world_tick(&w, t, t->ticked + 2);
	}
	world_tick(&w, t, t->ticked + 2);
	world_expect(&w, 1);
	assert_true(w.subs[0].n < 50);
	assert_true(eventually(&w, two_readers));
	world_hoard(&w, 0, false);
	world_expect(&w, 0);
	assert_int_equal(w.groups[0].opened, 1); /* the lane went along */
	assert_true(eventually(&w, holds_nothing));
	world_close(&w);
}

static void test_small_budget_still_moves(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 5, 1 << 20);
	fake_mq_cost(w.mq, 3 << 20); /* each message is more than budget and floor */
	for (int i = 0; i < WORLD_TOPICS; i++) {
		world_write(&w, &w.topics[i], 200);
		world_tick(&w, &w.topics[i], w.topics[i].clock + 20);
	}
	for (int i = 0; i < 8; i++)
		world_sub(&w, i, &w.topics[i % WORLD_TOPICS], i / 2, i % 3, from_0);
	for (int i = 0; i < 8; i++)
		world_expect(&w, i);
	assert_true(eventually(&w, holds_nothing));
	world_close(&w);
}

static void test_gone_position_fails_only_who_needs_it(void **state)
{
	struct world w;
	struct topic_model *t = &w.topics[0];

	(void)state;
	world_open(&w, 1, LIMIT_PROCESS_BUDGET);
	for (int i = 0; i < 20; i++) {
		world_row(&w, t, 0, t->ticked + 1, 0);
		world_tick(&w, t, t->ticked + 2);
	}
	fake_mq_trim(w.mq, t->name, 10);
	world_sub(&w, 0, t, 0, 0, from_0);
	world_sub(&w, 1, t, 0, 0, t->cuts[9]);
	world_expect_failed(&w, 0, ERR_GONE);
	world_expect(&w, 1);
	world_close(&w);
}

static void test_missing_position_and_topic_fail(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 1, LIMIT_PROCESS_BUDGET);
	world_sub(&w, 0, &w.topics[0], 0, 0, (struct position){.ts = 0});
	world_expect_failed(&w, 0, ERR_INVALID);
	struct topic_model ghost = {.name = "ghost"};
	world_sub(&w, 1, &ghost, 0, 0, from_0);
	world_expect_failed(&w, 1, ERR_NOT_FOUND);
	world_unsub(&w, 1);
	world_close(&w);
}

static void test_outages_are_waited_out(void **state)
{
	struct world w;
	struct topic_model *t = &w.topics[0];

	(void)state;
	world_open(&w, 1, LIMIT_PROCESS_BUDGET);
	fake_mq_fail_open(w.mq, ERR_UNAVAILABLE, 2);
	world_row(&w, t, 0, 1001, 0);
	world_tick(&w, t, 1010);
	world_sub(&w, 0, t, 0, 0, from_0);
	world_expect(&w, 0);
	fake_mq_fail_next(w.mq, ERR_UNAVAILABLE, 3);
	world_row(&w, t, 0, 1011, 0);
	world_tick(&w, t, 1020);
	world_expect(&w, 0);
	char text[200];
	hub_status(w.hub, t->name, text, sizeof(text));
	assert_string_equal(text, "");
	world_close(&w);
}

static void test_unreadable_and_streaming_messages_fail_loudly(void **state)
{
	struct world w;
	struct topic_model *t = &w.topics[0];
	static const char *const streaming[] = {"_v", "1", NULL};
	static const char *const named[] = {"vchannel", "by-dev-rootcoord-dml_0_101v0", NULL};

	(void)state;
	world_open(&w, 1, LIMIT_PROCESS_BUDGET);
	fake_mq_put(w.mq, t->name, slice_str("garbage"), named);
	world_sub(&w, 0, t, 0, 0, from_0);
	world_sub(&w, 1, t, 1, 0, from_0);
	world_expect_failed(&w, 1, ERR_MALFORMED);
	assert_non_null(strstr(w.subs[1].why, t->name));
	assert_int_equal(w.subs[0].failed, ERR_OK);
	fake_mq_put(w.mq, t->name, slice_str("x"), streaming);
	world_expect_failed(&w, 0, ERR_UNSUPPORTED);
	assert_non_null(strstr(w.subs[0].why, "Milvus 2.6"));
	world_close(&w);
}

static void test_unreadable_rows_of_a_named_shard_fail_it_alone(void **state)
{
	struct world w;
	struct topic_model *t = &w.topics[0];
	CLEANUP(buf_done) struct buf b = BUF_INIT(LIMIT_RECORD);

	(void)state;
	world_open(&w, 1, LIMIT_PROCESS_BUDGET);
	world_sub(&w, 0, t, 0, 0, from_0);
	world_sub(&w, 1, t, 1, 0, from_0);
	wire_put_str(&b, 2, "by-dev-rootcoord-dml_0_101v0");
	buf_put_str(&b, "\x0a\xff"); /* a base that is longer than the message */
	fake_mq_put(w.mq, t->name, buf_slice(&b), NULL);
	world_expect_failed(&w, 1, ERR_MALFORMED);
	fake_mq_put(
		w.mq, t->name, buf_slice(&b), NULL); /* its sub has gone: that changes nothing */
	assert_int_equal(w.subs[0].failed, ERR_OK);
	buf_reset(&b);
	wire_put_str(&b, 2, "no shard");
	buf_put_str(&b, "\x0a\xff");
	fake_mq_put(w.mq, t->name, buf_slice(&b), NULL);
	world_expect_failed(&w, 0, ERR_MALFORMED);
	world_close(&w);
}

static void test_closing_group_gets_nothing_more(void **state)
{
	struct world w;
	struct topic_model *t = &w.topics[0];

	(void)state;
	world_open(&w, 1, LIMIT_PROCESS_BUDGET);
	w.groups[0].closing = true;
	world_sub(&w, 0, t, 0, 0, from_0);
	world_sub(&w, 1, t, 1, 1, from_0);
	world_row(&w, t, 0, 1001, 0);
	world_row(&w, t, 1, 1002, 0);
	world_tick(&w, t, 1010);
	world_expect(&w, 1);
	assert_int_equal(w.subs[0].n, 0);
	world_close(&w);
}

static void test_readers_end_when_nobody_needs_them(void **state)
{
	struct world w;
	struct topic_model *t = &w.topics[0];

	(void)state;
	world_open(&w, 1, LIMIT_PROCESS_BUDGET);
	world_row(&w, t, 0, 1001, 0);
	world_tick(&w, t, 1010);
	world_sub(&w, 0, t, 0, 0, from_0);
	world_expect(&w, 0);
	world_unsub(&w, 0);
	/* From before main's place: main, which nobody needs, gives way instead of getting a
	 * chaser. */
	world_sub(&w, 1, t, 0, 0, from_0);
	world_expect(&w, 1);
	w.hub->grace_ms = 50;
	world_unsub(&w, 1);
	assert_true(eventually(&w, no_reader));
	assert_int_equal(fake_mq_opens(w.mq), 2);
	world_close(&w);
}

static void random_sub(struct world *w)
{
	int i = (int)world_rand(w, WORLD_SUBS);
	struct topic_model *t = &w->topics[world_rand(w, WORLD_TOPICS)];

	if (!w->subs[i].t)
		world_sub(w, i, t, (int)world_rand(w, WORLD_VCHANNELS),
			(int)world_rand(w, WORLD_GROUPS),
			world_rand(w, 4) ? world_some_cut(w, t) : from_0);
	else if (!w->subs[i].live)
		world_resub(w, i);
	else
		world_unsub(w, i);
}

static void random_step(struct world *w)
{
	unsigned what = world_rand(w, 100);

	if (what < 60)
		world_write(w, &w->topics[world_rand(w, WORLD_TOPICS)], 1 + (int)world_rand(w, 30));
	else if (what < 85)
		random_sub(w);
	else if (what < 90)
		world_block(w, (int)world_rand(w, WORLD_GROUPS), world_rand(w, 3) == 0);
	else if (what < 92)
		fake_mq_fail_next(w->mq, ERR_UNAVAILABLE, 1);
	else if (what < 95)
		world_hoard(w, (int)world_rand(w, WORLD_GROUPS), world_rand(w, 3) == 0);
	else
		stop_sleep(&w->never, world_rand(w, 4));
}

static void random_run(unsigned seed)
{
	struct world w;

	world_open(&w, seed, seed % 2 ? LIMIT_PROCESS_BUDGET : 256 << 10);
	w.hub->split_ms = 30;
	if (seed % 3 == 0)
		fake_mq_latency_us(w.mq, 1500);
	if (seed % 2 == 0)
		fake_mq_cost(w.mq, 96 << 10); /* floors are reached, too */
	for (int i = 0; i < STEPS; i++)
		random_step(&w);
	fake_mq_latency_us(w.mq, 0);
	for (int i = 0; i < WORLD_GROUPS; i++) {
		world_block(&w, i, false);
		world_hoard(&w, i, false);
	}
	for (int i = 0; i < WORLD_TOPICS; i++)
		world_tick(&w, &w.topics[i], w.topics[i].clock + 20);
	for (int i = 0; i < WORLD_SUBS; i++)
		if (w.subs[i].t && !w.subs[i].live)
			world_resub(&w, i);
	for (int i = 0; i < WORLD_SUBS; i++)
		if (w.subs[i].t)
			world_expect(&w, i);
	world_close(&w);
}

static void test_random_schedules_lose_and_repeat_nothing(void **state)
{
	const char *one = getenv("CDC_TEST_SEED");

	(void)state;
	if (one) {
		random_run((unsigned)strtoul(one, NULL, 10));
		return;
	}
	for (unsigned seed = 1; seed <= SEEDS; seed++)
		random_run(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_sub_gets_its_rows_in_order),
		cmocka_unit_test(test_start_time_is_exact),
		cmocka_unit_test(test_drop_goes_to_every_sub_of_the_collection),
		cmocka_unit_test(test_chaser_catches_up_and_merges),
		cmocka_unit_test(test_unsubscribe_does_not_wait_for_a_full_lane),
		cmocka_unit_test(test_full_lane_does_not_hold_up_other_groups),
		cmocka_unit_test(test_a_hoarding_lane_does_not_starve_other_groups),
		cmocka_unit_test(test_small_budget_still_moves),
		cmocka_unit_test(test_gone_position_fails_only_who_needs_it),
		cmocka_unit_test(test_missing_position_and_topic_fail),
		cmocka_unit_test(test_outages_are_waited_out),
		cmocka_unit_test(test_unreadable_and_streaming_messages_fail_loudly),
		cmocka_unit_test(test_unreadable_rows_of_a_named_shard_fail_it_alone),
		cmocka_unit_test(test_closing_group_gets_nothing_more),
		cmocka_unit_test(test_readers_end_when_nobody_needs_them),
		cmocka_unit_test(test_random_schedules_lose_and_repeat_nothing),
	};
	log_set_level(LOG_OFF);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
