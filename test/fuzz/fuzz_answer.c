/* Answers of a Milvus to Query: no byte outside the answer is read, rows come ordered by distinct keys,
 * and the same answer always gives the same digests. */
#include <stdlib.h>
#include <string.h>

#include "server/verify/row_page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 16, KEY_BYTES = 1 << 20 };

static void must(bool cond)
{
	if (!cond)
		abort();
}

static void look(struct slice in, bool varchar)
{
	struct row_page page = {.n = 0}, again = {.n = 0};
	struct err e = ERR_INIT, other = ERR_INIT;

	enum err_code code = row_page_read(&page, in, "id", varchar, true, &e);
	must(row_page_read(&again, in, "id", varchar, false, &other) == code);
	must(code || page.n == again.n);
	for (size_t i = 0; !code && i < page.n; i++) {
		struct buf key = BUF_INIT(KEY_BYTES);
		row_key_put(&key, &page.rows[i].key, varchar);
		must(key.n > 0);
		must(!i || row_key_compare(&page.rows[i - 1].key, &page.rows[i].key, varchar) < 0);
		must(row_page_find(&again, &page.rows[i].key, varchar) == &again.rows[i]);
		must(!memcmp(page.rows[i].digest, again.rows[i].digest, ROW_DIGEST_BYTES));
		buf_done(&key);
	}
	row_page_done(&page);
	row_page_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > MOST)
		return 0;
	look(slice_of(data, size), false);
	look(slice_of(data, size), true);
	return 0;
}
