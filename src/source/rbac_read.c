#include <stdlib.h>

#include "base/mem.h"
#include "source/rbac_decode.h"

/* The key behind root-coord/ of each, in ranges that stay. */
static void add_records(struct rbac_record *l, size_t *n, const struct etcd_range *r, size_t skip)
{
	for (size_t i = 0; i < r->n; i++)
		l[(*n)++] =
			(struct rbac_record){.key = r->kvs[i].key + skip, .value = r->kvs[i].value};
}

enum err_code rbac_read_source(struct etcd *etcd, const char *base, struct stop *s,
	struct rbac *ret, struct buf *left_out, size_t *ret_left_out, struct err *e)
{
	CLEANUP(freep) char *credentials = xasprintf("%scredential/", base);
	CLEANUP(freep) char *groups = xasprintf("%sprivilege-group/", base);
	CLEANUP(etcd_range_done) struct etcd_range c;
	CLEANUP(etcd_range_done) struct etcd_range g;
	size_t n = 0;

	etcd_range_init(&c);
	etcd_range_init(&g);
	if (etcd_get_prefix(etcd, credentials, 0, s, &c, e) ||
		etcd_get_prefix(etcd, groups, c.revision, s, &g, e))
		return e->code;
	if (c.n + g.n > RBAC_RECORDS_MAX)
		return err_set(e, ERR_LIMIT,
			"the source has %zu records of users and grants, "
			"more than %d",
			c.n + g.n, RBAC_RECORDS_MAX);
	struct rbac_record *l = xcalloc(c.n + g.n + 1, sizeof(*l));
	add_records(l, &n, &c, strlen(base));
	add_records(l, &n, &g, strlen(base));
	*ret_left_out = rbac_decode(l, n, ret, left_out);
	free(l);
	return ERR_OK;
}
