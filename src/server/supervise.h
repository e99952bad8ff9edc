/* The main thread while the server serves: waits for a signal to stop, tells systemd that it is
 * ready, and feeds its watchdog as long as the server proves to be alive. */
#pragma once

struct config;
struct http;
struct log_ctx;

enum { SUPERVISE_STUCK_MS = 120000 }; /* a thread that is busy for longer hangs */

/* Returns the signal, SIGTERM or SIGINT, which must be blocked. The watchdog is fed, at a third of
 * its time, after GET /healthz was answered with 200 over the server's own port: that takes the
 * listener, a thread of it, and no thread of ours that hangs (thread_stuck). If the answer fails
 * for the whole time systemd ends the process and starts it anew. Clients that leave no room for
 * that connection are no reason: then it is fed if no thread of ours hangs. */
int supervise(const struct config *c, const struct http *http, const struct log_ctx *log);
