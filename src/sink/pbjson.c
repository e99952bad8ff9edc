#include "sink/pbjson.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/wire.h"

enum { MAP_MAX = 1 << 16 };

const struct pb_field pb_key_value[] = {
	{1, PB_STR, "key", NULL, false}, {2, PB_STR, "value", NULL, false}, {0}};

struct pair {
	struct slice key, value;
	size_t place;
};

static enum err_code malformed(struct err *e, const char *name)
{
	return err_set(e, ERR_MALFORMED, "field %s can't be read", name);
}

static int by_key(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	size_t n = MIN(x->key.n, y->key.n);
	int c = n ? memcmp(x->key.p, y->key.p, n) : 0;

	if (c)
		return c;
	if (x->key.n != y->key.n)
		return x->key.n < y->key.n ? -1 : 1;
	return x->place < y->place ? -1 : 1;
}

static bool read_pair(struct slice raw, struct pair *p)
{
	struct wire w = wire_open(raw);
	struct wire_field f;

	while (wire_next(&w, &f)) {
		if (f.num == 1 && f.type == WIRE_LEN)
			p->key = f.data;
		else if (f.num == 2 && f.type == WIRE_LEN)
			p->value = f.data;
	}
	return !w.bad;
}

static void put_key(struct gojson *o, struct slice key)
{
	gojson_key(o, NULL);
	json_out_text(o->b, key);
	buf_put_u8(o->b, ':');
}

enum err_code pbjson_map(
	struct gojson *o, const char *key, struct slice raw, uint32_t num, struct err *e)
{
	struct wire w = wire_open(raw);
	struct wire_field f;
	CLEANUP(freep) struct pair *pairs = NULL;
	size_t n = 0, cap = 0;

	while (wire_next(&w, &f)) {
		if (f.num != num)
			continue;
		mem_grow(&pairs, &cap, n + 1, sizeof(*pairs));
		pairs[n] = (struct pair){.place = n};
		if (f.type != WIRE_LEN || !read_pair(f.data, &pairs[n++]) || n > MAP_MAX)
			return malformed(e, key);
	}
	if (w.bad)
		return malformed(e, key);
	if (n)
		qsort(pairs, n, sizeof(*pairs), by_key);
	gojson_open(o, key, '{');
	for (size_t i = 0; i < n; i++) {
		if (i + 1 < n && slice_eq(pairs[i].key, pairs[i + 1].key))
			continue;
		put_key(o, pairs[i].key);
		json_out_text(o->b, pairs[i].value);
	}
	gojson_close(o, '}');
	return ERR_OK;
}

static bool is_number(enum pb_kind k)
{
	return k == PB_BOOL || k == PB_INT || k == PB_UINT;
}

static bool is_zero(const struct pb_field *d, const struct wire_field *f)
{
	return is_number(d->kind) ? f->value == 0 : d->kind != PB_MSG && f->data.n == 0;
}

static enum err_code put_value(struct gojson *o, const char *key, const struct pb_field *d,
	const struct wire_field *f, struct err *e)
{
	switch (d->kind) {
	case PB_STR:
		gojson_str(o, key, f->data);
		break;
	case PB_BYTES:
		gojson_b64(o, key, f->data);
		break;
	case PB_BOOL:
		gojson_bool(o, key, f->value != 0);
		break;
	case PB_INT:
		gojson_i64(o, key, (int64_t)f->value);
		break;
	case PB_UINT:
		gojson_u64(o, key, f->value);
		break;
	case PB_MSG:
		gojson_open(o, key, '{');
		if (pbjson_fields(o, f->data, d->sub, e))
			return e->code;
		gojson_close(o, '}');
		break;
	case PB_MAP:
	case PB_END:
		break;
	}
	return ERR_OK;
}

static bool fits(const struct pb_field *d, const struct wire_field *f)
{
	return f->type == (is_number(d->kind) ? WIRE_VARINT : WIRE_LEN);
}

/* All of a repeated field, or nothing. */
static enum err_code put_list(
	struct gojson *o, struct slice raw, const struct pb_field *d, struct err *e)
{
	struct wire w = wire_open(raw);
	struct wire_field f;
	bool open = false;

	while (wire_next(&w, &f)) {
		if (f.num != d->num)
			continue;
		if (!fits(d, &f))
			return malformed(e, d->name);
		if (!open)
			gojson_open(o, d->name, '[');
		open = true;
		if (put_value(o, NULL, d, &f, e))
			return e->code;
	}
	if (open)
		gojson_close(o, ']');
	return w.bad ? malformed(e, d->name) : ERR_OK;
}

/* The last one counts. */
static enum err_code put_one(
	struct gojson *o, struct slice raw, const struct pb_field *d, struct err *e)
{
	struct wire w = wire_open(raw);
	struct wire_field f, last = {0};

	while (wire_next(&w, &f)) {
		if (f.num != d->num)
			continue;
		if (d->kind != PB_MAP && !fits(d, &f))
			return malformed(e, d->name);
		last = f;
	}
	if (w.bad)
		return malformed(e, d->name);
	if (!last.num || (d->kind != PB_MAP && is_zero(d, &last)))
		return ERR_OK;
	if (d->kind == PB_MAP)
		return pbjson_map(o, d->name, raw, d->num, e);
	return put_value(o, d->name, d, &last, e);
}

enum err_code pbjson_fields(
	struct gojson *o, struct slice raw, const struct pb_field *fields, struct err *e)
{
	for (const struct pb_field *d = fields; d->kind != PB_END; d++)
		if (d->repeated ? put_list(o, raw, d, e) : put_one(o, raw, d, e))
			return e->code;
	return ERR_OK;
}
