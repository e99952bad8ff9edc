/* A target: does it answer, take our login and replicated messages, is its clock right, and does
 * what it has already fit the source? */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/wire.h"
#include "model/ts.h"
#include "server/target/compare.h"
#include "server/doctor/doctor.h"
#include "server/target/target.h"
#include "sink/sink.h"
#include "source/catalog.h"

enum { SUBJECT_BYTES = 300, NAME_BYTES = 256, WHY_BYTES = 300, SHOWN = 5, SHOWN_BYTES = 800 };
enum { SKEW_MS = 1000, PROBE_MS = 10000 };
/* Milvus' codes. */
enum { CODE_NO_CHANNEL = 1100, CODE_NOT_ALLOWED = 1900, CODE_UNEXPECTED = 65535 };
enum { REPLICATE_CHANNEL_NAME = 2 }; /* of ReplicateMessageRequest */

static const struct log_ctx log_doctor = {.comp = LOG_server};

struct visit {
	const struct doctor_env *env;
	const struct task *task;
	struct sink *sink;
	struct doctor *d;
	char subject[SUBJECT_BYTES];
	char prefix[CHANNEL_BYTES]; /* of the target's channels; "" = not known */
	size_t compared, existing, left;
	char shown[SHOWN_BYTES]; /* the first of the existing ones */
};

/* ---- what is there already ---- */

static void learn_prefix(struct visit *v, const struct sink_collection *c)
{
	const char *p = c->shards_num ? c->shards[0].pchannel : "";
	const char *end = strstr(p, "-rootcoord-dml_");

	if (end && !v->prefix[0])
		snprintf(v->prefix, sizeof(v->prefix), "%.*s", (int)(end - p), p);
}

/* A vchannel holds the collection's id: two clusters do not make the same by chance. */
static bool is_itself(const struct collection *source, const struct sink_collection *c)
{
	return source->id == c->id && source->shards_num && c->shards_num &&
	       strcmp(source->shards[0].vchannel, c->shards[0].vchannel) == 0;
}

static void note_existing(struct visit *v, const char *name)
{
	size_t at = strlen(v->shown);

	if (v->existing++ < SHOWN)
		snprintf(v->shown + at, sizeof(v->shown) - at, "%s%s", at ? ", " : "", name);
}

static void compare(struct visit *v, const struct collection *source, const char *name,
	const struct sink_collection *c)
{
	char why[WHY_BYTES];

	learn_prefix(v, c);
	if (is_itself(source, c))
		doctor_note(v->d, DOCTOR_CODE_TARGET_SAME, v->subject,
			"its collection %s is the source's: id %" PRId64 ", channel %s", name,
			source->id, c->shards[0].vchannel);
	else if (source->shards_num != c->shards_num)
		doctor_note(v->d, DOCTOR_CODE_TARGET_SHARDS, v->subject,
			"%s has %d shards there, %d at the source", name, c->shards_num,
			source->shards_num);
	else if (!compare_schema(source->schema, c->schema, why, sizeof(why)))
		doctor_note(v->d, DOCTOR_CODE_TARGET_SCHEMA, v->subject, "%s: %s", name, why);
	else
		note_existing(v, name);
}

static void look_up(struct visit *v, const struct collection *source, const char *db)
{
	char to_db[NAME_BYTES], to[NAME_BYTES], name[2 * NAME_BYTES];
	struct sink_collection c = {.id = 0};
	struct err e = ERR_INIT;

	task_map_name(v->task, db, source->name, to_db, to, NAME_BYTES);
	snprintf(name, sizeof(name), "%s.%s", to_db, to);
	enum err_code code = v->sink->ops->describe(v->sink, to_db, to, v->env->stop, &c, &e);
	if (!code)
		compare(v, source, name, &c);
	else if (code == ERR_EXISTS)
		doctor_note(v->d, DOCTOR_CODE_TARGET_ALIAS, v->subject, "%s: %s", name, e.text);
	else if (code == ERR_DENIED)
		doctor_note(v->d, DOCTOR_CODE_TARGET_AUTH, v->subject, "describe of %s: %s", name,
			e.text);
	sink_collection_done(&c);
}

static void look_at_collections(struct visit *v, size_t most)
{
	struct collection **list = NULL;
	char db[NAME_BYTES];
	size_t n = catalog_collections(v->env->catalog, &list);

	for (size_t i = 0; i < n; i++) {
		bool ours =
			list[i]->state == OBJECT_CREATED &&
			catalog_database_name(v->env->catalog, list[i]->db_id, db, sizeof(db)) &&
			task_selects(v->task, db, list[i]->name, NULL);
		if (ours && v->compared == most)
			v->left++;
		else if (ours && !stop_is_set(v->env->stop)) {
			v->compared++;
			look_up(v, list[i], db);
		}
		collection_unref(list[i]);
	}
	free(list);
	if (v->existing)
		doctor_note(v->d, DOCTOR_CODE_TARGET_EXISTS, v->subject, "%zu of %zu: %s%s",
			v->existing, v->compared, v->shown, v->existing > SHOWN ? ", ..." : "");
	if (v->left)
		doctor_note(v->d, DOCTOR_CODE_TARGET_LEFT, v->subject, "%zu of %zu", v->left,
			v->left + v->compared);
}

/* ---- is replication allowed ---- */

