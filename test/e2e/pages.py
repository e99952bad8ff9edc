"""Pages with commands: what is to be run of them, and a shell to run it in."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from rig.server import REPOSITORY

STEP = re.compile(r"^```sh\n(.*?)^```$|^<!-- test: (.*?) -->$|^## (.*?)$", re.M | re.S)
DONE = "--done--"
BLOCK_S = 240


def steps(page: str) -> list[tuple[str, str]]:
    """("sh", block), ("test", what a person does) and ("head", title), in their order."""
    found = []
    for block, action, title in STEP.findall((REPOSITORY / page).read_text()):
        found.append(("sh", block) if block else ("test", action) if action else ("head", title))
    return found


class Shell:
    """One bash -e; names are what stands in the pages for what is here. Whatever it starts ends with it."""

    def __init__(self, command: list[str], folder: Path, names: dict[str, str], **environment: str):
        self.names, self.log = names, ""
        self.process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, start_new_session=True,
                                        env=os.environ | environment | {"no_proxy": "*"})

    def run(self, block: str) -> str:
        """What the block printed; fails the test with it when the block fails."""
        for name, real in self.names.items():
            block = block.replace(name, real)
        self.process.stdin.write(f"{block}\necho {DONE}\n".encode())
        self.process.stdin.flush()
        said, until = b"", time.monotonic() + BLOCK_S
        while DONE.encode() + b"\n" not in said:
            left = until - time.monotonic()
            piece = b""
            if left > 0 and select.select([self.process.stdout], [], [], left)[0]:
                piece = os.read(self.process.stdout.fileno(), 1 << 16)
            if not piece:
                pytest.fail(f"{block}\n{'failed' if left > 0 else 'takes too long'}:\n{said.decode()}\n{self.log}", pytrace=False)
            said += piece
        text = said.decode().replace(f"{DONE}\n", "")
        self.log += f"$ {block}\n{text}"
        return text

    def end(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
