/* The metastore in etcd: the reference's keys and JSON, so that its tasks are
 * carried on, and our own records under R/ext/. */
#pragma once

#include "base/err.h"
#include "client/etcd/etcd.h"
#include "store/store.h"

/* No network yet. c is borrowed and must outlive the store.
 *
 * Every change is a transaction that also replaces the key R/ext_owner and compares its revision,
 * so changes form one chain: a write whose answer was lost (UNCERTAIN) can't land after a later
 * one, and a second server that writes to the same root cuts the first one off, whose changes then
 * answer CONFLICT and name the other. The newest one that writes wins. */
NODISCARD enum err_code store_etcd_open(
	struct etcd *c, const char *root_path, struct store **ret, struct err *e);
