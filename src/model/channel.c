#include "model/channel.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

static size_t digits_before(struct slice s, size_t end)
{
	size_t i = end;
	while (i > 0 && s.p[i - 1] >= '0' && s.p[i - 1] <= '9')
		i--;
	return i;
}

bool vchannel_parse(struct vchannel *v, struct slice name)
{
	size_t shard = digits_before(name, name.n);
	if (name.n >= CHANNEL_BYTES || shard == name.n || shard == 0 || name.p[shard - 1] != 'v')
		return false;
	size_t id = digits_before(name, shard - 1);
	if (id == shard - 1 || id == 0 || name.p[id - 1] != '_')
		return false;
	int64_t n;
	if (!slice_to_i64(slice_of(name.p + shard, name.n - shard), &n) || n > INT32_MAX)
		return false;
	v->shard = (int)n;
	if (!slice_to_i64(slice_of(name.p + id, shard - 1 - id), &v->collection_id))
		return false;
	memcpy(v->pchannel, name.p, id - 1);
	v->pchannel[id - 1] = '\0';
	return true;
}

bool channel_is_virtual(const char *name)
{
	const char *at = strrchr(name, '_');
	return at && strchr(at, 'v');
}

void channel_to_physical(char out[CHANNEL_BYTES], const char *name)
{
	snprintf(out, CHANNEL_BYTES, "%s", name);
	if (channel_is_virtual(out))
		*strrchr(out, '_') = '\0';
}
