/* The rows of foreign inserts and deletes: no byte outside the payload is read, every row either is an
 * error or a JSON document of its own, and there are never more rows than times. */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "sink/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 20, PARSED_MOST = 1 << 14 };

static void must(bool cond)
{
	if (!cond)
		abort();
}

static void check_json(const struct buf *b)
{
	struct err e = ERR_INIT;
	json_t *j = NULL;

	if (buf_failed(b) || b->n > PARSED_MOST)
		return;
	/* jansson takes no NUL in a key; numbers beyond int64 it has not either: Milvus has none. */
	bool bad = json_in_parse(buf_slice(b), &j, &e) != ERR_OK;
	if (bad && !strstr(e.text, "\\u0000") && !strstr(e.text, "NUL") &&
		!strstr(e.text, "too big integer") && !strstr(e.text, "values")) {
		fprintf(stderr, "%s: %.*s\n", e.text, (int)b->n, (const char *)b->p);
		abort();
	}
	json_decref(j);
}

static void walk(const struct dml *d)
{
	struct event_rows r = {.dml = d,
		.db = "d",
		.collection = "c",
		.vchannel = "v",
		.pchannel = "p",
		.pk_field_id = 100,
		.pk_name = "id"};
	struct err e = ERR_INIT;
	struct rows rows;
	bool more = true;
	uint64_t n = 0;

	if (!rows_open(&rows, d, 100, "id", &e))
		while (!rows_next(&rows, &more, &e) && more) {
			struct buf out = BUF_INIT(MOST), key = BUF_INIT(MOST);
			must(++n <= d->rows);
			if (!event_row(&out, &key, &r, &rows, 0, &e)) {
				check_json(&out);
				check_json(&key);
			}
			buf_done(&out);
			buf_done(&key);
			if (e.code)
				break;
		}
	rows_done(&rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = ERR_INIT;
	struct dml d;

	if (size > MOST || dml_read(&d, slice_of(data, size), &e))
		return 0;
	if (d.type == MSG_INSERT || d.type == MSG_DELETE)
		walk(&d);
	return 0;
}
