#include "net/resolve.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"

struct resolve {
	struct loop_job job;
	struct loop *loop; /* NULL = cancelled; under mtx */
	struct mutex mtx;
	bool finished; /* under mtx: the thread is through, the other side frees */
	struct thread thread;
	char *host, *port;
	void (*done)(void *arg);
	void *arg;
	struct sock_addrs addrs;
	struct err err;
};

static void destroy(struct resolve *r)
{
	mutex_done(&r->mtx);
	free(r->host);
	free(r->port);
	free(r);
}

static void on_job(struct loop_job *j, unsigned ops UNUSED)
{
	struct resolve *r = CONTAINER_OF(j, struct resolve, job);
	r->done(r->arg);
}

static void run(void *arg)
{
	struct resolve *r = arg;

	thread_waits(true); /* many servers and search domains take minutes */
	enum err_code code = sock_resolve(r->host, r->port, &r->addrs, &r->err);
	thread_waits(false);
	assert(code == r->err.code);
	(void)code;
	mutex_lock(&r->mtx);
	bool cancelled = !r->loop;
	r->finished = true;
	/* The loop lives as long as the lookup is not cancelled, which needs this lock. */
	if (!cancelled)
		loop_post(r->loop, &r->job, 1);
	mutex_unlock(&r->mtx);
	if (cancelled)
		destroy(r);
}

enum err_code resolve_start(struct loop *l, const char *host, const char *port,
	void (*done)(void *arg), void *arg, struct resolve **ret_r, struct err *e)
{
	struct resolve *r = xcalloc(1, sizeof(*r));

	mutex_init(&r->mtx, "resolve");
	r->loop = l;
	r->job.run = on_job;
	r->host = xstrdup(host);
	r->port = xstrdup(port);
	r->done = done;
	r->arg = arg;
	/* Held until detached, so that a quick lookup does not free what is used here. */
	mutex_lock(&r->mtx);
	enum err_code code = thread_start(&r->thread, "resolve", run, r, e);
	if (!code)
		pthread_detach(r->thread.id);
	mutex_unlock(&r->mtx);
	if (code) {
		destroy(r);
		return code;
	}
	*ret_r = r;
	return ERR_OK;
}

enum err_code resolve_result(const struct resolve *r, struct sock_addrs *ret_addrs, struct err *e)
{
	*ret_addrs = r->addrs;
	if (r->err.code)
		return err_set_origin(e, r->err.code, r->err.origin, "%s", r->err.text);
	return ERR_OK;
}

void resolve_free(struct resolve *r)
{
	if (!r)
		return;
	mutex_lock(&r->mtx);
	struct loop *l = r->loop;
	bool finished = r->finished;
	r->loop = NULL;
	mutex_unlock(&r->mtx);
	if (!finished)
		return;
	mutex_lock(&l->mtx);
	loop_unpost_locked(l, &r->job);
	mutex_unlock(&l->mtx);
	destroy(r);
}
