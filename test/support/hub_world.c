#include "support/hub_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/mutex.h"
#include "base/wire.h"
#include "support/dml_make.h"

enum { WAIT_MS = 20000 };

struct wlane {
	struct group *g;
	uint64_t last_end;
	bool closed;
	size_t held;
};

static void *lane_opened(void *group, const char *pchannel, uint64_t start_ts, bool chaser)
{
	struct group *g = group;
	struct wlane *l = xcalloc(1, sizeof(*l));

	(void)pchannel, (void)start_ts, (void)chaser;
	l->g = g;
	mutex_lock(&g->w->mtx);
	g->lanes++;
	g->opened++;
	mutex_unlock(&g->w->mtx);
	return l;
}

static void record_locked(struct world *w, struct wlane *l, const struct pack *pk)
{
	MUST(!l->closed);
	MUST(pk->end_ts > l->last_end && pk->begin_ts < pk->end_ts);
	MUST(!l->last_end || pk->begin_ts == l->last_end);
	l->last_end = pk->end_ts;
	l->g->pushes++;
	for (const struct pack_msg *pm = pk->msgs; pm; pm = pm->next) {
		struct wsub *s = CONTAINER_OF(pm->sub, struct wsub, sub);
		MUST(s->live && s->lane == l);
		if (s->leaving)
			continue;
		mem_grow(&s->got, &s->cap, s->n + 1, sizeof(*s->got));
		s->got[s->n++] = pm->dml.base.msg_id;
	}
	for (int i = 0; i < WORLD_SUBS; i++) {
		struct wsub *s = &w->subs[i];
		if (s->live && !s->leaving && s->lane == l && pk->end_ts > s->at.ts)
			s->at = pk->end;
	}
	cond_broadcast(&w->cond);
}

static enum err_code lane_pushed(void *lane, struct pack *pk, struct stop *s, struct err *e)
{
	struct wlane *l = lane;
	struct world *w = l->g->w;
	struct stop_watch watch;

	stop_watch_add(s, &watch, &w->mtx, &w->cond);
	mutex_lock(&w->mtx);
	while (l->g->blocked && pk->msgs && !l->g->closing && !stop_is_set(s))
		cond_wait(&w->cond, &w->mtx, DEADLINE_NEVER);
	bool taken = !l->g->closing && !stop_is_set(s);
	if (taken)
		record_locked(w, l, pk);
	bool keep = taken && l->g->hoards && pk->msgs;
	if (keep) {
		list_push(&l->g->kept, &pk->link);
		l->held += pk->cost_bytes;
	}
	mutex_unlock(&w->mtx);
	stop_watch_del(s, &watch);
	if (!keep)
		pack_free(pk);
	return taken ? ERR_OK : stop_err(e);
}

static bool stays(const struct wsub *s, const struct wlane *l)
{
	return s->live && !s->leaving && s->lane == l;
}

static void lane_closed(void *lane)
{
	struct wlane *l = lane;
	struct world *w = l->g->w;

	mutex_lock(&w->mtx);
	MUST(!l->closed);
	for (int i = 0; i < WORLD_SUBS; i++)
		MUST(!stays(&w->subs[i], l) || w->subs[i].failed);
	l->g->lanes--;
	mutex_unlock(&w->mtx);
	free(l);
}

static void lane_moved(void *from, void *to)
{
	struct wlane *f = from, *t = to;
	struct world *w = f->g->w;

	mutex_lock(&w->mtx);
	MUST(f->g == t->g && !f->closed && !t->closed);
	for (int i = 0; i < WORLD_SUBS; i++)
		MUST(!stays(&w->subs[i], f));
	f->g->lanes--;
	f->g->moves++;
	mutex_unlock(&w->mtx);
	free(f);
}

static size_t lane_held(void *lane)
{
	struct wlane *l = lane;
	struct world *w = l->g->w;

	mutex_lock(&w->mtx);
	size_t bytes = l->g->hoards ? l->held : 0;
	mutex_unlock(&w->mtx);
	return bytes;
}

const struct group_ops world_ops = {lane_opened, lane_pushed, lane_moved, lane_closed, lane_held};

