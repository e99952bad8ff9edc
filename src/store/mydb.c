#include "store/mydb.h"

#include <errmsg.h>
#include <errno.h>
#include <mysql.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/time.h"

enum { CONNECT_MS = 5000, ANSWER_MS = 10000, POLL_MS = 100, ROWS_PER_LOOK = 256 };

/* --- errors --- */

struct cause {
	unsigned number;
	enum err_code code;
	bool drop;        /* the connection is of no more use */
	const char *help; /* "" = the server's text says it all */
};

#define CHECK_LOGIN                                                                                \
	"; check user and password in metaStoreConfig.mysqlSourceUrl, and what the user is "       \
	"granted"

static const struct cause causes[] = {
	{1021, ERR_SYSTEM, false, ""},     /* disk full */
	{1040, ERR_UNAVAILABLE, true, ""}, /* too many connections */
	{1044, ERR_DENIED, false, CHECK_LOGIN},
	{1045, ERR_DENIED, false, CHECK_LOGIN},
	{1047, ERR_UNAVAILABLE, true, ""}, /* a cluster's node that is not ready */
	{1053, ERR_UNAVAILABLE, true, ""}, /* shutdown in progress */
	{1054, ERR_INVALID, false, "; the table belongs to another program"},
	{1062, ERR_EXISTS, false, ""},
	{1079, ERR_UNAVAILABLE, true, ""},
	{1129, ERR_DENIED, false, ""}, /* host blocked after errors; FLUSH HOSTS is in the text */
	{1130, ERR_DENIED, false, CHECK_LOGIN},
	{1142, ERR_DENIED, false, CHECK_LOGIN},
	{1146, ERR_NOT_FOUND, false, ""},
	{1153, ERR_LIMIT, true, "; raise the server's max_allowed_packet"},
	{1203, ERR_UNAVAILABLE, true, ""},
	{1205, ERR_BUSY, false, "; somebody holds a transaction open"},
	{1213, ERR_BUSY, false, ""},
	{1227, ERR_DENIED, false, CHECK_LOGIN},
	{1290, ERR_UNAVAILABLE, true, "; is it a replica?"},
	{1300, ERR_INVALID, false, ""},
	{1317, ERR_BUSY, false, ""},
	{1366, ERR_INVALID, false, "; convert the table to utf8mb4"},
	{1406, ERR_LIMIT, false, "; use a shorter name, or widen the column with ALTER TABLE"},
	{1698, ERR_DENIED, false, CHECK_LOGIN},
	{1792, ERR_UNAVAILABLE, true, "; is it a replica?"},
	{1836, ERR_UNAVAILABLE, true, "; is it a replica?"},
	{1927, ERR_UNAVAILABLE, true, ""}, /* connection killed */
	{3140, ERR_INVALID, false, ""},
	{4025, ERR_INVALID, false, ""},
	{4031, ERR_UNAVAILABLE, true, ""}, /* idle for too long */
	{CR_CONNECTION_ERROR, ERR_UNAVAILABLE, true, ""},
	{CR_CONN_HOST_ERROR, ERR_UNAVAILABLE, true, ""},
	{CR_UNKNOWN_HOST, ERR_UNAVAILABLE, true, ""},
	{CR_SERVER_GONE_ERROR, ERR_UNAVAILABLE, true, ""},
	{CR_SERVER_HANDSHAKE_ERR, ERR_UNAVAILABLE, true, ""},
	{CR_SERVER_LOST, ERR_UNAVAILABLE, true, ""},
	{CR_SERVER_LOST_EXTENDED, ERR_UNAVAILABLE, true, ""},
	{CR_SSL_CONNECTION_ERROR, ERR_UNAVAILABLE, true,
		"; see tls= in metaStoreConfig.mysqlSourceUrl"},
	{CR_AUTH_PLUGIN_CANNOT_LOAD, ERR_DENIED, true, ""},
	{CR_AUTH_PLUGIN_ERR, ERR_DENIED, true, CHECK_LOGIN},
	{CR_PLUGIN_NOT_ALLOWED, ERR_DENIED, true,
		"; allowCleartextPasswords=true permits mysql_clear_password"},
};

