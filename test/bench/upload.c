/* upload-floor: sends so many bytes to a target as ReplicateMessage calls of one size, and nothing
 * else: what HTTP/2, the kernel and the target's receive path cost any sender of these bytes.
 *
 *   upload-floor host:port bytes [call-bytes [channels]]     one call in flight a channel
 *
 * Prints JSON: bytes, calls, seconds, cpu_s (of the process), peak_rss_mb. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "base/wire.h"
#include "bench/cost.h"
#include "net/grpc.h"

enum { CHANNELS_MOST = 256, CALL_MS = 60000, CALL_BYTES = 8 << 20, PIECE_BYTES = 512 << 10 };

static const char path[] = "/milvus.proto.milvus.MilvusService/ReplicateMessage";

struct upload {
	struct grpc_chan *chan;
	struct stop stop;
	uint8_t *piece;     /* a message, sent again and again */
	uint64_t left;      /* atomic: calls to make */
	uint64_t failed;    /* atomic */
	size_t pieces;      /* of a call */
	unsigned next_name; /* atomic */
};

/* One message field, its head in heads and its bytes shared. */
static size_t fill(const struct upload *u, struct buf *heads, struct slice *v)
{
	size_t n = 0;

	v[n++] = buf_slice(heads);
	for (size_t i = 0; i < u->pieces; i++) {
		static const uint8_t head[] = {5 << 3 | WIRE_LEN, 0x80, 0x80, 0x20};
		v[n++] = slice_of(head, sizeof(head)); /* PIECE_BYTES as a varint */
		v[n++] = slice_of(u->piece, PIECE_BYTES);
	}
	return n;
}

static void run(void *arg)
{
	struct upload *u = arg;
	struct buf heads = BUF_INIT(256), answer = BUF_INIT(4096);
	struct slice *v = xcalloc(2 * u->pieces + 1, sizeof(*v));
	char name[32];

	snprintf(name, sizeof(name), "floor_%u",
		__atomic_fetch_add(&u->next_name, 1, __ATOMIC_RELAXED));
	wire_put_str(&heads, 2, name);
	size_t n = fill(u, &heads, v);
	while ((int64_t)__atomic_fetch_sub(&u->left, 1, __ATOMIC_RELAXED) > 0) {
		struct err e = ERR_INIT;
		struct grpc_call call = {
			.path = path, .body = v, .n_body = n, .deadline = deadline_in(CALL_MS)};
		buf_reset(&answer);
		if (!grpc_unary(u->chan, &call, &u->stop, &answer, &e))
			continue;
		fprintf(stderr, "upload-floor: %s\n", e.text);
		__atomic_fetch_add(&u->failed, 1, __ATOMIC_RELAXED);
		break;
	}
	free(v);
	buf_done(&heads);
	buf_done(&answer);
}

static int64_t argument(int argc, char **argv, int i, int64_t otherwise)
{
	int64_t v;
	return argc > i && str_to_i64(argv[i], &v) && v > 0 ? v : otherwise;
}

static void print(uint64_t calls, size_t pieces, double seconds, double cpu)
{
	printf("{\"bytes\": %llu, \"calls\": %llu, \"seconds\": %.3f, \"cpu_s\": %.3f, "
	       "\"peak_rss_mb\": %.1f}\n",
		(unsigned long long)(calls * pieces * PIECE_BYTES), (unsigned long long)calls,
		seconds, cpu, cost_peak_rss_mb());
}

static int upload(struct upload *u, size_t channels)
{
	struct thread t[CHANNELS_MOST];
	struct err e = ERR_INIT;
	uint64_t calls = u->left;
	double begin = cost_clock_s(CLOCK_MONOTONIC), cpu = cost_clock_s(CLOCK_PROCESS_CPUTIME_ID);

	for (size_t i = 0; i < channels; i++)
		if (thread_start(&t[i], "upload", run, u, &e))
			abort();
	for (size_t i = 0; i < channels; i++)
		thread_join(&t[i]);
	print(calls, u->pieces, cost_clock_s(CLOCK_MONOTONIC) - begin,
		cost_clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	return u->failed ? 1 : 0;
}

int main(int argc, char **argv)
{
	int64_t bytes = argument(argc, argv, 2, 0), call = argument(argc, argv, 3, CALL_BYTES);
	size_t channels = (size_t)MIN(argument(argc, argv, 4, 2), CHANNELS_MOST);
	struct upload u = {.pieces = (size_t)MAX(call / PIECE_BYTES, 1)};
	struct grpc *g = NULL;
	struct err e = ERR_INIT;

	if (argc < 3 || !bytes) {
		fprintf(stderr, "use: upload-floor host:port bytes [call-bytes [channels]]\n");
		return 2;
	}
	struct grpc_chan_opts co = {.address = argv[1]};
	u.left = (uint64_t)bytes / (u.pieces * PIECE_BYTES) + 1;
	u.piece = xcalloc(1, PIECE_BYTES);
	stop_init(&u.stop, NULL);
	int code = 1;
	if (grpc_new(&g, &e) || grpc_chan_new(g, &co, &u.chan, &e))
		fprintf(stderr, "upload-floor: %s\n", e.text);
	else
		code = upload(&u, channels);
	grpc_chan_free(u.chan);
	grpc_free(g);
	stop_done(&u.stop);
	free(u.piece);
	return code;
}
