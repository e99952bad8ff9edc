/* Partitions of a collection. Rows bind by the source partition id through the map in coll->parts,
 * never by name alone, so that rows of a dropped partition can't reach a later one of its name. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/ts.h"
#include "server/task/coll.h"
#include "server/config/config.h"
#include "server/task/run_priv.h"
#include "source/catalog.h"

/* Milvus (2.3.5) writes the message of a drop after it has answered it, with a time of its own. */
enum { DROP_LATE_MS = 3000 };
enum { CURRENT_MS = 3000, PATIENCE_MS = 3000, KEEP_MS = 10000 };

static struct part *part_add_locked(struct coll *c, int64_t source_id, const char *name)
{
	struct part *p = xcalloc(1, sizeof(*p));
	p->source_id = source_id;
	p->name = xstrdup(name);
	umap_put(&c->parts, (uint64_t)source_id, p);
	return p;
}

/* A record of an earlier run does not say how many there are. */
static struct part_shard *shard_of(struct part *p, int i)
{
	if (i >= p->n_shards) {
		int n = i + 1;
		p->shards = xrealloc(p->shards, (size_t)n * sizeof(*p->shards));
		memset(&p->shards[p->n_shards], 0, (size_t)(n - p->n_shards) * sizeof(*p->shards));
		p->n_shards = n;
	}
	return &p->shards[i];
}

static void part_free(struct part *p)
{
	free(p->name);
	free(p->shards);
	free(p);
}

void coll_parts_free(struct coll *c)
{
	size_t pos = 0;
	void *v;

	while (umap_next(&c->parts, &pos, NULL, &v))
		part_free(v);
	umap_done(&c->parts);
}

enum stream_partition coll_part_find(
	struct stream *st, int64_t source_id, struct slice name, int64_t *ret_target)
{
	struct coll *c = st->owner;
	int shard = CONTAINER_OF(st, struct coll_shard, stream)->index;
	enum stream_partition answer = STREAM_PARTITION_WAIT;

	(void)name;
	mutex_lock(&c->mtx);
	struct part *p = umap_get(&c->parts, (uint64_t)source_id);
	bool added = !p;
	if (!p)
		p = part_add_locked(c, source_id, "");
	struct part_shard *s = shard_of(p, shard);
	if (p->state == PART_DROPPED || s->drop_seen) {
		answer = STREAM_PARTITION_SKIP;
	} else if (p->state == PART_OK || (p->state == PART_DROPPING && p->target_id)) {
		*ret_target = p->target_id;
		answer = STREAM_PARTITION_OK;
	}
	if (answer == STREAM_PARTITION_WAIT && !p->wanted_ms)
		p->wanted_ms = time_mono_ms();
	added = added || (answer == STREAM_PARTITION_WAIT && !s->wanted);
	s->wanted = answer == STREAM_PARTITION_WAIT;
	mutex_unlock(&c->mtx);
	if (added)
		job_wake(&c->job, 0);
	return answer;
}

void coll_part_drop_seen(struct coll *c, int shard, int64_t partition_id, uint64_t ts)
{
	mutex_lock(&c->mtx);
	struct part *p = umap_get(&c->parts, (uint64_t)partition_id);
	if (!p) { /* without rows; it may be being created just now */
		p = part_add_locked(c, partition_id, "");
		p->wanted_ms = time_mono_ms();
	}
	if (p->state != PART_DROPPED && shard < c->n_shards) {
		if (p->target_id)
			p->state = PART_DROPPING; /* else when it is bound */
		p->drop_ts = ts;
		shard_of(p, shard)->drop_seen = true;
		c->drop_pending = true;
	}
	mutex_unlock(&c->mtx);
	job_wake(&c->job, 0);
}

static int64_t target_partition(const struct sink_collection *m, const char *name)
{
	for (size_t i = 0; i < m->n_partitions; i++)
		if (strcmp(m->partitions[i].name, name) == 0)
			return m->partitions[i].id;
	return 0;
}

