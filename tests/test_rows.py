"""rows: rows of a file that are read when they are asked for, and checked by their digests."""

import os
from pathlib import Path

import numpy as np
import pytest

from musiclust import rows as rows_room
from musiclust.errors import InputError
from musiclust.rows import (
    ChunkDigests,
    Layout,
    RowFile,
    Rows,
    digest_rows,
    format_header,
    select_rows,
    split_rows,
)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    """Chunks of four rows, pieces of three."""
    monkeypatch.setattr(rows_room, "_CHUNK", 4 * 6 * 2)
    monkeypatch.setattr(rows_room, "_PIECE", 3 * 6 * 2)


def numbers(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, 2, 3)).astype(np.float16)


def write(path: Path, values: np.ndarray) -> RowFile:
    np.save(path, values)
    offset = len(format_header(len(values), values.shape[1:], values.dtype))
    layout = Layout(offset, values.shape[1:], values.dtype, False, digest_rows(values))
    return RowFile(path, layout, remedy="mend it")


def flip(path: Path, byte: int) -> None:
    content = bytearray(path.read_bytes())
    content[byte] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(byte, byte))  # the clock of files ticks every few milliseconds


def test_rows_look_like_the_array(tmp_path):
    values = numbers(11)
    order = np.random.default_rng(0).permutation(11)[:9]
    rows, expected = Rows(write(tmp_path / "x.npy", values), order), values[order]
    assert (rows.shape, rows.ndim, rows.dtype, len(rows)) == ((9, 2, 3), 3, np.float16, 9)
    assert (rows.size, rows.nbytes) == (expected.size, expected.nbytes)
    mask = np.arange(9) % 2 == 0
    for key in (
        0,
        -1,
        slice(None),
        slice(2, 7, 2),
        [3, 1, 1],
        np.array([8, 0]),
        mask,
        slice(4, 4),
        np.array([[1], [2]]),
    ):
        np.testing.assert_array_equal(rows[key], expected[key])
        assert rows[key].dtype == np.float16
    np.testing.assert_array_equal(np.asarray(rows), expected)
    assert np.asarray(rows, np.float64).dtype == np.float64
    np.testing.assert_array_equal(np.stack([*rows]), expected)
    np.testing.assert_array_equal(np.concatenate([*split_rows(rows)]), expected)
    np.testing.assert_array_equal(expected.mean(axis=0), np.mean(rows, axis=0))
    with pytest.raises(IndexError):
        rows[9]
    with pytest.raises(ValueError, match="only by a copy"):
        np.asarray(rows, copy=False)


def test_rows_of_rows_stay_in_the_file_and_lacking_ones_are_zeros(tmp_path):
    values = numbers(11)
    rows = Rows(write(tmp_path / "x.npy", values), np.arange(11)[::-1])
    at = np.array([2, -1, 0, -1])
    for selected in (select_rows(rows, at), select_rows(values[::-1], at)):
        expected = values[::-1][[2, 0, 0, 0]]
        expected[[1, 3]] = 0
        np.testing.assert_array_equal(selected, expected)
    assert isinstance(select_rows(rows, at), Rows)
    assert values.any(axis=(1, 2)).all()  # the array itself is as it was


def test_chunks_do_not_depend_on_how_rows_were_added():
    values = numbers(11)
    digests = ChunkDigests(values[0].nbytes)
    for row in values:
        digests.add(row[None])
    assert digests.close() == digest_rows(values)
    assert [rows for rows, _ in digest_rows(values)] == [4, 4, 3]
    assert digest_rows(values[:0]) == ()


def test_a_chunk_is_checked_when_it_is_first_read_and_once(tmp_path):
    values = numbers(11)
    file = write(tmp_path / "x.npy", values)
    rows = Rows(file, np.arange(11))
    rows[1]
    flip(tmp_path / "x.npy", file.layout.offset + 5 * 12)
    np.testing.assert_array_equal(rows[:4], values[:4])
    with pytest.raises(InputError, match=r"x\.npy is damaged \(rows 4 to 7 are not as they were written\): mend it$"):
        rows[7]
    np.testing.assert_array_equal(rows[8:], values[8:])
    with pytest.raises(InputError, match="rows 4 to 7"):
        file.check()
    assert file.find_damaged().tolist() == [*[False] * 4, *[True] * 4, *[False] * 3]
    # A file that has changed since is checked anew, one that has not is not.
    again = RowFile(tmp_path / "x.npy", file.layout, remedy="")
    assert again._checked.tolist() == [False, False, False]
    again.read(np.array([9]))
    assert RowFile(tmp_path / "x.npy", file.layout, remedy="")._checked.tolist() == [False, False, True]


def test_every_flipped_bit_is_found(tmp_path):
    file = write(tmp_path / "x.npy", numbers(5))
    content = (tmp_path / "x.npy").read_bytes()
    for bit in range(8 * file.layout.offset, 8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        (tmp_path / "x.npy").write_bytes(flipped)
        os.utime(tmp_path / "x.npy", ns=(bit, bit))
        with pytest.raises(InputError, match="is damaged"):
            RowFile(tmp_path / "x.npy", file.layout, remedy="").check()


def test_what_is_wrong_with_damaged_rows_is_told(tmp_path):
    values = numbers(5)
    file = write(tmp_path / "x.npy", values)
    broken = values.copy()
    broken[2, 0, 1] = np.nan
    np.save(tmp_path / "x.npy", broken)
    with pytest.raises(InputError, match="not as they were written; they hold NaN or infinity"):
        RowFile(tmp_path / "x.npy", file.layout, remedy="").check()
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-1])
    with pytest.raises(InputError, match="ends too early"):
        RowFile(tmp_path / "x.npy", file.layout, remedy="").read(np.array([4]))


def test_an_open_file_is_read_where_another_took_its_name(tmp_path):
    values = numbers(6)
    rows = Rows(write(tmp_path / "x.npy", values), np.arange(6))
    np.save(tmp_path / "y.npy", numbers(7))
    (tmp_path / "y.npy").replace(tmp_path / "x.npy")
    np.testing.assert_array_equal(rows[:], values)


def test_a_header_has_one_length_for_any_number_of_rows():
    lengths = {len(format_header(rows, (20, 7), np.dtype(np.float32))) for rows in (0, 1, 99, 10**12)}
    assert lengths == {128}
