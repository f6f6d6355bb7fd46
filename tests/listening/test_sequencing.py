"""Which songs a playlist takes, and in which order."""

from collections import Counter
from functools import partial

import numpy as np
import pytest

from musiclust.errors import InputError
from musiclust.listening import sequencing
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


def put_off(waiting, artist, apart):
    """What `order_smoothly` does of artists, looked up anew at every step."""
    waiting, played, last = list(waiting), [], {}
    left = Counter(artist[row] for row in waiting if artist[row])
    while waiting:
        alike = Counter(left.values())
        urgency = []
        for row in waiting[:200]:
            name = artist[row]
            since = min(apart + 1, len(played) - last[name]) if name in last else apart + 1
            pressing = since > apart and (left[name] - 1) * (apart + 1) + alike[left[name]] >= len(waiting)
            urgency.append((since, left[name] if pressing else 0))
        row = waiting.pop(max(range(len(urgency)), key=lambda i: (urgency[i], -i)))
        if artist[row]:
            last[artist[row]] = len(played)
            left[artist[row]] -= 1
        played.append(row)
    return played


@pytest.mark.parametrize("apart", [1, 3, 8])
@pytest.mark.parametrize("artists", [1, 4, 9, 40])
def test_songs_are_put_off_by_artists_as_when_all_are_looked_up(artists, apart):
    rng = np.random.default_rng(artists)
    z = rng.normal(size=(400, 2))
    share = rng.dirichlet(np.full(artists + 1, 0.7))  # some artists have most songs
    artist = np.array(["", *(f"artist {number}" for number in range(artists))])[rng.choice(artists + 1, 400, p=share)]
    found = order_smoothly(z, artist=artist, apart=apart)
    assert found.tolist() == put_off(order_smoothly(z), artist, apart)


def test_a_way_through_many_songs_goes_by_pieces(monkeypatch):
    z = np.random.default_rng(0).normal(size=(3_500, 6))
    way = order_smoothly(z)
    assert sorted(way) == list(range(3_500))
    np.testing.assert_array_equal(way, order_smoothly(z))
    monkeypatch.setattr(sequencing, "_WHOLE", 10_000)
    assert length(z, way) < 1.1 * length(z, order_smoothly(z))
    monkeypatch.setattr(sequencing, "_WHOLE", 100)  # pieces of pieces
    monkeypatch.setattr(sequencing, "_PIECE", 10)
    deep = order_smoothly(z)
    assert sorted(deep) == list(range(3_500))
    assert length(z, deep) < 1.5 * length(z, way)


def test_many_songs_at_few_places_are_each_in_the_way_once():
    for places in (1, 2, 3):
        z = np.repeat(np.eye(3)[:places], 4_000, axis=0)
        way = order_smoothly(z)
        assert sorted(way) == list(range(len(z)))
        assert np.count_nonzero(np.diff(z[way], axis=0).any(axis=1)) == places - 1


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


def test_words_may_count_too():
    z = np.array([[0.0], [1], [2], [3], [4], [5]])
    words = np.array([[1.0, 0], [0, 2], [0, 0], [1, 1], [3, 0], [0, 1]])
    assert rank_alike(z, [0], words=words).tolist() == rank_alike(z, [0]).tolist()
    # One without words stands amid the others: as like as songs are on average.
    assert rank_alike(z, [0], words=words, words_weight=1).tolist() == [4, 3, 2, 1, 5]
    assert rank_alike(z, [0], words=5 * words, words_weight=1).tolist() == [4, 3, 2, 1, 5]
    both = rank_alike(z, [0], words=words, words_weight=0.5).tolist()
    away, spoken = np.array([1.0, 2, 3, 4, 5]), np.array([1, 1 - 0.5**0.5, 0, 1])
    sound = (away - away.mean()) / away.std()
    sung = np.insert((spoken - spoken.mean()) / spoken.std(), 1, 0.0)
    assert both == (1 + np.argsort(sound + sung, kind="stable")).tolist()
    assert both not in (rank_alike(z, [0]).tolist(), [4, 3, 2, 1, 5])
    first, second, *others = rank_alike(z, [0, 5], words=words, words_weight=1).tolist()
    assert ({first, second}, others) == ({1, 4}, [3, 2])
    same = np.ones((6, 2))
    assert rank_alike(z, [0], words=same, words_weight=0.5).tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("seeds", "words", "weight", "message"),
    [
        ([0], None, 0.5, "`words_weight` needs words"),
        ([0], np.ones((2, 2)), 0.5, "vectors of the 3 songs"),
        ([0], np.full((3, 2), np.nan), 0.5, "finite"),
        ([1], np.array([[1.0], [0.0], [1.0]]), 0.5, "song 1 has no words"),
        ([1], np.ones((3, 2)), 1.5, "give 0 to 1"),
    ],
)
def test_words_that_cannot_count_are_named(seeds, words, weight, message):
    with pytest.raises(InputError, match=message):
        rank_alike(np.arange(3.0)[:, None], seeds, words=words, words_weight=weight)
