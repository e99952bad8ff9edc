#include "store/owner.h"

#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

enum { SHOWN_BYTES = 200 };

char *store_owner_text(void)
{
	char id[33], host[64] = "";

	gethostname(host, sizeof(host) - 1);
	str_random_id(id);
	return xasprintf("{\"owner\":\"%s\",\"process\":\"%d on %s\"}", id, (int)getpid(), host);
}

enum err_code store_taken_over(const char *root, struct slice by, struct err *e)
{
	return err_set(e, ERR_CONFLICT,
		"the metastore below \"%s\" was taken over by another server: %.*s", root,
		(int)MIN(by.n, SHOWN_BYTES), (const char *)by.p);
}
