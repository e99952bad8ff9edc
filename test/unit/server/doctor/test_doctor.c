/* What no real peer of the rig can be made to do: old releases, wrong clocks, refusals. And how
 * findings are shown. The rest is test_doctor_catalog.c and test/e2e/test_doctor.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/time.h"
#include "model/ts.h"
#include "net/tls_expiry.h"
#include "server/docs.h"
#include "server/doctor/doctor.h"
#include "sink/sink.h"
#include "support/certs.h"

static struct {
	struct sink head;
	enum err_code connect, replicate;
	int origin;
	const char *version;
	int64_t clock_off_ms;
	size_t asked_bytes;
} fake;

static enum err_code fake_connect(
	struct sink *k UNUSED, struct stop *s UNUSED, struct sink_info *info, struct err *e)
{
	snprintf(info->version, sizeof(info->version), "%s", fake.version);
	return fake.connect ? err_set(e, fake.connect, "no") : ERR_OK;
}

static enum err_code fake_clock(
	struct sink *k UNUSED, struct stop *s UNUSED, uint64_t *ret_ts, struct err *e UNUSED)
{
	*ret_ts = ts_from_ms(time_wall_ms() + fake.clock_off_ms);
	return ERR_OK;
}

static enum err_code fake_replicate(struct sink *k UNUSED, const struct iov *request,
	int64_t deadline_ms UNUSED, struct stop *s UNUSED, struct mq_id *ret UNUSED, struct err *e)
{
	fake.asked_bytes = request->bytes;
	return fake.replicate ? err_set_origin(e, fake.replicate, fake.origin, "refused") : ERR_OK;
}

static const struct sink_ops fake_ops = {
	.name = "fake", .connect = fake_connect, .clock = fake_clock, .replicate = fake_replicate};

struct bed {
	struct doctor d;
	struct doctor_env env;
	struct stop stop;
	struct task *t;
};

static int make(void **state)
{
	struct bed *b = xcalloc(1, sizeof(*b));

	memset(&fake, 0, sizeof(fake));
	fake.head.ops = &fake_ops;
	fake.version = "2.3.5";
	fake.replicate = ERR_INVALID;
	fake.origin = 1100;
	stop_init(&b->stop, NULL);
	b->env.stop = &b->stop;
	b->t = task_new();
	*state = b;
	return 0;
}

static int drop(void **state)
{
	struct bed *b = *state;

	doctor_done(&b->d);
	task_free(b->t);
	stop_done(&b->stop);
	free(b);
	return 0;
}

/* The only finding of a visit, or none (DOCTOR_CODE_COUNT). */
static void expect(struct bed *b, enum doctor_code want)
{
	doctor_done(&b->d);
	doctor_sink(&b->env, b->t, &fake.head, 10, &b->d);
	if (want == DOCTOR_CODE_COUNT) {
		assert_int_equal(b->d.n, 0);
		return;
	}
	assert_int_equal(b->d.n, 1);
	assert_string_equal(doctor_rows[b->d.list[0].code].code, doctor_rows[want].code);
}

static void test_mode(void **state)
{
	struct bed *b = *state;

	expect(b, DOCTOR_CODE_COUNT);
	assert_int_equal(fake.asked_bytes, 0); /* no channel that could be made */
	fake.replicate = ERR_OK;
	expect(b, DOCTOR_CODE_COUNT);
	fake.replicate = ERR_DENIED;
	fake.origin = 1900;
	expect(b, DOCTOR_CODE_TARGET_MODE);
	fake.origin = 1400;
	expect(b, DOCTOR_CODE_TARGET_AUTH);
	fake.replicate = ERR_UNCERTAIN;
	fake.origin = 65535;
	expect(b, DOCTOR_CODE_TARGET_PROBE);
}

static void test_login(void **state)
{
	struct bed *b = *state;

	fake.connect = ERR_DENIED;
	expect(b, DOCTOR_CODE_TARGET_AUTH);
	fake.connect = ERR_UNAVAILABLE;
	expect(b, DOCTOR_CODE_TARGET_UNREACHABLE);
	assert_int_equal(doctor_exit(&b->d), 2);
}

static void test_version(void **state)
{
	struct bed *b = *state;
	static const char *const known[] = {"", "2.3.0", "v2.4.15", "2.5.1-gpu"};
	static const char *const other[] = {"2.2.9", "v2.6.0", "3.0", "main-20261101"};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		fake.version = known[i];
		expect(b, DOCTOR_CODE_COUNT);
		fake.version = other[i];
		expect(b, DOCTOR_CODE_TARGET_VERSION);
		assert_non_null(strstr(b->d.list[0].seen, other[i]));
	}
	assert_int_equal(doctor_exit(&b->d), 1);
}

