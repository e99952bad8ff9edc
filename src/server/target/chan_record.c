#include "server/target/chan_record.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/str.h"

static json_t *ts_json(uint64_t ts)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRIu64, ts);
	return json_string(text);
}

static uint64_t get_ts(const json_t *v)
{
	const char *s = json_string_value(v);
	uint64_t ts = 0;
	return s && str_to_u64(s, &ts) ? ts : 0;
}

char *chan_record_text(uint64_t tick, const struct bound_record *b)
{
	json_t *o = json_object();

	if (tick)
		json_object_set_new(o, "tick", ts_json(tick));
	else
		json_object_set_new(o, "open", json_true());
	if (b->all)
		json_object_set_new(o, "bound", ts_json(b->all));
	if (b->n_late) {
		json_t *late = json_object();
		for (size_t i = 0; i < b->n_late; i++)
			json_object_set_new(late, b->late[i].key, ts_json(b->late[i].ts));
		json_object_set_new(o, "late", late);
	}
	char *text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

/* A late bound that can't be read leaves the stream with the larger one. */
static void read_late(const json_t *o, struct bound_record *b)
{
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)(uintptr_t)o, key, v) {
		uint64_t ts = get_ts(v);
		if (ts && b->n_late < LIMIT_BOUND_LATE)
			bound_record_add(b, key, ts);
	}
}

void chan_record_read(const char *json, struct chan_record *ret)
{
	*ret = (struct chan_record){.tick = 0};
	json_t *o = json_loads(json, 0, NULL);
	if (!o)
		return;
	ret->tick = get_ts(json_object_get(o, "tick"));
	ret->bound.all = get_ts(json_object_get(o, "bound"));
	if (ret->bound.all)
		read_late(json_object_get(o, "late"), &ret->bound);
	json_decref(o);
}

void chan_record_done(struct chan_record *r)
{
	bound_record_done(&r->bound);
}
