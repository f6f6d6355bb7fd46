"""Music for tests that need some: tunes that differ as songs do."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 22_050


def play(
    seed: int,
    *,
    overtones: tuple[float, ...] = (1.0, 0.5, 0.3, 0.2),
    semitones: float = 0.0,
    tempo: float = 1.0,
    jitter: float = 0.0,
    seconds: float = 20.0,
) -> np.ndarray:
    """A tune of three voices with a beat: (n,) float32. jitter: by how many seconds notes come early or late; then
    it is beaten anew too."""
    rng, hand = np.random.default_rng(seed), np.random.default_rng(seed + 1000)
    sound = np.zeros(round((seconds + 2) * RATE))
    for voice in range(3):
        start = 0.0
        while start < seconds:
            length, pitch = rng.choice([0.2, 0.3, 0.4, 0.8]) / tempo, 220 * 2 ** ((rng.integers(24) + semitones) / 12)
            first = max(0, round((start + jitter * hand.normal()) * RATE))
            time = np.arange(round(length * RATE)) / RATE
            swell = np.exp(-3 * time / length) / (voice + 2)
            tone = sum(a * np.sin(2 * np.pi * (i + 1) * pitch * time) for i, a in enumerate(overtones))
            sound[first : first + len(time)] += (swell * tone)[: len(sound) - first]
            start += length
    for start in np.arange(0, seconds, 0.5 / tempo):
        first = max(0, round((start + jitter * hand.normal()) * RATE))
        noise = (hand if jitter else rng).normal(size=2000)
        sound[first : first + 2000] += 0.3 * noise * np.exp(-np.arange(2000) / 400)
    return (0.2 * sound[: round(seconds * RATE)]).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE, **how: str | float) -> str:
    """Writes a file, in pieces: libsndfile's Vorbis encoder overflows its stack on long ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", rate, 1, **how) as file:
        for start in range(0, len(samples), 4096):
            file.write(samples[start : start + 4096])
    return str(path)
