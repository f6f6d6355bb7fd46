"""Songs that come later: their clusters, and that what is far from all fits none."""

import numpy as np
import pytest

from musiclust.cluster import hdbscan, kmeans
from musiclust.errors import InputError
from musiclust.listening.placing import REFUSED, measure_reach, place

CENTRES = np.array([[0.0, 0, 0], [12, 0, 0], [0, 12, 0]])
WIDTHS = np.array([1.0, 2.0, 0.3])


def draw(n, seed):
    rng = np.random.default_rng(seed)
    kind = rng.integers(3, size=n)
    return CENTRES[kind] + WIDTHS[kind][:, None] * rng.normal(size=(n, 3)), kind


@pytest.fixture(scope="module")
def collection():
    z, _ = draw(400, 0)
    return z, kmeans(z, k=3, seed=0)


def test_new_songs_of_the_same_kind_are_refused_as_often_as_said(collection):
    z, found = collection
    reach = measure_reach(z, found.clusters)
    new, kind = draw(4000, 1)
    placed = place(reach, new, found.assign(new))
    assert np.mean(placed.clusters < 0) == pytest.approx(REFUSED, abs=0.02)
    for c in range(3):  # a wide cluster and a narrow one alike
        assert np.mean(placed.clusters[kind == c] < 0) < 3 * REFUSED
    fits = placed.clusters >= 0
    assert len(np.unique(kind[fits] * 3 + placed.clusters[fits])) == 3
    assert placed.confidence[fits].mean() > 0.99


def test_what_is_far_from_all_fits_none(collection):
    z, found = collection
    far = np.array([[40.0, 40, 0], [0, 12, 5]])  # the second is near by the widths of the others, not by its own's
    placed = place(measure_reach(z, found.clusters), far, found.assign(far))
    assert placed.clusters.tolist() == [-1, -1]
    assert (placed.nearest_cluster >= 0).all()
    assert (placed.distance > 3).all()


def test_one_by_one_is_all_at_once(collection):
    z, found = collection
    reach, (new, _) = measure_reach(z, found.clusters), draw(30, 2)
    whole = place(reach, new, found.assign(new))
    parts = [place(reach, new[i : i + 1], found.assign(new[i : i + 1])) for i in range(30)]
    for name in ("clusters", "nearest_cluster", "confidence", "neighbours"):
        np.testing.assert_array_equal(getattr(whole, name), np.concatenate([getattr(one, name) for one in parts]))
    np.testing.assert_allclose(whole.distance, np.concatenate([one.distance for one in parts]))


def test_neighbours_are_the_nearest_songs(collection):
    z, found = collection
    placed = place(measure_reach(z, found.clusters), z[:5], found.clusters[:5])
    assert placed.neighbours[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert placed.neighbours.shape == (5, 10)


def test_clips_of_one_song_do_not_make_it_near(collection):
    """Each song four times: without groups all would be at distance 0 of each other, and every new song refused."""
    z, _ = draw(100, 3)
    clips, song = np.repeat(z, 4, axis=0), np.repeat(np.arange(100), 4)
    found = kmeans(clips, k=3, seed=0)
    new, _ = draw(1000, 4)
    alone = place(measure_reach(clips, found.clusters), new, found.assign(new))
    grouped = place(measure_reach(clips, found.clusters, group=song), new, found.assign(new))
    assert np.mean(alone.clusters < 0) > 0.5
    assert np.mean(grouped.clusters < 0) < 0.25


def test_noise_fits_none():
    z, _ = draw(300, 5)
    found = hdbscan(z, k=3, seed=0)
    new = np.array([[6.0, 6, 6], [0, 0, 0]])
    placed = place(measure_reach(z, found.clusters), new, found.assign(new))
    assert placed.clusters[0] == -1
    assert placed.clusters[1] == found.assign(new)[1] >= 0


def test_bad_input_is_named(collection):
    z, found = collection
    reach = measure_reach(z, found.clusters)
    with pytest.raises(InputError, match="2 latents, the collection 3"):
        place(reach, z[:1, :2], found.clusters[:1])
    with pytest.raises(InputError, match="row 0 of the new songs is not finite"):
        place(reach, np.full((1, 3), np.nan), found.clusters[:1])
    with pytest.raises(InputError, match="no cluster has songs of two groups"):
        measure_reach(z, found.clusters, group=np.zeros(len(z)))
    with pytest.raises(ValueError, match="expected one of each"):
        measure_reach(z, found.clusters[:3])
