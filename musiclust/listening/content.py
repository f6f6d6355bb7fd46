"""Files known by what is in them: copies of one file, and files that were moved.

A file's key is its size and a digest of 64 KiB from its middle, where a song has sound and no tags. That is one short
read, also of a collection on a slow disk. Two files count as copies only if all their bytes are equal.
"""

import filecmp
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

_READ = 2**16


def content_key(path: Path) -> str:
    """Returns the key of a file, as "297901-9f2c...".

    Raises:
      OSError: if it cannot be read.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        file.seek(max(0, (size - _READ) // 2))
        return f"{size}-{hashlib.blake2b(file.read(_READ), digest_size=16).hexdigest()}"


def find_copies(paths: Sequence[Path]) -> np.ndarray:
    """Returns (N,) int: for each path the row of the first that is the same file or has the same bytes, else its own.

    A path that is not there, cannot be read or names an empty file is a copy of none but of itself.
    """
    first = {path: row for row, path in reversed(list(enumerate(paths)))}
    copy_of = np.array([first[path] for path in paths], dtype=np.int64)
    by_size: dict[int, list[int]] = defaultdict(list)
    for path, row in sorted(first.items(), key=lambda one: one[1]):
        if path.is_file() and (size := path.stat().st_size):
            by_size[size].append(row)
    for rows in by_size.values():
        originals: dict[str, list[int]] = defaultdict(list)
        for row in rows if len(rows) > 1 else ():
            try:
                alike = originals[content_key(paths[row])]
                original = next((one for one in alike if filecmp.cmp(paths[one], paths[row], shallow=False)), row)
            except OSError:
                continue
            if original == row:
                alike.append(row)
            copy_of[row] = original
    return copy_of[copy_of]


def follow_moved(keys: Mapping[str, str], files: Sequence[Path]) -> dict[str, Path]:
    """Returns where songs are now that are no longer where they were, as far as one of the files is such a song.

    Args:
      keys: `content_key` of each song that is missing, by its name.
      files: where they may be; of several files that are one song the first counts.
    """
    sizes = {key.partition("-")[0] for key in keys.values()}
    found: dict[str, Path] = {}
    for file in files:
        try:
            if str(file.stat().st_size) in sizes:
                found.setdefault(content_key(file), file)
        except OSError:
            continue
    return {name: found[key] for name, key in keys.items() if key in found}
