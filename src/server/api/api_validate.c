/* What a create request must be, in the reference's order and with its texts.
 * Wider on purpose: several collections, several databases. */
#include "server/api/api_priv.h"

#include <stdio.h>
#include <string.h>

#include "model/channel.h"
#include "server/task/task_names.h"

/* Selections are compared pair by pair, so their number is bounded. */
enum { NAMES_TEXT_BYTES = 300, ENTRIES_MAX = 10000 };

static bool has_milvus(const struct task *t)
{
	return *t->milvus.uri || *t->milvus.host || t->milvus.port > 0;
}

static enum err_code check_milvus(const struct task_milvus *m, struct err *e)
{
	if (!*m->uri && !*m->host)
		return err_set(e, ERR_INVALID, "the milvus host is empty");
	if (!*m->uri && m->port <= 0)
		return err_set(e, ERR_INVALID, "the milvus port is less or equal zero");
	if (!*m->username != !*m->password)
		return err_set(
			e, ERR_INVALID, "cannot set only one of the milvus username and password");
	if (m->connect_timeout < 0)
		return err_set(e, ERR_INVALID, "the milvus connect timeout is less zero");
	if (m->channel_num < 0)
		return err_set(e, ERR_INVALID, "the milvus channel num is less zero");
	return ERR_OK;
}

static enum err_code check_target(const struct task *t, struct err *e)
{
	if (!has_milvus(t) && !*t->kafka.address)
		return err_set(e, ERR_INVALID, "the downstream address is empty");
	if (has_milvus(t) && *t->kafka.address)
		return err_set(
			e, ERR_INVALID, "don't support milvus and kafka at the same time now");
	if (has_milvus(t) && check_milvus(&t->milvus, e))
		return ERR_INVALID;
	if (*t->kafka.address && !*t->kafka.topic)
		return err_set(e, ERR_INVALID, "the kafka topic is empty");
	if (*t->kafka.format && strcmp(t->kafka.format, "milvus") != 0 &&
		strcmp(t->kafka.format, "debezium") != 0)
		return err_set(e, ERR_INVALID,
			"the kafka format should be milvus or debezium, it is %.60s",
			t->kafka.format);
	if (t->cache_period < 0)
		return err_set(e, ERR_INVALID, "the cache period is less zero");
	if (t->cache_size < 0)
		return err_set(e, ERR_INVALID, "the cache size is less zero");
	if (*t->on_unsupported && strcmp(t->on_unsupported, "skip") != 0 &&
		!task_holds_operations(t))
		return err_set(e, ERR_INVALID,
			"on_unsupported_operation must be skip or hold, not %s", t->on_unsupported);
	return ERR_OK;
}

static enum err_code check_positions(const struct task_collection *c, struct err *e)
{
	if (strcmp(c->name, "*") == 0 && c->n_positions)
		return err_set(e, ERR_INVALID,
			"the collection name is `*`, the positions should be empty");
	for (size_t i = 0; i < c->n_positions; i++)
		if (!channel_is_virtual(c->positions[i].key))
			return err_set(e, ERR_INVALID,
				"the position channel name is not virtual channel, %s",
				c->positions[i].key);
	return ERR_OK;
}

/* Both texts of name faults stand side by side, as they always did. */
static enum err_code check_names(
	const struct task_collection *l, size_t n, int64_t most, struct err *e)
{
	CLEANUP(buf_done)
	struct buf longs = BUF_INIT(NAMES_TEXT_BYTES);
	bool empty = false, too_long = false;
	char text[128] = "";

	for (size_t i = 0; i < n; i++) {
		empty |= !*l[i].name;
		if ((int64_t)strlen(l[i].name) <= most)
			continue;
		buf_putf(&longs, "%s%s", too_long ? " " : "", l[i].name);
		too_long = true;
	}
	longs.failed = false;
	if (!empty && !too_long)
		return ERR_OK;
	if (too_long)
		snprintf(text, sizeof(text),
			"there are some collection names whose length exceeds %lld characters, ",
			(long long)most);
	return err_set(e, ERR_INVALID, "%s%s%s%s%s",
		empty ? "there is a collection name that is empty. " : "", text,
		too_long ? "[" : "", too_long ? buf_cstr(&longs) : "", too_long ? "]" : "");
}

static enum err_code check_list(
	const struct task_collection *l, size_t n, int64_t most, struct err *e)
{
	if (!n)
		return err_set(e, ERR_INVALID, "empty collection info");
	for (size_t i = 0; i < n; i++)
		if (check_positions(&l[i], e))
			return ERR_INVALID;
	return check_names(l, n, most, e);
}

static enum err_code check_selection(const struct task *t, int64_t most, struct err *e)
{
	if (!t->n_collection_infos && !t->n_dbs)
		return err_set(e, ERR_INVALID, "the collection info is empty");
	if (t->n_collection_infos && t->n_dbs)
		return err_set(e, ERR_INVALID,
			"the collection info and db collection info should be only one");
	if (t->n_collection_infos)
		return check_list(t->collection_infos, t->n_collection_infos, most, e);
	for (size_t i = 0; i < t->n_dbs; i++) {
		const struct task_db *db = &t->dbs[i];
		if ((int64_t)strlen(db->db) > most)
			return err_set(e, ERR_INVALID,
				"the db name length exceeds %lld characters, %s", (long long)most,
				db->db);
		if (check_list(db->collections, db->n_collections, most, e))
			return ERR_INVALID;
	}
	return ERR_OK;
}

static enum err_code check_size(const struct task *t, struct err *e)
{
	size_t names = t->n_collection_infos, pairs = t->n_mappings;

	for (size_t i = 0; i < t->n_dbs; i++)
		names += 1 + t->dbs[i].n_collections;
	for (size_t i = 0; i < t->n_mappings; i++)
		pairs += t->mappings[i].n_collections;
	if (names > ENTRIES_MAX || pairs > ENTRIES_MAX)
		return err_set(e, ERR_INVALID,
			"more than %d collections or name mappings in one task", ENTRIES_MAX);
	return ERR_OK;
}

enum err_code api_create_validate(const struct task *t, const struct config *c, struct err *e)
{
	if (check_size(t, e) || check_target(t, e) || check_selection(t, c->max_name_length, e))
		return ERR_INVALID;
	if (*t->rpc_channel && strcmp(t->rpc_channel, c->replicate_channel) != 0)
		return err_set(e, ERR_INVALID,
			"the rpc channel is invalid, the channel name should be the same as the "
			"source config");
	if ((*t->id && task_names_check_id(t->id, e)) || task_names_check_repeats(t, e))
		return ERR_INVALID;
	return api_create_check_mapping(t, c->max_name_length, e);
}
