/* What this server tells of a task beyond the reference: `detail` of get and list, and the tasks of
 * /cdc/status.json. One table for docs/api.md and docs/openapi.yaml. */
#include "server/docs.h"

#include <string.h>

/* clang-format off */
static const struct {
	const char *name, *type, *doc;
} details[] = {
	{"lag_ms", "integer", "age of the source time up to which the target is equal; 0 when the source is still and all is there; null: not known, since the task's collections have not all started (or it is paused, and nothing was acknowledged yet). Collections that failed are not part of it"},
	{"catch_up_s", "integer", "until it has caught up, at the pace of the last minute; null: not known"},
	{"source_log_expires_s", "integer", "until the source's queue deletes what is read next; null: not known"},
	{"rows_behind", "integer", "rows read and not written"},
	{"bytes_behind", "integer", "their bytes"},
	{"rows_written", "integer", "rows written since the server started"},
	{"bytes_written", "integer", "bytes written since the server started"},
	{"collections", "integer", "collections of the task"},
	{"collection_states", "object", "how many are in which state"},
	{"waits_for", "string", "what the task waits for, and why collections failed; empty: nothing"},
	{"channels", "array", "of each channel pair: `source`, `target`, `head_ms` (time of the newest message at the source; null: not known), `read_to_end` (true: head_ms was read, false: it is the present time, since there is more), `read_ms`, `acked_ms` (read, and acknowledged by the target, up to that time), `streams`, `late_ms`"},
	{"late_streams", "array", "`collection`, `channel`, `late_ms`: streams behind their channel by more than `lateBound`; their rows get new times"},
	{"waiting_operations", "array", "`message`, `operation`, `held`, `reason`: operations that are retried, or held until `skip_operation`"},
	{"skipped_operations", "array", "the last 50 operations that could not be replicated"},
	{"skipped_operations_total", "integer", "how many there were since the task was started"},
	{"findings", "array", "the doctor's, at its last look at the task"},
	{"user_role", "string", "how the copy of users and roles goes"},
	{"excluded", "array", "collections left to other tasks"},
	{"on_unsupported_operation", "string", "skip or hold"},
	{"dry_run", "boolean", "true: nothing is written"},
};
/* clang-format on */

void api_detail_write_doc(struct buf *out)
{
	buf_put_str(out,
		"\n## A task's detail\n\n"
		"`detail` of get and list, and beside `task_id`, `target`, `state` and `reason` in "
		"the `tasks` of\n"
		"`GET /cdc/status.json`. A paused task has the first three and `findings` only.\n\n"
		"| Field | Type | Meaning |\n|---|---|---|\n");
	for (size_t i = 0; i < ARRAY_LEN(details); i++)
		buf_putf(out, "| `%s` | %s | %s |\n", details[i].name, details[i].type,
			details[i].doc);
	buf_put_str(out, "\n`status.json` itself has `version`, `uptime_s`, `time_ms`, `dry_run`, "
			 "`held_bytes` and\n"
			 "`memory_budget_bytes` (messages held between broker and "
			 "acknowledgement), `source` "
			 "and `store` with\n"
			 "a `status` that is empty when all is well.\n");
}

static void put_type(struct buf *out, const char *type)
{
	buf_putf(out, "          type: %s\n          nullable: true\n", type);
	if (strcmp(type, "array") == 0)
		buf_put_str(out, "          items: {}\n");
}

void api_detail_write_schema(struct buf *out)
{
	buf_put_str(out, "    Task:\n      type: object\n      properties:\n");
	for (size_t i = 0; i < ARRAY_LEN(details); i++) {
		buf_putf(out, "        %s:\n          description: '", details[i].name);
		for (const char *c = details[i].doc; *c; c++)
			buf_put_str(out, *c == '\'' ? "''" : (char[]){*c, 0});
		buf_put_str(out, "'\n");
		put_type(out, details[i].type);
	}
}
