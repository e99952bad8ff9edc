"""The package and the image in a clean Debian: installed, run, upgraded, removed. make package-test"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from clean_root import CleanRoot
from dockerfile import Build, parse, start
from pages import Shell, steps
from rig import Rig, wait_until
from rig.ports import reserve
from rig.server import REPOSITORY

UNIT = (REPOSITORY / "packaging/milvus-cdc.service").read_text()


@pytest.fixture
def port():
    block = reserve()
    yield block.base
    block.close()


def config(port: int, **more) -> str:
    return json.dumps({"address": f"127.0.0.1:{port}", **more, "sourceConfig": {
        "etcd": {"address": ["127.0.0.1:1"]}, "kafka": {"address": "127.0.0.1:1"},
        "replicateChan": "by-dev-replicate-msg"}})


def package(folder: Path, version: str) -> Path:
    made = subprocess.run([REPOSITORY / "tools/deb", "--out", folder, "--version", version], check=True,
                          stdout=subprocess.PIPE, text=True, cwd=REPOSITORY).stdout
    return Path(made.strip())


def healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def stop(process: subprocess.Popen) -> None:
    """SIGTERM to the server itself: process is what entered the root, the server its child."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGTERM)
    process.wait(60)


def unit(name: str) -> list[str]:
    return re.search(rf"^{name}=(.*)$", UNIT, re.M).group(1).split()


def test_package(tmp_path, port):
    """Installed with what it depends on; runs as its user; keeps a changed configuration over upgrades, and all
    data over a removal; a purge takes everything."""
    with CleanRoot(tmp_path / "root") as root:
        root.run("apt-get", "-q", "update")
        root.install(package(tmp_path, "1.0.0"))
        etc, state = root.path / "etc/milvus-cdc", root.path / "var/lib/milvus-cdc"
        assert root.run("stat", "-c", "%U:%G %a", "/etc/milvus-cdc/cdc.yaml") == "root:milvus-cdc 640\n"
        assert root.run("stat", "-c", "%U:%G %a", "/var/lib/milvus-cdc") == "milvus-cdc:milvus-cdc 750\n"
        shell = root.run("getent", "passwd", "milvus-cdc").strip().rsplit(":", 1)[1]
        assert shell == "/usr/sbin/nologin"
        assert "not found" not in root.run("ldd", "/usr/bin/milvus-cdc")

        (etc / "cdc.yaml").write_text(config(port))
        root.run(*unit("ExecStartPre"), user="milvus-cdc")
        with (tmp_path / "log").open("wb") as log:
            server = subprocess.Popen(root.command(*unit("ExecStart"), user="milvus-cdc"), stderr=log)
        wait_until(lambda: healthy(port), 60, "the installed server answers")
        assert root.run("milvus-cdc", "health") == "OK\n"  # finds /etc/milvus-cdc/cdc.yaml by itself
        stop(server)
        assert "stopped" in (tmp_path / "log").read_text()
        assert (state / "milvus-cdc.db").exists()

        root.install(package(tmp_path, "1.0.1"))
        assert (etc / "cdc.yaml").read_text() == config(port) and (state / "milvus-cdc.db").exists()
        assert root.run("dpkg-query", "-W", "-f", "${Version}", "milvus-cdc") == "1.0.1"
        root.run("apt-get", "-q", "-y", "remove", "milvus-cdc")
        assert not (root.path / "usr/bin/milvus-cdc").exists()
        assert (etc / "cdc.yaml").read_text() == config(port) and (state / "milvus-cdc.db").exists()
        root.run("apt-get", "-q", "-y", "purge", "milvus-cdc")
        assert not etc.exists() and not state.exists()


def prose(heading: str) -> str:
    """The block of the tutorial, not marked for running, that stands behind a text."""
    page = (REPOSITORY / "docs/tutorial.md").read_text()
    return re.search(r"^```\n(.*?)^```$", page.split(heading)[1], re.M | re.S).group(1)


def like_ours(root: CleanRoot) -> dict[str, str]:
    """pip finds its packages as it does on this machine; the environment for that."""
    for file in (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pip.conf")):
        if file.exists():
            (root.path / str(file)[1:]).parent.mkdir(parents=True, exist_ok=True)
            (root.path / str(file)[1:]).write_bytes(file.read_bytes())
    return {name: value for name, value in os.environ.items() if name in ("PIP_CERT", "PIP_INDEX_URL")}


def test_tutorial(tmp_path, port):
    """As somebody new goes through it, from the package on; the log tells how long each part took."""
    took: dict[str, float] = {}
    with Rig() as rig, CleanRoot(tmp_path / "root") as root:
        left, right = rig.pair(source="left", target="right", dml_channels=4)
        root.run("apt-get", "-q", "update")
        root.run("apt-get", "-q", "-y", "--no-install-recommends", "install", "python3-venv", "curl", "sudo")
        subprocess.run(["cp", package(tmp_path, "1.0.0"), root.path / "root"], check=True)
        shell = Shell(root.command("bash", "-e", folder="/root", **like_ours(root)), tmp_path, {
            "http://10.0.0.1:19530": left.uri, "http://10.0.0.2:19530": right.uri, "by-dev": "left",
            "10.0.0.1:2379": rig.part("etcd").address, "10.0.0.1:9092": rig.part("kafka").address,
            "127.0.0.1:8444": f"127.0.0.1:{port}", "apt install": "apt-get -q -y --no-install-recommends install"})
        try:
            begin, title = time.monotonic(), "1. Install"
            shell.run(prose("## 1. Install"))
            for kind, what in steps("docs/tutorial.md")[1:]:
                if kind == "head":
                    took[title] = time.monotonic() - begin
                    begin, title = time.monotonic(), what
                else:
                    shell.run(prose(f"test: {what} -->") if kind == "test" else what)
        finally:
            shell.end()
            print(shell.log, "\n".join(f"{seconds:6.1f} s  {name}" for name, seconds in took.items()), sep="\n")
    assert len(re.findall(r"^\d+ rows, equal on both sides$", shell.log, re.M)) == 2
    assert "DOC-ETCD-ROOT" in shell.log and "tutorial: identical, 990 rows equal" in shell.log


def test_image(tmp_path, port):
    """Every step of the Dockerfile, then its own command and health check as its user."""
    with Build(REPOSITORY, tmp_path, CDC_COMMIT="abc1234") as build:
        image = build.build(REPOSITORY / "Dockerfile")
        assert image.user == "10001:10001"
        mounted = image.root.path / "app/configs/cdc.yaml"
        mounted.write_text(config(port, metaStoreConfig={"sqlitePath": "/app/data/milvus-cdc.db"}))
        assert "(abc1234)" in image.root.run(*image.entrypoint, "--version", user=image.user)
        with (tmp_path / "log").open("wb") as log:
            server = start(image, log)
        wait_until(lambda: healthy(port), 60, "the image's server answers")
        assert image.root.run(*image.healthcheck, user=image.user, folder=image.folder) == "OK\n"
        stop(server)
        assert (image.root.path / "app/data/milvus-cdc.db").stat().st_uid == 10001
        assert "stopped" in (tmp_path / "log").read_text()


def test_dockerfile_is_read_whole():
    """No instruction that the carrying out would pass over."""
    words = {step.word for step in parse((REPOSITORY / "Dockerfile").read_text())}
    assert words <= {word for word in ("FROM", *(name[1:].upper() for name in dir(Build) if name.startswith("_")
                                                 and not name.startswith("__")))}
