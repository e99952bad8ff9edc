/* The HTTP API on POST /cdc: parsing, validation, answers (docs/api.md). What a request
 * does is asked of the engine through a vtable, so the API is tested without peers. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "model/task.h"
#include "store/store.h"

struct api;
struct config;
struct json_out;

/* Rows of a collection that are to be made what they are at the source. Borrowed. */
struct api_repair {
	const char *task_id;
	int64_t collection_id; /* of the source */
	const char *partition; /* "" = the collection has one only */
	const json_t *keys;    /* a list of numbers or texts */
};

/* What the API needs of the replication engine. Calls block; they answer when the change is done
 * and stored. Error texts are the contract's, code INVALID etc. = 400, SYSTEM etc. = 500 by
 * err_http; api adds "fail to handle the <type> request, error: ". */
struct api_engine {
	void *arg;
	/* Is the target reachable with these parameters? ERR_UNAVAILABLE text "fail to connect the
	 * milvus: <e>". */
	enum err_code (*check_target)(void *arg, const struct task *t, struct err *e);
	/* Takes t (also on failure). Positions are those of the request, already decoded. Starts
	 * it; warnings (a line each) may be appended. On failure nothing of the task is left. */
	enum err_code (*create)(void *arg, struct task *t, const struct store_positions *pos,
		size_t n_pos, struct buf *warnings, struct err *e);
	/* What the doctor found when the task was created or looked at last: JSON members for the
	 * answer of create, "" if nothing. Heap. */
	char *(*findings)(void *arg, const char *id);
	enum err_code (*remove)(void *arg, const char *id, struct err *e);
	enum err_code (*pause)(void *arg, const char *id, struct err *e);
	enum err_code (*resume)(void *arg, const char *id, struct err *e);
	/* Copies of one or all tasks with their present state and reason; extra (may be "") is a
	 * JSON object text with our own fields: what the task waits for, lag, skipped
	 * operations. */
	enum err_code (*get)(
		void *arg, const char *id, struct task **ret_t, char **ret_extra, struct err *e);
	enum err_code (*list)(void *arg, struct task ***ret_list, char ***ret_extras, size_t *ret_n,
		struct err *e);
	/* From memory where a task runs (fresher than the store), else from the store; id "" =
	 * all. */
	enum err_code (*positions)(void *arg, const char *id, struct store_positions **ret_list,
		size_t *ret_n, struct err *e);
	/* Looks at everything t needs: a new task with a target, a stored one by its id, or all
	 * tasks if t has neither. NOT_FOUND: no such task. The members of the answer go to ret. */
	enum err_code (*doctor)(
		void *arg, const struct task *t, struct json_out *ret, struct err *e);
	/* Maintenance: skips one operation that is held or waits, by its message id in base64. */
	enum err_code (*skip_operation)(
		void *arg, const char *id, const char *message, struct err *e);
	/* Maintenance: done when the target has taken the rows. */
	enum err_code (*repair)(void *arg, const struct api_repair *r, struct err *e);
	/* Maintenance: force or reset the message log. */
	void (*message_log_force)(void *arg, bool on);
	void (*message_log_reset)(void *arg, int64_t count, int64_t minutes);
};

NODISCARD enum err_code api_new(
	const struct config *c, const struct api_engine *engine, struct api **ret_a, struct err *e);
void api_free(struct api *a);

/* Handles one request body; the answer (JSON and "\n") is appended to ret. Always HTTP 200.
 * @thread any, several at once; the engine's calls are serialised per task by the engine */
void api_handle(struct api *a, const char *method, struct slice body, struct buf *ret);

/* Whether the body is a request that changes nothing, for who may only look. What is no request at
 * all changes nothing either. @thread any */
bool api_only_reads(struct slice body);

/* The answer to what never became a request: too large, unreadable. status is the label of the
 * counter (type "unknown"). @thread any */
void api_refuse(struct buf *ret, int code, const char *why, const char *status);
