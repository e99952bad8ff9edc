#include "model/dml_keys.h"

/* msg.InsertRequest, schema.FieldData, schema.ScalarField */
enum { I_FIELDS = 13, I_VERSION = 15, FD_SCALARS = 3, FD_FIELD_ID = 5, SC_LONG = 3, SC_STRING = 6 };
/* msg.DeleteRequest, schema.IDs */
enum { D_INT64_KEYS = 9, D_KEYS = 12, IDS_LONG = 1, IDS_STRING = 2 };
enum { ARRAY_DATA = 1, VERSION_COLUMNS = 1 };

/* The content of the one field num of raw; false if raw is unreadable or has it twice. */
static bool only_field(struct slice raw, uint32_t num, struct slice *ret_data, bool *ret_found)
{
	struct wire w = wire_open(raw);
	struct wire_field f;
	unsigned seen = 0;

	while (wire_next(&w, &f)) {
		if (f.num != num)
			continue;
		if (f.type != WIRE_LEN)
			return false;
		*ret_data = f.data;
		seen++;
	}
	*ret_found = seen > 0;
	return !w.bad && seen < 2;
}

static bool field_has_id(struct slice field_data, int64_t id)
{
	struct wire w = wire_open(field_data);
	struct wire_field f;
	int64_t found = 0;

	while (wire_next(&w, &f))
		if (f.num == FD_FIELD_ID && f.type == WIRE_VARINT)
			found = (int64_t)f.value;
	return !w.bad && found == id;
}

struct dml_keys_iter dml_keys_begin(const struct dml_keys *k)
{
	return (struct dml_keys_iter){
		.outer = wire_open(k->array), .num = k->num, .varchar = k->varchar};
}

bool dml_keys_next(struct dml_keys_iter *it, struct dml_key *ret)
{
	struct wire_field f;
	uint64_t v;

	*ret = (struct dml_key){.number = 0};
	for (;;) {
		if (it->in_packed && wire_varint(&it->packed, &v)) {
			ret->number = (int64_t)v;
			return true;
		}
		it->outer.bad = it->outer.bad || (it->in_packed && it->packed.bad);
		it->in_packed = false;
		if (it->outer.bad || !wire_next(&it->outer, &f))
			return false;
		if (f.num != it->num)
			continue;
		if (f.type == WIRE_LEN && !it->varchar) {
			it->packed = wire_open(f.data);
			it->in_packed = true;
			continue;
		}
		if (f.type != (it->varchar ? WIRE_LEN : WIRE_VARINT)) {
			it->outer.bad = true;
			return false;
		}
		ret->text = f.data;
		ret->number = (int64_t)f.value;
		return true;
	}
}

static bool count_keys(struct dml_keys *k)
{
	struct dml_keys_iter it = dml_keys_begin(k);
	struct dml_key key;

	for (k->count = 0; dml_keys_next(&it, &key);)
		k->count++;
	return !it.outer.bad;
}

static bool read_column(struct dml_keys *k, struct slice field_data)
{
	struct slice scalars = {0};
	bool found;

	if (k->array.p || !only_field(field_data, FD_SCALARS, &scalars, &found) || !found)
		return false;
	if (!only_field(scalars, k->varchar ? SC_STRING : SC_LONG, &k->array, &found) || !found)
		return false;
	if (!k->array.p)
		k->array = slice_of("", 0);
	return count_keys(k);
}

enum err_code dml_keys_of_insert(
	struct dml_keys *k, const struct dml *d, int64_t pk_field_id, bool varchar, struct err *e)
{
	struct wire w = wire_open(d->payload);
	struct wire_field f;
	uint64_t version = 0;

	*k = (struct dml_keys){.num = ARRAY_DATA, .varchar = varchar};
	while (wire_next(&w, &f)) {
		if (f.num == I_VERSION)
			version = f.value;
		else if (f.num == I_FIELDS && f.type == WIRE_LEN &&
			 field_has_id(f.data, pk_field_id) && !read_column(k, f.data))
			return err_set(
				e, ERR_MALFORMED, "the key column of an Insert can't be read");
	}
	if (w.bad)
		return err_set(
			e, ERR_MALFORMED, "an Insert of %zu bytes can't be read", d->payload.n);
	if (version != VERSION_COLUMNS || !k->array.p)
		return err_set(e, ERR_UNSUPPORTED,
			"an Insert has no column of its primary key (field %lld, version %llu)",
			(long long)pk_field_id, (unsigned long long)version);
	/* The target trusts that keys and times are equally many. */
	if (k->count != d->rows)
		return err_set(e, ERR_MALFORMED, "an Insert has %llu keys for %llu rows",
			(unsigned long long)k->count, (unsigned long long)d->rows);
	return ERR_OK;
}

static bool read_ids(struct dml_keys *k, struct slice ids)
{
	bool longs, strings;
	struct slice text = {0};

	if (!only_field(ids, IDS_LONG, &k->array, &longs) ||
		!only_field(ids, IDS_STRING, &text, &strings))
		return false;
	k->varchar = strings;
	if (strings)
		k->array = text;
	k->num = ARRAY_DATA;
	return longs || strings;
}

enum err_code dml_keys_of_delete(struct dml_keys *k, const struct dml *d, struct err *e)
{
	struct slice ids = {0};
	bool found = false;

	*k = (struct dml_keys){.array = d->payload, .num = D_INT64_KEYS};
	bool ok = only_field(d->payload, D_KEYS, &ids, &found);
	if (ok && found)
		ok = read_ids(k, ids);
	if (!ok || !count_keys(k))
		return err_set(e, ERR_MALFORMED, "the keys of a Delete can't be read");
	return ERR_OK;
}
