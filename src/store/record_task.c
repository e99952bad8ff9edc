/* Task records: see record.h. */
#include "store/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "store/rjson.h"

/* The reference's text for a pause by its API; it has no field of its own for the user's wish. */
static const char manual_pause[] = "manually pause through http interface";

/* --- encode --- */

static int by_key(const void *a, const void *b)
{
	const struct task_pair *const *x = a, *const *y = b;
	return strcmp((*x)->key, (*y)->key);
}

/* Go writes maps by key. */
static json_t *pairs_json(struct rjson *io, const struct task_pair *l, size_t n)
{
	CLEANUP(freep)
	const struct task_pair **sorted = xcalloc(n, sizeof(*sorted));
	json_t *o = json_object();

	for (size_t i = 0; i < n; i++)
		sorted[i] = &l[i];
	qsort(sorted, n, sizeof(*sorted), by_key);
	for (size_t i = 0; i < n; i++)
		rjson_set_str(io, o, sorted[i]->key, sorted[i]->value);
	return o;
}

static json_t *collections_json(struct rjson *io, const struct task_collection *l, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++) {
		json_t *o = json_object();
		rjson_set_str(io, o, "name", l[i].name);
		rjson_set(io, o, "positions",
			l[i].positions ? pairs_json(io, l[i].positions, l[i].n_positions)
				       : json_null());
		rjson_set_bool(io, o, "use_start_position", l[i].use_start_position);
		json_array_append_new(a, o);
	}
	return a;
}

static int by_db(const void *a, const void *b)
{
	const struct task_db *const *x = a, *const *y = b;
	return strcmp((*x)->db, (*y)->db);
}

static json_t *dbs_json(struct rjson *io, const struct task *t)
{
	CLEANUP(freep)
	const struct task_db **sorted = xcalloc(t->n_dbs, sizeof(*sorted));
	json_t *o = json_object();

	for (size_t i = 0; i < t->n_dbs; i++)
		sorted[i] = &t->dbs[i];
	qsort(sorted, t->n_dbs, sizeof(*sorted), by_db);
	for (size_t i = 0; i < t->n_dbs; i++) {
		json_t *l = collections_json(io, sorted[i]->collections, sorted[i]->n_collections);
		json_t *before = json_object_get(o, sorted[i]->db);
		if (!before) {
			rjson_set(io, o, sorted[i]->db, l);
			continue;
		}
		json_array_extend(before, l); /* a database named twice */
		json_decref(l);
	}
	return o;
}

static json_t *mappings_json(struct rjson *io, const struct task *t)
{
	json_t *a = json_array();

	for (size_t i = 0; i < t->n_mappings; i++) {
		const struct task_mapping *m = &t->mappings[i];
		json_t *o = json_object();
		rjson_set_str(io, o, "source_db", m->source_db);
		rjson_set_str(io, o, "target_db", m->target_db);
		rjson_set(io, o, "collection_mapping",
			m->collections ? pairs_json(io, m->collections, m->n_collections)
				       : json_null());
		json_array_append_new(a, o);
	}
	return a;
}

static json_t *excludes_json(struct rjson *io, const struct task *t)
{
	json_t *a = json_array();

	for (size_t i = 0; i < t->n_excludes; i++)
		if (json_array_append_new(a, json_string(t->excludes[i])))
			rjson_fail(io, "ExcludeCollections is not UTF-8 text");
	return a;
}

static json_t *dial_json(struct rjson *io, const struct task_milvus *m)
{
	json_t *o = json_object();

	rjson_set_str_opt(io, o, "server_name", m->server_name);
	rjson_set_str_opt(io, o, "server_pem_path", m->server_pem_path);
	rjson_set_str_opt(io, o, "ca_pem_path", m->ca_pem_path);
	rjson_set_str_opt(io, o, "client_pem_path", m->client_pem_path);
	rjson_set_str_opt(io, o, "client_key_path", m->client_key_path);
	return o;
}

