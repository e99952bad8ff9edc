/* Frames of a real broker (test/vectors/pulsar) through the whole way from bytes to messages. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/pulsar/codec.h"
#include "client/pulsar/entry.h"
#include "support/vectors.h"

enum { MOST = 1 << 20 };

struct golden {
	struct slice file;
	struct slice rest; /* the payload part */
	struct pulsar_cmd cmd;
};

static struct golden golden_load(const char *name)
{
	CLEANUP(freep) char *file = xasprintf("%s.frame", name);
	struct golden g = {.file = vector_load("pulsar", file)};
	struct slice command;
	struct err e = ERR_INIT;
	size_t n;

	assert_non_null(g.file.p);
	assert_int_equal(pulsar_frame_size(g.file.p, MOST, &n, &e), ERR_OK);
	assert_int_equal(n, g.file.n - PULSAR_HEAD_BYTES);
	assert_int_equal(pulsar_frame_split(
				 slice_of(g.file.p + PULSAR_HEAD_BYTES, n), &command, &g.rest, &e),
		ERR_OK);
	assert_int_equal(pulsar_cmd_read(&g.cmd, command, &e), ERR_OK);
	return g;
}

static void test_answers(void **state UNUSED)
{
	struct golden g = golden_load("connected");

	assert_int_equal(g.cmd.type, PULSAR_CONNECTED);
	assert_true(slice_eq_str(g.cmd.version, "Pulsar Server3.0.7"));
	assert_int_equal(g.cmd.max_message_bytes, 5242880);
	vector_free(&g.file);
	g = golden_load("lookup_response");
	assert_int_equal(g.cmd.lookup, PULSAR_GO);
	assert_true(slice_eq_str(g.cmd.url, "pulsar://127.0.0.1:22300"));
	assert_true(g.cmd.authoritative && g.cmd.through_service_url && !g.cmd.failed);
	assert_int_equal(g.cmd.request, 2);
	vector_free(&g.file);
	g = golden_load("partitioned_metadata_response");
	assert_int_equal(g.cmd.partitions, 0);
	assert_true(g.cmd.has_request && g.cmd.request == 1 && !g.cmd.failed);
	vector_free(&g.file);
	g = golden_load("success");
	assert_true(g.cmd.type == PULSAR_SUCCESS && g.cmd.request == 3);
	vector_free(&g.file);
	g = golden_load("last_message_id_response");
	assert_int_equal(g.cmd.request, 4);
	assert_true(g.cmd.id.ledger == 1 && g.cmd.id.entry == 38 && g.cmd.id.batch == 0);
	assert_true(g.cmd.has_mark_delete && g.cmd.mark_delete.entry == UINT64_MAX);
	vector_free(&g.file);
	g = golden_load("close_consumer");
	assert_true(g.cmd.type == PULSAR_CLOSE_CONSUMER && g.cmd.consumer == 1);
	assert_false(g.cmd.has_request);
	vector_free(&g.file);
}

static void test_errors(void **state UNUSED)
{
	static const struct {
		const char *name;
		enum err_code code;
		const char *text;
	} cases[] = {{"error1", ERR_UNAVAILABLE, "ServiceNotReady: Namespace bundle for topic"},
		{"error2", ERR_NOT_FOUND, "TopicNotFound: Namespace not found"},
		{"error3", ERR_UNAVAILABLE, "MetadataError: Consumer not found"},
		{"error4", ERR_UNAVAILABLE, "MetadataError: Consumer not found"}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct golden g = golden_load(cases[i].name);
		struct err e = ERR_INIT;
		assert_true(g.cmd.failed && g.cmd.has_request);
		assert_int_equal(pulsar_cmd_error(&g.cmd, &e), cases[i].code);
		assert_memory_equal(e.text, cases[i].text, strlen(cases[i].text));
		vector_free(&g.file);
	}
}

/* The messages of a frame; es must be empty. */
static void decode(struct golden *g, struct pulsar_entries *es, uint32_t want)
{
	struct pulsar_msg *m = xcalloc(1, sizeof(*m) + g->rest.n);
	struct err e = ERR_INIT;
	uint32_t n;

	assert_int_equal(g->cmd.type, PULSAR_MESSAGE);
	assert_int_equal(g->cmd.id.partition, -1);
	m->id = g->cmd.id;
	m->n = g->rest.n;
	memcpy(m->bytes, g->rest.p, g->rest.n);
	m->payload = slice_of(m->bytes, m->n);
	list_init(&m->link);
	assert_int_equal(pulsar_entries_add(es, m, &PULSAR_EARLIEST, &n, &e), ERR_OK);
	assert_int_equal(n, want);
}

