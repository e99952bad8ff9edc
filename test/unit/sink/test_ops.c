#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/wire.h"
#include "sink/ops.h"
#include "support/hex.h"

#define TS 470648416820264965ULL
/* base{type .., msgID ts, timestamp ts, sourceID 1} */
#define BASE_IN(type)                                                                              \
	"0a19" type "108580b095dd8785c406"                                                         \
	"188580b095dd8785c406"                                                                     \
	"2001"
/* the same with replicateInfo{isReplicate, msgTimestamp ts} */
#define BASE_OUT(type)                                                                             \
	"0a27" type "108580b095dd8785c406"                                                         \
	"188580b095dd8785c406"                                                                     \
	"2001"                                                                                     \
	"3a0c0801108580b095dd8785c406"

enum { VECTOR_BYTES = 4096 };

struct fixture {
	uint8_t bytes[VECTOR_BYTES];
	char want[2 * VECTOR_BYTES], got[2 * VECTOR_BYTES];
	struct arena arena;
	struct iov out;
	struct op op;
	struct err e;
};

static int setup(void **state)
{
	*state = xcalloc(1, sizeof(struct fixture));
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;
	iov_done(&x->out);
	arena_done(&x->arena);
	free(x);
	return 0;
}

static enum err_code read_hex(struct fixture *x, const char *hex)
{
	err_clear(&x->e);
	return ops_read(&x->op, hex_bytes(hex, x->bytes, sizeof(x->bytes)), &x->arena, &x->e);
}

/* Forwards x->op and compares with the hex text. */
static void expect(struct fixture *x, const struct op_names *to, const char *hex)
{
	uint8_t want[VECTOR_BYTES], got[VECTOR_BYTES];
	size_t n = 0;

	iov_reset(&x->out);
	assert_int_equal(ops_forward(&x->op, to, &x->arena, &x->out, &x->e), ERR_OK);
	for (size_t i = 0; i < x->out.n; i++) {
		memcpy(got + n, x->out.v[i].p, x->out.v[i].n);
		n += x->out.v[i].n;
	}
	hex_text(hex_bytes(hex, want, sizeof(want)), x->want, sizeof(x->want));
	assert_string_equal(hex_text(slice_of(got, n), x->got, sizeof(x->got)), x->want);
}

static void assert_slice(struct slice s, const char *text)
{
	assert_int_equal(s.n, strlen(text));
	assert_memory_equal(s.p, text, s.n);
}

/* CreateIndex as a 2.3.5 source writes it; parameters keep order and repeats. */
static void test_create_index(void **state)
{
	struct fixture *x = *state;
	const char *names[] = {"moved"};
	struct op_names to = {.db = "other", .collections = names};

	assert_int_equal(
		read_hex(x,
			BASE_IN("08ac02") "1207 64656661756c74 1a0b 68656c6c6f5f776f726c64 220176"
					  "2a160a0a696e6465785f747970651208 4956465f464c4154"
					  "2a130a0a696e6465785f747970651205 616761696e 320169"),
		ERR_OK);
	assert_string_equal(x->op.method, "CreateIndex");
	assert_int_equal(x->op.type, MSG_CREATE_INDEX);
	assert_true(x->op.ts == TS);
	assert_false(x->op.is_replicate);
	assert_slice(x->op.db, "default");
	assert_int_equal(x->op.n_collections, 1);
	assert_slice(x->op.collections[0], "hello_world");
	expect(x, &to,
		BASE_OUT("08ac02") "1205 6f74686572 1a05 6d6f766564 220176"
				   "2a160a0a696e6465785f747970651208 4956465f464c4154"
				   "2a130a0a696e6465785f747970651205 616761696e 320169");
}

