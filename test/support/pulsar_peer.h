/* A real Pulsar as a test uses it: a blocking producer of its own, and the admin API. All functions
 * abort the test when the broker refuses. */
#pragma once

#include "client/pulsar/id.h"
#include "support/pulsar_make.h"

struct pulsar_peer;

/* topic is a full name; NULL address: CDC_TEST_PULSAR of the environment. Waits for the broker. */
struct pulsar_peer *pulsar_peer_open(const char *address, const char *topic);
void pulsar_peer_close(struct pulsar_peer *p);
/* Publishes one entry and waits for its id. */
struct pulsar_id pulsar_peer_send(
	struct pulsar_peer *p, const struct pulsar_make *m, struct slice body);

/* HTTP method and path below /admin/v2/ of web address CDC_TEST_PULSAR_WEB; body may be NULL. The
 * status. */
int pulsar_admin(const char *method, const char *path, const char *body);
