/* The keys of foreign inserts and deletes: a delete's in its newer and its older form, an insert's by any
 * field (byte 0; bit 7: varchar). There are never more keys than were counted, and texts stay inside. */
#include <stdlib.h>

#include "model/dml_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VARCHAR = 0x80, FIELD = 0x7f };

static void must(bool cond)
{
	if (!cond)
		abort();
}

static void walk(const struct dml_keys *k, struct slice in)
{
	struct dml_keys_iter it = dml_keys_begin(k);
	struct dml_key key;
	uint64_t n = 0;

	while (dml_keys_next(&it, &key)) {
		n++;
		if (k->varchar && key.text.n)
			must(key.text.p >= in.p && key.text.p + key.text.n <= in.p + in.n);
	}
	must(n == k->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	const struct slice in = slice_of(data + 1, size - 1);
	struct err e = ERR_INIT;
	struct dml_keys k;
	struct dml d;

	if (!dml_read_as(&d, in, MSG_DELETE, &e)) {
		if (!dml_keys_of_delete(&k, &d, &e))
			walk(&k, in);
		else
			must(e.code == ERR_MALFORMED || e.code == ERR_UNSUPPORTED);
	}
	err_clear(&e);
	if (!dml_read_as(&d, in, MSG_INSERT, &e) &&
		!dml_keys_of_insert(&k, &d, data[0] & FIELD, data[0] & VARCHAR, &e))
		walk(&k, in);
	return 0;
}
