/* The record of a collection, "object/<task>/<source id>": what a restart needs beside the
 * positions. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "server/task/coll.h"
#include "server/task/run_priv.h"
#include "store/keys.h"
#include "store/writer.h"

enum { FLUSH_MS = 10000 };

/* Ids and times are decimal strings: they must survive tools that read numbers as doubles. */
static void put_id(json_t *o, const char *key, uint64_t v)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRId64, (int64_t)v);
	json_object_set_new(o, key, json_string(text));
}

static int64_t get_id(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	int64_t v = 0;
	return s && str_to_i64(s, &v) ? v : 0;
}

static char *get_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return xstrdup(s ? s : "");
}

static json_t *shards_json(const struct coll *c)
{
	json_t *l = json_array();
	for (int i = 0; i < c->n_shards; i++) {
		const struct coll_shard *s = &c->shards[i];
		json_t *o = json_object();
		json_object_set_new(o, "source", json_string(s->vchannel));
		json_object_set_new(o, "source_pchannel", json_string(s->pchannel));
		json_object_set_new(
			o, "target", json_string(s->target_vchannel ? s->target_vchannel : ""));
		json_object_set_new(o, "target_pchannel",
			json_string(s->target_pchannel ? s->target_pchannel : ""));
		put_id(o, "drop_ts", s->drop_ts);
		put_id(o, "sent", s->sent);
		json_array_append_new(l, o);
	}
	return l;
}

static json_t *parts_json(const struct coll *c)
{
	json_t *l = json_array();
	size_t pos = 0;
	void *v;

	while (umap_next(&c->parts, &pos, NULL, &v)) {
		const struct part *p = v;
		if (p->state == PART_WANTED)
			continue;
		json_t *o = json_object();
		put_id(o, "source_id", (uint64_t)p->source_id);
		put_id(o, "target_id", (uint64_t)p->target_id);
		json_object_set_new(o, "name", json_string(p->name));
		json_object_set_new(o, "dropped", json_boolean(p->state == PART_DROPPED));
		json_array_append_new(l, o);
	}
	return l;
}

static json_t *kv_json(const struct kv_list *l)
{
	json_t *o = json_object();
	for (size_t i = 0; i < l->n; i++)
		json_object_set_new(o, l->v[i].key, json_string(l->v[i].value));
	return o;
}

static json_t *former_json(const struct coll *c)
{
	json_t *l = json_array();
	size_t from = c->n_former > COLL_FORMER_MAX ? c->n_former - COLL_FORMER_MAX : 0;

	for (size_t i = from; i < c->n_former; i++) {
		json_t *o = json_object();
		json_object_set_new(o, "db", json_string(c->former[i].db));
		json_object_set_new(o, "name", json_string(c->former[i].name));
		put_id(o, "until_ts", c->former[i].until_ts);
		json_array_append_new(l, o);
	}
	return l;
}

/* What coll_follow.c has done; members without content are left out. */
static void put_follow(json_t *o, const struct coll *c)
{
	if (c->follow.known)
		json_object_set_new(o, "properties", kv_json(&c->follow.properties));
	if (c->follow.aliases.n)
		json_object_set_new(o, "aliases", kv_json(&c->follow.aliases));
	if (c->follow.fields.n)
		json_object_set_new(o, "fields", kv_json(&c->follow.fields));
	if (c->n_former) {
		json_object_set_new(o, "former", former_json(c));
		put_id(o, "named_ts", c->named_ts);
	}
	if (c->follow.next_name) {
		json_object_set_new(o, "next_db", json_string(c->follow.next_db));
		json_object_set_new(o, "next_name", json_string(c->follow.next_name));
	}
}

