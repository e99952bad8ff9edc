#include "client/pulsar/entry.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/time.h"
#include "client/pulsar/inflate.h"

struct chunked {
	struct list link;
	struct pulsar_msg *m;    /* in ready; its payload grows */
	struct pulsar_meta meta; /* of the first piece; points into m */
	uint32_t next;
	int64_t since_ms;
};

void pulsar_entries_init(struct pulsar_entries *es)
{
	list_init(&es->ready);
	list_init(&es->pieces);
	es->held = 0;
	es->broken = es->ruined = false;
	es->passed_uuid = NULL;
	es->passed_n = 0;
}

static size_t cost_of(const struct pulsar_msg *m)
{
	return sizeof(*m) + m->n;
}

void pulsar_entries_done(struct pulsar_entries *es)
{
	for (struct list *n; (n = list_pop(&es->ready));)
		pulsar_msg_free(LIST_ITEM(n, struct pulsar_msg, link));
	list_foreach (it, &es->pieces)
		free(LIST_ITEM(it, struct chunked, link));
	list_init(&es->pieces);
	free(TAKE(es->passed_uuid));
	es->held = 0;
}

bool pulsar_entries_empty(const struct pulsar_entries *es)
{
	return list_empty(&es->ready);
}

static void push(struct pulsar_entries *es, struct pulsar_msg *m)
{
	list_push(&es->ready, &m->link);
	es->held += cost_of(m);
}

struct pulsar_msg *pulsar_entries_pop(struct pulsar_entries *es)
{
	if (list_empty(&es->ready))
		return NULL;
	struct pulsar_msg *m = LIST_ITEM(es->ready.next, struct pulsar_msg, link);
	if (!m->complete)
		return NULL;
	list_del(&m->link);
	es->held -= cost_of(m);
	return m;
}

/* A message with room for payload_n bytes and a copy of its metadata behind them. */
static struct pulsar_msg *msg_new(const struct pulsar_id *id, struct slice meta,
	enum pulsar_properties properties, size_t payload_n)
{
	struct pulsar_msg *m = xmalloc(sizeof(*m) + payload_n + meta.n);

	*m = (struct pulsar_msg){
		.id = *id, .properties = properties, .complete = true, .n = payload_n + meta.n};
	list_init(&m->link);
	m->payload = slice_of(m->bytes, payload_n);
	m->meta = slice_of(m->bytes + payload_n, meta.n);
	if (meta.n)
		memcpy(m->bytes + payload_n, meta.p, meta.n);
	return m;
}

/* ---- one message an entry ---- */

/* Without compression the entry itself becomes the message. */
static enum err_code add_single(struct pulsar_entries *es, struct pulsar_msg **entry,
	const struct pulsar_meta *meta, struct slice payload, struct err *e)
{
	struct pulsar_msg *m = *entry;

	if (meta->compression) {
		m = msg_new(&(*entry)->id, meta->bytes, PULSAR_PROPERTIES, meta->inflated);
		if (pulsar_inflate(meta->compression, payload, m->bytes, meta->inflated, e)) {
			pulsar_msg_free(m);
			return e->code;
		}
	} else {
		m->payload = payload;
		m->meta = meta->bytes;
		m->properties = PULSAR_PROPERTIES;
		m->complete = true;
		*entry = NULL;
	}
	if (meta->null_value)
		m->payload.n = 0;
	push(es, m);
	return ERR_OK;
}

/* ---- batches ---- */

static void add_of_batch(struct pulsar_entries *es, const struct pulsar_id *entry,
	const struct pulsar_single *s, const struct pulsar_id *from)
{
	struct pulsar_id id = *entry;

	id.batch = (int32_t)s->index;
	if (s->compacted_out || pulsar_id_cmp(&id, from) < 0)
		return;
	struct pulsar_msg *m = msg_new(&id, s->bytes, PULSAR_PROPERTIES_SINGLE, s->payload.n);
	if (s->payload.n)
		memcpy(m->bytes, s->payload.p, s->payload.n);
	if (s->null_value)
		m->payload.n = 0;
	push(es, m);
}

/* All messages of a batch or none: a damaged one comes again. */
static enum err_code add_singles(struct pulsar_entries *es, const struct pulsar_id *entry,
	struct pulsar_batch *b, const struct pulsar_id *from, struct err *e)
{
	struct pulsar_entries some;
	struct pulsar_single s;
	enum err_code code;
	bool end = false;

	pulsar_entries_init(&some);
	while (!(code = pulsar_batch_next(b, &s, &end, e)) && !end)
		add_of_batch(&some, entry, &s, from);
	if (!code) {
		list_splice(&es->ready, &some.ready);
		es->held += some.held;
	}
	pulsar_entries_done(&some);
	return code;
}

