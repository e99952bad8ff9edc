#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/thread.h"
#include "metrics/metric_row.h"
#include "metrics/metrics.h"
#include "metrics/process.h"

static int teardown(void **state)
{
	(void)state;
	metrics_done();
	return 0;
}

static char *exposition(void)
{
	struct buf b = BUF_INIT(64 << 20);
	metrics_write(&b);
	return buf_take(&b);
}

static void expect_lines(const char *const *lines, size_t n)
{
	char *text = exposition();
	for (size_t i = 0; i < n; i++)
		if (!strstr(text, lines[i]))
			fail_msg("missing: %s in\n%s", lines[i], text);
	free(text);
}

static void test_counter_and_gauge(void **state)
{
	static const char *const lines[] = {
		"# HELP milvus_cdc_task_num Tasks by state\n# TYPE milvus_cdc_task_num gauge\n"
		"milvus_cdc_task_num{task_state=\"Running\"} 3\n",
		"# TYPE milvus_cdc_request_total counter\n"
		"milvus_cdc_request_total{request_type=\"get\",request_status=\"total\"} 5\n",
		"milvus_cdc_readers -1\n",
	};

	(void)state;
	metrics_set(metrics_get(METRIC_task_num, "Running", NULL), 3);
	metrics_add(metrics_get(METRIC_request_total, "get", "total", NULL), 2);
	metrics_add(metrics_get(METRIC_request_total, "get", "total", NULL), 3);
	metrics_add(metrics_get(METRIC_readers, NULL), -1);
	assert_int_equal(metrics_value(metrics_get(METRIC_request_total, "get", "total", NULL)), 5);
	expect_lines(lines, ARRAY_LEN(lines));
}

static void test_values_are_escaped_and_apart(void **state)
{
	static const char *const lines[] = {"task_id=\"a\\\"b\\\\c\\nd\"} 7\n"};
	struct metric_series *x = metrics_get(METRIC_skipped_ops, "1:a", "b", NULL);

	(void)state;
	assert_ptr_not_equal(x, metrics_get(METRIC_skipped_ops, "1", "a1:b", NULL));
	assert_ptr_equal(x, metrics_get(METRIC_skipped_ops, "1:a", "b", NULL));
	metrics_set(metrics_get(METRIC_lag_ms, "a\"b\\c\nd", NULL), 7);
	expect_lines(lines, ARRAY_LEN(lines));
}

static void test_histogram(void **state)
{
	static const char *const lines[] = {
		"# TYPE milvus_cdc_request_latency histogram\n"
		"milvus_cdc_request_latency_bucket{request_type=\"get\",le=\"1\"} 2\n"
		"milvus_cdc_request_latency_bucket{request_type=\"get\",le=\"2\"} 2\n"
		"milvus_cdc_request_latency_bucket{request_type=\"get\",le=\"4\"} 3\n",
		"milvus_cdc_request_latency_bucket{request_type=\"get\",le=\"128\"} 3\n"
		"milvus_cdc_request_latency_bucket{request_type=\"get\",le=\"+Inf\"} 4\n"
		"milvus_cdc_request_latency_sum{request_type=\"get\"} 1005\n"
		"milvus_cdc_request_latency_count{request_type=\"get\"} 4\n",
	};
	struct metric_series *s = metrics_get(METRIC_request_latency, "get", NULL);

	(void)state;
	metrics_observe(s, 0.5);
	metrics_observe(s, 1);
	metrics_observe(s, 3.5);
	metrics_observe(s, 1000);
	expect_lines(lines, ARRAY_LEN(lines));
}

static void test_drop_removes_a_tasks_series(void **state)
{
	(void)state;
	metrics_set(metrics_get(METRIC_lag_ms, "t1", NULL), 1);
	metrics_set(metrics_get(METRIC_lag_ms, "t2", NULL), 2);
	metrics_add(metrics_get(METRIC_retries, "t1", "busy", NULL), 1);
	metrics_drop("task_id", "t1");
	char *text = exposition();
	assert_null(strstr(text, "t1"));
	assert_non_null(strstr(text, "milvus_cdc_lag_milliseconds{task_id=\"t2\"} 2\n"));
	assert_null(strstr(text, "milvus_cdc_retries_total"));
	free(text);
	assert_int_equal(metrics_value(metrics_get(METRIC_lag_ms, "t1", NULL)), 0);
}

