/* The process's byte budget for messages held between broker and ack. Each reader draws from an
 * account; take waits, in the order of asking, until one of these holds:
 *   - the whole stays within the budget;
 *   - the account stays within the floor, so that no reader starves another for ever;
 *   - the account has nothing in lanes, so only reading on can bring the tick that frees its
 * buffer. One account at a time may do this (the overdraft); it ends at the account's next cut. An
 * account lives until it is closed and empty, a budget until it is closed and without accounts, so
 * messages may outlive their reader and the hub. @thread any  @locks budget */
#pragma once

#include "base/defs.h"
#include "base/err.h"
#include "base/stop.h"

struct budget;
struct account;

struct budget *budget_new(size_t max_bytes, size_t floor_bytes);
void budget_close(struct budget *b);
size_t budget_held(struct budget *b);

struct account *account_open(struct budget *b);
void account_close(struct account *a);
/* Waits; CANCELLED when s is set. @thread the account's reader */
NODISCARD enum err_code account_take(
	struct account *a, size_t bytes, struct stop *s, struct err *e);
/* bytes of the account's buffer (SIZE_MAX: all) go to the lanes or are dropped; ends its overdraft.
 */
void account_cut(struct account *a, size_t bytes);
void account_give(struct account *a, size_t bytes);
/* bytes of from's buffer are to's from now on. */
void account_move(struct account *from, struct account *to, size_t bytes);
/* True when bytes were taken at once; never waits. @thread the account's reader */
bool account_try(struct account *a, size_t bytes);
/* True while a take waits. */
bool account_waits(struct account *a);

/* Reference counts of what is charged to a: one lock serves bytes and counts. */
void account_ref(struct account *a, unsigned *refs);
/* True when that was the last one. */
bool account_unref(struct account *a, unsigned *refs);
