"""What is downloaded or unpacked once and used by every rig: the Milvus binary and the brokers' jars.

Each peer is a folder that is filled under another name and renamed when complete, so whoever finds
it finds all of it. A lock makes a second process wait instead of fetching the same again.
"""

from __future__ import annotations

import contextlib
import fcntl
import lzma
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDERS = {"milvus": "milvus-2.3.5", "kafka": "kafka-3.7.2", "pulsar": "pulsar-3.0.7"}


class FetchError(Exception):
    """A peer could not be fetched; the text says what to do."""


def root() -> Path:
    """The cache folder, shared with tools/install."""
    return Path(os.environ.get("MILVUS_CDC_CACHE") or Path.home() / ".cache" / "milvus-cdc")


@contextlib.contextmanager
def locked(name: str):
    """Holds <cache>/<name>.lock; the kernel lets go of it if we die."""
    root().mkdir(parents=True, exist_ok=True)
    with open(root() / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def peer(name: str) -> Path:
    """The folder of a peer, fetched if it is not there yet."""
    folder = root() / FOLDERS[name]
    if folder.is_dir():
        return folder
    with locked(name):
        if folder.is_dir():
            return folder
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        print(f"install: fetching {folder.name}", flush=True)
        if name == "milvus":
            _unpack_milvus(part)
        else:
            _copy_jars(name, part)
        part.rename(folder)
    return folder


def milvus_template() -> Path:
    """The folder of the Python package with the configuration of the packed server."""
    import milvus  # only in the cache's venv

    return Path(milvus.__file__).parent / "data"


def _unpack_milvus(into: Path) -> None:
    packed = sorted((milvus_template() / "bin").glob("*.lzma"))
    if not packed:
        raise FetchError("the Python package milvus holds no server binary for this platform")

    def unpack(source: Path) -> None:
        target = into / source.stem
        with lzma.open(source) as reader, open(target, "wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
        target.chmod(0o755)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # lzma lets go of the interpreter lock
        list(pool.map(unpack, packed))


def _copy_jars(name: str, into: Path) -> None:
    command = ["mvn", "-q", "-B", "-f", str(HERE / f"{name}-pom.xml"),
               "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={into}"]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        raise FetchError("mvn is not installed: run tools/install test") from None
    if done.returncode != 0 or not any(into.glob("*.jar")):
        tail = "\n".join(done.stdout.splitlines()[-15:])
        raise FetchError(f"Maven could not fetch the jars of {name}; check the network, proxy and "
                         f"~/.m2/settings.xml, then run it again\n{tail}")


def main(names: list[str]) -> int:
    for name in names:
        try:
            peer(name)
        except (FetchError, OSError, ImportError) as error:
            print(f"install: FAILED: {name}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["milvus", "kafka", "pulsar"]))
