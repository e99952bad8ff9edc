/* Any payload through ops_read and ops_forward. What comes out must read back with the new names,
 * and all fields that hold no name must be there unchanged, in their order. */
#include <stdlib.h>

#include "base/iov.h"
#include "base/mem.h"
#include "base/wire.h"
#include "sink/ops.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NAMES_MAX = 64 };

static void must(bool holds)
{
	if (!holds)
		abort();
}

static bool holds_a_name(const struct op *op, uint32_t num)
{
	if (op->type == MSG_OPERATE_PRIVILEGE)
		return num <= 2;
	if (op->flags & OP_RBAC)
		return num == 1 || (op->type == MSG_OPERATE_PRIVILEGE_V2 && (num == 5 || num == 6));
	if (op->flags & OP_DATABASE)
		return num <= 3;
	if (op->type == MSG_DROP_ALIAS)
		return num <= 2;
	if (op->type == MSG_ALTER_COLLECTION || op->type == MSG_ADD_COLLECTION_FIELD)
		return num <= 4;
	return num <= (op->flags & OP_RENAME ? 5 : 3);
}

/* The next field without a name; false at the end. */
static bool next_other(struct wire *w, const struct op *op, struct wire_field *f)
{
	while (wire_next(w, f))
		if (!holds_a_name(op, f->num))
			return true;
	return false;
}

static void check_others(const struct op *op, struct slice out)
{
	struct wire a = wire_open(op->payload), b = wire_open(out);
	struct wire_field fa, fb;

	while (next_other(&a, op, &fa)) {
		must(next_other(&b, op, &fb));
		must(slice_eq(fa.raw, fb.raw));
	}
	must(!next_other(&b, op, &fb) && !b.bad);
}

static void check_forwarded(const struct op *op, struct slice out, struct arena *a)
{
	struct op again;
	struct err e = ERR_INIT;

	must(!ops_read(&again, out, a, &e));
	must(again.type == op->type && again.ts == op->ts && again.is_replicate);
	must(again.n_collections == op->n_collections && again.n_partitions == op->n_partitions);
	for (size_t i = 0; i < op->n_collections; i++)
		must(slice_eq_str(again.collections[i], "renamed"));
	check_others(op, out);
}

/* The question for a password must be readable as the same operation. */
static bool again_asks(const struct op *op, struct arena *a)
{
	CLEANUP(iov_done)
	struct iov out = {0};
	struct err e = ERR_INIT;

	if (ops_ask_password(op, a, &out, &e))
		return out.n == 0;
	return op->type == MSG_UPDATE_CREDENTIAL && out.n > 0;
}

/* Success is success, whatever the operation; what stands instead is forwardable. */
static void check_verdicts(const struct op *op)
{
	const char *instead = NULL;

	must(ops_verdict(op, ERR_OK, &instead) == OP_DONE);
	must(ops_verdict(op, ERR_UNAVAILABLE, &instead) == OP_FAILED);
	if (ops_verdict(op, ERR_EXISTS, &instead) == OP_INSTEAD)
		must(op->type == MSG_CREATE_ALIAS && instead);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_done)
	struct arena a = ARENA_INIT;
	CLEANUP(iov_done)
	struct iov out = {0};
	const char *collections[NAMES_MAX];
	struct op_names to = {.db = "target", .collections = collections, .new_db = "other"};
	struct op op;
	struct err e = ERR_INIT;

	for (size_t i = 0; i < NAMES_MAX; i++)
		collections[i] = "renamed";
	if (ops_read(&op, slice_of(data, size), &a, &e) || op.n_collections > NAMES_MAX)
		return 0;
	check_verdicts(&op);
	must(again_asks(&op, &a));
	if (ops_forward(&op, &to, &a, &out, &e)) {
		must(!out.n);
		return 0;
	}
	uint8_t *flat = xmalloc(out.bytes + 1);
	size_t n = 0;
	for (size_t i = 0; i < out.n; i++) {
		memcpy(flat + n, out.v[i].p, out.v[i].n);
		n += out.v[i].n;
	}
	check_forwarded(&op, slice_of(flat, n), &a);
	free(flat);
	return 0;
}
