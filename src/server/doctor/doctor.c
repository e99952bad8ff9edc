#include "server/doctor/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/time.h"
#include "server/config/config.h"
#include "store/store.h"

enum { TEXT_BYTES = 2048, COMPARED_MAX = 200, COMPARED_QUICK = 20 };

const struct doctor_row doctor_rows[DOCTOR_CODE_COUNT] = {
#define DOCTOR_ROW(name, code, severity, means, fix)                                               \
	[DOCTOR_CODE_##name] = {code, DOCTOR_##severity, means, fix},
	DOCTOR_TABLE(DOCTOR_ROW)
#undef DOCTOR_ROW
};

const char *doctor_severity_name(enum doctor_severity s)
{
	static const char *const names[DOCTOR_SEVERITY_COUNT] = {"note", "warning", "error"};
	return names[s];
}

static void finding_done(struct finding *f)
{
	free(f->subject);
	free(f->seen);
	free(f->fix);
}

void doctor_drop_notes(struct doctor *d)
{
	size_t kept = 0;

	for (size_t i = 0; i < d->n; i++) {
		if (doctor_rows[d->list[i].code].severity == DOCTOR_NOTE)
			finding_done(&d->list[i]);
		else
			d->list[kept++] = d->list[i];
	}
	d->n = kept;
}

void doctor_done(struct doctor *d)
{
	for (size_t i = 0; i < d->n; i++)
		finding_done(&d->list[i]);
	for (size_t i = 0; i < d->n_facts; i++) {
		free(d->facts[i].subject);
		free(d->facts[i].seen);
	}
	free(d->list);
	free(d->facts);
	*d = (struct doctor){.n = 0};
}

static char *PRINTF(1, 0) text_of(const char *fmt, va_list ap)
{
	char text[TEXT_BYTES];

	vsnprintf(text, sizeof(text), fmt, ap);
	return xstrdup(text);
}

void doctor_note(struct doctor *d, enum doctor_code code, const char *subject, const char *fmt, ...)
{
	va_list ap;

	if (d->n == DOCTOR_FINDINGS_MAX) {
		d->left_out++;
		return;
	}
	mem_grow(&d->list, &d->cap, d->n + 1, sizeof(*d->list));
	va_start(ap, fmt);
	d->list[d->n++] = (struct finding){
		.code = code, .subject = xstrdup(subject), .seen = text_of(fmt, ap)};
	va_end(ap);
}

void doctor_fix(struct doctor *d, const char *fmt, ...)
{
	va_list ap;

	if (!d->n || d->left_out)
		return;
	va_start(ap, fmt);
	free(d->list[d->n - 1].fix);
	d->list[d->n - 1].fix = text_of(fmt, ap);
	va_end(ap);
}

void doctor_fact(struct doctor *d, const char *subject, const char *fmt, ...)
{
	va_list ap;

	if (d->n_facts == DOCTOR_FACTS_MAX)
		return;
	mem_grow(&d->facts, &d->cap_facts, d->n_facts + 1, sizeof(*d->facts));
	va_start(ap, fmt);
	d->facts[d->n_facts++] =
		(struct doctor_fact){.subject = xstrdup(subject), .seen = text_of(fmt, ap)};
	va_end(ap);
}

size_t doctor_count(const struct doctor *d, enum doctor_severity s)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n; i++)
		n += doctor_rows[d->list[i].code].severity == s;
	return n;
}

int doctor_exit(const struct doctor *d)
{
	if (doctor_count(d, DOCTOR_ERROR))
		return 2;
	return doctor_count(d, DOCTOR_WARNING) || d->left_out ? 1 : 0;
}

static void look_at_task(struct doctor_env *env, const struct task *t, struct doctor *d)
{
	struct store_positions *list = NULL;
	struct err e = ERR_INIT;
	size_t n = 0;

	doctor_catalog(env, t, d);
	doctor_task_files(t, d);
	doctor_target(env, t, COMPARED_MAX, d);
	if (!env->store || !env->mq || !*t->id)
		return;
	if (!store_read_positions(env->store, t->id, env->stop, &list, &n, &e))
		doctor_positions(env, t, list, n, d);
	store_positions_free(list, n);
}

void doctor_all(struct doctor_env *env, struct task *const *tasks, size_t n, struct doctor *d)
{
	doctor_host(env, d);
	if (doctor_etcd(env, d))
		doctor_queue(env, d);
	doctor_store(env, d);
	for (size_t i = 0; i < n && !stop_is_set(env->stop); i++)
		look_at_task(env, tasks[i], d);
}

void doctor_quick(struct doctor_env *env, const struct task *t, struct doctor *d)
{
	doctor_task_files(t, d);
	doctor_target(env, t, COMPARED_QUICK, d);
}
