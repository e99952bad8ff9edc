/* A task as JSON. get and list differ in the order of names, as they do in the reference: there one
 * prints a map, the other a struct. User, password and token are never shown. */
#include "server/api/api_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int by_key(const void *a, const void *b)
{
	const struct task_pair *const *x = a, *const *y = b;
	return strcmp((*x)->key, (*y)->key);
}

/* Go prints maps sorted by key. */
static void put_pairs(struct json_out *o, const char *key, const struct task_pair *l, size_t n)
{
	if (!l) {
		json_out_null(o, key);
		return;
	}
	const struct task_pair **sorted = xcalloc(n + 1, sizeof(*sorted));
	for (size_t i = 0; i < n; i++)
		sorted[i] = &l[i];
	qsort(sorted, n, sizeof(*sorted), by_key);
	json_out_open(o, key, '{');
	for (size_t i = 0; i < n; i++)
		json_out_str(o, sorted[i]->key, sorted[i]->value);
	json_out_close(o, '}');
	free(sorted);
}

static void put_collections(
	struct json_out *o, const char *key, const struct task_collection *l, size_t n)
{
	json_out_open(o, key, '[');
	for (size_t i = 0; i < n; i++) {
		json_out_open(o, NULL, '{');
		json_out_str(o, "name", l[i].name);
		put_pairs(o, "positions", l[i].positions, l[i].n_positions);
		json_out_bool(o, "use_start_position", l[i].use_start_position);
		json_out_close(o, '}');
	}
	json_out_close(o, ']');
}

static void put_selection(struct json_out *o, const struct task *t)
{
	if (t->has_collection_infos)
		put_collections(o, "collection_infos", t->collection_infos, t->n_collection_infos);
	else
		json_out_null(o, "collection_infos");
}

static int by_db(const void *a, const void *b)
{
	const struct task_db *const *x = a, *const *y = b;
	return strcmp((*x)->db, (*y)->db);
}

static void put_dbs(struct json_out *o, const struct task *t)
{
	if (!t->has_dbs) {
		json_out_null(o, "db_collections");
		return;
	}
	const struct task_db **sorted = xcalloc(t->n_dbs + 1, sizeof(*sorted));
	for (size_t i = 0; i < t->n_dbs; i++)
		sorted[i] = &t->dbs[i];
	qsort(sorted, t->n_dbs, sizeof(*sorted), by_db);
	json_out_open(o, "db_collections", '{');
	for (size_t i = 0; i < t->n_dbs; i++)
		put_collections(o, sorted[i]->db, sorted[i]->collections, sorted[i]->n_collections);
	json_out_close(o, '}');
	free(sorted);
}

static void put_dial(struct json_out *o, const struct task_milvus *m, bool sorted)
{
	json_out_open(o, "dial_config", '{');
	if (!sorted) {
		json_out_str_if(o, "server_name", m->server_name);
		json_out_str_if(o, "server_pem_path", m->server_pem_path);
	}
	json_out_str_if(o, "ca_pem_path", m->ca_pem_path);
	if (!sorted)
		json_out_str_if(o, "client_pem_path", m->client_pem_path);
	json_out_str_if(o, "client_key_path", m->client_key_path);
	if (sorted) {
		json_out_str_if(o, "client_pem_path", m->client_pem_path);
		json_out_str_if(o, "server_name", m->server_name);
		json_out_str_if(o, "server_pem_path", m->server_pem_path);
	}
	json_out_close(o, '}');
}

static void put_milvus(struct json_out *o, const struct task_milvus *m, bool sorted)
{
	json_out_open(o, "milvus_connect_param", '{');
	if (sorted) {
		json_out_i64(o, "channel_num", m->channel_num);
		json_out_i64(o, "connect_timeout", m->connect_timeout);
		put_dial(o, m, true);
		json_out_bool(o, "enable_tls", m->enable_tls);
		json_out_str(o, "host", m->host);
		json_out_bool(o, "ignore_partition", m->ignore_partition);
		json_out_i64(o, "port", m->port);
		json_out_str(o, "uri", m->uri);
	} else {
		json_out_str(o, "host", m->host);
		json_out_i64(o, "port", m->port);
		json_out_bool(o, "enable_tls", m->enable_tls);
		json_out_str(o, "uri", m->uri);
		put_dial(o, m, false);
		json_out_i64(o, "channel_num", m->channel_num);
		json_out_bool(o, "ignore_partition", m->ignore_partition);
		json_out_i64(o, "connect_timeout", m->connect_timeout);
	}
	json_out_close(o, '}');
}

static void put_sasl(struct json_out *o, const struct task_kafka *k)
{
	json_out_open(o, "sasl", '{');
	json_out_str_if(o, "mechanisms", k->sasl_mechanisms);
	json_out_str_if(o, "security_protocol", k->security_protocol);
	json_out_close(o, '}');
}

/* Ours, only when they are set. A setting may be a password: its name is all that is shown. */
static void put_kafka_extra(struct json_out *o, const struct task_kafka *k)
{
	json_out_str_if(o, "format", k->format);
	if (!k->n_settings)
		return;
	json_out_open(o, "settings", '{');
	for (size_t i = 0; i < k->n_settings; i++)
		json_out_str(o, k->settings[i].key, "");
	json_out_close(o, '}');
}

static void put_kafka(struct json_out *o, const struct task_kafka *k, bool sorted)
{
	json_out_open(o, "kafka_connect_param", '{');
	json_out_str(o, "address", k->address);
	if (!sorted)
		json_out_str(o, "topic", k->topic);
	json_out_bool(o, "enable_sasl", k->enable_sasl);
	put_sasl(o, k);
	put_kafka_extra(o, k);
	if (sorted)
		json_out_str(o, "topic", k->topic);
	json_out_close(o, '}');
}

/* Our own fields, apart from the reference's. */
static void put_extra(struct json_out *o, const char *extra)
{
	if (*extra)
		json_out_raw(o, "detail", extra);
}

static void put_sorted(struct json_out *o, const struct task *t, const char *extra)
{
	put_selection(o, t);
	put_dbs(o, t);
	put_extra(o, extra);
	put_kafka(o, &t->kafka, true);
	put_milvus(o, &t->milvus, true);
	json_out_str_if(o, "reason", t->reason);
	json_out_str(o, "state", task_state_name(t->state));
	json_out_str(o, "task_id", t->id);
}

static void put_declared(struct json_out *o, const struct task *t, const char *extra)
{
	json_out_str(o, "task_id", t->id);
	put_milvus(o, &t->milvus, false);
	put_kafka(o, &t->kafka, false);
	put_selection(o, t);
	put_dbs(o, t);
	json_out_str(o, "state", task_state_name(t->state));
	json_out_str_if(o, "reason", t->reason);
	put_extra(o, extra);
}

void api_view_task(
	struct json_out *o, const char *key, const struct task *t, const char *extra, bool sorted)
{
	json_out_open(o, key, '{');
	if (sorted)
		put_sorted(o, t, extra);
	else
		put_declared(o, t, extra);
	json_out_close(o, '}');
}
