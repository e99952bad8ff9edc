/* The etcd client against a real etcd that this test starts, kills and restarts. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/wire.h"
#include "client/etcd/etcd.h"
#include "support/etcd_server.h"

enum { WAIT_MS = 20000, OP_MS = 8000 };

static struct etcd_server server;
static struct grpc *grpc;
static struct stop stop;

/* The last call's error; E clears it for the next. */
static struct err last;

static struct err *fresh(void)
{
	err_clear(&last);
	return &last;
}

#define E fresh()

static void expect(enum err_code want, enum err_code got, const char *what)
{
	if (want != got)
		fail_msg(
			"%s gives %s (%s), not %s", what, err_name(got), last.text, err_name(want));
}

#define OK(call) expect(ERR_OK, call, #call)
#define FAILS(want, call) expect(want, call, #call)

static struct etcd *open_as(const char *const *endpoints, size_t n, const char *user,
	const char *password, int64_t timeout_ms)
{
	struct etcd_opts o = {.endpoints = endpoints,
		.n_endpoints = n,
		.username = user,
		.password = password,
		.op_timeout_ms = timeout_ms};
	struct etcd *c = NULL;

	OK(etcd_open(grpc, &o, &c, E));
	return c;
}

static struct etcd *open_one(void)
{
	const char *endpoint = server.address;
	return open_as(&endpoint, 1, NULL, NULL, OP_MS);
}

static void put(struct etcd *c, const char *key, const char *value)
{
	OK(etcd_put(c, key, slice_str(value), &stop, E));
}

static int64_t put_rev(struct etcd *c, const char *key, const char *value)
{
	struct etcd_op op = {.kind = ETCD_PUT, .key = key, .value = slice_str(value)};
	int64_t revision = 0;

	OK(etcd_txn(c, NULL, 0, &op, 1, &stop, &revision, E));
	return revision;
}

static void test_put_and_get(void **state UNUSED)
{
	struct etcd *c = open_one();
	struct etcd_range r;

	etcd_range_init(&r);
	OK(etcd_status(c, &stop, E));
	OK(etcd_get(c, "get/none", &stop, &r, E));
	assert_int_equal(r.n, 0);
	assert_true(r.revision > 0);
	put(c, "get/k", "one");
	put(c, "get/k", "two");
	OK(etcd_get(c, "get/k", &stop, &r, E));
	assert_int_equal(r.n, 1);
	assert_string_equal(r.kvs[0].key, "get/k");
	assert_int_equal(r.kvs[0].key_n, 5);
	assert_true(slice_eq_str(r.kvs[0].value, "two"));
	assert_int_equal(r.kvs[0].version, 2);
	assert_int_equal(r.kvs[0].mod_revision, r.kvs[0].create_revision + 1);
	assert_int_equal(r.kvs[0].mod_revision, r.revision);
	put(c, "get/empty", "");
	OK(etcd_get(c, "get/empty", &stop, &r, E));
	assert_int_equal(r.n, 1);
	assert_int_equal(r.kvs[0].value.n, 0);
	etcd_range_done(&r);
	etcd_close(c);
}

static void put_many(struct etcd *c, const char *prefix, int from, int to)
{
	char keys[LIMIT_ETCD_TXN_OPS][64];
	struct etcd_op ops[LIMIT_ETCD_TXN_OPS];

	for (int i = from; i < to;) {
		size_t n = 0;
		for (; n < LIMIT_ETCD_TXN_OPS && i < to; n++, i++) {
			snprintf(keys[n], sizeof(keys[n]), "%s%05d", prefix, i);
			ops[n] = (struct etcd_op){
				.kind = ETCD_PUT, .key = keys[n], .value = slice_str(keys[n])};
		}
		OK(etcd_txn(c, NULL, 0, ops, n, &stop, NULL, E));
	}
}

