"""Texts that are not lyrics but say the class or the title of their track: whoever clusters them has seen the answer.

Conventions: this file sees classes, which nothing in training may see; it returns reasons by track_id and changes
nothing. Two tracks of one group (a song, an artist) may well share their words.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from musiclust.preprocess.lyrics.gate import split_words
from musiclust.types import Tracks

_NAMES_SHARE = 0.9  # of a text's different words
_COMMON = 0.5  # a word in more of the texts than this says nothing of one: "the", or "a song by" of a template
_COMMON_FROM = 8  # texts
_SAME_GROUPS = 3  # as many songs with one and the same text are no coincidence
_CLASS_SHARE = 0.5  # of all texts


def find_leaks(tracks: Tracks, words: Mapping[str, str]) -> dict[str, str]:
    """Finds texts that are the class or the name of their track and not its lyrics.

    Two kinds are refused. One is a text of which nine in ten different words (but for those that most texts share)
    stand in the track's title, artist, album, file name or classes. The other are all texts that three or more groups
    of one class and no other share, where they are half of the texts there are and in two or more classes: then class
    and text tell the same.

    Args:
      words: track_id -> its text, "" for none.

    Returns:
      track_id -> reason, of the tracks refused.
    """
    bags = {track_id: split_words(text) for track_id, text in words.items() if text}
    counts = Counter(token for bag in bags.values() for token in {*bag})
    common = {token for token, n in counts.items() if n > _COMMON * len(bags)} if len(bags) >= _COMMON_FROM else set()
    refused, left = {}, {}
    for row, track_id in enumerate(tracks.track_id.tolist()):
        if track_id not in bags:
            continue
        names = _list_names(tracks, row)
        telling = {*bags[track_id]} - common
        left[row] = tuple(token for token in bags[track_id] if token not in names)
        if len(telling & names) >= _NAMES_SHARE * max(1, len(telling)):
            refused[track_id] = "made of its title, artist, file name or class, not lyrics"
    for name, codes in tracks.classes.items():
        for row in _find_determined(tracks, codes, left):
            reason = f"the same in each {name}: the class, not lyrics"
            refused.setdefault(str(tracks.track_id[row]), reason)
    return refused


def _list_names(tracks: Tracks, row: int) -> set[str]:
    classes = [tracks.class_names[name][codes[row]] for name, codes in tracks.classes.items() if codes[row] >= 0]
    meta = [str(tracks.meta[name][row]) for name in ("title", "artist", "album") if name in tracks.meta]
    path = Path(str(tracks.path[row]))
    names = [*classes, *meta, path.stem, path.parent.name, str(tracks.track_id[row])]
    return {*split_words(re.sub(r"[_\-./]", " ", " ".join(names)))}


def _find_determined(tracks: Tracks, codes: np.ndarray, texts: Mapping[int, tuple[str, ...]]) -> list[int]:
    """Returns the rows of texts that a class determines and that determine it; none where that is not the rule."""
    rows = defaultdict(list)
    for row, text in texts.items():
        if codes[row] >= 0:
            rows[text].append(row)
    shared = [
        where
        for where in rows.values()
        if len({str(tracks.group[row]) for row in where}) >= _SAME_GROUPS
        and len({int(codes[row]) for row in where}) == 1
    ]
    found = [row for where in shared for row in where]
    classes = {int(codes[row]) for row in found}
    return found if len(classes) > 1 and len(found) >= _CLASS_SHARE * len(texts) else []
