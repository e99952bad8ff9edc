/* The API before an engine that only remembers, and questions to it; for the tests of server/api/api.
 * One at a time: there is one engine, and the tests reach into it. */
#pragma once

#include "base/defs.h"
#include "model/task.h"
#include "store/store.h"

enum { FAKE_TASKS_MAX = 8 };

/* fail_* make such calls fail. */
struct fake_engine {
	struct task *tasks[FAKE_TASKS_MAX];
	size_t n;
	struct store_positions *pos;
	size_t n_pos;
	const char *warnings, *extra;
	enum err_code fail_check, fail_create, fail_list;
	int checked;
	bool forced;
	int64_t reset_count, reset_minutes;
};

extern struct fake_engine fake_engine;

/* For cmocka. */
int fake_engine_setup(void **state);
int fake_engine_teardown(void **state);

/* The replicate channel and the limits of the configuration: names of 20 bytes, 100 tasks. */
#define FAKE_CHANNEL "by-dev-replicate-msg"
void fake_engine_set_max_tasks(int64_t n);

struct task *fake_engine_find(const char *id);

/* The answer to one request (heap). */
char *ask_as(const char *method, const char *body);
/* Fails the test if the answer, without its line end, is another. */
void ask_expect(const char *body, const char *want);
void ask_expect_req(const char *type, const char *data, const char *want);
void ask_expect_fail(const char *type, const char *data, int code, const char *text);
/* Makes a task on http://h:19530; rest is the rest of request_data. */
void ask_create(const char *id, const char *rest);

#define URI "\"milvus_connect_param\":{\"uri\":\"http://h:19530\"}"
