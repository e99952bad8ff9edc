/* Any payload through dml_read, translate_dml and translate_replay_delete. Where both we and
 * protobuf-c can read it, splicing and decode-change-encode must agree. Byte 0: options, byte 1:
 * key field. */
#include "fuzz/translate_diff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { O_STAMP = 1, O_ROWS = 2, O_MSG_ID = 4, O_VARCHAR = 8, HEAD_BYTES = 2 };

static size_t count_base(struct slice payload)
{
	struct wire w = wire_open(payload);
	struct wire_field f;
	size_t n = 0;
	while (wire_next(&w, &f))
		n += f.num == 1;
	return n;
}

/* protobuf-c merges a repeated base without its unknown fields; a unit test has that case. */
static void check_translate(const struct translate *t, const struct dml *d, struct arena *a)
{
	struct iov out = {0};
	struct err e = ERR_INIT;

	if (translate_dml(t, d, a, &out, &e)) {
		diff_must(!out.n && !out.bytes);
	} else if (count_base(d->payload) == 1) {
		struct slice got = diff_flatten(&out);
		struct slice expect = diff_canonical(d->type, d->payload, t);
		if (expect.p) {
			struct slice again = diff_canonical(d->type, got, NULL);
			diff_must(again.p && slice_eq(again, expect));
			diff_free(&again);
		}
		diff_free(&expect);
		diff_free(&got);
	}
	iov_done(&out);
}

static void check_delete(
	const struct translate *t, const struct dml *d, int64_t pk, bool varchar, struct arena *a)
{
	struct iov out = {0};
	struct err e = ERR_INIT;

	if (!translate_replay_delete(t, d, pk, varchar, t->stamps.one, a, &out, &e)) {
		struct slice got = diff_flatten(&out);
		Cdcmsg__DeleteRequest *m = cdcmsg__delete_request__unpack(NULL, got.n, got.p);
		diff_must(m && m->n_timestamps == d->rows && m->num_rows == (int64_t)d->rows);
		for (size_t i = 0; i < m->n_timestamps; i++)
			diff_must(m->timestamps[i] == t->stamps.one);
		Cdcmsg__Ids *ids =
			cdcmsg__ids__unpack(NULL, m->primary_keys.len, m->primary_keys.data);
		diff_must(!ids || (varchar ? ids->str_id->n_data : ids->int_id->n_data) == d->rows);
		cdcmsg__ids__free_unpacked(ids, NULL);
		cdcmsg__delete_request__free_unpacked(m, NULL);
		diff_free(&got);
	}
	iov_done(&out);
}

static void check_dml(const struct dml *d, uint8_t options, uint8_t key)
{
	CLEANUP(arena_done)
	struct arena a = ARENA_INIT;
	struct translate t = {.db = "target",
		.collection = "renamed",
		.shard = "ch_1_5v0",
		.collection_id = 4711,
		.partition_id = 4712,
		.stamps = {.change = options & O_STAMP, .one = 470648418537308162},
		.msg_id = options & O_MSG_ID ? 99 : 0};
	uint64_t *times = xcalloc(d->rows, sizeof(*times));
	struct err e = ERR_INIT;

	if (d->rows && !translate_row_times(d, times, &e)) {
		for (uint64_t i = 0; i < d->rows; i++)
			times[i] = times[i] * 3 + i;
		if (options & O_ROWS)
			t.stamps.rows = times;
	}
	check_translate(&t, d, &a);
	if (d->type == MSG_INSERT)
		check_delete(&t, d, key, options & O_VARCHAR, &a);
	free(times);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dml d;
	struct err e = ERR_INIT;

	if (size < HEAD_BYTES)
		return 0;
	if (!dml_read(&d, slice_of(data + HEAD_BYTES, size - HEAD_BYTES), &e) &&
		diff_descriptor(d.type))
		check_dml(&d, data[0], data[1]);
	return 0;
}
