"""blocks: blocks on disk, which grow by what is added and whose digests tell damage."""

import json
import resource
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_tracks

from musiclust import blocks, store
from musiclust import rows as rows_room
from musiclust.errors import InputError
from musiclust.preprocess.writing.swap import recover, replace_files
from musiclust.rows import Rows
from musiclust.types import Block

SPEC = {"shape": [2, 3], "dtype": "float16", "extractor_version": 1}
IDS = ["a", "c", "e", "g", "i", "k", "m"]


def row(track_id: str, version: int = 0) -> np.ndarray:
    """Another one for each track, and for each version of it."""
    return np.random.default_rng([*track_id.encode(), version]).normal(size=(2, 3)).astype(np.float16)


def make(root: Path, ids=IDS) -> Path:
    store.write_block(root, "x", ids, map(row, ids), SPEC)
    return root


def extend(root: Path, ids: list[str], fresh: dict[str, int], **options) -> None:
    """Makes the block hold `ids`; fresh: id -> its version."""
    with replace_files(root) as folder:
        store.extend_block(root, folder, "x", ids, [*fresh], (row(i, v) for i, v in fresh.items()), SPEC, **options)


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(rows_room, "_CHUNK", 4 * 12)


@pytest.mark.usefixtures("small_chunks")
def test_a_block_grows_by_what_is_added(tmp_path):
    make(tmp_path)
    before = (tmp_path / "x.npy").read_bytes()
    inode = (tmp_path / "x.npy").stat().st_ino
    ids = ["a", "b", "c", "e", "i", "k", "z"]  # b and z are new, e has changed, g and m are gone
    extend(tmp_path, ids, {"b": 0, "e": 1, "z": 0})
    after = (tmp_path / "x.npy").read_bytes()
    assert (tmp_path / "x.npy").stat().st_ino == inode
    assert after[128 : len(before)] == before[128:]
    assert len(after) == len(before) + 3 * 12
    assert len(np.load(tmp_path / "x.npy")) == 10
    block = store.load_block(tmp_path, "x")
    assert block.track_id.tolist() == ids
    assert block.valid.all()
    np.testing.assert_array_equal(block.values, [row(i, i == "e") for i in ids])
    outline = store.load_outline(tmp_path, "x")
    assert (outline.shape, outline.dead_rows, outline.spec) == ((7, 2, 3), 3, SPEC)
    assert [rows for rows, _ in outline.layout.chunks] == [4, 3, 3]
    assert not (tmp_path / "partial").exists()
    # what is only taken away costs no row
    size = (tmp_path / "x.npy").stat().st_size
    extend(tmp_path, ["b", "z"], {})
    assert (tmp_path / "x.npy").stat().st_size == size
    np.testing.assert_array_equal(store.load_block(tmp_path, "x").values, [row("b"), row("z")])
    # and where none stays, the file is written anew
    extend(tmp_path, ["b", "q"], {"b": 1, "q": 0})
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), [row("b", 1), row("q")])
    with pytest.raises(ValueError, match="lacks 1 tracks"):
        extend(tmp_path, ["b", "q", "r", "s"], {"s": 0})


