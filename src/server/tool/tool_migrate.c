/* A copy of a metastore, not a move: the old one stays as it is, and is there should the new one be
 * given up. Two servers must never go on from the same records; that is the operator's to see to,
 * and the last line says so. */
#include "server/tool/tool_migrate.h"

#include <inttypes.h>

#include "base/log.h"
#include "client/etcd/etcd.h"
#include "net/grpc.h"
#include "server/config/config.h"
#include "server/connect.h"
#include "server/task/run.h"
#include "server/tool/health.h"
#include "server/tool/tool.h"
#include "store/image.h"

enum { IDLE_MS = 500, ASK_MS = 2000, SECOND_MS = 1000 };

enum err_code migrate_check_idle(struct store *st, int64_t wait_ms, struct stop *s, struct err *e)
{
	struct store_fence before, after;

	if (st->ops->fence(st, s, &before, e))
		return e->code;
	if (!*before.text)
		return ERR_OK;
	if (stop_sleep(s, wait_ms))
		return stop_err(e);
	if (st->ops->fence(st, s, &after, e))
		return e->code;
	if (after.revision == before.revision)
		return ERR_OK;
	return err_set(
		e, ERR_CONFLICT, "it is in use by a running server: %s; stop it first", after.text);
}

/* --- the copy --- */

static enum err_code check_source(
	const struct image *m, const struct migrate_opts *o, FILE *out, struct err *e)
{
	if (m->orphans)
		fprintf(out, "%zu positions of tasks that no longer exist are left out\n",
			m->orphans);
	if (m->damaged && !o->force)
		return err_set(e, ERR_MALFORMED,
			"the source has %zu damaged records (%s); mend or delete them, or leave "
			"them "
			"out with --force",
			m->damaged, m->damaged_name);
	if (m->damaged)
		fprintf(out, "%zu damaged records are left out\n", m->damaged);
	return ERR_OK;
}

/* What a run that was cut off has left is part of the source, and no obstacle. */
static enum err_code check_target(const struct image *from, struct store *to,
	const struct migrate_opts *o, bool *ret_same, struct stop *s, struct err *e)
{
	CLEANUP(image_done)
	struct image m = {.n_texts = 0};
	const char *name = "";

	*ret_same = false;
	if (!to)
		return ERR_OK;
	if (image_read(to, s, &m, e))
		return err_ctx(e, "the target");
	if (!o->force && (m.damaged || !image_is_part(&m, from, &name)))
		return err_set(e, ERR_EXISTS,
			"the target holds something else already (%s); use an empty one, or "
			"another "
			"metaStoreConfig.rootPath, or --force to write over it",
			m.damaged ? m.damaged_name : name);
	*ret_same = image_is_part(from, &m, &name);
	return ERR_OK;
}

static enum err_code verify(
	const struct image *from, struct store *to, struct stop *s, struct err *e)
{
	CLEANUP(image_done)
	struct image m = {.n_texts = 0};
	const char *name = "";

	if (image_read(to, s, &m, e))
		return err_ctx(e, "reading back");
	if (image_is_part(from, &m, &name))
		return ERR_OK;
	return err_set(e, ERR_CONFLICT,
		"read back, %s differs: somebody else writes to the target; run it again", name);
}

static void say(FILE *out, const struct image *m, const char *what)
{
	fprintf(out, "%zu tasks, %zu positions, %zu other records: %s\n", m->n_texts, m->n_docs,
		m->n_exts, what);
}

static enum err_code copy(const struct image *m, struct store *to, const struct migrate_opts *o,
	struct stop *s, FILE *out, struct err *e)
{
	bool same;

	if (check_source(m, o, out, e) || check_target(m, to, o, &same, s, e))
		return e->code;
	if (same || o->dry_run) {
		say(out, m, same ? "all there already, nothing is written" : "would be copied");
		return ERR_OK;
	}
	if (image_write(m, to, s, e))
		return err_ctx(e, "the target");
	if (verify(m, to, s, e))
		return e->code;
	say(out, m, "copied, read back and equal");
	return ERR_OK;
}

