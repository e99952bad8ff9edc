#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/wire.h"
#include "sink/sink_dry.h"

static const struct log_ctx quiet = {.comp = LOG_sink, .fields = ""};
static int written; /* by the real target: nothing may be */

static enum err_code real_connect(
	struct sink *k, struct stop *s, struct sink_info *ret_info, struct err *e)
{
	(void)k;
	(void)s;
	(void)e;
	*ret_info = (struct sink_info){.version = "v2.3.5"};
	return ERR_OK;
}

static enum err_code real_clock(struct sink *k, struct stop *s, uint64_t *ret_ts, struct err *e)
{
	(void)k;
	(void)s;
	(void)e;
	*ret_ts = 77;
	return ERR_OK;
}

/* It has default.there with the partition _default. */
static enum err_code real_describe(struct sink *k, const char *db, const char *name, struct stop *s,
	struct sink_collection *ret_c, struct err *e)
{
	(void)k;
	(void)db;
	(void)s;
	if (strcmp(name, "there") != 0)
		return err_set(e, ERR_NOT_FOUND, "no %s", name);
	*ret_c = (struct sink_collection){.id = 5, .n_partitions = 1};
	ret_c->partitions = xcalloc(1, sizeof(*ret_c->partitions));
	ret_c->partitions[0] = (struct sink_partition){.id = 6, .name = xstrdup("_default")};
	return ERR_OK;
}

static enum err_code real_databases(
	struct sink *k, struct stop *s, struct sink_names *ret_l, struct err *e)
{
	(void)k;
	(void)s;
	(void)e;
	ret_l->names = xcalloc(1, sizeof(char *));
	ret_l->names[0] = xstrdup("default");
	ret_l->n = 1;
	return ERR_OK;
}

static enum err_code real_change(
	struct sink *k, const struct sink_change *c, struct stop *s, struct err *e)
{
	(void)k;
	(void)c;
	(void)s;
	written++;
	return err_set(e, ERR_SYSTEM, "a dry run wrote");
}

static void real_close(struct sink *k)
{
	free(k);
}

static const struct sink_ops real_ops = {.name = "real",
	.connect = real_connect,
	.clock = real_clock,
	.describe = real_describe,
	.databases = real_databases,
	.change = real_change,
	.close = real_close};

static struct sink *open_real(void)
{
	struct sink *k = xcalloc(1, sizeof(*k));
	k->ops = &real_ops;
	written = 0;
	return sink_dry_open(k, &quiet);
}

static void change(struct sink *k, enum sink_change_kind kind, const char *name, const char *part)
{
	struct sink_change c = {.kind = kind,
		.db = "default",
		.collection = name,
		.partition = part,
		.source_id = 449,
		.source_partition_id = 450,
		.ts = 9,
		.schema = slice_str("schema"),
		.shards_num = 2};
	struct err e = ERR_INIT;
	assert_int_equal(k->ops->change(k, &c, NULL, &e), ERR_OK);
}

static enum err_code look(struct sink *k, const char *name, struct sink_collection *c)
{
	struct err e = ERR_INIT;
	return k->ops->describe(k, "default", name, NULL, c, &e);
}

static void test_made_up(void **state)
{
	struct sink *k = open_real();
	struct sink_collection c = {.id = 0};

	(void)state;
	assert_int_equal(look(k, "new", &c), ERR_NOT_FOUND);
	change(k, SINK_CREATE_COLLECTION, "new", NULL);
	change(k, SINK_CREATE_PARTITION, "new", "p");
	assert_int_equal(look(k, "new", &c), ERR_OK);
	assert_int_equal(c.id, 449);
	assert_int_equal(c.shards_num, 2);
	assert_true(slice_eq_str(c.schema, "schema"));
	assert_string_equal(c.shards[1].vchannel, "dry-run-dml_1_449v1");
	assert_int_equal(c.n_partitions, 2);
	assert_string_equal(c.partitions[1].name, "p");
	assert_int_equal(c.partitions[1].id, 450);
	sink_collection_done(&c);
	change(k, SINK_DROP_PARTITION, "new", "p");
	assert_int_equal(look(k, "new", &c), ERR_OK);
	assert_int_equal(c.n_partitions, 1);
	sink_collection_done(&c);
	change(k, SINK_DROP_COLLECTION, "new", NULL);
	assert_int_equal(look(k, "new", &c), ERR_NOT_FOUND);
	assert_int_equal(written, 0);
	sink_close(k);
}

