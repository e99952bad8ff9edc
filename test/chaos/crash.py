"""What the crash tests share: a load of every kind in databases of its own, and the comparison at a rest.

    Rows    a thread: inserts, upserts, deletes, deletes followed by an insert of the same key, on one collection
    Story   two such collections (int64 and varchar keys) and, turn by turn, everything that is no row: a database,
            a collection with an index, a partition, an alias come, and those of the turn before go
"""

from __future__ import annotations

import contextlib
import random
import threading

from pymilvus import Collection, Partition, connections, db, utility

from helpers import equal, fresh, rows_of, simple, wait_until

SETTLE_S = 120.0
MOST_ROWS = 300  # of a collection at a time: comparing them is what takes long
PAUSE_S = 0.02
FLAT = {"index_type": "FLAT", "metric_type": "L2", "params": {}}


class Rows:
    """Changes rows until it is stopped; hold() returns when no call is out. A key is never inserted twice."""

    def __init__(self, collection: Collection, seed: object):
        self.collection, self.dice = collection, random.Random(f"rows/{seed}")
        self.varchar = collection.schema.primary_field.dtype.name == "VARCHAR"
        self.live: list[int] = []
        self.next = self.steps = 0
        self.error: Exception | None = None
        self._turn = threading.Condition()
        self._held = self._ended = self._busy = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while True:
                with self._turn:
                    self._turn.wait_for(lambda: self._ended or not self._held)
                    if self._turn.wait_for(lambda: self._ended, PAUSE_S):
                        return
                    if self._held:
                        continue
                    self._busy = True
                try:
                    self.step()
                finally:
                    with self._turn:
                        self._busy = False
                        self.steps += 1
                        self._turn.notify_all()
        except Exception as error:  # shown by whoever waits
            with self._turn:
                self.error = error
                self._turn.notify_all()

    def step(self) -> None:
        kind = self.dice.choices(("insert", "upsert", "delete", "again"), (5, 4, 2, 1))[0]
        many = len(self.live) > MOST_ROWS
        if many:
            kind = "delete"
        if kind == "insert" or len(self.live) < 20:
            keys = list(range(self.next, self.next + self.dice.randint(1, 30)))
            self.next = keys[-1] + 1
            self.collection.insert(list(rows_of(self.collection, keys, self.dice.random())))
            self.live += keys
            return
        keys = self.dice.sample(self.live, MOST_ROWS // 2 if many else self.dice.randint(1, 10))
        if kind != "upsert":
            text = ", ".join(f'"{k}"' if self.varchar else str(k) for k in keys)
            self.collection.delete(f"id in [{text}]")
        if kind == "delete":
            self.live = [k for k in self.live if k not in set(keys)]
        else:
            self.collection.upsert(list(rows_of(self.collection, keys, self.dice.random())))

    def more(self, steps: int, timeout: float = 60) -> None:
        """Waits for so many further steps."""
        with self._turn:
            goal = self.steps + steps
            done = self._turn.wait_for(lambda: self.error or self.steps >= goal, timeout)
            if self.error:
                raise self.error
            assert done, "the load stands still"

    def hold(self) -> None:
        with self._turn:
            self._held = True
            assert self._turn.wait_for(lambda: not self._busy, 60), "a call to the source does not end"
            if self.error:
                raise self.error

    def go(self) -> None:
        with self._turn:
            self._held = False
            self._turn.notify_all()

    def stop(self) -> None:
        with self._turn:
            self._ended = True
            self._turn.notify_all()
        self._thread.join(60)


class Story:
    """See above. dbs: what a task has to cover, all of their collections."""

    TURNS = 3  # databases that take turns

    def __init__(self, source, target, seed: object):
        self.source, self.target, self.dice = source, target, random.Random(f"story/{seed}")
        self.home = fresh("home")
        self.dbs = [self.home, *(fresh("guest") for _ in range(self.TURNS))]
        self.turns = self.compared = 0
        self.guests: dict[str, list[str]] = {}  # database to collections that are there
        db.create_database(self.home, using="source")
        self.rows: list[Rows] = []

    @property
    def selection(self) -> dict:
        return {name: [{"name": "*"}] for name in self.dbs}

    def begin(self) -> None:
        """The loads; their collections must come after the task, which then also indexes and loads them."""
        alias = self._alias(self.source, self.home)
        for number, varchar in enumerate((False, True)):
            collection = simple(alias, fresh("rows"), shards_num=2, varchar_pk=varchar)
            self.rows.append(Rows(collection, f"{self.dice.random()}/{number}"))

    def end(self) -> None:
        for load in self.rows:
            load.stop()

    def _alias(self, part, name: str) -> str:
        alias = f"{part.name}/{name}"
        if not connections.has_connection(alias):
            part.connect(alias, name)
        return alias

    # turns ---------------------------------------------------------------------------------------

    def turn(self, loaded: bool = False) -> None:
        """Something of everything comes, and what came a turn ago goes."""
        name = self.dbs[1 + self.turns % self.TURNS]
        self.turns += 1
        if name in self.guests:
            self._leave(name)
        old = next(iter(self.guests), "")  # it leaves in the next turn
        db.create_database(name, using="source")
        self.guests[name] = []
        self._come(name, loaded)
        if old:
            self._part(old)

    def _come(self, name: str, loaded: bool) -> None:
        alias = self._alias(self.source, name)
        collection = simple(alias, "guest", load=False, shards_num=self.dice.choice((1, 2)))
        self.guests[name].append("guest")
        keys = range(self.dice.randint(5, 30))
        collection.insert(list(rows_of(collection, keys, self.turns)))
        collection.create_partition("part")
        collection.insert(list(rows_of(collection, range(1000, 1010), self.turns)), partition_name="part")
        collection.create_index("v", FLAT)
        if loaded:
            collection.load()
        utility.create_alias("guest", "visitor", using=alias)

    def _part(self, name: str) -> None:
        """A partition and an alias go, and an index."""
        collection = Collection("guest", using=self._alias(self.source, name))
        with contextlib.suppress(Exception):  # not loaded
            collection.release()
        if collection.has_partition("part"):
            Partition(collection, "part").drop()
        if collection.has_index():
            collection.drop_index()

    def _leave(self, name: str) -> None:
        alias = self._alias(self.source, name)
        for made in self.guests.pop(name):
            utility.drop_alias("visitor", using=alias)
            utility.drop_collection(made, using=alias)
        db.drop_database(name, using="source")

    # comparing -----------------------------------------------------------------------------------

    def settle(self, timeout: float = SETTLE_S) -> None:
        """Holds the loads and waits until both sides hold the same; AssertionError with what differs."""
        for load in self.rows:
            load.hold()
        last = "never compared"

        def probe() -> bool:
            nonlocal last
            last = self.difference()
            return not last

        try:
            wait_until(probe, timeout, "both sides are equal", pause=0.1)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{last}") from None
        for load in self.rows:
            load.go()

    def difference(self) -> str:
        """The first thing that differs, "" if nothing does."""
        there = set(db.list_database(using="source")), set(db.list_database(using="target"))
        for name in self.dbs:
            if (name in there[0]) != (name in there[1]):
                return f"database {name} is on the {'source' if name in there[0] else 'target'} only"
            if name in there[0] and (found := self._database(name)):
                return found
        return ""

    def _database(self, name: str) -> str:
        aliases = self._alias(self.source, name), self._alias(self.target, name)
        names = [set(utility.list_collections(using=alias)) for alias in aliases]
        if names[0] != names[1]:
            return f"database {name}: collections {names[0]} on the source, {names[1]} on the target"
        for made in names[0]:
            sides = [Collection(made, using=alias) for alias in aliases]
            shapes = [(sorted(p.name for p in side.partitions), side.has_index(), sorted(side.aliases),
                       utility.load_state(made, using=side._using).name) for side in sides]
            if shapes[0] != shapes[1]:
                return f"{name}.{made}: partitions, index, aliases, load {shapes[0]} on the source, {shapes[1]}"
            if shapes[0][3] != "Loaded":
                continue
            if found := equal(*sides):
                return f"{name}.{found}"
            self.compared += sides[0].query("", output_fields=["count(*)"])[0]["count(*)"]
        return ""
