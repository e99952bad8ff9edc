/* A scripted Pulsar broker on loopback with one topic, for what a real one does not do on demand. By
 * itself it serves the topic as a broker does: lookup, non-durable subscriptions from an entry on,
 * permits, the last id, PONGs. A hook sees every command first and may answer in its place.
 *
 * Threads: one accepts, one a connection reads; entries are sent by whoever makes them sendable. All
 * state is under one mutex, which the hook runs under, too. */
#pragma once

#include "base/buf.h"
#include "client/pulsar/codec.h"
#include "client/pulsar/id.h"
#include "support/pulsar_make.h"

struct pulsar_broker;
struct broker_conn;

/* A command as it came; fields it lacks are 0. Slices are valid within the hook. */
struct broker_request {
	int type; /* enum pulsar_type */
	uint64_t request, consumer;
	uint32_t permits;
	bool authoritative;
	struct pulsar_id start;
	struct slice topic, proxy_to, auth_data;
	int seen; /* how many of this type have come before, over all connections */
};

struct broker_script {
	/* True: answered (or left unanswered) by the hook. May be NULL. */
	bool (*hook)(void *arg, struct broker_conn *c, const struct broker_request *r);
	void *arg;
	uint64_t max_message_bytes; /* told in CONNECTED; 0: nothing is told */
	bool greedy;                /* sends without permits */
};

/* Each fails the test when it can't be done. */
struct pulsar_broker *pulsar_broker_start(const struct broker_script *s);
void pulsar_broker_stop(struct pulsar_broker *b);
/* "127.0.0.1:port" */
const char *pulsar_broker_address(const struct pulsar_broker *b);

/* One more entry of the topic; what the broker has to send goes out at once. */
void pulsar_broker_put(struct pulsar_broker *b, struct pulsar_id id, const struct pulsar_make *m,
	struct slice body);
/* As a broker trims: entries of ledgers below this one are gone, readers go on behind them. */
void pulsar_broker_trim(struct pulsar_broker *b, uint64_t ledger);
/* As when messages expire: every consumer goes on n entries further. */
void pulsar_broker_expire(struct pulsar_broker *b, size_t n);
/* As if every consumer had asked for n more entries. */
void pulsar_broker_permit(struct pulsar_broker *b, uint32_t n);
/* Connections accepted so far; commands of a type received so far. */
int pulsar_broker_accepted(struct pulsar_broker *b);
int pulsar_broker_received(struct pulsar_broker *b, int type);

/* For hooks. */
void broker_send(struct broker_conn *c, struct slice bytes);
void broker_cut(struct broker_conn *c);
void broker_error(struct broker_conn *c, uint64_t request, int error, const char *text);
/* url is a whole one, or NULL: this broker's own. */
void broker_lookup(struct broker_conn *c, const struct broker_request *r, enum pulsar_lookup how,
	const char *url, bool authoritative, bool through);
void broker_partitions(struct broker_conn *c, uint64_t request, uint32_t n);
void broker_close_consumer(struct broker_conn *c, uint64_t consumer);
/* What the broker would have answered by itself. */
void broker_serve(struct broker_conn *c, const struct broker_request *r);
