/* Made-up collections have channels and ids that no Milvus has, one partition "_default", and what
 * was added. An overlay of a real collection holds only the partitions that were added. */
#include "sink/sink_dry.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/mutex.h"
#include "base/time.h"
#include "base/wire.h"
#include "model/ts.h"

enum { CHANNELS = 16, NAME_BYTES = 96, NAME_MOST = 1024, SUMMARY_MS = 10000, POSITION_BYTES = 8 };

struct overlay {
	char *db, *name;
	char *real_db, *real_name; /* what it is on the target: it was renamed; or NULL */
	bool made, dropped;
	int64_t id;
	uint64_t created_ts;
	int shards_num;
	struct slice schema;          /* as it was to be created; owned */
	struct sink_partition *parts; /* added ones */
	size_t n_parts, cap_parts;
};

struct dry {
	struct sink head;
	struct sink *real; /* NULL: none */
	const struct log_ctx *log;

	struct mutex mtx;
	struct overlay **l;
	size_t n, cap;
	char **dbs; /* made-up ones */
	size_t n_dbs, cap_dbs;
	uint64_t calls, bytes; /* since told_mono_ms */
	int64_t told_mono_ms;
	uint64_t position;
};

static struct dry *dry_of(struct sink *k)
{
	return CONTAINER_OF(k, struct dry, head);
}

static struct overlay *find_locked(struct dry *d, const char *db, const char *name)
{
	for (size_t i = d->n; i-- > 0;)
		if (strcmp(d->l[i]->db, db) == 0 && strcmp(d->l[i]->name, name) == 0)
			return d->l[i];
	return NULL;
}

static struct overlay *overlay_locked(struct dry *d, const char *db, const char *name)
{
	struct overlay *o = find_locked(d, db, name);

	if (o)
		return o;
	o = xcalloc(1, sizeof(*o));
	o->db = xstrdup(db);
	o->name = xstrdup(name);
	mem_grow(&d->l, &d->cap, d->n + 1, sizeof(struct overlay *));
	d->l[d->n++] = o;
	return o;
}

static void schema_set(struct overlay *o, struct slice schema)
{
	free((void *)(uintptr_t)o->schema.p); /* owned here, only borrowed elsewhere */
	o->schema = (struct slice){0};
	if (schema.n)
		o->schema = slice_of(xmemdup(schema.p, schema.n), schema.n);
}

static void parts_clear(struct overlay *o)
{
	for (size_t i = 0; i < o->n_parts; i++)
		free(o->parts[i].name);
	o->n_parts = 0;
}

static void part_add(struct overlay *o, int64_t id, const char *name)
{
	mem_grow(&o->parts, &o->cap_parts, o->n_parts + 1, sizeof(*o->parts));
	o->parts[o->n_parts++] = (struct sink_partition){.id = id, .name = xstrdup(name)};
}

static void part_remove(struct overlay *o, const char *name)
{
	for (size_t i = 0; i < o->n_parts; i++) {
		if (strcmp(o->parts[i].name, name))
			continue;
		free(o->parts[i].name);
		o->parts[i] = o->parts[--o->n_parts];
		return;
	}
}

static enum err_code connect_once(
	struct sink *k, struct stop *s, struct sink_info *ret_info, struct err *e)
{
	struct dry *d = dry_of(k);

	*ret_info = (struct sink_info){.version = ""};
	return d->real ? d->real->ops->connect(d->real, s, ret_info, e) : ERR_OK;
}

static enum err_code read_clock(struct sink *k, struct stop *s, uint64_t *ret_ts, struct err *e)
{
	struct dry *d = dry_of(k);

	*ret_ts = ts_from_ms(time_wall_ms());
	return d->real ? d->real->ops->clock(d->real, s, ret_ts, e) : ERR_OK;
}

static void make_up(const struct overlay *o, struct sink_collection *c)
{
	char name[NAME_BYTES];

	*c = (struct sink_collection){
		.id = o->id, .created_ts = o->created_ts, .shards_num = o->shards_num};
	if (o->schema.n)
		c->schema = slice_of(xmemdup(o->schema.p, o->schema.n), o->schema.n);
	c->shards = xcalloc((size_t)MAX(o->shards_num, 1), sizeof(*c->shards));
	for (int i = 0; i < o->shards_num; i++) {
		snprintf(name, sizeof(name), "dry-run-dml_%d", i % CHANNELS);
		c->shards[i] = (struct sink_shard){.pchannel = xstrdup(name),
			.vchannel = xasprintf("%s_%" PRId64 "v%d", name, o->id, i)};
	}
}

