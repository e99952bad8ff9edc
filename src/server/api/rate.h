/* How many requests an address may make: a bucket a client address that fills with time. The number
 * of buckets is fixed; when all are in use the fullest one, which says least, makes room. */
#pragma once

#include <sys/socket.h>

#include "base/defs.h"

struct rate;

/* per_s requests a second and twice as many at once; 0 = no limit, which is a NULL rate. */
struct rate *rate_new(int64_t per_s);
void rate_free(struct rate *r);
/* Takes one request of sa, at now on the monotonic clock; false if there are too many. Addresses of
 * one IPv6 /64 are one client. @thread any */
bool rate_take(struct rate *r, const struct sockaddr *sa, int64_t now_ms);
