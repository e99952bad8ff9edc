"""A clean Debian 12 in a folder, entered with chroot. Needs root and mmdebstrap.

The first one is made with this machine's own package sources and kept in the cache folder; every other is
unpacked from that in some seconds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

RELEASE = "bookworm"
ENTER = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def cache() -> Path:
    folder = Path(os.environ.get("MILVUS_CDC_CACHE") or Path.home() / ".cache/milvus-cdc")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _stanzas(path: Path) -> str:
    """Of a deb822 file, what is about the release."""
    stanzas = path.read_text().split("\n\n")
    return "\n\n".join(s for s in stanzas if f"Suites: {RELEASE}" in s)


def _lines(path: Path) -> str:
    lines = [line for line in path.read_text().splitlines() if line.startswith("deb ")]
    return "\n".join(line for line in lines if any(word.split("-")[0] == RELEASE for word in line.split()[2:4]))


def apt_sources() -> str:
    """The release's sources of this machine, others left out, in the form that is found first."""
    folder = Path("/etc/apt")
    deb822 = "\n\n".join(filter(None, map(_stanzas, sorted(folder.glob("sources.list.d/*.sources")))))
    old = [folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))]
    return deb822 or "\n".join(filter(None, (_lines(path) for path in old if path.exists())))


def base() -> Path:
    """The archive that roots are unpacked from; made at the first call."""
    archive = cache() / f"root-{RELEASE}.tar"
    if not archive.exists():
        new = archive.with_suffix(".new")
        subprocess.run(["mmdebstrap", "--quiet", "--format=tar", "--variant=minbase", RELEASE, new, "-"],
                       input=apt_sources(), text=True, check=True, timeout=1200)
        new.rename(archive)
    return archive


class CleanRoot:
    """Use as a context; the folder and all that runs in it are gone at the end."""

    def __init__(self, folder: Path):
        self.path = folder

    def __enter__(self) -> "CleanRoot":
        self.path.mkdir(parents=True)
        subprocess.run(["tar", "-xf", base(), "-C", self.path], check=True, timeout=300)
        shutil.copy("/etc/resolv.conf", self.path / "etc/resolv.conf")
        # nothing that a package starts runs in a test
        policy = self.path / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        return self

    def __exit__(self, *_) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def command(self, *words, user: str = "", folder: str = "/", **environment) -> list[str]:
        """What runs words in the root, as the user, with nothing of our environment."""
        known = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                 "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root", **environment}
        proxies = {k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")}
        who = ["setpriv", f"--reuid={user.split(':')[0]}", f"--regid={user.split(':')[-1]}", "--clear-groups"]
        return [*ENTER, "chroot", str(self.path), "env", "-i", *(f"{k}={v}" for k, v in {**proxies, **known}.items()),
                *(who if user else []), "env", f"--chdir={folder}", *map(str, words)]

    def run(self, *words, timeout: float = 600, **options) -> str:
        """The output, errors too; a failure shows it."""
        done = subprocess.run(self.command(*words, **options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=timeout)
        assert done.returncode == 0, f"{words} in a clean root: {done.stdout[-4000:]}"
        return done.stdout

    def install(self, package: Path, *options: str) -> str:
        """A package file with all that it depends on."""
        shutil.copy(package, self.path / "tmp")
        return self.run("apt-get", "-q", "-y", "--no-install-recommends", *options, "install",
                        f"/tmp/{package.name}")
