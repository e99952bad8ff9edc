/* The body of struct milvus, for the files of this folder. */
#pragma once

#include "base/mutex.h"
#include "client/milvus/milvus.h"

enum { MILVUS_READ_MS = 20000, MILVUS_WRITE_MS = 60000 };

struct milvus {
	struct grpc_chan *chan;
	char *authorization; /* base64 of the token; NULL = none */
	int64_t connect_timeout_ms;
	struct mutex mtx;
	int64_t identifier; /* under mtx; 0 = not connected yet */
};

struct milvus_req {
	const char *method; /* of MilvusService */
	const char *db;     /* NULL or "" = default */
	const struct slice *body;
	size_t n_body;
	int64_t deadline_ms; /* 0 = by idempotent: MILVUS_READ_MS or MILVUS_WRITE_MS */
	bool idempotent;
};

/* One call with its headers; the answer, whose Status is not looked at, replaces ret_body. */
NODISCARD enum err_code milvus_send(struct milvus *m, const struct milvus_req *r, struct stop *s,
	struct buf *ret_body, struct err *e);

/* milvus_send, and the Status is checked. */
NODISCARD enum err_code milvus_do(struct milvus *m, const struct milvus_req *r, struct stop *s,
	struct buf *ret_body, struct err *e);

/* milvus_do for a request in one buffer; INVALID when the buffer failed. */
NODISCARD enum err_code milvus_do_buf(struct milvus *m, struct milvus_req *r,
	const struct buf *body, struct stop *s, struct buf *ret_body, struct err *e);
