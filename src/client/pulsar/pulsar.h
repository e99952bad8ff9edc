/* Reading Pulsar topics from exact message ids, over the broker's binary protocol.
 *
 *   pulsar     settings, the I/O thread, the connections: one a broker, shared by all topics
 *   reader     one topic being read: a non-durable subscription, and the entries fetched for it
 *   entry      what a broker stores under one ledger:entry: one message, or a batch
 *   permits    how many messages a broker may send ahead; the reader grants them by bytes
 *
 * docs/internals/pulsar.md has the frames and the life of a reader. */
#pragma once

#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"
#include "base/list.h"
#include "base/stop.h"
#include "base/time.h"
#include "client/pulsar/id.h"
#include "client/pulsar/payload.h"

struct pulsar;
struct pulsar_reader;

/* NULL or "" = not set. */
struct pulsar_opts {
	const char *url; /* pulsar://host:port[,host:port...] or pulsar+ssl://... */
	const char *tenant, *ns;
	size_t max_message_bytes; /* what a broker that does not tell its own may send */
	/* The Java class of the plugin (token or TLS) and its parameters, as JSON, as k:v,k:v, or as
	 * the plugin's bare text. */
	const char *auth_plugin, *auth_params;
	const char *ca_path; /* PEM; without it the system's roots */
	bool any_host_name;  /* the broker's certificate may name another host */
};

/* One message. payload and meta point into bytes. */
struct pulsar_msg {
	struct list link; /* for its holder */
	struct pulsar_id id;
	struct slice payload; /* n 0: an empty one or a null value */
	struct slice meta;    /* for pulsar_property, with properties */
	enum pulsar_properties properties;
	bool complete; /* private: false while pieces of a chunked one are missing */
	size_t n;      /* of bytes */
	uint8_t bytes[];
};

/* INVALID with the setting to mend. Starts the I/O thread; no network. */
NODISCARD enum err_code pulsar_new(
	const struct pulsar_opts *o, struct pulsar **ret_p, struct err *e);
/* All readers must be closed. NULL is fine. */
void pulsar_free(struct pulsar *p);

/* Does a broker answer, and take our credentials? UNAVAILABLE, DENIED. Some seconds at most.
 * @thread any */
NODISCARD enum err_code pulsar_check(struct pulsar *p, struct stop *s, struct err *e);
/* The position behind the topic's last message (see id.h); earliest if it never had one.
 * NOT_FOUND: no such topic (it is not made). UNSUPPORTED: it is partitioned. @thread any */
NODISCARD enum err_code pulsar_latest(struct pulsar *p, const char *topic, struct stop *s,
	struct pulsar_id *ret_id, struct err *e);

struct pulsar_start {
	struct pulsar_id id;
	int64_t end_ms; /* wall time at which nothing stood behind id; 0: unknown */
};

/* Starts reading at the first message that is not before from. GONE with the gap when the broker no
 * longer has, or never had, the entry that from names; whether something
 * stood behind an entry that is gone can't be seen: that nothing did is believed for ten minutes
 * after end_ms. @thread any */
NODISCARD enum err_code pulsar_reader_open(struct pulsar *p, const char *topic,
	const struct pulsar_start *from, struct stop *s, struct pulsar_reader **ret_r,
	struct err *e);
/* The next message, the caller's; TIMEOUT when d passes. UNAVAILABLE, BUSY: call again, reading goes
 * on by itself behind the last message. GONE, NOT_FOUND, DENIED, MALFORMED, ...: nothing will come
 * any more. @thread one a reader */
NODISCARD enum err_code pulsar_reader_next(struct pulsar_reader *r, struct deadline d,
	struct stop *s, struct pulsar_msg **ret_m, struct err *e);
/* The topic is known to hold messages beyond the last one returned. */
bool pulsar_reader_has_more(struct pulsar_reader *r);
/* How long ago the broker was asked where the topic ends and named nothing behind the last message
 * returned; -1: it did not yet, or there is more by now. A reader that waits asks every second. */
int64_t pulsar_reader_end_age_ms(struct pulsar_reader *r);
void pulsar_reader_close(struct pulsar_reader *r);

/* NULL is fine. @thread any */
void pulsar_msg_free(struct pulsar_msg *m);
