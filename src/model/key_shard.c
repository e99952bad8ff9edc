#include "model/key_shard.h"

#include <zlib.h>

enum { TEXT_MOST = 100 }; /* of a longer key only so many bytes count */

static uint32_t rotate(uint32_t v, int by)
{
	return v << by | v >> (32 - by);
}

/* MurmurHash3 (x86, 32 bits, seed 0) of the key's eight bytes, little-endian. */
static uint32_t murmur(uint64_t key)
{
	uint32_t h = 0;

	for (int i = 0; i < 2; i++, key >>= 32)
		h = rotate(h ^ rotate((uint32_t)key * 0xcc9e2d51U, 15) * 0x1b873593U, 13) * 5 +
		    0xe6546b64U;
	h ^= sizeof(key);
	h = (h ^ h >> 16) * 0x85ebca6bU;
	h = (h ^ h >> 13) * 0xc2b2ae35U;
	return h ^ h >> 16;
}

uint32_t key_shard_number(int64_t key, uint32_t shards)
{
	return (murmur((uint64_t)key) & 0x7fffffff) % shards;
}

uint32_t key_shard_text(struct slice key, uint32_t shards)
{
	return (uint32_t)(crc32(0, key.p, (uInt)MIN(key.n, (size_t)TEXT_MOST)) % shards);
}
