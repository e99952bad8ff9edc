/* The metastore in MariaDB, a real one: every call to the network fails once. */
#include <stdio.h>

#include "support/mysql_server.h"

#include "store/store_mysql.h"
#include "sweep/store_steps.h"

static struct mysql_server server;

static void before(void)
{
	mysql_server_start(&server, NULL);
}

static void after(void)
{
	mysql_server_stop(&server);
}

static enum err_code run(struct sweep_run *r, struct err *e)
{
	struct mysql_dsn d;
	char root[32];

	snprintf(root, sizeof(root), "cdc%u", r->number);
	if (mysql_dsn_parse(server.dsn, &d, NULL, e))
		return e->code;
	struct store *st = store_mysql_open(&d, root);
	enum err_code code = store_steps(st, r, e);
	store_close(st);
	return code;
}

int main(int argc, char **argv)
{
	static const char *const words[] = {"MySQL", "mysql", "127.0.0.1:", NULL};
	static const struct sweep s = {.name = "mysql",
		.words = words,
		.slow = true,
		.before = before,
		.after = after,
		.run = run};

	return sweep_main(argc, argv, &s);
}
