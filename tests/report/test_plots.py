"""Figures: what is drawn, where, and that odd inputs neither fail nor warn."""

import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from musiclust.report import plots


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def history(rng, replicas, epochs=12, latent=4):
    reconstruction = 15 + 400 * np.exp(-np.arange(epochs) / 2) + rng.random((replicas, epochs))
    kl = rng.random((replicas, epochs, latent))
    return {"reconstruction": reconstruction, "kl_per_dim": kl, "loss": reconstruction + kl.sum(axis=2)}


@pytest.mark.parametrize("epochs", [1, 12])
def test_training_curves_draw_a_line_a_replica(rng, epochs):
    data = history(rng, 3, epochs)
    figure = plots.training_curves(data, ["seed 0", "seed 1", "seed 2"])
    loss, _, kl = figure.axes
    np.testing.assert_array_equal([line.get_ydata() for line in loss.lines], data["loss"])
    np.testing.assert_allclose([line.get_ydata() for line in kl.lines], data["kl_per_dim"].sum(axis=2))
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["seed 0", "seed 1", "seed 2"]
    assert all(ax.get_xlabel() and ax.get_ylabel() and ax.get_title() for ax in figure.axes)
    assert loss.lines[0].get_xdata()[0] == 1


def test_training_curves_of_many_replicas_are_a_median_and_a_band(rng):
    data = history(rng, 256)
    loss = plots.training_curves(data, [str(i) for i in range(256)]).axes[0]
    assert len(loss.lines) == 1
    assert len(loss.collections) == 1
    np.testing.assert_allclose(loss.lines[0].get_ydata(), np.median(data["loss"], axis=0))


def test_latent_map_has_every_track_once_and_noise_in_grey(rng):
    xy, codes = rng.normal(size=(60, 2)), np.r_[np.full(5, -1), np.arange(55) % 11]
    ax = plots.latent_map(xy, codes, [f"class {i}" for i in range(11)], "A title").axes[0]
    assert len(ax.collections) == 12
    drawn = np.concatenate([group.get_offsets() for group in ax.collections])
    np.testing.assert_array_equal(np.sort(drawn, axis=0), np.sort(xy, axis=0))
    from matplotlib.colors import to_hex

    assert to_hex(ax.collections[0].get_facecolor()[0]) == plots.GREY.lower()
    looks = {
        (to_hex(group.get_facecolor()[0]), group.get_paths()[0].vertices.tobytes()) for group in ax.collections[1:]
    }
    assert len(looks) == 11  # colours come again past 8, then in another shape
    assert [text.get_text() for text in ax.get_legend().get_texts()][:2] == ["none (5)", "class 0 (5)"]


def test_cluster_sizes(rng):
    clusters = np.repeat([-1, 0, 1, 2], [3, 10, 20, 7])
    ax = plots.cluster_sizes(clusters).axes[0]
    assert [bar.get_width() for bar in ax.patches] == [3, 10, 20, 7]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["noise", "cluster 0", "cluster 1", "cluster 2"]
    named = plots.cluster_sizes(clusters, ["0: piano", "1: $ harp", "cluster 2"]).axes[0]
    assert [text.get_text() for text in named.get_yticklabels()] == ["noise", "0: piano", r"1: \$ harp", "cluster 2"]


def test_contingency_counts_and_orders_the_diagonal():
    clusters, truth = np.array([0, 0, 0, 1, 1, 2, -1]), np.array([2, 2, -1, 0, 0, 1, 1])
    ax = plots.contingency(clusters, truth, ["a", "b", "c"]).axes[0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["unknown", "a", "b", "c"]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["cluster 1", "cluster 2", "cluster 0", "noise"]
    named = plots.contingency(clusters, truth, ["a", "b", "c"], ["0: piano", "1: harp", "cluster 2"]).axes[0]
    assert [text.get_text() for text in named.get_yticklabels()] == ["1: harp", "cluster 2", "0: piano", "noise"]
    counts = np.zeros((4, 4), int)
    for text in ax.texts:
        x, y = text.get_position()
        counts[int(y), int(x)] = int(text.get_text())
    np.testing.assert_array_equal(counts, [[0, 2, 0, 0], [0, 0, 1, 0], [1, 0, 0, 2], [0, 0, 1, 0]])
    np.testing.assert_allclose(ax.images[0].get_array(), counts / counts.sum(axis=1, keepdims=True))


def test_kl_per_dim_sorts_and_marks():
    ax = plots.kl_per_dim(np.array([0.001, 0.5, 0.2, 0.0]), np.array([False, True, True, False])).axes[0]
    assert [bar.get_height() for bar in ax.patches] == [0.5, 0.2, 0.001, 0.0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "2", "0", "3"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["2 in use", "2 unused"]
    assert "0.70 nats" in ax.get_title()


def test_reconstructions_of_vectors(rng):
    x = rng.normal(size=(3, 24))
    figure = plots.reconstructions(x, x / 2, ["a", "b $5 and $6", "c"], ["mfcc"] * 20 + ["lyrics"] * 4)
    assert len(figure.axes) == 3
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_ydata(), x[1])
    np.testing.assert_array_equal(figure.axes[1].lines[1].get_ydata(), x[1] / 2)
    assert list(figure.axes[-1].get_xticks()) == [0, 20]


def test_reconstructions_of_images_share_their_scale(rng):
    x = rng.normal(size=(2, 8, 13))
    figure = plots.reconstructions(x, 2 * x, ["a", "b"])
    images = [ax.images[0] for ax in figure.axes if ax.images]
    assert len(images) == 4
    np.testing.assert_array_equal(images[3].get_array(), 2 * x[1])
    assert images[2].get_clim() == images[3].get_clim() == ((2 * x[1]).min(), (2 * x[1]).max())
    with pytest.raises(ValueError, match="must both be"):
        plots.reconstructions(x, x[0], ["a", "b"])


def test_figures_are_written_and_an_absent_letter_is_no_warning(tmp_path, rng):
    figures = {
        "map": plots.latent_map(rng.normal(size=(9, 2)), np.arange(9) % 2, ["_京 A$AP $x", "b" * 80], "東京 $ 🎵"),
        "sizes": plots.cluster_sizes(np.zeros(3, int)),
    }
    assert all(isinstance(figure, Figure) for figure in figures.values())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paths = plots.save_figures(tmp_path / "figures", figures)
    assert [path.name for path in paths] == ["map.png", "sizes.png"]
    with Image.open(paths[0]) as image:
        assert image.size == (1200, 840)  # 8 by 5.6 inches at 150 dpi
