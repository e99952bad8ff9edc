/* A real MariaDB for tests, in a folder of its own, on a port of its own; killed with the test
 * program. Database "cdc", user "cdc" with the password "p@w:/x" over TCP and the socket. */
#pragma once

#include <sys/types.h>

#include "base/defs.h"
#include "base/stop.h" /* before <mysql.h>, which takes the name list_push */

struct mysql_server {
	char dir[64];
	int port;
	pid_t pid;
	char address[32]; /* 127.0.0.1:port */
	char socket[96];
	char dsn[160];            /* for database cdc over TCP */
	const char *const *extra; /* more arguments up to NULL, or NULL; kept over restarts */
};

/* Each fails the test when the server does not come up within 60 s. */
void mysql_server_start(struct mysql_server *s, const char *const *extra);
void mysql_server_restart(struct mysql_server *s); /* same data, same port */
void mysql_server_kill(struct mysql_server *s);
void mysql_server_freeze(struct mysql_server *s);
void mysql_server_thaw(struct mysql_server *s);
void mysql_server_stop(struct mysql_server *s); /* and removes the folder */

/* Runs a statement as root over the socket; what it gives, the columns of the rows with tabs and
 * lines between. Heap; the test fails if the statement does. */
char *mysql_server_sql(struct mysql_server *s, const char *statement);
