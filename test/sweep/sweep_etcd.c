/* The client of etcd and the metastore in it, against a real one: every call to the network fails once. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "client/etcd/etcd.h"
#include "store/store_etcd.h"
#include "support/etcd_server.h"
#include "sweep/fault_io.h"
#include "sweep/store_steps.h"

enum { OP_MS = 2000, WATCH_MS = 5000 };

static struct etcd_server server;

static void before(void)
{
	etcd_server_start(&server);
}

static void after(void)
{
	etcd_server_stop(&server);
}

/* What was put is told by a watch from before it. */
static enum err_code watch(struct etcd *c, struct sweep_run *r, struct err *e)
{
	struct etcd_watch *w = NULL;
	struct etcd_range now;
	struct etcd_events ev;
	char key[64];

	snprintf(key, sizeof(key), "w%u/key", r->number);
	etcd_range_init(&now);
	etcd_events_init(&ev);
	if (!etcd_get_prefix(c, key, 0, &r->stop, &now, e) &&
		!etcd_watch_open(c, key, now.revision + 1, &w, e) &&
		!etcd_put(c, key, slice_str("v"), &r->stop, e)) {
		struct deadline d = deadline_in(WATCH_MS);
		while (!etcd_watch_next(w, d, &r->stop, &ev, e) && !ev.n)
			continue;
		if (!e->code && (ev.events[0].kind != ETCD_EVENT_PUT ||
					!slice_eq_str(ev.events[0].kv.value, "v")))
			sweep_wrong("the watch tells something else");
	}
	etcd_watch_close(w);
	etcd_events_done(&ev);
	etcd_range_done(&now);
	return e->code;
}

static enum err_code use(struct etcd *c, struct sweep_run *r, struct err *e)
{
	struct store *st = NULL;
	char root[32];

	snprintf(root, sizeof(root), "cdc%u", r->number);
	if (store_etcd_open(c, root, &st, e))
		return e->code;
	if (!store_steps(st, r, e))
		watch(c, r, e);
	store_close(st);
	return e->code;
}

static enum err_code run(struct sweep_run *r, struct err *e)
{
	const char *endpoint = server.address;
	struct etcd_opts o = {.endpoints = &endpoint, .n_endpoints = 1, .op_timeout_ms = OP_MS};
	struct grpc *g = NULL;
	struct etcd *c = NULL;

	if (grpc_new(&g, e))
		return e->code;
	if (!etcd_open(g, &o, &c, e))
		use(c, r, e);
	etcd_close(c);
	grpc_free(g);
	return e->code;
}

int main(int argc, char **argv)
{
	static const char *const words[] = {"etcd", "127.0.0.1:", "event loop", "thread", NULL};
	static const struct sweep s = {
		.name = "etcd", .words = words, .before = before, .after = after, .run = run};

	return sweep_main(argc, argv, &s);
}
