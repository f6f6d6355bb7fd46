"""The nouns of musiclust. Imports NumPy and JAX only.

Axes: N tracks, B batch, D features, L latent dimensions, C condition columns, E epochs, R replicas, k clusters.
Rows are joined by `track_id`, never by position.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree

# NumPy's on the host, JAX's on the device and while tracing.
if TYPE_CHECKING:
    AnyArray = Any
else:
    AnyArray = Array | np.ndarray

JOINED = "joined_table"  # in the spec of a block that came from a table beside the corpus: the path of that table


@dataclass(frozen=True)
class Tracks:
    """What is known of N tracks apart from their sound.

    Attributes:
      track_id: (N,) str, sorted and unique; the key by which everything joins.
      path: (N,) str, an audio file, or "" where there is none.
      meta: (N,) arrays: "title", "artist", "album" (str, "" where unknown), "duration" (float64, seconds, NaN
        where unknown).
      classes: name -> (N,) int32 codes into `class_names[name]`, -1 where unknown. Never seen by training.
      class_names: name -> the classes, in code order.
      group: (N,) str, the song or artist that several clips share; a track of its own has its track_id here.

    Raises:
      ValueError: if the arrays differ in length, track_id is not sorted and unique, or a code has no name.
    """

    track_id: np.ndarray
    path: np.ndarray
    meta: Mapping[str, np.ndarray]
    classes: Mapping[str, np.ndarray]
    class_names: Mapping[str, tuple[str, ...]]
    group: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.track_id)
        columns = {"path": self.path, "group": self.group, **self.meta, **self.classes}
        for name, column in columns.items():
            if np.shape(column) != (n,):
                raise ValueError(f"Tracks.{name} has shape {np.shape(column)}, expected ({n},)")
        if not np.array_equal(self.track_id, np.unique(self.track_id)):
            raise ValueError("Tracks.track_id must be sorted and unique")
        for name, codes in self.classes.items():
            if n and not (codes.min() >= -1 and codes.max() < len(self.class_names[name])):
                raise ValueError(f"Tracks.classes[{name!r}] has a code outside [-1, {len(self.class_names[name])})")

    def __len__(self) -> int:
        return len(self.track_id)

    def select(self, rows: np.ndarray) -> "Tracks":
        """The same tracks at `rows`, an ascending integer index or a boolean mask of shape (N,)."""
        return Tracks(
            self.track_id[rows],
            self.path[rows],
            {name: column[rows] for name, column in self.meta.items()},
            {name: codes[rows] for name, codes in self.classes.items()},
            self.class_names,
            self.group[rows],
        )


@dataclass(frozen=True)
class Block:
    """One kind of feature for N tracks.

    Attributes:
      name: file stem in the store, e.g. "mfcc_mean".
      track_id: (N,) str, sorted and unique.
      values: (N, *D) float; finite wherever `valid`, zero elsewhere. An array, memory-mapped or not, or what has its
        shape and type and gives rows by their numbers.
      valid: (N,) bool; False where the track has nothing to say here (no words, say).
      spec: how the values came about: sample rate (Hz), hop, units, extractor version, source. JSON-able.

    Raises:
      ValueError: if the arrays differ in length, or track_id is not sorted and unique.
    """

    name: str
    track_id: np.ndarray
    values: Any
    valid: np.ndarray
    spec: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.track_id)
        if len(self.values) != n or self.valid.shape != (n,):
            raise ValueError(f"block {self.name}: {n} track ids, values {self.values.shape}, valid {self.valid.shape}")
        if not np.all(self.track_id[1:] > self.track_id[:-1]):  # by which blocks are joined
            raise ValueError(f"block {self.name}: its track ids are not sorted, or one is there twice")


class _Data(NamedTuple):
    x: Float[AnyArray, "N *D"]
    cond: Float[AnyArray, "N C"]


_NO_CONDITION: Any = object()  # JAX puts all kinds of things, None too, into the places of arrays


class Data(_Data):
    """What a model sees. Classes are not part of it.

    x: (N, *D) float32 features. cond: (N, C) float32 conditions; by default there are none, C = 0.

    Example:
      >>> Data(np.ones((3, 2), np.float32)).cond.shape
      (3, 0)
    """

    __slots__ = ()

    def __new__(cls, x: Any, cond: Any = _NO_CONDITION) -> "Data":
        return super().__new__(cls, x, np.zeros((len(x), 0), np.float32) if cond is _NO_CONDITION else cond)


class Hyper(NamedTuple):
    """Traced scalars, so that a sweep over them is one program; (R,) each in a `musiclust.population`.

    beta: weight of the KL term, >= 0 (Higgins et al., ICLR 2017). learning_rate: Adam's peak step size, > 0.
    rows: line of the table of rows, whose rows of the data the replica trains on.
    """

    beta: Float[AnyArray, "*R"]
    learning_rate: Float[AnyArray, "*R"]
    rows: Int[AnyArray, "*R"]


class Posterior(NamedTuple):
    """A diagonal Gaussian q(z|x): mean and log-variance, (B, L) each, natural logarithm."""

    mean: Float[AnyArray, "*B L"]
    logvar: Float[AnyArray, "*B L"]


class TrainState(NamedTuple):
    """One replica between two steps. Arrays only; functions are arguments.

    `key` never changes: every random draw folds the step into it, so that a resumed run is the unbroken run. `best` is
    the lowest value so far of what `Recipe.patience` looks at, `stale` the epochs since; both stay as they are without
    early stopping.
    """

    step: Int[AnyArray, "*R"]
    params: PyTree
    batch_stats: PyTree
    opt_state: PyTree
    key: Key[Array, "*R"]
    best: Float[AnyArray, "*R"]
    stale: Int[AnyArray, "*R"]


class History(NamedTuple):
    """Means over the tracks of each epoch, in training mode (dropout on, batch statistics).

    loss = reconstruction + beta * KL; reconstruction: squared error summed over a track's features;
    kl_per_dim in nats. neighbours: the stochastic-neighbour term with its weight, 0 without one. held_out: the loss and
    the neighbour term of the tracks that are held out, in evaluation mode after the epoch and at beta's full weight;
    NaN where none are.
    """

    loss: Float[AnyArray, "*R E"]
    reconstruction: Float[AnyArray, "*R E"]
    kl_per_dim: Float[AnyArray, "*R E L"]
    neighbours: Float[AnyArray, "*R E"]
    held_out: Float[AnyArray, "*R E"]


class Clustering(NamedTuple):
    """A partition of N points and how to place a new one.

    clusters: (N,) int32, -1 for noise, else 0 ... k_found - 1 from the largest cluster down. centres: (k_found, L)
    float64, the mean of each cluster's points. assign: new points (M, L) -> (M,) int32, the cluster a new point gets;
    `assign` of the N points is `clusters`. state: the float32 and int32 arrays from which `cluster.assigner` makes
    `assign` again where the points are gone.
    """

    clusters: np.ndarray
    centres: np.ndarray
    assign: Callable[[AnyArray], np.ndarray]
    state: dict[str, np.ndarray]
