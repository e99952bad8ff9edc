#include "client/pulsar/inflate.h"

#include <inttypes.h>
#include <limits.h>
#include <lz4.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

/* Each returns how many bytes it wrote, or -1. */
typedef int64_t inflate_fn(struct slice in, uint8_t *out, size_t n);

static int64_t from_none(struct slice in, uint8_t *out, size_t n)
{
	if (in.n != n)
		return -1;
	if (n)
		memcpy(out, in.p, n);
	return (int64_t)n;
}

static int64_t from_lz4(struct slice in, uint8_t *out, size_t n)
{
	if (in.n > INT_MAX || n > INT_MAX)
		return -1;
	return LZ4_decompress_safe((const char *)in.p, (char *)out, (int)in.n, (int)n);
}

static int64_t from_zlib(struct slice in, uint8_t *out, size_t n)
{
	uLongf got = n;

	return uncompress(out, &got, in.p, in.n) == Z_OK ? (int64_t)got : -1;
}

static int64_t from_zstd(struct slice in, uint8_t *out, size_t n)
{
	size_t got = ZSTD_decompress(out, n, in.p, in.n);

	return ZSTD_isError(got) ? -1 : (int64_t)got;
}

static int64_t from_snappy(struct slice in, uint8_t *out, size_t n)
{
	size_t got;

	if (snappy_uncompressed_length((const char *)in.p, in.n, &got) != SNAPPY_OK || got != n)
		return -1;
	if (snappy_uncompress((const char *)in.p, in.n, (char *)out, &got) != SNAPPY_OK)
		return -1;
	return (int64_t)got;
}

static const struct {
	const char *name;
	inflate_fn *inflate;
} kinds[PULSAR_COMPRESSIONS] = {
	[PULSAR_NONE] = {"none", from_none},
	[PULSAR_LZ4] = {"LZ4", from_lz4},
	[PULSAR_ZLIB] = {"ZLIB", from_zlib},
	[PULSAR_ZSTD] = {"ZSTD", from_zstd},
	[PULSAR_SNAPPY] = {"SNAPPY", from_snappy},
};

enum err_code pulsar_inflate(
	uint64_t compression, struct slice in, uint8_t *out, size_t n, struct err *e)
{
	if (compression >= PULSAR_COMPRESSIONS)
		return err_set(
			e, ERR_UNSUPPORTED, "compression %" PRIu64 " is not known", compression);
	int64_t got = kinds[compression].inflate(in, out, n);
	if (got != (int64_t)n)
		return err_set(e, ERR_MALFORMED,
			"%zu bytes of %s do not hold the %zu bytes they should", in.n,
			kinds[compression].name, n);
	return ERR_OK;
}
