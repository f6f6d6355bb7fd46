"""What each block is worth and which settings are best: python -m benchmarks.defaults --store=a --store=b [flags]

For every store, set of features and setting a VAE is trained with several seeds as one program, and k-means with as
many clusters as there are classes groups its latents. Beside it stand the baselines with the same seeds: k-means on the
scaled features, on their principal components and on their t-SNE. What is told is the agreement with the classes (ARI
and NMI), which nothing but the score has seen, as mean and 95 % interval over the seeds.

A store whose classes lie in one block proves nothing of another, so give several, of different makers. --shuffled
measures the same settings on features each column of which is shuffled by itself: no row then agrees with any classes,
and what it scores is chance.

The result is written after every row, and a command that names the same --out goes on with it: rows that are there are
not measured again, and other settings are added to them. The first command of a file fixes its --seeds, --epochs and
--tracks.
"""

import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from sklearn.metrics import adjusted_rand_score

from benchmarks.measure import console, machine, write
from benchmarks.rendering import show
from experiments.cli.numbers import parse_numbers
from experiments.cli.program import run
from experiments.configs import Config
from experiments.study import inputs
from experiments.study.jax_setup import set_up_jax
from musiclust import fusion, store, training
from musiclust.baselines import BASELINES, UNSEEDED
from musiclust.cluster import CLUSTERERS
from musiclust.errors import InputError
from musiclust.metrics import latent
from musiclust.metrics.partition import nmi
from musiclust.models import MODELS
from musiclust.sweep import train
from musiclust.types import Block, Data

_STORE = flags.DEFINE_multi_string("store", None, "Folder of features to measure on; give several.")
_FEATURES = flags.DEFINE_multi_string(
    "features", None, "Blocks joined by +, such as msd+mtt; by default each block of vectors by itself."
)
_SCALING = flags.DEFINE_list("scaling", ["balanced", "unit"], "Ways in which the columns are scaled.")
_FUSION = flags.DEFINE_list("fusion", ["concat"], "Ways in which several blocks become one matrix.")
_NEIGHBOURS = flags.DEFINE_list("neighbours", ["0", "1"], "Weights of the stochastic-neighbour term.")
_LATENT_DIM = flags.DEFINE_list("latent_dim", ["32"], "Numbers of latent dimensions.")
_SHUFFLED = flags.DEFINE_bool("shuffled", False, "Shuffles each column by itself: what is then found is chance.")
_SEEDS = flags.DEFINE_integer("seeds", 5, "Seeds of each row.", lower_bound=2)
_EPOCHS = flags.DEFINE_integer("epochs", 100, "Epochs of training.", lower_bound=1)
_TRACKS = flags.DEFINE_integer("tracks", 2000, "Tracks of a store that are drawn, at most.", lower_bound=10)
_OUT = flags.DEFINE_string("out", "benchmarks/results/defaults.json", "Where the figures are written.")

_ALONE = ("features", "pca", "tsne")  # what k-means is given beside the latents
_WORDS = "lyrics"


class Sample(NamedTuple):
    """The tracks of a store that are measured, and their classes (N,), none of them unknown."""

    name: str
    root: Path
    rows: np.ndarray
    track_id: np.ndarray
    truth: np.ndarray
    classes: str

    @property
    def k(self) -> int:
        return len(np.unique(self.truth))


class Case(NamedTuple):
    """One row. what: a baseline, or "vae"; a baseline has neither neighbours nor, but for PCA, latent dimensions."""

    store: str
    features: str
    shuffled: bool
    fusion: str
    scaling: str
    what: str
    neighbours: float | None
    latent_dim: int | None


def draw_sample(root: Path, tracks: int) -> Sample:
    """The tracks of known class, or so many of them drawn by a fixed seed.

    Raises:
      InputError: if the store knows of no two classes.
    """
    known = store.load_tracks(root)
    classes = inputs.default_classes(known)
    if classes is None:
        raise InputError(f"{root} has no two classes to agree with: name another --store")
    codes = known.classes[classes]
    rows = np.flatnonzero(codes >= 0)
    if len(rows) > tracks:
        rows = np.sort(np.random.default_rng(0).choice(rows, tracks, replace=False))
    return Sample(root.name, root, rows, known.track_id[rows], codes[rows], classes)


def load_blocks(sample: Sample, features: Sequence[str], *, shuffled: bool) -> list[Block]:
    """The sample's blocks; where `shuffled`, each column is in an order of its own, and so is which rows are valid."""
    rng = np.random.default_rng(1)
    tracks = store.load_tracks(sample.root)
    blocks = []
    for block in store.align(tracks, [store.load_block(sample.root, name) for name in features]):
        values, valid = np.asarray(block.values[sample.rows]), block.valid[sample.rows]
        if shuffled:
            order = rng.permutation(len(valid))
            values, valid = values[order], valid[order]
            flat = values.reshape(len(values), -1)
            flat[valid] = rng.permuted(flat[valid], axis=0)
            values = flat.reshape(values.shape)
        blocks.append(Block(block.name, sample.track_id, values, valid, block.spec))
    return blocks


