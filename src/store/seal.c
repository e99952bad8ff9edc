#include "store/seal.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "store/record.h"

/* What is done to one credential: *text is replaced. */
typedef enum err_code secret_fn(
	const struct vault *v, const char *context, char **text, struct err *e);

static enum err_code one(const struct vault *v, const struct task *t, const char *name, char **text,
	secret_fn *fn, struct err *e)
{
	CLEANUP(freep) char *context = xasprintf("%s\n%s", t->id, name);

	if (!**text)
		return ERR_OK;
	return fn(v, context, text, e) ? err_ctx(e, "the %s of task %s", name, t->id) : ERR_OK;
}

static enum err_code each(const struct vault *v, struct task *t, secret_fn *fn, struct err *e)
{
	struct task_kafka *k = &t->kafka;

	if (one(v, t, "password", &t->milvus.password, fn, e) ||
		one(v, t, "token", &t->milvus.token, fn, e) ||
		one(v, t, "SASL password", &k->sasl_password, fn, e))
		return e->code;
	for (size_t i = 0; i < k->n_settings; i++) {
		CLEANUP(freep) char *name = xasprintf("setting %s", k->settings[i].key);
		if (one(v, t, name, &k->settings[i].value, fn, e))
			return e->code;
	}
	return ERR_OK;
}

static void replace(char **text, char *with)
{
	free(*text);
	*text = with;
}

static enum err_code seal_one(
	const struct vault *v, const char *context, char **text, struct err *e)
{
	char *sealed = NULL;

	if (vault_is_sealed(*text))
		return err_set(e, ERR_INVALID, "begins like an encrypted one; it can't be stored");
	if (!v)
		return ERR_OK;
	if (vault_seal(v, context, *text, &sealed, e))
		return e->code;
	replace(text, sealed);
	return ERR_OK;
}

static enum err_code unseal_one(
	const struct vault *v, const char *context, char **text, struct err *e)
{
	char *plain = NULL;

	if (!vault_is_sealed(*text))
		return ERR_OK;
	if (vault_unseal(v, context, *text, &plain, e))
		return e->code;
	replace(text, plain);
	return ERR_OK;
}

static enum err_code look_one(
	const struct vault *v, UNUSED const char *context, char **text, struct err *e)
{
	return vault_is_current(v, *text) ? ERR_OK : err_set(e, ERR_NOT_FOUND, "not current");
}

enum err_code seal_task(const struct vault *v, struct task *t, struct err *e)
{
	return each(v, t, seal_one, e);
}

enum err_code unseal_task(const struct vault *v, struct task *t, struct err *e)
{
	return each(v, t, unseal_one, e);
}

bool seal_is_current(const struct vault *v, struct task *t)
{
	struct err e = ERR_INIT;
	return each(v, t, look_one, &e) == ERR_OK;
}

static enum err_code change_text(
	const struct vault *v, const char *text, secret_fn *fn, char **ret, struct err *e)
{
	CLEANUP(task_freep) struct task *t = NULL;
	CLEANUP(buf_done) struct buf b = BUF_INIT(LIMIT_RECORD);

	if (record_task_decode(slice_str(text), &t, e) || each(v, t, fn, e) ||
		record_task_merge(&b, slice_str(text), t, e))
		return e->code;
	buf_put_u8(&b, '\0');
	if (buf_failed(&b))
		return err_set(e, ERR_LIMIT, "the record of task %s is too large", t->id);
	*ret = buf_take(&b);
	return ERR_OK;
}

enum err_code seal_text(const struct vault *v, const char *text, char **ret, struct err *e)
{
	return change_text(v, text, seal_one, ret, e);
}

enum err_code unseal_text(const struct vault *v, const char *text, char **ret, struct err *e)
{
	return change_text(v, text, unseal_one, ret, e);
}
