"""What the score says of an excerpt beside its repertory: factors that are known because the sound was made from them.

They are read from the notes that are heard, not from the headings of the score, which no listener hears: a quarter note
is long in one repertory and short in another.
"""

from collections.abc import Sequence

import numpy as np

# Name of an ensemble by its first General MIDI program (from 0), which in these repertories tells them apart.
_INSTRUMENTS = {
    10: "music box",
    12: "marimba",
    46: "harp",
    48: "strings",
    49: "slow strings",
    56: "trumpet",
    64: "saxophone",
    68: "oboe",
    72: "piccolo",
    73: "flute",
    79: "ocarina",
    107: "koto",
}
# How well each pitch class, from the tonic up, fits a key (Krumhansl & Kessler 1982).
_MAJOR = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
_MINOR = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
# What is neither major nor minor fits both about as well (dorian, say), or none of them (whole tones).
_MARGIN, _FIT = 0.05, 0.5

# The values of each factor, in their order.
FACTORS: dict[str, tuple[str, ...]] = {
    "instrument": tuple(sorted(_INSTRUMENTS.values())),
    "voices": ("1", "2", "3", "4 or more"),
    "tempo": ("slow", "moderate", "fast"),
    "register": ("low", "middle", "high"),
    "mode": ("major", "minor", "other"),
}


def describe_excerpt(notes: np.ndarray, programs: Sequence[int], seconds: float) -> dict[str, str]:
    """The factors of an excerpt.

    Args:
      notes: (n,) of dtype musicxml.NOTE, times in seconds from the excerpt's start.
      programs: General MIDI programs of the ensemble, highest part first.
      seconds: the excerpt's length.

    Returns:
      A value of each of FACTORS.
      instrument: the ensemble's name. voices: parts of the score that sound.
      tempo: moments per second at which notes begin, slow below 2, fast from 4 on.
      register: mean pitch, each note weighing as long as it lasts: low below middle C, high from the C above on.
      mode: of the 24 keys the one whose profile fits the durations of the pitch classes best (Krumhansl 1990); other
        where the best major and the best minor key correlate with them nearly alike, or both below 0.5.
    """
    lasts = np.minimum(notes["onset"] + notes["duration"], seconds) - notes["onset"]
    voices = len(np.unique(notes["part"]))
    begun = len(np.unique(np.round(notes["onset"][notes["onset"] < seconds], 2))) / seconds
    pitch = float(np.average(notes["pitch"], weights=lasts))
    return {
        "instrument": _INSTRUMENTS[programs[0]],
        "voices": FACTORS["voices"][min(voices, 4) - 1],
        "tempo": FACTORS["tempo"][int(np.digitize(begun, [2, 4]))],
        "register": FACTORS["register"][int(np.digitize(pitch, [60, 72]))],
        "mode": find_mode(np.bincount(notes["pitch"] % 12, lasts, minlength=12)),
    }


def find_mode(durations: np.ndarray) -> str:
    """The mode of the key that fits best: "major", "minor" or "other"; durations: (12,) of the pitch classes from C.

    Example:
      >>> find_mode(np.array([3, 0, 1, 0, 2, 1, 0, 2, 0, 1, 0, 1.0]))
      'major'
    """
    if np.ptp(durations) == 0:
        return "other"
    major, minor = (
        max(float(np.corrcoef(durations, np.roll(profile, tonic))[0, 1]) for tonic in range(12))
        for profile in (_MAJOR, _MINOR)
    )
    if abs(major - minor) < _MARGIN or max(major, minor) < _FIT:
        return "other"
    return "major" if major > minor else "minor"