/* 2,500 keys are three pages; neighbours of the prefix stay out; all is at the revision asked. */
static void test_prefix_pages_at_one_revision(void **state UNUSED)
{
	struct etcd *c = open_one();
	struct etcd_range r;
	char want[64];

	etcd_range_init(&r);
	put(c, "page", "not below page/");
	put(c, "page0", "nor this");
	put_many(c, "page/", 0, 2500);
	OK(etcd_get_prefix(c, "page/", 0, &stop, &r, E));
	int64_t revision = r.revision;
	put_many(c, "page/", 2500, 2600);
	struct etcd_op del = {.kind = ETCD_DELETE, .key = "page/00007"};
	OK(etcd_txn(c, NULL, 0, &del, 1, &stop, NULL, E));
	for (int pass = 0; pass < 2; pass++) {
		assert_int_equal(r.n, 2500);
		assert_int_equal(r.revision, revision);
		for (int i = 0; i < 2500; i++) {
			snprintf(want, sizeof(want), "page/%05d", i);
			assert_string_equal(r.kvs[i].key, want);
			assert_true(slice_eq_str(r.kvs[i].value, want));
		}
		OK(etcd_get_prefix(c, "page/", revision, &stop, &r, E));
	}
	struct etcd_op all = {.kind = ETCD_DELETE_PREFIX, .key = "page/"};
	OK(etcd_txn(c, NULL, 0, &all, 1, &stop, NULL, E));
	OK(etcd_get_prefix(c, "page", 0, &stop, &r, E));
	assert_int_equal(r.n, 2);
	FAILS(ERR_GONE, etcd_get_prefix(c, "page/", r.revision + 1000, &stop, &r, E));
	etcd_range_done(&r);
	etcd_close(c);
}

static void test_txn_conflict(void **state UNUSED)
{
	struct etcd *c = open_one();
	struct etcd_range r;
	struct etcd_cmp absent = {.key = "txn/k", .mod_revision = 0};
	struct etcd_op ops[] = {{.kind = ETCD_PUT, .key = "txn/k", .value = slice_str("1")},
		{.kind = ETCD_PUT, .key = "txn/other", .value = slice_str("1")}};
	int64_t revision = 0;

	etcd_range_init(&r);
	OK(etcd_txn(c, &absent, 1, ops, 2, &stop, &revision, E));
	assert_true(revision > 0);
	ops[1].value = slice_str("2");
	FAILS(ERR_CONFLICT, etcd_txn(c, &absent, 1, ops, 2, &stop, NULL, E));
	OK(etcd_get(c, "txn/other", &stop, &r, E));
	assert_true(slice_eq_str(r.kvs[0].value, "1"));
	struct etcd_cmp same = {.key = "txn/k", .mod_revision = revision};
	OK(etcd_txn(c, &same, 1, ops, 2, &stop, NULL, E));
	FAILS(ERR_CONFLICT, etcd_txn(c, &same, 1, ops, 2, &stop, NULL, E));
	FAILS(ERR_LIMIT, etcd_txn(c, NULL, 0, ops, LIMIT_ETCD_TXN_OPS + 1, &stop, NULL, E));
	etcd_range_done(&r);
	etcd_close(c);
}

/* etcd says no in two ways, and the second one reads like "try again later". */
static void test_what_is_too_large_is_refused_for_good(void **state UNUSED)
{
	enum { ABOVE_ETCD = 2000000, ABOVE_ITS_GRPC = 4000000 };
	const size_t sizes[] = {ABOVE_ETCD, ABOVE_ITS_GRPC};
	struct etcd *c = open_one();

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		CLEANUP(freep) char *value = xcalloc(1, sizes[i]);
		struct etcd_op op = {
			.kind = ETCD_PUT, .key = "large/k", .value = slice_of(value, sizes[i])};
		struct err e = ERR_INIT;
		assert_int_equal(etcd_txn(c, NULL, 0, &op, 1, &stop, NULL, &e), ERR_LIMIT);
		assert_non_null(strstr(e.text, "large/k"));
		assert_non_null(strstr(e.text, "raise etcd's --max-request-bytes"));
		err_clear(&e);
		assert_int_equal(etcd_put(c, op.key, op.value, &stop, &e), ERR_LIMIT);
		assert_non_null(strstr(e.text, "large/k"));
	}
	put(c, "large/k", "small");
	etcd_close(c);
}

static void test_lease(void **state UNUSED)
{
	struct etcd *c = open_one();
	struct etcd_range r;
	int64_t lease = 0;

	etcd_range_init(&r);
	OK(etcd_lease_grant(c, 60, &stop, &lease, E));
	struct etcd_op op = {.kind = ETCD_PUT, .key = "lease/k", .lease = lease};
	OK(etcd_txn(c, NULL, 0, &op, 1, &stop, NULL, E));
	OK(etcd_lease_renew(c, lease, &stop, E));
	OK(etcd_lease_revoke(c, lease, &stop, E));
	OK(etcd_get(c, "lease/k", &stop, &r, E));
	assert_int_equal(r.n, 0);
	FAILS(ERR_NOT_FOUND, etcd_lease_renew(c, lease, &stop, E));
	FAILS(ERR_NOT_FOUND, etcd_lease_revoke(c, lease, &stop, E));
	etcd_range_done(&r);
	etcd_close(c);
}

