#include "support/fake_engine.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "server/api/api.h"
#include "server/config/config.h"

static char text0[] = "";
static char chan0[] = FAKE_CHANNEL;
struct fake_engine fake_engine;
static struct config conf;
static struct api *api;

struct task *fake_engine_find(const char *id)
{
	for (size_t i = 0; i < fake_engine.n; i++)
		if (strcmp(fake_engine.tasks[i]->id, id) == 0)
			return fake_engine.tasks[i];
	return NULL;
}

static enum err_code fake_check(void *arg, const struct task *t, struct err *e)
{
	(void)arg;
	(void)t;
	__atomic_fetch_add(&fake_engine.checked, 1, __ATOMIC_RELAXED);
	return fake_engine.fail_check
		       ? err_set(e, fake_engine.fail_check, "fail to connect the milvus: no route")
		       : ERR_OK;
}

static enum err_code fake_skip(void *arg, const char *id, const char *message, struct err *e)
{
	(void)arg;
	if (!fake_engine_find(id) || strcmp(message, "AQ==") != 0)
		return err_set(e, ERR_NOT_FOUND, "no operation with this message is waiting");
	return ERR_OK;
}

static void drop_positions(void)
{
	store_positions_free(fake_engine.pos, fake_engine.n_pos);
	fake_engine.pos = NULL;
	fake_engine.n_pos = 0;
}

static enum err_code fake_create(void *arg, struct task *t, const struct store_positions *pos,
	size_t n_pos, struct buf *warnings, struct err *e)
{
	(void)arg;
	if (fake_engine.fail_create || fake_engine.n == FAKE_TASKS_MAX) {
		task_free(t);
		return err_set(e, fake_engine.fail_create, "fail to new the meta op");
	}
	drop_positions();
	fake_engine.pos = xcalloc(n_pos + 1, sizeof(*fake_engine.pos));
	for (size_t i = 0; i < n_pos; i++)
		store_positions_copy(&fake_engine.pos[i], &pos[i]);
	fake_engine.n_pos = n_pos;
	if (fake_engine.warnings)
		buf_put_str(warnings, fake_engine.warnings);
	t->state = TASK_RUNNING;
	fake_engine.tasks[fake_engine.n++] = t;
	return ERR_OK;
}

static enum err_code fake_remove(void *arg, const char *id, struct err *e)
{
	(void)arg;
	for (size_t i = 0; i < fake_engine.n; i++) {
		if (strcmp(fake_engine.tasks[i]->id, id) != 0)
			continue;
		task_free(fake_engine.tasks[i]);
		fake_engine.tasks[i] = fake_engine.tasks[--fake_engine.n];
		return ERR_OK;
	}
	return err_set(e, ERR_NOT_FOUND, "not found the task, task_id: %s", id);
}

static enum err_code set_state(
	const char *id, enum task_state from, enum task_state to, const char *word, struct err *e)
{
	struct task *t = fake_engine_find(id);
	if (!t)
		return err_set(e, ERR_NOT_FOUND, "not found the task, task_id: %s", id);
	if (t->state != from)
		return err_set(e, ERR_INVALID, "the task has %s, task_id: %s", word, id);
	t->state = to;
	free(t->reason);
	t->reason = xstrdup(to == TASK_PAUSED ? "manually pause through http interface" : "");
	return ERR_OK;
}

static enum err_code fake_pause(void *arg, const char *id, struct err *e)
{
	(void)arg;
	return set_state(id, TASK_RUNNING, TASK_PAUSED, "paused", e);
}

static enum err_code fake_resume(void *arg, const char *id, struct err *e)
{
	(void)arg;
	return set_state(id, TASK_PAUSED, TASK_RUNNING, "running", e);
}

static enum err_code fake_get(
	void *arg, const char *id, struct task **ret_t, char **ret_extra, struct err *e)
{
	(void)arg;
	if (!fake_engine_find(id))
		return err_set(e, ERR_NOT_FOUND, "no such task");
	*ret_t = task_copy(fake_engine_find(id));
	*ret_extra = xstrdup(fake_engine.extra ? fake_engine.extra : "");
	return ERR_OK;
}

static enum err_code fake_list(
	void *arg, struct task ***ret_list, char ***ret_extras, size_t *ret_n, struct err *e)
{
	(void)arg;
	if (fake_engine.fail_list)
		return err_set(e, fake_engine.fail_list, "the store is away");
	*ret_list = xcalloc(FAKE_TASKS_MAX, sizeof(struct task *));
	*ret_extras = xcalloc(FAKE_TASKS_MAX, sizeof(char *));
	for (size_t i = 0; i < fake_engine.n; i++) {
		(*ret_list)[i] = task_copy(fake_engine.tasks[i]);
		(*ret_extras)[i] = xstrdup(fake_engine.extra ? fake_engine.extra : "");
	}
	*ret_n = fake_engine.n;
	return ERR_OK;
}

