/* Where a new task starts. "Latest" is resolved once, when the task is created, and stored with it:
 * what is written to the source after the create call was answered is replicated, whatever happens
 * in between. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/failpoint.h"
#include "base/mem.h"
#include "server/config.h"
#include "server/run_priv.h"
#include "source/catalog.h"
#include "source/mq.h"

enum { CATALOG_MS = 10000 };

struct begin {
	const struct services *sv;
	const struct task *task;
	struct stop stop;
	struct store_positions **list;
	size_t *n;
	size_t cap;
};

static struct store_positions *add_doc(
	struct begin *b, int64_t id, const char *name, size_t channels)
{
	mem_grow(b->list, &b->cap, *b->n + 1, sizeof(**b->list));
	struct store_positions *d = &(*b->list)[(*b->n)++];
	*d = (struct store_positions){.task_id = xstrdup(b->task->id),
		.collection_id = id,
		.collection_name = xstrdup(name),
		.source = xcalloc(channels + 1, sizeof(*d->source))};
	return d;
}

static bool has_doc(const struct begin *b, int64_t id)
{
	for (size_t i = 0; i < *b->n; i++)
		if ((*b->list)[i].collection_id == id)
			return true;
	return false;
}

static enum err_code put_latest(
	struct begin *b, struct store_positions *d, const char *channel, struct err *e)
{
	for (size_t i = 0; i < d->n_source; i++)
		if (strcmp(d->source[i].channel, channel) == 0)
			return ERR_OK;
	struct store_position *p = &d->source[d->n_source];
	*p = (struct store_position){.exact = true};
	snprintf(p->channel, sizeof(p->channel), "%s", channel);
	enum err_code code = FAILPOINTS("queue.latest",
		b->sv->mq->ops->latest(b->sv->mq, channel, &b->stop, &p->pos.id, e));
	p->end_ms = code ? 0 : time_wall_ms();
	if (code == ERR_NOT_FOUND)
		err_clear(e); /* no topic yet: it will be read from its first message on */
	else if (code)
		return err_ctx(e, "fail to find the end of channel %s", channel);
	d->n_source++;
	return ERR_OK;
}

static enum err_code begin_collection(struct begin *b, const struct collection *c, struct err *e)
{
	const struct task_collection *info = NULL;
	char db[NAME_BYTES];

	if (c->state != OBJECT_CREATED || has_doc(b, c->id) ||
		!catalog_database_name(b->sv->catalog, c->db_id, db, sizeof(db)) ||
		!task_selects(b->task, db, c->name, &info) || info->use_start_position)
		return ERR_OK;
	struct store_positions *d = add_doc(b, c->id, c->name, (size_t)c->shards_num);
	for (int i = 0; i < c->shards_num; i++)
		if (put_latest(b, d, c->shards[i].pchannel, e))
			return e->code;
	return ERR_OK;
}

static enum err_code begin_ops(struct begin *b, struct err *e)
{
	if (has_doc(b, STORE_ID_OPS))
		return ERR_OK;
	struct store_positions *d = add_doc(b, STORE_ID_OPS, "-10", 1);
	return put_latest(b, d, b->sv->config->replicate_channel, e);
}

/* The documented example `collection_infos: [{name: "*"}]` covers the database default only. */
static void warn_uncovered(struct begin *b, struct buf *warnings)
{
	struct database *list = NULL;
	size_t n = catalog_databases(b->sv->catalog, &list);

	for (size_t i = 0; i < n; i++) {
		if (!b->task->has_collection_infos || b->task->n_collection_infos == 0 ||
			list[i].state != OBJECT_CREATED || task_covers_db(b->task, list[i].name))
			continue;
		buf_putf(warnings,
			"database %s of the source is not covered: collection_infos selects "
			"collections of "
			"default only. To replicate it, use db_collections, e.g. "
			"{\"*\":[{\"name\":\"*\"}]} for all\n",
			list[i].name);
	}
	catalog_databases_free(list, n);
}

/* A collection of the task by its name on the target. */
struct target_name {
	char text[2 * NAME_BYTES];
	const struct collection *source;
};

static int by_text(const void *a, const void *b)
{
	const struct target_name *x = a, *y = b;
	return strcmp(x->text, y->text);
}

/* Name mappings below a "*": which of them meet only the catalog can tell. */
static void warn_meetings(
	struct begin *b, struct collection *const *colls, size_t n, struct buf *warnings)
{
	char db[NAME_BYTES], target_db[NAME_BYTES], target[NAME_BYTES];
	struct target_name *l = NULL;
	size_t n_l = 0, cap = 0;

	for (size_t i = 0; b->task->n_mappings && i < n; i++) {
		if (colls[i]->state != OBJECT_CREATED ||
			!catalog_database_name(b->sv->catalog, colls[i]->db_id, db, sizeof(db)) ||
			!task_selects(b->task, db, colls[i]->name, NULL))
			continue;
		task_map_name(b->task, db, colls[i]->name, target_db, target, NAME_BYTES);
		mem_grow(&l, &cap, n_l + 1, sizeof(*l));
		snprintf(l[n_l].text, sizeof(l[n_l].text), "%s.%s", target_db, target);
		l[n_l++].source = colls[i];
	}
	if (n_l)
		qsort(l, n_l, sizeof(*l), by_text);
	for (size_t i = 1; i < n_l; i++)
		if (strcmp(l[i - 1].text, l[i].text) == 0)
			buf_putf(warnings,
				"the collections %s and %s of the source would both be %s on the "
				"target: the later one waits until the other is dropped\n",
				l[i - 1].source->name, l[i].source->name, l[i].text);
	free(l);
}

/* What there is depends on both Milvus. */
static void warn_users(const struct begin *b, struct buf *warnings)
{
	if (b->task->enable_user_role)
		buf_putf(warnings, "%s\n", USERS_CREATE_NOTE);
}

enum err_code run_resolve_start(const struct services *sv, const struct task *t,
	struct store_positions **list, size_t *n, struct buf *warnings, struct err *e)
{
	struct begin b = {.sv = sv, .task = t, .list = list, .n = n, .cap = *n};
	struct collection **colls = NULL;
	char why[COLL_REASON_BYTES];

	stop_init(&b.stop, NULL);
	if (!catalog_wait(sv->catalog, 0, deadline_in(CATALOG_MS), &b.stop)) {
		catalog_status(sv->catalog, why, sizeof(why));
		stop_done(&b.stop);
		return err_set(e, ERR_SYSTEM, "fail to read the source's metadata: %s", why);
	}
	enum err_code code = begin_ops(&b, e);
	size_t n_colls = catalog_collections(sv->catalog, &colls);
	for (size_t i = 0; i < n_colls && !code; i++)
		code = begin_collection(&b, colls[i], e);
	if (!code)
		warn_meetings(&b, colls, n_colls, warnings);
	for (size_t i = 0; i < n_colls; i++)
		collection_unref(colls[i]);
	free(colls);
	if (code)
		e->code = ERR_SYSTEM;
	else
		warn_uncovered(&b, warnings);
	if (!code)
		warn_users(&b, warnings);
	stop_done(&b.stop);
	return code ? ERR_SYSTEM : ERR_OK;
}
