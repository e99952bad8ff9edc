/* Encrypted credentials: the key file, one text, task records in a store, rotation, copies. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/image.h"
#include "store/seal.h"
#include "store/vault.h"
#include "support/store_bed.h"

#define KEY_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY_B "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="

static enum err_code open_keys(const char *text, struct vault **ret, struct err *e)
{
	char path[] = "/tmp/cdc-keys-XXXXXX";
	int fd = mkstemp(path);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	enum err_code code = vault_open(path, ret, e);
	unlink(path);
	return code;
}

static struct vault *keys(const char *text)
{
	struct vault *v = NULL;
	struct err e = ERR_INIT;

	if (open_keys(text, &v, &e))
		fail_msg("%s", e.text);
	return v;
}

static void test_key_file(void **state)
{
	static const char *const bad[] = {
		"", "# nothing\n", "short\n", KEY_A "x\n", KEY_A "\nAAAA\n"};
	struct vault *v = NULL;
	struct err e = ERR_INIT;

	(void)state;
	vault_free(keys("# the newest\n" KEY_B "\r\n\n" KEY_A));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(open_keys(bad[i], &v, &e), ERR_INVALID);
		assert_null(v);
		assert_non_null(strstr(e.text, "openssl rand -base64 32"));
		assert_null(strstr(e.text, "AAAA")); /* not even a wrong key is shown */
		err_clear(&e);
	}
	assert_int_equal(vault_open("/nowhere/keys", &v, &e), ERR_SYSTEM);
	vault_free(NULL);
}

static void unseals(const struct vault *v, const char *context, const char *text, int code)
{
	char *plain = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(vault_unseal(v, context, text, &plain, &e), code);
	if (!code)
		assert_string_equal(plain, "root:Milvus");
	free(plain);
}

static void test_text(void **state)
{
	struct vault *a = keys(KEY_A), *b = keys(KEY_B), *ba = keys(KEY_B "\n" KEY_A);
	char *sealed = NULL, *again = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(vault_seal(a, "x", "root:Milvus", &sealed, &e), ERR_OK);
	assert_int_equal(vault_seal(a, "x", "root:Milvus", &again, &e), ERR_OK);
	assert_true(vault_is_sealed(sealed));
	assert_false(vault_is_sealed("root:Milvus"));
	assert_string_not_equal(sealed, again); /* nobody can see that two are equal */
	assert_true(vault_is_current(a, sealed));
	assert_false(vault_is_current(ba, sealed));
	unseals(a, "x", sealed, ERR_OK);
	unseals(ba, "x", sealed, ERR_OK);
	unseals(b, "x", sealed, ERR_INVALID);
	unseals(NULL, "x", sealed, ERR_INVALID);
	unseals(a, "y", sealed, ERR_MALFORMED);
	/* Each character matters. */
	for (size_t i = strlen(sealed) - 3; i > 22; i--) {
		char was = sealed[i];
		sealed[i] = was == 'A' ? 'B' : 'A';
		unseals(a, "x", sealed, ERR_MALFORMED);
		sealed[i] = was;
	}
	sealed[30] = '\0';
	unseals(a, "x", sealed, ERR_MALFORMED);
	free(sealed);
	free(again);
	vault_free(a);
	vault_free(b);
	vault_free(ba);
}

/* ---- in a store ---- */

static void set(char **text, const char *to)
{
	free(*text);
	*text = xstrdup(to);
}

static struct task *new_task(void)
{
	struct task *t = task_new();

	set(&t->id, "t1");
	set(&t->milvus.uri, "http://target:19530");
	set(&t->milvus.token, "secret-token");
	set(&t->milvus.password, "secret-password");
	set(&t->kafka.sasl_password, "secret-sasl");
	t->kafka.settings = xcalloc(1, sizeof(*t->kafka.settings));
	t->kafka.n_settings = 1;
	t->kafka.settings[0] = (struct task_pair){
		.key = xstrdup("ssl.key.password"), .value = xstrdup("secret-key")};
	return t;
}

static void use(struct store_bed *b, const char *key_file)
{
	vault_free(b->st->vault);
	b->st->vault = NULL;
	if (key_file)
		store_use_vault(b->st, keys(key_file));
}

static void put(struct store_bed *b, enum err_code code)
{
	CLEANUP(task_freep) struct task *t = new_task();
	struct err e = ERR_INIT;

	assert_int_equal(store_put_task(b->st, t, &b->stop, &e), code);
}

static size_t secrets_in(struct store_bed *b)
{
	CLEANUP(freep) char *raw = b->raw_task(b, "t1");
	size_t n = 0;

	for (const char *s = raw; (s = strstr(s, "secret-")); s++)
		n++;
	return n;
}

/* All are read as they were given. */
static void expect_plain(struct store *st, struct stop *s)
{
	struct task **list = NULL;
	struct err e = ERR_INIT;
	size_t n = 0;

	if (store_read_tasks(st, s, &list, &n, &e))
		fail_msg("%s", e.text);
	assert_int_equal(n, 1);
	assert_string_equal(list[0]->milvus.token, "secret-token");
	assert_string_equal(list[0]->milvus.password, "secret-password");
	assert_string_equal(list[0]->kafka.sasl_password, "secret-sasl");
	assert_string_equal(list[0]->kafka.settings[0].value, "secret-key");
	store_tasks_free(list, n);
}

