/* Any bytes as an RBACMeta, and as the source's records of users and grants, a line each: key, tab,
 * value. What was read is written and read again. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "source/rbac_decode.h"

enum { LINES_MAX = 200, TEXT_BYTES = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_and_read(const struct rbac *r)
{
	CLEANUP(rbac_done) struct rbac again = {.n_grants = 0};
	CLEANUP(buf_done) struct buf b = BUF_INIT(TEXT_BYTES);
	struct err e = ERR_INIT;

	rbac_put(&b, r);
	if (buf_failed(&b))
		return;
	enum err_code code = rbac_read(&again, buf_slice(&b), &e);
	assert(!code);
	assert(again.users.n == r->users.n && again.roles.n == r->roles.n);
	assert(again.groups.n == r->groups.n && again.n_grants == r->n_grants);
	for (size_t i = 0; i < r->n_grants; i++)
		assert(rbac_has_grant(&again, &r->grants[i]));
	(void)code;
}

static void read_records(char *text)
{
	CLEANUP(rbac_done) struct rbac r = {.n_grants = 0};
	CLEANUP(buf_done) struct buf left_out = BUF_INIT(TEXT_BYTES);
	struct rbac_record l[LINES_MAX];
	char *save = NULL;
	size_t n = 0;

	for (char *line = strtok_r(text, "\n", &save); line && n < LINES_MAX;
		line = strtok_r(NULL, "\n", &save)) {
		char *tab = strchr(line, '\t');
		if (tab)
			*tab = '\0';
		l[n++] = (struct rbac_record){.key = line, .value = slice_str(tab ? tab + 1 : "")};
	}
	size_t n_left_out = rbac_decode(l, n, &r, &left_out);
	assert(!n_left_out == !left_out.n);
	(void)n_left_out;
	write_and_read(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(rbac_done) struct rbac r = {.n_grants = 0};
	CLEANUP(freep) char *text = xstrndup(size ? (const char *)data : "", size);
	struct err e = ERR_INIT;

	if (rbac_read(&r, slice_of(data, size), &e) == ERR_OK)
		write_and_read(&r);
	else
		assert(e.code == ERR_MALFORMED);
	read_records(text);
	return 0;
}