static const struct cause *find_cause(unsigned number)
{
	static const struct cause other = {0, ERR_SYSTEM, false, ""};

	for (size_t i = 0; i < ARRAY_LEN(causes); i++)
		if (causes[i].number == number)
			return &causes[i];
	return &other;
}

/* The last failure of h, which may not be the one of db yet. */
static enum err_code my_err(const struct mydb *db, MYSQL *h, struct err *e)
{
	enum { UNKNOWN_DATABASE = 1049, SYNTAX = 1064 };
	unsigned number = mysql_errno(h);
	const struct cause *c = find_cause(number);

	if (number == UNKNOWN_DATABASE)
		return err_set_origin(e, ERR_NOT_FOUND, (int)number,
			"MySQL at %s has no database %s; create it: CREATE DATABASE `%s`",
			db->where, db->dsn->database, db->dsn->database);
	/* Its text repeats the statement, which may hold a target's password. */
	if (number == SYNTAX)
		return err_set_origin(e, ERR_UNSUPPORTED, (int)number,
			"MySQL at %s does not understand a statement of this server", db->where);
	return err_set_origin(
		e, c->code, (int)number, "MySQL at %s: %s%s", db->where, mysql_error(h), c->help);
}

/* The same for the connection in use, which is closed if it is good for nothing more. */
static enum err_code failed(struct mydb *db, struct err *e)
{
	unsigned number = mysql_errno(db->h);
	enum err_code code = my_err(db, db->h, e);

	if (find_cause(number)->drop)
		mydb_close(db);
	return code;
}

/* --- the connection --- */

void mydb_init(struct mydb *db, const struct mysql_dsn *dsn)
{
	mysql_library_init(0, NULL, NULL);
	*db = (struct mydb){.dsn = dsn, .where = mysql_dsn_address(dsn)};
}

void mydb_done(struct mydb *db)
{
	mydb_close(db);
	free(db->where);
}

bool mydb_is_open(const struct mydb *db)
{
	return db->h != NULL;
}

void mydb_close(struct mydb *db)
{
	if (!db->h)
		return;
	/* The library would say good-bye and wait for a server that is away. */
	shutdown(mysql_get_socket(db->h), SHUT_RDWR);
	mysql_close(db->h);
	db->h = NULL;
}

/* The library counts in seconds. */
static unsigned seconds(int64_t ms, int64_t otherwise)
{
	return (unsigned)(((ms > 0 ? ms : otherwise) + 999) / 1000);
}