/* What an outage brings on the way is repeated, as a caller would. */
static enum err_code watch_settled(struct etcd_watch *w, struct etcd_events *ev)
{
	struct deadline d = deadline_in(WAIT_MS);
	enum err_code code;

	do
		code = etcd_watch_next(w, d, &stop, ev, E);
	while (code == ERR_UNAVAILABLE && !stop_sleep(&stop, 20));
	return code;
}

static void next_batch(struct etcd_watch *w, struct etcd_events *ev)
{
	OK(watch_settled(w, ev));
	assert_true(ev->n > 0);
}

static void test_watch_events(void **state UNUSED)
{
	struct etcd *c = open_one();
	struct etcd_events ev;
	struct etcd_watch *w;

	etcd_events_init(&ev);
	int64_t first = put_rev(c, "watch/a", "1");
	put(c, "watched", "not below the prefix");
	OK(etcd_watch_open(c, "watch/", first, &w, E));
	next_batch(w, &ev); /* the past is delivered */
	assert_int_equal(ev.n, 1);
	assert_int_equal(ev.revision, first);
	assert_string_equal(ev.events[0].kv.key, "watch/a");
	assert_true(slice_eq_str(ev.events[0].kv.value, "1"));
	assert_true(etcd_watch_live(w));
	struct etcd_op ops[] = {{.kind = ETCD_DELETE, .key = "watch/a"},
		{.kind = ETCD_PUT, .key = "watch/b", .value = slice_str("2")}};
	int64_t both = 0;
	OK(etcd_txn(c, NULL, 0, ops, 2, &stop, &both, E));
	next_batch(w, &ev); /* one revision, one batch */
	assert_int_equal(ev.n, 2);
	assert_int_equal(ev.revision, both);
	assert_int_equal(ev.events[0].kind, ETCD_EVENT_DELETE);
	assert_string_equal(ev.events[0].kv.key, "watch/a");
	assert_int_equal(ev.events[0].kv.mod_revision, both);
	assert_int_equal(ev.events[1].kind, ETCD_EVENT_PUT);
	FAILS(ERR_TIMEOUT, etcd_watch_next(w, deadline_in(50), &stop, &ev, E));
	assert_int_equal(ev.n, 0);
	etcd_watch_close(w);
	etcd_events_done(&ev);
	etcd_close(c);
}

/* Foreign writes move the revision of a quiet watch by progress notifications. */
static void test_watch_progress(void **state UNUSED)
{
	struct etcd *c = open_one();
	struct deadline d = deadline_in(WAIT_MS);
	struct etcd_events ev;
	struct etcd_watch *w;

	etcd_events_init(&ev);
	int64_t from = put_rev(c, "elsewhere", "1");
	OK(etcd_watch_open(c, "quiet/", from, &w, E));
	FAILS(ERR_TIMEOUT, etcd_watch_next(w, deadline_in(50), &stop, &ev, E));
	int64_t foreign = put_rev(c, "elsewhere", "2");
	while (ev.revision < foreign && !deadline_passed(d))
		FAILS(ERR_TIMEOUT, etcd_watch_next(w, deadline_in(50), &stop, &ev, E));
	assert_true(ev.revision >= foreign);
	etcd_watch_close(w);
	etcd_events_done(&ev);
	etcd_close(c);
}

