"""Chromium without a window, driven by its DevTools protocol over a pipe: for measuring pages, and for their tests.

Needs a Chromium or Chrome on the path and nothing else. https://chromedevtools.github.io/devtools-protocol says what
the methods do; a message ends in a zero byte.
"""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = (
    *("--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--mute-audio"),
    *("--disable-gpu", "--disable-extensions", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--hide-scrollbars=false", "--force-color-profile=srgb"),
)
# The browser reads from descriptor 3 and writes to 4.
_BEGIN = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for end, descriptor in zip(ends, (3, 4)):
    os.dup2(end, descriptor)
    os.close(end)
os.execv(sys.argv[3], sys.argv[3:])
"""
_KEYS = {
    "Enter": (13, "\r"),
    "Escape": (27, ""),
    "Tab": (9, ""),
    "ArrowLeft": (37, ""),
    "ArrowUp": (38, ""),
    "ArrowRight": (39, ""),
    "ArrowDown": (40, ""),
    "End": (35, ""),
    "Home": (36, ""),
}


def find_chromium() -> str | None:
    """Returns the path of the browser, None where there is none."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Page:
    """A page of the browser."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from, self._rest, self._last, self._session = to_browser, from_browser, b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol and returns what it answers; events that come before it are kept.

        Raises:
          RuntimeError: if the browser says that it cannot.
          TimeoutError: if it does not answer within 60 s.
        """
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        raw = json.dumps(message | ({"sessionId": self._session} if self._session else {})).encode() + b"\0"
        while raw:
            raw = raw[os.write(self._to, raw) :]
        while True:
            answer = self._read(60.0)
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait_for_event(self, method: str, seconds: float = 60.0) -> dict[str, Any]:
        """Waits for an event that has not been taken yet, and takes it.

        Raises:
          TimeoutError: if it does not come.
        """
        end = time.monotonic() + seconds
        while True:
            for at, event in enumerate(self.events):
                if event["method"] == method:
                    return self.events.pop(at)["params"]
            self.events.append(self._read(max(0.0, end - time.monotonic())))

    def open(self, path: Path) -> None:
        """Opens a file, and waits until it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=path.absolute().as_uri())
        self.wait_for_event("Page.loadEventFired")

    def evaluate(self, expression: str) -> Any:
        """Returns the value of an expression, awaited where it is a promise.

        Raises:
          RuntimeError: if it throws.
        """
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_until(self, expression: str, seconds: float = 10.0) -> Any:
        """Waits until an expression is true, and returns it.

        Raises:
          TimeoutError: if it is not in time.
        """
        end = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            if time.monotonic() > end:
                raise TimeoutError(f"not true within {seconds:g} s: {expression}")
            time.sleep(0.02)
        return value

    def show_as(self, wide: int, high: int, *, dark: bool = False, ratio: float = 1.0, touch: bool = False) -> None:
        """Gives the window a size in CSS pixels, device pixels for each, light or dark, and a finger or a mouse."""
        self.call("Emulation.setDeviceMetricsOverride", width=wide, height=high, deviceScaleFactor=ratio, mobile=touch)
        self.call("Emulation.setTouchEmulationEnabled", enabled=touch, maxTouchPoints=5 if touch else 1)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Sends "mouseMoved", "mousePressed", "mouseReleased" or "mouseWheel" at a place in the window."""
        button = {} if kind == "mouseWheel" else {"button": "left" if kind != "mouseMoved" else "none", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **(button | more))

    def click(self, x: float, y: float) -> None:
        """Clicks at a place in the window."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.mouse(kind, x, y)

    def drag(self, places: Sequence[tuple[float, float]]) -> None:
        """Presses at the first place, moves over all, and lets go at the last."""
        self.mouse("mouseMoved", *places[0])
        self.mouse("mousePressed", *places[0])
        for place in places[1:]:
            self.mouse("mouseMoved", *place, button="left", buttons=1)
        self.mouse("mouseReleased", *places[-1])

    def press(self, key: str, *, shift: bool = False) -> None:
        """Presses and releases a key, by its name in KeyboardEvent.key."""
        code, text = _KEYS[key] if key in _KEYS else (ord(key.upper()), key)
        about = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        about |= {"code": key if key in _KEYS else ""}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def write(self, text: str) -> None:
        """Writes into what has the focus."""
        self.call("Input.insertText", text=text)

    def touch(self, kind: str, places: Sequence[tuple[float, float]]) -> None:
        """Sends "touchStart", "touchMove" or "touchEnd" with the fingers that are then on the window."""
        points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(places)]
        self.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    def save_downloads(self, folder: Path) -> None:
        """Has the browser put what a page saves into a folder."""
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def screenshot(self, *, whole: bool = False) -> bytes:
        """Returns a PNG of what is in sight, or of the whole page."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def addresses(self) -> list[str]:
        """Returns what the page has asked for since it was opened."""
        asked = [event for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in asked]

    def errors(self) -> list[Mapping[str, Any]]:
        """Returns the errors that nobody caught since the page was opened."""
        return [event["params"] for event in self.events if event["method"] == "Runtime.exceptionThrown"]

    def _read(self, seconds: float) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while b"\0" not in self._rest:
            if not select.select([self._from], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError(f"the browser said nothing for {seconds:.0f} s")
            more = os.read(self._from, 1 << 20)
            if not more:
                raise RuntimeError("the browser has ended")
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@contextlib.contextmanager
def start_chromium(program: str) -> Iterator[Page]:
    """Starts the browser with an empty page and a profile of its own, which go with it."""
    read_commands, to_browser = os.pipe()
    from_browser, write_answers = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        arguments = [program, *_ARGUMENTS, f"--user-data-dir={profile}", *(["--no-sandbox"] * (os.geteuid() == 0))]
        start = [sys.executable, "-ISc", _BEGIN, str(read_commands), str(write_answers), *arguments]
        process = subprocess.Popen(
            start,
            pass_fds=(read_commands, write_answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_commands)
        os.close(write_answers)
        try:
            page = Page(to_browser, from_browser)
            yield page
            with contextlib.suppress(RuntimeError, TimeoutError):
                page._session = ""
                page.call("Browser.close")
        finally:
            os.close(to_browser)
            os.close(from_browser)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
