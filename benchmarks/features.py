"""Speed of the audio features: python -m benchmarks.features [--clips=20 --seconds=10 --repeats=5]

Ours (`musiclust.preprocess.audio.extract`) is one STFT from which every block comes, shown whole and by stage: the same
calls one after the other, checked to give the very blocks of `extract`. The peer is librosa with its functions called
on the samples one by one, for the same values. The limit is decoding and one STFT, nothing more. All work on the same
Ogg Vorbis files, made on the spot, on one thread, and take turns; ratios are taken within a repeat. Medians of the
repeats are shown with their range, after a warm-up. Words (SBERT) are not part of it.
"""

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

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
from musiclust.preprocess.audio import features
from musiclust.preprocess.audio.features import BLOCKS, HOP_LENGTH, N_FFT, SAMPLE_RATE, decode, extract

_CLIPS = flags.DEFINE_integer("clips", 20, "How many clips.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 10.0, "Their length.", lower_bound=1.0, upper_bound=30.0)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Repeats after the warm-up.", lower_bound=5)
_OUT = flags.DEFINE_string("out", "benchmarks/results/features.json", "Where the figures are written.")

RATE = 44_100  # Hz, of the files


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


Made = dict[str, np.ndarray]


def _stft(y: np.ndarray, made: Made) -> Made:
    magnitude = np.abs(librosa.stft(y, n_fft=N_FFT, hop_length=HOP_LENGTH))
    return {"magnitude": magnitude, "power": magnitude**2}


def _mel(y: np.ndarray, made: Made) -> Made:
    mel = feature.melspectrogram(S=made["power"], sr=SAMPLE_RATE, n_mels=features.N_MELS)
    return {"mel": mel, "log_mel": librosa.power_to_db(mel, top_db=features.TOP_DB)}


def _image(y: np.ndarray, made: Made) -> Made:
    return {"melspec": features._centre_frames(made["mel"])}


def _mfcc(y: np.ndarray, made: Made) -> Made:
    mfcc = feature.mfcc(S=made["log_mel"], n_mfcc=40)
    means = {"mfcc_mean": mfcc[:20].mean(axis=1, dtype=np.float64), "mfcc40": mfcc.mean(axis=1, dtype=np.float64)}
    return means | {"mfcc_stats": features._statistics(mfcc[:20])}


def _chroma(y: np.ndarray, made: Made) -> Made:
    return {"chroma": features._mean_and_std(feature.chroma_stft(S=made["power"], sr=SAMPLE_RATE))}


def _shape(y: np.ndarray, made: Made) -> Made:
    magnitude = made["magnitude"]
    centroid = feature.spectral_centroid(S=magnitude, sr=SAMPLE_RATE)
    bandwidth = feature.spectral_bandwidth(S=magnitude, sr=SAMPLE_RATE, centroid=centroid)
    rolloff = feature.spectral_rolloff(S=magnitude, sr=SAMPLE_RATE)
    flatness = feature.spectral_flatness(S=magnitude)
    return {"centroid": centroid, "bandwidth": bandwidth, "rolloff": rolloff, "flatness": flatness}


def _contrast(y: np.ndarray, made: Made) -> Made:
    return {"contrast": feature.spectral_contrast(S=made["magnitude"], sr=SAMPLE_RATE)}


def _samples(y: np.ndarray, made: Made) -> Made:
    return {"zero_crossing_rate": feature.zero_crossing_rate(y), "rms": feature.rms(y=y)}


def _tempo(y: np.ndarray, made: Made) -> Made:
    onset = librosa.onset.onset_strength(S=made["log_mel"], sr=SAMPLE_RATE, hop_length=HOP_LENGTH)
    return {"tempo": feature.tempo(onset_envelope=onset, sr=SAMPLE_RATE, hop_length=HOP_LENGTH)}