@pytest.mark.parametrize("at_once", [2**28, 0], ids=["in memory", "in the file"])
@pytest.mark.usefixtures("small_chunks")
def test_a_block_that_grew_is_for_readers_what_it_is_made_at_once(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(blocks, "_AT_ONCE", at_once)
    grown, fresh = make(tmp_path / "grown"), tmp_path / "fresh"
    ids = ["a", "b", "c", "e", "i", "k", "z"]
    extend(grown, ids, {"b": 0, "e": 1, "z": 0}, invalid=["k"])
    with replace_files(fresh) as folder:
        rows = (row(i, i == "e") for i in ids)
        store.extend_block(fresh, folder, "x", ids, ids, rows, SPEC, invalid=["k"])
    one, other = store.load_block(grown, "x"), store.load_block(fresh, "x")
    assert isinstance(one.values, Rows) == isinstance(other.values, Rows) == (at_once == 0)
    wanted = replace(make_tracks(3), track_id=np.array(["b", "k", "nono"]))
    for a, b in ((one, other), (store.fit_to_tracks(wanted, one), store.fit_to_tracks(wanted, other))):
        np.testing.assert_array_equal(a.track_id, b.track_id)
        np.testing.assert_array_equal(a.valid, b.valid)
        np.testing.assert_array_equal(a.values, b.values)
        assert a.spec == b.spec
    with replace_files(grown) as folder:
        store.compact_block(grown, folder, "x")
    assert contents(grown) == contents(fresh)
    assert isinstance(store.load_block(grown, "x").values, np.memmap) == (at_once > 0)


def test_align_leaves_large_blocks_in_their_file(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "_AT_ONCE", 0)
    tracks = make_tracks(5)
    ids = tracks.track_id.tolist()
    store.write_block(tmp_path, "x", [*ids, "z"], map(row, [*ids, "z"]), SPEC)
    (aligned,) = store.align(tracks, [store.load_block(tmp_path, "x")])
    assert isinstance(aligned.values, Rows)
    np.testing.assert_array_equal(aligned.values, [*map(row, ids)])


def test_rows_that_were_appended_in_vain_do_no_harm(tmp_path):
    make(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="lacks"):
        _append_and_fail(tmp_path)
    assert contents(tmp_path) == before
    # killed while it appended, before the record, and then after all was said
    folder = tmp_path / "partial" / "new"
    folder.mkdir(parents=True)
    store.extend_block(tmp_path, folder, "x", [*IDS, "n"], ["n"], [row("n")], SPEC)
    with open(tmp_path / "x.npy", "ab") as file:
        file.write(b"torn")
    assert store.load_block(tmp_path, "x").track_id.tolist() == IDS
    recover(tmp_path)
    assert contents(tmp_path) == before
    folder.mkdir(parents=True)
    store.extend_block(tmp_path, folder, "x", [*IDS, "n"], ["n"], [row("n")], SPEC)
    (folder / ".complete").touch()
    for _ in range(2):  # readers see what is new before and after the next writer has ended it
        block = store.load_block(tmp_path, "x")
        assert block.track_id.tolist() == [*IDS, "n"]
        np.testing.assert_array_equal(block.values, [*map(row, [*IDS, "n"])])
        recover(tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), block.values)
    assert not (tmp_path / "partial").exists()


def _append_and_fail(root: Path) -> None:
    size = (root / "x.npy").stat().st_size
    with replace_files(root) as folder:
        store.extend_block(root, folder, "x", [*IDS, "n", "o"], ["n", "o"], map(row, "no"), SPEC)
        assert (root / "x.npy").stat().st_size == size + 24
        np.testing.assert_array_equal(store.load_block(root, "x").values, [*map(row, IDS)])
        store.extend_block(root, folder, "x", [*IDS, "n", "p"], ["n"], [row("n")], SPEC)


def test_a_full_disk_while_rows_are_appended_leaves_the_block(tmp_path):
    make(tmp_path)
    before = contents(tmp_path)
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    wide = np.zeros((2, 3), np.float16)
    ids = [f"n{i:04d}" for i in range(2000)]
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before["x.npy"]) + 10_000, most[1]))
        with pytest.raises(OSError, match="too large"), replace_files(tmp_path) as folder:
            store.extend_block(tmp_path, folder, "x", [*IDS, *ids], ids, (wide for _ in ids), SPEC)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert contents(tmp_path) == before


def test_a_block_by_columns_is_written_anew(tmp_path):
    values = np.asfortranarray(np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32))
    store.save_block(tmp_path, Block("x", np.array(["a", "b", "c"]), values, np.ones(3, bool), {"columns": ["i"]}))
    back = store.load_block(tmp_path, "x").values
    np.testing.assert_array_equal(back, values)
    assert back.flags.f_contiguous
    with replace_files(tmp_path) as folder:
        new = np.ones((1, 4), np.float32)
        store.extend_block(tmp_path, folder, "x", ["a", "ab", "c"], ["ab"], new, {"columns": ["i"]})
    np.testing.assert_array_equal(store.load_block(tmp_path, "x").values, [values[0], new[0], values[2]])
    assert store.load_outline(tmp_path, "x").dead_rows == 0


def format_1(root: Path, values: np.ndarray, ids=("a", "b", "c"), **fields) -> None:
    """A block as versions up to 0.3 wrote it."""
    root.mkdir(exist_ok=True)
    np.save(root / "x.npy", values)
    record = {"format": 1, "name": "x", "spec": SPEC, "track_id": [*ids], "invalid": ["b"], **fields}
    (root / "x.json").write_text(json.dumps(record))


