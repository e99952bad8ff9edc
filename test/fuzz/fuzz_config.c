/* Any bytes as cdc.yaml: never more than findings. The file is a memory file, so nothing is
 * written. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(buf_done)
	struct buf problems = BUF_INIT(8 << 20);
	CLEANUP(buf_done)
	struct buf warnings = BUF_INIT(8 << 20);
	struct config *c = NULL;
	struct err e = ERR_INIT;
	char path[64];
	int fd = memfd_create("cdc.yaml", 0);

	if (fd < 0)
		return 0;
	if (size && write(fd, data, size) != (ssize_t)size) {
		close(fd);
		return 0;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	enum err_code code = config_load(path, &c, &problems, &warnings, &e);
	assert((code == ERR_OK) == (c != NULL));
	assert((code == ERR_OK) == (problems.n == 0));
	config_free(c);
	close(fd);
	return 0;
}
