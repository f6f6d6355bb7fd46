"""What every script shares with the person who runs it: how it starts, fails, shows progress, where it caches
and what cores it has.

Exit status: 0 done, 1 something from outside is wrong (one line says what and what to do), 2 the command line is
wrong, 130 interrupted. Results and progress go to standard output, errors to standard error.
"""

import difflib
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from absl import app, flags, logging
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from musiclust.errors import InputError

Report = Callable[[str, int, int], None]

_PLAIN_WIDTH = 120
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


def _console() -> Console:
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PLAIN_WIDTH
    return Console(highlight=False, width=wide)


console = _console()


def run(main: Callable[[list[str]], int | None], *, go_on: str = "run the same command again to go on") -> None:
    """Runs `main(argv)` of a script under absl and ends the process.

    Every failure that a person can mend ends in one line without a traceback; `go_on` tells how to continue after an
    interruption.
    """

    def guarded(argv: list[str]) -> int:
        signal.signal(signal.SIGINT, _ask_to_stop)
        try:
            if len(argv) > 1:
                return _fail(f"unexpected argument {argv[1]!r}: flags are written --name=value, see --help", 2)
            return main(argv) or 0
        except InputError as error:
            return _fail(str(error))
        except BrokenPipeError:
            # The reader (head, less) is gone; nor may the interpreter complain when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + 13
        except OSError as error:
            place = f": {error.filename}" if error.filename else ""
            if error.errno in _DISK_FULL:
                return _fail(f"no space left on the disk{place}: free some, then {go_on}")
            if error.errno in _DENIED:
                return _fail(f"{(error.strerror or 'permission denied').lower()}{place}: change its permissions")
            raise
        except KeyboardInterrupt:
            return _fail(f"stopped; what is done is kept: {go_on}", 130, label="")

    app.run(guarded, flags_parser=_parse)


_stopping = threading.Event()


def _ask_to_stop(signum: int, frame: object) -> None:
    """Ctrl-C. Python would raise in the middle of anything, be it a callback that swallows it or half a file."""
    if _stopping.is_set():
        os._exit(130)
    _stopping.set()
    os.write(2, b"\nstopping at the next safe point; press Ctrl-C again to stop at once\n")


def check_stop() -> None:
    """Raises KeyboardInterrupt if Ctrl-C was pressed: called where it is safe to stop, as in every progress report."""
    if _stopping.is_set():
        raise KeyboardInterrupt


def _fail(message: str, status: int = 1, *, label: str = "error: ") -> int:
    """Prints one line to standard error, whatever line breaks a path or a value may hold."""
    print(label + " ".join(message.splitlines()), file=sys.stderr)
    return status


def _parse(argv: list[str]) -> list[str]:
    """Flags of a command line -> what is left over; leaves the process on --help (0) and on a wrong flag (2)."""
    if {"-h", "--help", "-help"} & set(argv):
        app.usage(shorthelp=True, writeto_stdout=True, exitcode=0)
    try:
        left_over = flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        near = difflib.get_close_matches(error.flagname, list(flags.FLAGS))
        advice = "did you mean " + " or ".join(f"--{name}" for name in near) + "?" if near else "see --help"
        sys.exit(_fail(f"unknown flag --{error.flagname}: {advice}", 2))
    except flags.Error as error:
        sys.exit(_fail(str(error), 2))
    if flags.FLAGS["verbosity"].using_default_value:
        logging.set_verbosity(logging.ERROR)
        logging.get_absl_handler().setLevel("ERROR")  # for libraries that set the level of loggers of their own
    return left_over


@contextmanager
def progress() -> Iterator[Report]:
    """Yields `report(description, done, total)`, to be called as work goes on; one bar for each description.

    On a terminal a live bar; elsewhere a plain line at every quarter. A report raises KeyboardInterrupt after Ctrl-C.
    """
    if not console.is_terminal:
        yield _plain_report()
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bars:
        tasks = {}

        def report(description: str, done: int, total: int) -> None:
            check_stop()
            if description not in tasks:
                tasks[description] = bars.add_task(description, total=total)
            bars.update(tasks[description], completed=done, total=total)

        yield report


def _plain_report() -> Report:
    quarters: dict[str, int] = {}
    starts: dict[str, float] = {}

    def report(description: str, done: int, total: int) -> None:
        check_stop()
        now = time.monotonic()
        seconds = now - starts.setdefault(description, now)
        quarter = 4 * done // total if total else 4
        due = quarter > quarters.get(description, -1)
        if due and (quarter in (0, 4) or seconds > 1):  # a stage that is over at once needs no lines in between
            console.print(f"{description}: {done} of {total}, {seconds:.0f} s", markup=False, soft_wrap=True)
            quarters[description] = quarter

    return report


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_root(cache_dir: Path | str | None = None) -> Path:
    """The folder `musiclust` under `cache_dir`, else under XDG_CACHE_HOME, else under ~/.cache; not made here."""
    # The XDG base directory specification has relative values ignored.
    named = os.environ.get("XDG_CACHE_HOME", "")
    users = Path(named) if os.path.isabs(named) else Path.home() / ".cache"
    return (Path(cache_dir).expanduser() if cache_dir else users) / "musiclust"


def default_store(cache_dir: Path | str | None = None, seed: int = 0) -> Path:
    """The place of the demo corpus's store, which scripts use when no store is named."""
    return cache_root(cache_dir) / "stores" / (f"demo-{seed}" if seed else "demo")
