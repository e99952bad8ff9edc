/* Any text as the address of a MySQL database: read, or refused with a reason. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/mysql_dsn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(buf_done) struct buf unknown = BUF_INIT(1 << 20);
	CLEANUP(freep) char *text = xstrndup((const char *)data, size);
	struct mysql_dsn d;
	struct err e = ERR_INIT;

	if (mysql_dsn_parse(text, &d, &unknown, &e)) {
		assert(e.code == ERR_INVALID && *e.text);
		return 0;
	}
	assert(*d.database && d.port >= 1 && d.port <= 65535);
	assert(d.connect_ms >= 0 && d.read_ms >= 0 && d.write_ms >= 0);
	assert(strlen(d.user) + strlen(d.password) + strlen(d.database) < strlen(text) + 1);
	free(mysql_dsn_address(&d));
	mysql_dsn_done(&d);
	return 0;
}
