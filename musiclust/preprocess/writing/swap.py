"""Several files of a store replaced as one: after a crash at any moment either all are new or all are old.

    partial/new/            files on their way; without the mark they are thrown away
    partial/new/.complete   the mark: all are there, the moves have begun and are finished by the next run

A block is two files, and the blocks of a store are joined row by row: values of one run must not meet track ids of
another.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from musiclust import store

_FOLDER = Path("partial", "new")
_MARK = ".complete"


@contextmanager
def together(root: Path) -> Iterator[Path]:
    """Yields a folder to write files into; they move into `root` when the block of code ends without an error."""
    staged = root / _FOLDER
    recover(root)
    staged.mkdir(parents=True)
    try:
        yield staged
        with store.atomic(staged / _MARK):
            pass
    except BaseException:
        shutil.rmtree(staged)
        raise
    recover(root)


def recover(root: Path) -> None:
    """Ends what a crash broke off: moves files that were complete, throws away those that were not."""
    staged = root / _FOLDER
    if (staged / _MARK).exists():
        for path in sorted(staged.iterdir()):
            if path.name != _MARK:
                os.replace(path, root / path.name)
    if staged.exists():
        shutil.rmtree(staged)
    if staged.parent.exists() and not any(staged.parent.iterdir()):
        staged.parent.rmdir()
