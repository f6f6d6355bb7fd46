"""Evidence: structure is claimed where it is, and not where a rule of before claimed it."""

from functools import partial

import numpy as np
import pytest

from musiclust.metrics.evidence import (
    LOWEST,
    Structure,
    measure_structure,
    null_scores,
    weigh,
    weigh_latents,
)
from musiclust.metrics.judge import make_cluster
from musiclust.metrics.nulls import KINDS
from musiclust.metrics.partition import silhouette
from musiclust.metrics.reference import silhouette_null

N, MORE = 80, 120


def group(n=N):
    return np.array([f"{i:04d}" for i in range(n)])


def square(rng):
    return rng.uniform(size=(MORE, 2))


def ring(rng):
    angle = rng.uniform(0, 2 * np.pi, MORE)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def log_normal(rng):
    return np.exp(rng.normal(size=(MORE, 4)))


def clusterer(name, k):
    return make_cluster(name, k, 0)


@pytest.mark.parametrize("draw", [square, ring, log_normal])
def test_what_a_gaussian_null_took_for_clusters_is_none(draw):
    """Under k-means each of these was "tighter than structureless data" in 6 of 6 draws."""
    cluster = clusterer("kmeans", 4)
    z = draw(np.random.default_rng(0))
    clusters = cluster.whole(z)
    assert silhouette(z, clusters) - silhouette_null(z, k=4, seed=0) >= 0.5 / np.sqrt(MORE)  # the rule of before
    assert not weigh_latents(z, z, cluster, group=group(MORE)).structured


def test_a_density_clusterer_is_held_against_itself():
    """HDBSCAN on a Gaussian was "tighter" in 3 of 5, because k-means of all points stood beside it."""
    cluster, claims = clusterer("hdbscan", 3), 0
    for seed in range(3):
        z = np.random.default_rng(seed).normal(size=(N, 3))
        claims += weigh_latents(z, z, cluster, group=group()).structured
    assert claims == 0


@pytest.mark.parametrize("name", ["kmeans", pytest.param("gmm", marks=pytest.mark.slow), "hdbscan"])
def test_clusters_are_found(name):
    rng = np.random.default_rng(0)
    z = np.eye(6)[rng.integers(0, 4, N)] * 6 + rng.normal(size=(N, 6))
    found = weigh_latents(z, z, clusterer(name, 4), group=group())
    assert found.structured
    assert found.p("silhouette") == found.p("stability") == 0.05
    assert found.value("silhouette") > found.null("silhouette") + 0.1


def test_clips_that_are_alike_are_no_clusters():
    rng = np.random.default_rng(0)
    song = np.array([f"{i:03d}" for i in np.repeat(np.arange(20), 4)])
    z = rng.normal(size=(20, 4)).repeat(4, axis=0) + rng.normal(0, 0.1, (N, 4))
    cluster = clusterer("kmeans", 10)
    assert not weigh_latents(z, z, cluster, group=song).structured
    assert (
        null_scores(z, z, cluster, group=song)["silhouette_null"]
        > null_scores(z, z, cluster, group=group())["silhouette_null"]
    )


def test_one_measure_alone_is_not_enough():
    nulls = {kind: [Structure(0.2, 0.1, 0.5)] * 19 for kind in KINDS}
    known = partial(weigh, nulls=nulls, how="latents")
    assert known(Structure(0.5, 0.1, 0.9)).structured
    assert not known(Structure(0.5, 0.1, 0.5)).structured
    assert not known(Structure(0.2, 0.1, 0.9)).structured
    low = {kind: [Structure(0.2, 0.1, 0.1)] * 19 for kind in KINDS}
    assert not weigh(Structure(0.5, 0.1, 0.4), low, how="latents").structured  # it falls apart all the same


def test_the_harder_kind_of_surrogate_counts():
    nulls = {"elliptical": [Structure(0.1, 0.1, 0.1)] * 19, "copula": [Structure(0.6, 0.1, 0.1)] * 19}
    found = weigh(Structure(0.5, 0.2, 0.9), nulls, how="latents")
    assert found.p("silhouette") == 1.0
    assert found.null("silhouette") == pytest.approx(0.6)
    assert not found.structured


def test_one_cluster_is_the_lowest():
    one = measure_structure(np.zeros((20, 2)), np.zeros((20, 2)), clusterer("kmeans", 3), group=group(20))
    assert one == Structure(LOWEST, LOWEST, LOWEST)
