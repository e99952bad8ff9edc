/* Users, roles, grants and privilege groups as the source's root coordinator keeps them in etcd. */
#pragma once

#include "base/buf.h"
#include "client/etcd/etcd.h"
#include "model/rbac.h"

/* key is what stands behind "<root>/<meta>/root-coord/". */
struct rbac_record {
	const char *key;
	struct slice value;
};

/* Adds what the records say to ret, in any order of theirs. A record that can't be read is left out,
 * and its key with the reason goes to left_out, a line each (never its value). Returns how many. No
 * I/O. */
size_t rbac_decode(const struct rbac_record *l, size_t n, struct rbac *ret, struct buf *left_out);

/* The same from etcd below base (catalog_base), all at one revision. LIMIT when there are more than RBAC_RECORDS_MAX. */
enum { RBAC_RECORDS_MAX = 50000 };
NODISCARD enum err_code rbac_read_source(struct etcd *etcd, const char *base, struct stop *s,
	struct rbac *ret, struct buf *left_out, size_t *ret_left_out, struct err *e);
