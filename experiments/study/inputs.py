"""A store and a configuration -> what a model is given, and what it is judged by."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.configs import Config
from musiclust import fusion, store
from musiclust.errors import InputError
from musiclust.types import Block, Data, Tracks

# The blocks of which the reference space is made, where the store has them: what is always there, and is not words.
_REFERENCE = ("mfcc_stats", "chroma", "spectral")
# Of a store with other features, all but these.
_NOT_REFERENCE = ("lyrics", "melspec")


class Inputs(NamedTuple):
    """What a run knows of its tracks.

    data is all that training sees; truth (N,) int32 codes of `class_names`, and the values that make the reference
    space, are for the scores alone. classes ("genre", say) and truth are None where the store knows of no two classes.
    """

    store: Path
    corpus: str
    tracks: Tracks
    blocks: list[Block]
    fusion: fusion.Fusion
    data: Data
    classes: str | None
    truth: np.ndarray | None
    class_names: tuple[str, ...]
    judged_by: list[np.ndarray]

    def reference(self) -> np.ndarray:
        """(N, P): the one space in which every partition of these tracks is judged; computed when called."""
        from musiclust.metrics.reference import reference_space  # scikit-learn, which training need not wait for

        return reference_space(self.judged_by)

    def unconditioned(self) -> Data:
        """The data without conditions, as the autoencoder sees them."""
        return Data(self.data.x)


def complete(config: Config, root: Path, *, keep_features: bool) -> Config:
    """The configuration with what only the store can tell: are there lyrics, which classes, how many clusters.

    Args:
      keep_features: the features were asked for by name, so that a lack of lyrics is an error, not a choice.

    Raises:
      InputError: for unknown classes, for too few tracks or too many clusters.
    """
    tracks = store.load_tracks(root)
    if len(tracks) < 4:
        raise InputError(f"{root} holds {len(tracks)} tracks: clustering needs at least 4")
    if config.k > len(tracks):
        raise InputError(f"--k={config.k} is larger than the {len(tracks)} tracks of {root}: choose a smaller one")
    features = config.features
    if not keep_features and "lyrics" not in store.block_names(root):
        features = tuple(name for name in features if name != "lyrics")
    name = _classes(config.classes, tracks)
    count = len(np.unique(tracks.classes[name][tracks.classes[name] >= 0])) if name else 8
    return replace(config, features=features, classes=name or "", k=config.k or max(2, min(count, len(tracks) // 3)))


def for_other_store(config: Config, root: Path) -> Config:
    """A trained run's configuration for other tracks: with their classes where those are others."""
    return config if config.classes in store.load_tracks(root).classes else replace(config, classes="")


def load(config: Config, root: Path, fitted: fusion.Fusion | None = None) -> Inputs:
    """Reads the store for a completed configuration.

    Args:
      fitted: the fusion of a trained model, to be applied; None to fit one.

    Raises:
      InputError: for a missing store, block or classes, or one that does not fit the model.
    """
    tracks = store.load_tracks(root)
    blocks = store.align(tracks, [store.load_block(root, name) for name in config.features])
    if fitted is None:
        fused = fusion.fuse(blocks, how=config.fusion, scaling=config.scaling, weights=config.weights)
        x, fitted = fused.x, fused.fusion
    else:
        x = fusion.apply(fitted, blocks)
    name = _classes(config.classes, tracks)
    there = store.block_names(root)
    known = [name for name in _REFERENCE if name in there] or [name for name in there if name not in _NOT_REFERENCE]
    judged = store.align(tracks, [store.load_block(root, name) for name in known])
    values = [block.values for block in judged if block.valid.all()] or [x]
    return Inputs(
        store=root,
        corpus=store.load_corpus_name(root),
        tracks=tracks,
        blocks=blocks,
        fusion=fitted,
        data=Data(x, _condition(config.condition, tracks, blocks, name)),
        classes=name,
        truth=tracks.classes[name] if name else None,
        class_names=tracks.class_names[name] if name else (),
        judged_by=values,
    )


def conditioned_on_classes(condition: str) -> bool:
    """Whether the model is told classes: its scores against classes then count for nothing."""
    return condition not in ("none", "modality")


def default_classes(tracks: Tracks) -> str | None:
    """Those with at least two classes that come first; None where there are none."""
    return _classes("", tracks)


def _classes(wanted: str, tracks: Tracks) -> str | None:
    """The classes to score against: those asked for, else the first of which there are two."""
    if wanted and wanted not in tracks.classes:
        there = ", ".join(tracks.classes) or "none"
        raise InputError(f"--classes={wanted}: the store has {there}")
    names = [wanted] if wanted else list(tracks.classes)
    usable = [name for name in names if len(np.unique(tracks.classes[name][tracks.classes[name] >= 0])) >= 2]
    return usable[0] if usable else None


def _condition(condition: str, tracks: Tracks, blocks: list[Block], scored: str | None) -> np.ndarray:
    """(N, C) float32; see Config.condition."""
    if condition == "none":
        return np.zeros((len(tracks), 0), np.float32)
    if condition == "modality":
        return fusion.modality_mask(blocks)
    name, _, form = condition.partition(":")
    name = scored or name if name == "class" else name
    if name not in tracks.classes or form not in ("", "code"):
        choices = ", ".join(["none", "modality", "class", *tracks.classes])
        raise InputError(f"--condition={condition}: choose from {choices}; classes may be followed by :code")
    codes, classes = tracks.classes[name], len(tracks.class_names[name])
    if form == "code":
        return (np.maximum(codes, 0) / max(1, classes - 1)).astype(np.float32)[:, None]
    return (codes[:, None] == np.arange(classes)).astype(np.float32)