def test_blocks_of_format_1_are_read_grow_and_are_told_of_nan(tmp_path):
    values = np.stack([*map(row, "abc")])
    format_1(tmp_path, values)
    block = store.load_block(tmp_path, "x")
    assert isinstance(block.values, np.memmap)
    np.testing.assert_array_equal(block.values, values)
    assert (block.valid.tolist(), block.spec) == ([True, False, True], SPEC)
    extend(tmp_path, ["a", "c", "d"], {"d": 0})
    np.testing.assert_array_equal(store.load_block(tmp_path, "x").values, [*map(row, "acd")])
    assert store.load_outline(tmp_path, "x").dead_rows == 1
    values[1, 0, 0] = np.inf  # b is not valid
    format_1(tmp_path, values)
    assert store.load_block(tmp_path, "x").valid.tolist() == [True, False, True]
    values[2, 0, 0] = np.nan
    format_1(tmp_path / "nan", values)
    with pytest.raises(InputError, match=r"x\.npy: 1 tracks hold NaN or infinity, the first is c: delete the block"):
        store.load_block(tmp_path / "nan", "x")
    assert store.find_damaged(tmp_path / "nan", "x") == ["c"]


def test_a_large_block_of_format_1_is_read_chunk_by_chunk_when_it_is_indexed(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "_AT_ONCE", 0)
    values = np.arange(5 * 2**19, dtype=np.float32).reshape(5, 2**19)  # 2 MiB a row: a chunk each
    format_1(tmp_path, values, ids="abcde")
    found = store.load_block(tmp_path, "x").values
    assert isinstance(found, Rows)
    assert store.load_outline(tmp_path, "x").layout.chunks == ((1, ""),) * 5
    np.testing.assert_array_equal(found[[4, 0]], values[[4, 0]])


def test_a_large_block_of_format_1_grows_and_is_compacted_piece_by_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "_AT_ONCE", 0)
    values = np.ones((48, 2**18), np.float32)  # 48 MiB, a row in each
    ids, spec = [f"t{i:02d}" for i in range(48)], {"shape": [2**18], "dtype": "float32"}
    for change in ("grows", "is compacted"):
        root = tmp_path / change
        format_1(root, values, ids=ids, invalid=[], spec=spec)
        tracemalloc.start()
        with replace_files(root) as folder:
            if change == "grows":
                store.extend_block(root, folder, "x", [*ids, "u"], ["u"], [values[0]], spec)
            else:
                store.compact_block(root, folder, "x")
        assert tracemalloc.get_traced_memory()[1] < 2**25
        tracemalloc.stop()
        outline = store.load_outline(root, "x")
        assert (len(outline.track_id), bool(outline.digest)) == (48 + (change == "grows"), True)
        assert store.find_damaged(root, "x") == []


def test_a_block_that_is_replaced_while_it_is_loaded_is_the_new_one(tmp_path, monkeypatch):
    store.write_block(tmp_path, "x", ["a", "b"], [row("a"), row("b")], SPEC)
    opened, open_values = [], blocks._open_values

    def replace_first(root, outline):
        opened.append(outline)
        if len(opened) == 1:  # another process, between the record and the values
            with replace_files(tmp_path) as folder:
                store.write_block(folder, "x", ["c"], [row("c")], SPEC)
        return open_values(root, outline)

    monkeypatch.setattr(blocks, "_open_values", replace_first)
    found = store.load_block(tmp_path, "x")
    assert (found.track_id.tolist(), len(opened)) == (["c"], 2)
    np.testing.assert_array_equal(found.values, [row("c")])


def test_a_block_that_is_replaced_while_it_is_checked_is_checked_again(tmp_path, monkeypatch):
    store.write_block(tmp_path, "x", ["a", "b"], [row("a"), row("b")], SPEC)
    load_outline = blocks._load_outline

    def replace_after(root, name):
        found = load_outline(root, name)
        if len(found.track_id) == 2:  # another process, between the record and the rows
            with replace_files(tmp_path) as folder:
                store.write_block(folder, "x", ["c"], [row("c")], SPEC)
        return found

    monkeypatch.setattr(blocks, "_load_outline", replace_after)
    assert store.find_damaged(tmp_path, "x") == []


