#include "store/writer_round.h"

#include <stdlib.h>

#include "base/mem.h"
#include "metrics/metrics.h"

enum { BATCH_RECORDS = 1000 };

void entry_free(struct entry *n)
{
	if (!n)
		return;
	store_positions_done(&n->pos);
	free(n->map_key);
	free(n->key);
	free(n->value);
	free(n->bad);
	free(n);
}

/* Does one record's own fault explain the failure? Then the others must not suffer from it. */
static bool is_about_a_record(enum err_code code)
{
	return code == ERR_INVALID || code == ERR_LIMIT || code == ERR_MALFORMED ||
	       code == ERR_UNSUPPORTED;
}

static enum err_code write_some(const struct round *r, struct entry **v, size_t n, struct err *e)
{
	CLEANUP(freep)
	struct store_positions *positions = xcalloc(n, sizeof(*positions));
	CLEANUP(freep)
	struct store_doc_id *gone = xcalloc(n, sizeof(*gone));
	CLEANUP(freep)
	struct store_ext *exts = xcalloc(n, sizeof(*exts));
	struct store_batch b = {.positions = positions, .gone = gone, .exts = exts};

	for (size_t i = 0; i < n; i++) {
		if (v[i]->key)
			exts[b.n_exts++] = (struct store_ext){v[i]->key, v[i]->value};
		else if (v[i]->gone)
			gone[b.n_gone++] =
				(struct store_doc_id){v[i]->pos.task_id, v[i]->pos.collection_id};
		else
			positions[b.n_positions++] = v[i]->pos;
	}
	enum err_code code = store_write(r->st, &b, r->stop, e);
	metrics_add(metrics_get(METRIC_store_writes, err_name(code), NULL), 1);
	return code;
}

/* Writes n entries; a batch that one of them spoils is halved until that one is alone, and noted as
 * refused. False when the store does not take writes now. */
static bool write_split(const struct round *r, struct entry **v, size_t n, struct err *e)
{
	struct err mine = ERR_INIT;
	enum err_code code = write_some(r, v, n, &mine);

	/* Positions of a deleted task are not missed, and the rest is stored. */
	if (code == ERR_OK || code == ERR_NOT_FOUND) {
		for (size_t i = 0; i < n; i++)
			v[i]->written = true;
		return true;
	}
	if (is_about_a_record(code) && n > 1) {
		size_t half = n / 2;
		return write_split(r, v, half, e) && write_split(r, v + half, n - half, e);
	}
	if (is_about_a_record(code)) {
		v[0]->bad = xmemdup(&mine, sizeof(mine));
		return true;
	}
	err_set_origin(e, code, mine.origin, "%s", mine.text);
	return false;
}

/* How many of the entries from i on go together. */
static size_t batch_at(const struct round *r, size_t i)
{
	size_t n = 1;

	while (!r->v[i]->alone && n < BATCH_RECORDS && i + n < r->n && !r->v[i + n]->alone)
		n++;
	return n;
}

/* A store that takes nothing at all (a damaged file, a table of another program) is not said to
 * refuse records. */
static bool takes_nothing(const struct round *r, const struct err **ret_why)
{
	size_t fresh = 0;

	for (size_t i = 0; i < r->n; i++) {
		if (r->v[i]->written)
			return false;
		if (r->v[i]->bad && !r->v[i]->alone && fresh++ == 0)
			*ret_why = r->v[i]->bad;
	}
	return fresh > 1;
}

static bool write_all(struct round *r, struct err *e)
{
	const struct err *why = NULL;

	for (size_t i = 0, n; i < r->n; i += n) {
		n = batch_at(r, i);
		if (!write_split(r, r->v + i, n, e))
			return false;
	}
	if (!takes_nothing(r, &why))
		return true;
	err_set_origin(e, why->code, why->origin, "%s", why->text);
	for (size_t i = 0; i < r->n; i++)
		if (!r->v[i]->alone)
			freep(&r->v[i]->bad);
	return false;
}

/* A line when a record is refused first, and one when it is taken in the end. */
static void report_refused(const struct round *r)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct entry *n = r->v[i];
		if (n->bad && !n->alone)
			log_error(r->log,
				"the metastore refuses the record %s: %s; it is kept and tried "
				"again",
				n->map_key, n->bad->text);
		else if (n->alone && n->written)
			log_info(r->log, "the metastore takes the record %s now", n->map_key);
	}
}

bool round_write(struct round *r, struct err *e)
{
	bool store_ok = write_all(r, e);

	report_refused(r);
	return store_ok;
}
