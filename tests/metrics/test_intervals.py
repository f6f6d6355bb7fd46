import numpy as np
import pytest
from scipy.stats import t, ttest_1samp

from musiclust.metrics.intervals import holm, over_seeds, over_songs, paired_difference


def measure(rng, *, seeds, subsamples, share, of_seed, rest, songs=100):
    """A score that is the mean of the songs, plus what each seed and each training adds: (S, B), and (S,) of all songs.

    Over collections and trainings its mean is 0.
    """
    x, shift = rng.normal(size=songs), of_seed * rng.normal(size=seeds)
    kept = np.argsort(rng.random((subsamples, songs)), axis=1)[:, : round(share * songs)]
    values = x[kept].mean(axis=1) + shift[:, None] + rest * rng.normal(size=(seeds, subsamples))
    return values, x.mean() + shift + rest * rng.normal(size=seeds)


@pytest.mark.parametrize(("seeds", "subsamples", "share"), [(1, 10, 0.8), (5, 10, 0.8), (20, 10, 0.5), (5, 200, 0.8)])
@pytest.mark.parametrize(("of_seed", "rest"), [(0, 0), (0.1, 0), (0.1, 0.05)])
def test_the_interval_over_songs_covers_what_it_says(seeds, subsamples, share, of_seed, rest):
    """90 to 99 % of 300 collections, about the mean of the subsamples and about the values of the full data."""
    if seeds == 1 and of_seed:
        of_seed = rest = 0  # one seed says nothing of others
    rng = np.random.default_rng(0)
    covered = np.zeros(2)
    for _ in range(300):
        values, full = measure(rng, seeds=seeds, subsamples=subsamples, share=share, of_seed=of_seed, rest=rest)
        for which, found in enumerate((over_songs(values, share), over_songs(values, share, full=full))):
            covered[which] += found.low <= 0 <= found.high
    assert (covered / 300 >= 0.9).all()
    assert (covered / 300 <= 0.99).all()


def test_the_interval_does_not_shrink_as_subsamples_or_seeds_are_added():
    """Pooled as independent it was ± 0.016 with 5 resamples and ± 0.004 with 200, of the same songs."""
    rng = np.random.default_rng(0)
    songs = 0.3 * rng.normal(size=100)  # the standard error of their mean is 0.03
    songs *= 0.3 / songs.std(ddof=1)
    pooled, crossed = [], []
    for seeds, subsamples in [(3, 5), (3, 200), (50, 200)]:
        kept = np.argsort(rng.random((subsamples, 100)), axis=1)[:, :80]
        values = songs[kept].mean(axis=1) + 0.001 * rng.normal(size=(seeds, subsamples))
        found = over_songs(values, 0.8)
        crossed.append((found.high - found.low) / 2)
        pooled.append(1.96 * values.std(ddof=1) / np.sqrt(values.size))
    assert pooled[0] > 5 * pooled[1] > 10 * pooled[2]
    assert min(crossed) > 0.95 * 1.96 * 0.03
    assert crossed[2] == pytest.approx(1.96 * 0.03, rel=0.1)


def test_over_songs_by_hand():
    """Two seeds on three subsamples without a rest: c = 0.01, s = 0.02, share 0.8: c (4 + 1/3) + s / 2."""
    values = np.array([0.1, 0.2, 0.3]) + np.array([[0.0], [0.2]])
    found = over_songs(values, 0.8)
    variance = 0.01 * (4 + 1 / 3) + 0.02 / 2
    songs, trainings = 0.04, 0.02 / 2 + 0.01 / 3
    freedom = variance**2 / (songs**2 / 2 + trainings**2 / 1)
    assert found.mean == pytest.approx(0.3)
    assert found.high - found.mean == pytest.approx(t.ppf(0.975, freedom) * np.sqrt(variance))
    assert (found.n, found.of) == (3, "another collection")


