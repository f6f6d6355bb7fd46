"""Speed of the audio features: python -m benchmarks.features [--clips=20 --seconds=10 --repeats=5]

Ours is one STFT from which every block comes. The peer is librosa with its functions called on the samples one by one,
for the same values. The limit is one STFT and nothing more. All decode the same Ogg Vorbis files, made on the spot, and
run on one thread. Each repeat goes through all contenders in turn, so that a busy machine is busy for all of them;
ratios are taken within a repeat. Medians of the repeats are shown with their range, after a warm-up.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import scipy.stats
import soundfile
from absl import app, flags
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks.measure import console, in_turn, machine, ratio_table, summary, write
from musiclust.preprocess.audio import HOP_LENGTH, N_FFT, decode, extract

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


def librosa_one_by_one(y: np.ndarray) -> dict[str, np.ndarray]:
    """What `extract` gives, as a careful script would have it of librosa."""
    feature = librosa.feature
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


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    n = _CLIPS.value
    about = machine(["librosa", "numba", "numpy", "scipy", "soundfile", "soxr"]) | {"threads": 1}
    rng = np.random.default_rng(0)
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.ogg" for i in range(n)]
        for path in paths:
            write_clip(path, _SECONDS.value, rng)
        clips = [decode(path).samples for path in paths]
        for name, reference in librosa_one_by_one(clips[0]).items():
            if name != "melspec" or reference.shape == (128, 431):  # librosa's is as long as the clip
                np.testing.assert_allclose(extract(clips[0])[name], reference, rtol=1e-3, atol=2e-2)

        def each(stage: Callable[[Any], Any], items: list[Any]) -> Callable[[], None]:
            return lambda: [stage(item) for item in items].clear()

        taken = in_turn(
            {
                "decode": each(decode, paths),
                "one STFT": each(lambda y: librosa.stft(y, n_fft=N_FFT, hop_length=HOP_LENGTH), clips),
                "ours": each(extract, clips),
                "librosa one by one": each(librosa_one_by_one, clips),
            },
            _REPEATS.value,
        )
    decoding, limit, ours, peer = taken.values()
    ratios = {
        "librosa / ours": peer / ours,
        "decode + librosa / decode + ours": (decoding + peer) / (decoding + ours),
        "ours / one STFT": ours / limit,
        "decode + ours / decode + one STFT": (decoding + ours) / (decoding + limit),
    }
    result = {
        "command": f"python -m benchmarks.features --clips={n} --seconds={_SECONDS.value:g} --repeats={_REPEATS.value}",
        "machine": about,
        "clips_per_second_per_core": {name: summary(n / seconds) for name, seconds in taken.items()},
        "ratios": {name: summary(ratio) for name, ratio in ratios.items()},
    }
    speed = Table("stage", "ms a clip", "clips/s a core", "range", title=f"{n} clips of {_SECONDS.value:g} s")
    for name, seconds in {**taken, "decode + ours": decoding + ours}.items():
        rate = summary(n / seconds)
        speed.add_row(
            name,
            f"{1000 * np.median(seconds) / n:.1f}",
            f"{rate['median']:.1f}",
            f"{rate['min']:.1f} to {rate['max']:.1f}",
        )
    console.print(speed)
    console.print(ratio_table("ratios of times", ratios))
    console.print(", ".join(f"{key} {value}" for key, value in about.items()))
    write(Path(_OUT.value), result)


if __name__ == "__main__":
    app.run(main)
