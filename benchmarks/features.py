"""Speed of the audio features: python -m benchmarks.features [--clips=20 --seconds=10 --repeats=5 --audio_dir=...]

Ours (`musiclust.preprocess.audio.features.extract`) makes every block from one STFT, with librosa's values. It is shown
whole and by part: the same calls one after the other, checked to give the very blocks of `extract`. Beside each part
stands librosa's function for it, given the same STFT and checked to give the same values bit for bit. The peer is
librosa with its functions called on the samples one by one. The limit is decoding and one STFT, nothing more.

All work on the same files (Ogg Vorbis made on the spot, or those of a folder), on one thread, and take turns. Seconds
are the processor's, so that waiting for other jobs does not count; ratios are taken within a repeat. Medians of the
repeats are shown with their range, after a warm-up. Words (SBERT) are not part of it.
"""

import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import librosa
import numpy as np
import scipy.stats
import soundfile
from absl import flags
from librosa import feature
from threadpoolctl import threadpool_limits

from benchmarks.measure import in_turn, machine, summary, write
from benchmarks.rendering import show
from experiments.cli.program import run
from musiclust.errors import InputError
from musiclust.preprocess.audio import descriptors, features
from musiclust.preprocess.audio.features import BLOCKS, HOP_LENGTH, N_FFT, SAMPLE_RATE, decode, extract

_CLIPS = flags.DEFINE_integer("clips", 20, "How many clips.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 10.0, "Length of those made here.", lower_bound=1.0, upper_bound=30.0)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Repeats after the warm-up.", lower_bound=5)
_AUDIO_DIR = flags.DEFINE_string("audio_dir", None, "A folder whose first files are heard instead of made ones.")
_OUT = flags.DEFINE_string("out", "benchmarks/results/features.json", "Where the figures are written.")

RATE = 44_100  # Hz, of the files that are made
KINDS = (".mp3", ".ogg", ".flac", ".wav", ".opus")


