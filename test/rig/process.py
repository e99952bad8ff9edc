"""Processes known by pid and start time, so that a recycled pid is never mistaken for ours."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path


def start_time(pid: int) -> int:
    """The start time in clock ticks since boot; 0 when there is no such process or only its zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    fields = text[text.rindex(b")") + 2:].split()  # the name before it may hold anything
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def state(pid: int) -> str:
    """The letter of /proc/<pid>/stat: R, S, T (stopped) ...; empty when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    return chr(text[text.rindex(b")") + 2])


class Process:
    """A process, leader of its own group, started by us or by an earlier run."""

    def __init__(self, pid: int, started: int, popen: subprocess.Popen | None = None):
        self.pid, self.started, self._popen = pid, started, popen

    @classmethod
    def spawn(cls, command: list[str], cwd: Path, log: Path, env: dict, fds: tuple = ()) -> "Process":
        """Starts command in a session of its own, so that Ctrl-C reaches only the rig's owner."""
        with open(log, "ab") as out:
            popen = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out,
                                     stderr=out, start_new_session=True, pass_fds=fds)
        return cls(popen.pid, start_time(popen.pid), popen)

    def alive(self) -> bool:
        if self._popen is not None:
            # of a killed process the first thread may end before the others, who still hold its locks
            return self._popen.poll() is None
        return self.started != 0 and start_time(self.pid) == self.started

    def returncode(self) -> int | None:
        return self._popen.poll() if self._popen else None

    def signal(self, number: int) -> None:
        """Sends to the whole group; nothing happens if the leader is gone."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def wait_gone(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def stop(self, timeout: float) -> bool:
        """SIGTERM, then SIGKILL after timeout. False when it had to be killed."""
        self.signal(signal.SIGTERM)
        # A stopped one could not react. Only that one: SIGCONT takes back a SIGSTOP that is on its way, such as the
        # one by which a leak check at exit attaches to its threads, which then waits for it for ever.
        if state(self.pid) == "T":
            self.signal(signal.SIGCONT)
        if self.wait_gone(timeout):
            return True
        self.signal(signal.SIGKILL)
        self.wait_gone(10)
        return False


class Watchdog:
    """A helper process that kills the children when their owner ends, however it ends.

    Not PDEATHSIG: that fires when the *thread* that forked ends, and parts start in pool threads.
    The helper reads a pipe whose other end only the owner holds; end of file means the owner died.
    """

    def __init__(self) -> None:
        script = Path(__file__).with_name("watchdog.py")
        self._lock = threading.Lock()
        self._popen = subprocess.Popen([sys.executable, "-I", "-S", str(script)], stdin=subprocess.PIPE,
                                       start_new_session=True, close_fds=True)

    def _tell(self, line: str) -> None:
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._popen.stdin.write(line.encode() + b"\n")
            self._popen.stdin.flush()

    def watch(self, process: Process) -> None:
        self._tell(f"watch {process.pid} {process.started}")

    def remove_at_end(self, folder: Path) -> None:
        self._tell(f"remove {folder}")

    def close(self) -> None:
        with self._lock:
            with contextlib.suppress(OSError):
                self._popen.stdin.close()
        self._popen.wait()