/* The partition that has p's name on the target. */
static struct part *holder_locked(struct coll *c, const struct partition *p)
{
	size_t pos = 0;
	void *v;

	while (umap_next(&c->parts, &pos, NULL, &v)) {
		struct part *o = v;
		if (o->source_id != p->id && o->state != PART_DROPPED && o->target_id &&
			strcmp(o->name, p->name) == 0)
			return o;
	}
	return NULL;
}

/* Rows of p, at the head of a lane, wait for the drop of an older partition of the name, whose message
 * is behind them: Milvus writes it some time after it answered the drop, and other rows and that
 * message may also be of one pack. On that shard the older one ends here: what still comes of it was
 * dropped at the source. */
static void overtake_locked(struct coll *c, struct part *old, const struct partition *p)
{
	struct part *mine = umap_get(&c->parts, (uint64_t)p->id);

	for (int i = 0; mine && i < c->n_shards; i++) {
		struct part_shard *s = shard_of(old, i);
		if (!shard_of(mine, i)->wanted || s->drop_seen)
			continue;
		s->drop_seen = s->overtaken = true;
		if (!old->drop_ts)
			old->drop_ts = p->create_ts;
		old->state = PART_DROPPING;
		c->drop_pending = true;
	}
}

/* An older partition of the name must be gone before this one can be. */
static bool name_taken(struct coll *c, const struct partition *p)
{
	mutex_lock(&c->mtx);
	struct part *old = holder_locked(c, p);
	if (old)
		overtake_locked(c, old, p);
	mutex_unlock(&c->mtx);
	return old != NULL;
}

static void bind(struct coll *c, const struct partition *p, int64_t target_id)
{
	mutex_lock(&c->mtx);
	struct part *mine = umap_get(&c->parts, (uint64_t)p->id);
	if (!mine)
		mine = part_add_locked(c, p->id, p->name);
	if (!mine->name[0]) {
		free(mine->name);
		mine->name = xstrdup(p->name);
	}
	mine->target_id = target_id;
	mine->state = mine->drop_ts ? PART_DROPPING : PART_OK;
	mutex_unlock(&c->mtx);
}

static bool is_bound(struct coll *c, int64_t source_id)
{
	mutex_lock(&c->mtx);
	const struct part *p = umap_get(&c->parts, (uint64_t)source_id);
	bool bound = p && p->state != PART_WANTED;
	mutex_unlock(&c->mtx);
	return bound;
}

static void wake_channels(struct coll *c)
{
	for (int i = 0; i < c->n_shards; i++)
		if (c->shards[i].attached)
			tchan_wake(c->shards[i].chan);
}

/* Binds p to the target's partition of its name, creating that when it is missing. */
static enum err_code bind_one(
	struct coll *c, const struct partition *p, struct sink_collection *m, struct err *e)
{
	if (is_bound(c, p->id))
		return ERR_OK;
	if (name_taken(c, p))
		return ERR_OK; /* bound after the older one's drop */
	if (!m->id && coll_describe(c, m, e))
		return e->code;
	int64_t id = target_partition(m, p->name);
	if (!id && c->run->task->milvus.ignore_partition) {
		/* The rows must go somewhere: held back they would stop their whole channel. */
		id = target_partition(m, c->run->sv.config->default_partition);
	} else if (!id) {
		struct sink_change ch = {.kind = SINK_CREATE_PARTITION,
			.partition = p->name,
			.source_partition_id = p->id,
			.ts = p->create_ts};
		if (coll_change(c, &ch, e))
			return err_ctx(e, "create partition %s", p->name);
		metrics_add(metrics_get(METRIC_api_execute_total, c->run->task->id,
				    "CreatePartition", NULL),
			1);
		log_info(&c->log, "partition %s created on the target", p->name);
		if (coll_describe(c, m, e))
			return e->code;
		id = target_partition(m, p->name);
	}
	if (!id)
		return err_set(
			e, ERR_UNAVAILABLE, "partition %s is not on the target yet", p->name);
	bind(c, p, id);
	return ERR_OK;
}

