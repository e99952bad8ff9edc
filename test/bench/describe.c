#include "bench/describe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/wire.h"

enum { CHANNELS = 16, NAME_BYTES = 512, PARTS_MOST = 32, NOT_FOUND = 100, TS_SHIFT = 18 };

struct part {
	char *name;
	uint64_t id;
};

struct collection {
	uint64_t id, shards, created, consistency;
	struct slice schema; /* on the heap */
	struct part parts[PARTS_MOST];
	size_t n_parts;
};

struct describe {
	struct smap collections; /* "database/name" to struct collection */
	uint64_t next_id;
};

/* What the requests have in common. */
struct request {
	struct slice db, name, fourth;
	uint64_t shards, consistency;
	char key[NAME_BYTES];
};

typedef void answer_fn(struct describe *d, const struct request *r, struct buf *b);

struct describe *describe_new(void)
{
	struct describe *d = xcalloc(1, sizeof(*d));
	d->next_id = 1000;
	return d;
}

static void collection_free(struct collection *c)
{
	for (size_t i = 0; i < c->n_parts; i++)
		free(c->parts[i].name);
	free((void *)(uintptr_t)c->schema.p);
	free(c);
}

void describe_free(struct describe *d)
{
	size_t pos = 0;
	const char *key;
	void *value;

	while (smap_next(&d->collections, &pos, &key, &value))
		collection_free(value);
	smap_done(&d->collections);
	free(d);
}

size_t describe_count(const struct describe *d)
{
	return smap_count(&d->collections);
}

