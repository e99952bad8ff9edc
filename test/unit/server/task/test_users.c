/* The initial copy of users and roles: what is restored, and the whole of it against a scripted
 * Milvus. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/mutex.h"
#include "base/str.h"
#include "base/wire.h"
#include "server/task/users.h"
#include "sink/sink_milvus.h"
#include "store/store_mem.h"
#include "store/writer.h"
#include "support/grpc_server.h"

enum {
	WAIT_MS = 20000,
	DENIALS = 9,
	MESSAGE_BYTES = 1 << 16,
	UNKNOWN_METHOD = 12,
	UNAVAILABLE = 14
};

struct bed {
	struct gs *server;
	struct grpc *grpc;
	struct sink *sink;
	struct jobs *jobs;
	struct store *store;
	struct writer *writer;
	struct task *task;
	struct stop stop;
	struct rbac source;
	unsigned source_fails; /* so many reads of it */

	struct mutex mtx;
	struct rbac target;
	bool without;                       /* no BackupRBAC */
	bool lose;                          /* the next restore is done, but not answered for */
	unsigned refuse, backups, restores; /* refuse: so many calls with UNAVAILABLE */
	struct buf last;                    /* request of the last restore */
};

static struct log_ctx quiet = {.comp = LOG_task};

/* ---- the target ---- */

static void answer_backup(struct bed *b, struct gs_call *c)
{
	CLEANUP(buf_done) struct buf meta = BUF_INIT(MESSAGE_BYTES);
	CLEANUP(buf_done) struct buf answer = BUF_INIT(MESSAGE_BYTES);

	rbac_put(&meta, &b->target);
	wire_put_bytes(&answer, 1, (struct slice){0});
	wire_put_bytes(&answer, 2, buf_slice(&meta));
	gs_answer(c, buf_slice(&answer), 0);
}

/* As Milvus: nothing at all if one user or role is there. */
static bool take(struct rbac *to, const struct rbac *from)
{
	for (size_t i = 0; i < from->users.n; i++)
		if (rbac_holders_find(&to->users, from->users.v[i].name))
			return false;
	for (size_t i = 0; i < from->roles.n; i++)
		if (rbac_names_has(&to->roles, from->roles.v[i]))
			return false;
	for (size_t i = 0; i < from->users.n; i++)
		rbac_holders_add(&to->users, from->users.v[i].name, "");
	for (size_t i = 0; i < from->roles.n; i++)
		rbac_names_add(&to->roles, from->roles.v[i]);
	for (size_t i = 0; i < from->groups.n; i++)
		rbac_holders_add(&to->groups, from->groups.v[i].name, "");
	for (size_t i = 0; i < from->n_grants; i++)
		rbac_grant_add(to, &from->grants[i]);
	return true;
}

static void answer_restore(struct bed *b, struct gs_call *c)
{
	CLEANUP(rbac_done) struct rbac got = {.n_grants = 0};
	CLEANUP(buf_done) struct buf answer = BUF_INIT(MESSAGE_BYTES);
	struct wire w = wire_open(gs_body(c));
	struct wire_field f;
	struct err e = ERR_INIT;

	while (wire_next(&w, &f))
		if (f.num == 2)
			assert_int_equal(rbac_read(&got, f.data, &e), ERR_OK);
	bool taken = take(&b->target, &got);
	wire_put_u64(&answer, 1, taken ? 0 : 1);
	wire_put_str(&answer, 2, taken ? "" : "role [x] already exists");
	buf_reset(&b->last);
	buf_put(&b->last, gs_body(c).p, gs_body(c).n);
	if (b->lose)
		gs_end(c, UNAVAILABLE, "lost", 0);
	else
		gs_answer(c, buf_slice(&answer), 0);
	b->lose = false;
}

static void on_request(void *arg, struct gs_call *c)
{
	struct bed *b = arg;

	mutex_lock(&b->mtx);
	bool backup = str_ends(gs_path(c), "/BackupRBAC");
	if (b->without || (!backup && !str_ends(gs_path(c), "/RestoreRBAC"))) {
		gs_end(c, UNKNOWN_METHOD, "unknown method BackupRBAC", 0);
	} else if (b->refuse) {
		b->refuse--;
		gs_end(c, UNAVAILABLE, "starting", 0);
	} else if (backup) {
		b->backups++;
		answer_backup(b, c);
	} else {
		b->restores++;
		answer_restore(b, c);
	}
	mutex_unlock(&b->mtx);
}

/* ---- the source ---- */

static enum err_code read_source(void *arg, struct stop *s, struct rbac *ret, struct buf *left_out,
	size_t *ret_left_out, struct err *e)
{
	struct bed *b = arg;
	CLEANUP(buf_done) struct buf copy = BUF_INIT(MESSAGE_BYTES);

	(void)s;
	if (b->source_fails && b->source_fails--)
		return err_set(e, ERR_UNAVAILABLE, "no etcd");
	buf_put_str(left_out, "credential/users/odd: not JSON\n");
	*ret_left_out = 1;
	rbac_put(&copy, &b->source);
	return rbac_read(ret, buf_slice(&copy), e);
}

