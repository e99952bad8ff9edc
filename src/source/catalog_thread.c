/* The thread: list, then watch from the next revision; list again when the watch's revision is
 * compacted away or the history is another one. Nothing here gives up: an outage is retried for
 * ever and shown by catalog_status. */
#include <stdio.h>

#include "base/failpoint.h"
#include "source/catalog_priv.h"

enum { IDLE_MS = 30000, RECOVER_MS = 500, CLOCK_MS = 5000 };
enum { SWEEP_MS = 30000, KEEP_GONE_MS = 300000 };

static enum err_code list_all(struct catalog *c, struct err *e)
{
	CLEANUP(catalog_listing_done) struct catalog_listing l;

	catalog_listing_init(&l);
	if (catalog_listing_read(c, &l, e) || catalog_read_clock(c, e))
		return err_ctx(e, "snapshot of %s", c->base);
	if (etcd_watch_open(c->etcd, c->base, l.revision + 1, &c->watch, e))
		return e->code;
	mutex_lock(&c->mtx);
	catalog_listing_apply(c, &l);
	cond_broadcast(&c->changed); /* for catalog_current, see apply_events */
	mutex_unlock(&c->mtx);
	log_info(&c->log,
		"snapshot at revision %lld: keys of databases %zu, collections %zu, partitions %zu",
		(long long)l.revision, l.databases.n, l.collections.n, l.partitions.n);
	return ERR_OK;
}

static void apply_events(struct catalog *c, const struct etcd_events *ev)
{
	mutex_lock(&c->mtx);
	for (size_t i = 0; i < ev->n; i++) {
		const struct etcd_event *event = &ev->events[i];
		if (event->kind == ETCD_EVENT_DELETE)
			catalog_apply_gone(c, &event->kv);
		else
			catalog_apply_put(c, &event->kv, false);
	}
	c->seen = MAX(c->seen, ev->revision);
	catalog_publish(c, false);
	cond_broadcast(&c->changed); /* catalog_current waits for c->seen */
	mutex_unlock(&c->mtx);
}

static bool has_outage(struct catalog *c)
{
	mutex_lock(&c->mtx);
	bool outage = c->outage[0] != '\0';
	mutex_unlock(&c->mtx);
	return outage;
}

/* How long to wait for events: not long while something else is to be found out. */
static int64_t patience_ms(struct catalog *c)
{
	if (has_outage(c))
		return RECOVER_MS;
	return catalog_clock(c) ? IDLE_MS : CLOCK_MS;
}

static enum err_code follow(struct catalog *c, struct err *e)
{
	CLEANUP(etcd_events_done) struct etcd_events ev;

	etcd_events_init(&ev);
	enum err_code code =
		etcd_watch_next(c->watch, deadline_in(patience_ms(c)), &c->stop, &ev, e);
	if (!code) {
		FAILPOINT("etcd.event.after");
		apply_events(c, &ev);
		return ERR_OK;
	}
	if (code != ERR_TIMEOUT)
		return code;
	err_clear(e);
	/* A source that was never started, or another root path: the key may come. */
	return catalog_clock(c) ? ERR_OK : catalog_read_clock(c, e);
}

static void set_outage(struct catalog *c, const struct err *e, int64_t delay_ms)
{
	mutex_lock(&c->mtx);
	snprintf(c->outage, sizeof(c->outage), "etcd %s: %s; retry in %lld ms", err_name(e->code),
		e->text, (long long)delay_ms);
	mutex_unlock(&c->mtx);
}

static void recovered(struct catalog *c)
{
	retry_reset(&c->retry);
	if (!has_outage(c))
		return;
	mutex_lock(&c->mtx);
	c->outage[0] = '\0';
	mutex_unlock(&c->mtx);
	log_info(&c->log, "in order again");
}

static void step(struct catalog *c)
{
	struct err e = ERR_INIT;
	enum err_code code = c->watch ? follow(c, &e) : list_all(c, &e);

	catalog_notes_write(c);
	catalog_sweep(c, SWEEP_MS, KEEP_GONE_MS);
	if (!code) {
		if (c->watch && etcd_watch_live(c->watch))
			recovered(c);
		return;
	}
	if (stop_is_set(&c->stop))
		return;
	if (code == ERR_GONE) {
		etcd_watch_close(c->watch);
		c->watch = NULL;
	}
	int64_t delay_ms = retry_next_ms(&c->retry);
	/* An outage is one line; what it goes on with is in the status. */
	log_at(&c->log, has_outage(c) ? LOG_DEBUG : LOG_WARN, "%s: %s; %s in %lld ms",
		err_name(code), e.text, code == ERR_GONE ? "new snapshot" : "retry",
		(long long)delay_ms);
	set_outage(c, &e, delay_ms);
	stop_sleep(&c->stop, delay_ms);
}

void catalog_thread_main(void *arg)
{
	struct catalog *c = arg;

	while (!stop_is_set(&c->stop))
		step(c);
}
