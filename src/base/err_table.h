/* The one table of error codes. X(name, retry class, HTTP code of the API, metric label, meaning)
 * Retry: NO = never, YES = always safe, IDEM = only if repeating the call changes nothing. */
#pragma once

#define ERR_TABLE(X)                                                                               \
	X(OK, NO, 200, "ok", "no error")                                                           \
	X(CANCELLED, NO, 500, "cancelled", "we are stopping")                                      \
	X(TIMEOUT, YES, 500, "timeout", "no answer in time; nothing was written")                  \
	X(UNAVAILABLE, YES, 500, "unavailable", "the peer is not reachable or not ready")          \
	X(BUSY, YES, 500, "busy", "the peer asks to come back later")                              \
	X(UNCERTAIN, IDEM, 500, "uncertain", "a write whose fate is unknown")                      \
	X(NOT_FOUND, NO, 400, "not_found", "the named thing does not exist")                       \
	X(EXISTS, NO, 400, "exists", "the named thing exists already")                             \
	X(INVALID, NO, 400, "invalid", "the request or the setting is wrong")                      \
	X(DENIED, NO, 400, "denied", "the peer refuses: credentials, rights or mode")              \
	X(UNSUPPORTED, NO, 400, "unsupported", "the peer or this server can't do it")              \
	X(LIMIT, NO, 500, "limit", "a limit of this server or of the peer is reached")             \
	X(CONFLICT, NO, 500, "conflict", "somebody else changed it first")                         \
	X(GONE, NO, 500, "gone", "the source no longer holds the position; needs a person")        \
	X(MALFORMED, NO, 500, "malformed", "the peer's bytes can't be read")                       \
	X(SYSTEM, NO, 500, "system", "the operating system refused")
