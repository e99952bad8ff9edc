#include "client/pulsar/crc32c.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

enum { POLYNOMIAL_BITS = 8 };

static const uint32_t polynomial = 0x82f63b78;

/* The instruction takes 8 bytes a step, about 8 GB/s. */
#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, struct slice s)
{
	uint64_t c = crc;

	for (; s.n >= 8; s.p += 8, s.n -= 8) {
		uint64_t v;
		memcpy(&v, s.p, sizeof(v));
		c = _mm_crc32_u64(c, v);
	}
	for (; s.n; s.p++, s.n--)
		c = _mm_crc32_u8((uint32_t)c, *s.p);
	return (uint32_t)c;
}

static bool has_instruction(void)
{
	return __builtin_cpu_supports("sse4.2");
}
#else
static uint32_t by_instruction(uint32_t crc, UNUSED struct slice s)
{
	return crc;
}

static bool has_instruction(void)
{
	return false;
}
#endif

/* Four bits a step with a table of 16: for processors without the instruction. */
static uint32_t by_table(uint32_t crc, struct slice s)
{
	uint32_t table[16];

	for (uint32_t i = 0; i < ARRAY_LEN(table); i++) {
		table[i] = i;
		for (int bit = 0; bit < POLYNOMIAL_BITS / 2; bit++)
			table[i] = table[i] & 1 ? table[i] >> 1 ^ polynomial : table[i] >> 1;
	}
	for (; s.n; s.p++, s.n--) {
		crc ^= *s.p;
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return crc;
}

uint32_t pulsar_crc32c(struct slice s)
{
	return ~(has_instruction() ? by_instruction(~0U, s) : by_table(~0U, s));
}
