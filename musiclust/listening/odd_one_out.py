"""A listening test: which of three songs does not belong? It says whether people hear the clusters.

A trial has three songs, two of one cluster and one of another, and the listener names the one that does not belong (the
intruder test of Chang, Gerrish, Wang, Boyd-Graber & Blei, "Reading Tea Leaves", NIPS 2009, with sound). Who guesses is
right once in three times. One trial in five is a check on the listener: all three songs are of one cluster, and an
arbitrary one counts as the odd one. Nobody can hear it, so that whoever finds it clearly more often than once in three
times has seen the key.

The key is a JSON file with the solutions. Answers are a JSON file that the page of the test gives to a listener.
"""

import hashlib
import json
import math
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from msgspec import Meta
from scipy.stats import binomtest
from scipy.stats import t as student

from musiclust.errors import InputError
from musiclust.files import atomic
from musiclust.metrics.intervals import holm
from musiclust.records import Record, read_record
from musiclust.types import AnyArray

SONGS = 3  # of a trial
GUESSING = 1 / SONGS
CHECKS = 0.2  # share of the trials that are checks on the listener
LEVEL = 0.95
_FORMAT = 1


class Trial(NamedTuple):
    """Three songs to choose from.

    Attributes:
      trial: its id, which says nothing of the solution.
      songs: their rows, in the order in which they are offered.
      odd: place of the odd one, 0 to 2.
      cluster: the cluster that two of them are of, or all three of a check.
      odd_cluster: the cluster of the odd one; of a check it is `cluster`.
      check: whether it is a check on the listener.
    """

    trial: str
    songs: tuple[int, int, int]
    odd: int
    cluster: int
    odd_cluster: int
    check: bool


class _TrialRecord(Record, frozen=True):
    """A trial of key.json."""

    trial: str
    songs: tuple[int, int, int]
    odd: Annotated[int, Meta(ge=0, lt=SONGS)]
    cluster: int
    odd_cluster: int
    check: bool
    track_ids: tuple[str, ...] = ()


class _ClusterRecord(Record, frozen=True):
    """A cluster of key.json."""

    cluster: int
    name: str


class _KeyRecord(Record, frozen=True):
    """key.json."""

    format: int
    test: str
    clusters: list[_ClusterRecord]
    trials: list[_TrialRecord]


class _AnswerRecord(Record, frozen=True):
    """An answer in a file of answers."""

    trial: str
    answer: int
    seconds: float


class _AnswersRecord(Record, frozen=True):
    """A file of answers, as the page of the test saves it."""

    test: str
    listener: str
    answers: list[_AnswerRecord]


class Key(NamedTuple):
    """The solutions of a test. test: its id; trials: all of them; names: of the clusters, by number."""

    test: str
    trials: list[Trial]
    names: dict[int, str]


class Answers(NamedTuple):
    """What a listener answered. listener: a name; places: trial -> place of the song that was named, 0 to 2; seconds:
    trial -> how long it took."""

    listener: str
    places: dict[str, int]
    seconds: dict[str, float]


class Rate(NamedTuple):
    """How often the odd song was found.

    Attributes:
      found: how often.
      answers: of how many.
      accuracy: the one over the other, 0 to 1; NaN without answers.
      low, high: ends of a 95 % interval.
    """

    found: int
    answers: int
    accuracy: float
    low: float
    high: float

    @property
    def audible(self) -> bool:
        """Whether guessing is below the interval."""
        return self.low > GUESSING


