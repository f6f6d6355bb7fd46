import numpy as np
import pytest

from musiclust.report.plots import png
from musiclust.report.traversals import traversal

STEPS = (-2, 0, 2)


def test_vectors_are_a_line_a_step_and_blocks_are_named_where_they_begin():
    values = np.arange(15.0).reshape(3, 5)
    figure = traversal(values, STEPS, "Dimension 4", ["mfcc", "mfcc", "mfcc", "msd", "msd"])
    (ax,) = figure.axes
    lines = [line for line in ax.lines if len(line.get_ydata()) == 5]
    np.testing.assert_array_equal([line.get_ydata() for line in lines], values)
    assert [line.get_label() for line in lines] == ["-2 sd", "+0 sd", "+2 sd"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["mfcc", "msd"]
    assert ax.get_xticks().tolist() == [0, 3]
    assert png(figure)[1:4] == b"PNG"


def test_spectrograms_are_an_image_a_step_on_one_scale():
    values = np.random.default_rng(0).normal(size=(7, 16, 30))
    figure = traversal(values, range(-3, 4), "Dimension 0")
    images = [image for ax in figure.axes for image in ax.images]
    assert len(images) == 7
    assert len({image.get_clim() for image in images}) == 1
    np.testing.assert_array_equal(images[6].get_array(), values[6])
    assert png(figure)[1:4] == b"PNG"


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="must be"):
        traversal(np.zeros((3, 4)), (0, 1), "")
    with pytest.raises(ValueError, match="must be"):
        traversal(np.zeros(3), STEPS, "")
