"""arrays: numbers and text are read, and nothing else, whatever the bytes are."""

import io
import os
import zipfile

import numpy as np
import pytest

from musiclust.arrays import read_array, read_arrays
from musiclust.errors import InputError

ARRAYS = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "text": np.array(["für", "Elise"]),
    "none": np.zeros((0, 4)),
    "number": np.array(3),
    "nothing": np.zeros(0, "<U1"),
}


def test_arrays_come_back(tmp_path):
    np.savez(tmp_path / "a.npz", **ARRAYS)
    found = read_arrays(tmp_path / "a.npz", remedy="")
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.save(tmp_path / "a.npy", array)
        for back in (found[name], read_array(tmp_path / "a.npy", remedy="")):
            np.testing.assert_array_equal(back, array)
            assert (back.dtype, back.shape) == (array.dtype, array.shape)
            assert back.flags.writeable
    assert list(read_arrays(tmp_path / "a.npz", names=["text"], remedy="")) == ["text"]
    with pytest.raises(InputError, match=r"a\.npz is damaged \(it lacks other\): make it again"):
        read_arrays(tmp_path / "a.npz", names=["text", "other"], remedy="make it again")


def test_no_pickle_is_read(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object))
    np.savez(tmp_path / "a.npz", a=np.array([{}], dtype=object))
    for read, name in ((read_array, "a.npy"), (read_arrays, "a.npz")):
        with pytest.raises(InputError, match="holds Python objects, which are never read") as caught:
            read(tmp_path / name, remedy="make it again")
        assert "allow_pickle" not in str(caught.value)
    (tmp_path / "a.npy").write_bytes(b"\x80\x04\x95\x00")  # as a pickle begins
    with pytest.raises(InputError, match="does not begin as a NumPy array does"):
        read_array(tmp_path / "a.npy", remedy="make it again")


def test_a_header_of_a_billion_rows_costs_nothing(tmp_path):
    file = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**12, 10**6)}
    np.lib.format.write_array_header_1_0(file, header)
    (tmp_path / "a.npy").write_bytes(file.getvalue() + bytes(100))
    with pytest.raises(InputError, match=r"tells of an array of shape \(1000000000000, 1000000\) and has 100 bytes"):
        read_array(tmp_path / "a.npy", remedy="make it again")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", file.getvalue() + bytes(100))
    with pytest.raises(InputError, match="tells of an array"):
        read_arrays(tmp_path / "a.npz", remedy="make it again")


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_every_cut_and_many_flips_are_one_line_or_harmless(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    array = ARRAYS["matrix"]
    np.save(path, array) if kind == "npy" else np.savez(path, a=array)
    content = path.read_bytes()

    def read():
        if kind == "npy":
            return read_array(path, remedy="make it again")
        return read_arrays(path, remedy="make it again").get("a")

    dice = np.random.default_rng(0)
    damaged = [content[:end] for end in range(len(content))]
    for _ in range(300):
        flipped = bytearray(content)
        flipped[dice.integers(len(content))] ^= 1 << dice.integers(8)
        damaged.append(bytes(flipped))
    told = []
    for one in damaged:
        path.write_bytes(one)
        try:
            found = read()
        except InputError as error:
            told.append(str(error))
        else:  # NPY has no checksum of its own, and NPZ has one of the arrays alone
            assert kind == "npy" or found is None or np.array_equal(found, array)
    assert len(told) >= len(content)
    assert all(line.endswith(": make it again") and "\n" not in line for line in told)


def test_only_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (read_array, read_arrays, lambda path, remedy: read_arrays(path, names=["a"], remedy=remedy)):
        for path, fault in (
            (tmp_path, "is a folder"),
            (tmp_path / "pipe", "is a pipe"),
            (tmp_path / "n", "is missing"),
        ):
            with pytest.raises(InputError, match=f"{fault}.*: make it again"):
                read(path, remedy="make it again")
