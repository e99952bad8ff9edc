#include "store/mysql_dsn.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

enum { DEFAULT_PORT = 3306, PORT_MAX = 65535, VALUE_BYTES = 4096, DURATION_MAX_MS = 3600000 };

static const char form[] = "write user:password@tcp(host:3306)/database";

static struct slice cut(struct slice s, size_t from, size_t to)
{
	return slice_of(s.p + from, to - from);
}

/* Where c stands last or first; s.n if nowhere. */
static size_t find_last(struct slice s, char c)
{
	for (size_t i = s.n; i > 0; i--)
		if (s.p[i - 1] == (uint8_t)c)
			return i - 1;
	return s.n;
}

static size_t find_first(struct slice s, char c)
{
	const uint8_t *at = s.n ? memchr(s.p, c, s.n) : NULL;
	return at ? (size_t)(at - s.p) : s.n;
}

static char *text_of(struct slice s)
{
	return xstrndup((const char *)s.p, s.n);
}

static void set_text(char **to, struct slice s)
{
	free(*to);
	*to = text_of(s);
}

void mysql_dsn_done(struct mysql_dsn *d)
{
	free(d->user);
	free(d->password);
	free(d->host);
	free(d->socket);
	free(d->database);
	*d = (struct mysql_dsn){.user = NULL};
}

char *mysql_dsn_address(const struct mysql_dsn *d)
{
	if (*d->socket)
		return xstrdup(d->socket);
	return xasprintf(strchr(d->host, ':') ? "[%s]:%d" : "%s:%d", d->host, d->port);
}

/* --- values --- */

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decoded; plus = true: '+' is a space, as in a query. False: not well-formed. */
static bool unescape(struct slice s, bool plus, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '%') {
			int hi = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
			int lo = i + 2 < s.n ? hex_digit(s.p[i + 2]) : -1;
			if (hi < 0 || lo < 0 || (hi == 0 && lo == 0))
				return false;
			buf_put_u8(out, (uint8_t)(hi << 4 | lo));
			i += 2;
		} else {
			buf_put_u8(out, plus && s.p[i] == '+' ? ' ' : s.p[i]);
		}
	}
	return !buf_failed(out);
}

/* The units of Go's durations, the longer names first. */
static bool take_unit(struct slice *s, double *ret_ms)
{
	static const struct {
		const char *name;
		double ms;
	} units[] = {
		{"ns", 1e-6}, {"us", 1e-3}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		size_t n = strlen(units[i].name);
		if (s->n < n || memcmp(s->p, units[i].name, n) != 0)
			continue;
		*ret_ms = units[i].ms;
		*s = cut(*s, n, s->n);
		return true;
	}
	return false;
}

static bool take_number(struct slice *s, double *ret_v)
{
	double v = 0, place = 1;
	bool any = false, fraction = false;
	size_t i = 0;

	for (; i < s->n && ((s->p[i] >= '0' && s->p[i] <= '9') || (s->p[i] == '.' && !fraction));
		i++) {
		if (s->p[i] == '.') {
			fraction = true;
			continue;
		}
		any = true;
		place *= fraction ? 0.1 : 1;
		v = fraction ? v + (s->p[i] - '0') * place : v * 10 + (s->p[i] - '0');
	}
	*s = cut(*s, i, s->n);
	*ret_v = v;
	return any;
}

/* "1m30s", "500ms", "0"; at least 1 ms unless zero, at most an hour. */
static bool parse_duration(const char *text, int64_t *ret_ms)
{
	struct slice s = slice_str(text);
	double sum = 0, v, unit;

	if (strcmp(text, "0") == 0) {
		*ret_ms = 0;
		return true;
	}
	if (!s.n)
		return false;
	while (s.n) {
		if (!take_number(&s, &v) || !take_unit(&s, &unit))
			return false;
		sum += v * unit;
	}
	*ret_ms = sum <= 0                ? 0
		  : sum < 1               ? 1
		  : sum > DURATION_MAX_MS ? DURATION_MAX_MS
					  : (int64_t)sum;
	return true;
}

