import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_distances, euclidean_distances
from sklearn.preprocessing import PowerTransformer

from musiclust import fusion
from musiclust.errors import InputError
from musiclust.types import Block

rng = np.random.default_rng(1)
IDS = np.array([f"t{i:02d}" for i in range(50)])
AUDIO = Block("mfcc_mean", IDS, rng.normal(5, 3, (50, 4)), np.ones(50, bool))
SUNG = np.arange(50) % 3 == 0
LYRICS = Block("lyrics", IDS, np.where(SUNG[:, None], rng.normal(0.1, 0.05, (50, 16)), 0.0), SUNG)


def test_concat_is_standardised_and_modalities_weigh_alike():
    fused = fusion.fuse([AUDIO, LYRICS])
    assert fused.x.shape == (50, 20)
    assert fused.x.dtype == np.float32
    by_hand = (AUDIO.values - AUDIO.values.mean(0)) / AUDIO.values.std(0)
    np.testing.assert_allclose(fused.x[:, :4], by_hand, rtol=1e-5, atol=1e-5)
    spoken = fused.x[SUNG, 4:]
    np.testing.assert_allclose(spoken.mean(0), 0, atol=1e-6)
    assert (spoken**2).sum(1).mean() == pytest.approx((fused.x[:, :4] ** 2).sum(1).mean(), rel=1e-4)


def test_a_track_without_words_gets_zeros_and_a_zero_in_the_mask():
    assert not fusion.fuse([AUDIO, LYRICS]).x[~SUNG, 4:].any()
    mask = fusion.modality_mask([AUDIO, LYRICS])
    np.testing.assert_array_equal(mask[:, 1], SUNG)
    assert mask[:, 0].all()


def test_new_tracks_are_transformed_alike():
    fused = fusion.fuse([AUDIO, LYRICS])
    few = [Block(b.name, b.track_id[:7], b.values[:7], b.valid[:7]) for b in (AUDIO, LYRICS)]
    np.testing.assert_array_equal(fusion.apply(fused.fusion, few), fused.x[:7])


def test_plain_leaves_text_as_it_is():
    fused = fusion.fuse([AUDIO, LYRICS], scaling="plain")
    np.testing.assert_allclose(fused.x[:, 4:], LYRICS.values, rtol=1e-6)
    assert fused.x[:, :4].std() == pytest.approx(1, rel=1e-3)


def test_unit_brings_the_rows_of_each_block_to_one_length():
    fused = fusion.fuse([AUDIO, LYRICS], scaling="unit")
    audio, words = fused.x[:, :4], fused.x[:, 4:]
    # That of the narrowest block under "balanced", where it is the mean over the tracks.
    np.testing.assert_allclose((audio**2).sum(1), 4, rtol=1e-5)
    np.testing.assert_allclose((words[SUNG] ** 2).sum(1), 4, rtol=1e-5)
    assert not words[~SUNG].any()
    by_hand = (AUDIO.values - AUDIO.values.mean(0)) / AUDIO.values.std(0)
    np.testing.assert_allclose(audio, 2 * by_hand / np.linalg.norm(by_hand, axis=1, keepdims=True), atol=1e-5)


def test_distances_of_unit_rows_are_cosines():
    x = fusion.standardise(AUDIO.values, scaling="unit").astype(np.float64)
    cosine = 1 - cosine_distances(fusion.standardise(AUDIO.values))
    np.testing.assert_allclose(euclidean_distances(x, squared=True), 2 * 4 * (1 - cosine), atol=1e-4)


def test_unit_leaves_the_mean_track_at_the_middle():
    values = np.array([[1.0, 4.0], [3.0, 8.0], [2.0, 6.0], [1e-9, 12.0], [4.0 - 1e-9, 0.0]])
    x = fusion.standardise(values, scaling="unit")
    assert not x[2].any()
    np.testing.assert_allclose(np.linalg.norm(x, axis=1)[[0, 1, 3, 4]], np.sqrt(2), rtol=1e-6)


def test_unit_of_an_image_and_of_constant_columns():
    bands = rng.normal(-40, 20, (50, 8, 13)).astype(np.float32)
    bands[:, 3] = -80.0
    x = fusion.fuse([Block("melspec", IDS, bands, AUDIO.valid, {"columns": []})], scaling="unit").x
    assert x.shape == (50, 8, 13)
    np.testing.assert_allclose((x.astype(np.float64) ** 2).sum((1, 2)), 7 * 13, rtol=1e-4)
    assert not fusion.standardise(np.ones((5, 3)), scaling="unit").any()


@pytest.mark.parametrize("how", fusion.FUSIONS)
@pytest.mark.parametrize("blocks", [[AUDIO], [AUDIO, LYRICS]])
def test_unit_without_its_row_lengths_is_balanced(blocks, how):
    unit, balanced = (fusion.fuse(blocks, how=how, scaling=scaling).fusion for scaling in ("unit", "balanced"))
    same = [
        {**a, **{k: b[k] for k in ("basis",) if k in b}}
        for a, b in zip(fusion.keep_row_lengths(unit).arrays, balanced.arrays, strict=True)
    ]
    expected = fusion.apply(balanced, blocks)
    np.testing.assert_allclose(fusion.apply(unit._replace(arrays=tuple(same)), blocks), expected, rtol=1e-5, atol=1e-6)
    assert fusion.keep_row_lengths(balanced) == balanced


