/* kafka-floor: reads ranges of topics and throws the messages away, with librdkafka and its
 * defaults but for room to prefetch. What it costs is the floor of any reader of these topics.
 *
 *   kafka-floor host:port topic@first,end ...     offsets; end itself is not read
 *
 * Prints JSON: messages, bytes of payload, seconds, cpu_s (of the process), peak_rss_mb. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/defs.h"
#include "base/str.h"
#include "bench/cost.h"

enum { TOPICS_MOST = 64, QUIET_MS = 30000, BATCH = 256 };

struct topic {
	int64_t next, end;
	rd_kafka_topic_t *t;
};

struct floor_run {
	rd_kafka_t *rk;
	rd_kafka_queue_t *queue;
	struct topic topics[TOPICS_MOST];
	size_t n;
	uint64_t messages, bytes;
};

static double now_s(void)
{
	return cost_clock_s(CLOCK_MONOTONIC);
}

static double cpu_s(void)
{
	return cost_clock_s(CLOCK_PROCESS_CPUTIME_ID);
}

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "kafka-floor: %s: %s\n", what, why);
	return 1;
}

static int connect_to(struct floor_run *f, const char *address)
{
	char why[512];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	if (rd_kafka_conf_set(conf, "bootstrap.servers", address, why, sizeof(why)) ||
		rd_kafka_conf_set(conf, "fetch.message.max.bytes", "8388608", why, sizeof(why)) ||
		rd_kafka_conf_set(conf, "queued.max.messages.kbytes", "65536", why, sizeof(why)))
		return fail("settings", why);
	f->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	return f->rk ? 0 : fail(address, why);
}

/* arg is topic@first,end */
static int add_topic(struct floor_run *f, char *arg)
{
	struct topic *t = &f->topics[f->n];
	char *at = strrchr(arg, '@'), *comma = strrchr(arg, ',');

	if (f->n == TOPICS_MOST || !at || !comma || comma < at)
		return fail(arg, "not topic@first,end, or too many");
	*at = *comma = '\0';
	if (!str_to_i64(at + 1, &t->next) || !str_to_i64(comma + 1, &t->end))
		return fail(arg, "offsets are not numbers");
	t->t = rd_kafka_topic_new(f->rk, arg, NULL);
	if (rd_kafka_consume_start_queue(t->t, 0, t->next, f->queue))
		return fail(arg, "can't be read");
	f->n++;
	return 0;
}

static bool at_end(const struct floor_run *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->topics[i].next < f->topics[i].end)
			return false;
	return true;
}

static void count(struct floor_run *f, const rd_kafka_message_t *m)
{
	for (size_t i = 0; i < f->n; i++) {
		struct topic *t = &f->topics[i];
		if (t->t != m->rkt || m->offset >= t->end)
			continue;
		t->next = m->offset + 1;
		f->messages++;
		f->bytes += m->len;
	}
}

static int read_all(struct floor_run *f)
{
	rd_kafka_message_t *batch[BATCH];
	double heard = now_s();

	while (!at_end(f)) {
		ssize_t n = rd_kafka_consume_batch_queue(f->queue, 1000, batch, BATCH);
		if (n > 0)
			heard = now_s();
		if (now_s() - heard > QUIET_MS / 1000.0)
			return fail("reading", "nothing came for long");
		for (ssize_t i = 0; i < n; i++) {
			if (!batch[i]->err)
				count(f, batch[i]);
			rd_kafka_message_destroy(batch[i]);
		}
	}
	return 0;
}

static void print(const struct floor_run *f, double seconds, double cpu)
{
	printf("{\"messages\": %llu, \"bytes\": %llu, \"seconds\": %.3f, \"cpu_s\": %.3f, "
	       "\"peak_rss_mb\": %.1f}\n",
		(unsigned long long)f->messages, (unsigned long long)f->bytes, seconds, cpu,
		cost_peak_rss_mb());
}

static int run(struct floor_run *f, int argc, char **argv)
{
	if (connect_to(f, argv[1]))
		return 1;
	f->queue = rd_kafka_queue_new(f->rk);
	double begin = now_s(), cpu = cpu_s();
	for (int i = 2; i < argc; i++)
		if (add_topic(f, argv[i]))
			return 1;
	if (read_all(f))
		return 1;
	print(f, now_s() - begin, cpu_s() - cpu);
	return 0;
}

static void close_all(struct floor_run *f)
{
	for (size_t i = 0; i < f->n; i++) {
		rd_kafka_consume_stop(f->topics[i].t, 0);
		rd_kafka_topic_destroy(f->topics[i].t);
	}
	if (f->queue)
		rd_kafka_queue_destroy(f->queue);
	if (f->rk)
		rd_kafka_destroy(f->rk);
}

int main(int argc, char **argv)
{
	struct floor_run f = {0};

	if (argc < 3) {
		fprintf(stderr, "use: kafka-floor host:port topic@first,end ...\n");
		return 2;
	}
	int code = run(&f, argc, argv);
	close_all(&f);
	return code;
}
