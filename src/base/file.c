#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { PIECE_BYTES = 4096 };

static enum err_code read_all(int fd, const char *path, struct buf *b, struct err *e)
{
	for (;;) {
		size_t room = MIN((size_t)PIECE_BYTES, b->max - b->n);
		uint8_t beyond = 0, *to = room ? buf_reserve(b, room) : &beyond;
		ssize_t n = read(fd, to, MAX(room, (size_t)1));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, errno, "%s", path);
		if (n == 0)
			return ERR_OK;
		if (!room)
			return err_set(e, ERR_LIMIT, "%s: larger than %zu bytes", path, b->max);
		b->n += (size_t)n;
	}
}

enum err_code file_read(const char *path, struct buf *b, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(e, errno, "%s", path);
	enum err_code code = read_all(fd, path, b, e);
	close(fd);
	return code;
}
