/* Text helpers: numbers, prefixes, base64, random ids. */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/defs.h"

bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
/* Whole-string decimal; false on anything else or overflow. */
bool str_to_i64(const char *s, int64_t *ret_v);
bool str_to_u64(const char *s, uint64_t *ret_v);
bool slice_to_i64(struct slice s, int64_t *ret_v);

/* Length of the UTF-8 sequence at p of n > 0 bytes; 0 if there is none (overlong, surrogate, cut, ...). */
size_t str_utf8_len(const uint8_t *p, size_t n);

/* Standard alphabet with padding. Appends to b. */
void b64_encode(struct buf *b, struct slice in);
/* false on a wrong length, alphabet or padding. Appends to b. */
bool b64_decode(struct buf *b, const char *text);
/* Heap text of in; the caller frees. */
char *b64_text(struct slice in);

/* 32 lower-case hex digits: a version-4 UUID without dashes. out has room for 33. */
void str_random_id(char out[33]);