class ListeningScores(NamedTuple):
    """What the answers of all listeners say; checks count only in `checks`.

    Attributes:
      overall: of all answers. With one listener its interval is Wilson's: what this listener would reach in another
        draw of trials. With several it is that of the mean of the listeners, what another listener would be expected
        to reach: Student's t over the listeners, or Wilson's over all answers where that is wider, because a few
        listeners can happen to agree.
      together: of all answers, with Wilson's interval: what these listeners would reach in another draw of trials.
      by_cluster: of the trials in which two songs are of that cluster, Wilson's interval over the answers. It takes
        the answers of several listeners to one trial for independent, which they are not quite.
      heard: clusters in whose trials the odd song was found more often than by guessing, at a level of 5 % for all of
        them together (Holm 1979).
      by_listener: of each listener, Wilson's interval over the trials.
      checks: of each listener's check trials, likewise. Guessing is all that anybody can do there.
      suspicious: listeners that found the odd one of the checks more often than guessing does in 19 of 20 cases.
      seconds: of each listener, the median time of an answer; NaN where not known.
    """

    overall: Rate
    together: Rate
    by_cluster: dict[int, Rate]
    heard: list[int]
    by_listener: dict[str, Rate]
    checks: dict[str, Rate]
    suspicious: list[str]
    seconds: dict[str, float]


def draw_trials(clusters: AnyArray, *, seed: int, trials: int, group: AnyArray | None = None) -> list[Trial]:
    """Draws the trials of a test.

    Each cluster has the pair, and the odd song, as often as any other as far as its songs allow, and the odd song
    stands as often in each place. Songs that were offered least come first, and chance decides between equals. No song
    is twice in a trial, and no two of a trial share a group. Noise takes no part.

    Args:
      clusters: (N,) int, -1 noise.
      seed: of the draw; the same seed gives the same trials.
      trials: how many, at least 1, checks among them.
      group: (N,) what songs share that must not meet in a trial, such as the artist or the song that clips are cut
        from, of any type that can be sorted; None where each is its own.

    Returns:
      The trials, in the order in which they are offered.

    Raises:
      InputError: if there are no two clusters to make a trial of, or fewer than one trial is asked for.

    Example:
      >>> trial = draw_trials(np.array([0, 0, 0, 1, 1]), seed=0, trials=1)[0]
      >>> len(set(trial.songs)), trial.cluster != trial.odd_cluster
      (3, True)
    """
    clusters = np.asarray(clusters)
    groups = np.arange(len(clusters)) if group is None else np.unique(np.asarray(group), return_inverse=True)[1]
    if trials < 1:
        raise InputError(f"a listening test of {trials} trials: give at least 1")
    rng = np.random.default_rng(seed)
    rows = {int(code): np.flatnonzero(clusters == code) for code in np.unique(clusters[clusters >= 0])}
    found = {code: set(groups[here].tolist()) for code, here in rows.items()}
    rivals = {
        code: [other for other in rows if other != code and (len(found[code]) > 2 or found[other] - found[code])]
        for code in rows
        if len(found[code]) >= 2
    }
    rivals = {code: others for code, others in rivals.items() if others}
    if not rivals:
        raise InputError(
            "no listening test can be made: it needs a cluster with two songs and another one, whose songs are of "
            "three artists or other groups"
        )
    checked = [code for code in rows if len(found[code]) >= SONGS]
    checks = round(CHECKS * trials) if checked else 0
    draw = _Draw(rng, rows, groups)
    drawn = [draw.trial(rivals) for _ in range(trials - checks)] + [draw.check(checked) for _ in range(checks)]
    digits = len(str(trials))
    return [
        drawn[place]._replace(trial=f"{number:0{digits}d}")
        for number, place in enumerate(rng.permutation(trials).tolist(), start=1)
    ]


