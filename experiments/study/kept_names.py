"""Names of clusters that stay from one run to the next, so that playlists stay where they are.

<out>/clusters.json   the songs of each cluster, by its name, as they were last written there
"""

import json
from pathlib import Path

import numpy as np

from experiments.study.lists import cluster_names
from experiments.study.songs import Songs
from musiclust.files import atomic
from musiclust.metrics.matching import compare_partitions
from musiclust.records import read_record

_RECORD = "clusters.json"
_SAME = 0.5  # songs of both over songs of either, from which on a cluster is the one of before


def keep_names(out: Path, songs: Songs) -> Songs:
    """The songs with their clusters called as those of before, where they are mostly the same songs, and all others as
    the run calls them.

    Raises:
      InputError: if the record of before is damaged.
    """
    names = cluster_names(songs)
    before = _read_record(out / _RECORD)
    olds = list(before)
    cluster_of = {track_id: number for number, name in enumerate(olds) for track_id in before[name]}
    shared = np.array([track_id in cluster_of for track_id in songs.track_id.tolist()], dtype=bool)
    then = np.array([cluster_of[track_id] for track_id in songs.track_id[shared].tolist()], dtype=np.int64)
    change = compare_partitions(then, songs.clusters[shared])
    kept = {
        flow.after: olds[flow.before]
        for flow in change.flows
        if flow.after >= 0 and change.stays(flow) and flow.jaccard >= _SAME
    }
    free = {number: name for number, name in names.items() if number not in kept}
    taken = set(kept.values())
    return songs._replace(
        names=kept | {number: name if name not in taken else f"{name} ({number})" for number, name in free.items()}
    )


def write_record(out: Path, songs: Songs) -> None:
    """Writes down which songs each cluster has, for the next run."""
    record = {name: songs.track_id[songs.clusters == number].tolist() for number, name in cluster_names(songs).items()}
    with atomic(out / _RECORD) as file:
        json.dump(record, file, indent=1)
        file.write("\n")


def _read_record(path: Path) -> dict[str, list[str]]:
    if not path.exists():
        return {}
    return read_record(path, dict[str, list[str]], lenient=True, remedy="delete it, and clusters are named anew")