def test_over_songs_leaves_out_what_is_not_there():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 6))
    holes = values.copy()
    holes[2] = np.nan  # a seed that found no clusters
    holes[0, 3] = np.nan  # a subsample in which one seed found none
    assert over_songs(holes, 0.5) == over_songs(np.delete(np.delete(values, 2, axis=0), 3, axis=1), 0.5)
    assert over_songs(holes, 0.5).n == 5
    for empty in (np.full((2, 3), np.nan), np.array([[0.1, np.nan]])):
        found = over_songs(empty, 0.5)
        assert np.isnan([found.low, found.high]).all()
    assert over_songs(np.array([[0.1, np.nan]]), 0.5).mean == 0.1
    assert over_songs(values, 0.5, full=np.array([0.5, np.nan])).mean == 0.5


def test_over_songs_of_a_row_without_seeds_is_that_of_one():
    """A deterministic row repeated over the seeds: the songs are all that varies, and the seeds bring nothing."""
    row = np.random.default_rng(0).normal(size=(1, 10))
    one, many = over_songs(row, 0.8), over_songs(np.repeat(row, 20, axis=0), 0.8)
    assert many.mean == pytest.approx(one.mean)
    assert many.high - many.low == pytest.approx(one.high - one.low, rel=0.05)


def test_over_seeds():
    values = np.array([[0.1, 0.3], [0.4, np.nan], [np.nan, np.nan], [0.5, 0.7]])
    found = over_seeds(values)
    expected = ttest_1samp([0.2, 0.4, 0.6], 0).confidence_interval(0.95)
    np.testing.assert_allclose([found.mean, found.low, found.high], [0.4, expected.low, expected.high])
    assert (found.n, found.of) == (3, "another training")


@pytest.mark.parametrize("values", [np.full(10, 0.25), np.array([0.25, np.nan]), np.full((10, 3), 1 / 3)])
def test_a_deterministic_row_has_no_interval_over_seeds(values):
    found = over_seeds(values)
    assert found.n == 1
    assert np.isnan([found.low, found.high]).all()
    assert over_seeds(np.array([0.1, 0.3]), deterministic=True)[3] == 1
    assert over_seeds(np.full(3, np.nan)).n == 0


def test_paired_differences_are_surer_than_two_intervals_and_hold_their_level():
    rng = np.random.default_rng(0)
    false = wins = 0
    for _ in range(300):
        a, _ = measure(rng, seeds=5, subsamples=10, share=0.5, of_seed=0, rest=0.02)
        b = a + 0.02 * rng.normal(size=a.shape) + 0.02 * rng.normal(size=(5, 1))  # as good, on the same songs
        false += paired_difference(a, b, 0.5).p <= 0.05
        wins += paired_difference(a + 0.15, b, 0.5).low > 0
    assert false / 300 < 0.09
    assert wins / 300 > 0.8
    assert over_songs(a + 0.15, 0.5).low < over_songs(b, 0.5).high


def test_paired_differences_count_the_comparisons():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 5, 8))
    one, ten = paired_difference(a + 1, b, 0.5), paired_difference(a + 1, b, 0.5, comparisons=10)
    assert one.mean == ten.mean == pytest.approx((a + 1 - b).mean())
    assert ten.p == pytest.approx(min(1, 10 * one.p))
    assert ten.high - ten.low > 1.3 * (one.high - one.low)
    assert (one.p <= 0.05) == (one.low > 0 or one.high < 0)
    mirrored = paired_difference(b, a + 1, 0.5)
    assert (mirrored.low, mirrored.high, mirrored.p) == pytest.approx((-one.high, -one.low, one.p))
    assert paired_difference(a, a, 0.5) == (0, 0, 0, 1)
    assert np.isnan(paired_difference(a * np.nan, a, 0.5)).all()


def test_holm_by_the_paper():
    adjusted = holm(np.array([0.04, np.nan, 0.01, 0.03, 0.005]))
    np.testing.assert_allclose(adjusted, [0.06, np.nan, 0.03, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]


def test_what_cannot_be_is_refused():
    for values, share in [(np.zeros(4), 0.5), (np.zeros((2, 3)), 1.0), (np.zeros((2, 3)), 0.0)]:
        with pytest.raises(ValueError, match="values: shape"):
            over_songs(values, share)
    with pytest.raises(ValueError, match="full: shape"):
        over_songs(np.zeros((2, 3)), 0.5, full=np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"a \(2, 3\) and b \(2, 4\)"):
        paired_difference(np.zeros((2, 3)), np.zeros((2, 4)), 0.5)