static json_t *milvus_json(struct rjson *io, const struct task_milvus *m)
{
	json_t *o = json_object();

	rjson_set_str(io, o, "host", m->host);
	rjson_set_int(io, o, "port", m->port);
	rjson_set_bool(io, o, "enable_tls", m->enable_tls);
	rjson_set_str_opt(io, o, "username", m->username);
	rjson_set_str_opt(io, o, "password", m->password);
	rjson_set_str(io, o, "uri", m->uri);
	rjson_set_str_opt(io, o, "token", m->token);
	rjson_set(io, o, "dial_config", dial_json(io, m));
	rjson_set_int(io, o, "channel_num", m->channel_num);
	rjson_set_bool(io, o, "ignore_partition", m->ignore_partition);
	rjson_set_int(io, o, "connect_timeout", m->connect_timeout);
	return o;
}

static json_t *kafka_json(struct rjson *io, const struct task_kafka *k)
{
	json_t *o = json_object(), *sasl = json_object();

	rjson_set_str_opt(io, sasl, "username", k->sasl_username);
	rjson_set_str_opt(io, sasl, "password", k->sasl_password);
	rjson_set_str_opt(io, sasl, "mechanisms", k->sasl_mechanisms);
	rjson_set_str_opt(io, sasl, "security_protocol", k->security_protocol);
	rjson_set_str(io, o, "address", k->address);
	rjson_set_str(io, o, "topic", k->topic);
	rjson_set_bool(io, o, "enable_sasl", k->enable_sasl);
	rjson_set(io, o, "sasl", sasl);
	rjson_set_str_opt(io, o, "format", k->format);
	if (k->n_settings)
		rjson_set(io, o, "settings", pairs_json(io, k->settings, k->n_settings));
	return o;
}

/* The selection and what hangs on it. */
static void put_selection(struct rjson *io, json_t *o, const struct task *t)
{
	rjson_set(io, o, "CollectionInfos",
		t->has_collection_infos
			? collections_json(io, t->collection_infos, t->n_collection_infos)
			: json_null());
	rjson_set(io, o, "DBCollections", t->has_dbs ? dbs_json(io, t) : json_null());
	rjson_set(io, o, "NameMapping", t->n_mappings ? mappings_json(io, t) : json_null());
}

static json_t *task_json(struct rjson *io, const struct task *t)
{
	json_t *o = json_object(), *cache = json_object(), *rpc = json_object(),
	       *ext = json_object();

	rjson_set_str(io, o, "TaskID", t->id);
	rjson_set(io, o, "MilvusConnectParam", milvus_json(io, &t->milvus));
	rjson_set(io, o, "KafkaConnectParam", kafka_json(io, &t->kafka));
	rjson_set_int(io, cache, "period", t->cache_period);
	rjson_set_int(io, cache, "size", t->cache_size);
	rjson_set(io, o, "WriterCacheConfig", cache);
	put_selection(io, o, t);
	rjson_set_str(io, rpc, "name", t->rpc_channel);
	rjson_set_str(io, rpc, "position", t->rpc_position);
	rjson_set(io, o, "RPCRequestChannelInfo", rpc);
	rjson_set_bool(io, ext, "enable_user_role", t->enable_user_role);
	rjson_set(io, o, "ExtraInfo", ext);
	rjson_set(io, o, "ExcludeCollections", t->n_excludes ? excludes_json(io, t) : json_null());
	rjson_set_bool(io, o, "DisableAutoStart", t->disable_auto_start);
	rjson_set_int(io, o, "State", t->state);
	rjson_set_str(io, o, "Reason", t->reason);
	if (t->user_paused)
		rjson_set_bool(io, o, "UserPaused", true);
	if (t->at_least_once)
		rjson_set_bool(io, o, "AtLeastOnce", true);
	if (t->no_keep_alive)
		rjson_set_bool(io, o, "NoKeepAlive", true);
	if (*t->on_unsupported)
		rjson_set_str(io, o, "OnUnsupportedOperation", t->on_unsupported);
	return o;
}

