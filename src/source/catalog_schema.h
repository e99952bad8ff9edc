/* A collection's schema under construction: the stored schema message plus the values of its field,
 * function and struct array keys, which come in any order and may change one by one. Built from a finished
 * schema again when one of them changes, so that nothing is held twice in quiet times.
 * For this folder and its tests. */
#pragma once

#include "base/buf.h"
#include "model/collection.h"

/* Numbers in CollectionSchema. A struct array (2.6) holds its fields itself. */
enum schema_part_kind { SCHEMA_FIELD = 4, SCHEMA_FUNCTION = 7, SCHEMA_STRUCT = 9 };

struct schema_part {
	enum schema_part_kind kind;
	int64_t id;
	uint8_t *p; /* owned */
	size_t n;
};

struct catalog_schema {
	struct buf head;           /* the schema message without fields and functions */
	struct schema_part *parts; /* by kind and id */
	size_t n, cap;
	bool dynamic; /* a $meta field was seen */
};

struct catalog_schema *catalog_schema_new(void);
void catalog_schema_free(struct catalog_schema *sc);

/* Replaces the head. Fields and functions embedded in the message (sources that have no keys for
 * them) are taken as parts where there is none of that id. False if message can't be read. */
bool catalog_schema_set_head(struct catalog_schema *sc, struct slice message);
/* Puts or replaces one value. Fields below id 100 and $meta are left out, as the target makes its
 * own. False if the value can't be read (nothing changes then). */
bool catalog_schema_set(
	struct catalog_schema *sc, enum schema_part_kind kind, int64_t id, struct slice value);
void catalog_schema_del(struct catalog_schema *sc, enum schema_part_kind kind, int64_t id);
size_t catalog_schema_fields(const struct catalog_schema *sc);
/* Sets c's schema and what is derived from it. */
void catalog_schema_build(const struct catalog_schema *sc, struct collection *c);
