/* Bytes of the Milvus API without I/O: requests are written field by field, so that schema and
 * properties keep what we don't know; answers are read with the subset in proto/milvus.proto. Field
 * numbers were checked against a 2.3.5 server. */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "client/milvus/milvus.h"

enum { MILVUS_ADDRESS_BYTES = 512 };

struct milvus_address {
	char host_port[MILVUS_ADDRESS_BYTES]; /* host:port or [v6]:port */
	bool tls;                             /* the URI said https */
};

/* http(s)://host[:port][/] or host[:port]; without a port 443 for https, else 19530. INVALID for
 * everything else (a path, a user, another scheme). */
NODISCARD enum err_code milvus_address_parse(
	struct milvus_address *a, const char *uri, struct err *e);

/* The Status of an answer: the message itself, or its field 1. OK, or the error with Milvus' reason
 * as text and its code (the legacy error_code if that is 0) as origin. */
NODISCARD enum err_code milvus_status_read(struct slice answer, struct err *e);

/* base{replicateInfo{isReplicate, msgTimestamp ts}} as field 1. */
void milvus_put_base(struct buf *b, uint64_t ts);
void milvus_put_connect(struct buf *b, const char *host);
void milvus_put_create(struct buf *b, const struct milvus_create *c);
/* Base, db (2), collection (3) and, if not NULL, partition or alias (4). */
void milvus_put_names(
	struct buf *b, uint64_t ts, const char *db, const char *collection, const char *fourth);

void milvus_put_query(struct buf *b, const struct milvus_query *q);

NODISCARD enum err_code milvus_info_read(struct milvus_info *i, struct slice answer, struct err *e);
NODISCARD enum err_code milvus_clock_read(uint64_t *ret_ts, struct slice answer, struct err *e);
/* Fills all but the partitions. EXISTS when name is an alias of another collection. c must be
 * zeroed; on failure it may be half filled: milvus_collection_done. */
NODISCARD enum err_code milvus_collection_read(
	struct milvus_collection *c, const char *name, struct slice answer, struct err *e);
NODISCARD enum err_code milvus_partitions_read(
	struct milvus_collection *c, struct slice answer, struct err *e);
NODISCARD enum err_code milvus_names_read(
	struct milvus_names *l, struct slice answer, struct err *e);
/* The raw message id of ReplicateMessage's answer: base64 undone, and the MsgPosition around it if
 * there is one. Cut to cap. */
NODISCARD enum err_code milvus_position_read(
	uint8_t *ret_id, size_t cap, size_t *ret_n, struct slice answer, struct err *e);
