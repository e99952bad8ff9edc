/* The credentials of a task record - password and token of a Milvus, the SASL password and the
 * values of the settings of a Kafka target - encrypted and decrypted in place (vault.h). */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "model/task.h"
#include "store/vault.h"

/* Seals with v's first key. v NULL: nothing to do, but a credential that looks like a sealed one is
 * refused, for it could not be read again. */
NODISCARD enum err_code seal_task(const struct vault *v, struct task *t, struct err *e);
/* Opens what is sealed; plain ones stay. INVALID, MALFORMED as vault_unseal, with the field. */
NODISCARD enum err_code unseal_task(const struct vault *v, struct task *t, struct err *e);
/* All credentials are sealed with v's first key. */
bool seal_is_current(const struct vault *v, struct task *t);
/* The same to a record's text: members we don't know stay. */
NODISCARD enum err_code seal_text(
	const struct vault *v, const char *text, char **ret, struct err *e);
NODISCARD enum err_code unseal_text(
	const struct vault *v, const char *text, char **ret, struct err *e);