static enum err_code add_batch(struct pulsar_entries *es, const struct pulsar_id *entry,
	const struct pulsar_meta *meta, struct slice payload, const struct pulsar_id *from,
	struct err *e)
{
	CLEANUP(freep) uint8_t *inflated = NULL;

	if (meta->compression) {
		inflated = xmalloc(meta->inflated);
		if (pulsar_inflate(meta->compression, payload, inflated, meta->inflated, e))
			return e->code;
		payload = slice_of(inflated, meta->inflated);
	}
	struct pulsar_batch b = pulsar_batch_open(payload, meta->n);
	return add_singles(es, entry, &b, from, e);
}

/* A batch of one, which is what Milvus writes: what it is inflated to, or the entry itself, becomes the
 * message without a copy. */
static enum err_code add_lone(struct pulsar_entries *es, struct pulsar_msg **entry,
	const struct pulsar_meta *meta, struct slice payload, const struct pulsar_id *from,
	struct err *e)
{
	const struct pulsar_id id = (*entry)->id;
	struct pulsar_single s;
	struct pulsar_msg *m;
	bool end;

	if (meta->compression) {
		m = msg_new(&id, slice_of(NULL, 0), PULSAR_PROPERTIES_SINGLE, meta->inflated);
		if (pulsar_inflate(meta->compression, payload, m->bytes, meta->inflated, e)) {
			pulsar_msg_free(m);
			return e->code;
		}
		payload = slice_of(m->bytes, meta->inflated);
	} else {
		m = TAKE(*entry);
	}
	struct pulsar_batch b = pulsar_batch_open(payload, 1);
	enum err_code code = pulsar_batch_next(&b, &s, &end, e);
	if (code || s.compacted_out || pulsar_id_cmp(&id, from) < 0) {
		pulsar_msg_free(m);
		return code;
	}
	m->payload = slice_of(s.payload.p, s.null_value ? 0 : s.payload.n);
	m->meta = s.bytes;
	m->properties = PULSAR_PROPERTIES_SINGLE;
	m->complete = true;
	push(es, m);
	return ERR_OK;
}

/* ---- pieces ---- */

static struct chunked *find_chunked(struct pulsar_entries *es, struct slice uuid)
{
	list_foreach (it, &es->pieces) {
		struct chunked *c = LIST_ITEM(it, struct chunked, link);
		if (slice_eq(c->meta.uuid, uuid))
			return c;
	}
	return NULL;
}

static struct chunked *begin_chunked(
	struct pulsar_entries *es, const struct pulsar_id *id, const struct pulsar_meta *meta)
{
	struct chunked *c = xcalloc(1, sizeof(*c));

	c->m = msg_new(id, meta->bytes, PULSAR_PROPERTIES, meta->chunked_bytes);
	c->m->complete = false;
	c->m->payload.n = 0;
	c->meta = *meta;
	c->meta.bytes = c->m->meta;
	c->meta.uuid = slice_of(c->m->meta.p + (meta->uuid.p - meta->bytes.p), meta->uuid.n);
	push(es, c->m);
	list_push(&es->pieces, &c->link);
	return c;
}

static void drop_chunked(struct pulsar_entries *es, struct chunked *c)
{
	list_del(&c->m->link);
	es->held -= cost_of(c->m);
	pulsar_msg_free(c->m);
	list_del(&c->link);
	free(c);
}

/* The message that the pieces make up; m itself or, with compression, a new one. */
static enum err_code join(
	const struct chunked *c, struct pulsar_msg *m, struct pulsar_msg **ret_whole, struct err *e)
{
	*ret_whole = m;
	if (m->payload.n != c->meta.chunked_bytes)
		return err_set(e, ERR_MALFORMED, "%u pieces hold %zu bytes of %zu", c->meta.chunks,
			m->payload.n, c->meta.chunked_bytes);
	if (!c->meta.compression)
		return ERR_OK;
	struct pulsar_msg *whole = msg_new(&m->id, m->meta, PULSAR_PROPERTIES, c->meta.inflated);
	if (pulsar_inflate(c->meta.compression, m->payload, whole->bytes, c->meta.inflated, e)) {
		pulsar_msg_free(whole);
		return e->code;
	}
	*ret_whole = whole;
	return ERR_OK;
}

/* All pieces are there: what they make up takes their place. The checksum of each was right, so one
 * that is no message stays so. */
static enum err_code end_chunked(struct pulsar_entries *es, struct chunked *c, struct err *e)
{
	char text[PULSAR_ID_TEXT];
	struct pulsar_msg *m = c->m, *whole;

