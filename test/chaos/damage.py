"""Damaged stored records: every field of every record that a server has stored, in every store.

Real records are taken from a server that ran a task; copies of them under other task ids are damaged, one
place each, and a server is started on them. It must start, answer, hide no task, run those that are whole, and
name what it can't read.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import sqlite3

from helpers import fresh, wait_until
from synthetic import Synthetic

from .bare import ends_well, new_bare, still_well
from .fake_target import FakeTarget
from .tally import Tally

ODD = (None, True, -1, 0, 2**63, -2**63, 1.5, 1e300, "", "x", "\x00", "9" * 40, [], {}, [None], {"a": {}}, "A" * 70000)
COPIES = 40  # damaged tasks a server starts with


# stores ------------------------------------------------------------------------------------------

class Sqlite:
    """A row is (table, {column: value})."""

    name = "sqlite"

    def __init__(self, rig):
        self.file = rig.dir / f"{fresh('damage')}.db"

    def config(self) -> dict:
        return {"storeType": "sqlite", "sqlitePath": str(self.file)}

    def rows(self) -> list[tuple[str, dict]]:
        with contextlib.closing(sqlite3.connect(self.file)) as db:
            db.row_factory = sqlite3.Row
            return [(table, dict(row)) for table in ("task_info", "task_position", "ext")
                    for row in db.execute(f"SELECT * FROM {table}")]

    def put(self, rows: list) -> bool:
        with contextlib.closing(sqlite3.connect(self.file)) as db:
            for table, row in rows:
                marks = ", ".join("?" * len(row))
                db.execute(f"INSERT OR REPLACE INTO {table}({', '.join(row)}) VALUES({marks})", list(row.values()))
            db.commit()
        return True


class Etcd:
    """A row is (key, {"value": bytes})."""

    name = "etcd"

    def __init__(self, rig):
        self.part, self.root = rig.etcd(), fresh("damage")

    def config(self) -> dict:
        return {"storeType": "etcd", "etcd": {"address": [self.part.address]}, "rootPath": self.root}

    def rows(self) -> list[tuple[str, dict]]:
        found = self.part.prefix(f"{self.root}/")
        return [(key, {"value": value.decode()}) for key, value in found.items() if "ext_owner" not in key]

    def put(self, rows: list) -> bool:
        for key, row in rows:
            self.part.put(key, str(row["value"]).encode("utf-8", "surrogatepass"))
        return True


class Mysql:
    """A row is (table, {column: value}); JSON columns take only JSON."""

    name = "mysql"
    TABLES = {"task_info": ("task_info_key", "task_id", "task_info_value"),
              "task_position": ("task_position_key", "task_id", "collection_id", "collection_name",
                                "task_position_value", "op_position_value", "target_position_value"),
              "milvus_cdc_ext": ("ext_key", "ext_value")}

    def __init__(self, rig):
        self.part, self.root = rig.mariadb(), fresh("damage")

    def config(self) -> dict:
        return {"storeType": "mysql", "mysqlSourceUrl": self.part.dsn, "rootPath": self.root}

    def rows(self) -> list[tuple[str, dict]]:
        found = []
        for table, columns in self.TABLES.items():
            fields = ", ".join(f"IFNULL(TO_BASE64({c}), '-')" for c in columns)
            text = self.part.sql(f"SELECT {fields} FROM {table} WHERE {columns[0]} LIKE '{self.root}/%'")
            for line in text.splitlines():
                values = [None if v == "-" else base64.b64decode(v.replace("\\n", "")).decode() for v in line.split("\t")]
                found.append((table, dict(zip(columns, values))))
        return found

    def put(self, rows: list) -> bool:
        """False if a row was refused: no JSON, or a text for a number, never gets in."""
        good = True
        for table, row in rows:
            values = ", ".join("NULL" if v is None else
                               f"FROM_BASE64('{base64.b64encode(v if isinstance(v, bytes) else str(v).encode()).decode()}')"
                               for v in row.values())
            try:
                self.part.sql(f"REPLACE INTO {table}({', '.join(row)}) VALUES({values})")
            except OSError:
                good = False
        return good


STORES = {store.name: store for store in (Sqlite, Etcd, Mysql)}


# damage ------------------------------------------------------------------------------------------

def places(value, path: tuple = ()) -> list[tuple]:
    """Every place in a JSON value, the whole one first."""
    found = [path]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*path, key))
    elif isinstance(value, list):
        for key, inner in enumerate(value):
            found += places(inner, (*path, key))
    return found


def damage_json(dice: random.Random, text: str) -> tuple[str, str]:
    """(damaged text, what was done)."""
    value = json.loads(text)
    path = dice.choice(places(value))
    if not path or dice.random() < 0.1:
        bad = dice.choice(("", "{", "null", "[]", "1", text[:len(text) // 2], text + "x", "[" * 5000, '{"a":' * 3000,
                           text.replace('"', "'"), "\u00e4" * 3000))
        return bad, f"the text is {bad[:40]!r}"
    place = value
    for key in path[:-1]:
        place = place[key]
    where = ".".join(map(str, path))
    if dice.random() < 0.25:
        del place[path[-1]]
        return json.dumps(value), f"{where} is missing"
    odd = dice.choice(ODD)
    place[path[-1]] = odd
    return json.dumps(value), f"{where} is {str(odd)[:40]!r}"


def damage(dice: random.Random, rows: list) -> str:
    """One place in one of the rows; what was done."""
    table, row = dice.choice(rows)
    documents = [c for c, v in row.items() if isinstance(v, str) and v[:1] in "[{"]
    others = [c for c in row if c not in documents and not c.endswith(("_key", "task_id"))]
    if documents and (not others or dice.random() < 0.85):
        column = dice.choice(documents)
        row[column], what = damage_json(dice, row[column])
        return f"{table} {column}: {what}"
    if not others:
        return "nothing"
    column = dice.choice(others)
    row[column] = dice.choice(("", "x", "-1", "9" * 30, "0", "\u00e4"))
    return f"{table} {column} is {row[column]!r}"


def copy_of(rows: list, old: str, new: str) -> list:
    """The same records of another task."""
    def other(value):
        return value.replace(old, new) if isinstance(value, str) else value
    return [(other(table), {column: other(value) for column, value in row.items()}) for table, row in rows]


# running -----------------------------------------------------------------------------------------

def real_records(rig, store, target: FakeTarget, tally: Tally) -> tuple[str, dict, Synthetic]:
    """Runs a task until it has stored something of everything; its id, the configuration and the source."""
    source = Synthetic(rig, headers="full", drops="tombstone")
    config = source.config() | {"metaStoreConfig": store.config(), "checkpointInterval": 100}
    config["sourceConfig"].pop("pulsar")
    server = new_bare(rig, fresh("record"), config)
    with source.ticking():
        task = server.create(target, {"default": [{"name": "*"}]}, name_mapping=[
            {"source_db": "default", "target_db": "default", "collection_mapping": {"a": "b"}}])
        one, two = source.collection(fresh("one"), shards=2), source.collection(fresh("two"))
        two.partition("p")
        for collection in (one, two):
            collection.insert(range(10))
        wait_until(lambda: len(target.seen(one.name)) == len(target.seen(two.name)) == 10, 60, "rows have gone")
        two.drop()
        wait_until(lambda: ("default", two.name) not in target.collections, 60, "the drop has gone")
    ends_well(server, tally, "the server that made records")
    rig.remove(server)
    return task, config, source


def start_on(rig, store, config: dict, tasks: dict, what: str, tally: Tally) -> None:
    """A server on damaged records: all tasks are there, what can't be read is named."""
    server = new_bare(rig, fresh("damaged"), config)
    try:
        wait_until(lambda: server.post("list")["code"] == 200, 60, "the tasks are loaded")
        shown = {t["task_id"]: t for t in server.list()}
        for task, done in tasks.items():
            if task not in shown:
                tally.find(f"{what}, {done}: the task is hidden")
        wait_until(lambda: server.post("list")["code"] == 200, 30, "it still answers")
        log = server.log_path.read_text(errors="replace")
        for task, done in tasks.items():
            told = shown.get(task, {})
            if told.get("state") != "Running" and not told.get("reason") and task not in log:
                tally.find(f"{what}, {done}: {told.get('state')} and nobody says why")
            tally.add("damaged records")
        for task in tasks:  # what can't be read can be deleted
            answer = server.post("delete", {"task_id": task})
            if answer["code"] != 200:
                tally.find(f"{what}, {tasks[task]}: delete is answered with {answer}")
        still_well(server, tally, what, server.pid)
    except Exception as error:
        tally.find(f"{what}: {type(error).__name__}: {error}\n{server.log_tail(30)}\n" + "\n".join(tasks.values()))
    ends_well(server, tally, what)
    rig.remove(server)


def run(rig, seed: object, rounds: int, tally: Tally, kinds: tuple[str, ...] = tuple(STORES), copies: int = COPIES) -> None:
    with FakeTarget() as target:
        for kind in kinds:
            store, dice = STORES[kind](rig), random.Random(f"damage/{seed}/{kind}")
            task, config, _source = real_records(rig, store, target, tally)
            good = [row for row in store.rows() if task in json.dumps(row)]
            tally.add("real records", len(good))
            for number in range(rounds):
                tasks = {}
                for n in range(copies):
                    new = f"{number:04d}{n:04d}" + task[8:]
                    rows = copy_of(good, task, new)
                    done = damage(dice, rows)
                    if store.put(rows):
                        tasks[new] = done
                start_on(rig, store, config, tasks, f"{kind}, seed {seed}, round {number}", tally)