static void test_clocks(void **state)
{
	struct bed *b = *state;

	fake.clock_off_ms = -90000;
	expect(b, DOCTOR_CODE_TARGET_CLOCK);
	assert_non_null(strstr(b->d.list[0].seen, "behind"));
	fake.clock_off_ms = 90000;
	expect(b, DOCTOR_CODE_TARGET_CLOCK);
	assert_non_null(strstr(b->d.list[0].seen, "ahead"));
	/* the source against the target */
	fake.clock_off_ms = 0;
	b->env.source_ts = ts_from_ms(time_wall_ms() + 60000);
	b->env.source_mono_ms = time_mono_ms();
	expect(b, DOCTOR_CODE_SOURCE_CLOCK);
	b->env.source_ts = ts_from_ms(time_wall_ms() - 60000);
	expect(b, DOCTOR_CODE_COUNT);
}

static void test_shown(void **state)
{
	struct bed *b = *state;
	CLEANUP(buf_done) struct buf text = BUF_INIT(1 << 20);
	struct json_out o = {.b = &text};

	doctor_fact(&b->d, "a \"fact\"", "seen");
	doctor_note(&b->d, DOCTOR_CODE_PORT_OURS, "port", "taken");
	doctor_note(&b->d, DOCTOR_CODE_ETCD_ROOT, "etcd", "nothing at %s", "x");
	doctor_fix(&b->d, "use %s", "y");
	doctor_write_text(&b->d, &text);
	const char *shown = buf_cstr(&text);
	assert_non_null(strstr(shown, "error    DOC-ETCD-ROOT"));
	assert_true(strstr(shown, "DOC-ETCD-ROOT") < strstr(shown, "DOC-PORT-OURS"));
	assert_non_null(strstr(shown, "fix    use y\n"));
	assert_non_null(strstr(shown, "1 error, 0 warnings, 1 note\n"));
	buf_reset(&text);
	doctor_write_json(&b->d, true, &o);
	assert_non_null(
		strstr(buf_cstr(&text), "\"code\":\"DOC-ETCD-ROOT\",\"severity\":\"error\""));
	assert_non_null(strstr(buf_cstr(&text), "\"errors\":1,\"warnings\":0,\"notes\":1"));
}

static void test_many(void **state)
{
	struct bed *b = *state;

	for (int i = 0; i < DOCTOR_FINDINGS_MAX + 5; i++)
		doctor_note(&b->d, DOCTOR_CODE_PORT_OURS, "port", "%d", i);
	doctor_fix(&b->d, "of none that is kept");
	assert_int_equal(b->d.n, DOCTOR_FINDINGS_MAX);
	assert_int_equal(b->d.left_out, 5);
	assert_null(b->d.list[b->d.n - 1].fix);
	assert_int_equal(doctor_exit(&b->d), 1);
}

/* Codes are for good: unique, and of one shape. The page has them all. */
static void test_table(void **state UNUSED)
{
	CLEANUP(buf_done) struct buf page = BUF_INIT(1 << 20);

	doctor_doc_write(&page);
	for (size_t i = 0; i < DOCTOR_CODE_COUNT; i++) {
		CLEANUP(freep) char *head = xasprintf("## %s\n", doctor_rows[i].code);
		assert_int_equal(strncmp(doctor_rows[i].code, "DOC-", 4), 0);
		assert_non_null(strstr(buf_cstr(&page), head));
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(doctor_rows[i].code, doctor_rows[k].code);
	}
}

static void test_expiry(void **state UNUSED)
{
	struct certs c;
	struct tls_expiry x;
	struct err e = ERR_INIT;
	int64_t now = time_wall_ms() / 1000;

	certs_make(&c);
	assert_int_equal(tls_expiry_read(c.server, false, &x, &e), ERR_OK);
	assert_true(x.not_before_s <= now && x.not_after_s > now);
	assert_int_equal(tls_expiry_read(c.expired, false, &x, &e), ERR_OK);
	assert_true(x.not_after_s < now);
	assert_int_equal(tls_expiry_read(c.early, true, &x, &e), ERR_OK);
	assert_true(x.not_before_s > now);
	assert_int_equal(tls_expiry_read(c.server_key, false, &x, &e), ERR_INVALID);
	err_clear(&e);
	assert_int_equal(tls_expiry_read("/nowhere/c.pem", false, &x, &e), ERR_INVALID);
	assert_non_null(strstr(e.text, "/nowhere/c.pem"));
	certs_remove(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_mode, make, drop),
		cmocka_unit_test_setup_teardown(test_login, make, drop),
		cmocka_unit_test_setup_teardown(test_version, make, drop),
		cmocka_unit_test_setup_teardown(test_clocks, make, drop),
		cmocka_unit_test_setup_teardown(test_shown, make, drop),
		cmocka_unit_test_setup_teardown(test_many, make, drop),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_expiry),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
