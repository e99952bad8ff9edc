/* Encryption of stored credentials: AES-256-GCM with the keys of a file. The file has a key a line,
 * 32 bytes in base64; lines that are empty or begin with # are skipped. The first key seals, all of
 * them open, so a key is replaced by putting a new one above it.
 *
 * A sealed text is "$cdc-sealed1$<key>$<base64 of nonce, ciphertext, tag>"; <key> is the beginning
 * of the key's SHA-256 and tells which one it takes. @thread any, all functions */
#pragma once

#include "base/err.h"

struct vault;

enum { VAULT_KEYS = 16 };

/* INVALID names the line that is wrong. */
NODISCARD enum err_code vault_open(const char *path, struct vault **ret_v, struct err *e);
/* Wipes the keys. NULL is fine. */
void vault_free(struct vault *v);

bool vault_is_sealed(const char *text);
/* Sealed with the first key. */
bool vault_is_current(const struct vault *v, const char *text);
/* Heap. context says what the text is of; it is opened with the same one only, so that a sealed text
 * that is moved elsewhere is of no use. */
NODISCARD enum err_code vault_seal(
	const struct vault *v, const char *context, const char *text, char **ret, struct err *e);
/* INVALID if the key is missing (v may be NULL: there are none), MALFORMED if the text was changed. */
NODISCARD enum err_code vault_unseal(
	const struct vault *v, const char *context, const char *text, char **ret, struct err *e);