/* 3 MB of events in one revision come in fragments and as one batch. */
static void test_watch_big_revision(void **state UNUSED)
{
	static char value[30000];
	char keys[LIMIT_ETCD_TXN_OPS][32];
	struct etcd_op ops[LIMIT_ETCD_TXN_OPS];
	struct etcd *c = open_one();
	struct etcd_events ev;
	struct etcd_watch *w;
	int64_t first = 0;

	etcd_events_init(&ev);
	memset(value, 'x', sizeof(value));
	for (int part = 0; part < 2; part++) {
		for (int i = 0; i < 45; i++) {
			snprintf(keys[i], sizeof(keys[i]), "big/%d-%03d", part, i);
			ops[i] = (struct etcd_op){.kind = ETCD_PUT,
				.key = keys[i],
				.value = slice_of(value, sizeof(value))};
		}
		OK(etcd_txn(c, NULL, 0, ops, 45, &stop, part ? NULL : &first, E));
	}
	OK(etcd_watch_open(c, "big/", first, &w, E));
	size_t n = 0;
	for (int64_t seen = 0; n < 90; seen = ev.revision) {
		next_batch(w, &ev);
		assert_true(ev.events[0].kv.mod_revision > seen);
		assert_int_equal(ev.n % 45, 0);
		n += ev.n;
	}
	assert_int_equal(n, 90);
	etcd_watch_close(w);
	etcd_events_done(&ev);
	etcd_close(c);
}

/* Killed and restarted while revisions pass: each one is seen once. */
static void test_watch_resumes_after_restart(void **state UNUSED)
{
	struct etcd *c = open_one();
	struct etcd_events ev;
	struct etcd_watch *w;
	char value[16];

	etcd_events_init(&ev);
	int64_t rev = put_rev(c, "resume/k", "0");
	OK(etcd_watch_open(c, "resume/", rev, &w, E));
	next_batch(w, &ev);
	for (int round = 1; round <= 2; round++) {
		snprintf(value, sizeof(value), "%d", round);
		etcd_server_kill(&server);
		FAILS(ERR_UNAVAILABLE, etcd_watch_next(w, deadline_in(WAIT_MS), &stop, &ev, E));
		FAILS(ERR_UNAVAILABLE, etcd_put(c, "resume/k", slice_str("lost"), &stop, E));
		etcd_server_restart(&server);
		int64_t next = put_rev(c, "resume/k", value);
		next_batch(w, &ev);
		assert_int_equal(ev.n, 1);
		assert_int_equal(ev.revision, next);
		assert_true(slice_eq_str(ev.events[0].kv.value, value));
	}
	FAILS(ERR_TIMEOUT, etcd_watch_next(w, deadline_in(50), &stop, &ev, E));
	etcd_watch_close(w);
	etcd_events_done(&ev);
	etcd_close(c);
}

/* A frozen etcd takes the request and does not answer: a read may be repeated, a write may happen
 * or not when it thaws. A watch loses nothing by it. */
static void test_lost_answers(void **state UNUSED)
{
	const char *endpoint = server.address;
	struct etcd *c = open_as(&endpoint, 1, NULL, NULL, 1000);
	struct etcd_events ev;
	struct etcd_range r;
	struct etcd_watch *w;

	etcd_events_init(&ev);
	etcd_range_init(&r);
	struct etcd *patient = open_one();
	int64_t rev = put_rev(patient, "lost/k", "1");
	OK(etcd_watch_open(patient, "lost/", rev + 1, &w, E));
	OK(etcd_get(c, "lost/k", &stop, &r, E));
	etcd_server_freeze(&server);
	enum err_code put_code = etcd_put(c, "lost/k", slice_str("2"), &stop, E);
	enum err_code get_code = etcd_get(c, "lost/k", &stop, &r, E);
	etcd_server_thaw(&server);
	assert_int_equal(put_code, ERR_UNCERTAIN);
	assert_int_equal(get_code, ERR_TIMEOUT);
	put(patient, "lost/k", "3");
	next_batch(w, &ev);
	if (ev.n == 1 && slice_eq_str(ev.events[0].kv.value, "2"))
		next_batch(w, &ev);
	assert_true(slice_eq_str(ev.events[ev.n - 1].kv.value, "3"));
	etcd_watch_close(w);
	etcd_range_done(&r);
	etcd_events_done(&ev);
	etcd_close(c);
	etcd_close(patient);
}

static void test_compaction_is_gone(void **state UNUSED)
{
	struct etcd *c = open_one();
	struct etcd_events ev;
	struct etcd_range r;
	struct etcd_watch *w;

	etcd_events_init(&ev);
	etcd_range_init(&r);
	int64_t old = put_rev(c, "compact/k", "1");
	int64_t now = put_rev(c, "compact/k", "2");
	etcd_server_compact(&server, grpc, now);
	OK(etcd_watch_open(c, "compact/", old, &w, E));
	FAILS(ERR_GONE, etcd_watch_next(w, deadline_in(WAIT_MS), &stop, &ev, E));
	etcd_watch_close(w);
	FAILS(ERR_GONE, etcd_get_prefix(c, "compact/", old, &stop, &r, E));
	OK(etcd_get_prefix(c, "compact/", 0, &stop, &r, E));
	assert_int_equal(r.n, 1);
	etcd_range_done(&r);
	etcd_events_done(&ev);
	etcd_close(c);
}