class _Draw:
    """Counts what was drawn, and draws what was drawn least."""

    def __init__(self, rng: np.random.Generator, rows: Mapping[int, np.ndarray], groups: np.ndarray) -> None:
        self.rng, self.rows, self.groups = rng, rows, groups
        self.used = np.zeros(len(groups), int)  # how often each song was drawn
        self.counts: Counter[tuple] = Counter()  # how often anything else was

    def trial(self, rivals: Mapping[int, Sequence[int]]) -> Trial:
        cluster = self.least("pair", list(rivals))
        other = self.least("odd", rivals[cluster], cluster)
        own = set(self.groups[self.rows[cluster]].tolist())
        # Of two groups, none may go to the odd song.
        odd = self.song(other, own if len(own) == 2 else set())
        met = {int(self.groups[odd])}
        pair = []
        for _ in range(SONGS - 1):
            pair.append(self.song(cluster, met))
            met.add(int(self.groups[pair[-1]]))
        return self.place(pair, odd, cluster, other)

    def check(self, clusters: Sequence[int]) -> Trial:
        cluster = self.least("check", clusters)
        songs, met = [], set()
        for _ in range(SONGS):
            songs.append(self.song(cluster, met))
            met.add(int(self.groups[songs[-1]]))
        return self.place(songs[1:], songs[0], cluster, cluster)

    def place(self, pair: list[int], odd: int, cluster: int, odd_cluster: int) -> Trial:
        check = cluster == odd_cluster
        place = self.least(f"place {check}", range(SONGS), cluster)
        pair = [pair[i] for i in self.rng.permutation(len(pair))]
        first, second, third = [*pair[:place], odd, *pair[place:]]
        return Trial("", (first, second, third), place, cluster, odd_cluster, check)

    def song(self, cluster: int, met: set[int]) -> int:
        """A song of a cluster, of none of the groups that were met, among those that were drawn least, by lot."""
        here = self.rows[cluster]
        free = here[~np.isin(self.groups[here], list(met))]
        row = int(self.rng.choice(free[self.used[free] == self.used[free].min()]))
        self.used[row] += 1
        return row

    def least(self, what: str, options: Sequence[int], beside: int = 0) -> int:
        """The option that was drawn least, among these the one drawn least beside `beside`, among these by lot."""
        ranks = [
            (self.counts[what, one], self.counts[what, one, beside], lot)
            for one, lot in zip(options, self.rng.random(len(options)), strict=True)
        ]
        one = options[min(range(len(options)), key=ranks.__getitem__)]
        self.counts[what, one] += 1
        self.counts[what, one, beside] += 1
        return one


def score_answers(trials: Sequence[Trial], answers: Sequence[Answers]) -> ListeningScores:
    """Says how often listeners found the odd song; trials without an answer do not count.

    Raises:
      InputError: if two of the answers are of one listener, or none has an answer to a trial that is no check.

    Example:
      >>> trials = draw_trials(np.repeat([0, 1], 9), seed=0, trials=20)
      >>> right = Answers("Ada", {trial.trial: trial.odd for trial in trials if not trial.check}, {})
      >>> rate = score_answers(trials, [right]).overall
      >>> rate.found, rate.answers, round(rate.low, 2), rate.audible
      (16, 16, 0.81, True)
    """
    twice = [name for name, count in Counter(one.listener for one in answers).items() if count > 1]
    if twice:
        raise InputError(f"two files of answers are of {twice[0]!r}: give one file for each listener")
    right = {
        one.listener: [(trial, one.places[trial.trial] == trial.odd) for trial in trials if trial.trial in one.places]
        for one in answers
    }
    heard = [(trial, found) for rows in right.values() for trial, found in rows if not trial.check]
    if not heard:
        raise InputError("the answers hold no answer to a trial of the test")
    by_listener = {name: _rate([found for trial, found in rows if not trial.check]) for name, rows in right.items()}
    checks = {name: _rate([found for trial, found in rows if trial.check]) for name, rows in right.items()}
    by_cluster = {
        cluster: _rate([found for trial, found in heard if trial.cluster == cluster])
        for cluster in sorted({trial.cluster for trial, _ in heard})
    }
    p_values = holm([_p_guessing(rate) for rate in by_cluster.values()])
    together = _rate([found for _, found in heard])
    return ListeningScores(
        _pool(together, [rate.accuracy for rate in by_listener.values() if rate.answers]),
        together,
        by_cluster,
        [cluster for cluster, p in zip(by_cluster, p_values, strict=True) if p <= 1 - LEVEL],
        by_listener,
        checks,
        [name for name, rate in checks.items() if rate.answers and _p_guessing(rate) <= 1 - LEVEL],
        {one.listener: float(np.median(list(one.seconds.values()) or [math.nan])) for one in answers},
    )


