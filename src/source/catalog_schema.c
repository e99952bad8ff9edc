#include "source/catalog_schema.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/wire.h"
#include "source/catalog_decode.h"

enum { SCHEMA_DYNAMIC = 5, FIRST_USER_FIELD = 100, FUNCTION_ID = 2 };
enum { TYPE_STRING = 20, TYPE_VARCHAR = 21 };

struct catalog_schema *catalog_schema_new(void)
{
	return xcalloc(1, sizeof(struct catalog_schema));
}

void catalog_schema_free(struct catalog_schema *sc)
{
	if (!sc)
		return;
	for (size_t i = 0; i < sc->n; i++)
		free(sc->parts[i].p);
	free(sc->parts);
	buf_done(&sc->head);
	free(sc);
}

/* Where (kind, id) stands or would stand. */
static size_t find(
	const struct catalog_schema *sc, enum schema_part_kind kind, int64_t id, bool *ret_found)
{
	size_t lo = 0, hi = sc->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct schema_part *p = &sc->parts[mid];
		if (p->kind < kind || (p->kind == kind && p->id < id))
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret_found = lo < sc->n && sc->parts[lo].kind == kind && sc->parts[lo].id == id;
	return lo;
}

static void put_part(
	struct catalog_schema *sc, enum schema_part_kind kind, int64_t id, struct slice value)
{
	bool found;
	size_t at = find(sc, kind, id, &found);
	struct schema_part part = {
		.kind = kind, .id = id, .p = xmemdup(value.p, value.n), .n = value.n};

	if (found) {
		free(sc->parts[at].p);
		sc->parts[at] = part;
		return;
	}
	mem_grow(&sc->parts, &sc->cap, sc->n + 1, sizeof(*sc->parts));
	memmove(&sc->parts[at + 1], &sc->parts[at], (sc->n - at) * sizeof(*sc->parts));
	sc->parts[at] = part;
	sc->n++;
}

/* The id inside a field's or function's own bytes. */
static bool embedded_id(enum schema_part_kind kind, struct slice value, int64_t *ret_id)
{
	struct wire w = wire_open(value);
	struct wire_field f;
	uint32_t num = kind == SCHEMA_FUNCTION ? FUNCTION_ID : 1;

	*ret_id = 0;
	while (wire_next(&w, &f))
		if (f.num == num && f.type == WIRE_VARINT)
			*ret_id = (int64_t)f.value;
	return !w.bad;
}

bool catalog_schema_set(
	struct catalog_schema *sc, enum schema_part_kind kind, int64_t id, struct slice value)
{
	struct catalog_field f;
	int64_t inner;

	if (!embedded_id(kind, value, &inner) || inner != id)
		return false;
	if (kind != SCHEMA_FIELD) {
		put_part(sc, kind, id, value);
		return true;
	}
	if (catalog_decode_field(value, &f, NULL))
		return false;
	/* Milvus adds both kinds itself, $meta when the schema is dynamic. */
	if (f.is_dynamic || slice_eq_str(f.name, "$meta"))
		sc->dynamic = true;
	else if (id >= FIRST_USER_FIELD)
		put_part(sc, kind, id, value);
	return true;
}

void catalog_schema_del(struct catalog_schema *sc, enum schema_part_kind kind, int64_t id)
{
	bool found;
	size_t at = find(sc, kind, id, &found);

	if (!found)
		return;
	free(sc->parts[at].p);
	sc->n--;
	memmove(&sc->parts[at], &sc->parts[at + 1], (sc->n - at) * sizeof(*sc->parts));
}

size_t catalog_schema_fields(const struct catalog_schema *sc)
{
	bool found;
	return find(sc, SCHEMA_FUNCTION, INT64_MIN, &found);
}

static bool take_embedded(struct catalog_schema *sc, enum schema_part_kind kind, struct slice value)
{
	int64_t id;
	bool found;

	if (!embedded_id(kind, value, &id))
		return false;
	find(sc, kind, id, &found);
	return found || catalog_schema_set(sc, kind, id, value);
}

static bool is_part(uint32_t num)
{
	return num == SCHEMA_FIELD || num == SCHEMA_FUNCTION || num == SCHEMA_STRUCT;
}

/* What is not a part goes to head. */
static bool split_message(struct catalog_schema *sc, struct slice message, struct buf *head)
{
	struct wire w = wire_open(message);
	struct wire_field f;

	while (wire_next(&w, &f)) {
		bool part = f.type == WIRE_LEN && is_part(f.num);
		if (part && !take_embedded(sc, (enum schema_part_kind)f.num, f.data))
			return false;
		if (f.num == SCHEMA_DYNAMIC && f.type == WIRE_VARINT && f.value)
			sc->dynamic = true;
		if (!part)
			buf_put(head, f.raw.p, f.raw.n);
	}
	return !w.bad;
}

bool catalog_schema_set_head(struct catalog_schema *sc, struct slice message)
{
	struct buf head = BUF_INIT(message.n);
	bool ok = split_message(sc, message, &head);

	if (ok) {
		struct buf old = sc->head;
		sc->head = head;
		head = old;
	}
	buf_done(&head);
	return ok;
}

static bool head_is_dynamic(struct slice head)
{
	struct wire w = wire_open(head);
	struct wire_field f;
	bool dynamic = false;

	while (wire_next(&w, &f))
		if (f.num == SCHEMA_DYNAMIC && f.type == WIRE_VARINT)
			dynamic = f.value != 0;
	return dynamic;
}

static void derive(struct collection *c, const struct schema_part *p)
{
	struct catalog_field f;

	if (p->kind != SCHEMA_FIELD || catalog_decode_field(slice_of(p->p, p->n), &f, NULL))
		return;
	if (f.is_pk) {
		c->pk_field_id = p->id;
		c->pk_is_varchar = f.data_type == TYPE_VARCHAR || f.data_type == TYPE_STRING;
	}
	c->has_partition_key |= f.is_partition_key;
}

void catalog_schema_build(const struct catalog_schema *sc, struct collection *c)
{
	struct buf out = BUF_INIT(SIZE_MAX / 2);

	c->pk_field_id = 0;
	c->pk_is_varchar = c->has_partition_key = false;
	buf_put(&out, sc->head.p, sc->head.n);
	if (sc->dynamic && !head_is_dynamic(buf_slice(&sc->head)))
		wire_put_u64(&out, SCHEMA_DYNAMIC, 1);
	for (size_t i = 0; i < sc->n; i++) {
		const struct schema_part *p = &sc->parts[i];
		wire_put_bytes(&out, (uint32_t)p->kind, slice_of(p->p, p->n));
		derive(c, p);
	}
	assert(!buf_failed(&out)); /* all of it was received in capped messages */
	c->schema = out.n ? slice_of(xmemdup(out.p, out.n), out.n) : (struct slice){0};
	buf_done(&out);
}