char *coll_record_json(struct coll *c)
{
	json_t *o = json_object();

	mutex_lock(&c->mtx);
	json_object_set_new(o, "format", json_integer(1));
	json_object_set_new(o, "state", json_string(coll_state_name(c->state)));
	put_id(o, "db_id", (uint64_t)c->db_id);
	json_object_set_new(o, "db", json_string(c->db));
	json_object_set_new(o, "name", json_string(c->name));
	json_object_set_new(o, "target_db", json_string(c->target_db));
	json_object_set_new(o, "target_name", json_string(c->target_name));
	put_id(o, "target_id", (uint64_t)c->target_id);
	put_id(o, "create_ts", c->create_ts);
	put_id(o, "pk_field_id", (uint64_t)c->pk_field_id);
	json_object_set_new(o, "pk_is_varchar", json_boolean(c->pk_is_varchar));
	if (c->pk_name)
		json_object_set_new(o, "pk_name", json_string(c->pk_name));
	json_object_set_new(o, "unclean", json_boolean(c->unclean || c->drop_pending));
	json_object_set_new(o, "shards", shards_json(c));
	json_object_set_new(o, "partitions", parts_json(c));
	put_follow(o, c);
	mutex_unlock(&c->mtx);
	char *text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

static char *record_key(const struct coll *c)
{
	CLEANUP(freep) char *id = xasprintf("%" PRId64, c->id);
	return keys_ext_task("object", c->run->task->id, id);
}

void coll_record_put(struct coll *c)
{
	CLEANUP(freep) char *text = coll_record_json(c);
	CLEANUP(freep) char *key = record_key(c);
	writer_put_ext(c->run->sv.writer, key, text);
}

enum err_code coll_record_flush(struct coll *c, struct err *e)
{
	CLEANUP(freep) char *key = record_key(c);
	coll_record_put(c);
	return writer_flush_ext(c->run->sv.writer, key, deadline_in(FLUSH_MS), &c->run->stop, e);
}

static bool read_shards(struct coll *c, const json_t *l)
{
	size_t n = json_array_size(l);
	if (n > COLLECTION_SHARDS_MAX)
		return false;
	c->shards = xcalloc(MAX(n, 1), sizeof(*c->shards));
	for (size_t i = 0; i < n; i++) {
		const json_t *o = json_array_get(l, i);
		struct coll_shard *s = &c->shards[i];
		s->coll = c;
		s->index = (int)i;
		s->vchannel = get_text(o, "source");
		s->pchannel = get_text(o, "source_pchannel");
		s->target_vchannel = get_text(o, "target");
		s->target_pchannel = get_text(o, "target_pchannel");
		s->sent = (uint64_t)get_id(o, "sent");
		/* Before, a shard comes to its drop message again: its position stood still. */
		if (c->state == COLL_DROP_READY)
			s->drop_ts = (uint64_t)get_id(o, "drop_ts");
		c->n_shards++;
	}
	return true;
}

static void read_parts(struct coll *c, const json_t *l)
{
	for (size_t i = 0; i < json_array_size(l); i++) {
		const json_t *o = json_array_get(l, i);
		struct part *p = xcalloc(1, sizeof(*p));
		p->source_id = get_id(o, "source_id");
		p->target_id = get_id(o, "target_id");
		p->name = get_text(o, "name");
		p->state = json_is_true(json_object_get(o, "dropped")) ? PART_DROPPED : PART_OK;
		struct part *old = umap_put(&c->parts, (uint64_t)p->source_id, p);
		if (old) {
			free(old->name);
			free(old->shards);
			free(old);
		}
	}
}

static void read_kv(struct kv_list *to, const json_t *o)
{
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)(uintptr_t)o, key, v)
		if (json_is_string(v))
			kv_put(to, key, json_string_value(v));
}

static void read_follow(struct coll *c, const json_t *o)
{
	const json_t *former = json_object_get(o, "former");

	c->follow.known = json_is_object(json_object_get(o, "properties"));
	read_kv(&c->follow.properties, json_object_get(o, "properties"));
	read_kv(&c->follow.aliases, json_object_get(o, "aliases"));
	read_kv(&c->follow.fields, json_object_get(o, "fields"));
	c->named_ts = (uint64_t)get_id(o, "named_ts");
	c->n_former = MIN(json_array_size(former), (size_t)COLL_FORMER_MAX);
	c->former = xcalloc(c->n_former + 1, sizeof(*c->former));
	for (size_t i = 0; i < c->n_former; i++) {
		const json_t *f = json_array_get(former, i);
		c->former[i] = (struct coll_former){.db = get_text(f, "db"),
			.name = get_text(f, "name"),
			.until_ts = (uint64_t)get_id(f, "until_ts")};
	}
	if (!json_is_string(json_object_get(o, "next_name")))
		return;
	c->follow.next_db = get_text(o, "next_db");
	c->follow.next_name = get_text(o, "next_name");
}

bool coll_record_read(struct coll *c, const char *json)
{
	json_t *o = json_loads(json, 0, NULL);
	if (!json_is_object(o)) {
		json_decref(o);
		return false;
	}
	const char *state = json_string_value(json_object_get(o, "state"));
	c->db_id = get_id(o, "db_id");
	c->db = get_text(o, "db");
	c->name = get_text(o, "name");
	c->target_db = get_text(o, "target_db");
	c->target_name = get_text(o, "target_name");
	c->target_id = get_id(o, "target_id");
	c->create_ts = (uint64_t)get_id(o, "create_ts");
	c->pk_field_id = get_id(o, "pk_field_id");
	c->pk_is_varchar = json_is_true(json_object_get(o, "pk_is_varchar"));
	if (json_object_get(o, "pk_name"))
		c->pk_name = get_text(o, "pk_name");
	c->unclean = json_is_true(json_object_get(o, "unclean"));
	c->recorded = true;
	if (state && strcmp(state, coll_state_name(COLL_DROPPED)) == 0)
		c->state = COLL_DROPPED;
	else if (state && strcmp(state, coll_state_name(COLL_DROP_READY)) == 0)
		c->state = COLL_DROP_READY;
	bool good = state && c->name[0] && read_shards(c, json_object_get(o, "shards"));
	if (good)
		read_parts(c, json_object_get(o, "partitions"));
	read_follow(c, o);
	json_decref(o);
	return good;
}
