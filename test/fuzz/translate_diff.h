/* The slow way to translate a message: decode with protobuf-c, change the fields, encode. What the
 * splicing gives must encode to the same bytes. Used by fuzz_translate and the unit tests. */
#pragma once

#include <stdlib.h>

#include "base/iov.h"
#include "base/wire.h"
#include "pipeline/translate.h"
#include "proto/msg.pb-c.h"

/* As assert, but in every build. */
static inline void diff_must(bool holds)
{
	if (!holds)
		abort();
}

/* One buffer of all slices; the caller frees it. */
static inline struct slice diff_flatten(const struct iov *v)
{
	uint8_t *p = xmalloc(v->bytes + 1);
	size_t n = 0;
	for (size_t i = 0; i < v->n; i++) {
		memcpy(p + n, v->v[i].p, v->v[i].n);
		n += v->v[i].n;
	}
	diff_must(n == v->bytes);
	return slice_of(p, n);
}

static inline void diff_free(struct slice *s)
{
	free((void *)(uintptr_t)s->p);
}

static inline const ProtobufCMessageDescriptor *diff_descriptor(int type)
{
	switch (type) {
	case MSG_INSERT:
		return &cdcmsg__insert_request__descriptor;
	case MSG_DELETE:
		return &cdcmsg__delete_request__descriptor;
	case MSG_DROP_COLLECTION:
		return &cdcmsg__drop_collection_request__descriptor;
	case MSG_DROP_PARTITION:
		return &cdcmsg__drop_partition_request__descriptor;
	case MSG_IMPORT:
		return &cdcmsg__import_msg__descriptor;
	}
	return NULL;
}

static inline void diff_str(char **field, const char *to)
{
	if (*field != (const char *)protobuf_c_empty_string)
		free(*field);
	*field = xstrdup(to);
}

static inline void diff_base(Cdcmsg__MsgBase *b, const struct translate *t, uint64_t ts)
{
	if (t->msg_id)
		b->msg_id = t->msg_id;
	if (t->stamps.change)
		b->timestamp = ts;
	free(b->replicate_info.data);
	b->replicate_info.data = NULL;
	b->replicate_info.len = 0;
}

static inline int64_t diff_partition(int64_t id, const struct translate *t)
{
	return id == 0 || id == -1 ? id : t->partition_id;
}

static inline uint64_t diff_times(uint64_t *ts, size_t n, const struct stamps *s)
{
	uint64_t least = s->rows ? UINT64_MAX : s->one;
	for (size_t i = 0; i < n && s->change; i++) {
		ts[i] = s->rows ? s->rows[i] : s->one;
		least = MIN(least, ts[i]);
	}
	return least;
}

/* InsertRequest and DeleteRequest name these fields alike. */
#define DIFF_ROWS(m)                                                                               \
	do {                                                                                       \
		diff_base((m)->msg_base, t,                                                        \
			diff_times((m)->timestamps, (m)->n_timestamps, &t->stamps));               \
		diff_str(&(m)->shard_name, t->shard);                                              \
		diff_str(&(m)->db_name, t->db);                                                    \
		diff_str(&(m)->collection_name, t->collection);                                    \
		(m)->collection_id = t->collection_id;                                             \
		(m)->partition_id = diff_partition((m)->partition_id, t);                          \
	} while (0)

#define DIFF_DROP(m)                                                                               \
	do {                                                                                       \
		diff_base((m)->msg_base, t, t->stamps.one);                                        \
		diff_str(&(m)->db_name, t->db);                                                    \
		diff_str(&(m)->collection_name, t->collection);                                    \
		(m)->collection_id = t->collection_id;                                             \
	} while (0)

static inline void diff_change(int type, ProtobufCMessage *msg, const struct translate *t)
{
	if (type == MSG_INSERT) {
		DIFF_ROWS((Cdcmsg__InsertRequest *)msg);
	} else if (type == MSG_DELETE) {
		DIFF_ROWS((Cdcmsg__DeleteRequest *)msg);
	} else if (type == MSG_DROP_COLLECTION) {
		DIFF_DROP((Cdcmsg__DropCollectionRequest *)msg);
	} else if (type == MSG_DROP_PARTITION) {
		Cdcmsg__DropPartitionRequest *m = (Cdcmsg__DropPartitionRequest *)msg;
		DIFF_DROP(m);
		m->partition_id = diff_partition(m->partition_id, t);
	} else {
		Cdcmsg__ImportMsg *m = (Cdcmsg__ImportMsg *)msg;
		DIFF_DROP(m);
		if (m->n_partition_ids)
			m->partition_ids[0] = t->partition_id;
	}
}

static inline struct slice diff_encode(const ProtobufCMessage *m)
{
	size_t n = protobuf_c_message_get_packed_size(m);
	uint8_t *p = xmalloc(n + 1);
	return slice_of(p, protobuf_c_message_pack(m, p));
}

/* Decodes, changes if t is given, encodes. p is NULL if protobuf-c can't decode it. */
static inline struct slice diff_canonical(int type, struct slice bytes, const struct translate *t)
{
	ProtobufCMessage *m =
		protobuf_c_message_unpack(diff_descriptor(type), NULL, bytes.n, bytes.p);
	if (!m)
		return (struct slice){0};
	if (t)
		diff_change(type, m, t);
	struct slice out = diff_encode(m);
	protobuf_c_message_free_unpacked(m, NULL);
	return out;
}
