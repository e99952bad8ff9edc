/* Shared by the translate files. */
#pragma once

#include "base/arena.h"

/* rows times the same time, as a packed field's content, in the arena. */
struct slice translate_repeat_time(uint64_t ts, uint64_t rows, struct arena *a);
