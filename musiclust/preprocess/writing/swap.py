"""Several files of a store are replaced as one: after a crash at any moment either all are new or all are old.

    partial/new/            files that are about to replace others; without the mark they are thrown away
    partial/new/.complete   the mark: all files are there and count, the moves have begun, and the next run ends them

The blocks of a store are joined row by row: values of one run must not meet track ids of another. Readers find the new
files as soon as the mark is there (`files.locate`). Rows that are appended to a block count when its record does, which
is one of the files; what was appended in vain is cut off.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from musiclust import store
from musiclust.files import COMPLETE, PENDING, atomic


@contextmanager
def replace_files(root: Path) -> Iterator[Path]:
    """Yields a folder to write files into; they move into `root` when the `with` statement ends without an error."""
    folder = root / PENDING
    recover(root)
    folder.mkdir(parents=True)
    try:
        yield folder
        with atomic(folder / COMPLETE):
            pass
    except BaseException:
        recover(root)
        raise
    recover(root)


def recover(root: Path) -> None:
    """Ends what a crash broke off: moves files that were complete, throws away those that were not.

    Raises:
      InputError: if a block is damaged.
    """
    folder = root / PENDING
    if (folder / COMPLETE).exists():
        for path in sorted(folder.iterdir()):
            if path.name != COMPLETE:
                os.replace(path, root / path.name)
    if folder.exists():
        for name in store.block_names(root):
            store.settle_block(root, name)
        shutil.rmtree(folder)
    if folder.parent.exists() and not any(folder.parent.iterdir()):
        folder.parent.rmdir()
