/* The source's etcd: does it answer, and is a Milvus where we look? If not: where else is one. Only
 * single keys are read, whatever else lives in that etcd. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/etcd/etcd.h"
#include "server/config/config.h"
#include "server/doctor/doctor.h"
#include "source/catalog.h"

enum {
	NAME_BYTES = 128,
	NAMES_MAX = 64,
	SHOWN_BYTES = 600,
	SUBJECT_BYTES = 300,
	CATALOG_MS = 15000
};

struct look {
	struct doctor_env *env;
	struct doctor *d;
	char subject[SUBJECT_BYTES];
	struct err e; /* the first failed read */
};

static void set_subject(struct look *l)
{
	const struct config_etcd *c = &l->env->config->source_etcd;
	size_t n = (size_t)snprintf(l->subject, sizeof(l->subject), "source etcd");

	for (size_t i = 0; i < c->n_endpoints && n < sizeof(l->subject); i++)
		n += (size_t)snprintf(l->subject + n, sizeof(l->subject) - n, "%s%s", i ? "," : " ",
			c->endpoints[i]);
}

/* "by-dev/" of by-dev and by-dev/; "" of "". Heap. */
static char *joined(const char *a, const char *b)
{
	size_t n = strlen(a);

	while (n && a[n - 1] == '/')
		n--;
	return xasprintf("%.*s%s%s", (int)n, a, n ? "/" : "", b);
}

/* Is there a key that begins so? False also after a failed read. */
static bool any_below(struct look *l, const char *prefix)
{
	struct etcd_range r;
	bool found = false;

	if (l->e.code)
		return false;
	etcd_range_init(&r);
	if (!etcd_first_from(l->env->etcd, slice_str(prefix), l->env->stop, &r, &l->e) && r.n)
		found = r.kvs[0].key_n >= strlen(prefix) &&
			memcmp(r.kvs[0].key, prefix, strlen(prefix)) == 0;
	etcd_range_done(&r);
	return found;
}

struct names {
	char v[NAMES_MAX][NAME_BYTES];
	size_t n;
};

/* The next name below prefix at or after `from`, which moves behind it. Two reads a name, however
 * many keys it has. */
static bool next_name(struct look *l, const char *prefix, struct buf *from, char out[NAME_BYTES])
{
	struct etcd_range r;
	size_t skip = strlen(prefix);
	bool found = false;

	etcd_range_init(&r);
	if (!etcd_first_from(l->env->etcd, buf_slice(from), l->env->stop, &r, &l->e) && r.n) {
		const struct etcd_kv *kv = &r.kvs[0];
		const char *rest = kv->key + MIN(skip, kv->key_n);
		const char *slash = kv->key_n > skip ? strchr(rest, '/') : NULL;
		size_t n = slash ? (size_t)(slash - rest) : strlen(rest);
		found = kv->key_n > skip && memcmp(kv->key, prefix, skip) == 0;
		snprintf(out, NAME_BYTES, "%.*s", (int)MIN(n, (size_t)NAME_BYTES - 1), rest);
		buf_reset(from);
		buf_put(from, kv->key, slash ? skip + n : kv->key_n);
		buf_put_u8(from, slash ? '/' + 1 : 0);
	}
	etcd_range_done(&r);
	return found && !buf_failed(from);
}

static void list_names(struct look *l, const char *prefix, struct names *ret)
{
	CLEANUP(buf_done) struct buf from = BUF_INIT(4096);

	ret->n = 0;
	buf_put_str(&from, *prefix ? prefix : "\1");
	while (!l->e.code && ret->n < NAMES_MAX && next_name(l, prefix, &from, ret->v[ret->n]))
		ret->n++;
}

static bool is_milvus(struct look *l, const char *root)
{
	CLEANUP(freep) char *clock = joined(root, "kv/gid/timestamp");
	CLEANUP(freep) char *meta = joined(root, "meta/root-coord/");

	return any_below(l, clock) || any_below(l, meta);
}

/* Keeps those names that pass, and writes them one behind the other. */
static size_t keep(struct look *l, struct names *names, bool (*fn)(struct look *, const char *),
	char shown[SHOWN_BYTES])
{
	size_t n = 0, at = 0;

	shown[0] = '\0';
	for (size_t i = 0; i < names->n; i++) {
		if (!fn(l, names->v[i]))
			continue;
		if (at < SHOWN_BYTES)
			at += (size_t)snprintf(
				shown + at, SHOWN_BYTES - at, "%s%s", n ? ", " : "", names->v[i]);
		n++;
	}
	return n;
}

static bool any_name(struct look *l, const char *name)
{
	(void)l;
	(void)name;
	return true;
}

static bool is_meta(struct look *l, const char *name)
{
	CLEANUP(freep) char *root = joined(l->env->config->source_etcd.root_path, name);
	CLEANUP(freep) char *meta = joined(root, "root-coord/");

	return any_below(l, meta);
}

