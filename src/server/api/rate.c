#include "server/api/rate.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/mutex.h"

enum { CLIENTS = 512, KEY_BYTES = 8, BURST_S = 2, UNIT = 1000 };

/* level is in thousandths of a request, so that a millisecond fills it by per_s. */
struct bucket {
	uint8_t key[KEY_BYTES];
	bool used;
	int64_t level, at_ms;
};

struct rate {
	int64_t per_s;
	struct mutex mtx;
	struct bucket v[CLIENTS]; /* under mtx */
};

struct rate *rate_new(int64_t per_s)
{
	if (per_s <= 0)
		return NULL;
	struct rate *r = xcalloc(1, sizeof(*r));
	r->per_s = per_s;
	mutex_init(&r->mtx, "rate");
	return r;
}

void rate_free(struct rate *r)
{
	if (!r)
		return;
	mutex_done(&r->mtx);
	free(r);
}

/* An IPv4 address behind four zero bytes, also if it came in IPv6's clothes; else the network half
 * of an IPv6 address. */
static void key_of(const struct sockaddr *sa, uint8_t key[KEY_BYTES])
{
	memset(key, 0, KEY_BYTES);
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)sa;
		memcpy(key + 4, &v4->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sa;
		const uint8_t *a = v6->sin6_addr.s6_addr;
		if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
			memcpy(key + 4, a + 12, 4);
		else
			memcpy(key, a, KEY_BYTES);
	}
}

static void fill(const struct rate *r, struct bucket *b, int64_t now_ms)
{
	int64_t most = r->per_s * BURST_S * UNIT;
	int64_t passed = MAX(MIN(now_ms - b->at_ms, (int64_t)BURST_S * 1000), 0);

	b->level = MIN(b->level + passed * r->per_s, most);
	b->at_ms = now_ms;
}

/* The client's bucket, else a free one or the fullest one, made the client's. */
static struct bucket *bucket_locked(struct rate *r, const uint8_t key[KEY_BYTES], int64_t now_ms)
	REQUIRES(r->mtx)
{
	struct bucket *best = &r->v[0];

	for (struct bucket *b = r->v; b < r->v + CLIENTS; b++) {
		if (!b->used) {
			best = b;
			break;
		}
		fill(r, b, now_ms);
		if (memcmp(b->key, key, KEY_BYTES) == 0)
			return b;
		if (b->level > best->level)
			best = b;
	}
	*best = (struct bucket){.used = true, .level = r->per_s * BURST_S * UNIT, .at_ms = now_ms};
	memcpy(best->key, key, KEY_BYTES);
	return best;
}

bool rate_take(struct rate *r, const struct sockaddr *sa, int64_t now_ms)
{
	uint8_t key[KEY_BYTES];

	if (!r)
		return true;
	key_of(sa, key);
	mutex_lock(&r->mtx);
	struct bucket *b = bucket_locked(r, key, now_ms);
	bool ok = b->level >= UNIT;
	if (ok)
		b->level -= UNIT;
	mutex_unlock(&r->mtx);
	return ok;
}