enum err_code migrate_stores(struct store *from, struct store *to, const struct migrate_opts *o,
	struct stop *s, FILE *out, struct err *e)
{
	CLEANUP(image_done)
	struct image m = {.n_texts = 0};

	if (image_read(from, s, &m, e))
		return err_ctx(e, "the source");
	return copy(&m, to, o, s, out, e);
}

/* --- the command --- */

/* One side: a configuration and the metastore it names. */
struct side {
	struct config *config;
	struct etcd *etcd;
	struct store *store;
};

static void side_done(struct side *d)
{
	store_close(d->store);
	etcd_close(d->etcd);
	config_free(d->config);
}

/* Asked is first the server of this configuration, which may have nothing to write. One elsewhere shows
 * by what it writes: a server whose source rests does so every RUN_IDLE_INTERVALS. */
static enum err_code check_unused(struct side *d, struct stop *s, struct err *e)
{
	int64_t wait_ms =
		IDLE_MS + (RUN_IDLE_INTERVALS + 1) * (int64_t)d->config->checkpoint_interval_ms;
	struct err away = ERR_INIT;
	struct store_fence f;

	if (d->store->ops->fence(d->store, s, &f, e))
		return e->code;
	if (!*f.text) /* no server ever used it, or its lock would have told */
		return ERR_OK;
	if (!health_ask(d->config, ASK_MS, &away))
		return err_set(e, ERR_CONFLICT,
			"a running server answers at %s, the address of this configuration; stop "
			"it "
			"first",
			d->config->address);
	fprintf(stderr, "looking for %" PRId64 " s whether a server uses the metastore\n",
		(wait_ms + SECOND_MS - 1) / SECOND_MS);
	return migrate_check_idle(d->store, wait_ms, s, e);
}

static enum err_code open_side(struct side *d, struct grpc *g, struct stop *s, struct err *e)
{
	if (connect_store(d->config, g, &d->etcd, &d->store, e))
		return e->code;
	return check_unused(d, s, e);
}

static enum err_code open_from(struct side *d, struct grpc *g, struct stop *s, struct err *e)
{
	if (connect_store_is_missing(d->config))
		return err_set(
			e, ERR_NOT_FOUND, "there is no SQLite file %s", d->config->sqlite_path);
	return open_side(d, g, s, e);
}

static enum err_code run(const struct cli *c, struct side *from, struct side *to, struct grpc *g,
	struct stop *s, struct err *e)
{
	struct migrate_opts o = {
		.dry_run = cli_flag(c, "--dry-run"), .force = cli_flag(c, "--force")};

	if (tool_config(cli_text(c, "--from"), &from->config, e) ||
		tool_config(cli_text(c, "--to"), &to->config, e))
		return e->code;
	if (open_from(from, g, s, e))
		return err_ctx(e, "the source (metaStoreConfig of %s)", cli_text(c, "--from"));
	/* A look creates no file. */
	if (!(o.dry_run && connect_store_is_missing(to->config)) && open_side(to, g, s, e))
		return err_ctx(e, "the target (metaStoreConfig of %s)", cli_text(c, "--to"));
	if (migrate_stores(from->store, to->store, &o, s, stdout, e))
		return e->code;
	if (!o.dry_run)
		printf("Start one server on the new metastore; none may run on the old one any "
		       "more.\n");
	return ERR_OK;
}

int tool_migrate_main(const struct cli *c)
{
	struct side from = {.config = NULL}, to = {.config = NULL};
	struct err e = ERR_INIT;
	struct grpc *g = NULL;
	struct stop s;

	if (!cli_text(c, "--from") || !cli_text(c, "--to")) {
		fputs("milvus-cdc migrate-store: wants --from FILE and --to FILE\n"
		      "Try: milvus-cdc migrate-store --help\n",
			stderr);
		return CLI_USAGE_ERROR;
	}
	stop_init(&s, NULL);
	log_set_level(LOG_ERROR); /* what matters comes back as an error */
	enum err_code code = grpc_new(&g, &e);
	if (!code)
		code = run(c, &from, &to, g, &s, &e);
	side_done(&to);
	side_done(&from);
	grpc_free(g);
	stop_done(&s);
	return code ? tool_exit("migrate-store", &e) : 0;
}
