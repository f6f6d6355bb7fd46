"""The files of a run that programs read.

metrics.json   the results dictionary, with null for what is undefined
latents.npy    (N, L) posterior means of the replica that is shown
tracks.csv     each track's cluster, the name of the cluster, what other partitions say, place on the map, and tags
digests.json   digests of these and of config.json, see `musiclust.digests`
"""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from experiments.study.inputs import Inputs
from musiclust.arrays import read_array
from musiclust.csv_records import Columns, read_name, read_number, read_table, read_whole
from musiclust.digests import atomic_with_digest, read_verified
from musiclust.errors import InputError
from musiclust.metrics.stability import Consensus
from musiclust.records import MOST, check_record
from musiclust.spreadsheet import plain_cell, read_cell

FORMAT = 3
_COLUMNS: Columns = {
    "track_id": lambda cell: read_cell(read_name(cell)),
    "cluster": read_whole,
    "cluster_name": read_cell,
    "consensus": read_whole,
    "confidence": read_number,
    "second": read_whole,
    "x": read_number,
    "y": read_number,
    **dict.fromkeys(("title", "artist", "class", "path", "tags", "album"), read_cell),
    "seconds": read_number,
    "group": read_cell,
    "certainty": read_cell,
}
_COLUMNS_BEFORE: Columns = {"label": read_cell}  # of runs of version 0.1
# Scores that were defined otherwise before format 3: held against a plain Gaussian, and shuffled clip by clip.
_REDEFINED = ("silhouette_null", "reference_null", "nmi_chance", "nmi_p", "purity_chance")
_FLAGS_BEFORE = {"label-seen": "class-seen"}  # of rows in format 1
_REMEDY = "delete it, or run anew"


class _Row(msgspec.Struct):
    """A row of metrics.json, of which more is read by those who know what they look for."""

    name: str
    flags: list[str]
    scores: dict[str, float | None]
    kind: str = ""
    clusterer: str = ""
    control: str = ""
    sizes: list[int] = msgspec.field(default_factory=list)
    seed: int | None = None
    beta: float | None = None
    learning_rate: float | None = None
    loss: float | None = None
    reconstruction: float | None = None
    negative_elbo: float | None = None
    bound: float | None = None
    active_units: int | None = None
    informative_units: int | None = None
    total_kl: float | None = None


class _Cluster(msgspec.Struct):
    """A cluster of metrics.json; see `musiclust.report.cluster_table`."""

    cluster: int
    name: str


class _Corpus(msgspec.Struct):
    """What metrics.json says of the store."""

    tracks: int = 0
    name: str = ""
    store: str = ""
    classes: str | None = None
    class_names: list[str] = msgspec.field(default_factory=list)


class _Metrics(msgspec.Struct):
    """metrics.json. Other programs may add to it; what is read of it has these types."""

    format: int
    rows: list[_Row]
    corpus: _Corpus = msgspec.field(default_factory=_Corpus)
    clusters: list[_Cluster] = msgspec.field(default_factory=list)
    chosen: int | None = None

    def __post_init__(self) -> None:
        if self.chosen is not None and not 0 <= self.chosen < len(self.rows):
            raise ValueError(f"of {len(self.rows)} rows, number {self.chosen} is said to be shown")


def write_metrics(run_dir: Path, results: Mapping[str, Any]) -> None:
    """Writes metrics.json; `read_metrics` is the inverse, but for None where the results have NaN."""
    with atomic_with_digest(run_dir / "metrics.json") as file:
        json.dump(replace_nan(results), file, indent=1, ensure_ascii=False)


def read_metrics(run_dir: Path) -> dict[str, Any]:
    """Returns what metrics.json holds, in today's words also where an earlier version wrote it.

    Scores that an earlier version defined otherwise are left out, and so is the flag "collapsed".

    Raises:
      InputError: if the file is damaged or of a later version.
    """
    path = run_dir / "metrics.json"
    try:
        results = _translate(json.loads(read_verified(path, most=MOST).decode("utf-8")))
        check_record(results, _Metrics)
    except InputError as error:
        raise InputError(f"{error}: {_REMEDY}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is damaged or of another version ({error}): {_REMEDY}") from error
    return results


def _translate(results: dict[str, Any]) -> dict[str, Any]:
    """The results in today's words.

    Raises:
      ValueError, KeyError, TypeError, AttributeError: if they are no results, or those of a later version.
    """
    if results["format"] == 1:
        corpus = results["corpus"]
        corpus["class_names"], corpus["classes"] = corpus["classes"], corpus.pop("label")
    if results["format"] in (1, 2):
        for row in results["rows"]:
            row["flags"] = [_FLAGS_BEFORE.get(flag, flag) for flag in row["flags"] if flag != "collapsed"]
            row["scores"] = {key: value for key, value in row["scores"].items() if key not in _REDEFINED}
        return results | {"format": FORMAT}
    if results["format"] != FORMAT:
        raise ValueError(f"format {results['format']}, this version reads {FORMAT}")
    return results


