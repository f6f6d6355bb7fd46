"""The words that taggers put to music, merged into one column for each thing that a person would hear.

The columns are those of networks trained on MagnaTagATune ("mtt:guitar") and on the Million Song Dataset
("msd:guitar"); a name without such a prefix is a word as it stands. People wrote these tags, in many words for one
thing, so the columns of one thing are merged: it has the largest of their probabilities. Taggers wrote what struck
them and left out the rest, so one who names a thing is better evidence than another who does not, and a mean would
halve what one of the sets says well (MagnaTagATune the instruments, the Million Song Dataset the genres).
"""

from collections.abc import Sequence

import numpy as np

from musiclust.errors import InputError
from musiclust.types import AnyArray

# What both sets say in several words -> one word. Singular and plural, noun and adjective, and a voice that is named
# by the person or by the sound, are one thing to the ear; a genre and its sub-genre (rock, hard rock) are not.
SYNONYMS = {
    "beats": "beat",
    "choral": "choir",
    "chillout": "chill",
    "classic": "classical",
    "electronica": "electronic",
    "electro": "electronic",
    "female": "female voice",
    "female vocal": "female voice",
    "female vocalist": "female voice",
    "female vocalists": "female voice",
    "woman": "female voice",
    "woman singing": "female voice",
    "heavy metal": "metal",
    "male": "male voice",
    "male vocal": "male voice",
    "male vocalists": "male voice",
    "man": "male voice",
    "no vocal": "instrumental",
    "no vocals": "instrumental",
    "no voice": "instrumental",
    "soft": "quiet",
    "alternative rock": "alternative",
    "indie rock": "indie",
    "progressive rock": "prog rock",
    "rnb": "R&B",
    "singing": "voice",
    "vocal": "voice",
    "vocals": "voice",
}
# What a song does not sound like but is: its decade, and whether somebody likes it. No reason to group songs by.
NOT_HEARD = frozenset(
    {"00s", "60s", "70s", "80s", "90s", "oldies", "beautiful", "catchy", "sexy", "weird", "party"}
)  # fmt: skip
# What cannot be said of one song in one breath.
OPPOSITES = (
    ("instrumental", "voice"),
    ("instrumental", "female voice"),
    ("instrumental", "male voice"),
    ("instrumental", "choir"),
    ("fast", "slow"),
    ("loud", "quiet"),
    ("happy", "sad"),
)


def merge_tags(values: AnyArray, columns: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Merges the columns that mean one thing, and leaves out those that are not heard (NOT_HEARD).

    Args:
      values: (N, T) probabilities in [0, 1]. A row of NaN is a song that no tagger heard.
      columns: T names, with or without the prefix of their set ("mtt:piano").

    Returns:
      values (N, M) float64, the largest of the merged ones; their M words, in alphabetical order.

    Raises:
      InputError: if there are not T names, or a value is outside [0, 1].

    Example:
      >>> merge_tags(np.array([[0.1, 0.7, 0.2, 0.9]]), ["mtt:piano", "msd:female vocalists", "mtt:woman", "msd:00s"])
      (array([[0.7, 0.1]]), ('female voice', 'piano'))
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != len(columns):
        raise InputError(f"tags of shape {values.shape} with {len(columns)} names: give a name for each column")
    if ((values < 0) | (values > 1)).any():
        raise InputError("tags are probabilities, and a value lies outside [0, 1]: give others another name")
    columns_of: dict[str, list[int]] = {}
    for index, column in enumerate(columns):
        word = column.rpartition(":")[2].strip().lower()
        if word not in NOT_HEARD:
            columns_of.setdefault(SYNONYMS.get(word, word), []).append(index)
    words = tuple(sorted(columns_of))
    merged = [values[:, columns_of[word]].max(axis=1) for word in words]
    return np.column_stack(merged) if merged else np.zeros((len(values), 0)), words


def contradicts(word: str, others: Sequence[str]) -> bool:
    """Tells whether `word` and one of the others exclude each other.

    >>> contradicts("slow", ["piano", "fast"]), contradicts("slow", ["piano"])
    (True, False)
    """
    return any((word, other) in OPPOSITES or (other, word) in OPPOSITES for other in others)


def strongest_tags(
    values: AnyArray, words: Sequence[str], *, most: int = 4, least: float = 0.15
) -> list[list[tuple[str, float]]]:
    """Returns for each song its most probable tags, the most probable first, none that contradicts one before it.

    Args:
      values: (N, M), as `merge_tags` returns them.
      words: their M words.
      most: how many tags a song gets at most.
      least: the least probability that a tag needs. The networks are sparing: a half is a lot.

    Example:
      >>> strongest_tags(np.array([[0.8, 0.05, 0.4]]), ["piano", "rock", "jazz"])
      [[('piano', 0.8), ('jazz', 0.4)]]
    """
    values = np.asarray(values)
    found = []
    for row in values:
        chosen: dict[str, float] = {}
        for index in map(int, np.argsort(-row, kind="stable")):
            if len(chosen) == most or not row[index] >= least:  # NaN too is less
                break
            if not contradicts(words[index], list(chosen)):
                chosen[words[index]] = float(row[index])
        found.append(list(chosen.items()))
    return found