static enum err_code task_to_json(const struct task *t, json_t **ret_o, struct err *e)
{
	struct rjson io = {""};
	CLEANUP(json_in_freep)
	json_t *o = task_json(&io, t);

	if (!*t->id)
		rjson_fail(&io, "TaskID is empty");
	if (rjson_failed(&io))
		return err_set(e, ERR_INVALID, "task record: %s", io.why);
	*ret_o = TAKE(o);
	return ERR_OK;
}

enum err_code record_task_encode(struct buf *b, const struct task *t, struct err *e)
{
	CLEANUP(json_in_freep)
	json_t *o = NULL;
	enum err_code code = task_to_json(t, &o, e);
	return code ? code : rjson_write(b, o, e);
}

/* --- decode --- */

static void set_str(char **to, const char *s)
{
	free(*to);
	*to = xstrdup(s);
}

static void read_pairs(struct rjson *io, json_t *o, struct task_pair **ret_l, size_t *ret_n)
{
	const char *key;
	json_t *v;

	if (!o)
		return;
	struct task_pair *l = *ret_l = xcalloc(json_object_size(o), sizeof(*l));
	json_object_foreach (o, key, v) {
		if (!json_is_string(v)) {
			rjson_fail(io, "the value of %s is not a string", key);
			return;
		}
		l[(*ret_n)++] = (struct task_pair){
			.key = xstrdup(key), .value = xstrdup(json_string_value(v))};
	}
}

static void read_collections(
	struct rjson *io, const json_t *a, struct task_collection **ret_l, size_t *ret_n)
{
	if (!a)
		return;
	size_t n = json_array_size(a);
	struct task_collection *l = *ret_l = xcalloc(n, sizeof(*l));

	*ret_n = n;
	for (size_t i = 0; i < n; i++) {
		const json_t *o = json_array_get(a, i);
		l[i].name = xstrdup(rjson_get_str(io, o, "name"));
		l[i].use_start_position = rjson_get_bool(io, o, "use_start_position");
		read_pairs(
			io, rjson_get_obj(io, o, "positions"), &l[i].positions, &l[i].n_positions);
		if (!json_is_object(o))
			rjson_fail(io, "a collection entry is not an object");
	}
}

static void read_dbs(struct rjson *io, json_t *o, struct task *t)
{
	const char *key;
	json_t *v;

	if (!o)
		return;
	t->has_dbs = true;
	t->dbs = xcalloc(json_object_size(o), sizeof(*t->dbs));
	json_object_foreach (o, key, v) {
		struct task_db *d = &t->dbs[t->n_dbs++];
		d->db = xstrdup(key);
		if (json_is_array(v))
			read_collections(io, v, &d->collections, &d->n_collections);
		else if (!json_is_null(v))
			rjson_fail(io, "DBCollections.%s is not a list", key);
	}
}

static void read_mappings(struct rjson *io, const json_t *a, struct task *t)
{
	size_t n = json_array_size(a);

	t->n_mappings = n;
	t->mappings = n ? xcalloc(n, sizeof(*t->mappings)) : NULL;
	for (size_t i = 0; i < n; i++) {
		struct task_mapping *m = &t->mappings[i];
		const json_t *o = json_array_get(a, i);
		m->source_db = xstrdup(rjson_get_str(io, o, "source_db"));
		m->target_db = xstrdup(rjson_get_str(io, o, "target_db"));
		read_pairs(io, rjson_get_obj(io, o, "collection_mapping"), &m->collections,
			&m->n_collections);
		if (!json_is_object(o))
			rjson_fail(io, "an entry of NameMapping is not an object");
	}
}

static void read_excludes(struct rjson *io, const json_t *a, struct task *t)
{
	size_t n = json_array_size(a);

	t->excludes = n ? xcalloc(n, sizeof(*t->excludes)) : NULL;
	for (size_t i = 0; i < n; i++) {
		const char *s = json_string_value(json_array_get(a, i));
		if (!s)
			rjson_fail(io, "an entry of ExcludeCollections is not a string");
		else
			t->excludes[t->n_excludes++] = xstrdup(s);
	}
}