static void test_flush_of_several(void **state)
{
	struct fixture *x = *state;
	const char *names[] = {"x", "b", "y"};
	struct op_names to = {.db = "", .collections = names};

	assert_int_equal(read_hex(x, BASE_IN("089203") "1201 64 1a0161 1a0162 1a0163"), ERR_OK);
	assert_int_equal(x->op.n_collections, 3);
	assert_slice(x->op.collections[2], "c");
	expect(x, &to, BASE_OUT("089203") "1a0178 1a0162 1a0179");
}

/* Everything that the reference loses: replicas, resource groups, refresh, load fields. */
static void test_load_partitions_is_complete(void **state)
{
	struct fixture *x = *state;
	const char *names[] = {"n"};
	struct op_names to = {.db = "e", .collections = names};

	assert_int_equal(
		read_hex(x, BASE_IN("08cd01") "120164 1a0163 22027031 22027032"
					      "2803 320167 3801 420176 4801 5206 0a016b 120176"),
		ERR_OK);
	assert_int_equal(x->op.n_partitions, 2);
	assert_slice(x->op.partitions[1], "p2");
	assert_true(x->op.flags & OP_LOAD);
	expect(x, &to,
		BASE_OUT("08cd01") "120165 1a016e 22027031 22027032"
				   "2803 320167 3801 420176 4801 5206 0a016b 120176");
}

static void test_databases(void **state)
{
	struct fixture *x = *state;
	struct op_names to = {.db = "e"};

	assert_int_equal(read_hex(x, BASE_IN("08890e") "120164 1a060a016b120176"), ERR_OK);
	assert_int_equal(x->op.flags, OP_DATABASE);
	assert_int_equal(x->op.n_collections, 0);
	expect(x, &to, BASE_OUT("08890e") "120165 1a060a016b120176");
	/* AlterDatabase: the source's db_id goes */
	assert_int_equal(
		read_hex(x, BASE_IN("088c0e") "120164 1805 22060a016b120176 2a017a"), ERR_OK);
	expect(x, &to, BASE_OUT("088c0e") "120165 22060a016b120176 2a017a");
}

static void test_alter_collection_leaves_the_source_id(void **state)
{
	struct fixture *x = *state;
	const char *names[] = {"n"};
	struct op_names to = {.db = "", .collections = names};

	assert_int_equal(
		read_hex(x, BASE_IN("086f") "1a0163 20c103 2a060a016b120176"), ERR_MALFORMED);
	assert_int_equal(read_hex(x, "0a03 086f 00"), ERR_MALFORMED);
	assert_int_equal(read_hex(x, "0a04 086f 1805 1a0163 20c103 2a060a016b120176"), ERR_OK);
	expect(x, &to, "0a0a 086f 1805 3a04 0801 1005 1a016e 2a060a016b120176");
}

static void test_rename(void **state)
{
	struct fixture *x = *state;
	const char *names[] = {"x", "y"};
	struct op_names to = {.db = "e", .collections = names, .new_db = "f"};

	assert_int_equal(read_hex(x, "0a04 0870 1805 120164 1a036f6c64 22036e6577 2a0165"), ERR_OK);
	assert_int_equal(x->op.flags, OP_RENAME);
	assert_slice(x->op.collections[0], "old");
	assert_slice(x->op.collections[1], "new");
	assert_slice(x->op.new_db, "e");
	expect(x, &to, "0a0a 0870 1805 3a04 0801 1005 120165 1a0178 220179 2a0166");
	assert_int_equal(read_hex(x, "0a04 0870 1805 1a036f6c64 22036e6577"), ERR_OK);
	assert_int_equal(x->op.new_db.n, 0);
	expect(x, &to, "0a0a 0870 1805 3a04 0801 1005 120165 1a0178 220179");
}

static void test_alias_names_are_not_mapped(void **state)
{
	struct fixture *x = *state;
	struct op_names to = {.db = "e"};

	assert_int_equal(read_hex(x, "0a04 086d 1805 1a02616c"), ERR_OK);
	assert_int_equal(x->op.n_collections, 0);
	assert_slice(x->op.alias, "al");
	expect(x, &to, "0a0a 086d 1805 3a04 0801 1005 120165 1a02616c");
}

