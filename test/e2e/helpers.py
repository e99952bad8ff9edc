"""What the tests share: comparing collections row by row, waiting, and making collections."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import random
import struct
import time
from typing import Callable, Iterator

from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, utility

from rig import wait_until

__all__ = ["Difference", "all_rows", "all_types", "count", "difference", "equal", "fill", "fresh", "simple", "wait_collection",
           "wait_equal", "wait_until"]

# a client that is refused is often what a test is about; its answer is in the exception
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

PAGE = 1000
_numbers = itertools.count()


class Difference(str):
    """Why two collections differ; false when they do not, so tests can say "not difference"."""


def fresh(prefix: str = "c") -> str:
    """A name that no other test has used."""
    return f"{prefix}_{int(time.time())}_{next(_numbers)}"


# comparing ---------------------------------------------------------------------------------------

def all_rows(collection: Collection, timeout: float = 30) -> dict:
    """Every row with every field (dynamic ones and vectors too), by primary key.

    Pages by key: a query with a limit answers the smallest keys first.
    """
    pk = collection.schema.primary_field
    text = pk.dtype == DataType.VARCHAR
    rows: dict = {}
    expr = f'{pk.name} >= ""' if text else f"{pk.name} >= {-2**63 + 1}"
    while True:
        page = collection.query(expr, output_fields=["*"], limit=PAGE, consistency_level="Strong",
                                timeout=timeout)
        for row in page:
            rows[row[pk.name]] = {name: comparable(value) for name, value in row.items()}
        if len(page) < PAGE:
            return rows
        last = max(row[pk.name] for row in page)
        expr = f"{pk.name} > {json.dumps(last, ensure_ascii=False) if text else last}"


def count(collection: Collection, timeout: float = 30) -> int:
    """The physical number of rows: a query hides a doubled key, count(*) does not."""
    answer = collection.query("", output_fields=["count(*)"], consistency_level="Strong", timeout=timeout)
    return answer[0]["count(*)"]


def comparable(value):
    """A form in which equal means equal bits: NaN equals NaN, 0.0 is not -0.0."""
    if isinstance(value, dict):
        return {k: comparable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [comparable(v) for v in value]
    if isinstance(value, (str, bytes, bool, int)) or value is None:
        return value
    if hasattr(value, "dtype"):  # numpy
        return value.tobytes().hex()
    if isinstance(value, float):
        return struct.pack("<d", value).hex()
    with contextlib.suppress(TypeError):
        return [comparable(v) for v in value]  # repeated protobuf fields
    return repr(value)


def equal(source: Collection, target: Collection, timeout: float = 30, show: int = 3) -> Difference:
    """Compares every row with every field. False means equal; otherwise the first differences."""
    left, right = all_rows(source, timeout), all_rows(target, timeout)
    return difference(source.name, left, right, (count(source, timeout), count(target, timeout)), show)


def difference(name: str, left: dict, right: dict, counts: tuple[int, int], show: int = 3) -> Difference:
    """The same of what was read before: rows by key, and the physical numbers."""
    lines = []
    for title, keys in (("only on the source", left.keys() - right.keys()),
                        ("only on the target", right.keys() - left.keys())):
        if keys:
            lines.append(f"{len(keys)} rows {title}: {sorted(keys)[:show]}")
    different = sorted(k for k in left.keys() & right.keys() if left[k] != right[k])
    if different:
        lines.append(f"{len(different)} rows differ")
    for key in different[:show]:
        names = sorted(left[key].keys() | right[key].keys())
        for field in (n for n in names if left[key].get(n) != right[key].get(n)):
            lines.append(f"  {key!r}.{field}: source {_short(left[key].get(field))}, "
                         f"target {_short(right[key].get(field))}")
    if counts[0] != counts[1]:
        lines.append(f"count(*): source {counts[0]}, target {counts[1]}")
    if lines:
        lines.insert(0, f"{name} differs ({len(left)} rows on the source, {len(right)} on the target)")
    return Difference("\n".join(lines))


def _short(value) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."


def wait_equal(source: Collection, target: Collection, timeout: float = 30) -> None:
    """Waits until both hold the same; fails with the last differences."""
    last = Difference("never compared")

    def probe() -> bool:
        nonlocal last
        last = equal(source, target, timeout=min(10, timeout))
        return not last

    try:
        wait_until(probe, timeout, f"{source.name} is equal on both sides", pause=0.1)
    except TimeoutError as error:
        raise AssertionError(f"{error}\n{last}") from None


def wait_collection(name: str, alias: str, timeout: float = 30, loaded: bool = True) -> Collection:
    """The collection of that name as soon as it exists (and is loaded) there."""
    # an older one of the name may be dropped between the two
    collection = wait_until(lambda: utility.has_collection(name, using=alias) and Collection(name, using=alias),
                            timeout, f"{name} exists on {alias}")
    if loaded:
        wait_until(lambda: utility.load_state(name, using=alias).name == "Loaded", timeout,
                   f"{name} is loaded on {alias}")
    return collection


# making collections ------------------------------------------------------------------------------

def simple(alias: str, name: str = "", dim: int = 8, varchar_pk: bool = False, load: bool = True,
           **options) -> Collection:
    """A key and a vector, indexed and loaded."""
    fields = [_key(varchar_pk), FieldSchema("v", DataType.FLOAT_VECTOR, dim=dim)]
    return _create(alias, name, fields, load, **options)


def all_types(alias: str, name: str = "", dim: int = 8, varchar_pk: bool = False, binary: bool = False,
              load: bool = True, **options) -> Collection:
    """Every type that Milvus 2.3 has, and dynamic fields; one vector field is its limit."""
    fields = [_key(varchar_pk)]
    for dtype in (DataType.BOOL, DataType.INT8, DataType.INT16, DataType.INT32, DataType.INT64,
                  DataType.FLOAT, DataType.DOUBLE, DataType.JSON):
        fields.append(FieldSchema(dtype.name.lower(), dtype))
    fields.append(FieldSchema("varchar", DataType.VARCHAR, max_length=1000))
    for element in (DataType.BOOL, DataType.INT32, DataType.INT64, DataType.DOUBLE):
        fields.append(FieldSchema(f"array_{element.name.lower()}", DataType.ARRAY, element_type=element,
                                  max_capacity=10))
    fields.append(FieldSchema("array_varchar", DataType.ARRAY, element_type=DataType.VARCHAR, max_length=100,
                              max_capacity=10))
    vector = DataType.BINARY_VECTOR if binary else DataType.FLOAT_VECTOR
    fields.append(FieldSchema("v", vector, dim=dim))
    return _create(alias, name, fields, load, dynamic=True, **options)


def _key(varchar: bool) -> FieldSchema:
    if varchar:
        return FieldSchema("id", DataType.VARCHAR, is_primary=True, max_length=200)
    return FieldSchema("id", DataType.INT64, is_primary=True)


def _create(alias: str, name: str, fields: list, load: bool, dynamic: bool = False, **options) -> Collection:
    schema = CollectionSchema(fields, enable_dynamic_field=dynamic)
    collection = Collection(name or fresh(), schema, using=alias, **options)
    if load:
        binary = any(f.dtype == DataType.BINARY_VECTOR for f in fields)
        kind, metric = ("BIN_FLAT", "HAMMING") if binary else ("FLAT", "L2")
        collection.create_index("v", {"index_type": kind, "metric_type": metric, "params": {}})
        collection.load()
    return collection


def fill(collection: Collection, keys, seed: int = 0, **options):
    """Inserts a row a key, made from key and seed, so that the same call makes the same rows."""
    return collection.insert(list(rows_of(collection, keys, seed)), **options)


def rows_of(collection: Collection, keys, seed: int = 0) -> Iterator[dict]:
    for number, key in enumerate(keys):
        dice = random.Random(f"{key}/{seed}")
        row = {f.name: _value(f, dice, number) for f in collection.schema.fields if not f.is_primary}
        pk = collection.schema.primary_field
        row[pk.name] = str(key) if pk.dtype == DataType.VARCHAR else key
        if collection.schema.enable_dynamic_field and number % 3:
            row["extra"] = {"n": number, "text": "\u00e4\u4e2d\U0001f600"[: number % 4]}
            row["tag"] = f"t{number % 5}"
        yield row


_EXTREMES: dict[DataType, Callable[[], list]] = {
    DataType.INT8: lambda: [-2**7, 2**7 - 1, 0],
    DataType.INT16: lambda: [-2**15, 2**15 - 1, 0],
    DataType.INT32: lambda: [-2**31, 2**31 - 1, 0],
    DataType.INT64: lambda: [-2**63, 2**63 - 1, 0],
    DataType.FLOAT: lambda: [0.0, -0.0, 3.4e38, 1e-45],
    DataType.DOUBLE: lambda: [0.0, -0.0, 1.7e308, 5e-324],
    DataType.VARCHAR: lambda: ["", "\u00e4\u4e2d\U0001f600", "'\"\\\n\t%", "x" * 100],
    DataType.JSON: lambda: [{}, {"a": None}, {"n": 9007199254740991, "l": [1, "b", {"c": []}]}],
}


def _value(field: FieldSchema, dice: random.Random, number: int):
    if field.dtype == DataType.FLOAT_VECTOR:
        return [dice.uniform(-1, 1) for _ in range(field.params["dim"])]
    if field.dtype == DataType.BINARY_VECTOR:
        return dice.randbytes(field.params["dim"] // 8)
    if field.dtype == DataType.ARRAY:
        return [_scalar(field.element_type, dice, 99) for _ in range(number % 4)]
    return _scalar(field.dtype, dice, number)


def _scalar(dtype: DataType, dice: random.Random, number: int):
    extremes = _EXTREMES.get(dtype, list)()
    if number < len(extremes):
        return extremes[number]
    if dtype == DataType.BOOL:
        return dice.random() < 0.5
    if dtype in (DataType.FLOAT, DataType.DOUBLE):
        return dice.gauss(0, 1000)
    if dtype == DataType.VARCHAR:
        return f"text {dice.randrange(10**6)}"
    if dtype == DataType.JSON:
        return {"k": dice.randrange(1000), "s": f"j{number}", "d": dice.random()}
    return dice.randrange(100)