static void set_options(MYSQL *h, const struct mysql_dsn *d, bool tls)
{
	static const char plugins[] =
		"mysql_native_password,caching_sha2_password,sha256_password,client_ed25519";
	unsigned connect = seconds(d->connect_ms, CONNECT_MS);
	unsigned rd = seconds(d->read_ms, ANSWER_MS), wr = seconds(d->write_ms, ANSWER_MS);
	unsigned protocol = *d->socket ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
	unsigned no = 0;
	my_bool enforce = tls, verify = d->tls == MYSQL_TLS_VERIFY;

	mysql_options(h, MYSQL_OPT_NONBLOCK, NULL);
	mysql_options(h, MYSQL_OPT_CONNECT_TIMEOUT, &connect);
	mysql_options(h, MYSQL_OPT_READ_TIMEOUT, &rd);
	mysql_options(h, MYSQL_OPT_WRITE_TIMEOUT, &wr);
	mysql_options(h, MYSQL_OPT_PROTOCOL, &protocol);
	mysql_options(h, MYSQL_OPT_LOCAL_INFILE, &no);
	mysql_options(h, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	if (!d->clear_password)
		mysql_options(h, MARIADB_OPT_RESTRICTED_AUTH, plugins);
	mysql_options(h, MYSQL_OPT_SSL_ENFORCE, &enforce);
	mysql_options(h, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
}

/* What of `wanted` has come; a timeout at d, or when s is set. A host may have several addresses: the
 * first ones, which may be dead, don't get all of the time. */
static int await_step(MYSQL *h, int wanted, struct deadline d, struct stop *s)
{
	struct pollfd p = {.fd = mysql_get_socket(h)};

	if (!(wanted & MYSQL_WAIT_READ))
		d = deadline_in(deadline_left_ms(d) / 2);
	if (wanted & MYSQL_WAIT_READ)
		p.events |= POLLIN;
	if (wanted & MYSQL_WAIT_WRITE)
		p.events |= POLLOUT;
	while (!stop_is_set(s) && !deadline_passed(d)) {
		int r = poll(&p, 1, (int)MIN(deadline_left_ms(d), POLL_MS));
		if (r < 0 && errno != EINTR)
			break;
		if (r <= 0)
			continue;
		int ready = p.revents & (POLLIN | POLLERR | POLLHUP) ? MYSQL_WAIT_READ : 0;
		if (p.revents & (POLLOUT | POLLERR | POLLHUP))
			ready |= MYSQL_WAIT_WRITE;
		return ready & wanted;
	}
	return MYSQL_WAIT_TIMEOUT;
}

/* The library's own limit begins anew with each byte that comes. With TLS it reads by itself, and that
 * limit is all there is. */
static MYSQL *connect_within(MYSQL *h, const struct mysql_dsn *d, struct stop *s)
{
	struct deadline until = deadline_in(d->connect_ms > 0 ? d->connect_ms : CONNECT_MS);
	MYSQL *ret = NULL;

	int wanted = mysql_real_connect_start(&ret, h, *d->socket ? NULL : d->host, d->user,
		d->password, d->database, (unsigned)d->port, *d->socket ? d->socket : NULL,
		CLIENT_FOUND_ROWS);
	while (wanted)
		wanted = mysql_real_connect_cont(&ret, h, await_step(h, wanted, until, s));
	return ret;
}

static enum err_code connect_once(struct mydb *db, bool tls, struct stop *s, struct err *e)
{
	MYSQL *h = mysql_init(NULL);

	if (!h)
		return err_set(e, ERR_SYSTEM, "MySQL client: no memory");
	set_options(h, db->dsn, tls);
	if (connect_within(h, db->dsn, s)) {
		db->h = h;
		/* The library goes on without TLS when the server offers none. */
		if (!tls || mysql_get_ssl_cipher(h))
			return ERR_OK;
		mydb_close(db);
		return err_set_origin(e, ERR_UNAVAILABLE, CR_SSL_CONNECTION_ERROR,
			"MySQL at %s offers no TLS; see tls= in metaStoreConfig.mysqlSourceUrl",
			db->where);
	}
	enum err_code code = stop_is_set(s) ? stop_err(e) : my_err(db, h, e);
	mysql_close(h);
	return code;
}

enum err_code mydb_open(struct mydb *db, struct stop *s, struct err *e)
{
	bool tls = db->dsn->tls != MYSQL_TLS_OFF;
	struct err first = ERR_INIT;

	if (stop_is_set(s))
		return stop_err(e);
	if (connect_once(db, tls, s, &first)) {
		/* "preferred" takes what the server has. */
		bool plain = db->dsn->tls == MYSQL_TLS_PREFERRED &&
			     first.origin == CR_SSL_CONNECTION_ERROR;
		if (!plain)
			return err_set_origin(e, first.code, first.origin, "%s", first.text);
		if (connect_once(db, false, s, e))
			return e->code;
	}
	if (mydb_exec(db,
		    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',"
		    " autocommit = 1, wait_timeout = 60, innodb_lock_wait_timeout = 5",
		    s, e)) {
		mydb_close(db);
		return e->code;
	}
	return ERR_OK;
}

/* --- statements --- */

/* Waits for the first byte of the answer, so that a stop is heard and the limit is exact. */
static enum err_code await(struct mydb *db, struct stop *s, struct err *e)
{
	struct deadline d = deadline_in(db->dsn->read_ms > 0 ? db->dsn->read_ms : ANSWER_MS);
	struct pollfd p = {.fd = mysql_get_socket(db->h), .events = POLLIN};

	for (;;) {
		int r = poll(&p, 1, (int)MIN(deadline_left_ms(d), POLL_MS));
		if (r > 0)
			return ERR_OK;
		bool stopped = stop_is_set(s);
		if ((r == 0 || errno == EINTR) && !stopped && !deadline_passed(d))
			continue;
		mydb_close(db);
		return stopped ? stop_err(e)
			       : err_set(e, ERR_TIMEOUT, "MySQL at %s: no answer in time",
					 db->where);
	}
}

static enum err_code read_rows(
	struct mydb *db, MYSQL_RES *res, mydb_row_fn *fn, void *arg, struct stop *s, struct err *e)
{
	unsigned n = MIN(mysql_num_fields(res), MYDB_COLUMNS);
	struct slice columns[MYDB_COLUMNS] = {{NULL, 0}};
	MYSQL_ROW row;

	for (unsigned i = 1; (row = mysql_fetch_row(res)); i++) {
		const unsigned long *lengths = mysql_fetch_lengths(res);
		for (unsigned k = 0; k < n; k++)
			columns[k] = slice_of(row[k], row[k] ? lengths[k] : 0);
		fn(arg, columns);
		if (i % ROWS_PER_LOOK == 0 && stop_is_set(s))
			return stop_err(e);
	}
	return mysql_errno(db->h) ? my_err(db, db->h, e) : ERR_OK;
}

static void ignore_row(void *arg UNUSED, const struct slice *columns UNUSED)
{
}

static enum err_code read_answer(
	struct mydb *db, mydb_row_fn *fn, void *arg, struct stop *s, struct err *e)
{
	if (mysql_read_query_result(db->h))
		return failed(db, e);
	MYSQL_RES *res = mysql_use_result(db->h);
	if (!res)
		return mysql_errno(db->h) ? failed(db, e) : ERR_OK;
	enum err_code code = read_rows(db, res, fn ? fn : ignore_row, arg, s, e);
	/* Freeing reads what is left of the answer; of one that was given up, nothing comes. */
	if (code)
		shutdown(mysql_get_socket(db->h), SHUT_RDWR);
	mysql_free_result(res);
	if (code)
		mydb_close(db);
	return code;
}

enum err_code mydb_query(
	struct mydb *db, struct buf *sql, mydb_row_fn *fn, void *arg, struct stop *s, struct err *e)
{
	if (stop_is_set(s))
		return stop_err(e);
	if (!db->h)
		return err_set(e, ERR_UNAVAILABLE, "MySQL at %s: not connected", db->where);
	if (buf_failed(sql))
		return err_set(e, ERR_LIMIT, "a record is too big for one statement");
	if (mysql_send_query(db->h, (const char *)sql->p, sql->n))
		return failed(db, e);
	if (await(db, s, e))
		return e->code;
	return read_answer(db, fn, arg, s, e);
}

enum err_code mydb_exec(struct mydb *db, const char *sql, struct stop *s, struct err *e)
{
	CLEANUP(buf_done) struct buf b = BUF_INIT(strlen(sql) + 1);

	buf_put_str(&b, sql);
	return mydb_query(db, &b, NULL, NULL, s, e);
}

/* --- literals --- */

/* Enough for utf8mb4 without NO_BACKSLASH_ESCAPES, which mydb_open sees to: no byte below 0x80 is
 * part of a longer character. */
static void put_escaped(struct buf *sql, uint8_t c)
{
	if (c == '\0') {
		buf_put_str(sql, "\\0");
		return;
	}
	if (c == '\'' || c == '\\')
		buf_put_u8(sql, '\\');
	buf_put_u8(sql, c);
}

void mydb_quote(struct buf *sql, struct slice text)
{
	buf_put_u8(sql, '\'');
	for (size_t i = 0; i < text.n; i++)
		put_escaped(sql, text.p[i]);
	buf_put_u8(sql, '\'');
}

void mydb_quote_prefix(struct buf *sql, const char *prefix)
{
	buf_put_u8(sql, '\'');
	for (; *prefix; prefix++) {
		if (*prefix == '%' || *prefix == '_' || *prefix == '|')
			buf_put_u8(sql, '|');
		put_escaped(sql, (uint8_t)*prefix);
	}
	buf_put_str(sql, "%' ESCAPE '|'");
}