/* OperatePrivilege{entity{role, object{name}, object_name, grantor, db_name}, type} */
static void test_grant_on_a_collection(void **state)
{
	struct fixture *x = *state;
	const char *names[] = {"n"};
	struct op_names to = {.db = "e", .collections = names};

	assert_int_equal(read_hex(x, "0a05 08c60c 1805 1219 0a03 0a0172"
				     "120c 0a0a 436f6c6c656374696f6e 1a0163 2a0164 1801 220432"),
		ERR_MALFORMED);
	assert_int_equal(read_hex(x, "0a05 08c60c 1805 1219 0a03 0a0172"
				     "120c 0a0a 436f6c6c656374696f6e 1a0163 2a0164 1801"),
		ERR_OK);
	assert_slice(x->op.collections[0], "c");
	assert_slice(x->op.db, "d");
	assert_true(x->op.flags & OP_GRANT);
	expect(x, &to,
		"0a0b 08c60c 1805 3a04 0801 1005 1219 0a03 0a0172"
		"120c 0a0a 436f6c6c656374696f6e 1a016e 2a0165 1801");
}

static void test_grant_on_everything(void **state)
{
	struct fixture *x = *state;
	struct op_names to = {.db = "e"};

	/* collection "*" in db "*"; then a Global object, whose name is no collection's */
	assert_int_equal(read_hex(x, "0a05 08c60c 1805 1214"
				     "120c 0a0a 436f6c6c656374696f6e 1a012a 2a012a 1801"),
		ERR_OK);
	assert_int_equal(x->op.n_collections, 0);
	assert_true(x->op.flags & OP_ANY_DB);
	expect(x, &to,
		"0a0b 08c60c 1805 3a04 0801 1005 1214"
		"120c 0a0a 436f6c6c656374696f6e 1a012a 2a012a 1801");
	assert_int_equal(
		read_hex(x, "0a05 08c60c 1805 1210 1208 0a06 476c6f62616c 1a0163 2a0164"), ERR_OK);
	assert_int_equal(x->op.n_collections, 0);
	expect(x, &to, "0a0b 08c60c 1805 3a04 0801 1005 1210 1208 0a06 476c6f62616c 1a0163 2a0165");
}

static void test_grant_v2(void **state)
{
	struct fixture *x = *state;
	const char *names[] = {"n"};
	struct op_names to = {.db = "e", .collections = names};

	assert_int_equal(read_hex(x, "0a05 08ce0c 1805 1203 0a0172 2001 2a0164 320163"), ERR_OK);
	expect(x, &to, "0a0b 08ce0c 1805 3a04 0801 1005 1203 0a0172 2001 2a0165 32016e");
}

static void test_users_pass_complete(void **state)
{
	struct fixture *x = *state;
	struct op_names to = {.db = "e"};

	/* DropRole{role_name, force_drop} */
	assert_int_equal(read_hex(x, "0a05 08c10c 1805 120172 1801"), ERR_OK);
	assert_int_equal(x->op.flags, OP_RBAC);
	expect(x, &to, "0a0b 08c10c 1805 3a04 0801 1005 120172 1801");
}

/* D-22: the database goes with an AlterIndex, and all of its parameters. */
static void test_d22_alter_index_keeps_its_database(void **state)
{
	struct fixture *x = *state;
	const char *names[] = {"n"};
	struct op_names to = {.db = "e", .collections = names};

	assert_int_equal(
		read_hex(x, "0a05 08b002 1805 120164 1a0163 220169 2a060a016b120176 320178"),
		ERR_OK);
	expect(x, &to,
		"0a0b 08b002 1805 3a04 0801 1005 120165 1a016e 220169 2a060a016b120176 320178");
}

