"""The Debian package, the unit of systemd and what containers are started from; no peers needed.

The installation into a clean system is test/package (make package-test).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from rig.ports import reserve
from rig.server import FINDINGS, REPOSITORY

UNIT = REPOSITORY / "packaging" / "milvus-cdc.service"


def run(*command, **options) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True,
                          timeout=120, **options).stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """The package, built from build/release."""
    if not (REPOSITORY / "build/release/milvus-cdc").exists():
        pytest.skip("build/release is not built; make build")
    out = tmp_path_factory.mktemp("deb")
    return REPOSITORY / run(REPOSITORY / "tools/deb", "--out", out, "--version", "1.2.3").strip()


@pytest.fixture(scope="module")
def unpacked(package, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("root")
    run("dpkg-deb", "-x", package, root)
    return root


def field(package: Path, name: str) -> str:
    return run("dpkg-deb", "-f", package, name).strip()


def depends(package: Path) -> set[str]:
    return {part.split()[0] for part in field(package, "Depends").split(",")}


def libraries() -> set[str]:
    """The Debian packages of the libraries that the server itself names, libc among them."""
    dynamic = run("objdump", "-p", REPOSITORY / "build/release/milvus-cdc")
    needed = re.findall(r"NEEDED\s+(\S+)", dynamic)
    found = dict(re.findall(r"(\S+) => (\S+)", run("ldd", REPOSITORY / "build/release/milvus-cdc")))
    names = set()
    for name in needed:
        path = Path(found[name]).resolve()
        owner = run("dpkg", "-S", f"*/{path.name}").splitlines()[0]
        names.add(owner.split(":")[0])
    return names


def test_it_depends_on_what_it_needs(package):
    assert libraries() <= depends(package)
    assert {"adduser", "ca-certificates"} <= depends(package)
    assert field(package, "Version") == "1.2.3"


def test_contents(package, unpacked):
    listing = run("dpkg-deb", "-c", package)
    assert re.search(r"^-rw-r----- root/root .* \./etc/milvus-cdc/cdc\.yaml$", listing, re.M)
    assert re.search(r"^-rwxr-xr-x root/root .* \./usr/bin/milvus-cdc$", listing, re.M)
    assert "man1/milvus-cdc.1.gz" in listing and "bash-completion/completions/milvus-cdc" in listing
    assert "var/lib" not in listing  # the user's data is never the package's
    assert (unpacked / "etc/milvus-cdc/cdc.yaml").read_text() == (REPOSITORY / "configs/cdc.yaml").read_text()
    assert run("dpkg-deb", "-I", package, "conffiles").split() == ["/etc/milvus-cdc/cdc.yaml"]
    for script in ("postinst", "prerm", "postrm"):
        subprocess.run(["sh", "-n"], input=run("dpkg-deb", "-I", package, script), text=True, check=True)


def test_the_image_has_the_same_libraries(package):
    """The list in the Dockerfile is written by hand, the one of the package is computed."""
    image = (REPOSITORY / "Dockerfile").read_text().split("FROM ")[-1]
    for name in depends(package) - {"libc6", "adduser"}:
        assert re.search(rf"\s{re.escape(name)}\s", image), f"the image lacks {name}"


def unit_value(name: str) -> str:
    return re.search(rf"^{name}=(.*)$", UNIT.read_text(), re.M).group(1)


def test_unit(unpacked, tmp_path):
    """systemd finds no fault in it and little left to harden."""
    here = tmp_path / UNIT.name
    here.write_text(UNIT.read_text().replace("/usr/bin/", f"{unpacked}/usr/bin/"))
    done = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True, timeout=60)
    assert not [line for line in done.stderr.splitlines() if UNIT.name in line], done.stderr
    run("systemd-analyze", "security", "--offline=true", "--threshold=20", UNIT)


def test_the_units_commands(unpacked, tmp_path):
    """ExecStartPre and ExecStart as the unit has them, a manager's socket, a real stop."""
    block = reserve()
    port = block.base
    config = tmp_path / "cdc.yaml"
    config.write_text(json.dumps({
        "address": f"127.0.0.1:{port}",
        "sourceConfig": {"etcd": {"address": ["127.0.0.1:1"]}, "kafka": {"address": "127.0.0.1:1"},
                         "replicateChan": "by-dev-replicate-msg"}}))

    def command(name: str) -> list[str]:
        words = shlex.split(unit_value(name).replace("/etc/milvus-cdc/cdc.yaml", str(config)))
        return [str(unpacked) + words[0], *words[1:]]

    run(*command("ExecStartPre"))
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(60)
    environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
    with (tmp_path / "log").open("wb") as log, \
            subprocess.Popen(command("ExecStart"), stderr=log, env=environment) as server:
        try:
            assert manager.recv(4096).decode().startswith("READY=1\n")
            assert manager.recv(4096) == b"WATCHDOG=1"
            assert run(unpacked / "usr/bin/milvus-cdc", "health", "--config", config) == "OK\n"
            server.send_signal(signal.SIGTERM)
            told = manager.recv(4096)
            while told == b"WATCHDOG=1":
                told = manager.recv(4096)
            assert told.startswith(b"STOPPING=1")
            assert server.wait(60) == 0
        finally:
            server.kill()
    assert not FINDINGS.search((tmp_path / "log").read_text())
    gone = subprocess.run([unpacked / "usr/bin/milvus-cdc", "health", "--config", config],
                          capture_output=True, text=True, timeout=60)
    assert gone.returncode == 1 and "refused" in gone.stderr
    assert (tmp_path / "milvus-cdc.db").exists()  # the store is beside the configuration
    block.close()


def manifests() -> list[dict]:
    folder = REPOSITORY / "configs/kubernetes"
    names = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    assert set(names) == {p.name for p in folder.glob("*.yaml")} - {"kustomization.yaml"}
    return [yaml.safe_load((folder / name).read_text()) for name in names]


def test_kubernetes():
    """Every manifest fits Kubernetes' own schema, and they fit each other."""
    kinds = {}
    for manifest in manifests():
        kubernetes_validate.validate(manifest, "1.27", strict=True)
        kinds[manifest["kind"]] = manifest
    pod = kinds["Deployment"]["spec"]["template"]
    container = pod["spec"]["containers"][0]
    assert kinds["Deployment"]["spec"]["strategy"]["type"] == "Recreate"
    assert kinds["Service"]["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    volumes = {v["name"]: v for v in pod["spec"]["volumes"]}
    assert volumes["config"]["secret"]["secretName"] == kinds["Secret"]["metadata"]["name"]
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == kinds["PersistentVolumeClaim"]["metadata"]["name"]
    assert {m["name"] for m in container["volumeMounts"]} == set(volumes)
    assert pod["spec"]["securityContext"]["runAsUser"] == 10001
    config = yaml.safe_load(kinds["Secret"]["stringData"]["cdc.yaml"])
    port = int(config["address"].rsplit(":", 1)[1])
    assert container["ports"][0]["containerPort"] == port == kinds["Service"]["spec"]["ports"][0]["port"]


def test_health_checks_are_the_command():
    """Image, compose file and manifests ask in one way."""
    command = ["/app/milvus-cdc", "health"]
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]["milvus-cdc"]
    assert compose["healthcheck"]["test"] == ["CMD", *command]
    image = re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", (REPOSITORY / "Dockerfile").read_text(), re.M)
    assert json.loads(image.group(1)) == command
    container = manifests()[2]["spec"]["template"]["spec"]["containers"][0]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["exec"]["command"] == command
