/* A turn: what one caller at a time holds over calls to a peer, where a mutex must not be. */
#pragma once

#include "base/err.h"
#include "base/mutex.h"
#include "base/stop.h"

struct turn {
	struct mutex mtx;
	struct cond cond;
	bool taken; /* under mtx */
};

void turn_init(struct turn *t, const char *name);
void turn_done(struct turn *t);
/* Waits for it; CANCELLED when s is set. @thread any */
NODISCARD enum err_code turn_take(struct turn *t, struct stop *s, struct err *e);
void turn_give(struct turn *t);
