"""Peers that answer garbage: a port that speaks nonsense where etcd, the queue, a target or MySQL should be."""

from __future__ import annotations

import random
import signal
import socket
import struct
import subprocess
import threading
import time

import yaml

from helpers import wait_until
from rig import together
from rig.server import FINDINGS, default_binary

from .bare import NOBODY, ends_well, new_bare, still_well
from .tally import Tally

H2 = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"  # an empty SETTINGS frame


def h2_frame(kind: int, flags: int, stream: int, body: bytes, length: int = -1) -> bytes:
    return struct.pack(">I", len(body) if length < 0 else length)[1:] + bytes([kind, flags]) + \
        struct.pack(">I", stream) + body


def chatter(mode: str, dice: random.Random):
    """What is sent on a new connection and after each piece that comes in; None ends the connection."""
    noise = dice.randbytes(dice.randint(1, 3000))
    table = {
        "silence": lambda first: b"",
        "close": lambda first: None,
        "noise": lambda first: noise,
        "http": lambda first: b"" if first else b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nno\n",
        "echo": None,
        "zeros": lambda first: bytes(4096),
        "ones": lambda first: b"\xff" * 4096,
        "h2 then noise": lambda first: H2 if first else h2_frame(1, 4, 1, noise),
        "h2 headers that lie": lambda first: H2 if first else h2_frame(1, 4, 1, b"\x88", 0xffffff),
        "h2 data for nobody": lambda first: H2 if first else h2_frame(0, 0, 99, noise),
        "h2 goaway": lambda first: H2 if first else h2_frame(7, 0, 0, struct.pack(">II", 0, dice.randrange(14))),
        "h2 ok and no protobuf": lambda first: H2 if first else
        h2_frame(1, 4, 1, b"\x88\x0f\x10\x10application/grpc") + h2_frame(0, 0, 1, b"\x00\x00\x00\x00\x05" + noise[:5]),
        "h2 message too long": lambda first: H2 if first else
        h2_frame(1, 4, 1, b"\x88\x0f\x10\x10application/grpc") + h2_frame(0, 0, 1, b"\x00\xff\xff\xff\xff" + noise),
        "long frame": lambda first: b"\x7f\xff\xff\xff" + noise,
        "small frames": lambda first: b"\x00\x00\x00\x01x" * 50,
        "negative frame": lambda first: b"\xff\xff\xff\xff" + noise,
        "mysql greeting cut": lambda first: b"\x4a\x00\x00\x00\x0a5.5.5-10.11" if first else b"",
        "mysql greeting of noise": lambda first: b"\x4a\x00\x00\x00\x0a" + noise[:70] if first else noise,
        "mysql error": lambda first: b"\x17\x00\x00\x00\xff\x10\x04Too many connections" if first else b"",
        "pulsar noise": lambda first: b"" if first else struct.pack(">II", len(noise) + 4, len(noise)) + noise,
        "pulsar size that lies": lambda first: b"" if first else struct.pack(">II", 8, 1 << 30) + noise,
        "kafka noise": lambda first: b"" if first else struct.pack(">II", len(noise) + 4, 1) + noise,
    }
    return table


MODES = sorted(chatter("", random.Random(0)))
FLOOD = 64 << 20


class Garbage:
    """A listener in one mode. flood: goes on sending for ever."""

    def __init__(self, mode: str, seed: object, flood: bool = False):
        self.mode, self.flood, self.dice = mode, flood, random.Random(f"{seed}/{mode}")
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.closing = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(link,), daemon=True).start()

    def _talk(self, link: socket.socket) -> None:
        say = chatter(self.mode, self.dice)[self.mode]
        link.settimeout(0.5)
        first, sent = True, 0
        with link:
            while not self.closing.is_set():
                try:
                    text = (b"" if first else data) if say is None else say(first)
                    if text is None:
                        return
                    link.sendall(text)
                    first, sent = False, sent + len(text)
                    if self.flood and sent < FLOOD:
                        continue
                    data = link.recv(65536)
                    if not data:
                        return
                except TimeoutError:
                    data = b""
                    if say is not None and not self.flood and not first:
                        self.closing.wait(0.2)
                except OSError:
                    return

    def close(self) -> None:
        self.closing.set()
        self.listener.close()


PEERS = ("etcd", "kafka", "pulsar", "store etcd", "store mysql", "target")


