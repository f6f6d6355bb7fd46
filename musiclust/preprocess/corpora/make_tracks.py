"""Columns of text -> `Tracks`, as every loader of a corpus ends.

Conventions: track_ids are NFC-normalised, unique and sorted; "" is an unknown class or tag.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from musiclust.store import encode_classes
from musiclust.types import Tracks


def make_tracks(
    track_id: Sequence[str],
    *,
    path: Sequence[str] | None = None,
    meta: Mapping[str, Sequence[str]],
    classes: Mapping[str, Sequence[str]],
    group: Sequence[str],
) -> Tracks:
    """Tracks from columns of text in the order of `track_id`, which is sorted; durations are unknown.

    Args:
      path: by default none has audio.
      meta: of "title", "artist" and "album" those that are known.
      classes: name -> the class of each track, "" where unknown.
      group: "" for a track of its own.
    """
    nothing = [""] * len(track_id)
    encoded = {name: encode_classes(values) for name, values in classes.items()}
    texts = {name: np.array(meta.get(name, nothing), dtype=str) for name in ("title", "artist", "album")}
    return Tracks(
        track_id=np.array(track_id, dtype=str),
        path=np.array(nothing if path is None else path, dtype=str),
        meta=texts | {"duration": np.full(len(track_id), np.nan)},
        classes={name: codes for name, (codes, _) in encoded.items()},
        class_names={name: names for name, (_, names) in encoded.items()},
        group=np.array([one or i for one, i in zip(group, track_id, strict=True)], dtype=str),
    )


def merge_groups(group: Sequence[str], sames: Iterable[Sequence[int]]) -> list[str]:
    """Makes one group of those of rows that belong together, named after the first of them.

    Args:
      group: the group of each row, (N,).
      sames: lists of rows that belong together.

    Returns:
      The new group of each row, (N,).

    Example:
      >>> merge_groups(["a", "b", "c"], [[0, 2]])
      ['a', 'b', 'a']
    """
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while name in leader:
            name = leader[name]
        return name

    for rows in sames:
        first, *others = [find(group[row]) for row in rows]
        for other in others:
            if find(other) != find(first):
                leader[find(other)] = find(first)
    return [find(name) for name in group]
