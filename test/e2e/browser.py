"""A headless Chromium, driven by its own protocol over a pair of pipes: no driver, no port."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

START = ("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
         "--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-component-update",
         "--no-proxy-server", "--remote-debugging-pipe", "about:blank")


class BrowserError(Exception):
    """The browser, or a script in it, said no."""


def above_the_first(pair: tuple[int, int]) -> list[int]:
    """The same descriptors, none of them 3 or 4."""
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in pair]
    for fd in pair:
        os.close(fd)
    return moved


class Browser:
    """One page. `messages` holds what it wrote to its console: errors, and what its policy refused."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="chromium-")
        to_read, self.write_fd = above_the_first(os.pipe())
        self.read_fd, to_write = above_the_first(os.pipe())
        words = [START[0], f"--user-data-dir={self.folder.name}", *START[1:]]
        # Chromium reads descriptor 3 and writes 4
        self.process = subprocess.Popen(["bash", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "bash", *words],
                                        pass_fds=(to_read, to_write), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                                        env=os.environ | {"HOME": self.folder.name, "DBUS_SESSION_BUS_ADDRESS": "none:"})
        os.close(to_read)
        os.close(to_write)
        self.buffer, self.number, self.session = b"", 0, ""
        self.messages: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    # the protocol --------------------------------------------------------------------------------

    def _read(self, until: float) -> dict:
        while b"\0" not in self.buffer:
            if not select.select([self.read_fd], [], [], max(0, until - time.monotonic()))[0]:
                raise BrowserError("no answer in time")
            piece = os.read(self.read_fd, 1 << 16)
            if not piece:
                raise BrowserError("the browser has ended")
            self.buffer += piece
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def call(self, method: str, timeout: float = 60, **params) -> dict:
        self.number += 1
        request = {"id": self.number, "method": method, "params": params}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.write_fd, json.dumps(request).encode() + b"\0")
        until = time.monotonic() + timeout
        while True:
            answer = self._read(until)
            if answer.get("id") == self.number:
                break
            self._note(answer)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']}")
        return answer["result"]

    def _note(self, event: dict) -> None:
        params = event.get("params", {})
        if event.get("method") == "Log.entryAdded":
            self.messages.append(params["entry"]["text"])
        elif event.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.messages.append(details.get("exception", {}).get("description") or details["text"])

    # what a test does ----------------------------------------------------------------------------

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def run(self, script: str):
        """The value of an expression, awaited."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(answer["exceptionDetails"].get("exception", {}).get("description", script))
        return answer["result"].get("value")

    def wait(self, script: str, what: str, timeout: float = 60):
        """Until the expression is true; its value."""
        until = time.monotonic() + timeout
        while True:
            value = self.run(script)
            if value:
                return value
            if time.monotonic() > until:
                raise TimeoutError(f"{what}: not within {timeout:g} s; the page says\n{self.text()}")
            select.select([self.read_fd], [], [], 0.1)

    def text(self) -> str:
        return self.run("document.body.innerText")

    def key(self, name: str, shift: bool = False) -> None:
        """A key as a person presses it."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}
        text = {"Enter": "\r", " ": " "}.get(name, "")
        common = {"key": name, "code": {" ": "Space"}.get(name, name), "windowsVirtualKeyCode": codes[name],
                  "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def screen(self, width: int, height: int, dark: bool) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme",
                                                           "value": "dark" if dark else "light"}])

    def picture(self, path: Path, whole: bool = True) -> None:
        """The whole page, also what is below the fold; or what fits on the screen."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 8000), "scale": 1}
        shot = self.call("Page.captureScreenshot", **({"captureBeyondViewport": True, "clip": clip} if whole else {}))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        try:
            self.call("Browser.close", timeout=10)
        except (BrowserError, OSError):
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.write_fd)
        os.close(self.read_fd)
        shutil.rmtree(self.folder.name, ignore_errors=True)
        self.folder.cleanup()
