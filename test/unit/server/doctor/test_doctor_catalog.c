/* What the doctor says of a catalog's collections that a real peer of the rig can't be made to show each
 * time: a target that never got an operation, more collections than are compared, a queue whose protocol
 * tells no retention. The catalog is read from a real etcd; target and queue are fakes. */
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
#include "server/config/config.h"
#include "server/doctor/doctor.h"
#include "sink/sink.h"
#include "source/catalog.h"
#include "source/mq.h"
#include "support/catalog_values.h"
#include "support/etcd_server.h"

enum { WAIT_MS = 30000, COLLECTIONS = 5, CODE_UNEXPECTED = 65535 };

static struct etcd_server server;
static struct grpc *grpc;
static struct stop stop;
static struct etcd *etcd;
static struct catalog *cat;

/* ---- the target: one collection is there, with other shards; the probe finds no topic ---- */

static enum err_code fake_connect(
	struct sink *k UNUSED, struct stop *s UNUSED, struct sink_info *info, struct err *e UNUSED)
{
	snprintf(info->version, sizeof(info->version), "2.3.5");
	return ERR_OK;
}

static enum err_code fake_describe(struct sink *k UNUSED, const char *db UNUSED, const char *name,
	struct stop *s UNUSED, struct sink_collection *ret, struct err *e)
{
	if (strcmp(name, "c0") != 0)
		return err_set(e, ERR_NOT_FOUND, "no such collection");
	ret->id = 7;
	ret->shards_num = 1;
	ret->shards = xcalloc(1, sizeof(*ret->shards));
	ret->shards[0].pchannel = xstrdup("copy-rootcoord-dml_0");
	ret->shards[0].vchannel = xstrdup("copy-rootcoord-dml_0_7v0");
	return ERR_OK;
}

static char asked[256];

static enum err_code fake_replicate(struct sink *k UNUSED, const struct iov *request,
	int64_t deadline_ms UNUSED, struct stop *s UNUSED, struct mq_id *ret UNUSED, struct err *e)
{
	size_t n = MIN(request->bytes, sizeof(asked) - 1);

	memcpy(asked, request->v[0].p, MIN(n, request->v[0].n));
	return err_set_origin(e, ERR_UNCERTAIN, CODE_UNEXPECTED, "Local: Unknown partition");
}

static const struct sink_ops fake_sink = {.name = "fake",
	.connect = fake_connect,
	.describe = fake_describe,
	.replicate = fake_replicate};

/* ---- the queue: all topics are there, and nothing comes ---- */

static enum err_code fake_check(struct mq *q UNUSED, struct stop *s UNUSED, struct err *e UNUSED)
{
	return ERR_OK;
}

static enum err_code fake_latest(struct mq *q UNUSED, const char *topic UNUSED,
	struct stop *s UNUSED, struct mq_id *ret_id UNUSED, struct err *e UNUSED)
{
	return ERR_OK;
}

static enum err_code fake_open(struct mq *q UNUSED, const char *topic UNUSED,
	const struct mq_start *from UNUSED, struct stop *s UNUSED, struct mq_reader **ret UNUSED,
	struct err *e)
{
	return err_set(e, ERR_UNAVAILABLE, "no");
}

static const struct mq_ops fake_queue = {
	.name = "fake", .check = fake_check, .latest = fake_latest, .open = fake_open};

/* ---- */

static bool found(const struct doctor *d, const char *seen, enum doctor_code code)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->list[i].code == code && strstr(d->list[i].seen, seen))
			return true;
	return false;
}

static void visit(size_t most, struct doctor *d)
{
	struct sink k = {.ops = &fake_sink};
	struct doctor_env env = {.catalog = cat, .stop = &stop};
	CLEANUP(task_freep) struct task *t = task_new();
	struct task_collection all = {.name = (char[]){"*"}};

	t->collection_infos = &all;
	t->n_collection_infos = 1;
	t->has_collection_infos = true;
	doctor_sink(&env, t, &k, most, d);
	t->collection_infos = NULL; /* not the task's to free */
	t->n_collection_infos = 0;
}