/* Is a drop seen and not done, of a partition or of the collection? */
static bool drop_left_locked(struct coll *c)
{
	bool left = false;
	size_t pos = 0;
	void *v;

	while (umap_next(&c->parts, &pos, NULL, &v)) {
		const struct part *p = v;
		left = left || (p->drop_ts && p->state != PART_DROPPED);
	}
	for (int i = 0; i < c->n_shards; i++)
		left = left || c->shards[i].drop_ts;
	return left;
}

static bool is_at_source(const struct partition *list, size_t n, int64_t id)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].id == id)
			return list[i].state == OBJECT_CREATED || list[i].state == OBJECT_CREATING;
	return false;
}

/* Do rows wait for p, which is not in the list? */
static bool is_unknown(const struct part *p, const struct partition *list, size_t n)
{
	return p->state == PART_WANTED && p->wanted_ms && !is_at_source(list, n, p->source_id);
}

static bool has_unknown(struct coll *c, const struct partition *list, size_t n)
{
	size_t pos = 0;
	bool found = false;
	void *v;

	mutex_lock(&c->mtx);
	while (!found && umap_next(&c->parts, &pos, NULL, &v))
		found = is_unknown(v, list, n);
	mutex_unlock(&c->mtx);
	return found;
}

static bool settle(struct coll *c, const struct partition *list, size_t n)
{
	size_t pos = 0;
	bool settled = false;
	void *v;

	mutex_lock(&c->mtx);
	while (umap_next(&c->parts, &pos, NULL, &v)) {
		struct part *p = v;
		if (!is_unknown(p, list, n))
			continue;
		p->state = PART_DROPPED;
		settled = true;
	}
	if (settled)
		c->drop_pending = drop_left_locked(c);
	mutex_unlock(&c->mtx);
	return settled;
}

/* Rows ask for an id that the source, asked now, does not have: the partition was dropped. While etcd is
 * away nobody knows; the catalog says so. */
static bool settle_unknown(struct coll *c, const struct partition *known, size_t n_known)
{
	struct catalog *cat = c->run->sv.catalog;
	struct err e = ERR_INIT;
	struct partition *list = NULL;
	char keys[64];

	snprintf(keys, sizeof(keys), "partitions/%" PRId64 "/", c->id);
	if (!has_unknown(c, known, n_known) || !catalog_knows_all(cat, keys) ||
		catalog_current(cat, deadline_in(CURRENT_MS), &c->run->stop, &e))
		return false;
	size_t n = catalog_partitions(cat, c->id, &list);
	bool settled = settle(c, list, n);
	catalog_partitions_free(list, n);
	return settled;
}

enum err_code coll_parts_sync(struct coll *c, const struct sink_collection *known, struct err *e)
{
	struct sink_collection m = {.id = 0};
	struct partition *list = NULL;
	size_t n = catalog_partitions(c->run->sv.catalog, c->id, &list);
	size_t bound_before = 0, bound_after = 0;
	enum err_code code = ERR_OK;

	for (size_t i = 0; i < n; i++)
		bound_before += is_bound(c, list[i].id);
	if (known)
		code = coll_describe(c, &m, e); /* the caller's may be from before a create */
	for (size_t i = 0; i < n && !code; i++)
		if (list[i].state == OBJECT_CREATED)
			code = bind_one(c, &list[i], &m, e);
	for (size_t i = 0; i < n; i++)
		bound_after += is_bound(c, list[i].id);
	sink_collection_done(&m);
	bool settled = settle_unknown(c, list, n);
	catalog_partitions_free(list, n);
	if (bound_after != bound_before && c->started)
		coll_record_put(c);
	if (bound_after != bound_before || settled)
		wake_channels(c);
	return code;
}

