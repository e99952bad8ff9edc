/* etcd's answers. The first byte chooses which; every slice handed out must lie in the message. */
#include <assert.h>
#include <stdlib.h>

#include "client/etcd/etcd_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(const struct buf *body, struct slice s)
{
	assert(!s.n || (s.p >= body->p && s.p + s.n <= body->p + body->n));
}

static void check_kv(const struct buf *body, const struct etcd_kv *kv)
{
	if (kv->key_n)
		inside(body, slice_of(kv->key, kv->key_n));
	inside(body, kv->value);
	assert(kv->key[kv->key_n] == '\0');
}

static void range(struct slice in)
{
	struct etcd_chunk *ch = etcd_chunk_new();
	struct etcd_range r;
	bool more;

	etcd_range_init(&r);
	buf_put(&ch->body, in.p, in.n);
	if (etcd_decode_range(ch, &r, &more, NULL))
		etcd_chunk_free(ch);
	else
		for (size_t i = 0; i < r.n; i++)
			check_kv(&ch->body, &r.kvs[i]);
	etcd_range_done(&r);
}

static void watch(struct slice in)
{
	struct etcd_chunk *ch = etcd_chunk_new();
	struct etcd_watch_answer a;
	struct etcd_events ev;

	etcd_events_init(&ev);
	buf_put(&ch->body, in.p, in.n);
	bool ok = etcd_decode_watch(ch, &a, &ev, NULL) == ERR_OK;
	for (size_t i = 0; i < ev.n; i++)
		check_kv(&ch->body, &ev.events[i].kv);
	if (!ok || !a.n_events)
		etcd_chunk_free(ch);
	etcd_events_done(&ev);
}

static void small(struct slice in)
{
	char *token = NULL;
	int64_t a, b;
	bool ok;

	if (!etcd_decode_auth(in, &token, NULL))
		free(token);
	(void)!etcd_decode_txn(in, &ok, &a, NULL);
	(void)!etcd_decode_lease(in, &a, &b, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	struct slice in = slice_of(data + 1, size - 1);
	switch (data[0] % 3) {
	case 0:
		range(in);
		break;
	case 1:
		watch(in);
		break;
	default:
		small(in);
	}
	return 0;
}
