/* Values of the source's etcd. The first byte chooses a decoder, or a run of events into a
 * catalog's state: records of {operation, id, length, value}. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/wire.h"
#include "source/catalog_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t first_id(struct slice in)
{
	struct wire w = wire_open(in);
	struct wire_field f;
	return wire_next(&w, &f) && f.num == 1 ? (int64_t)f.value : 0;
}

static void check_collection(const struct collection *c)
{
	assert(c->name[0] && c->shards_num > 0 && c->shards_num <= COLLECTION_SHARDS_MAX);
	for (int i = 0; i < c->shards_num; i++)
		assert(c->shards[i].vchannel[0] && c->shards[i].pchannel);
}

static void collection(struct slice in)
{
	struct catalog_schema *sc = catalog_schema_new(), *again = catalog_schema_new();
	struct collection *c = NULL;
	struct slice schema;

	if (!catalog_decode_collection(in, 1, first_id(in), &c, &schema, NULL)) {
		check_collection(c);
		if (catalog_schema_set_head(sc, schema)) {
			catalog_schema_build(sc, c);
			bool ok = catalog_schema_set_head(again, c->schema);
			assert(ok && again->n == sc->n);
		}
	}
	collection_unref(c);
	catalog_schema_free(sc);
	catalog_schema_free(again);
}

static void small(struct slice in)
{
	struct partition p;
	struct database db;
	struct catalog_field f;

	if (!catalog_decode_partition(in, 7, first_id(in), &p, NULL))
		free(p.name);
	if (!catalog_decode_database(in, 7, &db, NULL))
		catalog_database_done(&db);
	(void)!catalog_decode_field(in, &f, NULL);
}

static void key(struct slice in)
{
	char text[256];

	snprintf(text, sizeof(text), "%.*s", (int)in.n, (const char *)in.p);
	struct catalog_key k = catalog_key_parse(text);
	assert(k.kind == CATALOG_KEY_BAD || (k.id >= 0 && k.parent >= 0));
}

static void event(struct catalog *c, uint8_t op, uint8_t id, struct slice value)
{
	static const char *const forms[] = {"database/db-info", "database/collection-info/1",
		"fields/7", "functions/7", "partitions/7"};
	char key_text[64];

	snprintf(key_text, sizeof(key_text), "%s%s/%d", c->base, forms[op % ARRAY_LEN(forms)], id);
	struct etcd_kv kv = {
		.key = key_text, .key_n = strlen(key_text), .value = value, .mod_revision = 1};
	mutex_lock(&c->mtx);
	if (op & 0x80)
		catalog_apply_gone(c, &kv);
	else
		catalog_apply_put(c, &kv, false);
	if (op & 0x40)
		catalog_publish(c, false);
	mutex_unlock(&c->mtx);
}

static void check_lists(struct catalog *c)
{
	struct collection **list;
	size_t n = catalog_collections(c, &list);

	for (size_t i = 0; i < n; i++) {
		check_collection(list[i]);
		catalog_forget(c, list[i]->id);
		collection_unref(list[i]);
	}
	free(list);
}

static void events(struct slice in)
{
	struct catalog_opts o = {.root_path = "r", .meta_sub_path = "m"};
	struct catalog_listing nothing;
	struct catalog *c;

	if (catalog_new(NULL, &o, &c, NULL))
		return;
	while (in.n >= 3) {
		size_t n = MIN((size_t)in.p[2], in.n - 3);
		event(c, in.p[0], in.p[1], slice_of(in.p + 3, n));
		in = slice_of(in.p + 3 + n, in.n - 3 - n);
	}
	check_lists(c);
	catalog_listing_init(&nothing);
	mutex_lock(&c->mtx);
	catalog_listing_apply(c, &nothing);
	mutex_unlock(&c->mtx);
	catalog_listing_done(&nothing);
	check_lists(c);
	catalog_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	log_set_level(LOG_OFF);
	struct slice in = slice_of(data + 1, size - 1);
	switch (data[0] % 4) {
	case 0:
		collection(in);
		break;
	case 1:
		small(in);
		break;
	case 2:
		key(in);
		break;
	default:
		events(in);
	}
	return 0;
}