static void on_lane(void *user, void *lane)
{
	struct wsub *s = user;

	mutex_lock(&s->w->mtx);
	MUST(s->live);
	s->lane = lane;
	mutex_unlock(&s->w->mtx);
}

static void on_failed(void *user, const struct err *e)
{
	struct wsub *s = user;

	mutex_lock(&s->w->mtx);
	MUST(s->live && !s->failed);
	s->failed = e->code;
	snprintf(s->why, sizeof(s->why), "%s", e->text);
	cond_broadcast(&s->w->cond);
	mutex_unlock(&s->w->mtx);
}

void world_open(struct world *w, unsigned seed, size_t budget_bytes)
{
	struct err e = ERR_INIT;

	*w = (struct world){.seed = seed, .next_msg_id = 1};
	w->mq = fake_mq_new();
	mutex_init(&w->mtx, "world");
	cond_init(&w->cond);
	stop_init(&w->never, NULL);
	for (int i = 0; i < WORLD_TOPICS; i++) {
		snprintf(w->topics[i].name, CHANNEL_BYTES, "by-dev-rootcoord-dml_%d", i);
		w->topics[i].clock = 1000;
		fake_mq_make(w->mq, w->topics[i].name);
	}
	for (int i = 0; i < WORLD_GROUPS; i++) {
		w->groups[i].w = w;
		list_init(&w->groups[i].kept);
	}
	struct hub_opts o = {.mq = fake_mq_queue(w->mq), .budget_bytes = budget_bytes};
	MUST(!hub_new(&o, &w->hub, &e));
}

void world_close(struct world *w)
{
	for (int i = 0; i < WORLD_SUBS; i++)
		world_unsub(w, i);
	for (int i = 0; i < WORLD_GROUPS; i++)
		MUST(w->groups[i].lanes == 0);
	hub_free(w->hub);
	MUST(fake_mq_readers(w->mq) == 0);
	MUST(fake_mq_free(w->mq) == 0);
	for (int i = 0; i < WORLD_SUBS; i++)
		free(w->subs[i].got);
	for (int i = 0; i < WORLD_TOPICS; i++) {
		free(w->topics[i].rows);
		free(w->topics[i].cuts);
	}
	stop_done(&w->never);
	cond_done(&w->cond);
	mutex_done(&w->mtx);
}

unsigned world_rand(struct world *w, unsigned below)
{
	return (unsigned)rand_r(&w->seed) % below;
}

static void vchannel_name(char out[CHANNEL_BYTES], const struct topic_model *t, int vchannel)
{
	snprintf(out, CHANNEL_BYTES, "%.200s_%dv0", t->name, 100 + vchannel);
}

static int64_t put(struct world *w, struct topic_model *t, struct buf *b, struct row row)
{
	row.number = fake_mq_put(w->mq, t->name, buf_slice(b), NULL);
	mem_grow(&t->rows, &t->cap, t->n + 1, sizeof(*t->rows));
	t->rows[t->n++] = row;
	buf_done(b);
	return row.number;
}

int64_t world_row(struct world *w, struct topic_model *t, int vchannel, uint64_t ts, int64_t msg_id)
{
	struct buf b = BUF_INIT(1 << 16);
	char shard[CHANNEL_BYTES];

	vchannel_name(shard, t, vchannel);
	if (!msg_id)
		msg_id = w->next_msg_id++;
	dml_make_rows(&b, MSG_INSERT, msg_id, shard, 100 + vchannel, 1, &ts, 1, 1);
	return put(w, t, &b, (struct row){.ts = ts, .msg_id = msg_id, .vchannel = vchannel});
}

/* The cut as the model sees it: where reading goes on is the first row that is not released yet. */
static void note_cut(struct topic_model *t, int64_t tick, uint64_t ts)
{
	struct position end = {.id = fake_mq_id(tick), .ts = ts};

	for (size_t i = 0; i < t->n; i++)
		if (t->rows[i].vchannel != -1 && t->rows[i].ts > ts) {
			end.id = fake_mq_id(t->rows[i].number);
			break;
		}
	mem_grow(&t->cuts, &t->cap_cuts, t->n_cuts + 1, sizeof(*t->cuts));
	t->cuts[t->n_cuts++] = end;
}

