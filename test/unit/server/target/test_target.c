/* Who shares what: a session an address, a client a login. The target is not there, or a server that
 * knows no method. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "net/grpc.h"
#include "server/jobs.h"
#include "server/target/target.h"
#include "store/store_mem.h"
#include "store/writer.h"
#include "support/grpc_server.h"

enum { WAIT_MS = 20000, THREADS = 4, TURNS = 200 };

struct bed {
	struct grpc *grpc;
	struct store *store;
	struct writer *writer;
	struct targets *targets;
};

static struct log_ctx quiet = {.comp = LOG_sink};

static int open_bed(void **state)
{
	struct bed *b = xcalloc(1, sizeof(*b));

	b->store = store_mem_new("");
	assert_int_equal(grpc_new(&b->grpc, NULL), ERR_OK);
	assert_int_equal(writer_new(b->store, 1000, &b->writer, NULL), ERR_OK);
	struct targets_opts o = {.grpc = b->grpc,
		.writer = b->writer,
		.store = b->store,
		.late_bound_ms = 1000,
		.keepalive_ms = 2000,
		.log = &quiet};
	assert_int_equal(targets_new(&o, &b->targets, NULL), ERR_OK);
	*state = b;
	return 0;
}

static int close_bed(void **state)
{
	struct bed *b = *state;

	targets_free(b->targets, 1000);
	writer_free(b->writer);
	b->store->ops->close(b->store);
	grpc_free(b->grpc);
	free(b);
	return 0;
}

static struct task *task_of(const char *uri, const char *token)
{
	struct task *t = task_new();

	free(t->milvus.uri);
	free(t->milvus.token);
	t->milvus.uri = xstrdup(uri);
	t->milvus.token = xstrdup(token);
	t->milvus.connect_timeout = 1;
	return t;
}

static struct target *get(struct bed *b, const char *uri, const char *token)
{
	CLEANUP(task_freep) struct task *t = task_of(uri, token);
	struct target *ret = NULL;
	struct err e = ERR_INIT;

	if (target_get(b->targets, t, &ret, &e))
		fail_msg("%s", e.text);
	return ret;
}

static void equal_logins_share_a_client(void **state)
{
	struct bed *b = *state;
	struct target *one = get(b, "http://127.0.0.1:1", "a:b");
	struct target *same = get(b, "127.0.0.1:1/", "a:b");
	struct target *equal = get(b, "http://127.0.0.1:1", "a:b");
	struct target *other = get(b, "http://127.0.0.1:1", "a:c");

	assert_ptr_equal(target_sink(one), target_sink(equal));
	assert_ptr_not_equal(target_sink(one), target_sink(other));
	target_put(one, 0);
	target_put(same, 0);
	target_put(equal, 0); /* the other login carries the session on */
	struct target *again = get(b, "http://127.0.0.1:1", "a:c");
	assert_ptr_equal(target_sink(other), target_sink(again));
	target_put(other, 0);
	target_put(again, 0);
}

/* A task that does not run after a restart: what it has on the target is not another's. */
static void names_in_records_are_held(void **state)
{
	struct bed *b = *state;
	CLEANUP(task_freep) struct task *paused = task_of("http://127.0.0.1:1", "a:b");
	const struct store_ext records[] = {
		{"object/p/7", "{\"state\":\"Running\",\"target_db\":\"d\",\"target_name\":\"a\"}"},
		{"object/p/8", "{\"state\":\"Dropped\",\"target_db\":\"d\",\"target_name\":\"b\"}"},
		{"object/p/9", "damaged"}, {"object/p/run", "{\"clean\":true}"},
		{"object/other/10",
			"{\"state\":\"Running\",\"target_db\":\"d\",\"target_name\":\"c\"}"}};
	const struct store_batch batch = {.exts = records, .n_exts = ARRAY_LEN(records)};
	struct target *other = get(b, "http://127.0.0.1:1", "a:b"), *t = NULL;
	struct err e = ERR_INIT;
	struct stop stop;

	stop_init(&stop, NULL);
	free(paused->id);
	paused->id = xstrdup("p");
	assert_int_equal(store_write(b->store, &batch, &stop, &e), ERR_OK);
	assert_int_equal(target_get(b->targets, paused, &t, &e), ERR_OK);
	assert_int_equal(target_claim_recorded(t, b->store, &stop, &e), ERR_OK);
	assert_int_equal(target_claim_name(other, "d", "a", 70), 7);
	assert_int_equal(target_claim_name(other, "d", "b", 80), 0);
	assert_int_equal(target_claim_name(other, "d", "c", 90), 0);
	assert_int_equal(target_claim_name(t, "d", "a", 7), 0); /* its own */
	target_release_task(t);
	assert_int_equal(target_claim_name(other, "d", "a", 70), 0);
	target_put(t, 0);
	target_put(other, 0);
	stop_done(&stop);
}

