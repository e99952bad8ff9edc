/* The initial copy of users and roles as a part of the running task. */
#include "base/mem.h"
#include "server/config/config.h"
#include "server/task/run_priv.h"
#include "source/catalog.h"
#include "source/rbac_decode.h"

static enum err_code read_source(void *arg, struct stop *s, struct rbac *ret, struct buf *left_out,
	size_t *ret_left_out, struct err *e)
{
	const struct run *r = arg;

	return rbac_read_source(
		r->sv.source_etcd, catalog_base(r->sv.catalog), s, ret, left_out, ret_left_out, e);
}

void run_users_new(struct run *r)
{
	struct users_opts o = {.task = r->task,
		.sink = target_sink(r->target),
		.jobs = target_jobs(r->target),
		.writer = r->sv.writer,
		.log = &r->log,
		.stop = &r->stop,
		.dry_run = r->sv.config->dry_run,
		.retry_first_ms = r->sv.config->retry_first_ms,
		.retry_most_ms = r->sv.config->retry_most_ms,
		.read = read_source,
		.arg = r};

	if (r->task->enable_user_role)
		r->users = users_new(&o);
}