int64_t world_tick(struct world *w, struct topic_model *t, uint64_t ts)
{
	struct buf b = BUF_INIT(64), base = BUF_INIT(64);

	wire_put_u64(&base, 1, MSG_TIME_TICK);
	wire_put_u64(&base, 3, ts);
	wire_put_bytes(&b, 1, buf_slice(&base));
	buf_done(&base);
	int64_t number = put(w, t, &b, (struct row){.ts = ts, .vchannel = -1});
	if (ts > t->ticked) {
		t->ticked = ts;
		note_cut(t, number, ts);
	}
	return number;
}

int64_t world_drop(struct world *w, struct topic_model *t, int collection, uint64_t ts)
{
	struct buf b = BUF_INIT(256);

	dml_make_drop(&b, MSG_DROP_PARTITION, ts, 100 + collection, 7);
	return put(w, t, &b, (struct row){.ts = ts, .vchannel = -2, .collection = collection});
}

void world_write(struct world *w, struct topic_model *t, int n)
{
	for (int i = 0; i < n; i++) {
		unsigned what = world_rand(w, 100);
		if (what < 30) {
			/* Ticks lag behind rows, never pass one that is to come, and repeat now and
			 * then. */
			uint64_t lag = world_rand(w, 8);
			world_tick(w, t, MAX(t->ticked, t->clock - lag));
			if (t->clock <= t->ticked)
				t->clock = t->ticked + 1;
		} else if (what < 33) {
			world_drop(w, t, (int)world_rand(w, WORLD_VCHANNELS),
				t->ticked + 1 + world_rand(w, 9));
		} else {
			t->clock += world_rand(w, 3);
			uint64_t ts = MAX(t->clock, t->ticked + 1);
			int64_t again = what > 95 && w->next_msg_id > 3 ? w->next_msg_id - 2 : 0;
			world_row(w, t, (int)world_rand(w, WORLD_VCHANNELS), ts, again);
			t->clock = ts;
		}
	}
}

struct position world_some_cut(struct world *w, const struct topic_model *t)
{
	if (!t->n_cuts)
		return (struct position){.id = fake_mq_id(0)};
	return t->cuts[world_rand(w, (unsigned)t->n_cuts)];
}

void world_sub(struct world *w, int i, struct topic_model *t, int vchannel, int group,
	struct position start)
{
	struct wsub *s = &w->subs[i];

	mutex_lock(&w->mtx); /* recorders walk over all slots */
	free(s->got);
	*s = (struct wsub){
		.w = w, .t = t, .vchannel = vchannel, .first = start, .at = start, .live = true};
	vchannel_name(s->channel, t, vchannel);
	s->sub.vchannel = s->channel;
	s->sub.pchannel = t->name;
	s->sub.collection_id = 100 + vchannel;
	s->sub.start = start;
	s->sub.ops = &world_ops;
	s->sub.group = &w->groups[group];
	s->sub.user = s;
	s->sub.failed = on_failed;
	s->sub.lane_set = on_lane;
	mutex_unlock(&w->mtx);
	hub_subscribe(w->hub, &s->sub);
}

void world_unsub(struct world *w, int i)
{
	struct wsub *s = &w->subs[i];

	if (!s->live)
		return;
	mutex_lock(&w->mtx);
	s->leaving = true;
	mutex_unlock(&w->mtx);
	hub_unsubscribe(w->hub, &s->sub);
	mutex_lock(&w->mtx);
	s->live = s->leaving = false;
	s->lane = NULL;
	mutex_unlock(&w->mtx);
}

void world_resub(struct world *w, int i)
{
	struct wsub *s = &w->subs[i];

	world_unsub(w, i);
	mutex_lock(&w->mtx);
	s->live = true;
	s->failed = ERR_OK;
	mutex_unlock(&w->mtx);
	s->sub.start = s->at;
	hub_subscribe(w->hub, &s->sub);
}

void world_block(struct world *w, int group, bool blocked)
{
	mutex_lock(&w->mtx);
	w->groups[group].blocked = blocked;
	cond_broadcast(&w->cond);
	mutex_unlock(&w->mtx);
}

