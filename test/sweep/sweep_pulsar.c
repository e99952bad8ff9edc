/* A reader of the Pulsar client against the scripted broker: it reads all entries in order, however often it
 * is cut. */
#include <stdio.h>

#include "base/mem.h"
#include "client/pulsar/pulsar.h"
#include "support/pulsar_broker.h"
#include "sweep/sweep.h"

enum { ENTRIES = 8, LEDGER = 3, READ_MS = 8000 };

static void *prepare(void)
{
	static const struct broker_script script = {.hook = NULL};
	struct pulsar_broker *b = pulsar_broker_start(&script);
	char text[16];

	for (uint64_t i = 0; i < ENTRIES; i++) {
		struct pulsar_make m = {.sequence = i};
		snprintf(text, sizeof(text), "m%d", (int)i);
		pulsar_broker_put(b, (struct pulsar_id){LEDGER, i, -1, -1}, &m, slice_str(text));
	}
	return b;
}

static void release(void *peer)
{
	pulsar_broker_stop(peer);
}

/* What passes by itself is waited out. */
static enum err_code read_one(
	struct pulsar_reader *rd, int number, struct deadline d, struct sweep_run *r, struct err *e)
{
	struct pulsar_msg *m = NULL;
	enum err_code code;
	char want[16];

	do {
		err_clear(e);
		code = pulsar_reader_next(rd, d, &r->stop, &m, e);
	} while ((code == ERR_UNAVAILABLE || code == ERR_BUSY) && !deadline_passed(d));
	if (code)
		return err_ctx(e, "topic t");
	snprintf(want, sizeof(want), "m%d", number);
	if (!slice_eq_str(m->payload, want))
		sweep_wrong(
			"%.*s comes, not %s", (int)m->payload.n, (const char *)m->payload.p, want);
	pulsar_msg_free(m);
	return ERR_OK;
}

static void read_all(struct pulsar *p, struct sweep_run *r, struct err *e)
{
	const struct pulsar_start from = {.id = PULSAR_EARLIEST};
	struct pulsar_reader *rd = NULL;
	struct deadline d = deadline_in(READ_MS);

	if (pulsar_reader_open(p, "t", &from, &r->stop, &rd, e))
		return;
	for (int i = 0; i < ENTRIES; i++)
		if (read_one(rd, i, d, r, e))
			break;
	pulsar_reader_close(rd);
}

static enum err_code run(struct sweep_run *r, struct err *e)
{
	CLEANUP(freep) char *url = xasprintf("pulsar://%s", pulsar_broker_address(r->peer));
	struct pulsar_opts o = {.url = url, .max_message_bytes = 5 << 20};
	struct pulsar *p = NULL;
	struct pulsar_id last;

	if (pulsar_new(&o, &p, e))
		return e->code;
	if (!pulsar_latest(p, "t", &r->stop, &last, e))
		read_all(p, r, e);
	pulsar_free(p);
	return e->code;
}

int main(int argc, char **argv)
{
	static const char *const words[] = {"127.0.0.1:", "topic t", "pulsar", "thread", NULL};
	static const struct sweep s = {.name = "pulsar",
		.words = words,
		.prepare = prepare,
		.release = release,
		.run = run};

	return sweep_main(argc, argv, &s);
}