static void test_messages_of_milvus(void **state UNUSED)
{
	static const struct {
		const char *name;
		uint64_t entry;
	} cases[] = {{"message_create_collection1", 0}, {"message_time_tick1", 1},
		{"message_insert1", 19}, {"message_delete1", 20}, {"message_insert2", 22},
		{"message_drop_partition1", 28}, {"message_drop_collection1", 35}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct golden g = golden_load(cases[i].name);
		CLEANUP(freep) char *file = xasprintf("%s.message", cases[i].name);
		struct slice want = vector_load("pulsar", file);
		struct pulsar_entries es;
		pulsar_entries_init(&es);
		decode(&g, &es, 1);
		struct pulsar_msg *m = pulsar_entries_pop(&es);
		assert_non_null(m);
		assert_true(slice_eq(m->payload, want));
		assert_true(m->id.ledger == 1 && m->id.entry == cases[i].entry);
		assert_true(m->id.partition == 0 && m->id.batch == 0);
		assert_int_equal(m->properties, PULSAR_PROPERTIES_SINGLE);
		pulsar_msg_free(m);
		assert_null(pulsar_entries_pop(&es));
		pulsar_entries_done(&es);
		vector_free(&want);
		vector_free(&g.file);
	}
}

static void expect_numbered(struct pulsar_entries *es, uint32_t batch, int number)
{
	struct pulsar_msg *m = pulsar_entries_pop(es);
	char text[32], all[1024] = "";

	assert_non_null(m);
	snprintf(text, sizeof(text), "payload %d ", number);
	for (int i = 0; i < 20; i++)
		strncat(all, text, sizeof(all) - strlen(all) - 1);
	if (!slice_eq_str(m->payload, all))
		fail_msg("%.*s", (int)m->payload.n, (const char *)m->payload.p);
	assert_int_equal(m->id.batch, batch);
	snprintf(text, sizeof(text), "v%d", number);
	assert_true(slice_eq_str(pulsar_property(m->meta, m->properties, "k"), text));
	assert_true(slice_eq_str(pulsar_property(m->meta, m->properties, "msg_type"), "Insert"));
	pulsar_msg_free(m);
}

static void test_compressions_and_batches(void **state UNUSED)
{
	static const char *const kinds[] = {"none", "lz4", "zlib", "zstd", "snappy"};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		CLEANUP(freep) char *single = xasprintf("single_%s", kinds[i]);
		CLEANUP(freep) char *batch = xasprintf("batch3_%s", kinds[i]);
		struct golden one = golden_load(single), three = golden_load(batch);
		struct pulsar_entries es;
		pulsar_entries_init(&es);
		decode(&one, &es, 1);
		expect_numbered(&es, 0, 0);
		decode(&three, &es, 3);
		for (uint32_t k = 0; k < 3; k++)
			expect_numbered(&es, k, (int)k);
		assert_true(pulsar_entries_empty(&es));
		pulsar_entries_done(&es);
		vector_free(&one.file);
		vector_free(&three.file);
	}
}

/* Every byte of a real entry is covered by the checksum or by what checks itself. */
static void test_any_damaged_byte_is_seen(void **state UNUSED)
{
	struct golden g = golden_load("message_insert1");

	for (size_t i = 2; i < g.rest.n; i++) {
		struct pulsar_msg *m = xcalloc(1, sizeof(*m) + g.rest.n);
		struct pulsar_entries es;
		struct err e = ERR_INIT;
		uint32_t n;
		memcpy(m->bytes, g.rest.p, g.rest.n);
		m->bytes[i] ^= 0x10;
		m->n = g.rest.n;
		m->payload = slice_of(m->bytes, m->n);
		list_init(&m->link);
		pulsar_entries_init(&es);
		assert_int_equal(
			pulsar_entries_add(&es, m, &PULSAR_EARLIEST, &n, &e), ERR_MALFORMED);
		pulsar_entries_done(&es);
	}
	vector_free(&g.file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_messages_of_milvus),
		cmocka_unit_test(test_compressions_and_batches),
		cmocka_unit_test(test_any_damaged_byte_is_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