static void judge(struct visit *v, enum err_code code, const struct err *e)
{
	if (!code)
		doctor_fact(v->d, v->subject, "takes replicated messages");
	else if (e->origin == CODE_NOT_ALLOWED)
		doctor_note(v->d, DOCTOR_CODE_TARGET_MODE, v->subject, "%s", e->text);
	else if (e->origin == CODE_NO_CHANNEL)
		doctor_fact(v->d, v->subject, "takes replicated messages");
	else if (e->origin == CODE_UNEXPECTED && v->prefix[0])
		doctor_note(v->d, DOCTOR_CODE_TARGET_CHANNEL, v->subject, "%s", e->text);
	else if (code == ERR_DENIED)
		doctor_note(v->d, DOCTOR_CODE_TARGET_AUTH, v->subject, "%s", e->text);
	else
		doctor_note(v->d, DOCTOR_CODE_TARGET_PROBE, v->subject, "%s", e->text);
}

/* An empty call: for the replicate channel it answers where that one ends, without a channel it is
 * refused (1100), and on a target that is no replica both are refused before that (1900; seen with
 * 2.3.5). Nothing is produced in any case, so the name must be the right one or none: others would
 * be made. */
static void probe(struct visit *v)
{
	CLEANUP(buf_done) struct buf body = BUF_INIT(2 * CHANNEL_BYTES);
	CLEANUP(iov_done) struct iov request = {.n = 0};
	struct err e = ERR_INIT;
	struct mq_id position;

	if (v->prefix[0]) {
		CLEANUP(freep) char *name = xasprintf("%s-replicate-msg", v->prefix);
		wire_put_str_opt(&body, REPLICATE_CHANNEL_NAME, name);
	}
	iov_put(&request, buf_slice(&body));
	enum err_code code =
		v->sink->ops->replicate(v->sink, &request, PROBE_MS, v->env->stop, &position, &e);
	judge(v, code, &e);
}

/* ---- clocks ---- */

static void look_at_clock(struct visit *v)
{
	const struct doctor_env *env = v->env;
	struct err e = ERR_INIT;
	uint64_t ts = 0;

	if (v->sink->ops->clock(v->sink, env->stop, &ts, &e) || !ts)
		return;
	int64_t ahead_ms = ts_ms(ts) - time_wall_ms();
	if (ahead_ms > SKEW_MS || ahead_ms < -SKEW_MS)
		doctor_note(v->d, DOCTOR_CODE_TARGET_CLOCK, v->subject,
			"its clock is %lld ms %s ours", (long long)llabs(ahead_ms),
			ahead_ms > 0 ? "ahead of" : "behind");
	if (!env->source_ts)
		return;
	int64_t since_ms = time_mono_ms() - env->source_mono_ms;
	int64_t source_ms = ts_ms(env->source_ts) + since_ms - ts_ms(ts);
	if (source_ms > SKEW_MS)
		doctor_note(v->d, DOCTOR_CODE_SOURCE_CLOCK, v->subject,
			"the source's last tick is %lld ms ahead of it", (long long)source_ms);
}

static void look_at_version(struct visit *v, const char *version)
{
	int major = 0, minor = 0;

	if (!*version)
		return;
	const char *p = *version == 'v' ? version + 1 : version;
	if (sscanf(p, "%d.%d", &major, &minor) != 2 || major != 2 || minor < 3 || minor > 5)
		doctor_note(
			v->d, DOCTOR_CODE_TARGET_VERSION, v->subject, "it is Milvus %s", version);
}

/* ---- the whole ---- */

static void look(struct visit *v, size_t most)
{
	struct sink_info info;
	struct err e = ERR_INIT;

	enum err_code code = v->sink->ops->connect(v->sink, v->env->stop, &info, &e);
	if (code) {
		doctor_note(v->d,
			code == ERR_DENIED ? DOCTOR_CODE_TARGET_AUTH
					   : DOCTOR_CODE_TARGET_UNREACHABLE,
			v->subject, "%s", e.text);
		return;
	}
	doctor_fact(
		v->d, v->subject, "answers%s%s", info.version[0] ? ", Milvus " : "", info.version);
	look_at_version(v, info.version);
	if (v->sink->ops->clock)
		look_at_clock(v);
	if (v->sink->ops->describe && v->env->catalog &&
		catalog_wait(v->env->catalog, 0, deadline_in(0), v->env->stop))
		look_at_collections(v, most);
	if (v->sink->ops->replicate)
		probe(v);
}

void doctor_sink(const struct doctor_env *env, const struct task *t, struct sink *k, size_t most,
	struct doctor *d)
{
	struct visit v = {.env = env, .task = t, .sink = k, .d = d};
	CLEANUP(freep) char *address = task_target(t);

	snprintf(v.subject, sizeof(v.subject), "target %.250s", address);
	look(&v, most);
}

void doctor_target(
	const struct doctor_env *env, const struct task *t, size_t most, struct doctor *d)
{
	CLEANUP(freep) char *address = task_target(t);
	struct err e = ERR_INIT;
	struct sink *k = NULL;

	if (target_open_sink(env->grpc, &log_doctor, t, false, &k, &e)) {
		doctor_note(d, DOCTOR_CODE_TARGET_UNREACHABLE, address, "%s", e.text);
		return;
	}
	doctor_sink(env, t, k, most, d);
	sink_close(k);
}
