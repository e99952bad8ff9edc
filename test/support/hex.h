/* Hex text of wire vectors to bytes and back. */
#pragma once

#include <stdio.h>

#include "base/bytes.h"

/* Spaces are skipped. Returns a slice of out. */
static inline struct slice hex_bytes(const char *hex, uint8_t *out, size_t cap)
{
	size_t n = 0;
	unsigned v;
	int used;
	while (n < cap && sscanf(hex, " %2x%n", &v, &used) == 1) {
		out[n++] = (uint8_t)v;
		hex += used;
	}
	return slice_of(out, n);
}

static inline const char *hex_text(struct slice s, char *out, size_t cap)
{
	out[0] = '\0';
	for (size_t i = 0; i < s.n && 2 * i + 3 <= cap; i++)
		snprintf(out + 2 * i, cap - 2 * i, "%02x", s.p[i]);
	return out;
}
