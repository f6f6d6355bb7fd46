"""Windows from all through a song, and what a network makes of them: what stands of it in the blocks.

Conventions: a block holds the mean over the windows; the block of the same name with `_std` holds the standard
deviation between them, which says how much the song changes (0 where there is one window).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from musiclust.errors import InputError
from musiclust.preprocess.audio.decode import decode_pieces, place_pieces

_LEAST = 0.5  # share of a window that has to decode


def decode_windows(
    path: str, duration: float, *, sample_rate: int, seconds: float, count: int, before: float = 0.0
) -> list[np.ndarray]:
    """Decodes the windows of a song.

    A window of which less than half decodes, as at the end of a damaged file, is left out.

    Args:
      path: a file that `decode` takes.
      duration: seconds of it that decode.
      seconds: length of a window; a song shorter than that is one window, as long as it is.
      count: how many are spread over the song, see `decode.place_pieces`; 0 for all of it.
      before: seconds in front of each window that are decoded with it.

    Returns:
      The windows, (n,) float32 mono each, n <= (before + seconds) * sample_rate.

    Raises:
      InputError: "<path>: <reason>" if no window decodes or one holds NaN, infinite or absurdly large samples.
    """
    starts = [start - before for start in place_pieces(duration, seconds=seconds, count=count)]
    whole = before + seconds
    pieces = decode_pieces(path, starts, sample_rate=sample_rate, seconds=whole)
    found = [piece for piece in pieces if len(piece) >= _LEAST * min(whole, duration) * sample_rate]
    if not found:
        raise InputError(f"{path}: none of its windows of {seconds:.2g} s decodes; convert or remove it")
    return found


def specify_blocks(means: Mapping[str, tuple[str, Sequence[str]]], how: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Describes the blocks that `average_windows` makes: name -> how their values come about, JSON-able.

    Args:
      means: block -> (what it is the mean of, its columns).
      how: what else is to be said of each block.

    Example:
      >>> specify_blocks({"a": ("a pulse", ["a"])}, {})["a_std"]["description"]
      'standard deviation between windows of a pulse'
    """
    described = {name: ("mean over windows", *of) for name, of in means.items()}
    described |= {f"{name}_std": ("standard deviation between windows", *of) for name, of in means.items()}
    return {
        name: {
            "shape": [len(columns)],
            "dtype": "float32",
            "units": "1",
            "description": f"{statistic} of {what}",
            "columns": list(columns),
            **how,
        }
        for name, (statistic, what, columns) in described.items()
    }


def average_windows(windows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Makes the blocks' values of one song.

    Args:
      windows: block -> (W, D), a row a window.

    Returns:
      block -> (D,) float32, and block_std -> (D,) float32.

    Example:
      >>> average_windows({"a": np.array([[1.0], [3.0]])})
      {'a': array([2.], dtype=float32), 'a_std': array([1.], dtype=float32)}
    """
    values = {name: rows.mean(axis=0, dtype=np.float64) for name, rows in windows.items()}
    values |= {f"{name}_std": rows.std(axis=0, dtype=np.float64) for name, rows in windows.items()}
    return {name: value.astype(np.float32) for name, value in values.items()}
