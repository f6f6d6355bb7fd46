"""compact: a store without what no track needs, equal to one that was made at once."""

import re
from pathlib import Path

import numpy as np
import pytest
from command_line import script
from conftest import make_tracks

from musiclust import store
from musiclust.errors import InputError
from musiclust.preprocess.writing.compact import compact_store
from musiclust.preprocess.writing.lock import lock_store
from musiclust.preprocess.writing.swap import replace_files
from musiclust.types import JOINED

SPEC = {"shape": [3], "dtype": "float32", "extractor_version": 1}
IDS = make_tracks(6).track_id.tolist()


def rows(ids: list[str]) -> list[np.ndarray]:
    return [np.full(3, int(track_id[1:]), np.float32) for track_id in ids]


def make(root: Path, *names: str) -> Path:
    """A store whose blocks grew: it holds all of IDS, but for the second."""
    for name in names:
        store.write_block(root, name, IDS[1:4], rows(IDS[1:4]), SPEC)
        with replace_files(root) as folder:
            fresh = [IDS[0], IDS[4], IDS[5]]
            store.extend_block(root, folder, name, [IDS[0], *IDS[2:]], fresh, rows(fresh), SPEC)
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir()}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_compacted_store_is_one_that_was_made_at_once(tmp_path):
    root, stages = make(tmp_path / "store", "a", "b"), []
    before = contents(root)
    checked = compact_store(root, lambda *report: None, check=True)
    assert contents(root) == before
    assert [(one.name, one.rows, one.damaged) for one in checked] == [("a", 6, []), ("b", 6, [])]
    compacted = compact_store(root, lambda *report: stages.append(report))
    assert [one[:5] for one in compacted] == [("a", 5, 6, 60, 72), ("b", 5, 6, 60, 72)]
    for name in "ab":
        store.write_block(tmp_path / "fresh", name, [IDS[0], *IDS[2:]], rows([IDS[0], *IDS[2:]]), SPEC)
    assert contents(root) == contents(tmp_path / "fresh")
    assert stages[-1] == ("reading blocks", 2, 2)
    stamp = (root / "a.npy").stat().st_mtime_ns
    compact_store(root, lambda *report: None)
    assert (root / "a.npy").stat().st_mtime_ns == stamp


def test_damaged_rows_are_dropped_and_a_block_of_nothing_else_is_removed(tmp_path):
    root = make(tmp_path, "a", "b")
    store.write_block(root, "c", IDS[:2], rows(IDS[:2]), SPEC)
    flip(root / "b.npy")
    flip(root / "c.npy")
    lost = {one.name: one.damaged for one in compact_store(root, lambda *report: None)}
    assert lost == {"a": [], "b": [IDS[0], *IDS[4:]], "c": IDS[:2]}
    assert store.block_names(root) == ["a", "b"]
    assert store.load_block(root, "b").track_id.tolist() == IDS[2:4]
    with pytest.raises(InputError, match="has no blocks: name the folder of a store in `store`"):
        compact_store(tmp_path / "nowhere", lambda *report: None)


def test_a_block_of_a_table_says_which_table_brings_it_back(tmp_path):
    root = tmp_path / "store"
    store.write_block(root, "muq", IDS, rows(IDS), {**SPEC, JOINED: "/data/emb.csv"})
    store.save_tracks(root, make_tracks(2))
    flip(root / "muq.npy")
    with pytest.raises(InputError, match=r"compact drops them, and .* `table=/data/emb.csv` brings them back"):
        store.load_block(root, "muq")
    _, out, _ = script(tmp_path, "compact", f"--store={root}")
    assert "preprocess the store again with --table=/data/emb.csv --block='muq:...'" in " ".join(out.split())


def test_checking_neither_waits_for_a_writer_nor_ends_what_it_began(tmp_path):
    root = make(tmp_path, "a")
    pending = root / "partial" / "new"
    store.write_block(pending, "a", IDS[:2], rows(IDS[:2]), SPEC)
    (pending / ".complete").touch()
    with lock_store(root):  # as a run of the preprocessing stage holds it
        (found,) = compact_store(root, lambda *report: None, check=True)
    assert (found.rows, found.damaged) == (2, [])
    assert (pending / "a.npy").exists()


def test_the_command_says_what_is_damaged(tmp_path):
    root = make(tmp_path / "store", "a", "b")
    flip(root / "b.npy")
    status, out, _ = script(tmp_path, "compact", f"--store={root}", "--check")
    assert status == 1
    assert f"b: the features of 3 tracks are damaged ('{IDS[0]}', '{IDS[4]}', '{IDS[5]}')" in out
    status, out, _ = script(tmp_path, "compact", f"--store={root}")
    assert status == 0
    assert re.search(r"were damaged, and are dropped \(.*\): preprocess the store again\n", out)
    status, _, err = script(tmp_path, "compact", f"--store={tmp_path / 'none'}")
    assert status == 1
    assert "name the folder of a store in --store" in err