static void settings_that_cannot_be_right_are_refused(void **state)
{
	struct bed *b = *state;
	CLEANUP(task_freep) struct task *t = task_of("https://127.0.0.1:1", "");
	struct target *ret = NULL;
	struct err e = ERR_INIT;
	struct stop never;

	free(t->milvus.ca_pem_path);
	t->milvus.ca_pem_path = xstrdup("/nowhere/ca.pem");
	assert_int_equal(target_get(b->targets, t, &ret, &e), ERR_INVALID);
	assert_non_null(strstr(e.text, "belong together"));
	/* A file that is not there may come; create wants it at once. */
	free(t->milvus.server_pem_path);
	t->milvus.server_pem_path = TAKE(t->milvus.ca_pem_path);
	t->milvus.ca_pem_path = xstrdup("");
	err_clear(&e);
	stop_init(&never, NULL);
	assert_int_equal(target_check(b->targets, t, &never, &e), ERR_INVALID);
	stop_done(&never);
	assert_non_null(strstr(e.text, "/nowhere/ca.pem: No such file"));
	err_clear(&e);
	assert_int_equal(target_get(b->targets, t, &ret, &e), ERR_OK);
	target_put(ret, 0);
}

static void wait_status(struct target *t, const char *part)
{
	struct deadline d = deadline_in(WAIT_MS);
	char text[1024] = "";
	struct stop never;

	stop_init(&never, NULL);
	while (!strstr(text, part)) {
		target_status(t, text, sizeof(text));
		if (deadline_passed(d))
			fail_msg("\"%s\" lacks \"%s\"", text, part);
		(void)stop_sleep(&never, 5);
	}
	stop_done(&never);
}

static void each_login_tells_its_own_trouble(void **state)
{
	struct bed *b = *state;
	struct gs *server = NULL;
	struct gs_opts none = {0};

	assert_int_equal(gs_start(&none, &server, NULL), ERR_OK);
	struct target *plain = get(b, gs_address(server), "x:secret");
	CLEANUP(freep) char *uri = xasprintf("https://%s", gs_address(server));
	struct target *tls = get(b, uri, "x:secret");
	wait_status(tls, "does this port speak plain text");
	assert_int_equal(target_clock(plain), target_clock(tls));
	char text[1024];
	target_status(plain, text, sizeof(text));
	assert_null(strstr(text, "does this port"));
	target_status(tls, text, sizeof(text));
	assert_null(strstr(text, "secret"));
	target_put(plain, 0);
	target_put(tls, 0);
	gs_stop(server);
}

static void come_and_go(void *arg)
{
	static const char *const tokens[] = {"a:1", "a:2", "a:3"};
	struct bed *b = arg;

	for (int i = 0; i < TURNS; i++) {
		struct target *t = get(b, "http://127.0.0.1:1", tokens[i % (int)ARRAY_LEN(tokens)]);
		(void)target_clock(t);
		target_put(t, 0);
	}
}

static void many_come_and_go(void **state)
{
	struct thread threads[THREADS] = {0};

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(
			thread_start(&threads[i], "user", come_and_go, *state, NULL), ERR_OK);
	for (int i = 0; i < THREADS; i++)
		thread_join(&threads[i]);
}

/* What hangs on one target. */
struct hang {
	struct job job;
	struct stop *stop;
	bool done; /* atomic */
};

static int64_t hang(void *arg)
{
	struct hang *h = arg;

	(void)stop_sleep(h->stop, WAIT_MS);
	__atomic_store_n(&h->done, true, __ATOMIC_RELEASE);
	return JOB_IDLE;
}

static int64_t at_once(void *arg)
{
	struct hang *h = arg;

	__atomic_store_n(&h->done, true, __ATOMIC_RELEASE);
	return JOB_IDLE;
}

/* More steps hang on each of several targets than there are threads: another target's go on. */
static void a_target_that_hangs_holds_up_no_other(void **state)
{
	enum { TARGETS = 3, EACH = 2 * LIMIT_DDL_WORKERS };
	struct bed *b = *state;
	struct hang all[TARGETS][EACH] = {0}, other = {.done = false};
	struct target *t[TARGETS];
	struct deadline d = deadline_in(WAIT_MS / 2);
	struct stop stop;
	char uri[64];

	stop_init(&stop, NULL);
	for (int i = 0; i < TARGETS; i++) {
		snprintf(uri, sizeof(uri), "http://127.0.0.1:%d", i + 1);
		t[i] = get(b, uri, "");
		for (int k = 0; k < EACH; k++) {
			all[i][k].stop = &stop;
			job_init(&all[i][k].job, target_jobs(t[i]), hang, &all[i][k]);
			job_wake(&all[i][k].job, 0);
		}
	}
	struct target *good = get(b, "http://127.0.0.1:9", "");
	job_init(&other.job, target_jobs(good), at_once, &other);
	job_wake(&other.job, 0);
	while (!__atomic_load_n(&other.done, __ATOMIC_ACQUIRE) && !deadline_passed(d))
		(void)stop_sleep(&stop, 1);
	assert_true(other.done);
	assert_false(__atomic_load_n(&all[0][0].done, __ATOMIC_ACQUIRE));
	stop_set(&stop);
	job_stop(&other.job);
	for (int i = 0; i < TARGETS; i++)
		for (int k = 0; k < EACH; k++)
			job_stop(&all[i][k].job);
	for (int i = 0; i < TARGETS; i++)
		target_put(t[i], 0);
	target_put(good, 0);
	stop_done(&stop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(equal_logins_share_a_client, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(names_in_records_are_held, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(
			settings_that_cannot_be_right_are_refused, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(
			each_login_tells_its_own_trouble, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(
			a_target_that_hangs_holds_up_no_other, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(many_come_and_go, open_bed, close_bed),
	};
	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
