"""A store and a configuration -> what a model is given, and what it is judged by."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.configs import DEFAULTS, TSNE_LIMIT, Config
from musiclust import fusion, store, streaming
from musiclust.errors import InputError
from musiclust.rows import Rows, select_rows, split_rows
from musiclust.splits import split_held_out
from musiclust.types import Block, Data, Tracks

# The blocks of the pretrained tagger that defaults name, and what is taken where the store lacks one of them.
_TAGGER, _IN_ITS_PLACE = ("msd", "mtt"), "mfcc_mean"
# The blocks of which the reference space is made, where the store has them: what is always there, and is not words. The
# tagger's do not belong to it: with and without them a partition of these tracks is judged in one and the same space.
_REFERENCE = ("mfcc_stats", "chroma", "spectral")
# Of a store with other features, all but words, which most tracks lack, and drawn tags, which name the clusters.
_NOT_REFERENCE = ("lyrics", "tags")
OWN = "the run's own features"
# Of streamed features that are no images: the principal components that the baselines are given, and on how many rows
# these are fitted.
_COMPONENTS, _FITTED_ON = 64, 10_000
# Replicas of a run that streams are compared by so many tracks where none are held out.
COMPARED = 2_000


class Inputs(NamedTuple):
    """What a run knows of its tracks.

    data is all that training sees. columns (N, *D) are what the baselines are given: they differ from data.x in that no
    rows are brought to one length, so that the baselines are the same whatever the scaling. truth (N,) int32 codes of
    `class_names`, and the values that make the reference space, are for the scores alone. classes ("genre", say) and
    truth are None where the store knows of no two classes. judged_names says which blocks the reference space is made
    of, or OWN where the store has none that is there for all tracks, so that the run's own features take their place.
    held_out (h,) int32 are the rows that neither the scaling nor the model is fitted on, None where there are none.
    Where the features are streamed, data.x is a `streaming.Streamed`, the values of blocks are read when they are asked
    for, and columns are the mean and deviation of each band of an image, or principal components.
    """

    store: Path
    corpus: str
    tracks: Tracks
    blocks: list[Block]
    fusion: fusion.Fusion
    data: Data
    columns: np.ndarray
    classes: str | None
    truth: np.ndarray | None
    class_names: tuple[str, ...]
    held_out: np.ndarray | None
    judged_by: list[np.ndarray]
    judged_names: tuple[str, ...]

    def reference(self) -> np.ndarray:
        """(N, P): the one space in which every partition of these tracks is judged; computed when called."""
        from musiclust.metrics.reference import reference_space  # scikit-learn, which training need not wait for

        return reference_space(self.judged_by)

    def names_read(self) -> tuple[str, ...]:
        """Names of the blocks of the store that were read: the features, and those that make the reference space."""
        judged = () if self.judged_names == (OWN,) else self.judged_names
        return tuple(dict.fromkeys([*(block.name for block in self.blocks), *judged]))

    def trained_rows(self) -> np.ndarray:
        """The rows that models are trained on: all but those held out."""
        rows = np.arange(len(self.tracks), dtype=np.int32)
        return rows if self.held_out is None else np.setdiff1d(rows, self.held_out)

    def compared_rows(self) -> np.ndarray | None:
        """The rows by which replicas are compared: those held out, else, of streamed features, some from all through
        them; None for all."""
        if self.held_out is not None or not streaming.is_streamed(self.data) or len(self.tracks) <= COMPARED:
            return self.held_out
        return np.linspace(0, len(self.tracks) - 1, COMPARED).astype(np.int32)

    def stacked_rows(self, copies: int) -> np.ndarray:
        """(copies, n) the trained rows of so many data sets of these tracks, laid one after the other."""
        return self.trained_rows() + len(self.tracks) * np.arange(copies)[:, None]

    def unconditioned(self) -> Data:
        """The data without conditions, as the autoencoder sees them."""
        return Data(self.data.x)


def complete(
    config: Config, root: Path, *, keep_features: bool, keep_baselines: bool = False, keep_controls: bool = False
) -> Config:
    """The configuration with what only the store can tell: which features it has, which classes, how many clusters.

    Where there are no classes and no number was asked for, k stays 0: the job chooses it by the features.

    Args:
      keep_features: the features were asked for by name, so that a lack of one is an error, not a choice.
      keep_baselines: the baselines were asked for by name, so that t-SNE may take long.
      keep_controls: the controls were asked for by name, so that one that takes nothing is an error.

    Raises:
      InputError: for unknown classes, for too few tracks or too many clusters.
    """
    tracks = store.load_tracks(root)
    if len(tracks) < 4:
        raise InputError(f"{root} holds {len(tracks)} tracks: clustering needs at least 4")
    if config.k > len(tracks):
        raise InputError(f"--k={config.k} is larger than the {len(tracks)} tracks of {root}: choose a smaller one")
    name = _classes(config.classes, tracks)
    features = config.features if keep_features else _features_there(config.features, root, tracks)
    stream = _choose_stream(replace(config, features=features), root) if config.stream == "auto" else config.stream
    _check_streamable(config, stream, keep_controls=keep_controls)
    count = len(np.unique(tracks.classes[name][tracks.classes[name] >= 0])) if name else 0
    controls = () if stream == "yes" else config.controls
    return replace(
        config,
        features=features,
        stream=stream,
        controls=tuple(one for one in controls if keep_controls or one == "noise" or "lyrics" in features),
        baselines=config.baselines if keep_baselines else _quick_baselines(config.baselines, tracks),
        classes=name or "",
        k=config.k or (max(2, min(count, len(tracks) // 3)) if name else 0),
        k_source="given" if config.k else "classes" if name else "suggested",
    )


def tell_choices(config: Config, completed: Config, root: Path) -> list[str]:
    """What `complete` chose, each choice in a line: the features, where it had a choice, and baselines left out.

    Args:
      config: what `complete` was given; completed: what it gave. root: the store.
    """
    lines, lacking = [], [name for name in config.features if name not in completed.features]
    if lacking or (config.features == DEFAULTS[config.model].features and set(_TAGGER) & set(config.features)):
        parts = [f"features: {', '.join(completed.features)}"]
        if deaf := [name for name in lacking if name in _TAGGER]:
            parts.append(f"the store lacks {', '.join(deaf)} (python -m experiments.preprocess makes them of audio)")
        if "lyrics" in lacking:
            parts.append("the store holds no lyrics")
        elif "lyrics" not in config.features and "lyrics" in store.block_names(root):
            parts.append(
                f"the words of the store are looked at only by --features={','.join(completed.features)},lyrics"
            )
        lines.append("; ".join(parts))
    if completed.stream == "yes":
        lines.append(_tell_streamed(completed, root))
    if config.baselines != completed.baselines:
        lines.append(f"no row of t-SNE, which takes minutes above {TSNE_LIMIT:,} tracks: --baselines=tsne makes it")
    return lines


def for_other_store(config: Config, root: Path) -> Config:
    """A trained run's configuration for other tracks: with their classes where those are others, without t-SNE where
    they are many, and with none held out."""
    tracks = store.load_tracks(root)
    classes = config.classes if config.classes in tracks.classes else ""
    other = replace(config, classes=classes, baselines=_quick_baselines(config.baselines, tracks), held_out=0.0)
    return replace(other, stream=_choose_stream(other, root))


def load(config: Config, root: Path, fitted: fusion.Fusion | None = None) -> Inputs:
    """Reads the store for a completed configuration.

    Args:
      fitted: the fusion of a trained model, to be applied; None to fit one.

    Raises:
      InputError: for a missing store, block or classes, or one that does not fit the model.
    """
    tracks = store.load_tracks(root)
    streamed = config.stream == "yes"
    blocks = store.align(tracks, [store.load_block(root, name) for name in config.features])
    seen, held_out = split_held_out(tracks.group, share=config.held_out) if config.held_out else (None, None)
    if streamed:
        options: dict[str, Any] = {"how": config.fusion, "scaling": config.scaling, "weights": config.weights}
        fitted = fitted or fusion.fit_in_pieces(blocks, seen, **options)
        x = _stream(fitted, blocks)
    elif fitted is None:
        fitted_on = blocks if seen is None else [_rows_of(block, seen) for block in blocks]
        fused = fusion.fuse(fitted_on, how=config.fusion, scaling=config.scaling, weights=config.weights)
        fitted = fused.fusion
        x = fused.x if seen is None else fusion.apply(fitted, blocks)
        if (x == x[:1]).all():
            raise InputError("the features are the same for all tracks: take --features that vary")
    else:
        x = fusion.apply(fitted, blocks)
    name = _classes(config.classes, tracks)
    there = store.block_names(root)
    known = [name for name in _REFERENCE if name in there] or [name for name in there if name not in _NOT_REFERENCE]
    judged = [store.fit_to_tracks(tracks, store.load_block(root, name)) for name in known]
    judged = [block for block in judged if block.valid.all()]
    if isinstance(x, streaming.Streamed):
        columns = _condense(_stream(fusion.keep_row_lengths(fitted), blocks))
    else:
        columns = fusion.apply(fusion.keep_row_lengths(fitted), blocks) if config.scaling == "unit" else x
    return Inputs(
        store=root,
        corpus=store.load_corpus_name(root),
        tracks=tracks,
        blocks=blocks,
        fusion=fitted,
        data=Data(x, _condition(config.condition, tracks, blocks, name)),
        columns=columns,
        classes=name,
        truth=tracks.classes[name] if name else None,
        class_names=tracks.class_names[name] if name else (),
        held_out=held_out,
        judged_by=[_judged_values(block, streamed) for block in judged] or [columns],
        judged_names=tuple(block.name for block in judged) or (OWN,),
    )


def _rows_of(block: Block, rows: np.ndarray) -> Block:
    """A block of some of the tracks alone."""
    values = select_rows(block.values, rows)
    return replace(block, track_id=block.track_id[rows], values=values, valid=block.valid[rows])


def _stream(fitted: fusion.Fusion, blocks: list[Block]) -> streaming.Streamed:
    """x of the blocks by a fitted fusion, its rows made when they are asked for."""

    def read(rows: np.ndarray) -> np.ndarray:
        return fusion.apply(fitted, [streaming.take_block(block, rows) for block in blocks])

    return streaming.Streamed((len(blocks[0].values), *read(np.arange(1)).shape[1:]), read)


def _condense(x: streaming.Streamed) -> np.ndarray:
    """(N, P) float32, what the baselines are given of streamed features: few enough columns for memory."""
    if x.ndim == 3:
        return streaming.map_pieces(lambda rows: _without_frames(rows).astype(np.float32), x)
    from sklearn.decomposition import PCA

    some = np.linspace(0, len(x) - 1, min(_FITTED_ON, len(x))).astype(int)
    pca = PCA(min(_COMPONENTS, len(some), x.shape[1]), random_state=0).fit(x[some])
    return streaming.map_pieces(lambda rows: pca.transform(rows).astype(np.float32), x)


def _judged_values(block: Block, streamed: bool) -> np.ndarray:
    return streaming.map_pieces(_without_frames, block.values) if streamed else _without_frames(block.values)


def _choose_stream(config: Config, root: Path) -> str:
    """Whether the features are streamed: "yes" where they are too many for memory, else "no"."""
    from musiclust.devices import fits  # asks JAX for its devices, which only training and scoring need

    there = store.block_names(root)
    values = sum(math.prod(store.load_outline(root, name).shape) for name in config.features if name in there)
    return "no" if fits(values, int(config.max_memory * 2**30) or None) else "yes"


def _check_streamable(config: Config, stream: str, *, keep_controls: bool) -> None:
    """Raises InputError where a run that streams was asked for what looks at all features at once."""
    if stream != "yes":
        return
    if config.null == "pipeline":
        raise InputError(
            "--null=pipeline trains on surrogates of all features, which are streamed here and not in memory: take "
            "--null=latents, or --stream=no on a machine with the memory"
        )
    if keep_controls and config.controls:
        raise InputError(
            f"--controls={','.join(config.controls)} are made of all features, which are streamed here and not in "
            "memory: take --controls=none, or --stream=no on a machine with the memory"
        )


def _tell_streamed(config: Config, root: Path) -> str:
    blocks = [store.load_block(root, name) for name in config.features]
    size = 4 * sum(math.prod(block.values.shape) for block in blocks) / 2**30
    width = sum(math.prod(block.values.shape[1:]) for block in blocks)
    components = min(_COMPONENTS, width, len(blocks[0].values))
    columns = "mean and deviation of each band" if fusion.is_image(blocks) else f"{components} principal components"
    compared = "" if config.held_out else f"; replicas are compared by {COMPARED:,} tracks"
    return (
        f"features: {size:.3f} GiB, streamed from the disk in chunks of {streaming.CHUNK_BYTES // 2**20} MiB "
        f"(--stream=no takes them into memory); baselines are given the {columns}; no controls{compared}"
    )


def conditioned_on_classes(condition: str) -> bool:
    """Whether the model is told classes: its scores against classes then count for nothing."""
    return condition not in ("none", "modality")


def default_classes(tracks: Tracks) -> str | None:
    """Those with at least two classes that come first; None where there are none."""
    return _classes("", tracks)


def _features_there(features: tuple[str, ...], root: Path, tracks: Tracks) -> tuple[str, ...]:
    """The features as far as the store has them: without words that are not there, and with `mfcc_mean` in place of the
    tagger's blocks unless each of these has all tracks."""
    if set(_TAGGER) & set(features) and not all(_has_all(root, name, tracks) for name in _TAGGER if name in features):
        features = tuple(dict.fromkeys(_IN_ITS_PLACE if name in _TAGGER else name for name in features))
    there = store.block_names(root)
    return tuple(name for name in features if name != "lyrics" or name in there)


