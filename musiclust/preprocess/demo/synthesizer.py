"""Notes to sound, by symusic's synthesizer and a SoundFont."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

SAMPLE_RATE = 22_050  # Hz
_OVERSAMPLING = 4


def play(notes: np.ndarray, programs: Sequence[int], seconds: float, soundfont: Path) -> np.ndarray:
    """Plays notes (musicxml.NOTE, in seconds), part k with the General MIDI program programs[k], from an .sf2 file.

    Returns (seconds * SAMPLE_RATE,) float32, mono, at no particular loudness; what still sounds at the end is cut.
    """
    import symusic
    from scipy.signal import resample_poly

    score: Any = symusic.Score(ttype="second")
    for program in sorted(set(programs)):
        own = notes[np.array(programs)[notes["part"]] == program]
        track: Any = symusic.Track(name="", program=program, is_drum=False, ttype="second")
        columns = zip(("onset", "duration", "pitch", "velocity"), ("f4", "f4", "i1", "i1"), strict=True)
        track.notes = symusic.Note.from_numpy(*(own[name].astype(dtype) for name, dtype in columns), ttype="second")
        score.tracks.append(track)
    # The synthesizer rounds the loop of a sound to whole samples of its output, which at 22,050 Hz puts the top octave
    # half a semitone and more out of tune; at four times that rate all is in tune.
    rate = _OVERSAMPLING * SAMPLE_RATE
    synthesizer: Any = symusic.Synthesizer(str(soundfont), rate, 0)
    wave = synthesizer.render(score, False)[0]
    wave = np.pad(wave, (0, max(0, int(seconds * rate) - len(wave))))[: int(seconds * rate)]
    if not (np.isfinite(wave).all() and wave.any()):
        raise FloatingPointError(f"{soundfont}: programs {sorted(set(programs))} do not play")
    return resample_poly(wave, 1, _OVERSAMPLING).astype(np.float32)
