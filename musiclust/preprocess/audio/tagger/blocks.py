"""The blocks of a store that the tagger makes of a song, and what stands in each.

Conventions: each value is a mean over the windows of a song or, in the blocks with `_std`, the standard deviation
between them, see windows.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from musiclust.preprocess.audio.tagger.patches import FRAMES, HOP_LENGTH, N_FFT, SAMPLE_RATE
from musiclust.preprocess.audio.tagger.tags import TAGS, name_columns
from musiclust.preprocess.audio.tagger.weights import SHA256, WHEEL
from musiclust.preprocess.audio.windows import average_windows, specify_blocks

VERSION = 1  # raise it whenever a value changes: stores are checked against it

_UNITS, _CHANNELS = 200, 753
_SETS = {"msd": "tags of the Million Song Dataset", "mtt": "tags of MagnaTagATune"}
_POOLS = tuple(f"{pool}_{i:03d}" for pool in ("max", "mean") for i in range(_CHANNELS))


def specify(windows: int, *, pools: bool) -> dict[str, dict[str, Any]]:
    """Describes the blocks: name -> how its values come about, JSON-able.

    Args:
      windows: how many there are of a song at most; 0 for all.
      pools: whether there are the blocks `msd_pool` and `mtt_pool` too.

    Example:
      >>> list(specify(5, pools=False))
      ['msd', 'mtt', 'tags', 'msd_std', 'mtt_std', 'tags_std']
    """
    means: dict[str, tuple[str, Sequence[str]]] = {
        network: (
            f"the last hidden layer of MusiCNN trained on {learned}",
            [f"{network}_{i:03d}" for i in range(_UNITS)],
        )
        for network, learned in _SETS.items()
    }
    means["tags"] = "the probabilities of tags by MusiCNN, network before tag", name_columns()
    if pools:
        for network, learned in _SETS.items():
            means[f"{network}_pool"] = f"the maxima and means over time of MusiCNN trained on {learned}", _POOLS
    how = {
        "sample_rate": SAMPLE_RATE,
        "n_fft": N_FFT,
        "hop_length": HOP_LENGTH,
        "window_frames": FRAMES,
        "windows": windows,
        "extractor": "MusiCNN",
        "weights": f"{WHEEL} sha256:{SHA256}",
        "extractor_version": VERSION,
    }
    return specify_blocks(means, how)


def summarise_windows(found: Mapping[str, np.ndarray], *, pools: bool) -> dict[str, np.ndarray]:
    """Makes the blocks' values of one song.

    Args:
      found: what `run.tag` says of its W windows.
      pools: as in `specify`.

    Returns:
      block -> (D,) float32.
    """
    windows = {network: found[f"{network}_penultimate"] for network in TAGS}
    windows["tags"] = np.concatenate([found[f"{network}_tags"] for network in TAGS], axis=1)
    if pools:
        for network in TAGS:
            both = [found[f"{network}_max_pool"], found[f"{network}_mean_pool"]]
            windows[f"{network}_pool"] = np.concatenate(both, axis=1)
    return average_windows(windows)
