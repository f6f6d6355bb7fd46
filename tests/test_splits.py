"""Subsamples and held-out parts: sizes, whole groups, and what they depend on."""

import numpy as np
import pytest

from musiclust.errors import InputError
from musiclust.splits import draw_subsamples, split_held_out

# 60 tracks: 20 songs of one to five clips, in no order.
RNG = np.random.default_rng(0)
GROUP = RNG.permutation(np.repeat([f"song {i:02d}" for i in range(20)], [1, 2, 3, 4, 5] * 4))


def counts(rows) -> tuple[np.ndarray, np.ndarray]:
    """How many tracks of each group there are, and how many of them are among the rows."""
    names, sizes = np.unique(GROUP, return_counts=True)
    return sizes, np.array([(GROUP[rows] == name).sum() for name in names])


def test_a_subsample_has_whole_groups_but_for_one():
    rows = draw_subsamples(GROUP, count=50)
    assert (rows.shape, rows.dtype) == ((50, 48), np.int32)
    assert (np.diff(rows, axis=1) > 0).all()  # sorted, and no track twice
    for line in rows:
        sizes, there = counts(line)
        assert ((there > 0) & (there < sizes)).sum() <= 1
    # Each track is there in four fifths of them, give or take chance.
    shares = np.bincount(rows.ravel(), minlength=60) / 50
    assert shares.mean() == pytest.approx(0.8)
    assert shares.min() > 0.5


def test_a_subsample_is_a_function_of_seed_and_number():
    few, many = (draw_subsamples(GROUP, count=count, seed=3) for count in (2, 9))
    np.testing.assert_array_equal(few, many[:2])
    assert len(np.unique(many, axis=0)) == 9
    assert (draw_subsamples(GROUP, count=2, seed=4) != few).any()


def test_the_size_is_a_share_within_bounds():
    assert draw_subsamples(GROUP, count=1, share=0.5).shape == (1, 30)
    assert draw_subsamples(GROUP, count=1, most=25).shape == (1, 25)
    assert draw_subsamples(GROUP, count=1, most=1000).shape == (1, 48)
    assert draw_subsamples(GROUP[:5], count=1, share=0.1).shape == (1, 2)
    np.testing.assert_array_equal(draw_subsamples(GROUP, count=1, share=1.0), [np.arange(60)])


@pytest.mark.parametrize("seed", range(20))
def test_no_group_is_on_both_sides(seed):
    train, held_out = split_held_out(GROUP, seed=seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held_out])), np.arange(60))
    assert (np.diff(train) > 0).all()
    assert (np.diff(held_out) > 0).all()
    assert not set(GROUP[train]) & set(GROUP[held_out])
    assert 10 <= len(held_out) <= 14  # 12, and no song has more than five clips


def test_one_large_group_is_not_taken_for_the_held_out_part():
    group = np.array(["album"] * 50 + [f"single {i}" for i in range(10)])
    for seed in range(20):
        train, held_out = split_held_out(group, share=0.1, seed=seed)
        assert (len(train), len(held_out)) == (54, 6)
    # Where nothing comes near the share, the smallest groups that make two tracks are held out.
    train, held_out = split_held_out(np.array(["a"] * 5 + ["b"] * 4), share=0.1)
    assert (train.tolist(), held_out.tolist()) == ([0, 1, 2, 3, 4], [5, 6, 7, 8])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: split_held_out(np.full(9, "Bach")), "all 9 tracks are of one group, Bach: none can be held out"),
        (
            lambda: split_held_out(np.array(["a", "b", "b"])),
            r"in 2 groups, the largest \(b\) of 2: this leaves",
        ),
        (lambda: split_held_out(GROUP, share=1.0), "choose `share` above 0 and below 1"),
        (lambda: draw_subsamples(GROUP, count=0), "choose a count of at least 1"),
        (lambda: draw_subsamples(GROUP, count=1, share=1.5), "`share` above 0 and at most 1"),
        (lambda: draw_subsamples(GROUP[:1], count=1), "subsamples need at least 2"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
