/* TLS, one-way and mutual. */
#include "grpc_fixture.h"

#include <stdio.h>
#include <unistd.h>

#include "support/certs.h"

static struct certs certs;

static int make(void **state UNUSED)
{
	certs_make(&certs);
	return 0;
}

static int drop(void **state UNUSED)
{
	certs_remove(&certs);
	return 0;
}

static enum err_code one_call(struct gs_opts so, struct grpc_tls tls, struct err *e)
{
	struct grpc_chan_opts co = {.tls = tls};
	struct fix f;

	so.cert = so.cert ? so.cert : certs.server;
	so.key = so.key ? so.key : certs.server_key;
	fix_open(&f, &so, &co);
	enum err_code code = fix_call(&f, "abc", 3, 5000, false);
	*e = f.e;
	fix_close(&f);
	return code;
}

static void verifies_the_server(void **state UNUSED)
{
	struct grpc_tls tls = {.enable = true, .ca_path = certs.ca};
	struct err e;

	assert_int_equal(one_call((struct gs_opts){0}, tls, &e), ERR_OK);
	tls.server_name = "localhost";
	assert_int_equal(one_call((struct gs_opts){0}, tls, &e), ERR_OK);
	tls.server_name = "elsewhere.test";
	assert_int_equal(one_call((struct gs_opts){0}, tls, &e), ERR_UNAVAILABLE);
	assert_text(&e, "not for \"elsewhere.test\" but for localhost, 127.0.0.1");
	/* As Go: a common name proves nothing. */
	tls.server_name = "commonname.test";
	assert_int_equal(one_call((struct gs_opts){0}, tls, &e), ERR_UNAVAILABLE);
	tls = (struct grpc_tls){.enable = true, .ca_path = certs.other_ca};
	assert_int_equal(one_call((struct gs_opts){0}, tls, &e), ERR_UNAVAILABLE);
	assert_text(&e, "CN=test CA, which is not in ");
	assert_text(&e, certs.other_ca);
	tls.ca_path = NULL; /* the system's roots do not know our CA */
	assert_int_equal(one_call((struct gs_opts){0}, tls, &e), ERR_UNAVAILABLE);
	assert_text(&e, "which is not in the system's roots");
}

static void minds_the_time(void **state UNUSED)
{
	struct grpc_tls tls = {.enable = true, .ca_path = certs.ca};
	struct gs_opts so = {.cert = certs.expired, .key = certs.expired_key};
	struct err e;

	assert_int_equal(one_call(so, tls, &e), ERR_UNAVAILABLE);
	assert_text(&e, "the peer's certificate ended at 20");
	so = (struct gs_opts){.cert = certs.early, .key = certs.early_key};
	assert_int_equal(one_call(so, tls, &e), ERR_UNAVAILABLE);
	assert_text(&e, "the peer's certificate begins at 20");
}

static void shows_a_client_certificate(void **state UNUSED)
{
	struct gs_opts so = {.client_ca = certs.ca};
	struct grpc_tls tls = {.enable = true,
		.ca_path = certs.ca,
		.cert_path = certs.client,
		.key_path = certs.client_key};
	struct err e;

	assert_int_equal(one_call(so, tls, &e), ERR_OK);
	tls.min_version = "1.3";
	assert_int_equal(one_call(so, tls, &e), ERR_OK);
	/* TLS 1.3 tells after the handshake; the request has not been sent by then. */
	tls.cert_path = tls.key_path = NULL;
	assert_int_equal(one_call(so, tls, &e), ERR_UNAVAILABLE);
	assert_text(&e, "a client certificate");
	tls.cert_path = certs.other_client;
	tls.key_path = certs.other_key;
	assert_int_equal(one_call(so, tls, &e), ERR_UNAVAILABLE);
	assert_text(&e, "client certificate");
}

static void needs_http2_by_alpn(void **state UNUSED)
{
	struct grpc_tls tls = {.enable = true, .ca_path = certs.ca};
	struct err e;

	assert_int_equal(one_call((struct gs_opts){.no_alpn = true}, tls, &e), ERR_UNAVAILABLE);
	assert_text(&e, "ALPN");
}

static void plain_and_tls_do_not_mix(void **state UNUSED)
{
	struct grpc_chan_opts co = {
		.tls = {.enable = true, .ca_path = certs.ca}, .connect_timeout_ms = 1000};
	struct gs_opts so = {.cert = certs.server, .key = certs.server_key};
	struct fix f;

	fix_open(&f, NULL, &co);
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_UNAVAILABLE);
	assert_text(&f.e, "does this port speak plain text");
	fix_close(&f);
	co.tls.enable = false;
	fix_open(&f, &so, &co);
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_UNAVAILABLE);
	assert_text(&f.e, "does this port want TLS");
	fix_close(&f);
}

static void put_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	fclose(f);
}

static void copy_file(const char *from, const char *to)
{
	char text[8192];
	FILE *f = fopen(from, "r");
	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	put_file(to, text);
}

