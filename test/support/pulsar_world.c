#include "support/pulsar_world.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define TOKEN_CLASS "org.apache.pulsar.client.impl.auth.AuthenticationToken"

struct pworld *pworld_new(pworld_hook_fn *hook, const struct broker_script *script)
{
	struct pworld *w = xcalloc(1, sizeof(*w));
	struct broker_script s = script ? *script : (struct broker_script){.hook = NULL};

	s.hook = hook;
	s.arg = w;
	stop_init(&w->stop, NULL);
	w->a = pulsar_broker_start(&s);
	w->most = 5 << 20;
	return w;
}

void pworld_connect(struct pworld *w)
{
	CLEANUP(freep) char *url = xasprintf("pulsar://%s", pulsar_broker_address(w->a));
	struct pulsar_opts o = {.url = url,
		.max_message_bytes = w->most,
		.auth_plugin = w->auth_params ? TOKEN_CLASS : NULL,
		.auth_params = w->auth_params};
	struct err e = ERR_INIT;

	assert_int_equal(pulsar_new(&o, &w->p, &e), ERR_OK);
}

struct pworld *pworld_open(pworld_hook_fn *hook, const struct broker_script *script)
{
	struct pworld *w = pworld_new(hook, script);

	pworld_connect(w);
	return w;
}

void pworld_free(struct pworld *w)
{
	pulsar_free(w->p);
	pulsar_broker_stop(w->a);
	if (w->b)
		pulsar_broker_stop(w->b);
	stop_done(&w->stop);
	free(w);
}

void pworld_put(struct pworld *w, uint64_t ledger, uint64_t entry, const struct pulsar_make *m)
{
	char text[32];

	snprintf(text, sizeof(text), "m%d-%d", (int)ledger, (int)entry);
	pulsar_broker_put(w->a, (struct pulsar_id){ledger, entry, -1, -1},
		m ? m : &(const struct pulsar_make){.sequence = entry}, slice_str(text));
}

struct pulsar_reader *pworld_read(struct pworld *w, const struct pulsar_id *from)
{
	const struct pulsar_start at = {.id = *from};
	struct pulsar_reader *r = NULL;
	struct err e = ERR_INIT;

	if (pulsar_reader_open(w->p, "t", &at, &w->stop, &r, &e))
		fail_msg("open: %s", e.text);
	return r;
}

/* The next message or a final error; what passes by itself is waited out. */
enum err_code pworld_next(
	struct pworld *w, struct pulsar_reader *r, struct pulsar_msg **ret_m, struct err *e)
{
	struct deadline d = deadline_in(PWORLD_WAIT_MS);

	for (;;) {
		err_clear(e);
		*ret_m = NULL;
		enum err_code code = pulsar_reader_next(r, d, &w->stop, ret_m, e);
		if ((code != ERR_UNAVAILABLE && code != ERR_BUSY) || deadline_passed(d))
			return code;
	}
}

void pworld_expect(struct pworld *w, struct pulsar_reader *r, const char *text)
{
	struct err e = ERR_INIT;
	struct pulsar_msg *m;

	if (pworld_next(w, r, &m, &e))
		fail_msg("%s, not %s", e.text, text);
	if (!slice_eq_str(m->payload, text))
		fail_msg("%.*s, not %s", (int)MIN(m->payload.n, 100U), (const char *)m->payload.p,
			text);
	pulsar_msg_free(m);
}

void pworld_expect_entries(struct pworld *w, struct pulsar_reader *r, int ledger, int from, int to)
{
	char text[32];

	for (int i = from; i < to; i++) {
		snprintf(text, sizeof(text), "m%d-%d", ledger, i);
		pworld_expect(w, r, text);
	}
}

void pworld_expect_end(struct pworld *w, struct pulsar_reader *r)
{
	struct err e = ERR_INIT;
	struct pulsar_msg *m = NULL;

	enum err_code code = pulsar_reader_next(r, deadline_in(PWORLD_SHORT_MS), &w->stop, &m, &e);
	if (code != ERR_TIMEOUT)
		fail_msg("%s", m ? "one more message" : e.text);
}

void pworld_expect_failure(
	struct pworld *w, struct pulsar_reader *r, enum err_code code, const char *text)
{
	struct err e = ERR_INIT;
	struct pulsar_msg *m = NULL;

	assert_int_equal(pworld_next(w, r, &m, &e), code);
	if (!strstr(e.text, text))
		fail_msg("%s", e.text);
}

int64_t pworld_end_age(struct pworld *w, struct pulsar_reader *r, int64_t ms)
{
	struct deadline d = deadline_in(ms);
	int64_t age_ms = -1;

	while (age_ms < 0 && !deadline_passed(d)) {
		struct err e = ERR_INIT;
		struct pulsar_msg *m;
		assert_int_equal(
			pulsar_reader_next(r, deadline_in(20), &w->stop, &m, &e), ERR_TIMEOUT);
		age_ms = pulsar_reader_end_age_ms(r);
	}
	return age_ms;
}

bool pworld_cut_mid_frame(void *arg, struct broker_conn *c, const struct broker_request *r)
{
	static const uint8_t half[] = {0, 0, 0, 200, 0, 0, 0, 20, 8, 9};
	struct pworld *w = arg;

	if (r->type != PULSAR_FLOW || w->left == 0)
		return false;
	w->left--;
	broker_serve(c, r);
	broker_send(c, slice_of(half, sizeof(half)));
	broker_cut(c);
	return true;
}
