/* Where a new task starts. "Latest" is resolved once, when the task is created, and stored with it:
 * what is written to the source after the create call was answered is replicated, whatever happens
 * in between. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/failpoint.h"
#include "base/mem.h"
#include "server/config/config.h"
#include "server/task/name_meet.h"
#include "server/task/run_priv.h"
#include "source/catalog.h"
#include "source/mq.h"

enum { CATALOG_MS = 10000, TOPIC_MS = 2000, TOPIC_PAUSE_MS = 100 };

struct begin {
	const struct services *sv;
	const struct task *task;
	struct task *const *others;
	size_t n_others;
	struct stop *stop;
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

/* A client that has just connected to a busy broker may be told that there is no such topic; to
 * believe it would replicate all that a collection ever held. NOT_FOUND is believed in the end. */
static enum err_code ask_latest(struct begin *b, const char *channel, int64_t patience_ms,
	struct mq_id *ret_id, struct err *e)
{
	struct deadline d = deadline_in(patience_ms);

	for (;;) {
		enum err_code code = FAILPOINTS("queue.latest",
			b->sv->mq->ops->latest(b->sv->mq, channel, b->stop, ret_id, e));
		if (code != ERR_NOT_FOUND || deadline_passed(d))
			return code;
		err_clear(e);
		if (stop_sleep(b->stop, TOPIC_PAUSE_MS))
			return stop_err(e);
	}
}

static enum err_code put_latest(struct begin *b, struct store_positions *d, const char *channel,
	int64_t patience_ms, struct err *e)
{
	for (size_t i = 0; i < d->n_source; i++)
		if (strcmp(d->source[i].channel, channel) == 0)
			return ERR_OK;
	struct store_position *p = &d->source[d->n_source];
	*p = (struct store_position){.exact = true};
	snprintf(p->channel, sizeof(p->channel), "%s", channel);
	enum err_code code = ask_latest(b, channel, patience_ms, &p->pos.id, e);
	p->end_ms = code ? 0 : time_wall_ms();
	if (code == ERR_NOT_FOUND) {
		err_clear(e); /* no topic yet: it will be read from its first message on */
		log_info(
			b->sv->log, "task %s: channel %s does not exist yet", b->task->id, channel);
	} else if (code) {
		return err_ctx(e, "fail to find the end of channel %s", channel);
	}
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
		/* A collection with a start position has its topic. */
		if (put_latest(b, d, c->shards[i].pchannel, c->shards[i].start.n ? TOPIC_MS : 0, e))
			return e->code;
	return ERR_OK;
}

static enum err_code begin_ops(struct begin *b, struct err *e)
{
	if (has_doc(b, STORE_ID_OPS))
		return ERR_OK;
	struct store_positions *d = add_doc(b, STORE_ID_OPS, "-10", 1);
	return put_latest(b, d, b->sv->config->replicate_channel, 0, e);
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

/* Which names meet below a "*" only the catalog can tell. */
static enum err_code check_meetings(struct begin *b, struct err *e)
{
	CLEANUP(source_names_done)
	struct source_names names = source_names_read(b->sv->catalog);
	struct name_meet m;

	if (!name_meet_any(b->task, b->others, b->n_others, &names, &m))
		return ERR_OK;
	return err_set(e, ERR_INVALID,
		"the collections %.100s.%.100s and %.100s.%.100s of the source would both be "
		"%.100s.%.100s on the target%s%.130s: check name_mapping",
		m.a->db, m.a->name, m.b->db, m.b->name, m.target_db, m.target_name,
		m.task == b->task ? "" : ", the second one by the task ",
		m.task == b->task ? "" : m.task->id);
}

/* What there is depends on both Milvus. */
static void warn_users(const struct begin *b, struct buf *warnings)
{
	if (b->task->enable_user_role)
		buf_putf(warnings, "%s\n", USERS_CREATE_NOTE);
}

static enum err_code begin_collections(struct begin *b, struct err *e)
{
	struct collection **colls = NULL;
	enum err_code code = ERR_OK;
	size_t n = catalog_collections(b->sv->catalog, &colls);

	for (size_t i = 0; i < n && !code; i++)
		code = begin_collection(b, colls[i], e);
	for (size_t i = 0; i < n; i++)
		collection_unref(colls[i]);
	free(colls);
	return code;
}

enum err_code run_resolve_start(const struct services *sv, const struct run_new *new,
	struct stop *stop, struct store_positions **list, size_t *n, struct buf *warnings,
	struct err *e)
{
	struct begin b = {.sv = sv,
		.task = new->task,
		.others = new->others,
		.n_others = new->n_others,
		.stop = stop,
		.list = list,
		.n = n,
		.cap = *n};
	char why[COLL_REASON_BYTES];

	if (catalog_current(sv->catalog, deadline_in(CATALOG_MS), stop, e)) {
		catalog_status(sv->catalog, why, sizeof(why));
		if (!*why) /* its own text says more */
			snprintf(why, sizeof(why), "%.*s", (int)sizeof(why) - 1, e->text);
		err_clear(e);
		return err_set(e, ERR_SYSTEM, "fail to read the source's metadata: %s", why);
	}
	enum err_code code = check_meetings(&b, e);
	if (code) /* the request's fault, not a system's */
		return code;
	code = begin_ops(&b, e);
	if (!code)
		code = begin_collections(&b, e);
	if (code)
		e->code = ERR_SYSTEM;
	else
		warn_uncovered(&b, warnings);
	if (!code)
		warn_users(&b, warnings);
	return code ? ERR_SYSTEM : ERR_OK;
}