static void add_parts(const struct overlay *o, struct sink_collection *c)
{
	c->partitions = xrealloc(
		c->partitions, (c->n_partitions + o->n_parts + 1) * sizeof(*c->partitions));
	for (size_t i = 0; i < o->n_parts; i++)
		c->partitions[c->n_partitions++] = (struct sink_partition){
			.id = o->parts[i].id, .name = xstrdup(o->parts[i].name)};
}

static enum err_code describe(struct sink *k, const char *db, const char *name, struct stop *s,
	struct sink_collection *ret_c, struct err *e)
{
	struct dry *d = dry_of(k);
	CLEANUP(freep) char *real_db = NULL, *real_name = NULL;

	mutex_lock(&d->mtx);
	const struct overlay *o = find_locked(d, db, name);
	bool made = o && o->made, missing = o ? o->dropped : !d->real;
	bool moved = o && o->real_name;
	real_db = xstrdup(moved ? o->real_db : db);
	real_name = xstrdup(moved ? o->real_name : name);
	if (made)
		make_up(o, ret_c);
	mutex_unlock(&d->mtx);
	if (missing || (!made && !d->real))
		return err_set(e, ERR_NOT_FOUND, "dry run: %s.%s is not there", db, name);
	if (!made && d->real->ops->describe(d->real, real_db, real_name, s, ret_c, e))
		return e->code;
	mutex_lock(&d->mtx);
	o = find_locked(d, db, name);
	if (o)
		add_parts(o, ret_c);
	mutex_unlock(&d->mtx);
	return ERR_OK;
}

static enum err_code databases(
	struct sink *k, struct stop *s, struct sink_names *ret_l, struct err *e)
{
	struct dry *d = dry_of(k);

	*ret_l = (struct sink_names){.n = 0};
	if (d->real && d->real->ops->databases(d->real, s, ret_l, e))
		return e->code;
	mutex_lock(&d->mtx);
	ret_l->names = xrealloc(ret_l->names, (ret_l->n + d->n_dbs + 1) * sizeof(char *));
	for (size_t i = 0; i < d->n_dbs; i++)
		ret_l->names[ret_l->n++] = xstrdup(d->dbs[i]);
	mutex_unlock(&d->mtx);
	return ERR_OK;
}

static void create_locked(struct dry *d, const struct sink_change *c)
{
	struct overlay *o = overlay_locked(d, c->db, c->collection);

	parts_clear(o);
	schema_set(o, c->schema);
	o->made = true;
	o->dropped = false;
	o->id = c->source_id;
	o->created_ts = c->ts;
	o->shards_num = c->shards_num;
	part_add(o, 1, "_default");
}

static void drop_database_locked(struct dry *d, const char *db)
{
	for (size_t i = 0; i < d->n_dbs; i++) {
		if (strcmp(d->dbs[i], db))
			continue;
		free(d->dbs[i]);
		d->dbs[i] = d->dbs[--d->n_dbs];
		return;
	}
}

/* Remembers c; what it is in words. */
static const char *note_locked(struct dry *d, const struct sink_change *c)
{
	switch (c->kind) {
	case SINK_CREATE_DATABASE:
		mem_grow(&d->dbs, &d->cap_dbs, d->n_dbs + 1, sizeof(char *));
		d->dbs[d->n_dbs++] = xstrdup(c->db);
		return "create database";
	case SINK_DROP_DATABASE:
		drop_database_locked(d, c->db);
		return "drop database";
	case SINK_CREATE_COLLECTION:
		create_locked(d, c);
		return "create collection";
	case SINK_DROP_COLLECTION: {
		struct overlay *o = overlay_locked(d, c->db, c->collection);
		parts_clear(o);
		o->made = false;
		o->dropped = true;
		return "drop collection";
	}
	case SINK_CREATE_PARTITION:
		part_add(overlay_locked(d, c->db, c->collection), c->source_partition_id,
			c->partition);
		return "create partition";
	case SINK_DROP_PARTITION:
		assert(c->partition);
		part_remove(overlay_locked(d, c->db, c->collection), c->partition);
		return "drop partition";
	case SINK_DROP_ALIAS:
		return "drop alias";
	}
	return "";
}

static enum err_code change(
	struct sink *k, const struct sink_change *c, struct stop *s, struct err *e)
{
	struct dry *d = dry_of(k);
	const char *detail = c->partition ? c->partition : c->alias;

	(void)s;
	(void)e;
	mutex_lock(&d->mtx);
	const char *what = note_locked(d, c);
	mutex_unlock(&d->mtx);
	log_info(d->log, "dry run, not done: %s %s%s%s%s%s", what, c->db, c->collection ? "." : "",
		c->collection ? c->collection : "", detail ? " " : "", detail ? detail : "");
	return ERR_OK;
}

static void overlay_done(struct overlay *o)
{
	parts_clear(o);
	schema_set(o, (struct slice){0});
	free(o->parts);
	free(o->db);
	free(o->name);
	free(o->real_db);
	free(o->real_name);
	free(o);
}

