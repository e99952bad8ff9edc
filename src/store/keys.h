/* Keys of the metastore, the reference's layout below the configured root R:
 *   R/task_info/<task>   R/task_position/<task>/<collection id>   R/ext/<ours>   R/ext_owner
 * A task id is one path element whatever the caller of the API chose: '/' and '%' in it, and the
 * ids "." and "..", are percent-encoded. All other ids stand as they are, byte for byte as the
 * reference does. All texts returned are heap, the caller frees. */
#pragma once

#include "base/bytes.h"
#include "base/defs.h"
#include "store/store.h"

/* R as the reference's path join leaves it: no empty, "." or ".." elements, no slash at the end;
 * "" stays "". */
char *keys_root(const char *root);

char *keys_task_prefix(const char *root); /* "R/task_info/" */
char *keys_task(const char *root, const char *task_id);
char *keys_position_prefix(const char *root, const char *task_id); /* NULL: of all tasks */
char *keys_position_below(const char *task_id); /* behind it: "<task>/", NULL: "" */
char *keys_position(const char *root, const char *task_id, int64_t collection_id);
char *keys_ext_prefix(const char *root);                        /* "R/ext/" */
char *keys_kind_prefix(const char *root, enum store_kind kind); /* one of the three */
char *keys_ext(const char *root, const char *key);

char *keys_owner(const char *root); /* "R/ext_owner": who writes here, see store_etcd.h */

/* "<kind>/<task>/<rest>" for store_ext.key; with rest "" the prefix of all of them. */
char *keys_ext_task(const char *kind, const char *task_id, const char *rest);

/* The task id of an encoded element; NULL if we would not have written it so. */
char *keys_decode_id(struct slice element);
/* Splits "<task>/<collection id>", what stands behind keys_position_prefix(root, NULL). NULL if it
 * is none of ours. */
char *keys_decode_position(struct slice rest, int64_t *ret_collection_id);

/* The smallest text above all texts with the prefix, for range queries; prefix must not be empty.
 */
char *keys_prefix_end(const char *prefix);