/* Certificates are renewed under a running server. */
static void reads_changed_files_again(void **state UNUSED)
{
	char ca[128];
	struct gs_opts so = {.cert = certs.server, .key = certs.server_key};
	struct grpc_chan_opts co = {.tls = {.enable = true, .ca_path = ca, .late_files = true}};
	struct fix f;

	snprintf(ca, sizeof(ca), "%s/renewed.pem", certs.dir);
	fix_open(&f, &so, &co);
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_UNAVAILABLE);
	assert_text(&f.e, "renewed.pem: No such file");
	copy_file(certs.other_ca, ca);
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_UNAVAILABLE);
	assert_text(&f.e, "renewed.pem");
	copy_file(certs.ca, ca);
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_OK);
	/* The connection that exists goes on without the file. */
	unlink(ca);
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_OK);
	fix_close(&f);
}

static const char garbage[] =
	"-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
static const char locked_key[] =
	"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
	"MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAj70dRau67o5wICCAAw\n"
	"DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEIUGlKqErmRi8f1R0ytB6EwEgZDZ\n"
	"oGypXf7E/AHeC9BSpyogI+7jiiwC5Z24PzFOVwQgoYzY1E1WFGLXw8BPdMwM9IlY\n"
	"IunmXVhxBnBwq9vJI7ypEv5Uo2aEG9X/8i/rjbp7GPcQchJRGDm69s1u+/EMaHnT\n"
	"HOGXM6LPsXQBmgOXFftf8TABrweWqRY2dD44CGbRvrDJsccR0h1fGy8pGwGAJhE=\n"
	"-----END ENCRYPTED PRIVATE KEY-----\n";

static void checks_files_and_versions(void **state UNUSED)
{
	char empty[128], garbled[128], locked[128];
	const struct {
		struct grpc_tls tls;
		const char *text;
	} bad[] = {
		{{.ca_path = empty}, "empty.pem holds no"},
		{{.ca_path = garbled}, "garbled.pem is damaged"},
		{{.cert_path = garbled, .key_path = certs.client_key}, "garbled.pem is damaged"},
		{{.cert_path = empty, .key_path = certs.client_key}, "empty.pem holds nothing"},
		{{.cert_path = certs.client, .key_path = locked}, "locked.pem is encrypted"},
		{{.ca_path = certs.dir}, certs.dir},
		{{.ca_path = "/nowhere/ca.pem"}, "/nowhere/ca.pem"},
		{{.cert_path = "/nowhere/c.pem", .key_path = certs.client_key}, "/nowhere/c.pem"},
		{{.cert_path = certs.client, .key_path = "/nowhere/k.pem"}, "/nowhere/k.pem"},
		{{.cert_path = certs.client}, "go together"},
		{{.cert_path = certs.client, .key_path = certs.other_key},
			"other.key does not belong to the certificate"},
		{{.min_version = "1.4"}, "1.4"},
	};
	struct grpc *g;
	struct grpc_chan *c;

	snprintf(empty, sizeof(empty), "%s/empty.pem", certs.dir);
	snprintf(garbled, sizeof(garbled), "%s/garbled.pem", certs.dir);
	snprintf(locked, sizeof(locked), "%s/locked.pem", certs.dir);
	put_file(empty, "");
	put_file(garbled, garbage);
	put_file(locked, locked_key);
	assert_int_equal(grpc_new(&g, NULL), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct grpc_chan_opts o = {.address = "127.0.0.1:1", .tls = bad[i].tls};
		struct err e = ERR_INIT;
		o.tls.enable = true;
		assert_int_equal(grpc_chan_new(g, &o, &c, &e), ERR_INVALID);
		assert_text(&e, bad[i].text);
	}
	grpc_free(g);
	unlink(empty);
	unlink(garbled);
	unlink(locked);
}

static void large_bodies_pass_both_ways(void **state UNUSED)
{
	enum { N = 9 << 20 };
	struct gs_opts so = {.cert = certs.server, .key = certs.server_key};
	struct grpc_chan_opts co = {.tls = {.enable = true, .ca_path = certs.ca}};
	CLEANUP(freep) uint8_t *body = xmalloc(N);
	struct fix f;

	for (size_t i = 0; i < N; i++)
		body[i] = (uint8_t)(i ^ (i >> 11));
	fix_open(&f, &so, &co);
	assert_int_equal(fix_call(&f, body, N, 20000, false), ERR_OK);
	assert_true(slice_eq(buf_slice(&f.answer), slice_of(body, N)));
	/* A cut in the middle of an upload, with records half written. */
	fix_script(&f, GS_FAULT_CLOSE, 200000, NULL);
	assert_int_equal(fix_call(&f, body, N, 20000, false), ERR_OK);
	fix_script(&f, GS_FAULT_STALL, 0, NULL);
	uint8_t *gone = xmemdup(body, N);
	assert_int_equal(fix_call(&f, gone, N, 300, false), ERR_TIMEOUT);
	free(gone);
	assert_int_equal(fix_call(&f, "x", 1, 5000, false), ERR_OK);
	fix_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verifies_the_server),
		cmocka_unit_test(minds_the_time),
		cmocka_unit_test(shows_a_client_certificate),
		cmocka_unit_test(needs_http2_by_alpn),
		cmocka_unit_test(plain_and_tls_do_not_mix),
		cmocka_unit_test(checks_files_and_versions),
		cmocka_unit_test(reads_changed_files_again),
		cmocka_unit_test(large_bodies_pass_both_ways),
	};
	return cmocka_run_group_tests(tests, make, drop);
}