def test_ids_out_of_order_are_not_joined(tmp_path):
    format_1(tmp_path, np.stack([*map(row, "abc")]), ids=("c", "b", "a"))
    with pytest.raises(InputError, match="its track ids are not sorted and unique"):
        store.load_block(tmp_path, "x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": [0, 1, 2, 3, 4, 5, 5]}, "7 tracks do not fit 7 rows"),
        ({"rows": [0, 1, 2, 3, 4, 5, 7]}, "7 tracks do not fit 7 rows"),
        ({"rows": [0, 1]}, "7 tracks do not fit 7 rows"),
        ({"chunks": [[6, "00"]]}, "7 tracks do not fit 6 rows"),
        ({"chunks": [[8, "00"]]}, "its file is cut off"),
        ({"chunks": [[2**62, "00"]]}, "its file is cut off"),
        ({"shape": [2, 4]}, "its file is cut off"),
        ({"dtype": "O"}, "its values are no numbers"),
        ({"dtype": "f4,("}, "names no type of numbers"),
        ({"invalid": ["y"]}, "tracks that are not valid are not among its tracks"),
        ({"track_id": ["a", "c", "e", "g", "i", "m", "k"]}, "not sorted and unique"),
        ({"fortran": True, "rows": [0, 1, 2, 3, 4, 5, 6]}, "columns one after the other"),
        ({"offset": -1}, "damaged"),
        ({"more": 1}, "unknown field"),
        ({"format": 3}, "of format 3, this version reads 1 and 2"),
    ],
)
def test_a_record_that_cannot_be_is_told(tmp_path, change, message):
    make(tmp_path)
    record = json.loads((tmp_path / "x.json").read_text()) | change
    (tmp_path / "x.json").write_text(json.dumps(record))
    if "format" not in change and "more" not in change and "offset" not in change:
        with pytest.raises(InputError, match="its record is not as it was written"):
            store.load_block(tmp_path, "x")
        _sign(tmp_path / "x.json")
    with pytest.raises(InputError, match=message):
        store.load_block(tmp_path, "x")


def _sign(path: Path) -> None:
    """Gives a record that was changed by hand the digest of what it says now."""
    record = blocks.read_record(path, blocks._BlockRecord, remedy="")
    blocks.write_record(path, blocks.replace(record, digest=blocks._digest_record(record)))


def test_a_file_that_is_none_of_rows_is_told(tmp_path):
    make(tmp_path)
    for damage in (lambda path: path.write_text("{"), lambda path: path.mkdir()):
        (tmp_path / "x.npy").unlink()
        damage(tmp_path / "x.npy")
        with pytest.raises(InputError, match=r"x.*(cut off\)|is a folder, not a file): delete it and preprocess again"):
            store.load_block(tmp_path, "x")


@pytest.mark.parametrize("at_once", [2**28, 0], ids=["when it is loaded", "when it is read"])
@pytest.mark.usefixtures("small_chunks")
def test_damage_is_told_dropped_and_made_anew(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(blocks, "_AT_ONCE", at_once)
    make(tmp_path)
    content = bytearray((tmp_path / "x.npy").read_bytes())
    content[128 + 5 * 12] ^= 1
    (tmp_path / "x.npy").write_bytes(content)
    message = r"x\.npy is damaged \(rows 4 to 6 are not as they were written\): python -m experiments\.compact drops"
    with pytest.raises(InputError, match=message):
        np.asarray(store.load_block(tmp_path, "x").values)
    assert store.find_damaged(tmp_path, "x") == ["i", "k", "m"]
    with replace_files(tmp_path) as folder:
        store.compact_block(tmp_path, folder, "x", drop=["i", "k", "m"])
    assert store.load_block(tmp_path, "x").track_id.tolist() == IDS[:4]
    extend(tmp_path, IDS, dict.fromkeys(IDS[4:], 0))
    np.testing.assert_array_equal(store.load_block(tmp_path, "x").values, [*map(row, IDS)])


def test_no_row_that_is_not_finite_is_written(tmp_path):
    broken = np.full((2, 3), np.inf)
    with pytest.raises(InputError, match="block x: track b holds NaN or infinity"):
        store.write_block(tmp_path, "x", ["a", "b"], [row("a"), broken], SPEC)
    with pytest.raises(InputError, match="block x: track b holds NaN"):  # too large for float16
        store.write_block(tmp_path, "x", ["a", "b"], [row("a"), np.full((2, 3), 1e9)], SPEC)
    assert not list(tmp_path.iterdir())
