/* Calls and a stream of the gRPC client against the scripted server. */
#include <string.h>

#include "net/grpc.h"
#include "support/grpc_server.h"
#include "sweep/sweep.h"

enum { CALL_MS = 3000, LARGE = 200000 };

static void *prepare(void)
{
	static const struct gs_opts o = {.port = 0};
	struct gs *g = NULL;
	struct err e = ERR_INIT;

	if (gs_start(&o, &g, &e))
		sweep_wrong("the peer: %s", e.text);
	return g;
}

static void release(void *peer)
{
	gs_stop(peer);
}

static enum err_code echo(struct grpc_chan *c, struct sweep_run *r, size_t n, struct err *e)
{
	static char bytes[LARGE];
	CLEANUP(buf_done) struct buf answer = BUF_INIT(2 * LARGE);
	struct slice pieces[2] = {slice_of(bytes, n / 2), slice_of(bytes + n / 2, n - n / 2)};
	struct grpc_call call = {.path = "/test.Test/Echo",
		.body = pieces,
		.n_body = 2,
		.deadline = deadline_in(CALL_MS)};

	memset(bytes, 'x', n);
	if (grpc_unary(c, &call, &r->stop, &answer, e))
		return e->code;
	if (!slice_eq(buf_slice(&answer), slice_of(bytes, n)))
		sweep_wrong("another answer of %zu bytes, not %zu", answer.n, n);
	return ERR_OK;
}

static enum err_code run(struct sweep_run *r, struct err *e)
{
	struct grpc_chan_opts o = {.address = gs_address(r->peer)};
	struct grpc *g = NULL;
	struct grpc_chan *c = NULL;

	if (grpc_new(&g, e))
		return e->code;
	if (!grpc_chan_new(g, &o, &c, e) && !echo(c, r, 100, e))
		echo(c, r, LARGE, e);
	grpc_chan_free(c);
	grpc_free(g);
	return e->code;
}

int main(int argc, char **argv)
{
	static const char *const words[] = {"127.0.0.1:", "event loop", "thread", NULL};
	static const struct sweep s = {
		.name = "grpc", .words = words, .prepare = prepare, .release = release, .run = run};

	return sweep_main(argc, argv, &s);
}
