/* A real etcd of the test's own: a temporary folder, free ports, gone at the end (or with the test
 * process, however that ends). Everything here fails the running test when it can't be done. */
#pragma once

#include <sys/types.h>

#include "base/defs.h"
#include "base/stop.h"
#include "client/etcd/etcd.h"

struct etcd_server {
	char dir[64];
	char address[32]; /* 127.0.0.1:port */
	int client_port, peer_port;
	pid_t pid; /* 0 = not running */
};

/* Starts it and waits until it answers. */
void etcd_server_start(struct etcd_server *s);
void etcd_server_kill(struct etcd_server *s);    /* SIGKILL; the data stays */
void etcd_server_restart(struct etcd_server *s); /* on the same data and ports, after a kill */
/* The same on another client port: whoever knows only the old one stays cut off. */
void etcd_server_restart_elsewhere(struct etcd_server *s);
void etcd_server_restart_on(struct etcd_server *s, int client_port);
void etcd_server_wipe(struct etcd_server *s); /* after a kill: the data is gone */
/* Takes requests (its kernel does) and answers nothing, until thawed. */
void etcd_server_freeze(struct etcd_server *s);
void etcd_server_thaw(struct etcd_server *s);
void etcd_server_stop(struct etcd_server *s); /* kills and removes the folder */

/* Any unary call of etcd's API with a request in bytes. token may be NULL. */
void etcd_server_call(struct etcd_server *s, struct grpc *g, const char *path, struct slice request,
	const char *token);
/* Forgets all revisions up to this one. */
void etcd_server_compact(struct etcd_server *s, struct grpc *g, int64_t revision);
