"""Which songs a playlist takes, and in which order."""

from functools import partial

import numpy as np
import pytest

from musiclust.errors import InputError
from musiclust.listening.sequencing import find_path, order_smoothly, rank_alike, take


def length(z, way):
    return np.linalg.norm(np.diff(z[way], axis=0), axis=1).sum()


def test_a_smooth_order_is_a_short_way_through_all():
    rng = np.random.default_rng(0)
    angle = np.sort(rng.random(40)) * 2 * np.pi
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    shuffled = rng.permutation(40)
    way = order_smoothly(ring[shuffled])
    assert sorted(way) == list(range(40))
    gaps = np.linalg.norm(np.diff(ring, axis=0, append=ring[:1]), axis=1)
    assert length(ring[shuffled], way) == pytest.approx(gaps.sum() - gaps.max(), rel=0.2)  # the ring without a gap
    z = rng.normal(size=(300, 5))
    assert length(z, order_smoothly(z)) < 0.6 * length(z, np.arange(300))


def test_two_songs_of_an_artist_stand_apart_as_long_as_they_can():
    rng = np.random.default_rng(1)
    z = rng.normal(size=(60, 3))
    artist = np.array([f"artist {i % 6}" for i in range(60)])
    z[:, 0] += np.arange(60) % 6 * 5  # artists lie together, so that the short way plays one after the other
    assert np.mean(np.diff(np.arange(60)[order_smoothly(z)] % 6) == 0) > 0.7
    way = order_smoothly(z, artist=artist, apart=3)
    assert sorted(way) == list(range(60))
    for i in range(60 - 3):
        assert len(set(artist[way[i : i + 4]])) == 4
    alone = order_smoothly(z[:5], artist=np.full(5, "one"), apart=3)
    assert sorted(alone) == list(range(5))
    unknown = order_smoothly(z, artist=np.full(60, ""), apart=3)
    np.testing.assert_array_equal(unknown, order_smoothly(z))


def test_a_path_goes_from_one_song_to_the_other_in_even_steps():
    z = np.random.default_rng(2).random((2000, 2))
    z[0], z[1] = [0, 0], [1, 1]
    path = find_path(z, 0, 1, 11)
    assert (path[0], path[-1], len(set(path))) == (0, 1, 11)
    np.testing.assert_allclose(z[path], np.linspace([0, 0], [1, 1], 11), atol=0.08)
    assert find_path(z, 0, 1, 2).tolist() == [0, 1]
    few = find_path(z[:12], 0, 1, 12)
    assert sorted(few) == list(range(12))


def test_alike_is_near_to_any_of_the_seeds():
    z = np.array([[0.0], [10], [1], [11.5], [5]])
    assert rank_alike(z, [0]).tolist() == [2, 4, 1, 3]
    assert rank_alike(z, [0, 1]).tolist() == [2, 3, 4]


def test_limits():
    artist = np.array(["a", "a", "a", "b", "", "", "b"])
    album = np.array(["x", "x", "y", "x", "", "", ""])
    seconds = np.array([100.0, 100, 100, 100, np.nan, 500, 100])
    first = partial(take, artist=artist, album=album, seconds=seconds)
    assert first(range(7)) == list(range(7))
    assert first(range(7), songs=2) == [0, 1]
    assert first(range(7), per_artist=1) == [0, 3, 4, 5]
    assert first(range(7), per_album=1) == [0, 2, 3, 4, 5, 6]  # the same name, another artist's album
    assert first(range(7), minutes=5) == [0, 1, 2]
    assert first([5, 0, 3], minutes=4) == [0, 3]  # what is too long is passed over
    assert first([4, 0], minutes=2) == [0]  # of unknown length is as long as most


def test_bad_input_is_named():
    z = np.zeros((4, 2))
    for call, message in (
        (lambda: rank_alike(z, []), "give rows of the 4 songs"),
        (lambda: rank_alike(z, [4]), "give rows of the 4 songs"),
        (lambda: find_path(z, 1, 1, 3), "give two different rows"),
        (lambda: find_path(z, 0, 1, 5), "choose 2 to 4"),
        (lambda: order_smoothly(np.full((3, 1), np.nan)), "row 0 of the points is not finite"),
    ):
        with pytest.raises(InputError, match=message):
            call()
