/* Files that are read as a whole. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* Appends what the file holds; no copy of it stays anywhere else. SYSTEM with errno as origin; LIMIT
 * when it does not fit under the buffer's cap. */
NODISCARD enum err_code file_read(const char *path, struct buf *b, struct err *e);