def measure(case: Case, sample: Sample, seeds: Sequence[int], epochs: int) -> dict[str, Any]:
    """Figures of one row: "ari" and "nmi" of each seed; of a VAE "active_units", and how many are "low_information"."""
    started = time.perf_counter()
    blocks = load_blocks(sample, case.features.split("+"), shuffled=case.shuffled)
    fused = fusion.fuse(blocks, how=case.fusion, scaling=case.scaling)
    told: dict[str, Any] = {"columns": int(np.prod(fused.x.shape[1:]))}
    if case.what == "vae":
        spaces, more = _train(case, fused.x, seeds, epochs)
        told |= more
    else:
        width = case.latent_dim or 2
        of_its_own = seeds[:1] if case.what in UNSEEDED else seeds
        spaces = [BASELINES[case.what](fused.x, latent_dim=width, seed=seed) for seed in of_its_own]
        spaces *= len(seeds) // len(spaces)
    partitions = [
        CLUSTERERS["kmeans"](z, k=sample.k, seed=seed).clusters for z, seed in zip(spaces, seeds, strict=True)
    ]
    told["ari"] = [float(adjusted_rand_score(sample.truth, clusters)) for clusters in partitions]
    told["nmi"] = [nmi(clusters, sample.truth) for clusters in partitions]
    return told | {"seconds": round(time.perf_counter() - started, 1)}


def _train(case: Case, x: np.ndarray, seeds: Sequence[int], epochs: int) -> tuple[list[np.ndarray], dict[str, Any]]:
    """The latents (N, L) of each seed, and what is told of them."""
    assert case.latent_dim is not None
    assert case.neighbours is not None
    plain = Config("vae", ())
    model = MODELS["vae"](input_shape=x.shape[1:], latent_dim=case.latent_dim)
    recipe = replace(
        training.Recipe(), batch_size=plain.batch_size, schedule=plain.schedule, neighbours=case.neighbours
    )
    trained = train(model, Data(x), seeds=seeds, betas=plain.beta, epochs=epochs, recipe=recipe)
    data = jax.tree.map(jnp.asarray, Data(x))
    codes = [
        jax.tree.map(np.asarray, training.encode(model, trained.replica(index), data)) for index in range(len(seeds))
    ]
    return [q.mean for q in codes], {
        "active_units": [int(latent.active_units(q.mean)) for q in codes],
        "low_information": sum(latent.tells_little(q.mean, q.logvar) for q in codes),
    }


def list_cases(sample: Sample, settings: Mapping[str, Sequence[Any]], *, shuffled: bool) -> Iterator[Case]:
    """The rows of one store, baselines first; sets of features that the store lacks are left out."""
    there = store.block_names(sample.root)
    alone = [name for name in there if name != _WORDS and store.load_block(sample.root, name).values.ndim < 4]
    alone = [name for name in alone if name != "melspec"]
    for features in settings["features"] or alone:
        if not set(features.split("+")) <= set(there):
            continue
        for how, scaling in itertools.product(settings["fusion"], settings["scaling"]):
            case = Case(sample.name, features, shuffled, how, scaling, "features", None, None)
            for what in _ALONE:
                widths = settings["latent_dim"] if what == "pca" else (None,)
                yield from (case._replace(what=what, latent_dim=width) for width in widths)
            for weight, width in itertools.product(settings["neighbours"], settings["latent_dim"]):
                yield case._replace(what="vae", neighbours=weight, latent_dim=width)


def _settings() -> dict[str, Sequence[Any]]:
    """The flags as lists of values.

    Raises:
      InputError: for an unknown name, or a value that is not a number.
    """
    for flag, registry in ((_SCALING, fusion.SCALINGS), (_FUSION, fusion.FUSIONS)):
        unknown = [name for name in flag.value if name not in registry]
        if unknown or not flag.value:
            raise InputError(f"--{flag.name}={','.join(flag.value)}: choose from {', '.join(registry)}")
    weights = parse_numbers("neighbours", _NEIGHBOURS.value, float)
    widths = parse_numbers("latent_dim", _LATENT_DIM.value, int)
    if min(weights) < 0 or min(widths) < 1:
        raise InputError("--neighbours are weights from 0 up, --latent_dim are whole numbers from 1 up")
    return {
        "features": _FEATURES.value or (),
        "fusion": _FUSION.value,
        "scaling": _SCALING.value,
        "neighbours": weights,
        "latent_dim": widths,
    }


def _begin(out: Path, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """The result so far, or an empty one.

    Raises:
      InputError: if the file is another's, or was made with other seeds or epochs.
    """
    if not out.exists():
        return {"machine": machine(["jax", "scikit-learn", "numpy"]), **fixed, "stores": {}, "rows": []}
    try:
        result = json.loads(out.read_text(encoding="utf-8"))
        before = {name: result[name] for name in fixed}
        [Case(**{name: row[name] for name in Case._fields}) for row in result["rows"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{out}: not a result of this version ({error!r}): name another --out") from error
    for name, value in fixed.items():
        if before[name] != value:
            raise InputError(f"{out} was made with --{name}={before[name]}, not {value}: name another --out")
    return result


def main(argv: Sequence[str]) -> None:
    if not _STORE.value:
        raise InputError("name the stores to measure on: --store=stores/gtzan --store=stores/fma")
    settings = _settings()
    set_up_jax(None)
    out = Path(_OUT.value)
    result = _begin(out, {"seeds": _SEEDS.value, "epochs": _EPOCHS.value})
    done = {tuple(row[name] for name in Case._fields) for row in result["rows"]}
    for root in (Path(text).expanduser() for text in _STORE.value):
        sample = draw_sample(root, _TRACKS.value)
        about = {"tracks": len(sample.rows), "classes": sample.classes, "k": sample.k}
        if result["stores"].setdefault(sample.name, about) != about:
            raise InputError(f"{out} has a {sample.name} of {result['stores'][sample.name]}: name another --out")
        for case in list_cases(sample, settings, shuffled=_SHUFFLED.value):
            if tuple(case) in done:
                continue
            figures = measure(case, sample, range(_SEEDS.value), _EPOCHS.value)
            result["rows"].append(case._asdict() | figures)
            write(out, result)
            console.print(f"{' '.join(map(str, case))}: ARI {np.mean(figures['ari']):.3f}, {figures['seconds']:.0f} s")
    show("defaults", result, out)


if __name__ == "__main__":
    run(main)
