/* Bytes of HTTP/1.1 without I/O. */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

enum { HTTP_HOST_BYTES = 256, HTTP_PATH_BYTES = 1024 };

struct http_url {
	bool tls;
	char address[HTTP_HOST_BYTES]; /* host:port, the port filled in; [v6]:port */
	char host[HTTP_HOST_BYTES];    /* without port and brackets */
	char path[HTTP_PATH_BYTES];    /* "/" if there is none */
};

/* INVALID with what is wrong with it. Without a scheme http is meant. */
NODISCARD enum err_code http_url_parse(struct http_url *u, const char *text, struct err *e);

/* The connection is to be closed behind the answer. token may be NULL. */
void http_put_request(struct buf *b, const char *method, const struct http_url *u,
	const char *token, struct slice body);

/* A whole answer, as it stood on the connection until its end. The body is appended to ret_body,
 * chunks undone. MALFORMED; UNAVAILABLE when it was cut off; LIMIT beyond ret_body's cap. */
NODISCARD enum err_code http_read_answer(
	struct slice in, int *ret_status, struct buf *ret_body, struct err *e);
