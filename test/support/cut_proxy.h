/* A TCP proxy on loopback that cuts a connection at a request holding certain bytes: before it is
 * passed on, or after the peer has answered it. */
#pragma once

#include "base/defs.h"
#include "base/mutex.h"
#include "base/stop.h"
#include "base/thread.h"

enum cut_how {
	CUT_REQUEST,         /* the peer never sees it */
	CUT_ANSWER,          /* the peer has acted on it, the answer is lost */
	CUT_ANSWER_AND_DOOR, /* the same, and new connections are refused until cut_proxy_open */
};

struct cut_proxy {
	int port;
	int listener, peer_port;
	struct thread thread;
	struct stop stop;
	struct mutex mtx;
	/* Under mtx: */
	const char *at; /* NULL = not armed */
	enum cut_how how;
	bool fired, closed;
};

void cut_proxy_start(struct cut_proxy *p, int peer_port);
void cut_proxy_stop(struct cut_proxy *p);
/* One cut at the next request that holds the text `at` (borrowed). */
void cut_proxy_arm(struct cut_proxy *p, const char *at, enum cut_how how);
bool cut_proxy_fired(struct cut_proxy *p);
void cut_proxy_open(struct cut_proxy *p);