/* An etcd that lost its data has an older revision: silence would be a gap. */
static void test_watch_sees_that_history_is_lost(void **state UNUSED)
{
	struct etcd_server other;
	struct etcd_events ev;
	struct etcd_watch *w;

	etcd_events_init(&ev);
	etcd_server_start(&other);
	const char *endpoint = other.address;
	struct etcd *c = open_as(&endpoint, 1, NULL, NULL, OP_MS);
	for (int i = 0; i < 5; i++)
		put(c, "history/k", "v");
	int64_t rev = put_rev(c, "history/k", "last");
	OK(etcd_watch_open(c, "history/", rev, &w, E));
	next_batch(w, &ev);
	etcd_server_kill(&other);
	etcd_server_wipe(&other);
	etcd_server_restart(&other);
	FAILS(ERR_GONE, watch_settled(w, &ev));
	etcd_watch_close(w);
	etcd_close(c);
	etcd_events_done(&ev);
	etcd_server_stop(&other);
}

static void test_dead_endpoints_are_passed_over(void **state UNUSED)
{
	/* Nobody listens on port 1; 192.0.2.1 (TEST-NET) is silent or unreachable. */
	const char *endpoints[] = {"http://127.0.0.1:1", server.address, "192.0.2.1:2379/"};
	struct etcd *c = open_as(endpoints, 3, NULL, NULL, 3000);
	struct etcd_events ev;
	struct etcd_watch *w;

	etcd_events_init(&ev);
	put(c, "fail-over/k", "1");
	int64_t start = time_mono_ms();
	int64_t rev = put_rev(c, "fail-over/k", "2");
	assert_true(time_mono_ms() - start < 2000); /* the good one is remembered */
	OK(etcd_watch_open(c, "fail-over/", rev, &w, E));
	next_batch(w, &ev);
	OK(etcd_status(c, &stop, E));
	assert_non_null(strstr(last.text, "127.0.0.1:1:"));
	assert_non_null(strstr(last.text, "192.0.2.1:2379"));
	etcd_watch_close(w);
	etcd_events_done(&ev);
	etcd_close(c);

	c = open_as(endpoints, 1, NULL, NULL, 1000);
	FAILS(ERR_UNAVAILABLE, etcd_status(c, &stop, E));
	FAILS(ERR_UNAVAILABLE, etcd_put(c, "k", slice_str("v"), &stop, E));
	etcd_close(c);
}

static void test_options(void **state UNUSED)
{
	const char *bad[] = {"", "http://", "host", "host:1/path", "https://"};
	const char *plain = "http://127.0.0.1:1";
	struct etcd_opts o = {.n_endpoints = 0};
	struct etcd_watch *w;
	struct etcd *c;

	FAILS(ERR_INVALID, etcd_open(grpc, &o, &c, E));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		o = (struct etcd_opts){.endpoints = &bad[i], .n_endpoints = 1};
		FAILS(ERR_INVALID, etcd_open(grpc, &o, &c, E));
	}
	o = (struct etcd_opts){.endpoints = &plain, .n_endpoints = 1, .tls.enable = true};
	FAILS(ERR_INVALID, etcd_open(grpc, &o, &c, E));
	c = open_one();
	FAILS(ERR_INVALID, etcd_watch_open(c, "x", 0, &w, E));
	etcd_close(c);
}

static void test_cancelled_by_stop(void **state UNUSED)
{
	struct etcd *c = open_one();
	struct etcd_events ev;
	struct etcd_watch *w;
	struct stop own;

	etcd_events_init(&ev);
	stop_init(&own, NULL);
	OK(etcd_watch_open(c, "cancel/", 1000000, &w, E));
	stop_set(&own);
	FAILS(ERR_CANCELLED, etcd_watch_next(w, deadline_in(WAIT_MS), &own, &ev, E));
	FAILS(ERR_CANCELLED, etcd_put(c, "cancel/k", slice_str(""), &own, E));
	etcd_watch_close(w);
	stop_done(&own);
	etcd_events_done(&ev);
	etcd_close(c);
}

