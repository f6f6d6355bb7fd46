import numpy as np
import pytest

from musiclust.errors import InputError
from musiclust.metrics import disentangle
from musiclust.metrics.disentangle import dci, disentanglement, mig, sap, udr, udr_null

DCI = ("disentanglement", "completeness", "informativeness")


def independent(n=1200, values=(4, 3), seed=0):
    """Factors of which every combination is there equally often."""
    grid = np.stack(np.meshgrid(*map(np.arange, values), indexing="ij"), axis=-1).reshape(-1, len(values))
    rows = np.random.default_rng(seed).permutation(np.resize(np.arange(len(grid)), n))
    return {f"factor {j}": grid[rows, j] for j in range(len(values))}


def columns(factors):
    return np.stack([codes.astype(float) for codes in factors.values()], axis=1)


def turned(z, degrees=45):
    angle = np.deg2rad(degrees)
    return z @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def test_latents_that_are_the_factors_score_one():
    factors = independent()
    z = columns(factors) * [-3.0, 0.01]
    assert mig(z, factors) == pytest.approx(1)
    assert sap(z, factors) == pytest.approx(1, abs=0.05)
    assert dci(z, factors) == pytest.approx(dict.fromkeys(DCI, 1), abs=0.01)


def test_a_turn_by_45_degrees_hides_the_factors_from_single_dimensions():
    factors = independent(values=(4, 4))
    z = turned(columns(factors) - 1.5)
    assert mig(z, factors) < 0.02
    assert sap(z, factors) < 0.1
    found = dci(z, factors)
    assert found["disentanglement"] < 0.3
    assert found["informativeness"] > 0.95  # it is still there


def test_independent_noise_scores_about_nothing():
    factors = independent()
    z = np.random.default_rng(0).normal(size=(1200, 5))
    assert mig(z, factors) < 0.02
    assert sap(z, factors) < 0.1
    assert dci(z, factors)["informativeness"] < 0.1
    assert dci(z, factors)["completeness"] < 0.1