# What `extract` does, in its order: each stage from the samples and what those before it made.
STAGES: dict[str, Callable[[np.ndarray, Made], Made]] = {
    "STFT, magnitude and power": _stft,
    "mel spectrogram in dB": _mel,
    "MFCC and their statistics": _mfcc,
    "block of the log-mel image": _image,
    "chroma": _chroma,
    "centroid, bandwidth, rolloff, flatness": _shape,
    "spectral contrast": _contrast,
    "zero crossings, RMS": _samples,
    "onsets and tempo": _tempo,
}
_SERIES = ("centroid", "bandwidth", "rolloff", "contrast", "flatness", "zero_crossing_rate", "rms")


def by_stage(y: np.ndarray) -> Made:
    """All that the stages make of a clip, and the blocks in it."""
    made: Made = {}
    for stage in STAGES.values():
        made |= stage(y, made)
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
    """What the stages make of a clip, which are the blocks of `extract`, and so does librosa, call by call."""
    made, blocks = by_stage(y), extract(y)
    for name, block in blocks.items():
        np.testing.assert_array_equal(made[name].astype(BLOCKS[name].dtype), block)
    for name, reference in librosa_one_by_one(y).items():
        if name != "melspec" or reference.shape == (128, 431):  # librosa's is as long as the clip
            np.testing.assert_allclose(blocks[name], reference, rtol=1e-3, atol=2e-2)
    return made


def measure(paths: Sequence[Path], repeats: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(seconds of each contender, of each stage of ours) for all files, (repeats,) each."""
    clips = [decode(path).samples for path in paths]
    made = [check(y) for y in clips]

    def each(work: Callable[[Any], Any], items: Sequence[Any]) -> Callable[[], None]:
        def contender() -> None:
            for item in items:
                work(item)

        return contender

    def staged(stage: Callable[[np.ndarray, Made], Made]) -> Callable[[], None]:
        return each(lambda clip: stage(*clip), list(zip(clips, made, strict=True)))

    contenders = {
        "decode": each(decode, paths),
        "one STFT": each(lambda y: librosa.stft(y, n_fft=N_FFT, hop_length=HOP_LENGTH), clips),
        "ours": each(extract, clips),
        "librosa one by one": each(librosa_one_by_one, clips),
    }
    stages = {name: staged(stage) for name, stage in STAGES.items()}
    taken = in_turn(contenders | stages, repeats)
    return {name: taken[name] for name in contenders}, {name: taken[name] for name in stages}


def main(argv: Sequence[str]) -> None:
    n = _CLIPS.value
    rng = np.random.default_rng(0)
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # as in `extract`
        on = machine(["librosa", "numba", "numpy", "scipy", "soundfile", "soxr"])
        paths = [Path(folder) / f"{i}.ogg" for i in range(n)]
        for path in paths:
            write_clip(path, _SECONDS.value, rng)
        taken, stages = measure(paths, _REPEATS.value)
    decoding, limit, ours, peer = taken.values()
    lines = {
        "decode": decoding,
        **{f"ours: {name}": seconds for name, seconds in stages.items()},
        "ours, all of these": ours,
        "librosa one by one": peer,
        "one STFT": limit,
        "decode + ours": decoding + ours,
        "decode + librosa one by one": decoding + peer,
        "decode + one STFT, the limit": decoding + limit,
    }
    ratios = {
        "librosa / ours": peer / ours,
        "decode + librosa / decode + ours": (decoding + peer) / (decoding + ours),
        "ours / one STFT": ours / limit,
        "decode + ours / the limit": (decoding + ours) / (decoding + limit),
        "stages / ours": sum(stages.values()) / ours,
    }
    result = {
        "machine": on,
        "clips": n,
        "seconds": _SECONDS.value,
        "stages": {
            name: {"milliseconds": summary(1000 * seconds / n), "clips_per_second": summary(n / seconds)}
            for name, seconds in lines.items()
        },
        "ratios": {name: summary(ratio) for name, ratio in ratios.items()},
    }
    write(Path(_OUT.value), result)
    show("features", result, Path(_OUT.value))


if __name__ == "__main__":
    run(main)
