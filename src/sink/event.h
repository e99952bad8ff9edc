/* What a log's consumer gets, apart from Kafka: the texts of both formats. Documented for consumers in
 * docs/kafka-target.md. No I/O.
 *
 *   milvus     {"data":"<json text>","info":"<kind>"}, the reference's envelope; rows are Milvus'
 *              own protobuf messages in base64
 *   debezium   one JSON event a row: {"before","after","op","source","ts_ms"} */
#pragma once

#include "base/buf.h"
#include "base/iov.h"
#include "model/dml.h"
#include "sink/rows.h"
#include "sink/sink.h"

/* A message of rows and where it belongs; names are the target's. */
struct event_rows {
	const struct dml *dml;
	const char *db, *collection;
	int64_t collection_id;
	const char *vchannel, *pchannel;
	int64_t pk_field_id;
	const char *pk_name;
	uint64_t begin_ts, end_ts; /* of its pack */
	struct slice end_id;       /* the source's position behind the pack */
	bool last;                 /* nothing of this vchannel up to end_ts follows */
	bool again;                /* may have been sent before */
	bool alone;                /* in no batch with others: one of those was refused */
	const struct iov *body;    /* milvus: the message with the target's names */
};

/* The envelope of one message; with last its tick follows in it. */
void event_envelope_rows(struct buf *out, const struct event_rows *r);
/* MALFORMED, UNSUPPORTED. *ret_kind is the "info". */
NODISCARD enum err_code event_envelope_change(
	struct buf *out, const struct sink_change *c, const char **ret_kind, struct err *e);
NODISCARD enum err_code event_envelope_call(
	struct buf *out, const struct sink_call *c, const char **ret_kind, struct err *e);

/* The event of the row that rows_next stands at. key gets the record's key. now_ms: wall clock. */
NODISCARD enum err_code event_row(struct buf *out, struct buf *key, const struct event_rows *r,
	struct rows *rows, int64_t now_ms, struct err *e);
NODISCARD enum err_code event_change(
	struct buf *out, const struct sink_change *c, int64_t now_ms, struct err *e);
NODISCARD enum err_code event_call(struct buf *out, const struct sink_call *c, int64_t now_ms,
	const char **ret_kind, struct err *e);

/* The kind of a change: "create collection" and so on. */
const char *event_change_kind(enum sink_change_kind kind);
