"""Single faults that need a stage of their own: a full disk, a clock that jumps, a queue that forgets."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from pathlib import Path

from confluent_kafka import TopicPartition

from helpers import fill, fresh, simple, wait_collection, wait_until
from queues import channels_of

from .compare import wait_same
from .tally import Tally
from .world import World

ROOT = Path(__file__).resolve().parents[2]


def lasting(seconds: float) -> None:
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, seconds + 5, "it has lasted")


class SmallDisk:
    """A file system of a few hundred KiB of its own; only root can make one."""

    def __init__(self, folder: Path, kib: int = 1024):
        self.folder = folder
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", str(folder)], check=True)

    def fill(self) -> None:
        """Not a byte is left."""
        with open(self.folder / "filler", "ab", buffering=0) as filler:
            try:
                while filler.write(bytes(4096)):
                    pass
            except OSError:
                pass

    def free(self) -> None:
        (self.folder / "filler").unlink(missing_ok=True)

    def read_only(self, on: bool) -> None:
        subprocess.run(["mount", "-o", f"remount,{'ro' if on else 'rw'}", str(self.folder)], check=True)

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=False)


def can_mount() -> bool:
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


def disk_full(rig, tally: Tally, seconds: float = 6) -> None:
    """The SQLite store's disk is full under load: rows go on or wait, nothing dies, a kill meanwhile loses nothing."""
    disk = SmallDisk(rig.dir / fresh("disk"))
    try:
        world = World(rig, tally, config={"metaStoreConfig": {"sqlitePath": str(disk.folder / "cdc.db")}})
        try:
            world.load("disk", mixed=1)
            world.written(5)
            disk.fill()
            lasting(seconds)
            wait_until(lambda: "cdc.db" in world.cdc.log_path.read_text(errors="replace") or
                       "full" in world.cdc.log_path.read_text(errors="replace"), 20, "the log names the full disk")
            world.cdc.kill()
            lasting(1)
            disk.free()
            world.cdc.start()
            world.pid = world.cdc.pid
            world.written(5)
            world.check("a full disk")
            tally.add("faults")
        finally:
            world.close()
    finally:
        disk.close()


def disk_read_only(rig, tally: Tally) -> None:
    """The store can't be written when the server starts: it says so, and goes on when it can."""
    disk = SmallDisk(rig.dir / fresh("disk"))
    try:
        world = World(rig, tally, config={"metaStoreConfig": {"sqlitePath": str(disk.folder / "cdc.db")}})
        try:
            world.load("read only", mixed=1)
            world.written(5)
            world.cdc.stop()
            disk.read_only(True)
            text = ""
            try:
                world.cdc.start_timeout = 8
                world.cdc.start()
            except Exception as error:
                text = str(error)
            lasting(1)
            text += world.cdc.log_tail(20)
            if "cdc.db" not in text:
                tally.find(f"a read-only disk is not named: {text}")
            world.cdc.kill()
            disk.read_only(False)
            world.cdc.start_timeout = 30
            world.cdc.start()
            world.pid = world.cdc.pid
            world.written(5)
            world.check("a read-only disk")
            tally.add("faults")
        finally:
            world.close()
    finally:
        disk.close()


class Clock:
    """The server's wall clock, moved by an LD_PRELOADed shim (test/chaos/clock_jump.c)."""

    def __init__(self, folder: Path):
        self.file, self.library = folder / fresh("clock"), folder / "clock_jump.so"
        if not self.library.exists():
            subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(self.library),
                            str(ROOT / "test/chaos/clock_jump.c")], check=True)
        self.jump(0)

    def jump(self, seconds: float) -> None:
        """That far from the true time."""
        with open(self.file, "r+b" if self.file.exists() else "wb") as file:
            file.write(struct.pack("<q", int(seconds * 1e9)))

    def env(self) -> dict:
        return {"LD_PRELOAD": str(self.library), "CLOCK_JUMP_FILE": str(self.file),
                "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}


def clock_jumps(rig, tally: Tally, jumps: tuple[float, ...] = (3600, -3600, 30, -7, 0), seconds: float = 3) -> None:
    """The server's clock jumps under load; at the last jump it is also killed and starts on the wrong time."""
    clock = Clock(rig.dir)
    world = World(rig, tally, env=clock.env())
    try:
        world.load("clock", mixed=1)
        for jump in jumps:
            world.written(3)
            clock.jump(jump)
            tally.add("faults")
            lasting(seconds)
            world.invariants(f"a jump of the clock to {jump:+} s")
        clock.jump(jumps[0])
        world.cdc.kill()
        world.cdc.start()
        world.pid = world.cdc.pid
        world.written(3)
        world.check("jumps of the clock")
        tally.add("faults")
    finally:
        world.close()


def retention(rig, tally: Tally) -> None:
    """Kafka forgets what a paused task has not read: its collection fails with the gap, another one goes on."""
    world = World(rig, tally)
    try:
        lost, kept = simple("source", shards_num=1), None
        task = world.task([lost.name])
        lost.create_index("v", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
        fill(lost, range(50))
        wait_until(lambda: world.cdc.get(task)["detail"]["collection_states"].get("Running") == 1, 30, "it runs")
        world.cdc.pause_task(task)
        fill(lost, range(50, 100))
        lost.query("id >= 0", limit=1, consistency_level="Strong", timeout=20)  # the source has read it itself
        topic = channels_of(world.source, lost)[0]
        end = world.queue.ends(topic)[1]
        admin = world.queue.admin()  # has to live until it is done
        for done in admin.delete_records([TopicPartition(topic, 0, end)]).values():
            done.result(timeout=20)
        world.cdc.resume_task(task)
        wait_until(lambda: world.cdc.get(task)["detail"]["collection_states"].get("Failed") == 1, 60,
                   "the collection is Failed")
        if world.cdc.get(task)["state"] != "Running" or topic not in world.cdc.log_path.read_text(errors="replace"):
            tally.find(f"a gap in {topic} is not named: {world.cdc.get(task)}\n{world.cdc.log_tail(20)}")
        kept = fresh("kept")
        world.task([kept])
        collection = simple("source", kept)
        fill(collection, range(100))
        wait_collection(kept, "target", timeout=60)
        different = wait_same([kept], tally, 60)
        if different:
            tally.find(f"beside a collection with a gap: {different}")
        world.invariants("retention")
        tally.add("faults")
        world.names += [lost.name, kept]
    finally:
        world.close()
