"""What a network makes of the windows of a song -> what stands of it in the blocks.

Conventions: a block holds the mean over the windows; the block of the same name with `_std` holds the standard
deviation between them, which says how much the song changes (0 where there is one window).
"""

from collections.abc import Mapping

import numpy as np


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
