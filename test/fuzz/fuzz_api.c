/* Any bytes as the body of POST /cdc, before an engine that keeps nothing: one line of JSON comes
 * back. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/api/api.h"
#include "server/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err_code check(void *arg, const struct task *t, struct err *e)
{
	(void)arg;
	(void)t;
	(void)e;
	return ERR_OK;
}

static enum err_code create(void *arg, struct task *t, const struct store_positions *pos, size_t n,
	struct buf *warnings, struct err *e)
{
	(void)arg;
	(void)e;
	for (size_t i = 0; i < n; i++)
		buf_putf(warnings, "%s\n", pos[i].collection_name);
	task_free(t);
	return ERR_OK;
}

static enum err_code by_id(void *arg, const char *id, struct err *e)
{
	(void)arg;
	return err_set(e, ERR_NOT_FOUND, "not found the task, task_id: %s", id);
}

static struct task *sample(const char *id)
{
	struct task *t = task_new();

	free(t->id);
	t->id = xstrdup(id);
	free(t->milvus.uri);
	t->milvus.uri = xstrdup("http://h:1");
	t->dbs = xcalloc(1, sizeof(*t->dbs));
	t->n_dbs = 1;
	t->has_dbs = true;
	t->dbs[0].db = xstrdup("d");
	t->dbs[0].collections = xcalloc(1, sizeof(struct task_collection));
	t->dbs[0].n_collections = 1;
	t->dbs[0].collections[0].name = xstrdup("*");
	return t;
}

static enum err_code get(
	void *arg, const char *id, struct task **ret_t, char **ret_extra, struct err *e)
{
	(void)arg;
	(void)e;
	*ret_t = sample(id);
	*ret_extra = xstrdup("");
	return ERR_OK;
}

static enum err_code list(
	void *arg, struct task ***ret_list, char ***ret_extras, size_t *ret_n, struct err *e)
{
	(void)arg;
	(void)e;
	*ret_list = xcalloc(1, sizeof(struct task *));
	(*ret_list)[0] = sample("x");
	*ret_extras = xcalloc(1, sizeof(char *));
	*ret_n = 1;
	return ERR_OK;
}

static enum err_code positions(
	void *arg, const char *id, struct store_positions **ret_list, size_t *ret_n, struct err *e)
{
	(void)arg;
	(void)id;
	(void)e;
	*ret_list = NULL;
	*ret_n = 0;
	return ERR_OK;
}

static enum err_code skip(void *arg, const char *id, const char *message, struct err *e)
{
	(void)arg;
	(void)id;
	(void)message;
	return err_set(e, ERR_NOT_FOUND, "none");
}

static enum err_code doctor(void *arg, const struct task *t, struct json_out *ret, struct err *e)
{
	(void)arg;
	(void)e;
	json_out_str(ret, "looked_at", t->id);
	return ERR_OK;
}

static char *findings(void *arg, const char *id)
{
	(void)arg;
	(void)id;
	return xstrdup("");
}

static void force(void *arg, bool on)
{
	(void)arg;
	(void)on;
}

static void reset(void *arg, int64_t count, int64_t minutes)
{
	(void)arg;
	(void)count;
	(void)minutes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct api_engine vt = {.check_target = check,
		.create = create,
		.doctor = doctor,
		.findings = findings,
		.remove = by_id,
		.pause = by_id,
		.resume = by_id,
		.get = get,
		.list = list,
		.positions = positions,
		.skip_operation = skip,
		.message_log_force = force,
		.message_log_reset = reset};
	static char channel[] = "c";
	static const struct config conf = {
		.max_task_num = 10, .max_name_length = 8, .replicate_channel = channel};
	CLEANUP(buf_done)
	struct buf out = BUF_INIT(64 << 20);
	CLEANUP(json_in_freep)
	json_t *j = NULL;
	struct api *a = NULL;
	struct err e = ERR_INIT;

	log_set_level(LOG_OFF);
	if (api_new(&conf, &vt, &a, &e))
		return 0;
	api_handle(a, "POST", slice_of(data, size), &out);
	api_free(a);
	log_set_level(LOG_OFF);
	assert(out.n && out.p[out.n - 1] == '\n');
	/* What the request held comes back escaped; only cut UTF-8 may make the text unreadable. */
	enum err_code code = json_in_parse(buf_slice(&out), &j, &e);
	(void)code;
	return 0;
}