void world_hoard(struct world *w, int group, bool hoards)
{
	struct list kept;
	struct list *n;

	list_init(&kept);
	mutex_lock(&w->mtx);
	w->groups[group].hoards = hoards;
	while (!hoards && (n = list_pop(&w->groups[group].kept)))
		list_push(&kept, n);
	mutex_unlock(&w->mtx);
	while ((n = list_pop(&kept)))
		pack_free(LIST_ITEM(n, struct pack, link));
}

static bool seen(const struct row *const *pack, size_t n, const struct row *r)
{
	for (size_t i = 0; i < n; i++)
		if (pack[i]->vchannel >= 0 && pack[i]->msg_id == r->msg_id)
			return true;
	return false;
}

static bool for_sub(const struct wsub *s, const struct row *r)
{
	if (r->ts <= s->first.ts || r->number < fake_mq_number(&s->first.id))
		return false;
	return r->vchannel == s->vchannel || (r->vchannel == -2 && r->collection == s->vchannel);
}

/* One tick of the model: the rows it releases, without repeats. Released rows get *done. */
static void release(const struct wsub *s, bool *done, size_t upto, uint64_t ts, int64_t **want,
	size_t *n, size_t *cap)
{
	const struct row **pack = xcalloc(upto + 1, sizeof(*pack));
	size_t n_pack = 0;

	for (size_t i = 0; i < upto; i++) {
		const struct row *r = &s->t->rows[i];
		if (done[i] || r->vchannel == -1 || r->ts > ts)
			continue;
		done[i] = true;
		bool again = r->vchannel >= 0 && seen(pack, n_pack, r);
		if (!again)
			pack[n_pack++] = r;
		if (again || !for_sub(s, r))
			continue;
		mem_grow(want, cap, *n + 1, sizeof(**want));
		(*want)[(*n)++] = r->vchannel >= 0 ? r->msg_id : 0;
	}
	free(pack);
}

static int64_t *model(const struct wsub *s, size_t *ret_n)
{
	bool *done = xcalloc(s->t->n, sizeof(*done));
	int64_t *want = NULL;
	size_t n = 0, cap = 0;
	uint64_t last = 0;

	for (size_t i = 0; i < s->t->n; i++) {
		if (s->t->rows[i].vchannel != -1 || s->t->rows[i].ts <= last)
			continue;
		last = s->t->rows[i].ts;
		release(s, done, i, last, &want, &n, &cap);
	}
	free(done);
	*ret_n = n;
	return want;
}

void world_expect(struct world *w, int i)
{
	struct wsub *s = &w->subs[i];
	struct deadline d = deadline_in(WAIT_MS);
	size_t n;
	int64_t *want = model(s, &n);

	mutex_lock(&w->mtx);
	while (s->n < n && !s->failed && cond_wait(&w->cond, &w->mtx, d))
		;
	if (s->failed)
		fprintf(stderr, "sub %d failed: %s\n", i, s->why);
	for (size_t k = 0; k < MAX(n, s->n); k++)
		if (k >= n || k >= s->n || want[k] != s->got[k]) {
			fprintf(stderr,
				"sub %d of %s v%d from %lld/%llu: at %zu (want %zu, got %zu)\n", i,
				s->t->name, s->vchannel, (long long)fake_mq_number(&s->first.id),
				(unsigned long long)s->first.ts, k, n, s->n);
			break;
		}
	MUST(!s->failed && s->n == n);
	MUST(n == 0 || memcmp(want, s->got, n * sizeof(*want)) == 0);
	mutex_unlock(&w->mtx);
	free(want);
}

void world_expect_failed(struct world *w, int i, enum err_code code)
{
	struct wsub *s = &w->subs[i];
	struct deadline d = deadline_in(WAIT_MS);

	mutex_lock(&w->mtx);
	while (!s->failed && cond_wait(&w->cond, &w->mtx, d))
		;
	if (s->failed != code)
		fprintf(stderr, "sub %d: %s: %s\n", i, err_name(s->failed), s->why);
	MUST(s->failed == code);
	mutex_unlock(&w->mtx);
}
