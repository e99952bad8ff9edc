/* bench-grpc: the gRPC client against the test server in one process; prints MB/s, calls/s and the
 * client threads' CPU (the server's thread is told apart by its clock).
 *
 *   bench-grpc [body-bytes [slices [in-flight [seconds]]]] */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "net/grpc.h"
#include "support/grpc_server.h"

enum { MOST_IN_FLIGHT = 64 };

struct bench {
	struct grpc_chan *chan;
	struct stop stop;
	struct slice *v;
	size_t n;
	struct deadline until;
	uint64_t calls; /* __atomic */
	uint64_t failed;
	int64_t server_ns; /* the server thread's CPU, told by itself */
};

static int64_t ns_of(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static bool wants_chunks(void *arg UNUSED, struct gs_call *c UNUSED)
{
	return true;
}

static void on_chunk(void *arg UNUSED, struct gs_call *c UNUSED, struct slice s UNUSED)
{
}

static void on_request(void *arg, struct gs_call *c)
{
	struct bench *b = arg;
	__atomic_store_n(&b->server_ns, ns_of(CLOCK_THREAD_CPUTIME_ID), __ATOMIC_RELAXED);
	gs_answer(c, slice_str("ok"), 0);
}

static void run(void *arg)
{
	struct bench *b = arg;
	struct buf answer = BUF_INIT(4096);

	while (!deadline_passed(b->until)) {
		struct err e = ERR_INIT;
		struct grpc_call call = {.path = "/bench.Bench/Put",
			.body = b->v,
			.n_body = b->n,
			.deadline = deadline_in(30000)};
		if (grpc_unary(b->chan, &call, &b->stop, &answer, &e)) {
			fprintf(stderr, "%s\n", e.text);
			__atomic_add_fetch(&b->failed, 1, __ATOMIC_RELAXED);
			break;
		}
		__atomic_add_fetch(&b->calls, 1, __ATOMIC_RELAXED);
	}
	buf_done(&answer);
}

static int64_t argument(int argc, char **argv, int i, int64_t otherwise)
{
	int64_t v;
	return argc > i && str_to_i64(argv[i], &v) && v > 0 ? v : otherwise;
}

static void measure(struct bench *b, size_t body, size_t in_flight, int64_t seconds)
{
	struct thread t[MOST_IN_FLIGHT];
	int64_t start = ns_of(CLOCK_MONOTONIC), cpu = ns_of(CLOCK_PROCESS_CPUTIME_ID);
	int64_t server = __atomic_load_n(&b->server_ns, __ATOMIC_RELAXED);

	b->calls = 0;
	b->until = deadline_in(seconds * 1000);
	for (size_t i = 0; i < in_flight; i++) {
		if (thread_start(&t[i], "bench", run, b, NULL))
			abort();
	}
	for (size_t i = 0; i < in_flight; i++)
		thread_join(&t[i]);
	double wall = (double)(ns_of(CLOCK_MONOTONIC) - start) / 1e9;
	double all = (double)(ns_of(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e9;
	double srv = (double)(__atomic_load_n(&b->server_ns, __ATOMIC_RELAXED) - server) / 1e9;
	double gb = (double)b->calls * (double)body / 1e9;
	printf("%zu bytes, %zu in flight: %.0f MB/s, %.0f calls/s, client %.3f CPU s/GB, %.1f us "
	       "CPU/call, server %.3f CPU s/GB, %llu failed\n",
		body, in_flight, gb * 1000 / wall, (double)b->calls / wall, (all - srv) / gb,
		(all - srv) * 1e6 / (double)b->calls, srv / gb, (unsigned long long)b->failed);
}

int main(int argc, char **argv)
{
	size_t body = (size_t)argument(argc, argv, 1, 16 << 20);
	size_t slices = (size_t)argument(argc, argv, 2, 512);
	size_t in_flight = (size_t)MIN(argument(argc, argv, 3, 1), MOST_IN_FLIGHT);
	int64_t seconds = argument(argc, argv, 4, 3);
	CLEANUP(freep) uint8_t *data = xcalloc(1, body);
	CLEANUP(freep) struct slice *v = xcalloc(slices, sizeof(*v));
	struct bench b = {.v = v, .n = slices};
	struct gs_opts so = {.handler = {.arg = &b,
				     .request = on_request,
				     .wants_chunks = wants_chunks,
				     .chunk = on_chunk}};
	struct gs *server = NULL;
	struct grpc *g = NULL;
	struct err e = ERR_INIT;

	memset(data, 0x5a, body);
	for (size_t i = 0; i < slices; i++)
		v[i] = slice_of(data + body / slices * i,
			i + 1 < slices ? body / slices : body - body / slices * i);
	stop_init(&b.stop, NULL);
	if (gs_start(&so, &server, &e) || grpc_new(&g, &e))
		return 1;
	struct grpc_chan_opts co = {.address = gs_address(server)};
	if (grpc_chan_new(g, &co, &b.chan, &e))
		return 1;
	measure(&b, body, 1, 1);
	measure(&b, body, in_flight, seconds);
	grpc_chan_free(b.chan);
	grpc_free(g);
	gs_stop(server);
	stop_done(&b.stop);
	return b.failed ? 1 : 0;
}
