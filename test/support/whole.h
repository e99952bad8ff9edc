/* All bytes or none of the use: blocking sockets of the tests' own peers. */
#pragma once

#include "base/bytes.h"

/* false: the connection is gone, some bytes may have left. */
bool whole_send(int fd, struct slice s);
/* false: it ended before n bytes came. */
bool whole_recv(int fd, uint8_t *p, size_t n);