static uint64_t now_ts(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return ((uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000) << TS_SHIFT;
}

static void put_error(struct buf *b, uint64_t code, const char *reason)
{
	wire_put_u64(b, 1, 1);
	wire_put_str(b, 2, reason);
	wire_put_u64(b, 3, code);
}

/* Field 1 of most answers: the status. */
static void put_missing(struct buf *b)
{
	struct buf status = BUF_INIT(NAME_BYTES);

	put_error(&status, NOT_FOUND, "collection not found");
	wire_put_bytes(b, 1, buf_slice(&status));
	buf_done(&status);
}

static void put_fine(struct buf *b)
{
	wire_put_str(b, 1, "");
}

static void add_part(struct describe *d, struct collection *c, struct slice name)
{
	if (c->n_parts < PARTS_MOST)
		c->parts[c->n_parts++] = (struct part){
			.name = xstrndup((const char *)name.p, name.n), .id = d->next_id++};
}

static void create(struct describe *d, const struct request *r, UNUSED struct buf *b)
{
	if (smap_get(&d->collections, r->key))
		return;
	struct collection *c = xcalloc(1, sizeof(*c));
	c->id = d->next_id++;
	c->shards = r->shards ? r->shards : 1;
	c->consistency = r->consistency;
	c->created = now_ts();
	c->schema = slice_of(xmemdup(r->fourth.p, r->fourth.n), r->fourth.n);
	add_part(d, c, slice_str("_default"));
	smap_put(&d->collections, r->key, c);
}

static void drop(struct describe *d, const struct request *r, UNUSED struct buf *b)
{
	struct collection *c = smap_del(&d->collections, r->key);
	if (c)
		collection_free(c);
}

static void put_channel(struct buf *b, uint32_t field, const struct collection *c, uint64_t shard)
{
	char text[NAME_BYTES];
	int n = snprintf(text, sizeof(text), "fake-rootcoord-dml_%llu",
		(unsigned long long)((c->id + shard) % CHANNELS));

	if (field == 4)
		snprintf(text + n, sizeof(text) - (size_t)n, "_%lluv%llu",
			(unsigned long long)c->id, (unsigned long long)shard);
	wire_put_str(b, field, text);
}

static void describe(struct describe *d, const struct request *r, struct buf *b)
{
	const struct collection *c = smap_get(&d->collections, r->key);

	if (!c) {
		put_missing(b);
		return;
	}
	put_fine(b);
	wire_put_bytes(b, 2, c->schema);
	wire_put_u64(b, 3, c->id);
	for (uint64_t i = 0; i < c->shards; i++)
		put_channel(b, 4, c, i);
	for (uint64_t i = 0; i < c->shards; i++)
		put_channel(b, 5, c, i);
	wire_put_u64(b, 6, c->created);
	wire_put_u64(b, 10, c->shards);
	wire_put_u64(b, 11, c->consistency);
	wire_put_bytes(b, 12, r->name);
	wire_put_u64(b, 15, c->n_parts);
}

static void show_parts(struct describe *d, const struct request *r, struct buf *b)
{
	const struct collection *c = smap_get(&d->collections, r->key);

	if (!c) {
		put_missing(b);
		return;
	}
	put_fine(b);
	for (size_t i = 0; i < c->n_parts; i++)
		wire_put_str(b, 2, c->parts[i].name);
	for (size_t i = 0; i < c->n_parts; i++)
		wire_put_u64(b, 3, c->parts[i].id);
}

static void create_part(struct describe *d, const struct request *r, struct buf *b)
{
	struct collection *c = smap_get(&d->collections, r->key);

	if (!c)
		put_error(b, NOT_FOUND, "collection not found");
	else
		add_part(d, c, r->fourth);
}

static void show_collections(struct describe *d, UNUSED const struct request *r, struct buf *b)
{
	size_t pos = 0;
	const char *key;
	void *value;

	put_fine(b);
	while (smap_next(&d->collections, &pos, &key, &value))
		wire_put_str(b, 2, strchr(key, '/') + 1);
	for (pos = 0; smap_next(&d->collections, &pos, &key, &value);)
		wire_put_u64(b, 3, ((struct collection *)value)->id);
}

static void databases(UNUSED struct describe *d, UNUSED const struct request *r, struct buf *b)
{
	put_fine(b);
	wire_put_str(b, 2, "default");
}

static void clock_now(UNUSED struct describe *d, UNUSED const struct request *r, struct buf *b)
{
	put_fine(b);
	wire_put_u64(b, 2, now_ts());
}

static void version(UNUSED struct describe *d, UNUSED const struct request *r, struct buf *b)
{
	put_fine(b);
	wire_put_str(b, 2, "v2.3.5");
}

static void welcome(UNUSED struct describe *d, UNUSED const struct request *r, struct buf *b)
{
	struct buf info = BUF_INIT(64);

	wire_put_str(&info, 1, "v2.3.5");
	put_fine(b);
	wire_put_bytes(b, 2, buf_slice(&info));
	wire_put_u64(b, 3, now_ts());
	buf_done(&info);
}

static const struct {
	const char *method;
	answer_fn *answer;
} methods[] = {
	{"Connect", welcome},
	{"GetVersion", version},
	{"AllocTimestamp", clock_now},
	{"ListDatabases", databases},
	{"CreateCollection", create},
	{"DropCollection", drop},
	{"DescribeCollection", describe},
	{"ShowCollections", show_collections},
	{"ShowPartitions", show_parts},
	{"CreatePartition", create_part},
};

static struct request read_request(const struct gs_call *c)
{
	struct request r = {.db = {.n = 0}};
	struct wire w = wire_open(gs_body(c));
	struct wire_field f;

	while (wire_next(&w, &f)) {
		if (f.num == 2)
			r.db = f.data;
		else if (f.num == 3)
			r.name = f.data;
		else if (f.num == 4)
			r.fourth = f.data;
		else if (f.num == 5)
			r.shards = f.value;
		else if (f.num == 6)
			r.consistency = f.value;
	}
	if (!r.db.n) {
		const char *db = gs_meta_get(c, "dbname");
		r.db = slice_str(db && *db ? db : "default");
	}
	snprintf(r.key, sizeof(r.key), "%.*s/%.*s", (int)r.db.n, (const char *)r.db.p,
		(int)r.name.n, (const char *)r.name.p);
	return r;
}

void describe_answer(struct describe *d, const struct gs_call *c, struct buf *answer)
{
	struct request r = read_request(c);
	const char *method = strrchr(gs_path(c), '/');

	for (size_t i = 0; method && i < ARRAY_LEN(methods); i++)
		if (strcmp(method + 1, methods[i].method) == 0)
			methods[i].answer(d, &r, answer);
}
