"""What a store knows of the sound and words of its songs -> names for clusters, and songs that stand for them.

Names are made from the block `tags`, from the words in lyrics.jsonl and from the block `spectral`; what a store lacks
is left out. None of it is seen by training, unless a block is among the features.
"""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.study.inputs import Inputs
from experiments.study.trust import SURE
from musiclust import store
from musiclust.metrics.stability import Consensus
from musiclust.report.map import song_titles
from musiclust.report.names import name_clusters
from musiclust.report.tags import merge_tags, strongest_tags
from musiclust.report.typical import find_examples
from musiclust.types import Block, Tracks


def describe_clusters(inputs: Inputs, z: np.ndarray, clusters: np.ndarray, jaccard: np.ndarray) -> list[dict[str, Any]]:
    """Returns what "clusters" holds in the results: see `musiclust.report.cluster_table`.

    Args:
      z: (N, L) points that were clustered.
      clusters: (N,) clusters, -1 noise.
      jaccard: (k,) how well each cluster comes back.

    Raises:
      InputError: if a block of the store is damaged.
    """
    root, tracks = inputs.store, inputs.tracks
    tags = _load_known(root, tracks, "tags")
    spectral = _load_known(root, tracks, "spectral")
    lyrics = store.load_lyrics(root)
    named = name_clusters(
        clusters,
        tags=None if tags is None else tags.values,
        tag_names=() if tags is None else tags.spec["columns"],
        texts=[str(lyrics.get(track_id, {}).get("words", "")) for track_id in tracks.track_id.tolist()],
        descriptors=None if spectral is None else dict(zip(spectral.spec["columns"], spectral.values.T, strict=True)),
        group=tracks.group,
    )
    titles = song_titles(tracks)

    def song(row: int) -> dict[str, Any]:
        return {"track_id": str(tracks.track_id[row]), "title": titles[row]}

    return [
        {
            "cluster": one.cluster,
            "name": one.name,
            "size": one.size,
            "jaccard": float(jaccard[one.cluster]),
            "reasons": [reason._asdict() for reason in one.reasons],
            "typical": [song(row) for row in examples.typical],
            "oddest": [
                song(row) | {"distance": distance}
                for row, distance in zip(examples.oddest, examples.distance, strict=True)
            ],
        }
        for one, examples in zip(named, find_examples(z, clusters, group=tracks.group), strict=True)
    ]


def describe_songs(root: Path, tracks: Tracks) -> list[str]:
    """Returns for each of N songs of a store its strongest tags, as in "piano 0.78, jazz 0.60".

    It is "" where none is strong, or none known.

    Raises:
      InputError: if the block `tags` is damaged.
    """
    tags = _load_known(root, tracks, "tags")
    if tags is None:
        return [""] * len(tracks)
    values, words = merge_tags(tags.values, tags.spec["columns"])
    return [", ".join(f"{word} {value:.2f}" for word, value in song) for song in strongest_tags(values, words)]


def describe_certainty(agreed: Consensus) -> list[str]:
    """Returns for each of N songs how sure its cluster is: "sure", "likely 2", "between 2 and 5" or "anywhere"."""
    words = []
    for confidence, cluster, second, votes in zip(
        agreed.confidence, agreed.clusters, agreed.second, agreed.votes, strict=True
    ):
        other = votes[second] if second >= 0 else 0.0
        if confidence >= SURE:
            words.append("sure")
        elif cluster < 0:
            words.append("noise more often than not")
        elif second >= 0 and confidence + other >= SURE:
            words.append(f"between {min(cluster, second)} and {max(cluster, second)}")
        else:
            words.append(f"likely {cluster}" if confidence >= 0.5 else "anywhere")
    return words


def _load_known(root: Path, tracks: Tracks, name: str) -> Block | None:
    """Reads a block for these tracks, NaN where it is not valid or lacks the track.

    None where the store has no such block, or one without names of its columns, by which nothing can be called.
    """
    if name not in store.block_names(root):
        return None
    block = store.fit_to_tracks(tracks, store.load_block(root, name))
    if block.values.shape[1:] != (len(block.spec.get("columns", ())),):
        return None
    values = np.where(block.valid[:, None], block.values, np.nan)
    return Block(name, block.track_id, values, block.valid, block.spec)