def read_chosen(run_dir: Path, replicas: int) -> int:
    """The index of the replica that is shown, out of metrics.json.

    Args:
      replicas: how many the run's model has.

    Raises:
      InputError: as `read_metrics`, or if no replica of the model is shown.
    """
    chosen = read_metrics(run_dir).get("chosen")
    if chosen is None or chosen >= replicas:
        raise InputError(f"{run_dir / 'metrics.json'} is damaged (it names none of the {replicas} replicas): run anew")
    return chosen


def write_latents(run_dir: Path, latents: np.ndarray) -> None:
    """Writes latents.npy."""
    with atomic_with_digest(run_dir / "latents.npy", "wb") as file:
        np.save(file, latents)


def read_latents(run_dir: Path) -> np.ndarray:
    """Reads latents.npy: (N, L) float64.

    Raises:
      InputError: if the file is damaged.
    """
    path = run_dir / "latents.npy"
    latents = read_array(path, remedy=_REMEDY)
    if latents.ndim != 2 or latents.dtype.kind != "f" or not np.isfinite(latents).all():
        raise InputError(f"{path} is damaged (it holds other than a row of numbers for each song): {_REMEDY}")
    return latents.astype(np.float64)


def read_tracks(run_dir: Path) -> dict[str, list[Any]]:
    """Reads tracks.csv: heading -> cells. Runs of earlier versions lack some columns.

    Raises:
      InputError: if the file is damaged.
    """
    known = {**_COLUMNS, **_COLUMNS_BEFORE}
    return read_table(run_dir / "tracks.csv", known, optional={*known} - {"track_id", "cluster"}, remedy=_REMEDY)


def write_tracks(
    run_dir: Path,
    inputs: Inputs,
    clusters: np.ndarray,
    agreed: Consensus,
    xy: np.ndarray | None,
    names: Mapping[int, str],
    tags: Sequence[str],
    certainty: Sequence[str],
) -> None:
    """Writes tracks.csv, its texts by `plain_cell`.

    Args:
      clusters: (N,), -1 for noise.
      agreed: the consensus of all partitions, with the numbers of the clusters: its cluster of each track, the share of
        votes for it, and the runner-up.
      xy: (N, 2) places on the map; None where no map was made.
      names: the clusters' names by their number; noise has none.
      tags: N songs' strongest tags, "" where none are known.
      certainty: how sure the cluster of each of N songs is, in words.
    """
    tracks = inputs.tracks
    with atomic_with_digest(run_dir / "tracks.csv") as file:
        writer = csv.writer(file)
        writer.writerow(list(_COLUMNS))
        for i, track_id in enumerate(tracks.track_id):
            place = ["", ""] if xy is None else [f"{value:.4f}" for value in xy[i]]
            code = -1 if inputs.truth is None else inputs.truth[i]
            name = inputs.class_names[code] if code >= 0 else ""
            cluster = int(clusters[i])
            meta = {key: tracks.meta[key][i] for key in ("title", "artist", "album")}
            about = (meta["title"], meta["artist"], name, tracks.path[i], tags[i], meta["album"])
            voted = [int(agreed.clusters[i]), f"{agreed.confidence[i]:.3f}", int(agreed.second[i])]
            seconds = tracks.meta["duration"][i]
            lasts = f"{seconds:.3f}" if np.isfinite(seconds) else ""
            where = [plain_cell(track_id), cluster, plain_cell(names.get(cluster, "")), *voted, *place]
            writer.writerow([*where, *map(plain_cell, about), lasts, *map(plain_cell, (tracks.group[i], certainty[i]))])


def replace_nan(value: Any) -> Any:
    """Returns the value with None for every NaN and infinity in it, as JSON has it."""
    if isinstance(value, Mapping):
        return {key: replace_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [replace_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def compare_with_written(run_dir: Path, rows: Sequence[Mapping[str, Any]]) -> int | None:
    """Holds rows that were made again against those of the run's metrics.json; returns how many figures are equal.

    None where the run has written no metrics.json.

    Raises:
      InputError: if a figure differs, or there are more rows or fewer.
    """
    path = run_dir / "metrics.json"
    if not path.exists():
        return None
    before = read_metrics(run_dir)["rows"]
    now = json.loads(json.dumps(replace_nan(rows)))
    if len(before) != len(now):
        raise InputError(
            f"{path} has {len(before)} rows, the run has {len(now)}: is it another run's, or an older one?"
        )
    figures = sum(isinstance(value, float | int) for row in now for value in {**row, **row["scores"]}.values())
    differing = [
        f"{new['name']} {key}: {old_value} then, {value} now"
        for old, new in zip(before, now, strict=True)
        for key, value in {**new, **new["scores"]}.items()
        if key != "scores" and (old_value := {**old, **old["scores"]}.get(key)) != value
    ]
    if differing:
        raise InputError(
            f"{len(differing)} of {figures} figures differ from metrics.json, the first is {differing[0]}: "
            "has the store been preprocessed again, or is this another machine?"
        )
    return figures
