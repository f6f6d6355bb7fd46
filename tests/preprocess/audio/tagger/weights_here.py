"""The tagger's weights for tests: no test fetches them, README's first command has."""

from pathlib import Path

import pytest

from experiments.cli.places import cache_root
from musiclust.preprocess.audio.tagger.weights import WHEEL


def weights_or_skip() -> Path:
    """Returns the wheel in the cache folder; skips the test where there is none."""
    wheel = cache_root() / "weights" / WHEEL
    if not wheel.exists():
        pytest.skip(f"{wheel} is not there: python -m experiments.preprocess fetches it")
    return wheel
