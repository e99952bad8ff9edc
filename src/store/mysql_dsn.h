/* The address of a MySQL database as Go's MySQL driver writes it:
 *   [user[:password]@][net[(address)]]/database[?name=value&...]
 * Settings of that driver which mean nothing here are accepted; unknown ones are reported. */
#pragma once

#include "base/buf.h"
#include "base/defs.h"
#include "base/err.h"

enum mysql_tls { MYSQL_TLS_OFF, MYSQL_TLS_PREFERRED, MYSQL_TLS_NO_VERIFY, MYSQL_TLS_VERIFY };

struct mysql_dsn {
	char *user, *password;
	char *host, *socket; /* socket "" = TCP */
	int port;
	char *database;
	enum mysql_tls tls;
	bool clear_password; /* the password may be sent in the clear if the server asks for it */
	/* Limits of one operation; 0 = not given */
	int64_t connect_ms, read_ms, write_ms;
};

/* INVALID says what to write instead and never shows the password. Sets *ret_d only on OK (done
 * with mysql_dsn_done). Names of settings that nobody knows are appended to unknown, with ", "
 * between; NULL is fine. */
NODISCARD enum err_code mysql_dsn_parse(
	const char *text, struct mysql_dsn *ret_d, struct buf *unknown, struct err *e);
void mysql_dsn_done(struct mysql_dsn *d);
/* "127.0.0.1:3306" or the socket's path, for messages. Heap. */
char *mysql_dsn_address(const struct mysql_dsn *d);