	if (join(c, m, &whole, e)) {
		pulsar_id_text(&m->id, text);
		err_ctx(e, "the message in pieces that begins at %s", text);
		drop_chunked(es, c);
		es->ruined = true;
		return e->code;
	}
	if (whole != m) {
		list_push_front(&m->link, &whole->link);
		list_del(&m->link);
		es->held = es->held + cost_of(whole) - cost_of(m);
		pulsar_msg_free(m);
	}
	whole->complete = true;
	list_del(&c->link);
	free(c);
	return ERR_OK;
}

/* A piece without those before it. Asking again does not help: entries come without gaps. */
static void on_missing_pieces(
	struct pulsar_entries *es, struct chunked *c, const struct pulsar_id *id)
{
	es->broken = true;
	es->broken_id = c ? c->m->id : *id;
	if (c)
		drop_chunked(es, c);
}

/* Is it a piece of the message that begins before from? Only one can: reading starts at the entry
 * that from names. */
static bool passes(struct pulsar_entries *es, const struct pulsar_id *id,
	const struct pulsar_meta *meta, const struct pulsar_id *from)
{
	bool same =
		es->passed_uuid && slice_eq(slice_of(es->passed_uuid, es->passed_n), meta->uuid);

	if (meta->chunk_id)
		return same;
	bool before = pulsar_id_cmp(id, from) < 0;
	if (before || same)
		free(TAKE(es->passed_uuid));
	if (before) {
		es->passed_uuid = xmemdup(meta->uuid.p, meta->uuid.n);
		es->passed_n = meta->uuid.n;
	}
	return before;
}

static enum err_code add_piece(struct pulsar_entries *es, const struct pulsar_id *id,
	const struct pulsar_meta *meta, struct slice payload, struct err *e)
{
	struct chunked *c = find_chunked(es, meta->uuid);

	if (!c && meta->chunk_id == 0)
		c = begin_chunked(es, id, meta);
	if (!c || meta->chunk_id > c->next) {
		on_missing_pieces(es, c, id);
		return ERR_OK;
	}
	if (meta->chunk_id < c->next)
		return ERR_OK; /* the producer sent it twice */
	if (payload.n > c->meta.chunked_bytes - c->m->payload.n)
		return err_set(e, ERR_MALFORMED, "the pieces of a message are more than %zu bytes",
			c->meta.chunked_bytes);
	if (payload.n)
		memcpy(c->m->bytes + c->m->payload.n, payload.p, payload.n);
	c->m->payload.n += payload.n;
	c->next++;
	c->since_ms = time_mono_ms();
	return c->next == c->meta.chunks ? end_chunked(es, c, e) : ERR_OK;
}

/* c's message is the first of all. */
static bool is_hopeless(
	const struct pulsar_entries *es, const struct chunked *c, const struct pulsar_end *end)
{
	return es->held - cost_of(c->m) > LIMIT_PULSAR_HELD ||
	       end->seen_ms - MAX(c->since_ms, end->begun_ms) >= PULSAR_PIECES_MS;
}

bool pulsar_entries_give_up(
	struct pulsar_entries *es, const struct pulsar_end *end, struct pulsar_id *ret_id)
{
	if (es->broken) {
		es->broken = false;
		*ret_id = es->broken_id;
		return true;
	}
	if (list_empty(&es->ready) || list_empty(&es->pieces))
		return false;
	struct chunked *c = LIST_ITEM(es->pieces.next, struct chunked, link);
	if (c->m != LIST_ITEM(es->ready.next, struct pulsar_msg, link) || !is_hopeless(es, c, end))
		return false;
	*ret_id = c->m->id;
	drop_chunked(es, c);
	return true;
}

uint32_t pulsar_entries_count(const struct pulsar_msg *entry)
{
	struct pulsar_meta meta;
	struct slice payload;

	return pulsar_payload_read(entry->payload, &meta, &payload, NULL) ? 1 : meta.n;
}

enum err_code pulsar_entries_add(struct pulsar_entries *es, struct pulsar_msg *entry,
	const struct pulsar_id *from, uint32_t *ret_n, struct err *e)
{
	struct pulsar_meta meta;
	struct slice payload;
	enum err_code code = pulsar_payload_read(entry->payload, &meta, &payload, e);

	*ret_n = code ? 1 : meta.n;
	/* A consumer's ids are of partition 0 and batch index 0 even where there are none. */
	entry->id.partition = 0;
	entry->id.batch = 0;
	if (!code && meta.chunk)
		code = passes(es, &entry->id, &meta, from)
			       ? ERR_OK
			       : add_piece(es, &entry->id, &meta, payload, e);
	else if (!code && meta.batch && meta.n == 1)
		code = add_lone(es, &entry, &meta, payload, from, e);
	else if (!code && meta.batch)
		code = add_batch(es, &entry->id, &meta, payload, from, e);
	else if (!code && pulsar_id_cmp(&entry->id, from) >= 0)
		code = add_single(es, &entry, &meta, payload, e);
	pulsar_msg_free(entry);
	return code;
}