def write_clip(path: Path, seconds: float, rng: np.random.Generator) -> None:
    """Plucked notes and noise, stereo, as Ogg Vorbis."""
    after = np.arange(RATE // 2) / RATE
    samples = 0.01 * rng.standard_normal((round(seconds * RATE), 2))
    for start in range(0, len(samples) - len(after), RATE // 8):
        pitch = 440 * 2 ** (rng.integers(-24, 24) / 12)
        for overtone in range(1, 6):
            note = 0.1 / overtone * np.sin(2 * np.pi * overtone * pitch * after) * np.exp(-6 * after)
            samples[start : start + len(after)] += note[:, None] * rng.uniform(0.3, 1.0, 2)
    with soundfile.SoundFile(path, "w", RATE, 2) as file:
        for start in range(0, len(samples), 4096):  # libsndfile's Vorbis encoder overflows its stack on long pieces
            file.write(samples[start : start + 4096])


def find_files(folder: Path, count: int) -> list[Path]:
    """The first files of a folder, at any depth, that decode."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in KINDS):
        try:
            decode(path)
        except InputError:
            continue
        found.append(path)
        if len(found) == count:
            return found
    raise InputError(f"{folder}: {len(found)} files decode, {count} clips are asked for; lower `clips`")


Made = dict[str, np.ndarray]
Work = Callable[[np.ndarray, Made], Made]


class Part(NamedTuple):
    """One part of the features: what ours does for it, and librosa given the same STFT.

    Each is given the samples, (n,), and what the parts before have made.
    """

    ours: Work
    librosa: Work


def _stft(y: np.ndarray, made: Made) -> Made:
    magnitude = descriptors.take_magnitudes(y)
    return {"magnitude": magnitude.T, "power": np.square(magnitude).T}


def _librosa_stft(y: np.ndarray, made: Made) -> Made:
    magnitude = np.abs(librosa.stft(y, n_fft=N_FFT, hop_length=HOP_LENGTH))
    return {"magnitude": magnitude, "power": magnitude**2}


def _mel(y: np.ndarray, made: Made) -> Made:
    decibels = features._find_decibels(made["power"].T, SAMPLE_RATE)
    return {"decibels": decibels, "log_mel": features._limit_depth(decibels)}


def _librosa_mel(y: np.ndarray, made: Made) -> Made:
    mel = feature.melspectrogram(S=made["power"], sr=SAMPLE_RATE, n_mels=features.N_MELS)
    return {"log_mel": librosa.power_to_db(mel, top_db=features.TOP_DB)}


def _image(y: np.ndarray, made: Made) -> Made:
    return {"melspec": features._centre_frames(made["decibels"])}


def _mfcc(y: np.ndarray, made: Made) -> Made:
    mfcc = feature.mfcc(S=made["log_mel"], n_mfcc=40)
    means = {"mfcc_mean": mfcc[:20].mean(axis=1, dtype=np.float64), "mfcc40": mfcc.mean(axis=1, dtype=np.float64)}
    return means | {"mfcc_stats": features._statistics(mfcc[:20])}


def _centroid(y: np.ndarray, made: Made) -> Made:
    return {"centroid": descriptors.measure_centroid(made["magnitude"].T, SAMPLE_RATE)}


def _librosa_centroid(y: np.ndarray, made: Made) -> Made:
    centroid = feature.spectral_centroid(S=made["magnitude"], sr=SAMPLE_RATE)
    bandwidth = feature.spectral_bandwidth(S=made["magnitude"], sr=SAMPLE_RATE, centroid=centroid)
    return {"centroid": np.concatenate([centroid, bandwidth])}


def _librosa_tempo(y: np.ndarray, made: Made) -> Made:
    onset = librosa.onset.onset_strength(S=made["log_mel"], sr=SAMPLE_RATE, hop_length=HOP_LENGTH)
    return {"tempo": feature.tempo(onset_envelope=onset, sr=SAMPLE_RATE, hop_length=HOP_LENGTH)}


def _chroma(find: Callable[[Made], np.ndarray]) -> Work:
    return lambda y, made: {"chroma": features._mean_and_std(find(made))}


# What `extract` does, in its order.
PARTS: Mapping[str, Part] = {
    "STFT, magnitude and power": Part(_stft, _librosa_stft),
    "mel spectrogram in dB": Part(_mel, _librosa_mel),
    "MFCC and their statistics": Part(_mfcc, _mfcc),
    "block of the log-mel image": Part(_image, _image),
    "centroid, bandwidth": Part(_centroid, _librosa_centroid),
    "roll-off": Part(
        lambda y, made: {"rolloff": descriptors.measure_rolloff(made["magnitude"].T, SAMPLE_RATE)},
        lambda y, made: {"rolloff": feature.spectral_rolloff(S=made["magnitude"], sr=SAMPLE_RATE)},
    ),
    "contrast": Part(
        lambda y, made: {"contrast": descriptors.measure_contrast(made["magnitude"].T, SAMPLE_RATE)},
        lambda y, made: {"contrast": feature.spectral_contrast(S=made["magnitude"], sr=SAMPLE_RATE)},
    ),
    "flatness": Part(
        lambda y, made: {"flatness": descriptors.measure_flatness(made["power"].T)},
        lambda y, made: {"flatness": feature.spectral_flatness(S=made["magnitude"])},
    ),
    "zero crossings": Part(
        lambda y, made: {"zero_crossing_rate": descriptors.count_zero_crossings(y)},
        lambda y, made: {"zero_crossing_rate": feature.zero_crossing_rate(y)},
    ),
    "RMS": Part(
        lambda y, made: {"rms": descriptors.measure_rms(y)},
        lambda y, made: {"rms": feature.rms(y=y)},
    ),
    "onsets and tempo": Part(
        lambda y, made: {"tempo": descriptors.estimate_tempo([made["log_mel"]], SAMPLE_RATE)}, _librosa_tempo
    ),
    "tuning and chroma": Part(
        _chroma(lambda made: descriptors.find_chroma(made["power"].T, SAMPLE_RATE)),
        _chroma(lambda made: feature.chroma_stft(S=made["power"], sr=SAMPLE_RATE)),
    ),
}
_SERIES = ("centroid", "rolloff", "contrast", "flatness", "zero_crossing_rate", "rms")


def by_part(y: np.ndarray) -> Made:
    """All that the parts make of a clip, librosa's checked to be ours, and the blocks in it."""
    made: Made = {}
    for part in PARTS.values():
        found = part.ours(y, made)
        for name, values in part.librosa(y, made | found).items():
            np.testing.assert_array_equal(found[name], values)
        made |= found
    made["spectral"] = np.append(
        features._mean_and_std(np.concatenate([made[name] for name in _SERIES])), made["tempo"]
    )
    return made


def librosa_one_by_one(y: np.ndarray) -> dict[str, np.ndarray]:
    """What `extract` gives, as a careful script would have it of librosa."""
    mfcc = feature.mfcc(y=y, n_mfcc=20)
    chroma = feature.chroma_stft(y=y)
    series = [
        feature.spectral_centroid(y=y),
        feature.spectral_bandwidth(y=y),
        feature.spectral_rolloff(y=y),
        feature.spectral_contrast(y=y),
        feature.spectral_flatness(y=y),
        feature.zero_crossing_rate(y),
        feature.rms(y=y),
    ]
    statistics = [mfcc.mean(1), mfcc.std(1), scipy.stats.skew(mfcc, 1), scipy.stats.kurtosis(mfcc, 1)]
    statistics += [np.median(mfcc, 1), mfcc.min(1), mfcc.max(1)]
    moments = [np.stack([row.mean(1), row.std(1)], axis=1).ravel() for row in series]
    return {
        "mfcc_mean": mfcc.mean(1),
        "mfcc_stats": np.stack(statistics, axis=1),
        "mfcc40": feature.mfcc(y=y, n_mfcc=40).mean(1),
        "melspec": librosa.power_to_db(feature.melspectrogram(y=y)).astype(np.float16),
        "chroma": np.stack([chroma.mean(1), chroma.std(1)], axis=1),
        "spectral": np.concatenate([*moments, feature.tempo(y=y)]),
    }


def check(y: np.ndarray) -> Made:
    """What the parts make of a clip, which are the blocks of `extract`, and so does librosa, call by call."""
    made, blocks = by_part(y), extract(y)
    for name, block in blocks.items():
        np.testing.assert_array_equal(made[name].astype(BLOCKS[name].dtype), block)
    for name, reference in librosa_one_by_one(y).items():
        if name != "melspec" or reference.shape == (128, 431):  # librosa's is as long as the clip
            np.testing.assert_allclose(blocks[name], reference, rtol=1e-3, atol=2e-2)
    return made


Seconds = dict[str, np.ndarray]


def measure(paths: Sequence[Path], repeats: int) -> tuple[Seconds, Seconds, Seconds]:
    """(seconds of each contender, of each part of ours, of librosa's) for all files, (repeats,) each."""
    clips = [decode(path).samples for path in paths]
    made = [check(y) for y in clips]

    def each(work: Callable[[Any], Any], items: Sequence[Any]) -> Callable[[], float]:
        def contender() -> float:
            start = time.process_time()
            for item in items:
                work(item)
            return time.process_time() - start

        return contender

    def on_made(work: Work) -> Callable[[], float]:
        return each(lambda clip: work(*clip), list(zip(clips, made, strict=True)))

    contenders = {
        "decode": each(decode, paths),
        "one STFT": each(lambda y: librosa.stft(y, n_fft=N_FFT, hop_length=HOP_LENGTH), clips),
        "ours": each(extract, clips),
        "librosa one by one": each(librosa_one_by_one, clips),
    }
    parts = {
        f"{whose}: {name}": on_made(getattr(part, whose))
        for name, part in PARTS.items()
        for whose in ("ours", "librosa")
    }
    taken = in_turn(contenders | parts, repeats)
    ours, librosas = ({name: taken[f"{whose}: {name}"] for name in PARTS} for whose in ("ours", "librosa"))
    return {name: taken[name] for name in contenders}, ours, librosas


def main(argv: Sequence[str]) -> None:
    n = _CLIPS.value
    rng = np.random.default_rng(0)
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # as in `extract`
        on = machine(["librosa", "numba", "numpy", "scipy", "soundfile", "soxr"])
        if _AUDIO_DIR.value:
            paths = find_files(Path(_AUDIO_DIR.value), n)
        else:
            paths = [Path(folder) / f"{i}.ogg" for i in range(n)]
            for path in paths:
                write_clip(path, _SECONDS.value, rng)
        seconds = float(np.mean([len(decode(path).samples) for path in paths])) / SAMPLE_RATE
        taken, parts, librosas = measure(paths, _REPEATS.value)
    decoding, limit, ours, peer = taken.values()
    lines = {
        "decode": decoding,
        "one STFT": limit,
        "ours": ours,
        "librosa one by one": peer,
        "decode + ours": decoding + ours,
        "decode + librosa one by one": decoding + peer,
        "decode + one STFT, the limit": decoding + limit,
    }
    from_one = sum(librosas.values())
    ratios = {
        "decode + ours / the limit": (decoding + ours) / (decoding + limit),
        "decode + librosa from one STFT / the limit": (decoding + from_one) / (decoding + limit),
        "decode + librosa / decode + ours": (decoding + peer) / (decoding + ours),
        "librosa / ours": peer / ours,
        "ours / one STFT": ours / limit,
        "parts / ours": sum(parts.values()) / ours,
    }
    result = {
        "machine": on,
        "clips": n,
        "seconds": round(seconds, 2),
        "stages": {
            name: {"milliseconds": summary(1000 * seconds / n), "clips_per_second": summary(n / seconds)}
            for name, seconds in lines.items()
        },
        "parts": {
            name: {
                "ours": summary(1000 * parts[name] / n),
                "librosa": summary(1000 * librosas[name] / n),
                "ratio": summary(librosas[name] / parts[name]),
            }
            for name in PARTS
        },
        "ratios": {name: summary(ratio) for name, ratio in ratios.items()},
    }
    write(Path(_OUT.value), result)
    show("features", result, Path(_OUT.value))


if __name__ == "__main__":
    run(main)
