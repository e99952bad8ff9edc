/* Who writes to a metastore that several servers can reach: a record R/ext_owner that each change
 * replaces. The newest server that writes wins, the others are told. */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

/* {"owner":"<random>","process":"<pid> on <host>"}; heap. */
char *store_owner_text(void);
/* CONFLICT that names the one who has it. */
enum err_code store_taken_over(const char *root, struct slice by, struct err *e);
