/* A small gRPC server for tests and benches: nghttp2 on the client's event loop, h2c or TLS, with a
 * script of faults. One thread serves all connections and calls the handler; the rest of this
 * header may be used from any thread. */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

struct gs;
struct gs_call;

struct gs_handler {
	void *arg;
	/* A request is whole; of a bidirectional call: one message of it. Every unary call is
	 * answered once, now or later; a bidirectional one gets messages and is ended once. */
	void (*request)(void *arg, struct gs_call *c);
	/* NULL, or: true = the bytes of this call's body (prefix included) go to chunk and are not
	 * kept. */
	bool (*wants_chunks)(void *arg, struct gs_call *c);
	void (*chunk)(void *arg, struct gs_call *c, struct slice s);
	/* NULL, or: a call that never reached request is gone; free what gs_user points at. */
	void (*gone)(void *arg, struct gs_call *c);
};

struct gs_opts {
	const char *bind;          /* NULL = 127.0.0.1 */
	int port;                  /* 0 = any free one */
	const char *cert, *key;    /* PEM files; NULL = h2c */
	const char *client_ca;     /* demand a client certificate signed by it */
	bool no_alpn;              /* TLS, but HTTP/2 is not offered */
	bool no_pong;              /* PINGs stay unanswered */
	struct gs_handler handler; /* request NULL = echo */
};

NODISCARD enum err_code gs_start(const struct gs_opts *o, struct gs **ret_g, struct err *e);
/* Closes everything. Calls that were not answered yet must not be used any more. NULL is fine. */
void gs_stop(struct gs *g);
int gs_port(const struct gs *g);
/* host:port to connect to */
const char *gs_address(const struct gs *g);

/* ---- a call, for the handler ---- */
const char *gs_path(const struct gs_call *c);
/* The i-th header that is not HTTP/2's or gRPC's own; false at the end. */
bool gs_meta(const struct gs_call *c, size_t i, const char **ret_key, const char **ret_value);
const char *gs_meta_get(const struct gs_call *c, const char *key); /* any header; NULL if missing */
struct slice gs_body(const struct gs_call *c);                     /* the message, without prefix */
void **gs_user(struct gs_call *c); /* the handler's own pointer, NULL at first */
/* A message to the caller. Copies. */
void gs_send(struct gs_call *c, struct slice msg);
/* The end of the call after delay_ms; c is not to be used any more. text may be NULL. */
void gs_end(struct gs_call *c, int status, const char *text, int64_t delay_ms);
/* One message and the end, together after delay_ms. */
void gs_answer(struct gs_call *c, struct slice msg, int64_t delay_ms);

/* ---- faults: a step is used up by the next request it fits ---- */
enum gs_fault {
	GS_FAULT_STATUS,        /* code, text: in trailers */
	GS_FAULT_TRAILERS_ONLY, /* code, text: in the only headers */
	GS_FAULT_HTTP,          /* HTTP status code and an HTML page */
	GS_FAULT_NO_STATUS,     /* headers, the echo, an end without grpc-status */
	GS_FAULT_RAW_BODY,      /* raw as DATA, then status 0 */
	GS_FAULT_DELAY,         /* the handler's turn comes after code ms */
	GS_FAULT_NEVER,         /* no answer */
	GS_FAULT_CLOSE,         /* the connection closes after code bytes of the body */
	GS_FAULT_CLOSE_ANSWER,  /* it closes after the answer's headers and 3 bytes */
	GS_FAULT_RST,           /* RST_STREAM with code, at the end of the request */
	GS_FAULT_RST_EARLY,     /* the same at its headers */
	GS_FAULT_EARLY_STATUS,  /* code, text at the headers, the body is not read */
	GS_FAULT_GOAWAY_REFUSE, /* GOAWAY that excludes this stream; code is the HTTP/2 code */
	GS_FAULT_GOAWAY_SERVE,  /* GOAWAY that includes it; it is served then */
	GS_FAULT_GARBAGE,       /* raw on the wire */
	GS_FAULT_STALL,         /* the body is not read: no window is given back */
};

struct gs_step {
	enum gs_fault fault;
	int64_t code;
	const char *text; /* both stay valid */
	struct slice raw;
};

void gs_script(struct gs *g, const struct gs_step *steps, size_t n); /* appends */

/* ---- the whole server ---- */
enum gs_accept {
	GS_ACCEPT_NORMAL,
	GS_ACCEPT_SILENT, /* accepted, and not a byte */
	GS_ACCEPT_HTTP1,  /* answers in HTTP/1.1 */
	GS_ACCEPT_CLOSE,
};
void gs_set_accept(struct gs *g, enum gs_accept how); /* of new connections */
/* Reads and writes nothing any more on any connection, as if the cable was cut. */
void gs_freeze(struct gs *g);
void gs_close_all(struct gs *g);
/* A graceful GOAWAY with an HTTP/2 code on every connection. */
void gs_goaway_all(struct gs *g, uint32_t code);

enum gs_count {
	GS_CONNECTIONS, /* accepted */
	GS_CLOSED,      /* connections gone */
	GS_REQUESTS,    /* begun */
	GS_WHOLE,       /* received whole */
	GS_RESETS,      /* RST_STREAM received */
	GS_PINGS,
	GS_OPEN_STREAMS,
	GS_MOST_STREAMS, /* the highest GS_OPEN_STREAMS ever was */
	GS_COUNTS
};
uint64_t gs_count(struct gs *g, enum gs_count what);
/* Until the count is at least n; false after ms. */
bool gs_await(struct gs *g, enum gs_count what, uint64_t n, int64_t ms);