static bool parse_bool(const char *text, bool *ret_v)
{
	static const char *const yes[] = {"1", "true", "TRUE", "True"};
	static const char *const no[] = {"0", "false", "FALSE", "False"};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*ret_v = strcmp(text, yes[i]) == 0;
			return true;
		}
	}
	return false;
}

/* --- settings --- */

static enum err_code set_duration(int64_t *to, const char *name, const char *value, struct err *e)
{
	if (parse_duration(value, to))
		return ERR_OK;
	return err_set(
		e, ERR_INVALID, "%s=%s is not a duration; write e.g. %s=5s", name, value, name);
}

static enum err_code set_tls(struct mysql_dsn *d, const char *value, struct err *e)
{
	bool on;

	if (parse_bool(value, &on))
		d->tls = on ? MYSQL_TLS_VERIFY : MYSQL_TLS_OFF;
	else if (strcmp(value, "skip-verify") == 0)
		d->tls = MYSQL_TLS_NO_VERIFY;
	else if (strcmp(value, "preferred") == 0)
		d->tls = MYSQL_TLS_PREFERRED;
	else
		return err_set(e, ERR_INVALID,
			"tls=%s is unknown; write true, skip-verify, preferred or false", value);
	return ERR_OK;
}

/* What Go's driver knows and we need not: we always speak utf8mb4, use no placeholders it would
 * fill in, and read no times. */