static void grant(struct rbac *r, const char *role, const char *db, const char *name)
{
	char load[] = "Load", kind[] = "Collection", me[] = "root";
	struct rbac_grant g = {.role = (char *)(uintptr_t)role,
		.object = kind,
		.object_name = (char *)(uintptr_t)name,
		.db = (char *)(uintptr_t)db,
		.grantor = me,
		.privilege = load};

	rbac_grant_add(r, &g);
}

static void fill_source(struct rbac *r)
{
	struct rbac_holder *ann = rbac_holders_add(&r->users, "ann", "$2a$ann");

	rbac_names_add(&ann->holds, "reader");
	rbac_names_add(&ann->holds, "public");
	rbac_names_add(&ann->holds, "nowhere");
	rbac_holders_add(&r->users, "root", "$2a$root");
	rbac_holders_add(&r->users, "bob", "$2a$bob");
	rbac_names_add(&r->roles, "admin");
	rbac_names_add(&r->roles, "public");
	rbac_names_add(&r->roles, "reader");
	rbac_names_add(&r->roles, "writer");
	rbac_names_add(&rbac_holders_add(&r->groups, "mine", "")->holds, "Query");
	grant(r, "reader", "shop", "item");
	grant(r, "reader", "shop", "*");
	grant(r, "reader", "*", "*");
	grant(r, "writer", "default", "c");
	grant(r, "public", "default", "c");
	grant(r, "nowhere", "default", "c");
}

/* ---- the bed ---- */

static struct task *make_task(void)
{
	struct task *t = task_new();

	free(t->id);
	t->id = xstrdup("t1");
	t->enable_user_role = true;
	t->mappings = xcalloc(1, sizeof(*t->mappings));
	t->n_mappings = 1;
	t->mappings[0].source_db = xstrdup("shop");
	t->mappings[0].target_db = xstrdup("store");
	return t;
}

static int setup(void **state)
{
	struct bed *b = xcalloc(1, sizeof(*b));
	struct gs_opts so = {.handler = {.arg = b, .request = on_request}};

	*state = b;
	mutex_init(&b->mtx, "bed");
	stop_init(&b->stop, NULL);
	buf_init(&b->last, MESSAGE_BYTES);
	fill_source(&b->source);
	b->task = make_task();
	b->store = store_mem_new("");
	struct milvus_opts mo = {.token = ""};
	if (gs_start(&so, &b->server, NULL) || grpc_new(&b->grpc, NULL) ||
		jobs_new(2, &b->jobs, NULL) || writer_new(b->store, 1000, &b->writer, NULL))
		return -1;
	mo.uri = gs_address(b->server);
	return sink_milvus_open(b->grpc, &mo, &b->sink, NULL);
}

static int teardown(void **state)
{
	struct bed *b = *state;

	sink_close(b->sink);
	writer_free(b->writer);
	jobs_free(b->jobs);
	b->store->ops->close(b->store);
	grpc_free(b->grpc);
	gs_stop(b->server);
	task_free(b->task);
	rbac_done(&b->source);
	rbac_done(&b->target);
	buf_done(&b->last);
	stop_done(&b->stop);
	mutex_done(&b->mtx);
	free(b);
	return 0;
}

static struct users *users_of(struct bed *b)
{
	struct users_opts o = {.task = b->task,
		.sink = b->sink,
		.jobs = b->jobs,
		.writer = b->writer,
		.log = &quiet,
		.stop = &b->stop,
		.retry_first_ms = 1,
		.retry_most_ms = 5,
		.read = read_source,
		.arg = b};

	return users_new(&o);
}

/* Until it is over; ends it. Its text. */
static void finish(struct bed *b, struct users *u, char text[USERS_TEXT_BYTES])
{
	struct deadline d = deadline_in(WAIT_MS);

	while (!users_settled(u)) {
		if (deadline_passed(d))
			fail_msg("the copy does not end");
		(void)stop_sleep(&b->stop, 2);
	}
	users_status(u, text, USERS_TEXT_BYTES);
	users_stop(u);
	users_free(u);
	assert_int_equal(writer_flush(b->writer, deadline_in(WAIT_MS), &b->stop, NULL), ERR_OK);
}

static void run_once(struct bed *b, char text[USERS_TEXT_BYTES])
{
	struct users *u = users_of(b);

	assert_false(users_settled(u));
	users_start(u);
	finish(b, u, text);
}

static char *stored(struct bed *b)
{
	return store_mem_get(b->store, "ext/object/t1/rbac");
}

/* ---- tests ---- */