static struct part *next_drop(struct coll *c, bool *ret_pending)
{
	size_t pos = 0;
	void *v;
	struct part *found = NULL;

	mutex_lock(&c->mtx);
	while (!found && umap_next(&c->parts, &pos, NULL, &v)) {
		struct part *p = v;
		bool all = p->state == PART_DROPPING;
		if (all)
			*ret_pending = true;
		for (int i = 0; all && i < c->n_shards; i++)
			all = shard_of(p, i)->drop_seen;
		found = all ? p : NULL;
	}
	/* What has begun is finished first. */
	struct part *begun = umap_get(&c->parts, (uint64_t)c->notes_of);
	if (begun && begun->state == PART_DROPPING)
		found = begun;
	mutex_unlock(&c->mtx);
	return found;
}

static void finish_drop(struct coll *c, struct part *p)
{
	mutex_lock(&c->mtx);
	p->state = PART_DROPPED;
	mutex_unlock(&c->mtx);
	/* The record first: positions may move past the drop only when it says so. */
	coll_record_put(c);
	mutex_lock(&c->mtx);
	c->drop_pending = drop_left_locked(c);
	mutex_unlock(&c->mtx);
	job_wake(&c->job, 0); /* a later one of the name may follow */
}

/* Milvus refused the drop after the load had begun to wait: it is loaded, and the release comes later. */
static bool is_refused(const struct coll *c, const struct part *p)
{
	return c->load_waits_ms && p->refused_ms >= c->load_waits_ms;
}

bool coll_drop_first(struct coll *c, uint64_t ts)
{
	uint64_t until = ts + ts_from_ms(DROP_LATE_MS);
	bool all_read = coll_reached(c, until), first = false;
	struct partition *list = NULL;
	size_t pos = 0, n = catalog_partitions(c->run->sv.catalog, c->id, &list);
	void *v;

	mutex_lock(&c->mtx);
	while (!first && umap_next(&c->parts, &pos, NULL, &v)) {
		const struct part *p = v;
		bool bound = p->target_id && (p->state == PART_OK || p->state == PART_DROPPING);
		first = bound && !is_at_source(list, n, p->source_id) &&
			(p->drop_ts ? p->drop_ts <= until : !all_read) && !is_refused(c, p);
	}
	if (!first)
		c->load_waits_ms = 0;
	else if (!c->load_waits_ms)
		c->load_waits_ms = time_mono_ms();
	mutex_unlock(&c->mtx);
	catalog_partitions_free(list, n);
	return first;
}

bool coll_parts_wanted(struct coll *c, char *ret_why, size_t cap)
{
	int64_t since = time_mono_ms() - PATIENCE_MS;
	size_t pos = 0;
	void *v;
	bool wanted = false;

	ret_why[0] = '\0';
	mutex_lock(&c->mtx);
	while (umap_next(&c->parts, &pos, NULL, &v)) {
		const struct part *p = v;
		if (p->state != PART_WANTED)
			continue;
		wanted = true;
		if (p->wanted_ms && p->wanted_ms < since)
			snprintf(ret_why, cap,
				"rows wait for partition %" PRId64
				": an older one of its name has not been dropped on the target "
				"yet, "
				"or the source's etcd is away",
				p->source_id);
	}
	mutex_unlock(&c->mtx);
	return wanted;
}

/* Is all acknowledged that came before its drop? */
static bool is_reached(struct coll *c, struct part *p)
{
	bool any = false;

	for (int i = 0; i < c->n_shards; i++) {
		const struct stream *st = &c->shards[i].stream;
		mutex_lock(&c->mtx);
		bool overtaken = shard_of(p, i)->overtaken;
		mutex_unlock(&c->mtx);
		any = any || overtaken;
		if (overtaken ? !tchan_still(st) : tchan_position(st).ts < p->drop_ts)
			return false;
	}
	return any;
}

