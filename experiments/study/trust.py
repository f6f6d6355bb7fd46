"""What a run's clusters are worth: the facts behind `musiclust.report.trust`."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from experiments.configs import Config
from experiments.study.controls import MASK_ONLY, mask_pattern
from experiments.study.inputs import Inputs
from musiclust.cluster import WITHOUT_K
from musiclust.metrics import latent
from musiclust.metrics.duplicates import join_groups, near_duplicates
from musiclust.metrics.evidence import Evidence, cluster_halves, draw_structureless, rows_to_test
from musiclust.metrics.intervals import over_seeds, over_songs
from musiclust.metrics.judge import Judge
from musiclust.metrics.number_of_clusters import Choice
from musiclust.metrics.partition import agreement_with_mask
from musiclust.metrics.probes import probe
from musiclust.metrics.stability import Consensus, cluster_stability, consensus
from musiclust.report.reading import MARGIN
from musiclust.report.summary import mean_interval
from musiclust.types import Posterior

SURE = 0.75  # share of the votes from which on a song is sure of its cluster
_HALVES = 10
_NULL_DRAWS = 3


class Votes(NamedTuple):
    """The partitions that were made of the tracks again, and what they agree on.

    how: "training" (on subsamples and with other seeds) or "latents" (halves of the latents, and the seeds).
    partitions: (P, N), -2 where a track is not in one. consensus: numbered as the shown clusters, as far as they match.
    jaccard: (k,) of the shown clusters; jaccard_null: the mean of the clusters of structureless clouds, in halves.
    """

    how: str
    partitions: np.ndarray
    consensus: Consensus
    jaccard: np.ndarray
    jaccard_null: float


def count_votes(
    judge: Judge, z: np.ndarray, clusters: np.ndarray, seeds: Sequence[np.ndarray], subsamples: np.ndarray | None
) -> Votes:
    """Holds the shown partition against those of other seeds and of parts of the tracks.

    Args:
      z: (N, L) the latents that are shown. clusters: (N,) their clusters.
      seeds: the partitions of all replicas of the shown setting, the shown one among them.
      subsamples: (P, N) the partitions by replicas that were trained on subsamples; None where there are none.
    """
    cluster = judge.clusterer(judge.clusterers[0], judge.seed)
    again = (
        cluster_halves(z, cluster, group=judge.group, count=_HALVES, seed=judge.seed)
        if subsamples is None
        else subsamples
    )
    k = int(clusters.max(initial=-1)) + 1
    partitions = np.concatenate([np.stack(seeds), again])
    agreed = consensus(partitions, k=max(k, 1), seed=judge.seed)
    rows = rows_to_test(judge.group, seed=judge.seed)
    nulls = []
    for _, (points,) in draw_structureless([z[rows]], group=judge.group[rows], draws=_NULL_DRAWS, seed=judge.seed):
        halves = cluster_halves(points, cluster, group=judge.group[rows], count=_HALVES, seed=judge.seed)
        recovered = cluster_stability(cluster.whole(points), halves)
        nulls.extend(recovered[np.isfinite(recovered)])
    return Votes(
        "latents" if subsamples is None else "training",
        partitions,
        _numbered_alike(agreed, clusters),
        cluster_stability(clusters, again),
        float(np.mean(nulls)) if nulls else float("nan"),  # a density clusterer may find no cluster in any cloud
    )


def assess(
    config: Config,
    inputs: Inputs,
    rows: Sequence[Mapping[str, Any]],
    chosen: int,
    posterior: Posterior,
    clusters: np.ndarray,
    evidence: Evidence,
    votes: Votes,
    parts: np.ndarray | None,
    held_out: Mapping[str, float] | None,
    choice: Choice,
) -> dict[str, Any]:
    """Returns what "trust" holds in the results; see `musiclust.report.trust`. What does not apply is None.

    Args:
      parts: (S, B, N) partitions of each seed on each subsample, -2 where a track is not in it; None without these.
      held_out: `bounds.held_out_scores` of the shown replica, with "tracks" and "pca", the error of as many principal
        components; None where nothing was held out.
      choice: the number of clusters that the features suggest.
    """
    variational = rows[chosen]["total_kl"] is not None
    flat = inputs.columns.reshape(len(inputs.columns), -1)
    pairs = near_duplicates(flat)
    group = join_groups(inputs.tracks.group, pairs)
    names = inputs.tracks.track_id
    return {
        "evidence": evidence.to_json(),
        "recovery": {
            "how": votes.how,
            "partitions": len(votes.partitions),
            "jaccard": votes.jaccard.tolist(),
            "jaccard_null": votes.jaccard_null,
            "sure": float(np.mean(votes.consensus.confidence >= SURE)),
        },
        "k": _number(config, choice, rows[chosen]),
        "information": _information(posterior) | {"held_out": held_out} if variational else None,
        "mask": _mask(inputs, clusters),
        "controls": _controls(rows, chosen),
        "agreement": _agreement(inputs, rows, chosen, parts),
        "classes": _classes(inputs, flat, posterior.mean, group),
        "duplicates": [
            {"first": str(names[one]), "second": str(names[other]), "distance": distance}
            for one, other, distance in pairs
            # Clips of one song may well be alike; what is not known to be one song is what counts.
            if inputs.tracks.group[one] != inputs.tracks.group[other]
        ],
        "reference": list(inputs.judged_names),
    }


def _number(config: Config, choice: Choice, row: Mapping[str, Any]) -> dict[str, Any]:
    table = {name: column.tolist() for name, column in choice.table.items()}
    suggested = {"k": choice.k, "low": choice.low, "high": choice.high, "reason": choice.reason, "table": table}
    if row["clusterer"] in WITHOUT_K:
        found = {"k": int(row["scores"]["n_clusters"]), "source": "found", "clusterer": row["clusterer"]}
    else:
        found = {"k": config.k, "source": config.k_source}
    return {**found, "suggested": suggested}


def _information(posterior: Posterior) -> dict[str, Any]:
    mean, logvar = posterior
    return {
        "nats": float(latent.information_per_dim(mean, logvar).sum()),
        "units": latent.informative_units(mean, logvar),
        "low": latent.tells_little(mean, logvar),
    }


def _mask(inputs: Inputs, clusters: np.ndarray) -> dict[str, Any] | None:
    pattern = mask_pattern(inputs.blocks)
    if pattern is None:
        return None
    found = agreement_with_mask(clusters, inputs.truth, pattern)
    partial = [block.name for block in inputs.blocks if not block.valid.all()]
    classes = None if inputs.truth is None else found["mask_nmi_classes"]
    return {"what": ", ".join(partial), "clusters": found["mask_nmi_clusters"], "classes": classes}


def _controls(rows: Sequence[Mapping[str, Any]], chosen: int) -> list[dict[str, Any]]:
    """Each control beside the rows of the shown setting: the same seeds, the first clusterer."""
    ours = {row["seed"]: row["scores"]["ari"] for row in _of_shown_setting(rows, chosen)}
    controls: dict[str, dict[int, float]] = {}
    for row in rows:
        if row["kind"] == "control" and row["clusterer"] == rows[chosen]["clusterer"]:
            controls.setdefault(row["control"], {})[row["seed"]] = row["scores"]["ari"]
    found = []
    for name, theirs in controls.items():
        seeds = sorted(set(ours) & set(theirs))
        differences = [ours[seed] - theirs[seed] for seed in seeds]
        if not differences or not np.isfinite(differences).all():
            continue
        difference = mean_interval(differences)
        beyond = MARGIN if np.isnan(difference["interval"]) else difference["interval"]
        found.append(
            {
                "what": _WHAT[name],
                "ours": float(np.mean([ours[seed] for seed in seeds])),
                "ari": float(np.mean([theirs[seed] for seed in seeds])),
                "difference": difference,
                "credited": bool(difference["mean"] > max(beyond, 0.0)),
            }
        )
    return found


_WHAT = {
    "words_shuffled": "the words shuffled among the songs that have any",
    "sound_only": "the sound alone",
    "classes_shuffled": "the classes shuffled",
    "noise": "noise of the same spectrum",
    MASK_ONLY: "nothing but which songs have words",
}


def _of_shown_setting(rows: Sequence[Mapping[str, Any]], chosen: int) -> list[Mapping[str, Any]]:
    """The rows of the model that differ from the shown one in the seed alone."""
    settings = ("clusterer", "beta", "learning_rate")
    return [row for row in rows if row["kind"] == "model" and all(row[key] == rows[chosen][key] for key in settings)]


def _agreement(
    inputs: Inputs, rows: Sequence[Mapping[str, Any]], chosen: int, parts: np.ndarray | None
) -> dict[str, Any] | None:
    """The ARI of the shown setting, and what another training and another collection would give."""
    if parts is None or inputs.truth is None:
        return None
    known = inputs.truth >= 0
    values = np.array(
        [
            [adjusted_rand_score(inputs.truth[known & (one > -2)], one[known & (one > -2)]) for one in of_seed]
            for of_seed in parts
        ]
    )
    full = [row["scores"]["ari"] for row in _of_shown_setting(rows, chosen)]
    seeds = over_seeds(np.array(full))
    songs = over_songs(values, float(np.mean(parts[0, 0] > -2)), full=np.array(full))
    spans = np.clip([[seeds.low, seeds.high], [songs.low, songs.high]], -1, 1).tolist()  # as an ARI is
    return {"ari": seeds.mean, "training": spans[0], "collection": spans[1]}


def _classes(inputs: Inputs, flat: np.ndarray, z: np.ndarray, group: np.ndarray) -> dict[str, Any] | None:
    if inputs.truth is None:
        return None
    probes = {"features": probe(flat, inputs.truth, group=group), "latents": probe(z, inputs.truth, group=group)}
    codes = sorted({code for found in probes.values() for code in found["told"]})
    if not codes:  # too few songs of each class to ask
        return None
    told = [code for code in codes if any(found["told"].get(code) for found in probes.values())]
    return {
        "told": [inputs.class_names[code] for code in told],
        "untold": [inputs.class_names[code] for code in codes if code not in told],
        "spaces": {
            space: {
                "knn": found["knn"]["balanced_accuracy"],
                "linear": found["linear"]["balanced_accuracy"],
                "chance": found["linear"]["chance"],
                "p": found["linear"]["p"],
            }
            for space, found in probes.items()
        },
    }


def _numbered_alike(agreed: Consensus, clusters: np.ndarray) -> Consensus:
    """The consensus with the numbers of the shown clusters that its own correspond to by optimal matching."""
    k = max(int(clusters.max(initial=-1)), int(agreed.clusters.max(initial=-1)), agreed.votes.shape[1] - 1) + 1
    both = (clusters >= 0) & (agreed.clusters >= 0)
    overlap = np.zeros((k, k))
    np.add.at(overlap, (agreed.clusters[both], clusters[both]), 1)
    ours, theirs = linear_sum_assignment(-overlap)
    number = np.append(theirs[np.argsort(ours)], -1)  # its last entry serves -1
    votes = np.zeros((len(clusters), k))
    votes[:, number[: agreed.votes.shape[1]]] = agreed.votes
    return Consensus(
        number[agreed.clusters].astype(np.int32), votes, agreed.confidence, number[agreed.second].astype(np.int32)
    )