/* A collection of a task is renamed, and forgotten: its handles live on, its old name ends. */
static void test_relabel_and_drop_of(void **state)
{
	struct metric_series *s =
		metrics_get(METRIC_replicate_data_cnt, "t", "5", "old", "write", "insert", NULL);
	const char *const mine[] = {"t", "5", NULL, NULL, NULL};

	(void)state;
	metrics_add(s, 3);
	metrics_add(
		metrics_get(METRIC_replicate_data_cnt, "t", "6", "old", "write", "insert", NULL),
		7);
	metrics_relabel(METRIC_replicate_data_cnt, mine, 2, "new");
	metrics_add(s, 1);
	char *text = exposition();
	assert_non_null(strstr(text, "collection_id=\"5\",collection_name=\"new\""));
	assert_null(strstr(text, "collection_id=\"5\",collection_name=\"old\""));
	assert_non_null(strstr(text, "collection_id=\"6\",collection_name=\"old\""));
	free(text);
	assert_ptr_equal(
		metrics_get(METRIC_replicate_data_cnt, "t", "5", "new", "write", "insert", NULL),
		s);
	assert_int_equal(metrics_value(s), 4);
	metrics_drop_of(METRIC_replicate_data_cnt, mine);
	text = exposition();
	assert_null(strstr(text, "collection_id=\"5\""));
	assert_non_null(strstr(text, "collection_id=\"6\""));
	free(text);
}

static void test_cap(void **state)
{
	char id[16];

	(void)state;
	for (int i = 0; i < 10000; i++) {
		snprintf(id, sizeof(id), "t%d", i);
		metrics_add(metrics_get(METRIC_lag_ms, id, NULL), 1);
	}
	metrics_add(metrics_get(METRIC_lag_ms, "x", NULL), 1);
	metrics_add(metrics_get(METRIC_lag_ms, "y", NULL), 1);
	metrics_add(metrics_get(METRIC_lag_ms, "t5", NULL), 1);
	metrics_drop("task_id", "overflow");
	assert_int_equal(metrics_value(metrics_get(METRIC_lag_ms, "overflow", NULL)), 2);
	assert_int_equal(metrics_value(metrics_get(METRIC_lag_ms, "t5", NULL)), 2);
}

static void add_many(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2000; i++) {
		char id[16];
		snprintf(id, sizeof(id), "t%d", i % 50);
		metrics_add(metrics_get(METRIC_late_rows, id, NULL), 1);
		metrics_observe(metrics_get(METRIC_request_latency, "list", NULL), 2);
	}
}

static void test_threads(void **state)
{
	struct thread t[4] = {{.started = false}};
	struct err e = ERR_INIT;
	int64_t sum = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(thread_start(&t[i], "adder", add_many, NULL, &e), ERR_OK);
	for (int i = 0; i < 5; i++)
		free(exposition());
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		thread_join(&t[i]);
	for (int i = 0; i < 50; i++) {
		char id[16];
		snprintf(id, sizeof(id), "t%d", i);
		sum += metrics_value(metrics_get(METRIC_late_rows, id, NULL));
	}
	assert_int_equal(sum, 8000);
	static const char *const lines[] = {
		"milvus_cdc_request_latency_sum{request_type=\"list\"} 16000\n"};
	expect_lines(lines, 1);
}

static double value_of(const char *text, const char *name)
{
	char line[128];
	snprintf(line, sizeof(line), "\n%s ", name);
	const char *at = strstr(text, line);
	if (!at)
		fail_msg("no %s in\n%s", name, text);
	return at ? strtod(at + strlen(line), NULL) : 0;
}

static void test_process(void **state)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(1 << 20);

	(void)state;
	process_metrics_write(&b);
	const char *text = buf_cstr(&b);
	assert_true(value_of(text, "process_resident_memory_bytes") > 100000);
	assert_true(value_of(text, "process_virtual_memory_bytes") > 100000);
	assert_true(value_of(text, "process_open_fds") >= 3);
	assert_true(value_of(text, "process_threads") >= 1);
	assert_true(value_of(text, "process_cpu_seconds_total") >= 0);
	double start = value_of(text, "process_start_time_seconds");
	assert_true(start > (double)time(NULL) - 300 && start < (double)time(NULL) + 5);
}

static void test_doc_has_every_metric(void **state)
{
	CLEANUP(buf_done)
	struct buf b = BUF_INIT(1 << 20);

	(void)state;
	metrics_doc_write(&b);
	for (size_t m = 0; m < METRIC_COUNT; m++)
		assert_non_null(strstr(buf_cstr(&b), metric_row((enum metric)m)->name));
	assert_non_null(strstr(buf_cstr(&b),
		"| `milvus_cdc_request_total` | counter | `request_type`, `request_status` | "));
	assert_non_null(strstr(buf_cstr(&b), "| `milvus_cdc_readers` | gauge | none | "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_counter_and_gauge, teardown),
		cmocka_unit_test_teardown(test_values_are_escaped_and_apart, teardown),
		cmocka_unit_test_teardown(test_histogram, teardown),
		cmocka_unit_test_teardown(test_drop_removes_a_tasks_series, teardown),
		cmocka_unit_test_teardown(test_relabel_and_drop_of, teardown),
		cmocka_unit_test_teardown(test_cap, teardown),
		cmocka_unit_test_teardown(test_threads, teardown),
		cmocka_unit_test(test_process),
		cmocka_unit_test(test_doc_has_every_metric),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
