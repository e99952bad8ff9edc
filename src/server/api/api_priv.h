/* What the files of the API share. */
#pragma once

#include "base/json.h"
#include "base/mutex.h"
#include "server/api/api.h"
#include "server/api/api_schema.h"
#include "server/config/config.h"

struct api {
	const struct config *c;
	struct api_engine engine;
	struct mutex mtx;
	struct cond cond; /* creating became false */
	bool creating;    /* under mtx: a create is between its look at the tasks and its end */
};

/* One decoded request. */
struct api_call {
	struct api *a;
	struct api_args args; /* all other requests */
	struct task *task;    /* create and doctor; the handler may take it */
	struct json_out *ret; /* the members of "data" go here */
};

/* Handlers fill ret; an error's text is what stands behind "error: ". */
NODISCARD enum err_code api_create(struct api_call *call, struct err *e);
NODISCARD enum err_code api_delete(struct api_call *call, struct err *e);
NODISCARD enum err_code api_pause(struct api_call *call, struct err *e);
NODISCARD enum err_code api_resume(struct api_call *call, struct err *e);
NODISCARD enum err_code api_get(struct api_call *call, struct err *e);
NODISCARD enum err_code api_position(struct api_call *call, struct err *e);
NODISCARD enum err_code api_list(struct api_call *call, struct err *e);
NODISCARD enum err_code api_maintenance(struct api_call *call, struct err *e);
NODISCARD enum err_code api_doctor(struct api_call *call, struct err *e);

/* The rules of create, in the order of docs/api.md. */
NODISCARD enum err_code api_create_validate(
	const struct task *t, const struct config *c, struct err *e);
/* Its last part: what name_mapping must be; most is the longest name in bytes. */
NODISCARD enum err_code api_create_check_mapping(const struct task *t, int64_t most, struct err *e);
/* Would a name of t be one on the target with a name of another task to it? What stands below a "*"
 * is asked of the catalog (run_resolve_start). */
NODISCARD enum err_code api_create_check_names(const struct task *t, struct task *const *others,
	size_t n_others, int64_t most, struct err *e);
/* Could a collection of a Milvus be called so, or is it "*"? */
bool api_name_possible(const char *name);
/* The request's start positions as records of task id, which must be set; the task's own copy of
 * the replicate channel's position is emptied, lest it win over later checkpoints. Freed by
 * store_positions_free. */
NODISCARD enum err_code api_create_positions(struct task *t, const struct config *c,
	struct store_positions **ret_list, size_t *ret_n, struct err *e);

/* A task as get (names sorted) or list (names as declared) show it; secrets stay out. extra is a
 * JSON object or "". */
void api_view_task(
	struct json_out *o, const char *key, const struct task *t, const char *extra, bool sorted);
