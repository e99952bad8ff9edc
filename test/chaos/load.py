"""Seeded loads on a source, and the reads that check them on the target.

Accounts   upserts that move amounts between rows: at every read of either side the sum is the same
Mixed      inserts, upserts, deletes, deletes with a later insert of the same key
Sideline   partitions and small collections that come and go beside the rows

A load goes on through failures of the source, as a client does: it counts them and tries again. What it
wrote meanwhile may or may not be there, so the two sides are compared with each other and not with a
list of what was sent.
"""

from __future__ import annotations

import random
import threading

from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, Partition, utility

from helpers import fresh, rows_of, simple

from .tally import Tally

QUERY_S = 10.0


class Load:
    """A thread that calls step() until it is stopped. dice decides everything."""

    pause_s = 0.02

    def __init__(self, seed: object, tally: Tally | None = None):
        self.dice, self.tally = random.Random(str(seed)), tally or Tally()
        self.steps = self.failures = 0
        self.last_error: Exception | None = None
        self._stopping, self._going, self._still = threading.Event(), threading.Event(), threading.Event()
        self._going.set()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    def step(self) -> None:
        raise NotImplementedError

    def start(self) -> "Load":
        self._thread.start()
        return self

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._going.is_set():
                self._still.set()
                self._going.wait()
                continue
            try:
                self.step()
                self.steps += 1
                self.tally.add(f"{type(self).__name__.lower()} steps")
            except Exception as error:  # the source is away; clients try again
                self.failures += 1
                self.last_error = error
                self._stopping.wait(0.2)
            self._stopping.wait(self.pause_s)

    def hold(self) -> None:
        """Returns when no call is out; go() goes on."""
        self._still.clear()
        self._going.clear()
        assert not self._thread.is_alive() or self._still.wait(120), f"{type(self).__name__} does not stand still"

    def go(self) -> None:
        self._going.set()

    def stop(self) -> "Load":
        """Returns when its last call has; harmless when repeated."""
        self._stopping.set()
        self._going.set()
        if self._thread.is_alive():
            self._thread.join(120)
        assert not self._thread.is_alive(), f"{type(self).__name__} does not end"
        return self

    def __enter__(self) -> "Load":
        return self.start()

    def __exit__(self, *_exc) -> None:
        self.stop()