def test_unit_places_a_track_alike_whatever_comes_with_it():
    fused = fusion.fuse([AUDIO, LYRICS], scaling="unit")
    far = Block("mfcc_mean", IDS[:3], 100 * AUDIO.values[:3], np.ones(3, bool))
    words = Block("lyrics", IDS[:3], LYRICS.values[:3], LYRICS.valid[:3])
    alone = Block("mfcc_mean", IDS[1:2], far.values[1:2], np.ones(1, bool))
    silent = Block("lyrics", IDS[1:2], LYRICS.values[1:2], LYRICS.valid[1:2])
    together = fusion.apply(fused.fusion, [far, words])
    np.testing.assert_allclose((together[:, :4] ** 2).sum(1), 4, rtol=1e-5)
    np.testing.assert_allclose(fusion.apply(fused.fusion, [alone, silent])[0], together[1], rtol=1e-5)


def test_a_constant_column_becomes_zero_not_nan():
    values = AUDIO.values.copy()
    values[:, 2] = 7.1
    fused = fusion.fuse([Block("mfcc_mean", IDS, values, AUDIO.valid)])
    assert np.isfinite(fused.x).all()
    assert not fused.x[:, 2].any()


def test_an_image_keeps_its_axes_and_each_band_is_standardised():
    values = rng.normal(-40, 20, (50, 8, 13)).astype(np.float16) + np.arange(8)[:, None].astype(np.float16)
    image = Block("melspec", IDS, values, AUDIO.valid, {"columns": []})
    fused = fusion.fuse([image])
    assert fused.x.shape == (50, 8, 13)
    np.testing.assert_allclose(fused.x.mean((0, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(fused.x.std((0, 2)), 1, rtol=1e-4)
    table = Block("mfcc_stats", IDS, values, AUDIO.valid, {"columns": ["mean"] * 13})
    assert fusion.fuse([table]).x.shape == (50, 8 * 13)


def test_what_does_not_fit_is_named():
    fitted = fusion.fuse([AUDIO, LYRICS]).fusion
    with pytest.raises(InputError, match="trained on mfcc_mean, lyrics, not on mfcc_mean"):
        fusion.apply(fitted, [AUDIO])
    narrow = Block("lyrics", IDS, LYRICS.values[:, :9], LYRICS.valid)
    with pytest.raises(InputError, match="lyrics has 9 columns, the run was trained on 16"):
        fusion.apply(fitted, [AUDIO, narrow])
    with pytest.raises(InputError, match="choose from concat, weighted, pca"):
        fusion.fuse([AUDIO], how="sum")
    with pytest.raises(InputError, match="no track has lyrics"):
        fusion.fuse([Block("lyrics", IDS, LYRICS.values, np.zeros(50, bool))])


def test_pca_is_scikit_learns_of_the_blocks_side_by_side():
    side_by_side = fusion.fuse([AUDIO, LYRICS]).x
    expected = PCA(20, svd_solver="full").fit(side_by_side)
    fused = fusion.fuse([AUDIO, LYRICS], how="pca")
    np.testing.assert_allclose(fused.x, side_by_side @ expected.components_.T, atol=1e-4)
    assert fused.x.shape == (50, 20)  # there are no more columns than that


def test_a_weighted_sum_is_of_each_blocks_principal_components():
    fused = fusion.fuse([AUDIO, LYRICS], how="weighted")
    assert fused.x.shape == (50, fusion.COMPONENTS)
    alone = [fusion.fuse([block], how="weighted").x for block in (AUDIO, LYRICS)]
    scaled = fusion.fuse([AUDIO]).x
    components = PCA(4, svd_solver="full").fit(scaled).components_
    np.testing.assert_allclose(alone[0][:, :4], scaled @ components.T, atol=1e-4)
    assert not alone[0][:, 4:].any()
    # Beside sound, the 16 columns of text are scaled down to the variance of 4.
    np.testing.assert_allclose(fused.x, 0.6 * alone[0] + 0.4 * alone[1] / 2, atol=1e-5)
    even = fusion.fuse([AUDIO, LYRICS], how="weighted", weights=(2.0, 2.0))
    np.testing.assert_allclose(even.x, 0.5 * alone[0] + 0.25 * alone[1], atol=1e-5)


def test_power_is_scikit_learns_and_new_tracks_are_treated_alike():
    values = np.stack([np.exp(rng.normal(0, 2, 50)), rng.normal(5, 1, 50), -np.exp(rng.normal(0, 2, 50))], axis=1)
    values = np.concatenate([values, np.full((50, 1), 3.0)], axis=1)
    block = Block("table", IDS, values, np.ones(50, bool))
    fused = fusion.fuse([block], scaling="power")
    np.testing.assert_allclose(fused.x[:, :3], PowerTransformer().fit_transform(values[:, :3]), atol=1e-3)
    assert not fused.x[:, 3].any()
    few = Block("table", IDS[:5], values[:5], np.ones(5, bool))
    np.testing.assert_array_equal(fusion.apply(fused.fusion, [few]), fused.x[:5])


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0), (1.0, np.nan)])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(InputError, match="weights for the blocks mfcc_mean, lyrics"):
        fusion.fuse([AUDIO, LYRICS], how="weighted", weights=weights)