static void read_milvus(struct rjson *io, const json_t *o, struct task_milvus *m)
{
	const json_t *dial = rjson_get_obj(io, o, "dial_config");

	set_str(&m->host, rjson_get_str(io, o, "host"));
	m->port = rjson_get_int(io, o, "port");
	m->enable_tls = rjson_get_bool(io, o, "enable_tls");
	set_str(&m->username, rjson_get_str(io, o, "username"));
	set_str(&m->password, rjson_get_str(io, o, "password"));
	set_str(&m->uri, rjson_get_str(io, o, "uri"));
	set_str(&m->token, rjson_get_str(io, o, "token"));
	m->channel_num = rjson_get_int(io, o, "channel_num");
	m->ignore_partition = rjson_get_bool(io, o, "ignore_partition");
	m->connect_timeout = rjson_get_int(io, o, "connect_timeout");
	set_str(&m->server_name, rjson_get_str(io, dial, "server_name"));
	set_str(&m->server_pem_path, rjson_get_str(io, dial, "server_pem_path"));
	set_str(&m->ca_pem_path, rjson_get_str(io, dial, "ca_pem_path"));
	set_str(&m->client_pem_path, rjson_get_str(io, dial, "client_pem_path"));
	set_str(&m->client_key_path, rjson_get_str(io, dial, "client_key_path"));
}

static void read_kafka(struct rjson *io, const json_t *o, struct task_kafka *k)
{
	const json_t *sasl = rjson_get_obj(io, o, "sasl");

	set_str(&k->address, rjson_get_str(io, o, "address"));
	set_str(&k->topic, rjson_get_str(io, o, "topic"));
	k->enable_sasl = rjson_get_bool(io, o, "enable_sasl");
	set_str(&k->sasl_username, rjson_get_str(io, sasl, "username"));
	set_str(&k->sasl_password, rjson_get_str(io, sasl, "password"));
	set_str(&k->sasl_mechanisms, rjson_get_str(io, sasl, "mechanisms"));
	set_str(&k->security_protocol, rjson_get_str(io, sasl, "security_protocol"));
	set_str(&k->format, rjson_get_str(io, o, "format"));
	read_pairs(io, rjson_get_obj(io, o, "settings"), &k->settings, &k->n_settings);
}

static void read_state(struct rjson *io, const json_t *o, struct task *t)
{
	int64_t state = rjson_get_int(io, o, "State");

	if (state < TASK_INITIAL || state > TASK_PAUSED) {
		rjson_fail(io, "State is %lld", (long long)state);
		return;
	}
	t->state = (enum task_state)state;
	set_str(&t->reason, rjson_get_str(io, o, "Reason"));
	t->disable_auto_start = rjson_get_bool(io, o, "DisableAutoStart");
	t->at_least_once = rjson_get_bool(io, o, "AtLeastOnce");
	t->no_keep_alive = rjson_get_bool(io, o, "NoKeepAlive");
	set_str(&t->on_unsupported, rjson_get_str(io, o, "OnUnsupportedOperation"));
	t->user_paused = rjson_get_bool(io, o, "UserPaused") ||
			 (t->state == TASK_PAUSED && strcmp(t->reason, manual_pause) == 0);
}