def test_mig_by_hand():
    # Dimension 0 is the factor's bit flipped in a quarter of the tracks, dimension 1 in three eighths.
    y = np.repeat([0, 1], 8)
    z = np.stack([y ^ np.isin(np.arange(16) % 8, (0, 1)), y ^ np.isin(np.arange(16) % 8, (2, 3, 4))], axis=1)

    def information(flipped):
        return 1 + flipped * np.log2(flipped) + (1 - flipped) * np.log2(1 - flipped)  # bits, of an entropy of 1

    assert mig(z.astype(float), {"bit": y}) == pytest.approx(information(1 / 4) - information(3 / 8))
    # The same factor in both dimensions: the gap is nothing, though all is told.
    assert mig(np.stack([y, y], axis=1).astype(float), {"bit": y}) == pytest.approx(0, abs=1e-12)
    # Independent halves: half of a factor of four values in each of two dimensions.
    four = np.tile(np.arange(4), 10)
    assert mig(np.stack([four // 2, four % 2], axis=1).astype(float), {"four": four}) == pytest.approx(0, abs=1e-12)
    assert mig((four // 2)[:, None].astype(float), {"four": four}) == pytest.approx(0.5)


def test_sap_by_hand():
    # With a flip in 10 % of the tracks the accuracy is 0.9, and scaled 0.8; with one in 30 % it is 0.4.
    n = 20_000
    rng = np.random.default_rng(0)
    y = np.arange(n) % 2
    z = np.stack([y ^ (rng.permutation(n) < 0.1 * n), y ^ (rng.permutation(n) < 0.3 * n)], axis=1)
    assert sap(z.astype(float), {"bit": y}) == pytest.approx(0.4, abs=0.01)


def test_dci_by_hand():
    # One dimension holds both factors: it is complete and half as disentangled as one can be, which is not at all.
    factors = independent(values=(2, 2))
    z = (2 * factors["factor 0"] + factors["factor 1"])[:, None].astype(float)
    found = dci(np.append(z, np.zeros((1200, 1)), axis=1), factors)
    assert found == pytest.approx({"disentanglement": 0, "completeness": 1, "informativeness": 1}, abs=0.02)
    # A factor in two dimensions, which each has half of: disentangled, not complete.
    four = {"four": np.arange(1200) % 4, "other": np.arange(1200) // 4 % 2}
    z = np.stack([four["four"] // 2, four["four"] % 2, four["other"]], axis=1).astype(float)
    found = dci(z, four)
    assert found["disentanglement"] == pytest.approx(1, abs=0.02)
    # For "four" two of three dimensions weigh about the same, 1 - log 2 / log 3 = 0.37; for "other" one is enough.
    assert found["completeness"] == pytest.approx((0.37 + 1) / 2, abs=0.05)


@pytest.mark.slow
def test_scores_of_few_tracks_are_told_beside_their_chance(monkeypatch):
    monkeypatch.setattr(disentangle, "_TREES", 2)
    factors = {name: codes[:80] for name, codes in independent().items()}
    noise = disentanglement(np.random.default_rng(1).normal(size=(80, 4)), factors)
    for name, one in noise.items():
        assert one["p"] > 0.05, name
        assert one["score"] < one["null"] + 0.15, name
    assert noise["mig"]["null"] > 0.02  # it is biased: 0 would be the wrong thing to hold it against
    told = disentanglement(columns(factors), factors)
    assert all(one["p"] == 0.05 and one["score"] > one["null"] + 0.3 for one in told.values())


def test_clips_of_a_song_are_not_taken_for_as_many_songs(monkeypatch):
    rng = np.random.default_rng(1)
    song = np.repeat(np.arange(12), 10)
    z = rng.normal(size=(12, 3))[song] + 0.01 * rng.normal(size=(120, 3))
    factors = {"one": rng.permutation(np.arange(12) % 2)[song], "two": rng.permutation(np.arange(12) % 3)[song]}
    monkeypatch.setattr(disentangle, "_TREES", 2)
    naive, aware = disentanglement(z, factors), disentanglement(z, factors, group=song)
    assert naive["informativeness"]["score"] > 0.9  # the songs are known again
    assert naive["mig"]["p"] == 0.05
    assert aware["informativeness"]["score"] < 0.4
    assert aware["mig"]["p"] > 0.05
    assert aware["mig"]["null"] > 3 * naive["mig"]["null"]


def test_unknown_tracks_and_useless_factors_take_no_part():
    factors = independent()
    z = columns(factors)
    known = np.arange(1200) < 900
    more = {name: np.where(known, codes, -1) for name, codes in factors.items()}
    more |= {"constant": np.zeros(1200, int), "unknown": np.full(1200, -1)}
    assert mig(np.where(known[:, None], z, 99.0), more) == pytest.approx(1, abs=0.01)
    assert dci(z, more) == pytest.approx(dict.fromkeys(DCI, 1), abs=0.01)
    nothing = disentanglement(z, {"constant": np.zeros(1200, int)})
    assert all(np.isnan([*one.values()]).all() for one in nothing.values())


def models(turn, seeds=4, n=500):
    """The same three factors, in another order and with other signs for each seed; turned if wanted."""
    z = np.random.default_rng(0).normal(size=(n, 3))
    made = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        own = z[:, rng.permutation(3)] * rng.choice([-1, 1], 3)
        if turn:
            own = own @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
        noise = rng.normal(size=(n, 2))
        made.append((np.append(own, noise, axis=1), np.array([2.0, 1.0, 0.5, 0.001, 0.0])))
    return made


def test_udr_of_models_with_the_same_axes_and_of_turned_ones():
    same, other = udr(models(turn=False)), udr(models(turn=True, seeds=16))
    assert same.shape == (4,)
    assert (same > 0.85).all()
    assert other.mean() < 0.6
    assert (same > udr_null(models(turn=False)) + 0.15).all()
    assert abs(other.mean() - udr_null(models(turn=False)).mean()) < 0.1


def test_udr_by_hand():
    # Ranks 0 1 2 3; the second dimension of the second model has a rank correlation of 0.6 with the first's.
    one = np.array([[0.0], [1.0], [2.0], [3.0]])
    two = np.array([[0.0, 9.0], [10.0, 1.0], [20.0, 30.0], [30.0, 20.0]])
    two[:, 1] = [1.0, 0.0, 3.0, 2.0]  # Spearman: 1 - 6 * 4 / (4 * 15) = 0.6
    kl = np.ones(2)
    # Over the dimensions of `two`: 1 and 0.6; over that of `one`: 1 / 1.6. The mean of the three.
    assert udr([(one, np.ones(1)), (two, kl)]) == pytest.approx((1 + 0.6 + 1 / 1.6) / 3)
    assert udr([(one, np.ones(1)), (two, np.array([1.0, 0.0]))]) == pytest.approx(1)  # the second is not informative
    assert udr([(one, np.zeros(1)), (two, kl)]).tolist() == [0, 0]
    assert udr_null([(one, np.zeros(1)), (two, kl)]).tolist() == [0, 0]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="factor tempo: shape"):
        mig(np.zeros((4, 2)), {"tempo": np.zeros(3, int)})
    with pytest.raises(InputError, match="row 1 of the latents"):
        disentanglement(np.array([[0.0], [np.nan]]), {})
    with pytest.raises(ValueError, match="two or more"):
        udr([(np.zeros((4, 2)), np.zeros(2))])
    with pytest.raises(ValueError, match="KL per dimension"):
        udr([(np.zeros((4, 2)), np.zeros(3))] * 2)
