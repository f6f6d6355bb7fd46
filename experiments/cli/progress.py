"""How far the work has come: live bars on a terminal, a few plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from experiments.cli.console import console, print_line
from experiments.cli.interrupt import check_stop

Report = Callable[[str, int, int], None]


@contextmanager
def show_progress() -> Iterator[Report]:
    """Yields `report(description, done, total)`, to be called as work goes on; one bar for each description.

    On a terminal there is a live bar, elsewhere a plain line at every quarter. A report raises KeyboardInterrupt after
    Ctrl-C.
    """
    if not console.is_terminal:
        yield _plain_report()
        return
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()
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
            print_line(f"{description}: {done} of {total}, {seconds:.0f} s")
            quarters[description] = quarter

    return report