def config_for(peer: str, address: str) -> dict:
    read: dict = {"etcd": {"address": [NOBODY]}, "kafka": {"address": NOBODY}, "replicateChan": "x-replicate-msg"}
    if peer == "etcd":
        read["etcd"] = {"address": [address]}
    if peer == "kafka":
        read["kafka"] = {"address": address}
    if peer == "pulsar":
        read = {k: v for k, v in read.items() if k != "kafka"} | {"pulsar": {"address": f"pulsar://{address}"}}
    conf: dict = {"sourceConfig": read}
    if peer == "store etcd":
        conf["metaStoreConfig"] = {"storeType": "etcd", "etcd": {"address": [address]}, "rootPath": "cdc"}
    if peer == "store mysql":
        conf["metaStoreConfig"] = {"storeType": "mysql", "mysqlSourceUrl": f"u:p@tcp({address})/db?timeout=2s",
                                   "rootPath": "cdc"}
    return conf


def rss_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def names(server, address: str) -> bool:
    """The log, or what list answers."""
    return address in server.log_path.read_text(errors="replace") or address in str(server.post("list"))


def read_pulsar(rig, mode: str, seed: object, flood: bool, tally: Tally) -> None:
    """A server talks to its Pulsar only for a collection; inspect does at once, with the same client."""
    what = f"pulsar answers with {mode}{' without end' if flood else ''} (seed {seed})"
    garbage = Garbage(mode, seed, flood)
    path = rig.dir / f"pulsar-{garbage.address[10:]}.yaml"
    config = {"address": NOBODY, **config_for("pulsar", garbage.address)}
    config["sourceConfig"]["etcd"] = {"address": [rig.etcd().address], "rootPath": "nobody"}
    path.write_text(yaml.safe_dump(config))
    command = [str(default_binary()), "inspect", "--channel", "x-rootcoord-dml_0", "--from", "earliest", "--limit", "1",
               "--config", str(path)]
    tool = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        wait_until(lambda: garbage.connections > 2 or tool.poll() is not None, 20, "it connects", pause=0.2)
    except TimeoutError:
        pass  # a peer that says nothing keeps it waiting
    tool.terminate()
    text, _ = tool.communicate(timeout=60)
    if FINDINGS.search(text) or tool.returncode not in (0, 1, -signal.SIGTERM) or not garbage.connections:
        tally.find(f"{what}: exit code {tool.returncode}, {garbage.connections} connections\n{text[-3000:]}")
    garbage.close()
    tally.add("garbage talks")


def talk(rig, peer: str, mode: str, seed: object, flood: bool, tally: Tally, name: str) -> None:
    """A server with that peer for a while: it lives, answers, names the peer, and ends when told."""
    what = f"{peer} answers with {mode}{' without end' if flood else ''} (seed {seed})"
    if peer == "pulsar":
        read_pulsar(rig, mode, seed, flood, tally)
        return
    garbage = Garbage(mode, seed, flood)
    server = new_bare(rig, name, config_for(peer, garbage.address))
    try:
        pid = server.pid
        if peer == "target":
            data = {"milvus_connect_param": {"uri": f"http://{garbage.address}", "connect_timeout": 2},
                    "db_collections": {"default": [{"name": "c"}]}}
            answer = server.post("create", data, timeout=60)
            if answer.get("code") == 200 or garbage.address not in answer.get("message", ""):
                tally.find(f"{what}: create is answered with {answer}")
        wait_until(lambda: garbage.connections > 0 or not server.alive(), 30, f"{what}: the server connects")
        wait_until(lambda: peer == "target" or not server.alive() or names(server, garbage.address), 30,
                   f"the log names {garbage.address}")
        if still_well(server, tally, what, pid):
            if rss_mb(pid) > 1200:  # a sanitized server; what a peer sends is capped
                tally.find(f"{what}: the server holds {rss_mb(pid):.0f} MB")
        tally.add("garbage talks")
    except Exception as error:
        tally.find(f"{what}: {type(error).__name__}: {error}\n{server.log_tail(20)}")
    finally:
        garbage.close()
        ends_well(server, tally, what)
        rig.remove(server)


def run(rig, seed: object, count: int, tally: Tally, until: float = 0) -> None:
    """count talks, or all pairs of peer and mode that fit."""
    dice = random.Random(f"garbage/{seed}")
    deck = [(peer, mode, flood) for peer in PEERS for mode in MODES for flood in (False, True)
            if not (flood and mode in ("silence", "close", "echo", "http"))]
    dice.shuffle(deck)
    deck = deck[:count] if count else deck
    for at in range(0, len(deck), 3):
        if until and time.monotonic() > until:
            return
        together(*(lambda p=p, m=m, f=f, n=n: talk(rig, p, m, f"{seed}/{at + n}", f, tally, f"garbage{n}")
                   for n, (p, m, f) in enumerate(deck[at:at + 3])))
