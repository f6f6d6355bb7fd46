"""Structureless collections of the shape of a given one, and what a score is worth beside theirs.

A surrogate has no clusters, yet the covariance of the data, or even its marginals. What is done to the data is done to
surrogates too, and what they score is what a structureless collection of this shape gets. Three kinds:

- "gaussian": the data turned at random in the space of the tracks. Its mean and covariance are those of the data, to
  the last digit. Where the data is Gaussian, it is as likely as the data itself, so that a test by it is exact (a
  rotation test: Langsrud, Statistics and Computing 2005).
- "elliptical": turned likewise, and the distances of the tracks from the mean (Mahalanobis) are those of the data, in
  another order. So a core with far tails and a hollow shell, which are dense here and thin there in every direction
  alike, stay what they are, and clusters go. Mean and covariance are kept exactly, the distances nearly. A Gaussian's
  surrogate is one of "gaussian" but for chance.
- "copula": each column has the very values of the data, in another order. The orders come from a Gaussian with the
  correlations of the data's normal scores. So skewed columns, heavy tails and bounds stay, and clusters go.

Clips of one song are alike without any clusters. Where tracks share a group, the groups' means and what is left within
groups are turned apart, so that clips of one group are as alike in a surrogate as they are in the data. Their values
("copula") are then those of the means and of what is left.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import ndtri
from scipy.stats import rankdata

from musiclust.errors import InputError
from musiclust.types import AnyArray

HOW = ("gaussian", "elliptical", "copula")
KINDS = ("elliptical", "copula")  # what a claim is held against: "gaussian" is within the first
_ROUNDS = 5  # of fitting distances and covariance in turn


class Surrogates:
    """Draws structureless versions of blocks of features, all blocks of one draw from one joint distribution.

    Args:
      blocks: arrays (N, *D) of the same tracks, finite.
      how: a name in HOW.
      group: (N,) the song or artist that tracks share; None where every track is its own.
      valid: (N,) bool for each block: rows that count. The others stay as they are, and so does the pattern of them. A
        block that a share s of the tracks has keeps its covariance; its correlations with others shrink by sqrt(s).

    Raises:
      InputError: for an unknown kind, fewer than 3 tracks, or values that are not finite.

    Example:
      >>> x = np.random.default_rng(0).normal(size=(50, 3))
      >>> (y,) = Surrogates([x], how="gaussian").draw(0)
      >>> bool(np.allclose(np.cov(y.T), np.cov(x.T)))
      True
    """

    def __init__(
        self,
        blocks: Sequence[AnyArray],
        *,
        how: str = "copula",
        group: np.ndarray | None = None,
        valid: Sequence[np.ndarray] | None = None,
    ) -> None:
        if how not in HOW:
            raise InputError(f"unknown kind of surrogate {how!r}: choose from {', '.join(HOW)}")
        self.blocks = [np.asarray(block) for block in blocks]
        n = len(self.blocks[0])
        if n < 3 or any(len(block) != n for block in self.blocks):
            raise InputError(f"surrogates of blocks of {[len(b) for b in self.blocks]} tracks: give 3 or more, alike")
        self.valid = [np.ones(n, bool)] * len(self.blocks) if valid is None else [np.asarray(v, bool) for v in valid]
        columns = [block.reshape(n, -1).astype(np.float64) for block in self.blocks]
        if not all(np.isfinite(block).all() for block in columns):
            raise InputError("surrogates of values that are not finite: mend the features")
        _, self._member, sizes = np.unique(
            np.arange(n) if group is None else group, return_inverse=True, return_counts=True
        )
        # The rows that share their group with others: only they have something within it.
        self._several = np.flatnonzero(sizes[self._member] > 1)
        counts = [np.bincount(self._member, there) for there in self.valid]
        means = [
            _sum_by(block * there[:, None], self._member) for block, there in zip(columns, self.valid, strict=True)
        ]
        means = [total / np.maximum(count, 1)[:, None] for total, count in zip(means, counts, strict=True)]
        self._between = _Layer(means, [count > 0 for count in counts], how, _centre)
        within = [(block - mean[self._member])[self._several] for block, mean in zip(columns, means, strict=True)]
        there = [one[self._several] for one in self.valid]
        member = np.unique(self._member[self._several], return_inverse=True)[1]
        share = 1 / np.bincount(member)[:, None] if len(member) else np.zeros((0, 1))
        self._within = _Layer(within, there, how, lambda x: x - (share * _sum_by(x, member))[member])

    def draw(self, number: int) -> list[np.ndarray]:
        """The blocks of one structureless collection, in the shapes and types of the data; a function of the number."""
        rng = np.random.default_rng([number, 12])
        between = self._between.draw(rng)
        within = self._within.draw(rng) if len(self._several) else [0.0] * len(between)
        drawn = []
        for block, valid, centres, rest in zip(self.blocks, self.valid, between, within, strict=True):
            x = centres[self._member]
            x[self._several] += rest
            there = valid.reshape(-1, *[1] * (block.ndim - 1))
            drawn.append(np.where(there, x.reshape(block.shape), block).astype(block.dtype))
        return drawn


def draw_surrogate(values: AnyArray, *, how: str = "copula", seed: int, group: np.ndarray | None = None) -> np.ndarray:
    """One structureless version of values (N, *D); see `Surrogates`, which is quicker for many."""
    return Surrogates([values], how=how, group=group).draw(seed)[0]


def draw_in_turn(values: AnyArray, *, group: np.ndarray | None = None) -> Callable[[int], np.ndarray]:
    """The structureless versions of values (N, *D) by number, of the kinds in turn: what exceeds all exceeds either."""
    surrogates = [Surrogates([values], how=kind, group=group) for kind in KINDS]
    return lambda number: surrogates[number % len(KINDS)].draw(number // len(KINDS))[0]


def _centre(x: np.ndarray) -> np.ndarray:
    return x - x.mean(axis=0)


def _sum_by(x: np.ndarray, member: np.ndarray) -> np.ndarray:
    """The rows of x (M, D) added up by group: (groups, D)."""
    sums = np.zeros((int(member.max(initial=-1)) + 1, x.shape[1]))
    np.add.at(sums, member, x)
    return sums


class _Layer:
    """Rows of several blocks that are turned together: the means of groups, or what is left within them.

    centre: takes out of rows (M, D) what a turn must not touch.
    """

    def __init__(
        self,
        blocks: Sequence[np.ndarray],
        valid: Sequence[np.ndarray],
        how: str,
        centre: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        self._blocks, self._valid, self._how, self._centre = blocks, valid, how, centre
        prepared = [self._prepared(*one) for one in zip(blocks, valid, strict=True)]
        joined = centre(np.concatenate(prepared, axis=1))
        self._turned = _Turned(joined, how == "elliptical") if len(joined) else None

    def draw(self, rng: np.random.Generator) -> list[np.ndarray]:
        if self._turned is None:
            return list(self._blocks)
        edges = np.cumsum([block.shape[1] for block in self._blocks])[:-1]
        parts = np.split(self._turned.draw(rng, self._centre), edges, axis=1)
        return [self._finished(*one) for one in zip(self._blocks, self._valid, parts, strict=True)]

    def _prepared(self, block: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """The block as columns that are turned: values or normal scores, and 0 where it is not valid."""
        columns = np.zeros_like(block)
        if valid.any():
            there = block[valid]
            if self._how == "copula":
                columns[valid] = ndtri((rankdata(there, axis=0) - 0.5) / len(there))
            else:
                columns[valid] = there - there.mean(axis=0)
            # Turned, the variance of some rows is spread over all rows.
            columns *= np.sqrt(len(block) / valid.sum())
        return columns

    def _finished(self, block: np.ndarray, valid: np.ndarray, turned: np.ndarray) -> np.ndarray:
        finished = block.copy()
        if self._how == "copula":
            values = np.empty_like(block[valid])
            order = np.argsort(turned[valid], axis=0, kind="stable")
            np.put_along_axis(values, order, np.sort(block[valid], axis=0), axis=0)
            finished[valid] = values
        elif valid.any():
            finished[valid] = turned[valid] + block[valid].mean(axis=0)
        return finished


class _Turned:
    """Rows (M, D) whose columns sum to 0, turned at random among themselves: the inner products of the columns stay.

    distances: whether the rows' Mahalanobis distances stay too, in another order.
    """

    def __init__(self, x: np.ndarray, distances: bool) -> None:
        # An orthonormal basis (M, r) of what the columns span, by the smaller of the two products.
        if x.shape[0] <= x.shape[1]:
            values, vectors = np.linalg.eigh(x @ x.T)
            basis = vectors[:, values > 1e-10 * max(values.max(initial=0.0), 1e-300)]
        else:
            values, vectors = np.linalg.eigh(x.T @ x)
            kept = values > 1e-10 * max(values.max(initial=0.0), 1e-300)
            basis = x @ (vectors[:, kept] / np.sqrt(values[kept]))
        self._rows = len(x)
        self._coordinates = basis.T @ x
        self._distances = np.linalg.norm(basis, axis=1) if distances else None

    def draw(self, rng: np.random.Generator, centre: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        frame, triangle = np.linalg.qr(centre(rng.normal(size=(self._rows, len(self._coordinates)))))
        signs = np.sign(np.diagonal(triangle))  # without them the frame would not be uniform (Mezzadri 2007)
        frame = frame * np.where(signs == 0, 1.0, signs)
        # As many columns as rows have room for: then all distances are the same.
        if self._distances is not None and np.ptp(self._distances) > 1e-9:
            wanted = rng.permutation(self._distances)[:, None]
            for _ in range(_ROUNDS):
                frame = centre(frame * wanted / np.maximum(np.linalg.norm(frame, axis=1, keepdims=True), 1e-300))
                frame = solve_triangular(np.linalg.cholesky(frame.T @ frame), frame.T, lower=True).T
        return frame @ self._coordinates
