"""Ctrl-C is asked for once and obeyed where it is safe to stop."""

import os
import signal
import threading

_stopping = threading.Event()


def handle_interrupts() -> None:
    """Lets Ctrl-C set a flag that `check_stop` looks at; a second one ends the process at once.

    Python would raise KeyboardInterrupt in the middle of anything, be it a callback that swallows it or half a file.
    """
    signal.signal(signal.SIGINT, _ask_to_stop)


def check_stop() -> None:
    """Is called where it is safe to stop, as in every progress report.

    Raises:
      KeyboardInterrupt: if Ctrl-C was pressed.
    """
    if _stopping.is_set():
        raise KeyboardInterrupt


def _ask_to_stop(signum: int, frame: object) -> None:
    if _stopping.is_set():
        os._exit(130)
    _stopping.set()
    os.write(2, b"\nstopping at the next safe point; press Ctrl-C again to stop at once\n")
