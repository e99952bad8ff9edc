"""Carries out a Dockerfile in clean roots, without an engine: the instructions of it that ours needs."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from clean_root import CleanRoot

BASES = ("debian:bookworm", "debian:bookworm-slim")  # the second is the first with less documentation


class Step(NamedTuple):
    word: str
    rest: str


def parse(text: str) -> list[Step]:
    """Instructions in order; comments go, continued lines are joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [Step(*line.split(None, 1)) for line in joined.splitlines() if line.strip()]


class Image:
    """A stage: its root and what its instructions have set."""

    def __init__(self, root: CleanRoot):
        self.root, self.folder, self.user = root, "/", ""
        self.shell, self.arguments = ["/bin/sh", "-c"], {}
        self.entrypoint: list[str] = []
        self.cmd: list[str] = []
        self.healthcheck: list[str] = []

    def inside(self, place: str) -> Path:
        return self.root.path / str(Path(self.folder) / place).lstrip("/")


class Build:
    """Use as a context: build(dockerfile) gives the last stage."""

    def __init__(self, context: Path, work: Path, **arguments: str):
        self.context, self.work, self.given = context, work, arguments
        self.stages: dict[str, Image] = {}
        self.roots = ExitStack()

    def __enter__(self) -> "Build":
        return self

    def __exit__(self, *_) -> None:
        self.roots.close()

    def build(self, dockerfile: Path) -> Image:
        image = None
        for step in parse(dockerfile.read_text()):
            if step.word == "FROM":
                image = self._from(step.rest.split())
            else:
                getattr(self, f"_{step.word.lower()}")(image, step.rest)
        return image

    def _from(self, words: list[str]) -> Image:
        assert words[0] in BASES, f"no root for {words[0]}"
        name = words[2] if len(words) == 3 else str(len(self.stages))
        root = self.roots.enter_context(CleanRoot(self.work / name))
        self.stages[name] = Image(root)
        return self.stages[name]

    def _shell(self, image: Image, rest: str) -> None:
        image.shell = json.loads(rest)

    def _arg(self, image: Image, rest: str) -> None:
        name, _, default = rest.partition("=")
        image.arguments[name] = self.given.get(name, default)

    def _workdir(self, image: Image, rest: str) -> None:
        image.folder = str(Path(image.folder) / rest)
        image.inside("").mkdir(parents=True, exist_ok=True)

    def _user(self, image: Image, rest: str) -> None:
        image.user = rest

    def _copy(self, image: Image, rest: str) -> None:
        words = shlex.split(rest)
        source = self.context
        if words[0].startswith("--from="):
            source = self.stages[words.pop(0)[7:]].root.path
        *names, place = words
        for name in names:
            self._copy_one(source / name.lstrip("/"), image, place, many=len(names) > 1)

    @staticmethod
    def _copy_one(source: Path, image: Image, place: str, many: bool) -> None:
        to = image.inside(place)
        if source.is_dir():
            shutil.copytree(source, to, dirs_exist_ok=True)
            return
        if many or place.endswith("/"):
            to = to / source.name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, to)

    @staticmethod
    def _run(image: Image, rest: str) -> None:
        image.root.run(*image.shell, rest, user=image.user, folder=image.folder, timeout=2400, **image.arguments)

    @staticmethod
    def _entrypoint(image: Image, rest: str) -> None:
        image.entrypoint = json.loads(rest)

    @staticmethod
    def _cmd(image: Image, rest: str) -> None:
        image.cmd = json.loads(rest)

    @staticmethod
    def _healthcheck(image: Image, rest: str) -> None:
        image.healthcheck = json.loads(rest[rest.index("CMD") + 3:])

    def _nothing(self, image: Image, rest: str) -> None:
        """For the engine only."""

    _volume = _expose = _stopsignal = _nothing


def start(image: Image, log) -> subprocess.Popen:
    """The image's own process, as its user."""
    command = image.root.command(*image.entrypoint, *image.cmd, user=image.user, folder=image.folder)
    return subprocess.Popen(command, stdout=log, stderr=log)
