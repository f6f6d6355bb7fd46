"""Lifts and differences: against a bootstrap of groups, SciPy's test of means, and how often the intervals hold."""

import numpy as np
import pytest
from scipy import stats
from scipy.sparse import csr_matrix

from musiclust.report.contrasts import FLOOR, MIN_GROUPS, difference, lift, lift_of_counts


def test_without_groups_the_interval_is_that_of_welch():
    rng = np.random.default_rng(0)
    inside = np.arange(60) < 20
    values = np.where(inside, rng.normal(1, 2, 60), rng.normal(0, 1, 60))[:, None]
    found = difference(values, inside, np.arange(60), alpha=0.05)
    scale = values.std()
    expected = stats.ttest_ind(values[inside, 0], values[~inside, 0], equal_var=False).confidence_interval(0.95)
    # The jackknife's variance is Welch's to within a factor of (1 - 1/n)^-1.
    np.testing.assert_allclose([found.low[0] * scale, found.high[0] * scale], expected, rtol=0.05)
    assert found.effect[0] == pytest.approx((values[inside].mean() - values[~inside].mean()) / scale)


def clips(rng, groups=40, each=6):
    """Probabilities whose group matters: (N, 1), the groups, and which groups are in the cluster."""
    group = np.repeat(np.arange(groups), each)
    logit = rng.normal(-1, 1, groups)[group] + rng.normal(0, 0.4, groups * each)
    return 1 / (1 + np.exp(-logit[:, None])), group


def test_the_interval_is_that_of_a_bootstrap_of_groups():
    rng = np.random.default_rng(1)
    values, group = clips(rng, groups=120)
    inside = group < 60
    found = lift(values, inside, group, alpha=0.05)
    means = values.reshape(120, 6).mean(axis=1)
    drawn = rng.integers(0, 60, (4000, 2, 60)) + np.array([0, 60])[None, :, None]
    ratio = means[drawn].mean(axis=2)
    low, high = np.quantile(ratio[:, 0] / ratio[:, 1], [0.025, 0.975])
    assert [found.low[0], found.high[0]] == pytest.approx([low, high], rel=0.08)
    # Were clips independent, it would be nearly twice as narrow as it is.
    naive = lift(values, inside, np.arange(len(values)), alpha=0.05)
    assert np.log(found.high / found.low) > 1.7 * np.log(naive.high / naive.low)


@pytest.mark.parametrize("whole", [True, False], ids=["whole groups", "clips by lot"])
def test_intervals_hold_what_they_promise(whole):
    rng = np.random.default_rng(2)
    missed = 0
    for _ in range(400):
        values, group = clips(rng)
        inside = (rng.permutation(40) < 8)[group] if whole else rng.random(240) < 0.2
        found = lift(values, inside, group, alpha=0.05)
        missed += not found.low[0] <= 1 <= found.high[0]
    assert missed <= 30  # 20 are promised, and 30 would be 2.3 standard deviations more


def test_one_large_group_does_not_make_a_character():
    group = np.r_[np.zeros(40, int), np.arange(1, 101)]
    inside = group < 4
    values = np.r_[np.full(43, 0.9), np.full(97, 0.1)][:, None] + np.random.default_rng(0).uniform(0, 0.05, (140, 1))
    assert lift(values, inside, group, 0.05).low[0] == 0  # 43 songs, but of four artists, one of whom has forty
    assert lift(values, inside, np.arange(140), 0.05).low[0] > 5


def test_few_groups_and_what_is_nowhere_else():
    inside = np.arange(30) < MIN_GROUPS - 1
    values = np.where(inside, 0.8, 0.0)[:, None]
    assert lift(values, inside, np.arange(30), 0.05).low[0] == 0
    found = lift(values, np.arange(30) < 10, np.arange(30), 0.05)
    assert found.effect[0] == pytest.approx(0.24 / FLOOR)
    assert found.elsewhere[0] == 0
    never = difference(np.ones((30, 1)), np.arange(30) < 10, np.arange(30), 0.05)
    assert (never.effect, never.low, never.high) == (0, 0, 0)


def test_counts_are_of_groups_and_limits_are_exact():
    group = np.repeat(np.arange(20), 3)
    present = np.zeros((60, 2), int)
    present[:24:3, 0] = 1  # one clip each of the groups 0 to 7
    present[0:3, 1] = 1
    found = lift_of_counts(csr_matrix(present), group < 10, group, alpha=0.1)
    assert found.here.tolist() == [0.8, 0.1]
    assert found.elsewhere.tolist() == [0, 0]
    ends = [stats.binomtest(count, 10).proportion_ci(0.95, "exact") for count in (8, 0)]
    assert found.low[0] == pytest.approx(ends[0].low / ends[1].high)
    assert found.high[0] == np.inf
    assert found.low[1] < 1
    assert found.effect[0] == pytest.approx((8.5 / 10.5) / (0.5 / 10.5))
