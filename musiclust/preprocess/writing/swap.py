"""Several files of a store are replaced as one: after a crash at any moment either all are new or all are old.

    partial/new/            files that are about to replace others; without the mark they are thrown away
    partial/new/.complete   the mark: all files are there, the moves have begun, and the next run ends them

A block is two files, and the blocks of a store are joined row by row: values of one run must not meet track ids of
another.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from musiclust.files import atomic

_FOLDER = Path("partial", "new")
_MARK = ".complete"


@contextmanager
def replace_files(root: Path) -> Iterator[Path]:
    """Yields a folder to write files into; they move into `root` when the `with` statement ends without an error."""
    folder = root / _FOLDER
    recover(root)
    folder.mkdir(parents=True)
    try:
        yield folder
        with atomic(folder / _MARK):
            pass
    except BaseException:
        shutil.rmtree(folder)
        raise
    recover(root)


def recover(root: Path) -> None:
    """Ends what a crash broke off: moves files that were complete, throws away those that were not."""
    folder = root / _FOLDER
    if (folder / _MARK).exists():
        for path in sorted(folder.iterdir()):
            if path.name != _MARK:
                os.replace(path, root / path.name)
    if folder.exists():
        shutil.rmtree(folder)
    if folder.parent.exists() and not any(folder.parent.iterdir()):
        folder.parent.rmdir()