static void test_plan(void **state)
{
	CLEANUP(rbac_done) struct rbac source = {.n_grants = 0};
	CLEANUP(rbac_done) struct rbac target = {.n_grants = 0};
	CLEANUP(rbac_done) struct rbac plan = {.n_grants = 0};
	CLEANUP(task_freep) struct task *t = make_task();

	(void)state;
	fill_source(&source);
	rbac_holders_add(&target.users, "bob", "$2a$other");
	rbac_names_add(&target.roles, "writer");
	grant(&target, "reader", "store", "*");
	assert_int_equal(users_plan(t, &source, &target, &plan), 3);
	assert_int_equal(plan.users.n, 1);
	assert_string_equal(plan.users.v[0].name, "ann");
	assert_string_equal(plan.users.v[0].password, "$2a$ann");
	assert_int_equal(plan.users.v[0].holds.n, 2);
	assert_false(rbac_names_has(&plan.users.v[0].holds, "nowhere"));
	assert_int_equal(plan.roles.n, 1);
	assert_string_equal(plan.roles.v[0], "reader");
	assert_int_equal(plan.groups.n, 1);
	assert_true(rbac_names_has(&plan.groups.v[0].holds, "Query"));
	assert_int_equal(plan.n_grants, 3);
	assert_string_equal(plan.grants[0].db, "store");
	assert_string_equal(plan.grants[0].object_name, "item");
	assert_string_equal(plan.grants[1].db, "*");
	assert_string_equal(plan.grants[2].role, "writer");
	assert_string_equal(plan.grants[2].db, "default");
}

static void test_copied_once(void **state)
{
	struct bed *b = *state;
	char text[USERS_TEXT_BYTES];

	rbac_holders_add(&b->target.users, "bob", "$2a$other");
	run_once(b, text);
	assert_non_null(strstr(
		text, "copied to the target: 1 users, 2 roles, 4 grants, 1 privilege groups; 1 "));
	assert_non_null(strstr(text, "1 records of the source can't be read"));
	assert_int_equal(b->restores, 1);
	/* RBAC_meta is field 2, the first user in it ann with her hash */
	assert_int_equal(b->last.p[0], 0x12);
	assert_non_null(memmem(b->last.p, b->last.n,
		"\x0a\x03"
		"ann\x12\x07$2a$ann",
		14));
	assert_null(memmem(b->last.p, b->last.n, "bob", 3));
	/* A restart takes it from the record. */
	CLEANUP(freep) char *json = stored(b);
	assert_non_null(json);
	assert_null(strstr(json, "$2a"));
	struct users *u = users_of(b);
	users_take_record(u, json);
	users_start(u);
	assert_true(users_settled(u));
	char again[USERS_TEXT_BYTES];
	finish(b, u, again);
	assert_string_equal(again, text);
	assert_int_equal(b->backups, 1);
	assert_int_equal(b->restores, 1);
}

static void test_nothing_to_copy(void **state)
{
	struct bed *b = *state;
	char text[USERS_TEXT_BYTES];

	rbac_done(&b->source);
	run_once(b, text);
	assert_non_null(strstr(text, "0 users, 0 roles"));
	assert_int_equal(b->restores, 0);
	CLEANUP(freep) char *json = stored(b);
	assert_non_null(json);
}

static void test_target_without_it(void **state)
{
	struct bed *b = *state;
	char text[USERS_TEXT_BYTES];

	b->without = true;
	run_once(b, text);
	assert_non_null(strstr(text, "not copied"));
	assert_non_null(strstr(text, "no BackupRBAC"));
	/* A newer target may have it: the next start asks again. */
	CLEANUP(freep) char *json = stored(b);
	assert_null(json);
}

static void test_repeated_until_it_works(void **state)
{
	struct bed *b = *state;
	char text[USERS_TEXT_BYTES];

	b->refuse = 12;
	b->source_fails = 3;
	run_once(b, text);
	assert_non_null(strstr(text, "2 users, 2 roles, 4 grants"));
	assert_int_equal(b->restores, 1);
}

static void test_lost_answer(void **state)
{
	struct bed *b = *state;
	char text[USERS_TEXT_BYTES];

	b->lose = true;
	run_once(b, text);
	/* The second try finds what the first one made. */
	assert_non_null(strstr(text, "0 users, 0 roles, 0 grants, 0 "));
	assert_int_equal(b->backups, 2);
	assert_int_equal(b->target.users.n, 2);
}

static void test_refused_for_good(void **state)
{
	struct bed *b = *state;
	char text[USERS_TEXT_BYTES];

	struct gs_step deny[DENIALS];
	for (size_t i = 0; i < DENIALS; i++)
		deny[i] =
			(struct gs_step){.fault = GS_FAULT_TRAILERS_ONLY, .code = 7, .text = "no"};
	gs_script(b->server, deny, DENIALS);
	run_once(b, text);
	assert_non_null(strstr(text, "pause and resume"));
	assert_int_equal(b->restores, 0);
}

static void test_dry_run(void **state)
{
	struct bed *b = *state;
	char text[USERS_TEXT_BYTES];
	struct users_opts o = {.task = b->task,
		.sink = b->sink,
		.jobs = b->jobs,
		.writer = b->writer,
		.log = &quiet,
		.stop = &b->stop,
		.dry_run = true,
		.read = read_source,
		.arg = b};
	struct users *u = users_new(&o);

	users_start(u);
	finish(b, u, text);
	assert_non_null(strstr(text, "dry run"));
	assert_int_equal(b->backups, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan),
		cmocka_unit_test_setup_teardown(test_copied_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_to_copy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_target_without_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_repeated_until_it_works, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_for_good, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dry_run, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