static void read_task(struct rjson *io, const json_t *o, struct task *t)
{
	const json_t *cache = rjson_get_obj(io, o, "WriterCacheConfig");
	const json_t *rpc = rjson_get_obj(io, o, "RPCRequestChannelInfo");
	const json_t *infos = rjson_get_arr(io, o, "CollectionInfos");

	set_str(&t->id, rjson_get_str(io, o, "TaskID"));
	if (!*t->id)
		rjson_fail(io, "TaskID is missing");
	read_milvus(io, rjson_get_obj(io, o, "MilvusConnectParam"), &t->milvus);
	read_kafka(io, rjson_get_obj(io, o, "KafkaConnectParam"), &t->kafka);
	t->cache_period = rjson_get_int(io, cache, "period");
	t->cache_size = rjson_get_int(io, cache, "size");
	t->has_collection_infos = infos != NULL;
	read_collections(io, infos, &t->collection_infos, &t->n_collection_infos);
	read_dbs(io, rjson_get_obj(io, o, "DBCollections"), t);
	read_mappings(io, rjson_get_arr(io, o, "NameMapping"), t);
	set_str(&t->rpc_channel, rjson_get_str(io, rpc, "name"));
	set_str(&t->rpc_position, rjson_get_str(io, rpc, "position"));
	t->enable_user_role =
		rjson_get_bool(io, rjson_get_obj(io, o, "ExtraInfo"), "enable_user_role");
	read_excludes(io, rjson_get_arr(io, o, "ExcludeCollections"), t);
	read_state(io, o, t);
}

static enum err_code task_from_json(const json_t *o, struct task **ret_t, struct err *e)
{
	CLEANUP(task_freep)
	struct task *t = task_new();
	struct rjson io = {""};

	read_task(&io, o, t);
	if (rjson_failed(&io))
		return err_set(e, ERR_MALFORMED, "%s", io.why);
	*ret_t = TAKE(t);
	return ERR_OK;
}

enum err_code record_task_decode(struct slice in, struct task **ret_t, struct err *e)
{
	CLEANUP(json_in_freep)
	json_t *o = NULL;
	enum err_code code = rjson_read(in, &o, e);
	return code ? code : task_from_json(o, ret_t, e);
}

struct task *record_task_damaged(const char *id, const char *why)
{
	struct task *t = task_new();

	set_str(&t->id, id);
	t->state = TASK_PAUSED;
	free(t->reason);
	t->reason = xasprintf(STORE_DAMAGED ": %s", why);
	return t;
}

struct task *record_task_read(const char *id, struct slice in)
{
	CLEANUP(task_freep)
	struct task *t = NULL;
	struct err e = ERR_INIT;

	if (record_task_decode(in, &t, &e))
		return record_task_damaged(id, e.text);
	if (strcmp(t->id, id) != 0)
		return record_task_damaged(id, "its TaskID is another one than its key's");
	return TAKE(t);
}

/* --- merge --- */

/* Brings the change from base to now onto stored, where base is stored as far as we understand it:
 * what did not change keeps its stored form, members we don't know included. */
static void apply(json_t *stored, json_t *base, json_t *now)
{
	const char *key;
	json_t *v;

	json_object_foreach (base, key, v)
		if (!json_object_get(now, key))
			json_object_del(stored, key);
	json_object_foreach (now, key, v) {
		json_t *b = json_object_get(base, key), *s = json_object_get(stored, key);
		if (b && json_equal(b, v))
			continue;
		if (json_is_object(v) && json_is_object(b) && json_is_object(s))
			apply(s, b, v);
		else
			json_object_set(stored, key, v);
	}
}

enum err_code record_task_merge(
	struct buf *b, struct slice stored, const struct task *t, struct err *e)
{
	CLEANUP(json_in_freep)
	json_t *o = NULL;
	CLEANUP(json_in_freep)
	json_t *base = NULL;
	CLEANUP(json_in_freep)
	json_t *now = NULL;
	CLEANUP(task_freep)
	struct task *old = NULL;
	enum err_code code = rjson_read(stored, &o, e);

	if (!code)
		code = task_from_json(o, &old, e);
	if (!code && strcmp(old->id, t->id) != 0)
		code = err_set(e, ERR_MALFORMED, "its TaskID is another one than its key's");
	if (code) {
		err_ctx(e, "the stored record of task %s is damaged, only deleting it helps",
			t->id);
		return code;
	}
	code = task_to_json(old, &base, e);
	if (!code)
		code = task_to_json(t, &now, e);
	if (code)
		return code;
	apply(o, base, now);
	return rjson_write(b, o, e);
}