static enum err_code fake_positions(
	void *arg, const char *id, struct store_positions **ret_list, size_t *ret_n, struct err *e)
{
	(void)arg;
	(void)e;
	*ret_list = xcalloc(fake_engine.n_pos + 1, sizeof(**ret_list));
	*ret_n = 0;
	for (size_t i = 0; i < fake_engine.n_pos; i++)
		if (!*id || strcmp(fake_engine.pos[i].task_id, id) == 0)
			store_positions_copy(&(*ret_list)[(*ret_n)++], &fake_engine.pos[i]);
	return ERR_OK;
}

static enum err_code fake_doctor(
	void *arg, const struct task *t, struct json_out *ret, struct err *e)
{
	(void)arg;
	if (strcmp(t->id, "absent") == 0)
		return err_set(e, ERR_NOT_FOUND, "not found the task, task_id: absent");
	json_out_str(ret, "looked_at", *t->id ? t->id : *t->milvus.uri ? "new" : "all");
	return ERR_OK;
}

static enum err_code fake_repair(void *arg, const struct api_repair *r, struct err *e)
{
	(void)arg;
	if (strcmp(r->task_id, "absent") == 0)
		return err_set(e, ERR_NOT_FOUND, "not found the task, task_id: absent");
	return r->collection_id == 7 ? ERR_OK : err_set(e, ERR_INVALID, "collection, not 7");
}

static char *fake_findings(void *arg, const char *id)
{
	(void)arg;
	return xstrdup(strcmp(id, "ill") == 0 ? "\"findings\":[{\"code\":\"DOC-X\"}]" : "");
}

static void fake_force(void *arg, bool on)
{
	(void)arg;
	fake_engine.forced = on;
}

static void fake_reset(void *arg, int64_t count, int64_t minutes)
{
	(void)arg;
	fake_engine.reset_count = count;
	fake_engine.reset_minutes = minutes;
}

void fake_engine_set_max_tasks(int64_t n)
{
	conf.max_task_num = n;
}

int fake_engine_setup(void **state)
{
	static const struct api_engine vt = {.check_target = fake_check,
		.create = fake_create,
		.doctor = fake_doctor,
		.findings = fake_findings,
		.remove = fake_remove,
		.pause = fake_pause,
		.resume = fake_resume,
		.get = fake_get,
		.list = fake_list,
		.positions = fake_positions,
		.skip_operation = fake_skip,
		.repair = fake_repair,
		.message_log_force = fake_force,
		.message_log_reset = fake_reset};
	struct err e = ERR_INIT;

	(void)state;
	log_set_level(LOG_OFF);
	fake_engine = (struct fake_engine){.n = 0};
	conf = (struct config){.max_task_num = 100,
		.max_name_length = 20,
		.replicate_channel = chan0,
		.address = text0};
	return api_new(&conf, &vt, &api, &e) ? -1 : 0;
}

int fake_engine_teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < fake_engine.n; i++)
		task_free(fake_engine.tasks[i]);
	drop_positions();
	api_free(api);
	metrics_done();
	return 0;
}

char *ask_as(const char *method, const char *body)
{
	struct buf b = BUF_INIT(1 << 20);
	api_handle(api, method, slice_str(body), &b);
	return buf_take(&b);
}

void ask_expect(const char *body, const char *want)
{
	CLEANUP(freep)
	char *got = ask_as("POST", body);
	size_t n = strlen(got);

	assert_true(n && got[n - 1] == '\n');
	got[n - 1] = '\0';
	if (strcmp(got, want) != 0)
		fail_msg("%s\n got %s\nwant %s", body, got, want);
}

/* request_data of a type; the whole answer. */
void ask_expect_req(const char *type, const char *data, const char *want)
{
	CLEANUP(freep)
	char *body = xasprintf("{\"request_type\":\"%s\",\"request_data\":%s}", type, data);
	ask_expect(body, want);
}

void ask_expect_fail(const char *type, const char *data, int code, const char *text)
{
	CLEANUP(freep)
	char *want =
		xasprintf("{\"code\":%d,\"message\":\"fail to handle the %s request, error: %s\"}",
			code, type, text);
	ask_expect_req(type, data, want);
}

void ask_create(const char *id, const char *rest)
{
	CLEANUP(freep)
	char *data = xasprintf("{\"task_id\":\"%s\"," URI ",%s}", id, rest);
	CLEANUP(freep)
	char *want = xasprintf("{\"code\":200,\"data\":{\"task_id\":\"%s\"}}", id);
	ask_expect_req("create", data, want);
}
