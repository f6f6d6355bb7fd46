"""Names for clusters, with the reasons for them: what a cluster has more of than the rest of the collection.

Conventions: a name is made of up to three reasons, tags before words before descriptors, as in "piano, solo, quiet".
A reason counts only where its whole interval lies beyond "no difference" (`contrasts`), and the difference is large
enough to be heard (LEAST_LIFT, LEAST_SHARE, LEAST_MORE, LEAST_DIFFERENCE). The intervals of all reasons of a kind,
over all clusters, hold together with 95 % (Bonferroni), and the kinds share the 5 % that is left. So clusters drawn by
lot are called "no clear character" in at least 95 of 100 collections. Two named clusters never have one name: they get
more reasons, then what tells them from each other ("more violin"), and then a number.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from musiclust.errors import InputError
from musiclust.report.contrasts import Contrast, difference, lift, lift_of_counts
from musiclust.report.tags import contradicts, merge_tags
from musiclust.report.words import count_words, weigh_words
from musiclust.types import AnyArray

NO_CHARACTER = "no clear character"
LEAST_LIFT = 1.5  # as much again, and half of it; less is not a character
LEAST_SHARE = 0.1  # of the cluster: what nine of ten songs lack is not its character
LEAST_MORE = 0.05  # share of the cluster beyond that of the rest: a few songs in a hundred are no character either
LEAST_DIFFERENCE = 0.5  # standard deviations: a medium effect (Cohen, 1988)
MISS = 0.05  # probability that any interval of a collection misses

_IN_NAME = 3  # reasons that a name has, if that is enough to tell it from the others
_MOST = {"tag": 6, "word": 5, "descriptor": 3}  # reasons of each kind that are kept
_LEAST_GROUPS = 5  # that must have a word, anywhere, before it is looked at


class Descriptor(NamedTuple):
    """What a measured column is called where a cluster has more or less of it.

    Attributes:
      more: what the cluster is then.
      less: the same where it has less.
      unit: what the values are in.
      heard: the least quotient of two means that an ear would notice between songs. In a collection that was brought to
        one loudness even a large effect is none to the ear.
    """

    more: str
    less: str
    unit: str
    heard: float


DESCRIPTORS: Mapping[str, Descriptor] = {
    "tempo": Descriptor("faster", "slower", "BPM", 1.1),
    "centroid_mean": Descriptor("brighter", "darker", "Hz", 1.15),
    "rms_mean": Descriptor("louder", "quieter", "of full scale", 1.25),
}
# The tag that says the same as a descriptor, and so takes its place.
_SAME = {"faster": "fast", "slower": "slow", "louder": "loud", "quieter": "quiet"}


class Reason(NamedTuple):
    """One thing that tells a cluster from the rest.

    Attributes:
      kind: "tag", "word" (of lyrics) or "descriptor".
      word: what stands in the name.
      here: for a tag its mean probability over the songs of the cluster, for a word the share of the cluster's groups
        of songs with words that sing it, for a descriptor its mean.
      elsewhere: the same over all other songs.
      effect: here / elsewhere (the lift) of a tag or a word; of a descriptor the difference in standard deviations.
      low: lower end of the interval of the effect, corrected for all comparisons.
      high: upper end of it.
      unit: of `here` and `elsewhere`; "" for shares.
      against: the clusters that `elsewhere` stands for, where it is those of the same name; () for all other songs.
    """

    kind: str
    word: str
    here: float
    elsewhere: float
    effect: float
    low: float
    high: float
    unit: str = ""
    against: tuple[int, ...] = ()


class NamedCluster(NamedTuple):
    """A cluster with its name.

    Attributes:
      cluster: its number.
      name: its name, NO_CHARACTER where nothing stands out.
      size: how many songs it has.
      reasons: what stands out, the strongest first in each kind; () where nothing does.
    """

    cluster: int
    name: str
    size: int
    reasons: tuple[Reason, ...]


def name_clusters(
    clusters: AnyArray,
    *,
    tags: AnyArray | None = None,
    tag_names: Sequence[str] = (),
    texts: Sequence[str] | None = None,
    descriptors: Mapping[str, AnyArray] | None = None,
    group: AnyArray | None = None,
) -> list[NamedCluster]:
    """Names each cluster by what it has more of than the rest, and says why.

    Args:
      clusters: (N,) integers, -1 noise. Noise gets no name, but is part of the rest.
      tags: (N, T) probabilities of tags, in [0, 1]; NaN in the rows of songs that were not heard.
      tag_names: T names of the tags, with or without their set ("mtt:piano").
      texts: N lyrics, "" where a song has none.
      descriptors: values (N,) by their name in DESCRIPTORS; others are not looked at. NaN is unknown.
      group: (N,) what songs share that are not independent, such as the song that clips are cut from; by default each
        song is a group of its own.

    Returns:
      a NamedCluster for each cluster, in the order of their numbers.

    Raises:
      InputError: if the arguments differ in length.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> clusters = np.repeat([0, 1], 20)
      >>> piano = np.where(clusters == 0, 0.7, 0.1) + rng.uniform(-0.1, 0.1, 40)
      >>> [found.name for found in name_clusters(clusters, tags=piano[:, None], tag_names=["piano"])]
      ['piano', 'no clear character']
    """
    clusters = np.asarray(clusters)
    given = {"tags": tags, "texts": texts, "group": group, **(descriptors or {})}
    for what, values in given.items():
        if values is not None and len(values) != len(clusters):
            raise InputError(f"{what} has {len(values)} rows for {len(clusters)} songs: give one for each")
    groups = np.unique(np.arange(len(clusters)) if group is None else np.asarray(group), return_inverse=True)[1]
    numbers = [int(code) for code in np.unique(clusters) if code >= 0]
    sung = texts is not None and any(texts)
    alpha = MISS / max(1, (tags is not None) + sung + bool(descriptors))

    def find(compared: list[int], among: np.ndarray) -> dict[int, list[Reason]]:
        songs = _Songs(clusters, groups, compared, among)
        kinds = [
            *([_find_tags(songs, tags, tag_names, alpha)] if tags is not None else []),
            *([_find_words(songs, texts, alpha)] if texts is not None and sung else []),
            *([_find_descriptors(songs, descriptors, alpha)] if descriptors else []),
        ]
        return {n: _without_repeats([reason for found in kinds for reason in found.get(n, [])]) for n in compared}

    reasons = find(numbers, np.ones(len(clusters), dtype=bool))
    words = _choose_words(reasons)
    for alike in _find_alike(words):
        for n, inner in find(alike, np.isin(clusters, alike)).items():
            told = {reason.word for reason in reasons[n]}
            for reason in [reason for reason in inner if reason.word not in told][:1]:
                reasons[n].append(reason._replace(against=tuple(other for other in alike if other != n)))
                words[n].append(_spell(reason) if reason.kind == "descriptor" else f"more {_spell(reason)}")
    for alike in _find_alike(words):
        for place, n in enumerate(alike[1:], start=2):
            words[n][-1] += f" ({place})"
    names = {n: ", ".join(words[n]) or NO_CHARACTER for n in numbers}
    return [NamedCluster(n, names[n], int((clusters == n).sum()), tuple(reasons[n])) for n in numbers]


class _Songs(NamedTuple):
    """clusters (N,), the codes of the groups (N,), the clusters to tell apart, and which songs to compare (N,)."""

    clusters: np.ndarray
    groups: np.ndarray
    numbers: list[int]
    among: np.ndarray

    def divide(self, known: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yields of each cluster its number, which of the known songs are in it, and the groups of the known songs.

        A cluster that has none of the known songs, or all of them, has nothing to be compared with, and is left out.
        """
        groups = np.unique(self.groups[known], return_inverse=True)[1]
        for number in self.numbers:
            inside = self.clusters[known] == number
            if inside.any() and not inside.all():
                yield number, inside, groups


