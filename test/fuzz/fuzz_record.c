/* Stored records: whatever the metastore holds is read without harm, and what was read and written
 * again means the same. The first byte chooses the kind, the rest is the text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/keys.h"
#include "store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void fuzz_task(struct slice in)
{
	CLEANUP(buf_done)
	struct buf one = BUF_INIT(LIMIT_RECORD * 8);
	CLEANUP(buf_done)
	struct buf two = BUF_INIT(LIMIT_RECORD * 8);
	CLEANUP(buf_done)
	struct buf over = BUF_INIT(LIMIT_RECORD * 8);
	CLEANUP(task_freep)
	struct task *t = NULL;
	CLEANUP(task_freep)
	struct task *again = NULL;
	CLEANUP(task_freep)
	struct task *copy = NULL;
	CLEANUP(task_freep)
	struct task *shown = record_task_read("a", in);
	struct err e = ERR_INIT;

	check(shown && strcmp(shown->id, "a") == 0);
	if (record_task_decode(in, &t, &e))
		return;
	check(record_task_encode(&one, t, &e) == ERR_OK);
	check(record_task_decode(buf_slice(&one), &again, &e) == ERR_OK);
	check(record_task_encode(&two, again, &e) == ERR_OK);
	check(slice_eq(buf_slice(&one), buf_slice(&two)));
	/* A change written over the stored text reads back as the change. */
	copy = task_copy(t);
	copy->state = TASK_PAUSED;
	copy->user_paused = true;
	free(copy->milvus.token);
	copy->milvus.token = xstrdup("");
	check(record_task_merge(&over, in, copy, &e) == ERR_OK);
	task_freep(&again);
	check(record_task_decode(buf_slice(&over), &again, &e) == ERR_OK);
	buf_reset(&one);
	buf_reset(&two);
	check(record_task_encode(&one, copy, &e) == ERR_OK);
	check(record_task_encode(&two, again, &e) == ERR_OK);
	check(slice_eq(buf_slice(&one), buf_slice(&two)));
}

static void fuzz_positions(struct slice in)
{
	CLEANUP(buf_done)
	struct buf one = BUF_INIT(LIMIT_RECORD * 8);
	CLEANUP(buf_done)
	struct buf two = BUF_INIT(LIMIT_RECORD * 8);
	struct store_positions p, again;
	struct err e = ERR_INIT;

	record_positions_read("a", 1, in, &p);
	store_positions_done(&p);
	if (record_positions_decode(in, &p, &e))
		return;
	check(record_positions_encode(&one, &p, &e) == ERR_OK);
	check(record_positions_decode(buf_slice(&one), &again, &e) == ERR_OK);
	check(record_positions_encode(&two, &again, &e) == ERR_OK);
	check(slice_eq(buf_slice(&one), buf_slice(&two)));
	for (size_t i = 0; i < p.n_source; i++)
		check(!p.source[i].exact ||
			p.source[i].time_ms == record_time_ms(p.source[i].pos.ts));
	store_positions_done(&p);
	store_positions_done(&again);
}

static void fuzz_map(struct slice in)
{
	struct store_position *l;
	struct err e = ERR_INIT;
	size_t n;

	if (record_entries_decode(in, &l, &n, &e) == ERR_OK)
		free(l);
}

static void fuzz_key(struct slice in)
{
	int64_t cid;
	CLEANUP(freep)
	char *id = keys_decode_id(in);
	CLEANUP(freep)
	char *doc_id = keys_decode_position(in, &cid);

	if (id) {
		CLEANUP(freep)
		char *key = keys_task("", id);
		check(slice_eq(slice_str(key + strlen("task_info/")), in));
	}
	if (doc_id) {
		CLEANUP(freep)
		char *key = keys_position("", doc_id, cid);
		check(str_starts(key, "task_position/"));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	struct slice in = slice_of(data + 1, size - 1);
	switch (data[0] & 3) {
	case 0:
		fuzz_task(in);
		break;
	case 1:
		fuzz_positions(in);
		break;
	case 2:
		fuzz_map(in);
		break;
	default:
		fuzz_key(in);
	}
	return 0;
}
