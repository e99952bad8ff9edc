/* Lists of key and value as Milvus keeps properties and parameters: repeated
 * common.KeyValuePair{1 key, 2 value} fields. */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/defs.h"

struct kv {
	char *key, *value;
};

struct kv_list {
	struct kv *v;
	size_t n, cap;
};

void kv_done(struct kv_list *l);
/* Puts or replaces; copies. */
void kv_put(struct kv_list *l, const char *key, const char *value);
const char *kv_get(const struct kv_list *l, const char *key); /* NULL if there is none */
/* Reads the fields `num` of a message; other fields are passed over. False, with what was read so
 * far, when it is malformed. A key that stands twice has its last value. */
bool kv_read(struct kv_list *l, struct slice message, uint32_t num);
void kv_copy(struct kv_list *to, const struct kv_list *from);
bool kv_equal(const struct kv_list *a, const struct kv_list *b);
/* Appends what turns `before` into `after`: fields set_num with new and changed pairs, fields
 * delete_num with the names of those that are gone. False if there is nothing to change. */
bool kv_put_changes(struct buf *b, const struct kv_list *before, const struct kv_list *after,
	uint32_t set_num, uint32_t delete_num);
