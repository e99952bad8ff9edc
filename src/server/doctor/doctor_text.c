/* The findings as people and programs read them, and the page of all codes. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "server/docs.h"
#include "server/doctor/doctor.h"

enum { CODE_COLUMN = 28 };

static const char *fix_of(const struct finding *f)
{
	return f->fix ? f->fix : doctor_rows[f->code].fix;
}

static void put_finding(const struct finding *f, struct buf *out)
{
	const struct doctor_row *r = &doctor_rows[f->code];

	buf_putf(out, "%-8s %-*s %s\n", doctor_severity_name(r->severity), CODE_COLUMN, r->code,
		f->subject);
	buf_putf(out, "         seen   %s\n         means  %s\n         fix    %s\n", f->seen,
		r->means, fix_of(f));
}

static void put_count(struct buf *out, size_t n, const char *what, const char *before)
{
	buf_putf(out, "%s%zu %s%s", before, n, what, n == 1 ? "" : "s");
}

void doctor_write_text(const struct doctor *d, struct buf *out)
{
	for (size_t i = 0; i < d->n_facts; i++)
		buf_putf(out, "%-8s %-*s %s\n", "ok", CODE_COLUMN, d->facts[i].subject,
			d->facts[i].seen);
	for (int s = DOCTOR_ERROR; s >= DOCTOR_NOTE; s--)
		for (size_t i = 0; i < d->n; i++)
			if (doctor_rows[d->list[i].code].severity == (enum doctor_severity)s)
				put_finding(&d->list[i], out);
	put_count(out, doctor_count(d, DOCTOR_ERROR), "error", "");
	put_count(out, doctor_count(d, DOCTOR_WARNING), "warning", ", ");
	put_count(out, doctor_count(d, DOCTOR_NOTE), "note", ", ");
	if (d->left_out)
		put_count(out, d->left_out, "more finding", ", and ");
	buf_put_str(out, "\n");
}

void doctor_write_json(const struct doctor *d, bool with_facts, struct json_out *o)
{
	json_out_open(o, "findings", '[');
	for (size_t i = 0; i < d->n; i++) {
		const struct finding *f = &d->list[i];
		const struct doctor_row *r = &doctor_rows[f->code];
		json_out_open(o, NULL, '{');
		json_out_str(o, "code", r->code);
		json_out_str(o, "severity", doctor_severity_name(r->severity));
		json_out_str(o, "subject", f->subject);
		json_out_str(o, "seen", f->seen);
		json_out_str(o, "means", r->means);
		json_out_str(o, "fix", fix_of(f));
		json_out_close(o, '}');
	}
	json_out_close(o, ']');
	if (!with_facts)
		return;
	json_out_open(o, "in_order", '[');
	for (size_t i = 0; i < d->n_facts; i++) {
		json_out_open(o, NULL, '{');
		json_out_str(o, "subject", d->facts[i].subject);
		json_out_str(o, "seen", d->facts[i].seen);
		json_out_close(o, '}');
	}
	json_out_close(o, ']');
	json_out_u64(o, "errors", doctor_count(d, DOCTOR_ERROR));
	json_out_u64(o, "warnings", doctor_count(d, DOCTOR_WARNING));
	json_out_u64(o, "notes", doctor_count(d, DOCTOR_NOTE));
	json_out_u64(o, "left_out", d->left_out);
}

static void put_head(struct buf *out)
{
	buf_put_str(out,
		"# Doctor\n\n"
		"<!-- Made by `milvus-cdc print-docs doctor`; change "
		"src/server/doctor/doctor_table.h "
		"-->\n"
		"\n"
		"Looks at all that a task needs and names what is wrong or soon will be. It only "
		"reads: nothing is changed\non any peer, and no position moves.\n\n"
		"```\n"
		"milvus-cdc doctor                     the source, this machine, and all stored "
		"tasks\n"
		"milvus-cdc doctor --task ID           one stored task\n"
		"milvus-cdc doctor --request FILE      a task that does not exist yet: the "
		"request_data of its create\n"
		"milvus-cdc doctor --outage 12h        how long a task may have to stand still; "
		"default 24h\n"
		"milvus-cdc doctor --json              for programs\n"
		"```\n\n"
		"The command uses the server's configuration (`--config`) and may run beside the "
		"server. Exit code: 0 all in\norder, notes at most; 1 warnings; 2 errors (and "
		"wrong arguments).\n\n"
		"A running server looks by itself: `POST /cdc` with `request_type` `doctor` and "
		"either nothing (all tasks), a\n`task_id`, or the `request_data` of a create. The "
		"answer has `findings` (code, severity, subject, seen, means,\nfix), `in_order`, "
		"and how many of each severity. A create looks at what is quick and answers "
		"what it found in\n`findings`; it is refused for the same reasons as ever, not "
		"for a finding. `get` shows these findings in its\n`detail`, until the next look "
		"at the task.\n\n"
		"What can't be seen from outside: a target's receive limit of gRPC (64 MiB unless "
		"changed; calls stay below\n`packer.maxMsgSize`), and which broker a target "
		"uses.\n\n"
		"| severity | means |\n|---|---|\n"
		"| error | something does not work |\n"
		"| warning | it works now, or in part |\n"
		"| note | worth knowing |\n\n");
}

void doctor_doc_write(struct buf *out)
{
	put_head(out);
	for (size_t i = 0; i < DOCTOR_CODE_COUNT; i++) {
		const struct doctor_row *r = &doctor_rows[i];
		buf_putf(out, "## %s\n\n%s. It means: %s.\n\nFix: %s.\n%s", r->code,
			r->severity == DOCTOR_ERROR     ? "Error"
			: r->severity == DOCTOR_WARNING ? "Warning"
							: "Note",
			r->means, r->fix, i + 1 < DOCTOR_CODE_COUNT ? "\n" : "");
	}
}
