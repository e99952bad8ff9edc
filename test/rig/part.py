"""The base of all parts of a rig: one server process with its folder, ports, log and life."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Callable

from . import ports
from .process import Process, state

if TYPE_CHECKING:
    from .core import Rig


class RigError(Exception):
    """A part did not do what it should; the text names the part and shows the end of its log."""


def wait_until(probe: Callable[[], object], timeout: float, what: str, pause: float = 0.05):
    """Calls probe until it answers something true, and returns that; its exceptions mean "not yet"."""
    deadline = time.monotonic() + timeout
    last: Exception | None = None
    while True:
        try:
            answer = probe()
            last = None
            if answer:
                return answer
        except RigError:
            raise
        except Exception as error:  # a server that is starting fails in every way there is
            last = error
        if time.monotonic() > deadline:
            reason = f": {type(last).__name__}: {last}" if last else ""
            raise TimeoutError(f"not within {timeout:g} s: {what}{reason}")
        time.sleep(pause)


def http_get(url: str, timeout: float = 2.0) -> bytes:
    """The body; loopback never goes through a proxy that the environment may name."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=timeout) as answer:
        return answer.read()


class Part:
    """One server. Subclasses say how it is prepared, started and probed.

    options must survive JSON: with them a later process can restart the part.
    """

    kind = ""
    start_timeout = 90.0
    probe_pause = 0.05  # between two looks whether it serves
    start_attempts = 1  # more for servers that are known to hang now and then while starting
    stop_timeout = 20.0

    def __init__(self, rig: "Rig", name: str, options: dict, block: ports.Block,
                 process: Process | None = None):
        self.rig, self.name, self.options = rig, name, options
        self._block, self.process = block, process
        self.dir = rig.dir / name
        self.log_path = self.dir / "log"
        self.started_in = 0.0  # seconds the last start took

    # what subclasses give ------------------------------------------------------------------------

    def prepare(self) -> None:
        """Writes configuration; called before every start."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def ready(self) -> object:
        """True when it serves; anything raised means not yet."""
        raise NotImplementedError

    def environment(self) -> dict:
        """Not ours as it is: servers take configuration from stray variables."""
        keep = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "JAVA_HOME", "USER")
        return {k: os.environ[k] for k in keep if k in os.environ}

    # facts ---------------------------------------------------------------------------------------

    def port(self, index: int = 0) -> int:
        return self._block.base + index

    @property
    def base(self) -> int:
        return self._block.base

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port()}"

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0

    def alive(self) -> bool:
        return self.process is not None and self.process.alive()

    def log_tail(self, lines: int = 20) -> str:
        try:
            with open(self.log_path, "rb") as log:
                log.seek(max(0, self.log_path.stat().st_size - 400 * lines))
                text = log.read().decode(errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])

    def describe(self) -> dict:
        """What rig.json keeps."""
        entry = {"kind": self.kind, "base": self.base, "address": self.address, "log": str(self.log_path),
                 "options": self.options}
        if self.process:
            entry.update(pid=self.process.pid, started=self.process.started)
        return entry

    # life ----------------------------------------------------------------------------------------

    def start(self) -> "Part":
        """Starts it and returns when it serves."""
        if self.alive():
            return self
        begin = time.monotonic()
        self.dir.mkdir(parents=True, exist_ok=True)
        if self._block.fd < 0:
            self._block = ports.retake(self.base)
        self.prepare()
        fds = (self._block.fd,) if self._block.fd >= 0 else ()
        for left in reversed(range(self.start_attempts)):
            self.process = Process.spawn(self.command(), self.dir, self.log_path, self.environment(), fds)
            self.rig.adopt(self)
            try:
                wait_until(self._ready_or_dead, self.start_timeout, f"{self.name} serves", self.probe_pause)
                break
            except TimeoutError as error:
                if not left:
                    raise RigError(f"{error}\n--- {self.log_path}\n{self.log_tail()}") from None
                self.process.stop(0)
                self.prepare()
        self.started_in = time.monotonic() - begin
        return self

    def _ready_or_dead(self) -> object:
        if not self.alive():
            code = self.process.returncode()
            raise RigError(f"{self.name} ended while starting (code {code})\n"
                           f"--- {self.log_path}\n{self.log_tail()}")
        return self.ready()

    def stop(self) -> bool:
        """Ends it, the polite way first. False when it had to be killed."""
        polite = self.process.stop(self.stop_timeout) if self.process else True
        self.rig.save()
        return polite

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Sends a signal; after SIGKILL it is gone when this returns."""
        if self.process:
            self.process.signal(number)
            if number == signal.SIGKILL:
                self.process.wait_gone(10)

    def restart(self) -> "Part":
        """Same ports, same data."""
        self.stop()
        return self.start()

    def pause(self) -> None:
        """Freezes it: connections stay open and nothing answers."""
        self.kill(signal.SIGSTOP)
        wait_until(lambda: state(self.pid) == "T", 5, f"{self.name} stands still", pause=0.005)

    def resume(self) -> None:
        self.kill(signal.SIGCONT)

    def release(self) -> None:
        """Gives the ports back; only after stop, when it will not be started again."""
        self._block.close()

    def path(self, name: str) -> Path:
        return self.dir / name
