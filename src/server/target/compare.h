/* Does a collection that exists on the target fit the source's? Compared field by field: id, name,
 * type, key, auto id, dynamic field, partition key, element type, type parameters. */
#pragma once

#include "base/bytes.h"
#include "base/defs.h"

/* Both are serialized schema.CollectionSchema. On a difference false, with its first one in words
 * in why. */
bool compare_schema(struct slice source, struct slice target, char *why, size_t cap);
