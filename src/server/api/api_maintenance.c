/* Maintenance always succeeds; what came of it is the text in data.State, errors included. */
#include "server/api/api_priv.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

static void put_state(struct json_out *o, char *text)
{
	CLEANUP(freep)
	char *owned = text;
	json_out_str(o, "State", owned);
}

static bool component_parse(const char *name, enum log_comp *ret_c)
{
	for (size_t i = 0; i < LOG_COMP_COUNT; i++) {
		if (strcmp(log_comp_name((enum log_comp)i), name) == 0) {
			*ret_c = (enum log_comp)i;
			return true;
		}
	}
	return false;
}

static const char *text_param(const json_t *params, const char *name)
{
	const json_t *v = params ? json_object_get(params, name) : NULL;
	return v && json_is_string(v) ? json_string_value(v) : NULL;
}

/* With the parameter "component" only that part of the log changes. */
static void set_log_level(struct json_out *o, const json_t *params)
{
	const char *word = text_param(params, "log_level");
	const char *comp = text_param(params, "component");
	enum log_level level;
	enum log_comp c;

	if (!word) {
		put_state(o, xstrdup("log_level is required"));
	} else if (!log_level_parse(word, &level)) {
		put_state(o, xasprintf("parse log level failed: unrecognized level: \"%s\"", word));
	} else if (!comp) {
		log_set_level(level);
		put_state(o, xasprintf("set log level to %s", word));
	} else if (!component_parse(comp, &c)) {
		put_state(o, xasprintf("unknown component: \"%s\"", comp));
	} else {
		log_set_comp_level(c, level);
		put_state(o, xasprintf("set log level to %s", word));
	}
}

/* Go's spellings. */
static bool bool_parse(const char *s, bool *ret_v)
{
	static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
	static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (strcmp(yes[i], s) == 0 || strcmp(no[i], s) == 0) {
			*ret_v = strcmp(yes[i], s) == 0;
			return true;
		}
	}
	return false;
}

static void set_force(struct api_call *call, const json_t *params)
{
	const json_t *v = params ? json_object_get(params, "force") : NULL;
	const char *text = v ? json_string_value(v) : NULL;
	const struct api_engine *en = &call->a->engine;
	bool on = v && json_is_true(v);

	if (!v || json_is_null(v)) {
		put_state(call->ret, xstrdup("force is required"));
		return;
	}
	if (!json_is_boolean(v) && !(text && bool_parse(text, &on))) {
		put_state(call->ret, xasprintf("parse force failed: strconv.ParseBool: parsing "
					       "\"%s\": invalid syntax",
					     text ? text : "?"));
		return;
	}
	en->message_log_force(en->arg, on);
	put_state(call->ret, xasprintf("set force log msg to %s", on ? "true" : "false"));
}

/* A number or a text of digits; otherwise the answer is written and false comes back. */
static bool number_param(struct json_out *o, const json_t *params, const char *name, int64_t *ret_v)
{
	const json_t *v = params ? json_object_get(params, name) : NULL;

	if (!v || json_is_null(v)) {
		put_state(o, xasprintf("%s is required", name));
		return false;
	}
	if (json_is_integer(v)) {
		*ret_v = json_integer_value(v);
		return true;
	}
	if (json_is_string(v) && str_to_i64(json_string_value(v), ret_v))
		return true;
	put_state(o, xasprintf("parse %s failed: strconv.Atoi: parsing \"%s\": invalid syntax",
			     name, json_is_string(v) ? json_string_value(v) : "?"));
	return false;
}

static void reset_messages(struct api_call *call, const json_t *params)
{
	const struct api_engine *en = &call->a->engine;
	int64_t n, minutes;

	if (!number_param(call->ret, params, "count", &n) ||
		!number_param(call->ret, params, "duration", &minutes))
		return;
	en->message_log_reset(en->arg, n, minutes);
	put_state(call->ret, xasprintf("reset log msg count to %lld, duration to %lld",
				     (long long)n, (long long)minutes));
}

static void skip_operation(struct api_call *call, const json_t *params)
{
	const char *task = text_param(params, "task_id"), *message = text_param(params, "message");
	const struct api_engine *en = &call->a->engine;
	struct err e = ERR_INIT;

	if (!task || !message)
		put_state(call->ret, xasprintf("%s is required", task ? "message" : "task_id"));
	else if (en->skip_operation(en->arg, task, message, &e))
		put_state(call->ret, xasprintf("skip operation failed: %s", e.text));
	else
		put_state(call->ret, xasprintf("skipped operation %s of task %s", message, task));
}

static void repair(struct api_call *call, const json_t *params)
{
	const struct api_engine *en = &call->a->engine;
	const char *partition = text_param(params, "partition");
	struct api_repair r = {.task_id = text_param(params, "task_id"),
		.partition = partition ? partition : "",
		.keys = params ? json_object_get(params, "keys") : NULL};
	struct err e = ERR_INIT;

	if (!r.task_id || !json_is_array(r.keys))
		put_state(call->ret, xasprintf("%s is required", r.task_id ? "keys" : "task_id"));
	else if (!number_param(call->ret, params, "collection_id", &r.collection_id))
		return;
	else if (en->repair(en->arg, &r, &e))
		put_state(call->ret, xasprintf("repair failed: %s", e.text));
	else
		put_state(call->ret, xasprintf("repaired %zu rows", json_array_size(r.keys)));
}

enum err_code api_maintenance(struct api_call *call, struct err *e)
{
	const char *op = call->args.operation;
	const json_t *params = call->args.params;

	(void)e;
	if (strcmp(op, "set_log_level") == 0)
		set_log_level(call->ret, params);
	else if (strcmp(op, "set_force_log_msg") == 0)
		set_force(call, params);
	else if (strcmp(op, "reset_log_msg") == 0)
		reset_messages(call, params);
	else if (strcmp(op, "skip_operation") == 0)
		skip_operation(call, params);
	else if (strcmp(op, "repair") == 0)
		repair(call, params);
	else
		put_state(call->ret, xasprintf("unsupported operation: %s", op));
	return ERR_OK;
}