/* D-23: ReleasePartitions goes to the mapped database. */
static void test_d23_release_partitions_is_mapped(void **state)
{
	struct fixture *x = *state;
	const char *names[] = {"n"};
	struct op_names to = {.db = "e", .collections = names};

	assert_int_equal(read_hex(x, "0a05 08ce01 1805 120164 1a0163 220170 220171"), ERR_OK);
	expect(x, &to, "0a0b 08ce01 1805 3a04 0801 1005 120165 1a016e 220170 220171");
}

/* D-25: DropIndex.field_name (the others: create database, load partitions, drop role). */
static void test_d25_drop_index_keeps_its_field(void **state)
{
	struct fixture *x = *state;
	const char *names[] = {"n"};
	struct op_names to = {.db = "", .collections = names};

	assert_int_equal(read_hex(x, "0a05 08ae02 1805 1a0163 220166 2a0169"), ERR_OK);
	expect(x, &to, "0a0b 08ae02 1805 3a04 0801 1005 1a016e 220166 2a0169");
}

/* AddCollectionField{collectionID, schema}: the source's id goes, the field stays as it is. */
static void test_add_field(void **state)
{
	struct fixture *x = *state;
	const char *names[] = {"n"};
	struct op_names to = {.db = "", .collections = names};

	assert_int_equal(
		read_hex(x, "0a05 08ec0e 1805 1a0163 200a 2a0408661201 62"), ERR_MALFORMED);
	assert_int_equal(read_hex(x, "0a05 08ec0e 1805 1a0163 200a 2a05 0866 120162"), ERR_OK);
	expect(x, &to, "0a0b 08ec0e 1805 3a04 0801 1005 1a016e 2a05 0866 120162");
}

/* UpdateCredential asks with the new password as the old one whether it was done before. */
static void test_ask_password(void **state)
{
	struct fixture *x = *state;
	char got[VECTOR_BYTES];

	assert_int_equal(read_hex(x, "0a05 08df0b 1805 120175 1a016f 22016e"), ERR_OK);
	assert_int_equal(ops_ask_password(&x->op, &x->arena, &x->out, &x->e), ERR_OK);
	assert_int_equal(x->out.n, 1);
	assert_string_equal(hex_text(x->out.v[0], got, sizeof(got)), "0a0b08df0b18053a0408011005"
								     "1201751a016e22016e");
	assert_int_equal(read_hex(x, "0a05 08c00c 1805"), ERR_OK);
	assert_int_equal(ops_ask_password(&x->op, &x->arena, &x->out, &x->e), ERR_MALFORMED);
}

static enum op_verdict verdict(
	struct fixture *x, const char *hex, enum err_code code, const char **ret_instead)
{
	*ret_instead = NULL;
	assert_int_equal(read_hex(x, hex), ERR_OK);
	return ops_verdict(&x->op, code, ret_instead);
}

/* What is there already, or gone already, ends an operation that comes twice. */
static void test_verdicts(void **state)
{
	struct fixture *x = *state;
	const char *instead;

#define V(hex, code) verdict(x, hex, code, &instead)
	assert_int_equal(V("0a05 08c00c 1805", ERR_EXISTS), OP_DONE); /* role */
	assert_int_equal(V("0a05 08c00c 1805", ERR_NOT_FOUND), OP_FAILED);
	assert_int_equal(V("0a05 08c10c 1805", ERR_NOT_FOUND), OP_DONE); /* drop role */
	assert_int_equal(V("0a05 08c10c 1805", ERR_OK), OP_DONE);
	assert_int_equal(V("0a04 086b 1805 1a0163", ERR_NOT_FOUND), OP_DONE);   /* release */
	assert_int_equal(V("0a04 086a 1805 1a0163", ERR_NOT_FOUND), OP_FAILED); /* load */
	assert_int_equal(V("0a05 08c20c 1805 2000", ERR_NOT_FOUND), OP_FAILED); /* add to role */
	assert_int_equal(V("0a05 08c20c 1805 2001", ERR_NOT_FOUND), OP_DONE);   /* remove */
	assert_int_equal(V("0a05 08c60c 1805 1801", ERR_NOT_FOUND), OP_DONE);   /* revoke */
	assert_int_equal(V("0a05 08c60c 1805", ERR_NOT_FOUND), OP_FAILED);      /* grant */
	assert_int_equal(V("0a04 086c 1805 220161", ERR_EXISTS), OP_INSTEAD);   /* alias */
	assert_string_equal(instead, "AlterAlias");
	assert_int_equal(V("0a04 086e 1805 220161", ERR_NOT_FOUND), OP_INSTEAD);
	assert_string_equal(instead, "CreateAlias");
	assert_int_equal(V("0a04 086e 1805 220161", ERR_UNAVAILABLE), OP_FAILED);
#undef V
}

