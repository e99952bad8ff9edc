/* The topics of the source's collections, and how long the queue keeps them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "source/catalog_priv.h"
#include "source/mq.h"
#include "source/topics.h"
#include "support/catalog_values.h"

enum { WEEK_MS = 7 * 24 * 3600 * 1000, HOUR_MS = 3600 * 1000 };

/* dml_1 keeps its messages for an hour, dml_0 for a week, all others for ever. */
static enum err_code retention(struct mq *q UNUSED, const char *const *topics, size_t n,
	struct stop *s UNUSED, int64_t *ret_ms, struct err *e UNUSED)
{
	for (size_t i = 0; i < n; i++)
		ret_ms[i] = strstr(topics[i], "dml_1")   ? HOUR_MS
			    : strstr(topics[i], "dml_0") ? WEEK_MS
							 : -1;
	return ERR_OK;
}

static enum err_code refuse(struct mq *q UNUSED, const char *const *topics UNUSED, size_t n UNUSED,
	struct stop *s UNUSED, int64_t *ret_ms UNUSED, struct err *e)
{
	return err_set(e, ERR_DENIED, "not for you");
}

static void put_value(struct catalog *c, const char *tail, const struct buf *value) NO_TSA
{
	CLEANUP(freep) char *key = xasprintf("by-dev/meta/root-coord/%s", tail);
	struct etcd_kv kv = {.key = key,
		.key_n = strlen(key),
		.value = buf_slice(value),
		.mod_revision = 1,
		.version = 1};

	catalog_apply_put(c, &kv, false);
}

/* A collection without fields would not be there yet. */
static void put(struct catalog *c, int64_t id, int state, int shards) NO_TSA
{
	CLEANUP(buf_done) struct buf value = BUF_INIT(4096);
	CLEANUP(buf_done) struct buf field = BUF_INIT(4096);
	CLEANUP(freep) char *info = xasprintf("database/collection-info/1/%d", (int)id);
	CLEANUP(freep) char *key = xasprintf("fields/%d/100", (int)id);

	cv_field(&field, 100, "id");
	cv_collection(&value, &(struct cv_collection){.id = id,
				      .name = "c",
				      .state = state,
				      .create_ts = (uint64_t)id,
				      .shards = shards});
	put_value(c, key, &field);
	put_value(c, info, &value);
}

static struct topics topics_with(int first_state, int second_state) NO_TSA
{
	struct catalog_opts o = {.root_path = "by-dev", .meta_sub_path = "meta"};
	struct err e = ERR_INIT;
	struct catalog *c;
	struct topics t;

	log_set_level(LOG_OFF);
	assert_int_equal(catalog_new(NULL, &o, &c, &e), ERR_OK);
	mutex_lock(&c->mtx);
	put(c, 10, first_state, 2);
	put(c, 20, second_state, 3);
	catalog_publish(c, false);
	mutex_unlock(&c->mtx);
	topics_of(&t, c);
	catalog_free(c);
	return t;
}

static void test_each_topic_once(void **state UNUSED)
{
	enum { CREATED = 0, CREATING = 1, DROPPING = 2 };
	struct topics t = topics_with(CREATED, CREATED);

	assert_int_equal(t.n, 3);
	assert_string_equal(t.v[2], "by-dev-rootcoord-dml_2");
	topics_done(&t);
	t = topics_with(CREATED, DROPPING);
	assert_int_equal(t.n, 2);
	topics_done(&t);
	t = topics_with(CREATING, DROPPING);
	assert_int_equal(t.n, 0);
	topics_done(&t);
}

static void test_the_shortest_retention_counts(void **state UNUSED)
{
	char v[3][CHANNEL_BYTES] = {"dml_2", "dml_0", "dml_1"};
	struct topics t = {.v = v};
	struct mq_ops ops = {.retention = retention};
	struct mq q = {.ops = &ops};
	const int64_t want[] = {INT64_MAX, INT64_MAX, WEEK_MS, HOUR_MS};
	const char *topic = "";
	struct err e = ERR_INIT;
	struct stop s;

	stop_init(&s, NULL);
	for (t.n = 0; t.n < ARRAY_LEN(want); t.n++)
		assert_true(topics_retention_ms(&t, &q, &s, &topic, &e) == want[t.n]);
	assert_string_equal(topic, "dml_1");
	t.n = 1;
	ops.retention = refuse;
	assert_int_equal(topics_retention_ms(&t, &q, &s, &topic, &e), -1);
	assert_string_equal(e.text, "not for you");
	ops.retention = NULL;
	assert_int_equal(topics_retention_ms(&t, &q, &s, &topic, &e), -1);
	stop_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_topic_once),
		cmocka_unit_test(test_the_shortest_retention_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
