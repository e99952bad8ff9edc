/* Producer and reader of the Kafka client against librdkafka's mock cluster: what was confirmed is read, in
 * order and once. */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "client/kafka/kafka.h"
#include "client/kafka/producer.h"
#include "sweep/sweep.h"

enum { RECORDS = 3, WAIT_MS = 8000 };

struct peer {
	rd_kafka_t *rk;
	rd_kafka_mock_cluster_t *cluster;
	int written; /* confirmed records of the topic */
};

static void *prepare(void)
{
	struct peer *p = xcalloc(1, sizeof(*p));
	char why[200];

	p->rk = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), why, sizeof(why));
	if (!p->rk)
		sweep_wrong("the peer: %s", why);
	p->cluster = rd_kafka_mock_cluster_new(p->rk, 1);
	rd_kafka_mock_topic_create(p->cluster, "t", 1, 1);
	return p;
}

static void release(void *arg)
{
	struct peer *p = arg;

	rd_kafka_mock_cluster_destroy(p->cluster);
	rd_kafka_destroy(p->rk);
	free(p);
}

static enum err_code send_all(struct kafka_producer *kp, struct sweep_run *r, struct err *e)
{
	struct peer *p = r->peer;
	struct kafka_ticket *t = kafka_ticket_new(false);
	char text[16];

	for (int i = 0; i < RECORDS; i++) {
		snprintf(text, sizeof(text), "v%d", i);
		struct kafka_record rec = {.value = slice_str(text)};
		if (kafka_producer_send(kp, &rec, t, &r->stop, e))
			break;
	}
	if (!e->code && !kafka_ticket_wait(kp, t, deadline_in(WAIT_MS), &r->stop, e))
		p->written += RECORDS;
	kafka_ticket_drop(t);
	return e->code;
}

static enum err_code produce(struct sweep_run *r, struct err *e)
{
	struct peer *p = r->peer;
	struct log_ctx log = {.comp = LOG_kafka, .fields = ""};
	struct kafka_producer_opts o = {
		.address = rd_kafka_mock_cluster_bootstraps(p->cluster), .topic = "t", .log = &log};
	struct kafka_producer *kp = NULL;

	if (kafka_producer_open(&o, &kp, e))
		return e->code;
	send_all(kp, r, e);
	kafka_producer_close(kp, 1000);
	return e->code;
}

static enum err_code read_one(
	struct kafka_part *part, int number, struct deadline d, struct sweep_run *r, struct err *e)
{
	struct kafka_lease *owner = NULL;
	rd_kafka_message_t *m = NULL;
	enum err_code code;
	char want[16];

	do {
		err_clear(e);
		code = kafka_part_next(part, d, &r->stop, &m, &owner, e);
	} while (code == ERR_UNAVAILABLE && !deadline_passed(d));
	if (code)
		return err_ctx(e, "topic t");
	snprintf(want, sizeof(want), "v%d", number % RECORDS);
	if (!slice_eq_str(slice_of(m->payload, m->len), want) || m->offset != number)
		sweep_wrong("offset %lld is %.*s, not %s", (long long)m->offset, (int)m->len,
			(const char *)m->payload, want);
	kafka_msg_free(owner, m);
	return ERR_OK;
}

/* From the first record on: at least what was confirmed. Records of a failed try may stand between. */
static enum err_code consume(struct sweep_run *r, int from, int n, struct err *e)
{
	struct peer *p = r->peer;
	struct kafka_opts o = {.address = rd_kafka_mock_cluster_bootstraps(p->cluster)};
	struct deadline d = deadline_in(WAIT_MS);
	struct kafka_part *part = NULL;
	struct kafka *k = NULL;

	if (kafka_new(&o, &k, e))
		return e->code;
	if (!kafka_part_open(k, "t", from, &r->stop, &part, e)) {
		for (int i = 0; i < n && !e->code; i++)
			read_one(part, from + i, d, r, e);
		kafka_part_close(part);
	}
	kafka_free(k);
	return e->code;
}

static enum err_code run(struct sweep_run *r, struct err *e)
{
	struct peer *p = r->peer;

	if (produce(r, e))
		return e->code;
	/* After a failed try more may be there than was confirmed. */
	return p->written == RECORDS ? consume(r, 0, RECORDS, e) : ERR_OK;
}

int main(int argc, char **argv)
{
	static const char *const words[] = {"127.0.0.1:", "topic t", "Kafka", "kafka", NULL};
	static const struct sweep s = {.name = "kafka",
		.words = words,
		.slow = true,
		.prepare = prepare,
		.release = release,
		.run = run};

	return sweep_main(argc, argv, &s);
}