static bool is_without_effect(const char *name)
{
	static const char *const names[] = {"allowAllFiles", "allowFallbackToPlaintext",
		"allowNativePasswords", "allowOldPasswords", "charset", "checkConnLiveness",
		"clientFoundRows", "collation", "columnsWithAlias", "compress",
		"connectionAttributes", "interpolateParams", "loc", "maxAllowedPacket",
		"multiStatements", "parseTime", "rejectReadOnly", "serverPubKey", "strict",
		"timeTruncate"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static enum err_code set_param(struct mysql_dsn *d, const char *name, const char *value,
	struct buf *unknown, struct err *e)
{
	if (strcmp(name, "timeout") == 0)
		return set_duration(&d->connect_ms, name, value, e);
	if (strcmp(name, "readTimeout") == 0)
		return set_duration(&d->read_ms, name, value, e);
	if (strcmp(name, "writeTimeout") == 0)
		return set_duration(&d->write_ms, name, value, e);
	if (strcmp(name, "tls") == 0)
		return set_tls(d, value, e);
	if (strcmp(name, "allowCleartextPasswords") == 0)
		return parse_bool(value, &d->clear_password)
			       ? ERR_OK
			       : err_set(e, ERR_INVALID, "%s=%s; write true or false", name, value);
	if (!is_without_effect(name) && unknown) {
		buf_put_str(unknown, unknown->n ? ", " : "");
		buf_put_str(unknown, name);
	}
	return ERR_OK;
}

static enum err_code parse_param(
	struct mysql_dsn *d, struct slice s, struct buf *unknown, struct err *e)
{
	CLEANUP(buf_done) struct buf value = BUF_INIT(VALUE_BYTES);
	size_t eq = find_first(s, '=');

	if (eq == s.n) /* the driver passes over it as well */
		return ERR_OK;
	CLEANUP(freep) char *name = text_of(cut(s, 0, eq));
	if (!unescape(cut(s, eq + 1, s.n), true, &value))
		return err_set(e, ERR_INVALID, "the value of %s has a bad %%-escape", name);
	return set_param(d, name, buf_cstr(&value), unknown, e);
}

static enum err_code parse_params(
	struct mysql_dsn *d, struct slice s, struct buf *unknown, struct err *e)
{
	while (s.n) {
		size_t end = find_first(s, '&');
		if (parse_param(d, cut(s, 0, end), unknown, e))
			return e->code;
		s = cut(s, MIN(end + 1, s.n), s.n);
	}
	return ERR_OK;
}

/* --- the parts --- */

static enum err_code parse_tcp(struct mysql_dsn *d, struct slice s, struct err *e)
{
	int64_t port = DEFAULT_PORT;
	bool v6 = s.n && s.p[0] == '[';
	size_t close = v6 ? find_first(s, ']') : 0;
	size_t colon = find_last(s, ':');

	if (v6 && close == s.n)
		return err_set(e, ERR_INVALID, "the address has no ']'; write [::1]:3306");
	if (colon == s.n || colon < close)
		colon = s.n;
	else if (!slice_to_i64(cut(s, colon + 1, s.n), &port) || port < 1 || port > PORT_MAX)
		return err_set(
			e, ERR_INVALID, "the address's port is not 1 to %d; %s", PORT_MAX, form);
	d->port = (int)port;
	if (v6 && close + 1 != colon)
		return err_set(e, ERR_INVALID, "something stands behind ']'; write [::1]:3306");
	struct slice host = v6 ? cut(s, 1, close) : cut(s, 0, colon);
	if (!v6 && find_first(host, ':') != host.n)
		return err_set(e, ERR_INVALID,
			"an IPv6 address stands in brackets; write tcp([::1]:3306)");
	if (host.n)
		set_text(&d->host, host);
	return ERR_OK;
}

static enum err_code parse_address(
	struct mysql_dsn *d, struct slice net, struct slice address, struct err *e)
{
	if (!net.n || slice_eq_str(net, "tcp"))
		return parse_tcp(d, address, e);
	if (!slice_eq_str(net, "unix"))
		return err_set(e, ERR_INVALID, "the network \"%.*s\" is unknown; write tcp or unix",
			(int)MIN(net.n, 32), (const char *)net.p);
	set_text(&d->socket, address.n ? address : slice_str("/tmp/mysql.sock"));
	return ERR_OK;
}

/* "user:password@net(address)" */
static enum err_code parse_left(struct mysql_dsn *d, struct slice s, struct err *e)
{
	size_t at = find_last(s, '@');
	struct slice login = at < s.n ? cut(s, 0, at) : slice_of(s.p, 0);
	struct slice rest = at < s.n ? cut(s, at + 1, s.n) : s;
	size_t colon = find_first(login, ':'), open = find_first(rest, '(');

	set_text(&d->user, cut(login, 0, colon));
	set_text(&d->password, cut(login, MIN(colon + 1, login.n), login.n));
	if (open == rest.n)
		return parse_address(d, rest, slice_of(rest.p, 0), e);
	if (rest.p[rest.n - 1] != ')')
		return err_set(e, ERR_INVALID,
			"the address has no ')' before the '/', or a '/' stands in a setting and "
			"must be written %%2F; %s",
			form);
	return parse_address(d, cut(rest, 0, open), cut(rest, open + 1, rest.n - 1), e);
}

static enum err_code parse_database(struct mysql_dsn *d, struct slice s, struct err *e)
{
	CLEANUP(buf_done) struct buf name = BUF_INIT(VALUE_BYTES);

	if (!unescape(s, false, &name))
		return err_set(e, ERR_INVALID, "the database's name has a bad %%-escape");
	if (!name.n)
		return err_set(e, ERR_INVALID, "no database is named behind the '/'; %s", form);
	set_text(&d->database, buf_slice(&name));
	return ERR_OK;
}

static enum err_code parse(struct mysql_dsn *d, struct slice s, struct buf *unknown, struct err *e)
{
	size_t slash = find_last(s, '/');

	if (slash == s.n)
		return err_set(e, ERR_INVALID, "there is no '/' before the database; %s", form);
	struct slice right = cut(s, slash + 1, s.n);
	size_t mark = find_first(right, '?');

	if (parse_left(d, cut(s, 0, slash), e) || parse_database(d, cut(right, 0, mark), e))
		return e->code;
	return parse_params(d, cut(right, MIN(mark + 1, right.n), right.n), unknown, e);
}

enum err_code mysql_dsn_parse(
	const char *text, struct mysql_dsn *ret_d, struct buf *unknown, struct err *e)
{
	struct mysql_dsn d = {.user = xstrdup(""),
		.password = xstrdup(""),
		.host = xstrdup("127.0.0.1"),
		.socket = xstrdup(""),
		.database = xstrdup(""),
		.port = DEFAULT_PORT};
	struct err mine = ERR_INIT;

	if (parse(&d, slice_str(text), unknown, &mine)) {
		mysql_dsn_done(&d);
		return err_set(e, mine.code, "%s", mine.text);
	}
	*ret_d = d;
	return ERR_OK;
}
