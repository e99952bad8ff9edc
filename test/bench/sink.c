/* cdc-sink: stands between the product and a real target Milvus and swallows ReplicateMessage, so
 * that a bench measures the product and not the target. All other calls are forwarded with their
 * metadata; without --target they are answered from memory (describe.h).
 *
 *   cdc-sink --listen 19531 [--target 127.0.0.1:19530] --stat 19532 [--rtt-ms 50] [--bind 0.0.0.0]
 *
 * ReplicateMessage is counted while it streams in (nothing is buffered) and answered with a
 * position: the base64 of an 8-byte little-endian count of the messages its channel has got so far,
 * as a target's message id would grow. --rtt-ms delays every answer. GET /stat tells the counts as
 * JSON, /reset zeroes them and the lags (not the positions), /lags tells for each channel how late
 * its ticks came (lags.h). first_ns, last_ns and rows_ns are CLOCK_REALTIME; rows are messages of
 * ROW_BYTES and more, which no tick or drop message has, and rows_ns is the first one's time. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/mutex.h"
#include "base/queue.h"
#include "base/str.h"
#include "base/thread.h"
#include "base/wire.h"
#include "bench/describe.h"
#include "bench/lags.h"
#include "net/grpc.h"
#include "net/sock.h"
#include "support/grpc_server.h"

enum { WORKERS = 16, QUEUE_CALLS = 1024, CHANNEL_BYTES = 256, FORWARD_MS = 120000 };
enum { ROW_BYTES = 512, LIMIT_ANSWER = 64 << 20 };

static const char replicate_path[] = "/milvus.proto.milvus.MilvusService/ReplicateMessage";

/* Where a ReplicateMessageRequest stands that arrives in pieces. Only its top level is looked
 * at. */
struct scan {
	enum {
		SCAN_PREFIX,
		SCAN_TAG,
		SCAN_LENGTH,
		SCAN_VARINT,
		SCAN_SKIP,
		SCAN_CHANNEL,
		SCAN_BAD
	} at;
	uint64_t value;
	unsigned shift;
	uint64_t left; /* of the prefix, a skipped field or the channel */
	uint32_t field;
	uint64_t bytes, msgs, rows, end_ts;
	char channel[CHANNEL_BYTES];
	size_t channel_n;
};

struct stat_counts {
	uint64_t calls, bytes, msgs, rows, forwarded, forward_failed, bad;
	int64_t first_ns, last_ns, rows_ns;
};

struct channel {
	uint64_t position;
	struct lags lags;
};

struct sink {
	struct gs *server;
	struct grpc *grpc;
	struct grpc_chan *target;
	struct queue forward; /* of struct gs_call */
	struct stop stop;
	struct thread workers[WORKERS];
	int64_t rtt_ms;
	struct mutex mtx;
	struct stat_counts counts; /* under mtx */
	struct smap channels;      /* under mtx: name to struct channel */
	struct describe *memory;   /* under mtx; NULL: calls are forwarded */
};

/* ---- the scan ---- */

static void scan_after_tag(struct scan *s)
{
	unsigned type = s->value & 7;

	s->field = (uint32_t)(s->value >> 3);
	if (type == WIRE_VARINT)
		s->at = SCAN_VARINT;
	else if (type == WIRE_LEN)
		s->at = SCAN_LENGTH;
	else if (type == WIRE_I64 || type == WIRE_I32)
		s->at = SCAN_SKIP, s->left = type == WIRE_I64 ? 8 : 4;
	else
		s->at = SCAN_BAD;
}

static void scan_after_length(struct scan *s)
{
	s->left = s->value;
	s->msgs += s->field == 5;
	s->rows += s->field == 5 && s->left >= ROW_BYTES;
	s->at = s->field == 2 && s->left < CHANNEL_BYTES ? SCAN_CHANNEL : SCAN_SKIP;
	if (!s->left)
		s->at = SCAN_TAG;
}

static void scan_after_number(struct scan *s)
{
	if (s->field == 4)
		s->end_ts = s->value;
	s->at = SCAN_TAG;
}

static void scan_byte(struct scan *s, uint8_t c)
{
	if (s->shift > 63) {
		s->at = SCAN_BAD;
		return;
	}
	s->value |= (uint64_t)(c & 0x7f) << s->shift;
	s->shift += 7;
	if (c & 0x80)
		return;
	if (s->at == SCAN_TAG)
		scan_after_tag(s);
	else if (s->at == SCAN_LENGTH)
		scan_after_length(s);
	else
		scan_after_number(s);
	s->value = 0;
	s->shift = 0;
}

