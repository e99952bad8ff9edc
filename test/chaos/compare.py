"""Source and target, thing by thing: what exists, schemas, partitions, and every row with its multiplicity."""

from __future__ import annotations

import json

from pymilvus import Collection, DataType, utility

from helpers import Difference, all_rows, count, difference, wait_until
from rig import together

from .tally import Tally

ROW_S = 30.0


def doubled(collection: Collection, timeout: float = ROW_S, most: int = 5) -> list:
    """Keys that are physically there more than once. A query hides the copies, count(*) does not."""
    keys = sorted(all_rows(collection, timeout))
    found: list = []

    def physical(part: list) -> int:
        text = json.dumps(part, ensure_ascii=False)
        expr = f"{collection.schema.primary_field.name} in {text}"
        return collection.query(expr, output_fields=["count(*)"], consistency_level="Strong",
                                timeout=timeout)[0]["count(*)"]

    def search(part: list) -> None:
        if len(found) >= most or not part or physical(part) == len(part):
            return
        if len(part) == 1:
            found.append(part[0])
            return
        search(part[:len(part) // 2])
        search(part[len(part) // 2:])

    search(keys)
    return found


def rows_difference(source: Collection, target: Collection, tally: Tally, timeout: float = ROW_S) -> Difference:
    """Every row with every value, and how often each is there."""
    left, right, *counts = together(*(lambda read=read, side=side: read(side, timeout)
                                      for read in (all_rows, count) for side in (source, target)))
    tally.add("rows compared", len(left))
    found = difference(source.name, left, right, tuple(counts))
    if counts[0] != counts[1]:
        found = Difference(f"{found}\nkeys that are doubled on the target: {doubled(target, timeout)}, "
                           f"on the source: {doubled(source, timeout)}")
    return found


def shape(collection: Collection) -> dict:
    """What a collection is, apart from its rows, in a form that both sides share."""
    described = collection.describe()
    fields = [(f["field_id"], f["name"], DataType(f["type"]).name, json.dumps(f.get("params", {}), sort_keys=True),
               bool(f.get("is_primary")), bool(f.get("auto_id"))) for f in described["fields"]]
    return {"fields": fields, "shards": described["num_shards"], "properties": described.get("properties", {}),
            "dynamic": described.get("enable_dynamic_field"), "description": described["description"],
            "consistency": described["consistency_level"], "aliases": sorted(described["aliases"]),
            "partitions": sorted(p.name for p in collection.partitions),
            "indexes": sorted((i.field_name, i.index_name, json.dumps(i.params, sort_keys=True))
                              for i in collection.indexes)}


def partition_counts(collection: Collection, timeout: float = ROW_S) -> dict[str, int]:
    """Rows of each partition that is loaded."""
    return {p.name: collection.query("", output_fields=["count(*)"], partition_names=[p.name],
                                     consistency_level="Strong", timeout=timeout)[0]["count(*)"]
            for p in collection.partitions}


def name_difference(name: str, tally: Tally, aliases: tuple[str, str] = ("source", "target"),
                    target_name: str = "") -> Difference:
    """One collection on both sides: existence, shape, load state, and its rows if both are loaded."""
    names = (name, target_name or name)
    there = [utility.has_collection(n, using=a, timeout=ROW_S) for n, a in zip(names, aliases)]
    if there[0] != there[1]:
        return Difference(f"{name} is there on the {'source' if there[0] else 'target'} only")
    if not there[0]:
        return Difference("")
    sides = [Collection(n, using=a) for n, a in zip(names, aliases)]
    shapes = together(*(lambda side=side: shape(side) for side in sides))
    tally.add("collections compared")
    for what in shapes[0]:
        if shapes[0][what] != shapes[1][what]:
            return Difference(f"{name}: {what} is {shapes[0][what]} on the source and {shapes[1][what]} on the target")
    states = [utility.load_state(n, using=a, timeout=ROW_S).name for n, a in zip(names, aliases)]
    if states[0] != states[1]:
        return Difference(f"{name} is {states[0]} on the source and {states[1]} on the target")
    if states[0] != "Loaded":
        return Difference("")
    found = rows_difference(*sides, tally)
    if found or len(shapes[0]["partitions"]) == 1:
        return found
    counts = [partition_counts(side) for side in sides]
    return Difference("" if counts[0] == counts[1] else f"{name}: rows by partition {counts}")


def wait_same(names: list[str], tally: Tally, timeout: float = 90, **more) -> Difference:
    """Waits until every name is the same on both sides; false then, else the last differences."""
    last: dict[str, str] = {}
    left = list(names)

    def look(name: str) -> None:
        try:
            last[name] = str(name_difference(name, tally, **more))
        except Exception as error:  # a side that is not ready yet
            last[name] = f"{name}: {type(error).__name__}: {error}"

    def probe() -> bool:
        together(*(lambda name=name: look(name) for name in left[:4]))
        left[:] = [name for name in left if last.get(name) != ""]
        return not left

    try:
        wait_until(probe, timeout, "all is the same on both sides", pause=0.2)
    except TimeoutError:
        return Difference("\n".join(last.get(name) or f"{name}: not looked at" for name in left[:5]))
    return Difference("")
