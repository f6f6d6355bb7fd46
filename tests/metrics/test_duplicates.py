import numpy as np
import pytest

from musiclust.errors import InputError
from musiclust.metrics import duplicates
from musiclust.metrics.duplicates import join_groups, near_duplicates, same_content


def standardise(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


def songs(n=300, columns=20, seed=0):
    """Tracks in a few loose clusters, as music lies."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, columns)) + 2 * rng.normal(size=(5, columns))[rng.integers(0, 5, n)]


@pytest.mark.parametrize("shape", [(1000, 57), (5000, 2), (200, 400)], ids=str)
@pytest.mark.parametrize("kind", ["gaussian", "uniform", "heavy tails", "log-normal", "twenty tight clusters"])
def test_collections_without_duplicates_have_none(kind, shape):
    rng = np.random.default_rng(0)
    x = {
        "gaussian": lambda: rng.normal(size=shape),
        "uniform": lambda: rng.uniform(size=shape),
        "heavy tails": lambda: rng.standard_t(2, size=shape),
        "log-normal": lambda: rng.lognormal(0, 1.5, size=shape),
        "twenty tight clusters": lambda: (
            0.03 * rng.normal(size=shape) + rng.normal(size=(20, shape[1]))[np.arange(shape[0]) % 20]
        ),
    }[kind]()
    assert near_duplicates(standardise(x)) == []


def test_rows_that_are_the_same_and_nearly_the_same_are_found():
    x = songs()
    x[250] = x[3]
    x[40] = x[7] + 0.05 * np.random.default_rng(1).normal(size=20)  # encoded once more, say
    found = near_duplicates(standardise(x))
    assert [pair[:2] for pair in found] == [(3, 250), (7, 40)]
    assert found[0][2] == 0
    assert 0 < found[1][2] < 0.1


def test_a_song_that_is_there_three_times_and_a_tight_album():
    rng = np.random.default_rng(2)
    x = songs()
    x[100] = x[5] + 0.03 * rng.normal(size=20)
    x[200] = x[5] + 0.03 * rng.normal(size=20)
    x[60:66] = x[60] + 0.5 * rng.normal(size=(6, 20))  # six songs that are alike are no duplicates
    assert {pair[:2] for pair in near_duplicates(standardise(x))} == {(5, 100), (5, 200), (100, 200)}


def test_a_collection_of_which_every_song_is_there_twice():
    x = songs(200)
    twice = np.concatenate([x, x + 0.02 * np.random.default_rng(0).normal(size=x.shape)])
    assert {pair[:2] for pair in near_duplicates(standardise(twice))} == {(i, i + 200) for i in range(200)}


def test_a_row_that_many_tracks_have_is_not_taken_for_duplicates():
    x = songs()
    x[50:120] = 0  # no words
    x[130:139] = x[2]
    assert near_duplicates(x) == [(2, row, 0.0) for row in range(130, 139)]


def test_factor_says_how_near():
    x = songs()
    x[40] = x[7] + 0.3 * np.random.default_rng(1).normal(size=20)
    assert near_duplicates(standardise(x)) == []
    assert [pair[:2] for pair in near_duplicates(standardise(x), factor=0.4)] == [(7, 40)]


def test_a_lattice_has_no_duplicates():
    side = np.arange(20.0)
    assert near_duplicates(np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)) == []


def test_few_tracks_have_no_usual_distance():
    x = songs(12)
    x[4] = x[1] + 1e-9
    assert near_duplicates(x) == []
    x[4] = x[1]
    assert near_duplicates(x) == [(1, 4, 0.0)]
    assert near_duplicates(x[:1]) == []


def test_a_dense_crowd_has_candidates_and_not_all_its_pairs():
    """All pairs of 2,000 tracks would be two million; of a crowd of 20,000 they were once more than the memory."""
    x = np.random.default_rng(0).normal(size=(5_000, 6))
    x[:2_000] = 1 + x[:2_000] * 1e-5
    assert len(duplicates._pairs_within(x, 1e-3)) < 2_000 * 65
    x[4_999] = x[3_000]
    assert near_duplicates(x) == [(3_000, 4_999, 0.0)]


def test_files_with_the_same_content():
    assert same_content(["a", "", "b", "a", "", "b"]) == [(0, 3), (2, 5)]
    assert same_content([]) == []


def test_groups_with_a_pair_in_common_become_one():
    group = np.array(["x", "x", "y", "z", "w", "v"])
    joined = join_groups(group, [(1, 2), (2, 5, 0.0)])
    assert joined.tolist() == ["v", "v", "v", "z", "w", "v"]
    assert join_groups(group, []).tolist() == group.tolist()
    assert join_groups(np.array([4, 2, 9]), near_duplicates(np.array([[1.0], [3.0], [1.0]]))).tolist() == [4, 2, 4]


def test_bad_input_is_named():
    with pytest.raises(InputError, match="row 1"):
        near_duplicates(np.array([[0.0], [np.nan]]))
    with pytest.raises(ValueError, match="factor=1"):
        near_duplicates(np.zeros((3, 2)), factor=1.0)