static void scan_run(struct scan *s, struct slice in)
{
	s->bytes += in.n;
	while (in.n && s->at != SCAN_BAD) {
		if (s->at == SCAN_TAG || s->at == SCAN_LENGTH || s->at == SCAN_VARINT) {
			scan_byte(s, *in.p);
			in = slice_of(in.p + 1, in.n - 1);
			continue;
		}
		size_t part = in.n < s->left ? in.n : (size_t)s->left;
		if (s->at == SCAN_CHANNEL) {
			memcpy(s->channel + s->channel_n, in.p, part);
			s->channel_n += part;
		}
		in = slice_of(in.p + part, in.n - part);
		s->left -= part;
		if (!s->left)
			s->at = SCAN_TAG;
	}
}

/* ---- ReplicateMessage ---- */

static bool is_replicate(void *arg UNUSED, struct gs_call *c)
{
	if (strcmp(gs_path(c), replicate_path) != 0)
		return false;
	struct scan *s = xcalloc(1, sizeof(*s));
	s->left = 5;
	*gs_user(c) = s;
	return true;
}

static void on_chunk(void *arg UNUSED, struct gs_call *c, struct slice s)
{
	scan_run(*gs_user(c), s);
}

static void on_gone(void *arg UNUSED, struct gs_call *c)
{
	free(*gs_user(c));
	*gs_user(c) = NULL;
}

static int64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static struct channel *channel_locked(struct sink *k, const struct scan *s) REQUIRES(k->mtx)
{
	struct channel *c = smap_getn(&k->channels, s->channel, s->channel_n);

	if (c)
		return c;
	CLEANUP(freep) char *name = xstrndup(s->channel, s->channel_n);
	c = xcalloc(1, sizeof(*c));
	smap_put(&k->channels, name, c);
	return c;
}

/* Returns the channel's count of messages, this call's included. */
static uint64_t count_call(struct sink *k, const struct scan *s)
{
	int64_t now = now_ns();

	mutex_lock(&k->mtx);
	struct stat_counts *t = &k->counts;
	t->calls++;
	t->bytes += s->bytes >= 5 ? s->bytes - 5 : 0;
	t->msgs += s->msgs;
	t->rows += s->rows;
	t->bad += s->at != SCAN_TAG;
	t->last_ns = now;
	if (!t->first_ns)
		t->first_ns = now;
	if (s->rows && !t->rows_ns)
		t->rows_ns = now;
	struct channel *c = channel_locked(k, s);
	if (s->msgs)
		lags_note(&c->lags, s->end_ts, now / 1000000);
	uint64_t at = c->position += s->msgs;
	mutex_unlock(&k->mtx);
	return at;
}

/* ReplicateMessageResponse{1: Status{}, 2: position} */
static void answer_replicate(struct sink *k, struct gs_call *c)
{
	struct scan *s = TAKE(*gs_user(c));
	uint64_t at = count_call(k, s);
	uint8_t id[8];
	struct buf b = BUF_INIT(256);

	free(s);
	for (int i = 0; i < 8; i++)
		id[i] = (uint8_t)(at >> (8 * i));
	CLEANUP(freep) char *text = b64_text(slice_of(id, sizeof(id)));
	wire_put_bytes(&b, 1, slice_of(NULL, 0));
	wire_put_str(&b, 2, text);
	gs_answer(c, buf_slice(&b), k->rtt_ms);
	buf_done(&b);
}

/* ---- the other calls ---- */

static void answer_from_memory(struct sink *k, struct gs_call *c)
{
	struct buf answer = BUF_INIT(LIMIT_ANSWER);

	mutex_lock(&k->mtx);
	describe_answer(k->memory, c, &answer);
	k->counts.forwarded++;
	mutex_unlock(&k->mtx);
	gs_answer(c, buf_slice(&answer), k->rtt_ms);
	buf_done(&answer);
}

static void on_request(void *arg, struct gs_call *c)
{
	struct sink *k = arg;

	if (*gs_user(c))
		answer_replicate(k, c);
	else if (k->memory)
		answer_from_memory(k, c);
	else if (queue_count(&k->forward) == QUEUE_CALLS ||
		 queue_push(&k->forward, c, &k->stop, NULL) != ERR_OK)
		gs_end(c, 8, "cdc-sink: too many calls wait", 0);
}