/* auth API: UserAdd{name, password}, RoleAdd{name}, UserGrantRole{user, role}, AuthEnable{} */
static void auth_call(struct etcd_server *s, const char *path, const char *a, const char *b)
{
	CLEANUP(buf_done) struct buf req = BUF_INIT(256);

	wire_put_str_opt(&req, 1, a);
	wire_put_str_opt(&req, 2, b);
	etcd_server_call(s, grpc, path, buf_slice(&req), NULL);
}

static void check_watch_as(struct etcd *c, enum err_code want)
{
	struct etcd_events ev;
	struct etcd_watch *w;

	etcd_events_init(&ev);
	OK(etcd_watch_open(c, "auth/", 1, &w, E));
	FAILS(want, watch_settled(w, &ev));
	etcd_watch_close(w);
	etcd_events_done(&ev);
}

static void test_auth(void **state UNUSED)
{
	struct etcd_server s;
	struct etcd_range r;

	etcd_range_init(&r);
	etcd_server_start(&s);
	const char *endpoint = s.address;
	/* Credentials for a server without auth are fine, and still when auth is switched on. */
	struct etcd *root = open_as(&endpoint, 1, "root", "secret", OP_MS);
	put(root, "auth/k", "1");
	auth_call(&s, "/etcdserverpb.Auth/UserAdd", "root", "secret");
	auth_call(&s, "/etcdserverpb.Auth/UserAdd", "guest", "guest");
	auth_call(&s, "/etcdserverpb.Auth/RoleAdd", "root", "");
	auth_call(&s, "/etcdserverpb.Auth/UserGrantRole", "root", "root");
	auth_call(&s, "/etcdserverpb.Auth/AuthEnable", "", "");
	put(root, "auth/k", "2");
	check_watch_as(root, ERR_OK);

	struct etcd *nobody = open_as(&endpoint, 1, NULL, NULL, OP_MS);
	FAILS(ERR_DENIED, etcd_get(nobody, "auth/k", &stop, &r, E));
	struct etcd *wrong = open_as(&endpoint, 1, "root", "guess", OP_MS);
	FAILS(ERR_DENIED, etcd_get(wrong, "auth/k", &stop, &r, E));
	struct etcd *guest = open_as(&endpoint, 1, "guest", "guest", OP_MS);
	FAILS(ERR_DENIED, etcd_get(guest, "auth/k", &stop, &r, E));
	check_watch_as(guest, ERR_DENIED);
	OK(etcd_status(root, &stop, E));

	/* A restart forgets all tokens: the client must log in again by itself. */
	etcd_server_kill(&s);
	etcd_server_restart(&s);
	put(root, "auth/k", "3");
	etcd_server_kill(&s);
	etcd_server_restart(&s);
	check_watch_as(root, ERR_OK);
	OK(etcd_get(root, "auth/k", &stop, &r, E));
	assert_true(slice_eq_str(r.kvs[0].value, "3"));
	etcd_close(root);
	etcd_close(nobody);
	etcd_close(wrong);
	etcd_close(guest);
	etcd_range_done(&r);
	etcd_server_stop(&s);
}

static int setup(void **state UNUSED)
{
	struct err e = ERR_INIT;

	stop_init(&stop, NULL);
	if (grpc_new(&grpc, &e))
		return -1;
	etcd_server_start(&server);
	return 0;
}

static int teardown(void **state UNUSED)
{
	etcd_server_stop(&server);
	grpc_free(grpc);
	stop_done(&stop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_and_get),
		cmocka_unit_test(test_prefix_pages_at_one_revision),
		cmocka_unit_test(test_txn_conflict),
		cmocka_unit_test(test_what_is_too_large_is_refused_for_good),
		cmocka_unit_test(test_lease),
		cmocka_unit_test(test_watch_events),
		cmocka_unit_test(test_watch_progress),
		cmocka_unit_test(test_watch_big_revision),
		cmocka_unit_test(test_watch_resumes_after_restart),
		cmocka_unit_test(test_lost_answers),
		cmocka_unit_test(test_compaction_is_gone),
		cmocka_unit_test(test_watch_sees_that_history_is_lost),
		cmocka_unit_test(test_dead_endpoints_are_passed_over),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_cancelled_by_stop),
		cmocka_unit_test(test_auth),
	};
	return cmocka_run_group_tests_name("client.etcd_real", tests, setup, teardown);
}
