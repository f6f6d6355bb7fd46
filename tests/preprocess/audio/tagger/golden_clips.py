"""Four clips made of formulas, on which the tagger is held against the package that its weights come from."""

import numpy as np

SAMPLE_RATE = 16_000  # Hz
SECONDS = 7


def make_clips() -> dict[str, np.ndarray]:
    """Returns name -> (SECONDS * SAMPLE_RATE,) int16."""
    time = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    noise = np.random.default_rng(0).standard_normal(len(time))
    clips = {
        "plucked": _plucked(time),
        "drums": noise * np.exp(-18 * (time % 0.5)) + np.sin(2 * np.pi * 60 * time) * np.exp(-9 * (time % 1.0)),
        "voice": _voice(time),
        "quiet": 0.02 * (np.sin(2 * np.pi * 440 * time) + 0.1 * noise),
    }
    peaks = {"plucked": 0.9, "drums": 0.95, "voice": 0.5, "quiet": 0.02}
    return {
        name: np.round(32767 * peaks[name] * clip / np.abs(clip).max()).astype(np.int16) for name, clip in clips.items()
    }


def _plucked(time: np.ndarray) -> np.ndarray:
    """Returns an arpeggio of eight tones a second, each of ten partials that fade."""
    steps = np.array([0, 4, 7, 12, 16, 12, 7, 4])[(time * 8).astype(int) % 8]
    pitch = 220 * 2 ** (steps / 12)
    age = time % 0.125
    return sum(np.sin(2 * np.pi * k * pitch * age) * np.exp(-k * 6 * age) / k for k in range(1, 11))


def _voice(time: np.ndarray) -> np.ndarray:
    """Returns a tone with vibrato whose partials are loudest around two formants."""
    phase = 2 * np.pi * (260 * time + 1.2 * np.sin(2 * np.pi * 5.5 * time))
    partials = 260 * np.arange(1, 16)
    loudness = np.exp(-(((partials - 700) / 300) ** 2)) + 0.5 * np.exp(-(((partials - 1200) / 400) ** 2)) + 0.02
    return sum(a * np.sin((i + 1) * phase) for i, a in enumerate(loudness)) * (1 + 0.3 * np.sin(2 * np.pi * time))