static void test_over_a_real_one(void **state)
{
	struct sink *k = open_real();
	struct sink_collection c = {.id = 0};
	struct sink_names l = {.n = 0};
	struct sink_change db = {.kind = SINK_CREATE_DATABASE, .db = "new"};
	struct err e = ERR_INIT;
	uint64_t ts = 0;

	(void)state;
	assert_int_equal(k->ops->clock(k, NULL, &ts, &e), ERR_OK);
	assert_int_equal(ts, 77);
	change(k, SINK_CREATE_PARTITION, "there", "p");
	assert_int_equal(look(k, "there", &c), ERR_OK);
	assert_int_equal(c.id, 5);
	assert_int_equal(c.n_partitions, 2);
	sink_collection_done(&c);
	change(k, SINK_DROP_COLLECTION, "there", NULL);
	assert_int_equal(look(k, "there", &c), ERR_NOT_FOUND);
	assert_int_equal(k->ops->change(k, &db, NULL, &e), ERR_OK);
	assert_int_equal(k->ops->databases(k, NULL, &l, &e), ERR_OK);
	assert_int_equal(l.n, 2);
	sink_names_done(&l);
	db.kind = SINK_DROP_DATABASE;
	assert_int_equal(k->ops->change(k, &db, NULL, &e), ERR_OK);
	assert_int_equal(k->ops->databases(k, NULL, &l, &e), ERR_OK);
	assert_int_equal(l.n, 1);
	sink_names_done(&l);
	assert_int_equal(written, 0);
	sink_close(k);
}

static void rename_to(struct sink *k, const char *from, const char *to)
{
	struct buf b = BUF_INIT(1000);
	struct iov body = {.n = 0};
	struct sink_call call = {.method = "RenameCollection", .db = "default", .body = &body};
	struct err e = ERR_INIT;

	wire_put_str(&b, 3, from);
	wire_put_str(&b, 4, to);
	iov_put(&body, buf_slice(&b));
	assert_int_equal(k->ops->call(k, &call, NULL, &e), ERR_OK);
	iov_done(&body);
	buf_done(&b);
}

/* What is renamed is there under its new name only, whether it is real or made up. */
static void test_renamed(void **state)
{
	struct sink *k = open_real();
	struct sink_collection c = {.id = 0};

	(void)state;
	rename_to(k, "there", "moved");
	assert_int_equal(look(k, "there", &c), ERR_NOT_FOUND);
	assert_int_equal(look(k, "moved", &c), ERR_OK);
	assert_int_equal(c.id, 5);
	sink_collection_done(&c);
	rename_to(k, "moved", "again");
	assert_int_equal(look(k, "moved", &c), ERR_NOT_FOUND);
	assert_int_equal(look(k, "again", &c), ERR_OK);
	assert_int_equal(c.id, 5);
	sink_collection_done(&c);
	change(k, SINK_CREATE_COLLECTION, "made", NULL);
	rename_to(k, "made", "there");
	assert_int_equal(look(k, "made", &c), ERR_NOT_FOUND);
	assert_int_equal(look(k, "there", &c), ERR_OK);
	assert_int_not_equal(c.id, 5);
	sink_collection_done(&c);
	sink_close(k);
}

static void test_rows_and_operations(void **state)
{
	struct sink *k = sink_dry_open(NULL, &quiet);
	struct iov body = {.bytes = 0};
	struct sink_call call = {.method = "Flush", .db = "", .body = &body};
	struct mq_id a, b;
	struct sink_collection c = {.id = 0};
	struct err e = ERR_INIT;
	uint64_t ts = 0;

	(void)state;
	assert_int_equal(k->ops->replicate(k, &body, 1, NULL, &a, &e), ERR_OK);
	assert_int_equal(k->ops->replicate(k, &body, 1, NULL, &b, &e), ERR_OK);
	assert_int_equal(a.n, 8);
	assert_int_equal(b.b[0], a.b[0] + 1);
	assert_int_equal(k->ops->call(k, &call, NULL, &e), ERR_OK);
	assert_int_equal(k->ops->clock(k, NULL, &ts, &e), ERR_OK);
	assert_true(ts > 0);
	assert_int_equal(look(k, "there", &c), ERR_NOT_FOUND);
	change(k, SINK_CREATE_PARTITION, "there", "p");
	assert_int_equal(look(k, "there", &c), ERR_NOT_FOUND);
	sink_close(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made_up),
		cmocka_unit_test(test_over_a_real_one),
		cmocka_unit_test(test_renamed),
		cmocka_unit_test(test_rows_and_operations),
	};
	log_set_level(LOG_OFF);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
