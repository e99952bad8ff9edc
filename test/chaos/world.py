"""A source, a target, our server between them, and something that breaks on every way between.

    source ── queue ──▶ proxy ──▶ server ──▶ proxy ──▶ witness ──▶ target
           ── etcd ───▶ proxy ──▶        ──▶ proxy ──▶ metastore

The source and the target themselves use their peers directly, so a proxy's faults meet the server alone;
what is done to a peer meets all.
"""

from __future__ import annotations

import contextlib
import shutil

from pymilvus import Collection, MilvusException

from helpers import fresh, simple, wait_collection, wait_until
from rig import Rig, together

from .audit import audit, ends
from .compare import wait_same
from .load import Accounts, Auditor, Load, Mixed
from .tally import OUT, Tally
from .witness import new_witness

STORES = ("sqlite", "etcd", "mysql")


class World:
    """Peers are shared by the worlds of a rig; each world has a server of its own."""

    def __init__(self, rig: Rig, tally: Tally, store: str = "sqlite", witness_name: str = "witness", **server):
        self.rig, self.tally, self.store = rig, tally, store
        self.source, self.target = rig.part("source"), rig.part("target")
        self.etcd, self.queue = rig.part("etcd"), rig.part(self.source.options["broker"])
        self.source.connect()
        self.target.connect()
        self.witness = new_witness(rig, self.target, witness_name)
        self.proxies = {"target": rig.proxy("to-target", self.witness.address),
                        "etcd": rig.proxy("to-etcd", self.etcd.address)}
        self._queue_proxy()
        for proxy in self.proxies.values():
            proxy.heal()
        self.witness.heal()
        self.cdc = self._server(server)
        self.pid = self.cdc.pid
        self.tasks: dict[str, list[str]] = {}  # to its collections
        self.loads: list[Load] = []
        self.names: list[str] = []  # what has to be equal
        self._seen = len(self.witness.violations())
        # what others did to a shared target by hand is not audited, and where it was killed its log may be cut
        self.since = ends(rig.part(self.target.options["broker"]), self.target.name)

    def _queue_proxy(self) -> None:
        wire = self.rig.proxy("wire")
        wire.target(self.queue.through_address)
        self.proxies["queue"] = wire

    def _store(self) -> dict:
        if self.store == "etcd":
            proxy = self.proxies["store"] = self.rig.proxy("to-store", self.etcd.address)
            return {"storeType": "etcd", "etcd": {"address": [proxy.address]}, "rootPath": fresh("cdc")}
        if self.store == "mysql":
            part = self.rig.mariadb()
            proxy = self.proxies["store"] = self.rig.proxy("to-store", part.address)
            dsn = part.dsn.replace(part.address, proxy.address)
            return {"storeType": "mysql", "mysqlSourceUrl": dsn, "rootPath": fresh("cdc")}
        return {}

    def _server(self, more: dict):
        read: dict = {"etcd": {"address": [self.proxies["etcd"].address]}}
        wire = self.proxies["queue"].address
        if self.queue.kind == "pulsar":
            read["pulsar"] = {"address": f"pulsar://{wire}"}
        else:
            read["kafka"] = {"address": wire}
        config = {"sourceConfig": read, **more.pop("config", {})}
        if store := self._store():
            config["metaStoreConfig"] = store
        return self.rig.cdc(self.source, name=more.pop("name", fresh("chaos")), config=config, **more)

    # tasks and loads -----------------------------------------------------------------------------

    @property
    def entrance(self):
        """What create is given as the target: the address of the proxy before the witness."""
        return _Entrance(self.proxies["target"], self.witness)

    def task(self, names: list[str], **more) -> str:
        task = self.cdc.create(self.entrance, {"default": [{"name": n} for n in names]}, **more)
        self.tasks[task] = names
        return task

    def load(self, seed: object, mixed: int = 2, shards: int = 2, varchar: bool = False) -> str:
        """A task with an account book and some collections under mixed load, all going; its id."""
        book = fresh("accounts")
        names = [book, *(fresh("mixed") for _ in range(mixed))]
        task = self.task(names)
        accounts = Accounts("source", seed, self.tally, varchar_pk=varchar, name=book)
        self.loads.append(accounts)
        for number, name in enumerate(names[1:]):
            collection = simple("source", name, shards_num=shards, varchar_pk=bool(number % 2))
            # two writers: their messages stand between each other in the topic
            self.loads += [Mixed(collection, f"{seed}/{number}/{first}", self.tally, first) for first in (0, 10**7)]
        self.names += names
        for name in names:
            wait_collection(name, "target", timeout=90)
        self.loads.append(Auditor(accounts, "target", self.tally))
        for load in self.loads:
            if load.steps == 0 and not load._thread.is_alive():
                load.start()
        return task

    def writers(self) -> list[Load]:
        return [load for load in self.loads if not isinstance(load, Auditor)]

    def auditors(self) -> list[Auditor]:
        return [load for load in self.loads if isinstance(load, Auditor)]

    def written(self, steps: int = 10, timeout: float = 60) -> None:
        """Waits until every load has done so many more steps."""
        goals = [(load, load.steps + steps) for load in self.writers()]
        wait_until(lambda: all(load.steps >= goal for load, goal in goals), timeout,
                   f"the loads write ({[str(load.last_error)[:200] for load in self.writers() if load.last_error]})")

    # looking -------------------------------------------------------------------------------------

    def mend(self) -> None:
        """Every peer runs again and every proxy passes; peers that did not survive are started."""
        for proxy in self.proxies.values():
            proxy.heal()
        self.witness.heal()
        for part in (self.etcd, self.queue, *self._more_peers()):
            part.resume()
            if not part.alive():
                part.start()
        together(*(lambda p=p: self._revive(p) for p in (self.source, self.target)))

    def _more_peers(self) -> list:
        return [self.rig.parts["mariadb"]] if self.store == "mysql" else []

    def _revive(self, milvus) -> None:
        """A Milvus that lost its etcd or its queue for long ends, or lives on without answering."""
        milvus.resume()
        if milvus.alive():
            with contextlib.suppress(TimeoutError):
                wait_until(milvus.ready, 25, f"{milvus.name} answers", pause=0.3)
                return
            milvus.kill()
        self.tally.add("milvus restarts")
        milvus.start()
        milvus.connect()

    def check(self, what: str, timeout: float = 120) -> bool:
        """Holds the writers and compares everything; adds what is wrong to the tally. False then."""
        for load in self.writers():
            load.hold()
        before = len(self.tally.findings)
        different = wait_same(self.names, self.tally, timeout)
        if different:
            self.tally.find(f"after {what}: {different}")
        self.invariants(what)
        for load in self.writers():
            load.go()
        return len(self.tally.findings) == before

    def invariants(self, what: str) -> None:
        """What holds at any time: the server lives, its tasks run, the witness is content."""
        if not self.cdc.alive() or self.cdc.pid != self.pid:
            self.tally.find(f"after {what}: the server is gone\n{self.cdc.log_tail(40)}")
            return
        for task in self.tasks:
            told = self.cdc.get(task)
            if told["state"] != "Running":
                self.tally.find(f"after {what}: task {task} is {told['state']}: {told.get('reason')}")
        violations = self.witness.violations()
        for text in violations[self._seen:]:
            self.tally.find(f"after {what}: {text}")
        self._seen = len(violations)

    def close(self) -> None:
        """Ends loads and server, leaves no collection behind, reads the target's topics, and fails on sanitizer findings."""
        for load in self.loads:
            load.stop()
        if not self.cdc.stop():
            self.tally.find(f"the server did not end within {self.cdc.stop_timeout:g} s of SIGTERM")
        if self.cdc.findings():
            self.tally.find(f"sanitizer findings:\n{self.cdc.findings()}")
        self.invariants_of_witness()
        for proxy in self.proxies.values():
            proxy.heal()
        self.witness.heal()
        with contextlib.suppress(TimeoutError):
            audit(self.rig.part(self.target.options["broker"]), self.target.name, self.tally, self.since)
        if self.tally.findings:
            self.keep_log()
        self.rig.remove(self.cdc)

    def keep_log(self) -> None:
        """The server's log goes where the report will be."""
        OUT.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.cdc.log_path, OUT / f"{self.tally.section}.log".replace(" ", "_"))
        for side in ("source", "target"):
            for name in self.names:
                with contextlib.suppress(MilvusException):
                    Collection(name, using=side).drop(timeout=30)

    def invariants_of_witness(self) -> None:
        violations = self.witness.violations()
        for text in violations[self._seen:]:
            self.tally.find(f"at the end: {text}")
        self._seen = len(violations)

    def copy(self, name: str) -> Collection:
        return Collection(name, using="target")


class _Entrance:
    """A target's address that is not the target's own."""

    def __init__(self, proxy, witness):
        self.uri, self.token, self.dial_config = f"http://{proxy.address}", witness.token, {}