static void forward(struct sink *k, struct gs_call *c)
{
	struct grpc_meta meta[24];
	struct slice body = gs_body(c);
	struct grpc_call call = {.path = gs_path(c),
		.meta = meta,
		.body = &body,
		.n_body = 1,
		.deadline = deadline_in(FORWARD_MS)};
	struct buf answer = BUF_INIT(LIMIT_ANSWER);
	struct err e = ERR_INIT;

	while (call.n_meta < ARRAY_LEN(meta) &&
		gs_meta(c, call.n_meta, &meta[call.n_meta].key, &meta[call.n_meta].value))
		call.n_meta++;
	enum err_code code = grpc_unary(k->target, &call, &k->stop, &answer, &e);
	if (code)
		gs_end(c, e.origin > 0 && e.origin <= 16 ? e.origin : 14, e.text, k->rtt_ms);
	else
		gs_answer(c, buf_slice(&answer), k->rtt_ms);
	buf_done(&answer);
	mutex_lock(&k->mtx);
	k->counts.forwarded++;
	k->counts.forward_failed += code != ERR_OK;
	mutex_unlock(&k->mtx);
}

static void run_worker(void *arg)
{
	struct sink *k = arg;
	struct gs_call *c;

	while ((c = queue_pop(&k->forward, DEADLINE_NEVER, &k->stop)))
		forward(k, c);
}

/* ---- the counts over HTTP ---- */

static void put_stat(struct sink *k, struct buf *b)
{
	mutex_lock(&k->mtx);
	struct stat_counts t = k->counts;
	size_t collections = k->memory ? describe_count(k->memory) : 0;
	mutex_unlock(&k->mtx);
	buf_putf(b,
		"{\"calls\":%llu,\"bytes\":%llu,\"msgs\":%llu,\"rows\":%llu,\"first_ns\":%lld,"
		"\"last_ns\":%lld,\"rows_ns\":%lld,\"forwarded\":%llu,\"forward_failed\":%llu,"
		"\"bad\":%llu,\"collections\":%zu}\n",
		(unsigned long long)t.calls, (unsigned long long)t.bytes,
		(unsigned long long)t.msgs, (unsigned long long)t.rows, (long long)t.first_ns,
		(long long)t.last_ns, (long long)t.rows_ns, (unsigned long long)t.forwarded,
		(unsigned long long)t.forward_failed, (unsigned long long)t.bad, collections);
}

/* {"channel": [[ms, count], ...], ...} */
static void put_lags(struct sink *k, struct buf *b)
{
	size_t pos = 0;
	const char *name;
	void *value;

	mutex_lock(&k->mtx);
	for (bool more = false; smap_next(&k->channels, &pos, &name, &value); more = true) {
		buf_putf(b, "%s\"%s\":", more ? "," : "{", name);
		lags_put(&((struct channel *)value)->lags, b);
	}
	buf_put_str(b, smap_count(&k->channels) ? "}\n" : "{}\n");
	mutex_unlock(&k->mtx);
}

static void reset(struct sink *k)
{
	size_t pos = 0;
	const char *name;
	void *value;

	mutex_lock(&k->mtx);
	k->counts = (struct stat_counts){0};
	while (smap_next(&k->channels, &pos, &name, &value))
		lags_reset(&((struct channel *)value)->lags);
	mutex_unlock(&k->mtx);
}

static void send_all(int fd, struct slice s)
{
	while (s.n) {
		ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		s = slice_of(s.p + n, s.n - (size_t)n);
	}
}

static void serve_stat(struct sink *k, int listener)
{
	char request[2048];
	struct timeval patience = {.tv_sec = 1};
	struct buf body = BUF_INIT(LIMIT_ANSWER), out = BUF_INIT(2 * LIMIT_ANSWER);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	ssize_t n = recv(fd, request, sizeof(request) - 1, 0);
	request[n > 0 ? n : 0] = '\0';
	const char *path = strchr(request, ' ');
	if (path && str_starts(path, " /lags"))
		put_lags(k, &body);
	else
		put_stat(k, &body);
	if (path && str_starts(path, " /reset"))
		reset(k);
	buf_putf(&out,
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
		"Connection: close\r\n\r\n%s",
		body.n, buf_cstr(&body));
	send_all(fd, buf_slice(&out));
	close(fd);
	buf_done(&body);
	buf_done(&out);
}

static enum err_code listen_stat(const char *host, int port, int *ret_fd, struct err *e)
{
	struct sock_addrs addrs;
	char text[SOCK_PORT_BYTES];
	int on = 1;

