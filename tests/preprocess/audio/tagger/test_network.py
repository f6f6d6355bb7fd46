"""network, weights and run: held against what the package of the weights says itself (golden.npz)."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from golden_clips import SAMPLE_RATE, make_clips
from weights_here import weights_or_skip

from musiclust.errors import InputError
from musiclust.preprocess.audio.tagger import patches, run, weights
from musiclust.preprocess.audio.tagger.network import variable_shapes

GOLDEN = np.load(Path(__file__).parent / "golden.npz")


@pytest.fixture(scope="module")
def wheel() -> Path:
    return weights_or_skip()


@pytest.fixture(scope="module")
def found(wheel, tmp_path_factory) -> dict[str, dict[str, np.ndarray]]:
    """What both networks say of the windows of each clip, from a file on the disk to the activations."""
    folder = tmp_path_factory.mktemp("clips")
    cut = {}
    for name, samples in make_clips().items():
        soundfile.write(folder / f"{name}.wav", samples, SAMPLE_RATE, subtype="PCM_16")
        cut[name] = patches.cut_patches(str(folder / f"{name}.wav"), len(samples) / SAMPLE_RATE, 0)
    assert [len(one) for one in cut.values()] == [2] * 4
    together = run.tag(wheel, np.concatenate(list(cut.values())))
    return {name: {key: values[2 * i : 2 * i + 2] for key, values in together.items()} for i, name in enumerate(cut)}


@pytest.mark.parametrize("network", ["msd", "mtt"])
@pytest.mark.parametrize("clip", list(make_clips()))
def test_the_networks_say_what_the_package_says(found, network, clip):
    tags = GOLDEN[f"{network}_{clip}_tags"]
    assert tags.shape == (2, 50)
    assert tags.max() > 0.1  # it hears something
    np.testing.assert_allclose(found[clip][f"{network}_tags"], tags, atol=1e-3)
    for name in ("penultimate", "mean_pool", "max_pool"):
        expected = GOLDEN[f"{network}_{clip}_{name}"]
        np.testing.assert_allclose(found[clip][f"{network}_{name}"][0], expected, rtol=1e-3, atol=1e-3)


def test_a_batch_that_is_not_full_changes_nothing(wheel):
    some = np.random.default_rng(0).uniform(0, 5, (11, 187, 96)).astype(np.float16)
    together, alone = run.tag(wheel, some), run.tag(wheel, some[9:])
    for name, values in together.items():
        assert len(values) == 11
        np.testing.assert_allclose(values[9:], alone[name], rtol=1e-4, atol=1e-5)


def test_another_file_is_refused_before_it_is_read(wheel, tmp_path):
    data = bytearray(wheel.read_bytes())
    data[1_000_000] ^= 1
    altered, short = tmp_path / "altered.whl", tmp_path / "short.whl"
    altered.write_bytes(data)
    short.write_bytes(data[:1000])
    for path in (altered, short):
        with pytest.raises(InputError, match=r"is not musicnn-0.1.0.* as published \(SHA-256 .*: fetch it anew"):
            weights.read_weights(path, variable_shapes())
    with pytest.raises(InputError, match=r"nowhere.whl is missing: give `tagger_weights` the wheel"):
        run.prepare(tmp_path / "nowhere.whl")


def test_names_and_shapes_are_those_of_the_network(wheel):
    shapes = variable_shapes()
    shapes["params"]["dense"]["kernel"] = np.zeros((3, 200))
    with pytest.raises(InputError, match=r"dense/kernel of .* has the shape \(1506, 200\), expected \(3, 200\)"):
        weights.read_weights(wheel, shapes)
    shapes["params"]["dense"] = {"gain": np.zeros(200)}
    with pytest.raises(InputError, match=r"dense/gain of .* is not there"):
        weights.read_weights(wheel, shapes)


def test_a_table_of_several_blocks_is_read():
    """A LevelDB table made here: two data blocks, keys that share prefixes."""

    def varint(number: int) -> bytes:
        out = b""
        while number > 127:
            out, number = out + bytes([number & 127 | 128]), number >> 7
        return out + bytes([number])

    def block(entries: list[tuple[int, bytes, bytes]]) -> bytes:
        body = b"".join(varint(s) + varint(len(k)) + varint(len(v)) + k + v for s, k, v in entries)
        return body + (0).to_bytes(4, "little") + (1).to_bytes(4, "little")

    first = block([(0, b"conv2d/bias", b"1"), (7, b"kernel", b"2" * 300)])
    second = block([(0, b"dense/bias", b"3")])
    handles = [varint(0) + varint(len(first)), varint(len(first) + 5) + varint(len(second))]
    index = block([(0, b"d", handles[0]), (0, b"e", handles[1])])
    body = first + b"\0" * 5 + second + b"\0" * 5
    footer = varint(0) + varint(0) + varint(len(body)) + varint(len(index))
    table = body + index + b"\0" * 5 + footer.ljust(40, b"\0") + weights._MAGIC.to_bytes(8, "little")
    found = dict(weights._read_table(table))
    assert found == {b"conv2d/bias": b"1", b"conv2d/kernel": b"2" * 300, b"dense/bias": b"3"}
    with pytest.raises(InputError, match="no LevelDB table"):
        list(weights._read_table(table[:-1]))