def _has_all(root: Path, name: str, tracks: Tracks) -> bool:
    if name not in store.block_names(root):
        return False
    block = store.load_outline(root, name)
    return bool(np.isin(tracks.track_id, block.track_id[block.valid]).all())


def _without_frames(values: np.ndarray | Rows) -> np.ndarray:
    """Vectors as they are; of spectrograms (N, mel, frame) the mean and deviation of each band."""
    if values.ndim < 3 or values.shape[2] < 16:
        return np.asarray(values)
    pieces = split_rows(values) if isinstance(values, Rows) else [values]
    return np.concatenate([_average_frames(piece) for piece in pieces])


def _average_frames(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values.mean(axis=2, dtype=np.float64), values.std(axis=2, dtype=np.float64)], axis=1)


def _quick_baselines(baselines: tuple[str, ...], tracks: Tracks) -> tuple[str, ...]:
    return tuple(name for name in baselines if name != "tsne" or len(tracks) <= TSNE_LIMIT)


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
        code = (np.maximum(codes, 0) / max(1, classes - 1)).astype(np.float32)
        unknown = codes < 0
        # The code of no class is that of the first: a second column tells the two apart, where it is needed.
        return np.stack([code, unknown.astype(np.float32)], axis=1) if unknown.any() else code[:, None]
    return (codes[:, None] == np.arange(classes)).astype(np.float32)