	snprintf(text, sizeof(text), "%u", (unsigned)port & 0xffff);
	enum err_code code = sock_resolve(host, text, &addrs, e);
	if (code)
		return code;
	const struct sock_addr *a = &addrs.v[0];
	*ret_fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(*ret_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(*ret_fd, (const struct sockaddr *)&a->ss, a->n) || listen(*ret_fd, 16))
		return err_errno(e, errno, "listen on port %d", port);
	return ERR_OK;
}

static void serve_until_signal(struct sink *k, int listener)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	int sig = signalfd(-1, &set, SFD_CLOEXEC);
	struct pollfd fds[] = {{.fd = sig, .events = POLLIN}, {.fd = listener, .events = POLLIN}};
	while (poll(fds, ARRAY_LEN(fds), -1) >= 0 || errno == EINTR) {
		if (fds[0].revents)
			break;
		if (fds[1].revents)
			serve_stat(k, listener);
	}
	close(sig);
}

/* ---- main ---- */

struct options {
	int listen, stat;
	const char *target, *bind;
	int64_t rtt_ms;
};

static bool port_of(const char *text, int *ret_port)
{
	int64_t v;
	if (!str_to_i64(text, &v) || v < 1 || v > 65535)
		return false;
	*ret_port = (int)v;
	return true;
}

static bool parse(int argc, char **argv, struct options *o)
{
	*o = (struct options){.bind = "127.0.0.1"};
	for (int i = 1; i + 1 < argc; i += 2) {
		const char *value = argv[i + 1];
		bool ok = true;
		if (strcmp(argv[i], "--listen") == 0)
			ok = port_of(value, &o->listen);
		else if (strcmp(argv[i], "--stat") == 0)
			ok = port_of(value, &o->stat);
		else if (strcmp(argv[i], "--rtt-ms") == 0)
			ok = str_to_i64(value, &o->rtt_ms) && o->rtt_ms >= 0;
		else if (strcmp(argv[i], "--target") == 0)
			o->target = value;
		else if (strcmp(argv[i], "--bind") == 0)
			o->bind = value;
		else
			ok = false;
		if (!ok)
			return false;
	}
	return argc % 2 == 1 && o->listen && o->stat;
}

static enum err_code start(struct sink *k, const struct options *o, struct err *e)
{
	struct gs_opts so = {.bind = o->bind,
		.port = o->listen,
		.handler = {.arg = k,
			.request = on_request,
			.wants_chunks = is_replicate,
			.chunk = on_chunk,
			.gone = on_gone}};
	struct grpc_chan_opts co = {.address = o->target};

	k->rtt_ms = o->rtt_ms;
	stop_init(&k->stop, NULL);
	mutex_init(&k->mtx, "sink");
	queue_init(&k->forward, QUEUE_CALLS, "forward");
	enum err_code code = grpc_new(&k->grpc, e);
	if (!o->target)
		k->memory = describe_new();
	else if (!code)
		code = grpc_chan_new(k->grpc, &co, &k->target, e);
	for (int i = 0; !code && o->target && i < WORKERS; i++)
		code = thread_start(&k->workers[i], "forward", run_worker, k, e);
	return code ? code : gs_start(&so, &k->server, e);
}

static void stop_all(struct sink *k)
{
	size_t pos = 0;
	const char *key;
	void *value;

	stop_set(&k->stop);
	for (int i = 0; i < WORKERS; i++)
		thread_join(&k->workers[i]);
	gs_stop(k->server);
	grpc_chan_free(k->target);
	grpc_free(k->grpc);
	queue_done(&k->forward);
	while (smap_next(&k->channels, &pos, &key, &value))
		free(value);
	smap_done(&k->channels);
	if (k->memory)
		describe_free(k->memory);
	mutex_done(&k->mtx);
	stop_done(&k->stop);
}

int main(int argc, char **argv)
{
	struct sink k = {0};
	struct options o;
	struct err e = ERR_INIT;
	sigset_t all;
	int listener = -1;

	if (!parse(argc, argv, &o)) {
		fprintf(stderr, "use: cdc-sink --listen port [--target host:port] --stat port "
				"[--rtt-ms n] [--bind address]\n");
		return 2;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	if (start(&k, &o, &e) || listen_stat(o.bind, o.stat, &listener, &e))
		fprintf(stderr, "cdc-sink: %s\n", e.text);
	else
		serve_until_signal(&k, listener);
	if (listener >= 0)
		close(listener);
	stop_all(&k);
	return e.code ? 1 : 0;
}
