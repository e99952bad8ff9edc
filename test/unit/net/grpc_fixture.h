/* A client and a test server for each test. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/grpc.h"
#include "support/grpc_server.h"

struct fix {
	struct gs *server;
	struct grpc *g;
	struct grpc_chan *chan;
	struct stop stop;
	struct err e;
	struct buf answer;
};

static inline void fix_open(
	struct fix *f, const struct gs_opts *so, const struct grpc_chan_opts *co)
{
	struct grpc_chan_opts o = co ? *co : (struct grpc_chan_opts){0};

	*f = (struct fix){0};
	stop_init(&f->stop, NULL);
	buf_init(&f->answer, 64 << 20);
	struct gs_opts none = {0};
	if (gs_start(so ? so : &none, &f->server, &f->e))
		fail_msg("server: %s", f->e.text);
	assert_int_equal(grpc_new(&f->g, &f->e), ERR_OK);
	if (!o.address)
		o.address = gs_address(f->server);
	if (grpc_chan_new(f->g, &o, &f->chan, &f->e))
		fail_msg("channel: %s", f->e.text);
}

static inline void fix_close(struct fix *f)
{
	grpc_chan_free(f->chan);
	grpc_free(f->g);
	gs_stop(f->server);
	buf_done(&f->answer);
	stop_done(&f->stop);
}

static inline void fix_script(struct fix *f, enum gs_fault fault, int64_t code, const char *text)
{
	struct gs_step s = {.fault = fault, .code = code, .text = text};
	gs_script(f->server, &s, 1);
}

/* One echo; the error is in f->e. */
static inline enum err_code fix_call(
	struct fix *f, const void *body, size_t n, int64_t ms, bool idempotent)
{
	struct slice s = slice_of(body, n);
	struct grpc_call call = {.path = "/test.Test/Echo",
		.body = &s,
		.n_body = 1,
		.deadline = deadline_in(ms),
		.idempotent = idempotent};

	err_clear(&f->e);
	enum err_code code = grpc_unary(f->chan, &call, &f->stop, &f->answer, &f->e);
	assert_int_equal(code, f->e.code);
	return code;
}

static inline void assert_text(const struct err *e, const char *part)
{
	if (!strstr(e->text, part))
		fail_msg("\"%s\" lacks \"%s\"", e->text, part);
}
