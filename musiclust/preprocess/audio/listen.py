"""One audio file -> its features: what a worker process does with each path it is given."""

from typing import NamedTuple

import numpy as np

from musiclust.errors import InputError
from musiclust.preprocess.workers import Failed


class Heard(NamedTuple):
    """What was extracted from a file.

    Attributes:
      features: block -> its values for this track.
      duration: seconds of the whole file.
      warning: "" or what is amiss.
    """

    features: dict[str, np.ndarray]
    duration: float
    warning: str


def hear(path: str) -> Heard | Failed:
    """Decodes a file and extracts every feature. Runs in a worker process."""
    from musiclust.preprocess.audio import features

    try:
        clip = features.decode(path, sample_rate=features.SAMPLE_RATE, seconds=features.CLIP_SECONDS)
        found = features.extract(clip.samples, sample_rate=features.SAMPLE_RATE)
    except InputError as error:
        return Failed(str(error).removeprefix(f"{path}: "))
    except Exception as error:  # whatever one file does to a decoder, the others are heard and this one is named
        return Failed(f"{type(error).__name__}: {error}")
    broken = [name for name, values in found.items() if not np.isfinite(values).all()]
    if broken:
        return Failed(f"its {', '.join(broken)} came out as NaN or infinity")
    return Heard(found, clip.duration, clip.warning)