static void expect_unreadable(struct store_bed *b, const char *why)
{
	struct task **list = NULL;
	struct err e = ERR_INIT;
	size_t n = 0;

	assert_int_equal(store_read_tasks(b->st, &b->stop, &list, &n, &e), ERR_INVALID);
	if (!strstr(e.text, why))
		fail_msg("\"%s\" does not say \"%s\"", e.text, why);
	err_clear(&e);
	assert_int_equal(
		store_reseal(b->st, &b->stop, &n, &e), b->st->vault ? ERR_INVALID : ERR_OK);
	assert_int_equal(n, 0);
}

static void expect_reseal(struct store_bed *b, size_t want)
{
	struct err e = ERR_INIT;
	size_t n = 99;

	assert_int_equal(store_reseal(b->st, &b->stop, &n, &e), ERR_OK);
	assert_int_equal(n, want);
}

static void test_store(void **state)
{
	struct store_bed *b = *state;

	use(b, KEY_A);
	put(b, ERR_OK);
	assert_int_equal(secrets_in(b), 0);
	expect_plain(b->st, &b->stop);
	put(b, ERR_OK); /* over a sealed one */
	expect_plain(b->st, &b->stop);
	expect_reseal(b, 0);
}

/* A key is replaced without a moment in which a credential can't be read; a missing one loses
 * nothing. */
static void test_rotation(void **state)
{
	struct store_bed *b = *state;

	put(b, ERR_OK);
	assert_int_equal(secrets_in(b), 4);
	use(b, KEY_A); /* switched on: what is there is encrypted */
	expect_plain(b->st, &b->stop);
	expect_reseal(b, 1);
	assert_int_equal(secrets_in(b), 0);
	CLEANUP(freep) char *with_a = b->raw_task(b, "t1");
	use(b, NULL);
	expect_unreadable(b, "the password of task t1: encrypted with key 66687aad, which is not "
			     "known, for no key file is set");
	use(b, KEY_B);
	expect_unreadable(b, "which the key file does not hold");
	CLEANUP(freep) char *still = b->raw_task(b, "t1");
	assert_string_equal(still, with_a);
	use(b, KEY_B "\n" KEY_A);
	expect_plain(b->st, &b->stop);
	expect_reseal(b, 1);
	expect_reseal(b, 0);
	use(b, KEY_B); /* the old key is needed no more */
	expect_plain(b->st, &b->stop);
}

/* What would be taken for an encrypted text later is not stored. */
static void test_look_alike(void **state)
{
	struct store_bed *b = *state;
	CLEANUP(task_freep) struct task *t = new_task();
	struct err e = ERR_INIT;

	set(&t->milvus.token, "$cdc-sealed1$66687aad$AAAA");
	assert_int_equal(store_put_task(b->st, t, &b->stop, &e), ERR_INVALID);
	assert_non_null(strstr(e.text, "the token of task t1"));
}

static void copy(struct store_bed *from, struct store_bed *to)
{
	struct image m = {.n_texts = 0}, back = {.n_texts = 0};
	const char *name = "";
	struct err e = ERR_INIT;

	if (image_read(from->st, &from->stop, &m, &e) || image_write(&m, to->st, &to->stop, &e) ||
		image_read(to->st, &to->stop, &back, &e))
		fail_msg("%s", e.text);
	assert_true(image_is_part(&m, &back, &name));
	image_done(&m);
	image_done(&back);
}

/* migrate-store between stores with other keys, or none; fields we don't know come along. */
static void test_copies(void **state)
{
	struct store_bed *a = *state, *b;
	void *other;

	assert_int_equal(store_bed_mem_up(&other), 0);
	b = other;
	a->plant_task(a, "t1",
		"{\"TaskID\":\"t1\",\"Later\":7,\"MilvusConnectParam\":{\"token\":\"secret-token\","
		"\"password\":\"secret-password\"},\"KafkaConnectParam\":{\"sasl\":{\"password\":"
		"\"secret-sasl\"},\"settings\":{\"k\":\"secret-key\"}},\"State\":2}");
	use(a, KEY_A);
	expect_reseal(a, 1);
	assert_int_equal(secrets_in(a), 0);
	use(b, KEY_B);
	copy(a, b);
	assert_int_equal(secrets_in(b), 0);
	expect_plain(b->st, &b->stop);
	CLEANUP(freep) char *raw = b->raw_task(b, "t1");
	assert_non_null(strstr(raw, "\"Later\":7"));
	use(b, NULL); /* without a key the copy is in the clear: the way back */
	copy(a, b);
	assert_int_equal(secrets_in(b), 4);
	store_bed_down(&other);
}

#define IN(bed, name) cmocka_unit_test_setup_teardown(name, store_bed_##bed##_up, store_bed_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_file),
		cmocka_unit_test(test_text),
		IN(mem, test_store),
		IN(sqlite, test_store),
		IN(mem, test_rotation),
		IN(sqlite, test_rotation),
		IN(mem, test_look_alike),
		IN(sqlite, test_copies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