/* A chained replicator's operation keeps the time of the first source. */
static void test_replicated_operation(void **state)
{
	struct fixture *x = *state;
	const char *names[] = {"c"};
	struct op_names to = {.db = "", .collections = names};

	assert_int_equal(read_hex(x, "0a0d 086b 1807 3a07 0801 1005 1a0172 1a0163"), ERR_OK);
	assert_true(x->op.is_replicate);
	assert_int_equal(x->op.ts, 5);
	expect(x, &to, "0a0a 086b 1807 3a04 0801 1005 1a0163");
}

/* Proxies of 2.4 and 2.5 write users, roles and grants down with a type alone. The target still has
 * to know that it is a replication. */
static void test_without_a_time(void **state)
{
	struct fixture *x = *state;
	struct op_names to = {.db = ""};

	assert_int_equal(read_hex(x, "0a03 08dc0b 120175 1a0170"), ERR_OK);
	assert_int_equal(x->op.ts, 0);
	assert_false(x->op.is_replicate);
	expect(x, &to, "0a07 08dc0b 3a02 0801 120175 1a0170");
	/* and from there once more */
	assert_int_equal(read_hex(x, "0a07 08dc0b 3a02 0801 120175 1a0170"), ERR_OK);
	assert_true(x->op.is_replicate);
	assert_int_equal(x->op.ts, 0);
	expect(x, &to, "0a07 08dc0b 3a02 0801 120175 1a0170");
}

static void test_refused(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(read_hex(x, "0a05 089003 1805"), ERR_UNSUPPORTED);
	assert_non_null(strstr(x->e.text, "400"));
	assert_non_null(strstr(x->e.text, "Insert"));
	assert_int_equal(read_hex(x, "0a05 08b922 1805"), ERR_UNSUPPORTED);
	assert_non_null(strstr(x->e.text, "4409"));
	assert_int_equal(read_hex(x, "0a05 08a40d 1805"), ERR_UNSUPPORTED);
	assert_non_null(strstr(x->e.text, "CreateResourceGroup"));
	assert_non_null(strstr(x->e.text, "own nodes"));
	assert_int_equal(read_hex(x, "1a0163 0a04 086b 1805"), ERR_MALFORMED);
	assert_int_equal(read_hex(x, "0a04 086b 1805 1803"), ERR_MALFORMED); /* a number as name */
	assert_int_equal(read_hex(x, "0a04 086b 1805 1a05"), ERR_MALFORMED);
	assert_true(ops_supports(MSG_FLUSH));
	assert_false(ops_supports(MSG_INSERT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
		T(create_index),
		T(flush_of_several),
		T(load_partitions_is_complete),
		T(databases),
		T(alter_collection_leaves_the_source_id),
		T(rename),
		T(alias_names_are_not_mapped),
		T(grant_on_a_collection),
		T(grant_on_everything),
		T(grant_v2),
		T(users_pass_complete),
		T(d22_alter_index_keeps_its_database),
		T(d23_release_partitions_is_mapped),
		T(d25_drop_index_keeps_its_field),
		T(add_field),
		T(ask_password),
		T(verdicts),
		T(replicated_operation),
		T(without_a_time),
		T(refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