static void wrong_root(struct look *l)
{
	struct names *names = xcalloc(1, sizeof(*names));
	const char *root = l->env->config->source_etcd.root_path;
	char shown[SHOWN_BYTES], all[SHOWN_BYTES];

	list_names(l, "", names);
	size_t n = keep(l, names, is_milvus, shown);
	keep(l, names, any_name, all);
	if (n)
		doctor_note(l->d, DOCTOR_CODE_ETCD_ROOT, l->subject,
			"there is no key below \"%s/\"; a Milvus is at: %s", root, shown);
	else
		doctor_note(l->d, DOCTOR_CODE_ETCD_ROOT, l->subject,
			"there is no key below \"%s/\", and no Milvus at any other prefix (%s)",
			root, names->n ? all : "this etcd is empty");
	if (n == 1)
		doctor_fix(l->d, "set sourceConfig.etcd.rootPath to %s", shown);
	free(names);
}

static void wrong_meta(struct look *l)
{
	struct names *names = xcalloc(1, sizeof(*names));
	const struct config_etcd *c = &l->env->config->source_etcd;
	CLEANUP(freep) char *root = joined(c->root_path, "");
	char shown[SHOWN_BYTES];

	list_names(l, root, names);
	size_t n = keep(l, names, is_meta, shown);
	doctor_note(l->d, DOCTOR_CODE_ETCD_META_PATH, l->subject,
		"\"%s\" holds keys, but none below \"%s\"; Milvus' metadata is below: %s", root,
		c->meta_sub_path, n ? shown : "nothing there");
	if (n == 1)
		doctor_fix(l->d, "set sourceConfig.etcd.metaSubPath to %s", shown);
	free(names);
}

/* True when the paths lead to a Milvus. */
static bool look_at_paths(struct look *l)
{
	const struct config_etcd *c = &l->env->config->source_etcd;
	CLEANUP(freep) char *root = joined(c->root_path, "");
	CLEANUP(freep) char *clock = joined(c->root_path, "kv/gid/timestamp");
	CLEANUP(freep) char *meta = joined(root, c->meta_sub_path);
	CLEANUP(freep) char *base = joined(meta, "root-coord/");
	bool has_base = any_below(l, base), has_clock = any_below(l, clock);

	if (l->e.code)
		return false;
	if (has_base && has_clock)
		return true;
	if (has_base)
		doctor_note(l->d, DOCTOR_CODE_ETCD_TIMESTAMP, l->subject,
			"there is no key %s beside the metadata below %s", clock, base);
	else if (*root ? any_below(l, root) : has_clock)
		wrong_meta(l);
	else
		wrong_root(l);
	return has_base;
}

static void say_failure(struct look *l)
{
	bool denied = l->e.code == ERR_DENIED || strstr(l->e.text, "permission denied") ||
		      strstr(l->e.text, "user name is empty") ||
		      strstr(l->e.text, "authentication");

	doctor_note(l->d, denied ? DOCTOR_CODE_ETCD_AUTH : DOCTOR_CODE_ETCD_UNREACHABLE, l->subject,
		"%s", l->e.text);
}

static bool look_at_catalog(struct look *l)
{
	struct catalog *c = l->env->catalog;
	char why[512];

	if (catalog_wait(c, 0, deadline_in(CATALOG_MS), l->env->stop))
		return true;
	catalog_status(c, why, sizeof(why));
	doctor_note(l->d, DOCTOR_CODE_ETCD_UNREACHABLE, l->subject,
		"the metadata could not be read: %s", why);
	return false;
}

static bool open_catalog(struct look *l)
{
	const struct config_etcd *c = &l->env->config->source_etcd;
	struct catalog_opts o = {.root_path = c->root_path, .meta_sub_path = c->meta_sub_path};
	struct doctor_env *env = l->env;

	if (env->catalog)
		return true;
	if (!catalog_new(env->etcd, &o, &env->catalog, &l->e) &&
		!catalog_start(env->catalog, &l->e))
		return true;
	say_failure(l);
	return false;
}

bool doctor_etcd(struct doctor_env *env, struct doctor *d)
{
	struct look l = {.env = env, .d = d, .e = ERR_INIT};
	struct err dead = ERR_INIT;

	if (!env->etcd)
		return false;
	set_subject(&l);
	if (etcd_status(env->etcd, env->stop, &dead)) {
		l.e = dead;
		say_failure(&l);
		return false;
	}
	if (dead.text[0])
		doctor_note(d, DOCTOR_CODE_ETCD_MEMBER, l.subject, "%s", dead.text);
	bool good = look_at_paths(&l);
	if (l.e.code)
		say_failure(&l);
	if (!good || !open_catalog(&l) || !look_at_catalog(&l))
		return false;
	doctor_fact(d, l.subject, "answers; a Milvus is below %s/%s",
		env->config->source_etcd.root_path, env->config->source_etcd.meta_sub_path);
	return true;
}
