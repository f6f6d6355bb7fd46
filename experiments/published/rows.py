"""What a published table is made of.

A row's `of` names the row of the run that measures it: "model" or one of its baselines ("features", "pca",
"autoencoder"); where `run` is LATENTS, it names a fusion in LATENT_FUSIONS. A row without printed figures is ours, for
what the report leaves open.
"""

from collections.abc import Mapping
from typing import NamedTuple

LEVELS = ("easy", "medium", "hard")
LATENTS = "latents"
# name -> (fusion of the latents, are the classes one more block?)
LATENT_FUSIONS = {
    "weighted": ("weighted", False),
    "concat": ("concat", False),
    "pca": ("pca", False),
    "with classes": ("concat", True),
}
HYBRID_BETA_CONV = ("fma_vae", "fma_beta", "fma_conv")


class Row(NamedTuple):
    """A row of a table of scores; printed: score -> figure as it stands in the report."""

    name: str
    run: str
    of: str = "model"
    clusterer: str = "kmeans"
    printed: Mapping[str, str] = {}
    note: str = ""


class ScoreTable(NamedTuple):
    """rows, the first of which is held against the others where `gains` says so; level: easy, medium or hard."""

    title: str
    level: str
    rows: tuple[Row, ...]
    gains: Mapping[tuple[str, str], str] = {}


class ModelRow(NamedTuple):
    """A model as the report describes it; printed: quantity -> figure."""

    name: str
    run: str
    level: str
    printed: Mapping[str, str]


class Report(NamedTuple):
    """All of one report. corpus: the name of its own; tracks: how many it used."""

    title: str
    corpus: str
    tracks: int
    models: tuple[ModelRow, ...]
    losses: Mapping[str, Mapping[int, str]]
    sizes: Mapping[str, tuple[int, ...]]
    scores: tuple[ScoreTable, ...]
    fusions: Mapping[str, str]
    lyrics: Mapping[str, str]
    best: Mapping[str, tuple[str, str]]


def six(silhouette: str, ch: str, db: str, ari: str, nmi: str, purity: str) -> dict[str, str]:
    """The six scores of a row, as printed."""
    names = ("silhouette", "calinski_harabasz", "davies_bouldin", "ari", "nmi", "purity")
    return dict(zip(names, (silhouette, ch, db, ari, nmi, purity), strict=True))


def three(silhouette: str, ch: str, db: str) -> dict[str, str]:
    """The three scores that need no classes, as printed."""
    return {"silhouette": silhouette, "calinski_harabasz": ch, "davies_bouldin": db}
