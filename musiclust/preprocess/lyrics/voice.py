"""How much a song sounds as if someone sang or spoke, by the tags of the networks that heard it.

Conventions: a score is in [0, 1]: the most probable of the tags for a voice, over the sum of it and the most probable
of those for none. Tags are those of the block "tags" (MusiCNN), the network before the tag.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from musiclust import store

_BLOCK = "tags"
_VOICE = (
    *("mtt:vocal", "mtt:vocals", "mtt:singing", "mtt:female", "mtt:male", "mtt:woman", "mtt:man", "mtt:voice"),
    *("mtt:male vocal", "mtt:female vocal", "mtt:male voice", "mtt:female voice", "mtt:choir", "mtt:choral"),
    *("mtt:opera", "msd:female vocalists", "msd:male vocalists", "msd:female vocalist"),
)
_NONE = ("mtt:no vocals", "mtt:no vocal", "mtt:no voice", "msd:instrumental")


def score_voice(tags: Mapping[str, float]) -> float:
    """Returns the score of a song.

    Args:
      tags: the probabilities of its tags; of those that count, one of each kind at least.

    Example:
      >>> round(score_voice({"mtt:singing": 0.3, "mtt:guitar": 0.9, "mtt:no vocals": 0.1}), 2)
      0.75
    """
    voice, none = (max(tags[tag] for tag in kind if tag in tags) for kind in (_VOICE, _NONE))
    return voice / max(voice + none, 1e-12)


def load_voices(root: Path) -> dict[str, float]:
    """Returns track_id -> score of the tracks that the block "tags" of a store holds; empty where there is none."""
    if _BLOCK not in store.block_names(root):
        return {}
    block = store.load_block(root, _BLOCK)
    columns = {tag: i for i, tag in enumerate(block.spec["columns"])}
    if not ({*_VOICE} & {*columns} and {*_NONE} & {*columns}):
        return {}
    rows = np.asarray(block.values, dtype=float)
    return {
        track_id: score_voice({tag: float(row[columns[tag]]) for tag in (*_VOICE, *_NONE) if tag in columns})
        for track_id, row, valid in zip(block.track_id.tolist(), rows, block.valid.tolist(), strict=True)
        if valid
    }