enum err_code coll_parts_drop(struct coll *c, bool *ret_pending, struct err *e)
{
	struct sink_collection m = {.id = 0};
	struct part *p = next_drop(c, ret_pending);

	if (!p || !(coll_reached(c, p->drop_ts) || is_reached(c, p)))
		return ERR_OK;
	*ret_pending = true;
	if (c->run->task->milvus.ignore_partition) {
		/* Its rows may stand in the default partition, whose drop message would take all. */
		log_info(&c->log, "drop of partition %s ignored: ignore_partition", p->name);
		finish_drop(c, p);
		return ERR_OK;
	}
	enum err_code code = coll_describe(c, &m, e);
	bool there = !code && p->target_id && target_partition(&m, p->name) == p->target_id;
	sink_collection_done(&m);
	if (code)
		return code;
	struct sink_change ch = {.kind = SINK_DROP_PARTITION,
		.partition = p->name,
		.source_partition_id = p->source_id,
		.ts = p->drop_ts};
	int64_t asked_ms = time_mono_ms();
	if (there && coll_change(c, &ch, e)) {
		mutex_lock(&c->mtx);
		p->refused_ms = asked_ms;
		mutex_unlock(&c->mtx);
		/* The release that came before at the source is on its way through the replicate
		 * channel. */
		e->code = e->code == ERR_CANCELLED ? ERR_CANCELLED : ERR_UNAVAILABLE;
		return e->code;
	}
	if (!coll_notes(c, MSG_DROP_PARTITION, p))
		return ERR_OK;
	metrics_add(
		metrics_get(METRIC_api_execute_total, c->run->task->id, "DropPartition", NULL), 1);
	log_info(&c->log, "partition %s dropped on the target", p->name);
	finish_drop(c, p);
	return ERR_OK;
}

/* Dropped for KEEP_MS, and its drop is behind every shard. One of an earlier run has no drop_ts: that
 * run's positions are behind it. */
static bool is_over(struct part *p, uint64_t acked_ts, int64_t now)
{
	if (!p->dropped_mono_ms)
		p->dropped_mono_ms = now;
	return now - p->dropped_mono_ms >= KEEP_MS && acked_ts >= p->drop_ts;
}

/* Takes out one that may go; NULL if there is none. *ret_left: others are dropped. */
static struct part *take_over(
	struct coll *c, const struct partition *list, size_t n, bool *ret_left)
{
	uint64_t acked = coll_acked_ts(c);
	int64_t now = time_mono_ms();
	struct part *found = NULL;
	size_t pos = 0;
	void *v;

	*ret_left = false;
	mutex_lock(&c->mtx);
	while (!found && umap_next(&c->parts, &pos, NULL, &v)) {
		struct part *p = v;
		if (p->state != PART_DROPPED)
			continue;
		*ret_left = true;
		if (is_over(p, acked, now) && !is_at_source(list, n, p->source_id))
			found = p;
	}
	if (found)
		umap_del(&c->parts, (uint64_t)found->source_id);
	mutex_unlock(&c->mtx);
	return found;
}

static bool has_dropped(struct coll *c)
{
	size_t pos = 0;
	void *v;
	bool has = false;

	mutex_lock(&c->mtx);
	while (!has && umap_next(&c->parts, &pos, NULL, &v))
		has = ((struct part *)v)->state == PART_DROPPED;
	mutex_unlock(&c->mtx);
	return has;
}

int64_t coll_parts_prune(struct coll *c)
{
	struct partition *list = NULL;
	struct part *p;
	bool any = false, left = has_dropped(c);

	if (!left)
		return JOB_IDLE;
	size_t n = catalog_partitions(c->run->sv.catalog, c->id, &list);
	while ((p = take_over(c, list, n, &left))) {
		part_free(p);
		any = true;
	}
	catalog_partitions_free(list, n);
	if (any)
		coll_record_put(c);
	return left ? KEEP_MS : JOB_IDLE;
}