def wilson_interval(found: int, answers: int) -> tuple[float, float]:
    """Returns the 95 % interval of a share by Wilson (1927); (NaN, NaN) of nothing.

    Example:
      >>> [round(end, 3) for end in wilson_interval(8, 10)]
      [0.49, 0.943]
    """
    if not answers:
        return math.nan, math.nan
    interval = binomtest(found, answers).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def make_key(trials: Sequence[Trial], track_id: Sequence[str] | AnyArray, names: Mapping[int, str]) -> Key:
    """Puts the solutions together; the id of the test is that of its songs and solutions.

    Args:
      trials: of the test.
      track_id: (N,) str, of the songs that the trials' rows are of.
      names: of the clusters, by number.
    """
    told = [[*(str(track_id[row]) for row in trial.songs), *trial[2:]] for trial in trials]
    digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
    used = {cluster for trial in trials for cluster in (trial.cluster, trial.odd_cluster)}
    return Key(digest, list(trials), {cluster: str(names.get(cluster, "")) for cluster in sorted(used)})


def write_key(path: Path, key: Key, track_id: Sequence[str] | AnyArray) -> None:
    """Writes the solutions, whole or not at all; `read_key` is the inverse."""
    record = {
        "format": _FORMAT,
        "test": key.test,
        "clusters": [{"cluster": cluster, "name": name} for cluster, name in key.names.items()],
        "trials": [
            {**trial._asdict(), "track_ids": [str(track_id[row]) for row in trial.songs]} for trial in key.trials
        ],
    }
    with atomic(path) as file:
        json.dump(record, file, indent=1)
        file.write("\n")


def read_key(path: Path) -> Key:
    """Reads the solutions of a test.

    Raises:
      InputError: if the file is not there, damaged or of another version.
    """
    if not path.exists():
        raise InputError(f"{path} is not there: it is the key of a listening test, which lies beside its page")
    record = read_record(path, _KeyRecord, version=_FORMAT, lenient=True, remedy="give the key of a listening test")
    trials = [Trial(one.trial, one.songs, one.odd, one.cluster, one.odd_cluster, one.check) for one in record.trials]
    return Key(record.test, trials, {one.cluster: one.name for one in record.clusters})


def read_answers(path: Path, key: Key) -> Answers:
    """Reads the answers of a listener to a test.

    Raises:
      InputError: if the file is not there, damaged, of another test, or answers trials that the test does not have.
    """
    remedy = "give the file of answers that the page of the test let a listener save"
    if not path.exists():
        raise InputError(f"{path} is not there: {remedy}")
    record = read_record(path, _AnswersRecord, lenient=True, remedy=remedy)
    if record.test != key.test:
        raise InputError(f"{path} has answers to another listening test than that of the key")
    known = {trial.trial for trial in key.trials}
    for one in record.answers:
        if one.trial not in known or not 0 <= one.answer < SONGS:
            raise InputError(
                f"{path} is damaged: answer {one.answer} to trial {one.trial!r}, which the test cannot have"
            )
    places = {one.trial: one.answer for one in record.answers}
    if len(places) < len(record.answers):
        raise InputError(f"{path} is damaged: it answers a trial twice")
    name = " ".join(unicodedata.normalize("NFC", record.listener).split()) or path.stem
    return Answers(name, places, {one.trial: one.seconds for one in record.answers if math.isfinite(one.seconds)})


def _rate(found: Sequence[bool]) -> Rate:
    accuracy = sum(found) / len(found) if found else math.nan
    return Rate(sum(found), len(found), accuracy, *wilson_interval(sum(found), len(found)))


def _pool(rate: Rate, accuracies: Sequence[float]) -> Rate:
    """The rate of all answers, with the interval of the mean of several listeners."""
    count = len(accuracies)
    if count < 2:
        return rate
    reach = float(student.ppf((1 + LEVEL) / 2, count - 1) * np.std(accuracies, ddof=1) / math.sqrt(count))
    mean = float(np.mean(accuracies))
    return rate._replace(
        accuracy=mean, low=max(0.0, min(rate.low, mean - reach)), high=min(1.0, max(rate.high, mean + reach))
    )


def _p_guessing(rate: Rate) -> float:
    """How often guessing finds the odd song as often, or more often."""
    return float(binomtest(rate.found, rate.answers, GUESSING, alternative="greater").pvalue)
