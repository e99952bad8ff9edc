"""A rig: parts in one folder, their state file, and their common end."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import tempfile
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Callable

from . import ports
from .brokers import Kafka, Pulsar
from .certs import Certs
from .milvus import Milvus
from .part import Part, RigError
from .process import Process, Watchdog
from .proxy import Proxy
from .server import Cdc, default_binary
from .stores import Etcd, MariaDB

KINDS = {part.kind: part for part in (Etcd, Kafka, Pulsar, MariaDB, Proxy, Milvus, Cdc)}
BASE_KINDS = ("etcd", "kafka", "pulsar", "mariadb", "proxy")  # what the others need until their end


def together(*calls: Callable[[], object]) -> list:
    """Runs the calls at once, waits for all, and raises the first failure."""
    futures = [Future() for _ in calls]

    def run(call: Callable[[], object], future: Future) -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # handed to the caller below
            future.set_exception(error)

    # plain threads: an executor refuses work when the interpreter ends, which is when rigs close
    threads = [threading.Thread(target=run, args=pair) for pair in zip(calls, futures)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [future.result() for future in futures]


class Rig:
    """Parts in a folder.

    owned: the parts die with this process, even if it is killed. Otherwise they go on, and a later
    Rig on the same folder finds them in rig.json.
    """

    def __init__(self, dir: str | os.PathLike | None = None, owned: bool = True):
        self._temporary = dir is None
        self.dir = Path(dir or tempfile.mkdtemp(prefix="cdc-rig-")).resolve()
        self.dir.mkdir(parents=True, exist_ok=True)
        self.parts: dict[str, Part] = {}
        self.certs = Certs(self.dir / "certs")
        self._lock = threading.RLock()
        self._starting: dict[str, threading.Lock] = {}
        self._watchdog = Watchdog() if owned else None
        self._load()
        if owned:
            if self._temporary and not os.environ.get("MILVUS_CDC_KEEP"):
                self._watchdog.remove_at_end(self.dir)
            atexit.register(self.close)

    def __enter__(self) -> "Rig":
        return self

    def __exit__(self, *_exc) -> None:
        self.close()

    # parts ---------------------------------------------------------------------------------------

    def etcd(self, name: str = "etcd", **options) -> Etcd:
        return self._start(Etcd, name, options)

    def kafka(self, name: str = "kafka", **options) -> Kafka:
        return self._start(Kafka, name, options)

    def pulsar(self, name: str = "pulsar", **options) -> Pulsar:
        return self._start(Pulsar, name, options)

    def mariadb(self, name: str = "mariadb", **options) -> MariaDB:
        return self._start(MariaDB, name, options)

    def proxy(self, name: str = "proxy", to: str = "") -> Proxy:
        """A proxy that breaks connections on command, in front of the address to."""
        return self._start(Proxy, name, {"to": to})

    def milvus(self, name: str, mq: str = "kafka", target: bool = False, dml_channels: int = 16,
               auth: bool = False, tls: int = 0, etcd: str = "etcd", broker: str = "", **options) -> Milvus:
        """A Milvus; its etcd and broker are started too if they are missing. tls: its tlsMode."""
        broker = broker or mq
        needs = [lambda: self.etcd(etcd)]
        if mq != "rocksmq":
            needs.append(lambda: self._start(KINDS[mq], broker, {}))
        together(*needs)
        options.update(mq=mq, target=target, dml_channels=dml_channels, auth=auth, tls=tls, etcd=etcd,
                       broker=broker)
        return self._start(Milvus, name, options)

    def cdc(self, source: Milvus, name: str = "cdc", config: dict | None = None,
            binary: str | os.PathLike = "", env: dict | None = None) -> Cdc:
        """The server under test, reading from source. env: more environment variables."""
        options = {"source": source.name, "config": config or {}, "binary": str(binary or default_binary()),
                   "env": env or {}}
        return self._start(Cdc, name, options)

    def pair(self, mq: str = "kafka", source: str = "source", target: str = "target",
             target_mq: str = "", **options) -> tuple[Milvus, Milvus]:
        """The usual set: etcd and broker at once, then a source and a target Milvus at once."""
        target_mq = target_mq or ("rocksmq" if mq == "pulsar" else mq)
        together(self.etcd, lambda: self._start(KINDS[mq], mq, {}))
        return tuple(together(lambda: self.milvus(source, mq=mq, **options),
                              lambda: self.milvus(target, mq=target_mq, target=True, **options)))

    def part(self, name: str) -> Part:
        with self._lock:
            if name not in self.parts:
                raise RigError(f"the rig {self.dir} has no part {name!r}, only {sorted(self.parts)}")
            return self.parts[name]

    def _start(self, cls: type[Part], name: str, options: dict) -> Part:
        """Starts a part, or returns the one that is there; two threads never start it twice."""
        with self._lock:
            starting = self._starting.setdefault(name, threading.Lock())
        with starting:
            with self._lock:
                part = self.parts.get(name)
                if part is None:
                    part = self.parts[name] = cls(self, name, options, ports.reserve())
            if not isinstance(part, cls):
                raise RigError(f"{name} is a {part.kind}, not a {cls.kind}")
            return part.start()

    # state ---------------------------------------------------------------------------------------

    @property
    def state_path(self) -> Path:
        return self.dir / "rig.json"

    def save(self) -> None:
        with self._lock:
            text = json.dumps({name: part.describe() for name, part in self.parts.items()}, indent=1)
            fresh = self.state_path.with_suffix(".new")
            fresh.write_text(text + "\n")
            fresh.replace(self.state_path)

    def _load(self) -> None:
        """Parts that an earlier Rig left in this folder, running or not."""
        if not self.state_path.exists():
            return
        for name, entry in json.loads(self.state_path.read_text()).items():
            process = Process(entry["pid"], entry["started"]) if entry.get("pid") else None
            part = KINDS[entry["kind"]](self, name, entry["options"], ports.Block(entry["base"], -1), process)
            self.parts[name] = part
            if self._watchdog and part.alive():
                self._watchdog.watch(process)

    def adopt(self, part: Part) -> None:
        """Called by a part when it has a new process."""
        if self._watchdog:
            self._watchdog.watch(part.process)
        self.save()

    # end -----------------------------------------------------------------------------------------

    def remove(self, part: Part) -> None:
        """Stops a part and forgets it, with its data."""
        part.stop()
        part.release()
        with self._lock:
            self.parts.pop(part.name, None)
            shutil.rmtree(part.dir, ignore_errors=True)
            self.save()

    def down(self) -> None:
        """Stops every part; the data stay."""
        for base in (False, True):
            parts = [p for p in self.parts.values() if (p.kind in BASE_KINDS) == base and p.alive()]
            together(*(part.stop for part in parts))
        for part in self.parts.values():
            part.release()

    def wipe(self) -> None:
        """Ends every part and deletes what the rig made; a folder with other things in it stays.

        Milvus takes long to end politely, which is of no use to data that go away, so all are killed.
        """
        for part in self.parts.values():
            part.kill()
        for part in self.parts.values():
            part.release()
            shutil.rmtree(part.dir, ignore_errors=True)
        self.parts.clear()
        shutil.rmtree(self.certs.folder, ignore_errors=True)
        self.state_path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.dir.rmdir()

    def close(self) -> None:
        """The end of an owned rig: all stopped, a temporary folder gone."""
        atexit.unregister(self.close)
        if self._watchdog is None:
            return
        if self._temporary and not os.environ.get("MILVUS_CDC_KEEP"):
            self.wipe()
        else:
            self.down()
        self._watchdog.close()
        self._watchdog = None
