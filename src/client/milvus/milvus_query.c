/* Reading rows. Seen with 2.3.5: rows come in the order of their keys, and a limit keeps the smallest;
 * a time to wait for counts only beside consistency level 0 (Strong), and stands for itself then;
 * reduce_stop_for_best, which pymilvus' iterator sets, answers fewer or more rows than asked. */
#include <inttypes.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/wire.h"
#include "client/milvus/milvus_codec.h"
#include "client/milvus/milvus_priv.h"

enum { Q_DB = 2, Q_COLLECTION = 3, Q_EXPR = 4, Q_FIELDS = 5, Q_PARTITIONS = 6, Q_TIME = 8 };
enum { Q_PARAMS = 9, PARAM_KEY = 1, PARAM_VALUE = 2, PARAM_BYTES = 64, NUMBER_BYTES = 24 };

static void put_limit(struct buf *b, int64_t limit)
{
	CLEANUP(buf_done) struct buf pair = BUF_INIT(PARAM_BYTES);
	char number[NUMBER_BYTES];

	snprintf(number, sizeof(number), "%" PRId64, limit);
	wire_put_str(&pair, PARAM_KEY, "limit");
	wire_put_str(&pair, PARAM_VALUE, number);
	wire_put_bytes(b, Q_PARAMS, buf_slice(&pair));
}

void milvus_put_query(struct buf *b, const struct milvus_query *q)
{
	wire_put_str_opt(b, Q_DB, q->db);
	wire_put_str_opt(b, Q_COLLECTION, q->collection);
	wire_put_str_opt(b, Q_EXPR, q->expr);
	wire_put_str(b, Q_FIELDS, q->field);
	if (q->partition)
		wire_put_str(b, Q_PARTITIONS, q->partition);
	wire_put_u64(b, Q_TIME, q->at_least_ts);
	if (q->limit)
		put_limit(b, q->limit);
}

enum err_code milvus_query(struct milvus *m, const struct milvus_query *q, struct stop *s,
	struct buf *ret_answer, struct err *e)
{
	CLEANUP(buf_done) struct buf body = BUF_INIT(LIMIT_RECORD);
	struct milvus_req r = {.method = "Query", .db = q->db, .idempotent = true};

	milvus_put_query(&body, q);
	buf_reset(ret_answer);
	return milvus_do_buf(m, &r, &body, s, ret_answer, e);
}