static void test_a_target_without_its_topic(void **state UNUSED)
{
	CLEANUP(doctor_done) struct doctor d = {.n = 0};

	visit(COLLECTIONS, &d);
	assert_true(found(&d, "Unknown partition", DOCTOR_CODE_TARGET_CHANNEL));
	/* it asked for the topic that the target's channels tell */
	assert_non_null(strstr(asked + 2, "copy-replicate-msg"));
	doctor_drop_notes(&d);
	assert_false(found(&d, "", DOCTOR_CODE_TARGET_CHANNEL));
}

static void test_more_than_are_compared(void **state UNUSED)
{
	CLEANUP(doctor_done) struct doctor d = {.n = 0};
	CLEANUP(doctor_done) struct doctor all = {.n = 0};

	visit(2, &d);
	assert_true(found(&d, "3 of 5", DOCTOR_CODE_TARGET_LEFT));
	visit(COLLECTIONS, &all);
	assert_false(found(&all, "", DOCTOR_CODE_TARGET_LEFT));
}

static void test_a_queue_that_does_not_tell(void **state UNUSED)
{
	CLEANUP(doctor_done) struct doctor d = {.n = 0};
	struct mq q = {.ops = &fake_queue};
	struct config c = {.pulsar_address = (char[]){"p:1"},
		.has_pulsar = true,
		.replicate_channel = (char[]){"r"}};
	struct doctor_env env = {.config = &c, .catalog = cat, .mq = &q, .stop = &stop};

	doctor_queue(&env, &d);
	assert_true(found(&d, "does not tell", DOCTOR_CODE_QUEUE_RETENTION_UNKNOWN));
}

/* ---- */

static void put(const char *tail, struct buf *value)
{
	char key[160];
	struct err e = ERR_INIT;

	snprintf(key, sizeof(key), "by-dev/meta/root-coord/%s", tail);
	if (etcd_put(etcd, key, buf_slice(value), &stop, &e))
		fail_msg("%s", e.text);
	buf_done(value);
}

static void put_collection(int64_t id, const char *name)
{
	static const char *const fields[] = {"id", "vector"};
	struct buf b = BUF_INIT(1 << 16);
	char tail[96];

	for (int i = 0; i < 2; i++) {
		snprintf(tail, sizeof(tail), "fields/%lld/%d", (long long)id, 100 + i);
		cv_field(&b, 100 + i, fields[i]);
		put(tail, &b);
		buf_init(&b, 1 << 16);
	}
	cv_collection(&b, &(struct cv_collection){
				  .id = id, .name = name, .create_ts = (uint64_t)id, .shards = 2});
	snprintf(tail, sizeof(tail), "database/collection-info/1/%lld", (long long)id);
	put(tail, &b);
}

static int setup(void **state UNUSED)
{
	struct err e = ERR_INIT;
	const char *address = server.address;

	log_set_level(LOG_OFF);
	stop_init(&stop, NULL);
	if (grpc_new(&grpc, &e))
		return -1;
	etcd_server_start(&server);
	struct etcd_opts eo = {.endpoints = &address, .n_endpoints = 1};
	if (etcd_open(grpc, &eo, &etcd, &e))
		return -1;
	for (int i = 0; i < COLLECTIONS; i++)
		put_collection(10 + i, (char[]){'c', (char)('0' + i), 0});
	struct catalog_opts co = {.root_path = "by-dev", .meta_sub_path = "meta"};
	if (catalog_new(etcd, &co, &cat, &e) || catalog_start(cat, &e))
		return -1;
	return catalog_wait(cat, 0, deadline_in(WAIT_MS), &stop) ? 0 : -1;
}

static int teardown(void **state UNUSED)
{
	catalog_free(cat);
	etcd_close(etcd);
	etcd_server_stop(&server);
	grpc_free(grpc);
	stop_done(&stop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_target_without_its_topic),
		cmocka_unit_test(test_more_than_are_compared),
		cmocka_unit_test(test_a_queue_that_does_not_tell),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
