/* The embedded metastore: every call to its file fails once. */
#include <stdio.h>

#include "store/store_sqlite.h"
#include "sweep/store_steps.h"

static enum err_code run(struct sweep_run *r, struct err *e)
{
	struct store *st = NULL;
	char path[96];

	snprintf(path, sizeof(path), "%s/cdc.db", r->dir);
	if (store_sqlite_open(path, "cdc", &st, e))
		return e->code;
	enum err_code code = store_steps(st, r, e);
	store_close(st);
	return code;
}

int main(int argc, char **argv)
{
	static const char *const words[] = {"cdc.db", NULL};
	static const struct sweep s = {.name = "sqlite", .words = words, .run = run};

	return sweep_main(argc, argv, &s);
}