class Accounts(Load):
    """ROWS accounts of AMOUNT each. A step moves something between a few of them by one upsert.

    One shard: rows of an upsert on several shards become visible independently, in Milvus as well.
    """

    ROWS, AMOUNT = 60, 1000

    def __init__(self, alias: str, seed: object, tally: Tally | None = None, varchar_pk: bool = False,
                 name: str = ""):
        super().__init__(seed, tally)
        key = FieldSchema("id", DataType.VARCHAR, is_primary=True, max_length=64) if varchar_pk else \
            FieldSchema("id", DataType.INT64, is_primary=True)
        fields = [key, FieldSchema("amount", DataType.INT64), FieldSchema("v", DataType.FLOAT_VECTOR, dim=2)]
        self.collection = Collection(name or fresh("accounts"), CollectionSchema(fields), using=alias, shards_num=1)
        self.collection.create_index("v", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
        self.collection.load()
        self.keys = [f"k{n}" if varchar_pk else n for n in range(self.ROWS)]
        self.amounts = dict.fromkeys(self.keys, self.AMOUNT)
        self.collection.insert([self._row(k, self.AMOUNT) for k in self.keys])

    @property
    def total(self) -> int:
        return self.ROWS * self.AMOUNT

    @staticmethod
    def _row(key, amount: int) -> dict:
        return {"id": key, "amount": amount, "v": [float(amount), 0.0]}

    def step(self) -> None:
        changed = dict(self.amounts)
        for _ in range(self.dice.randint(1, 4)):
            giver, taker = self.dice.sample(self.keys, 2)
            amount = self.dice.randint(-50, 50)
            changed[giver] -= amount
            changed[taker] += amount
        touched = [k for k in self.keys if changed[k] != self.amounts[k]]
        if not touched:
            return
        try:
            self.collection.upsert([self._row(k, changed[k]) for k in touched], timeout=QUERY_S)
        except Exception:
            self._know_again()
            raise
        self.amounts = changed

    def _know_again(self) -> None:
        """After an answer that was lost: what the source holds is what counts."""
        while not self._stopping.wait(0.3):
            try:
                rows = self.collection.query(self._all(), output_fields=["id", "amount"],
                                             consistency_level="Strong", timeout=QUERY_S)
            except Exception:
                continue
            if len(rows) == self.ROWS and sum(r["amount"] for r in rows) == self.total:
                self.amounts = {r["id"]: r["amount"] for r in rows}
                return

    def _all(self) -> str:
        return 'id >= ""' if isinstance(self.keys[0], str) else "id >= 0"


class Auditor(Load):
    """Reads an Accounts collection on one side again and again: all rows there, and their sum right.

    "Eventually": the read sees what is complete up to the last tick and does not wait, so it also works
    while nothing ticks. Until the first rows have come it waits for them (settled).
    """

    pause_s = 0.05

    def __init__(self, accounts: Accounts, alias: str, tally: Tally):
        super().__init__("", tally)
        self.accounts, self.alias = accounts, alias
        self.settled = threading.Event()
        self.last = ""

    def step(self) -> None:
        a = self.accounts
        found = self._wrong()
        if not self.settled.is_set():
            if found:
                return
            self.settled.set()
        self.tally.add("sums checked")
        if found and self._stays_wrong() and found != self.last:
            self.tally.find(f"{a.collection.name} on {self.alias}: reads saw {found}")
        self.last = found

    def _wrong(self) -> str:
        """What one read has found; "" if all is right."""
        a = self.accounts
        rows = Collection(a.collection.name, using=self.alias).query(
            a._all(), output_fields=["id", "amount"], consistency_level="Eventually", timeout=QUERY_S)
        total = sum(row["amount"] for row in rows)
        right = len(rows) == a.ROWS and total == a.total
        return "" if right else f"{len(rows)} of {a.ROWS} accounts with {total} of {a.total}"

    def _stays_wrong(self) -> bool:
        """A read of Milvus (2.3.5) is torn by itself when a growing segment is born: on a source without any
        replication, flushed each second, reads miss rows of the newest segment. The next ones are right."""
        for _ in range(3):
            self._stopping.wait(0.1)
            if not self._wrong():
                self.tally.add("torn reads")
                return False
        return True


class Mixed(Load):
    """Every kind of row change on one collection; keys are never inserted twice while they are there."""

    def __init__(self, collection: Collection, seed: object, tally: Tally | None = None, first: int = 0):
        super().__init__(seed, tally)
        self.collection, self.next = collection, first
        self.live: list[int] = []
        self.varchar = collection.schema.primary_field.dtype == DataType.VARCHAR

    def rows(self) -> int:
        return len(self.live)

    def _delete(self, keys: list[int]) -> None:
        text = ", ".join(f'"{k}"' if self.varchar else str(k) for k in keys)
        self.collection.delete(f"id in [{text}]", timeout=QUERY_S)

    def _insert(self, keys: list[int], seed: object) -> None:
        self.collection.insert(list(rows_of(self.collection, keys, seed)), timeout=QUERY_S)

    def _upsert(self, keys: list[int]) -> None:
        rows = list(rows_of(self.collection, keys, self.dice.random()))
        self.collection.upsert(rows, timeout=QUERY_S)

    def step(self) -> None:
        kind = self.dice.choices(("insert", "upsert", "delete", "again"), (5, 4, 2, 1))[0]
        if kind == "insert" or len(self.live) < 20:
            keys = list(range(self.next, self.next + self.dice.randint(1, 40)))
            self.next = keys[-1] + 1  # never used again, whatever becomes of the call
            self._insert(keys, self.dice.random())
            self.live += keys
            return
        keys = self.dice.sample(self.live, self.dice.randint(1, 12))
        if kind == "upsert":
            self._upsert(keys)
            return
        # whether they are there is not known until the call has returned
        self.live = [k for k in self.live if k not in set(keys)]
        self._delete(keys)
        if kind == "again":
            self._upsert(keys)
            self.live += keys


class Sideline(Load):
    """Collections that come and go with a few rows, and partitions of them; the task has to cover "*" or prefix*.

    names: all that were ever made; alive: those that should be there at the end.
    """

    pause_s = 0.4

    def __init__(self, alias: str, names: list[str], seed: object, tally: Tally | None = None):
        super().__init__(seed, tally)
        self.alias, self.names = alias, names
        self.alive: dict[str, list[str]] = {}
        self.written = 0

    def step(self) -> None:
        name = self.dice.choice(self.names)
        if name not in self.alive:
            if utility.has_collection(name, using=self.alias, timeout=QUERY_S):
                utility.drop_collection(name, using=self.alias, timeout=QUERY_S)
            collection = simple(self.alias, name, load=False, shards_num=self.dice.choice((1, 2)))
            self.alive[name] = []
        else:
            collection = Collection(name, using=self.alias)
        kind = self.dice.choice(("rows", "rows", "partition", "unpartition", "drop"))
        if kind == "rows":
            self._write(collection, self.dice.choice(["_default", *self.alive[name]]))
        elif kind == "partition":
            part = f"p{self.dice.randrange(4)}"  # names come back
            if part in self.alive[name]:
                return
            collection.create_partition(part, timeout=QUERY_S)
            self.alive[name].append(part)
            self._write(collection, part)
        elif kind == "unpartition" and self.alive[name]:
            part = self.alive[name].pop(self.dice.randrange(len(self.alive[name])))
            Partition(collection, part).drop(timeout=QUERY_S)
        elif kind == "drop":
            del self.alive[name]
            collection.drop(timeout=QUERY_S)

    def _write(self, collection: Collection, partition: str) -> None:
        keys = range(self.written, self.written + 10)
        self.written += 10
        collection.insert(list(rows_of(collection, keys, self.dice.random())), partition_name=partition,
                          timeout=QUERY_S)
