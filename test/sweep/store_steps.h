/* What a sweep does with any metastore: what is stored afterwards is what was answered, or the value whose
 * write failed, never anything else. */
#pragma once

#include "store/store.h"
#include "sweep/sweep.h"

/* st is open. Answers the first failure. */
NODISCARD enum err_code store_steps(struct store *st, struct sweep_run *r, struct err *e);
