/* A client of a scripted broker, and what its readers are to bring. All but pworld_next fail the test when it is
 * otherwise. */
#pragma once

#include "client/pulsar/pulsar_priv.h"
#include "support/pulsar_broker.h"

enum { PWORLD_WAIT_MS = 20000, PWORLD_SHORT_MS = 200 };

/* One broker, or two that tell of each other, and a client of the first. */
struct pworld {
	struct pulsar_broker *a, *b;
	struct pulsar *p;
	struct stop stop;
	/* for hooks, under the broker's mutex */
	char told[128];
	int left; /* how often the hook misbehaves */
	bool flag;
	const void *arg;
	size_t most; /* max_message_bytes of the client */
	const char *auth_params;
};

typedef bool pworld_hook_fn(void *arg, struct broker_conn *c, const struct broker_request *r);

struct pworld *pworld_new(pworld_hook_fn *hook, const struct broker_script *script);
void pworld_connect(struct pworld *w);
/* Both. */
struct pworld *pworld_open(pworld_hook_fn *hook, const struct broker_script *script);
void pworld_free(struct pworld *w);

/* One more entry "m<ledger>-<entry>"; m NULL: a plain one. */
void pworld_put(struct pworld *w, uint64_t ledger, uint64_t entry, const struct pulsar_make *m);
struct pulsar_reader *pworld_read(struct pworld *w, const struct pulsar_id *from);
/* The next message or a final error; what passes by itself is waited out. */
enum err_code pworld_next(
	struct pworld *w, struct pulsar_reader *r, struct pulsar_msg **ret_m, struct err *e);
void pworld_expect(struct pworld *w, struct pulsar_reader *r, const char *text);
/* Entries [from, to) as pworld_put makes them. */
void pworld_expect_entries(struct pworld *w, struct pulsar_reader *r, int ledger, int from, int to);
/* Nothing for PWORLD_SHORT_MS. */
void pworld_expect_end(struct pworld *w, struct pulsar_reader *r);
void pworld_expect_failure(
	struct pworld *w, struct pulsar_reader *r, enum err_code code, const char *text);
/* Reads, and nothing comes, until the end is known, for so long at most. */
int64_t pworld_end_age(struct pworld *w, struct pulsar_reader *r, int64_t ms);
/* For pworld_open: cuts the connection in the middle of a frame behind a FLOW, left times. */
bool pworld_cut_mid_frame(void *arg, struct broker_conn *c, const struct broker_request *r);
