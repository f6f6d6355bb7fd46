"""Fingerprints of sound: whether two files hold one recording, whatever their encoding, loudness and tags.

After Haitsma and Kalker, "A Highly Robust Audio Fingerprinting System" (ISMIR 2002). A frame of 0.37 s begins every
11.6 ms and is told by 32 bits, one for each pair of neighbouring bands, of 33 between 300 and 2,000 Hz: whether the
difference of their energies has grown since the frame before. Encoders, equalisers and another loudness turn few of
these bits; another take of the same song has other ones.

Conventions: a song is heard in three excerpts, at a quarter, half and three quarters of it. A block of 256 frames from
the middle of an excerpt of one song is sought in that excerpt of the other, 1.4 s to either side. The *difference* of
two blocks is the share of bits that differ over the share that would by chance, with as many ones in each of the 32: 0
where they are equal, 1 where they have nothing to do with each other. Two songs are one recording if all three
excerpts agree at one and the same lag.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from musiclust.errors import InputError
from musiclust.files import atomic, check_regular
from musiclust.preprocess.audio.decode import decode_pieces
from musiclust.preprocess.workers import Failed, hear_all

RATE = 5_500  # Hz
MOST_DIFFERENT = 0.2  # difference of two songs up to which they are one recording

_FRAME, _HOP = 2048, 64  # samples: 0.37 s and 11.6 ms
_BANDS, _LOWEST, _HIGHEST = 33, 300.0, 2000.0  # Hz
_BLOCK = 256  # frames that are compared: 3 s
_SLACK = 125  # frames to either side, in which they are sought
_FRAMES = _BLOCK + 2 * _SLACK
_SAMPLES = _FRAMES * _HOP + _FRAME  # one more frame than there are differences between frames
_PLACES = (0.25, 0.5, 0.75)
_SILENT = 1e-6  # of the energy of the loudest frame: -60 dB
_LEAST_CHANGE = 1.0  # bits that turn from a frame to the next, below which an excerpt is as good as silent
_LEAST_EXCERPTS = 2  # that must say something

SECONDS = _SAMPLES / RATE  # of an excerpt; a shorter song has no fingerprint

_EDGES = np.round(np.geomspace(_LOWEST, _HIGHEST, _BANDS + 1) * _FRAME / RATE).astype(int)
_WINDOW = np.hanning(_FRAME).astype(np.float32)


class Fingerprint(NamedTuple):
    """What a song is known by.

    Attributes:
      seconds: its duration, by which the excerpts were placed.
      bits: (3, 506) uint32, the frames of each excerpt.
    """

    seconds: float
    bits: np.ndarray


class Compared(NamedTuple):
    """What came of a comparison of songs.

    Attributes:
      same: pairs of rows that are one recording.
      unheard: why songs could not be heard, by their row.
    """

    same: list[tuple[int, int]]
    unheard: dict[int, str]


def take_fingerprint(path: str, seconds: float) -> Fingerprint:
    """Returns the fingerprint of an audio file.

    Args:
      seconds: its duration, at least `SECONDS`.

    Raises:
      InputError: "<path>: <reason>" if the file cannot be read, or less of it decodes.
    """
    starts = [float(frame) * _HOP / RATE for frame in _place_excerpts(seconds)]
    pieces = list(decode_pieces(path, starts, sample_rate=RATE, seconds=SECONDS))
    if any(len(piece) < _SAMPLES for piece in pieces):
        raise InputError(f"{path}: less decodes than the {seconds:.1f} s that it should have")
    return Fingerprint(seconds, np.stack([_describe_frames(piece) for piece in pieces]))


def measure_difference(one: Fingerprint, other: Fingerprint) -> float:
    """Returns how different two songs are where they are least so.

    An excerpt in which hardly a bit turns, as in silence or a drone, says nothing.

    Returns:
      The difference of the excerpt in which they differ most, at the lag at which that is smallest; infinity where
      fewer than two excerpts say something, or no lag is within reach of all.
    """
    lags = _place_excerpts(other.seconds) - _place_excerpts(one.seconds) - _SLACK  # of the first place of each block
    first, last = int(lags.max()), int(lags.min()) + 2 * _SLACK
    speaking = [i for i in range(len(_PLACES)) if max(_change(one.bits[i]), _change(other.bits[i])) >= _LEAST_CHANGE]
    if len(speaking) < _LEAST_EXCERPTS or first > last:
        return np.inf
    worst = np.zeros(last - first + 1)
    for i in speaking:
        found = _compare_blocks(one.bits[i][_SLACK : _SLACK + _BLOCK], other.bits[i])
        worst = np.maximum(worst, found[first - lags[i] : last + 1 - lags[i]])
    return float(worst.min())


def find_same_recordings(
    paths: Sequence[str],
    seconds: Sequence[float] | np.ndarray,
    pairs: np.ndarray,
    *,
    keys: Mapping[int, str],
    kept: Path,
    workers: int,
    report: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Compared:
    """Finds out which pairs of songs are one recording. A file that cannot be decoded is the same as no other.

    Args:
      paths: of N songs. seconds: their durations, at least `SECONDS` of those in pairs.
      pairs: (P, 2) int, rows of the songs that are compared.
      keys: what the content of each file in pairs is known by, by its row. One whose key is in `kept` is not decoded.
      kept: the file in which fingerprints lie. It is written, also when this is broken off.
      workers: processes that decode.
      report: called with (stage, done, total).

    Raises:
      InputError: if `kept` is damaged.
    """
    if not len(pairs):
        return Compared([], {})
    known = load_fingerprints(kept) if kept.exists() else {}
    before = len(known)
    due = [int(row) for row in np.unique(pairs) if keys[int(row)] not in known]
    unheard: dict[int, str] = {}
    jobs = [(paths[row], float(seconds[row])) for row in due]
    try:
        with closing(hear_all(jobs, workers=workers, hear=_try_fingerprint)) as heard:
            for done, (i, result) in enumerate(heard, 1):
                if isinstance(result, Failed):
                    unheard[due[i]] = result.reason
                else:
                    known[keys[due[i]]] = result
                report("hearing songs that may be copies", done, len(due))
    finally:
        if len(known) > before:
            save_fingerprints(kept, known)
    same = []
    for done, (one, other) in enumerate(pairs.tolist(), 1):
        mine, theirs = known.get(keys[one]), known.get(keys[other])
        if mine and theirs and measure_difference(mine, theirs) <= MOST_DIFFERENT:
            same.append((one, other))
        report("comparing them", done, len(pairs))
    return Compared(same, unheard)


def save_fingerprints(path: Path, fingerprints: Mapping[str, Fingerprint]) -> None:
    """Writes fingerprints by their keys; `load_fingerprints` is the inverse."""
    with atomic(path, "wb") as file:
        np.savez(
            file,
            key=np.array(list(fingerprints), dtype=str),
            seconds=np.array([one.seconds for one in fingerprints.values()]),
            bits=np.stack([one.bits for one in fingerprints.values()]).astype("<u4"),
        )


def load_fingerprints(path: Path) -> dict[str, Fingerprint]:
    """Reads fingerprints by their keys.

    Raises:
      InputError: if the file is damaged or of another version.
    """
    check_regular(path)
    try:
        with np.load(path) as file:
            key, seconds, bits = (file[name] for name in ("key", "seconds", "bits"))
        if bits.shape != (len(key), len(_PLACES), _FRAMES) or seconds.shape != key.shape or bits.dtype != np.uint32:
            raise ValueError(f"fingerprints of shape {bits.shape}")
    except (ValueError, KeyError, TypeError, OSError, EOFError, BadZipFile) as error:
        raise InputError(f"{path} is damaged ({error}): delete it, and the songs are heard again") from error
    return {name: Fingerprint(*one) for name, *one in zip(key.tolist(), seconds.tolist(), bits, strict=True)}


def _try_fingerprint(job: tuple[str, float]) -> Fingerprint | Failed:
    path, seconds = job
    try:
        return take_fingerprint(path, seconds)
    except InputError as error:
        return Failed(str(error))
    except Exception as error:  # whatever one file does to a decoder, the others are heard and this one is named
        return Failed(f"{path}: {type(error).__name__}: {error}")


def _place_excerpts(seconds: float) -> np.ndarray:
    """(3,) int: the first frame of each excerpt."""
    return np.round(np.array(_PLACES) * (seconds - SECONDS) * RATE / _HOP).astype(int)


def _describe_frames(samples: np.ndarray) -> np.ndarray:
    """(506,) uint32 the bits of the frames of an excerpt."""
    frames = sliding_window_view(samples[:_SAMPLES], _FRAME)[::_HOP] * _WINDOW
    power = np.abs(np.fft.rfft(frames)[:, : _EDGES[-1]]) ** 2
    energy = np.add.reduceat(power, _EDGES[:-1], axis=1)
    grown = np.diff(energy[:, :-1] - energy[:, 1:], axis=0) > 0
    loudness = energy[1:].sum(axis=1, keepdims=True)
    grown &= loudness > _SILENT * loudness.max()  # in a pause, encoders write what they like
    return np.packbits(grown, axis=1).view("<u4")[:, 0].astype(np.uint32)


def _change(bits: np.ndarray) -> float:
    """How many of the 32 bits turn from a frame to the next, on average."""
    return float(np.bitwise_count(bits[1:] ^ bits[:-1]).mean())


def _compare_blocks(block: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """(251,) the difference of a block (256,) from every block of an excerpt (506,); infinity where it has none."""
    wrong = np.bitwise_count(sliding_window_view(bits, _BLOCK) ^ block).sum(axis=1, dtype=np.int64)
    ones = _unpack(block).mean(axis=0)
    sums = np.cumsum(np.concatenate([np.zeros((1, 32)), _unpack(bits)]), axis=0)
    theirs = (sums[_BLOCK:] - sums[:-_BLOCK]) / _BLOCK
    expected = _BLOCK * (ones * (1 - theirs) + theirs * (1 - ones)).sum(axis=1)
    return np.divide(wrong, expected, out=np.full(len(wrong), np.inf), where=expected > 0)


def _unpack(bits: np.ndarray) -> np.ndarray:
    """(F, 32) float, each 0 or 1."""
    return np.unpackbits(bits[:, None].astype("<u4").view(np.uint8), axis=1).astype(np.float64)