def _find_tags(songs: _Songs, tags: AnyArray, tag_names: Sequence[str], alpha: float) -> dict[int, list[Reason]]:
    values, words = merge_tags(tags, tag_names)
    known = songs.among & ~np.isnan(values.sum(axis=1))
    found = {}
    for number, inside, groups in songs.divide(known):
        contrast = lift(values[known], inside, groups, alpha / (len(songs.numbers) * max(1, len(words))))
        # Weighed by share and by lift: the commonest tag says little of a cluster, and so does the rarest.
        found[number] = _choose("tag", words, contrast, contrast.here, contrast.here)
    return found


def _find_words(songs: _Songs, texts: Sequence[str], alpha: float) -> dict[int, list[Reason]]:
    counts, words = count_words(texts)
    sung = songs.among & np.array([bool(text.strip()) for text in texts], dtype=bool)
    codes = songs.groups[sung]
    member = csr_matrix((np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(len(texts), len(codes)))
    often = np.flatnonzero(np.asarray((member @ counts[sung] > 0).sum(axis=0)).ravel() >= _LEAST_GROUPS)
    if not len(often):
        return {}
    weights = weigh_words(counts, songs.clusters)[:, often]
    found = {}
    for number, inside, groups in songs.divide(sung):
        contrast = lift_of_counts(counts[sung][:, often], inside, groups, alpha / (len(songs.numbers) * len(often)))
        of_all = contrast.here * inside.sum() / (songs.clusters == number).sum()
        found[number] = _choose("word", [words[index] for index in often], contrast, of_all, weights[number])
    return found


def _find_descriptors(songs: _Songs, descriptors: Mapping[str, AnyArray], alpha: float) -> dict[int, list[Reason]]:
    there = {name: np.asarray(descriptors[name], dtype=np.float64) for name in DESCRIPTORS if name in descriptors}
    found: dict[int, list[Reason]] = {}
    for name, values in there.items():
        known = songs.among & np.isfinite(values)
        for number, inside, groups in songs.divide(known):
            contrast = difference(values[known, None], inside, groups, alpha / (len(songs.numbers) * len(there)))
            here, elsewhere, effect, low, high = (float(value[0]) for value in contrast)
            more, less, unit, heard = DESCRIPTORS[name]
            audible = max(here, elsewhere) >= heard * min(here, elsewhere)
            if (low > 0 or high < 0) and abs(effect) >= LEAST_DIFFERENCE and audible:
                word = more if effect > 0 else less
                found.setdefault(number, []).append(
                    Reason("descriptor", word, here, elsewhere, effect, low, high, unit)
                )
    return {number: sorted(some, key=lambda reason: -abs(reason.effect)) for number, some in found.items()}


def _choose(kind: str, words: Sequence[str], contrast: Contrast, share: np.ndarray, weight: np.ndarray) -> list[Reason]:
    """Returns what stands out, the weightiest first: by `weight` times the logarithm of what the lift is at least."""
    enough = (contrast.low > 1) & (contrast.effect >= LEAST_LIFT) & (share >= LEAST_SHARE)
    enough &= contrast.here - contrast.elsewhere >= LEAST_MORE
    strength = np.where(enough, weight * np.log(np.maximum(contrast.low, 1)), 0.0)
    order = [int(index) for index in np.argsort(-strength, kind="stable") if enough[index]]
    return [_make_reason(kind, words[i], contrast, i) for i in order[: _MOST[kind]]]


def _make_reason(kind: str, word: str, contrast: Contrast, column: int) -> Reason:
    here, elsewhere, effect, low, high = (float(values[column]) for values in contrast)
    return Reason(kind, word, here, elsewhere, effect, low, high)


def _without_repeats(reasons: Sequence[Reason]) -> list[Reason]:
    """Leaves out what says again, or denies, what a reason before it has said."""
    kept: dict[str, Reason] = {}
    for reason in reasons:
        meant = _SAME.get(reason.word, reason.word) if reason.kind == "descriptor" else reason.word
        if reason.kind == "word" or (meant not in kept and not contradicts(meant, list(kept))):
            kept[f"sung: {meant}" if reason.kind == "word" else meant] = reason
    return list(kept.values())


def _choose_words(reasons: Mapping[int, Sequence[Reason]]) -> dict[int, list[str]]:
    """Returns the words of each cluster's name; those that would share one get as many more as tell them apart."""
    length = {number: min(_IN_NAME, len(some)) for number, some in reasons.items()}
    while True:
        words = {number: [_spell(reason) for reason in reasons[number][:n]] for number, n in length.items()}
        longer = [n for alike in _find_alike(words) for n in alike if length[n] < len(reasons[n])]
        if not longer:
            return words
        for number in longer:
            length[number] += 1


def _find_alike(words: Mapping[int, Sequence[str]]) -> list[list[int]]:
    """Returns the clusters that have the same words, in any order, together; those without words are left out."""
    same: dict[frozenset[str], list[int]] = {}
    for number, some in words.items():
        same.setdefault(frozenset(some), []).append(number)
    return [numbers for some, numbers in same.items() if some and len(numbers) > 1]


def _spell(reason: Reason) -> str:
    return quote(reason.word) if reason.kind == "word" else reason.word


def quote(word: str) -> str:
    """Puts a word that is sung into quotation marks."""
    return f"\N{LEFT DOUBLE QUOTATION MARK}{word}\N{RIGHT DOUBLE QUOTATION MARK}"