static void overlay_remove_locked(struct dry *d, const char *db, const char *name)
{
	for (size_t i = 0; i < d->n; i++) {
		if (strcmp(d->l[i]->db, db) || strcmp(d->l[i]->name, name))
			continue;
		overlay_done(d->l[i]);
		d->l[i] = d->l[--d->n];
		return;
	}
}

/* From now on it is found under its new name only. */
static void rename_locked(
	struct dry *d, const char *db, const char *name, const char *new_db, const char *new_name)
{
	overlay_remove_locked(d, new_db, new_name);
	struct overlay *o = overlay_locked(d, db, name);
	if (!o->made && !o->real_name) {
		o->real_db = xstrdup(db);
		o->real_name = xstrdup(name);
	}
	free(o->db);
	free(o->name);
	o->db = xstrdup(new_db);
	o->name = xstrdup(new_name);
	overlay_locked(d, db, name)->dropped = true;
}

static void note_rename(struct dry *d, const struct sink_call *c)
{
	enum { OLD_NAME = 3, NEW_NAME = 4, NEW_DB = 5 };
	CLEANUP(buf_done) struct buf body = BUF_INIT(LIMIT_RECORD);
	char name[NAME_MOST] = "", new_name[NAME_MOST] = "", new_db[NAME_MOST] = "";
	struct wire_field f;

	for (size_t i = 0; i < c->body->n; i++)
		buf_put(&body, c->body->v[i].p, c->body->v[i].n);
	struct wire w = wire_open(buf_slice(&body));
	while (wire_next(&w, &f)) {
		char *to = f.num == OLD_NAME   ? name
			   : f.num == NEW_NAME ? new_name
			   : f.num == NEW_DB   ? new_db
					       : NULL;
		if (to && f.type == WIRE_LEN)
			snprintf(to, NAME_MOST, "%.*s", (int)f.data.n, (const char *)f.data.p);
	}
	mutex_lock(&d->mtx);
	rename_locked(d, c->db, name, *new_db ? new_db : c->db, new_name);
	mutex_unlock(&d->mtx);
}

static enum err_code call(struct sink *k, const struct sink_call *c, struct stop *s, struct err *e)
{
	(void)s;
	(void)e;
	if (strcmp(c->method, "RenameCollection") == 0)
		note_rename(dry_of(k), c);
	log_info(dry_of(k)->log, "dry run, not done: %s on database %s", c->method,
		*c->db ? c->db : "default");
	return ERR_OK;
}

/* One line a while for all channels: ticks alone are some calls a second each. */
static enum err_code replicate(struct sink *k, const struct iov *request, int64_t deadline_ms,
	struct stop *s, struct mq_id *ret_position, struct err *e)
{
	struct dry *d = dry_of(k);
	int64_t now = time_mono_ms();

	(void)deadline_ms;
	(void)s;
	(void)e;
	mutex_lock(&d->mtx);
	uint64_t calls = ++d->calls, bytes = d->bytes += request->bytes;
	uint64_t position = ++d->position;
	bool tell = now - d->told_mono_ms >= SUMMARY_MS;
	if (tell) {
		d->calls = d->bytes = 0;
		d->told_mono_ms = now;
	}
	mutex_unlock(&d->mtx);
	*ret_position = (struct mq_id){.n = POSITION_BYTES};
	for (int i = 0; i < POSITION_BYTES; i++)
		ret_position->b[i] = (uint8_t)(position >> 8 * i);
	if (tell)
		log_info(d->log,
			"dry run, not sent: %" PRIu64 " calls with %" PRIu64
			" bytes of rows and ticks",
			calls, bytes);
	return ERR_OK;
}

static void close_dry(struct sink *k)
{
	struct dry *d = dry_of(k);

	sink_close(d->real);
	for (size_t i = 0; i < d->n; i++)
		overlay_done(d->l[i]);
	for (size_t i = 0; i < d->n_dbs; i++)
		free(d->dbs[i]);
	free(d->l);
	free(d->dbs);
	mutex_done(&d->mtx);
	free(d);
}

static const struct sink_ops ops = {.name = "dry run",
	.connect = connect_once,
	.clock = read_clock,
	.describe = describe,
	.databases = databases,
	.change = change,
	.call = call,
	.replicate = replicate,
	.close = close_dry};

struct sink *sink_dry_open(struct sink *real, const struct log_ctx *log)
{
	struct dry *d = xcalloc(1, sizeof(*d));

	d->head.ops = &ops;
	d->real = real;
	d->log = log;
	d->told_mono_ms = time_mono_ms();
	mutex_init(&d->mtx, "dry run");
	return &d->head;
}
