"""swap: files that are replaced as one."""

import os
from pathlib import Path

import pytest
from conftest import make_tracks

from musiclust import store
from musiclust.preprocess.writing import swap


def test_a_crash_amid_replacing_files_leaves_all_of_them_old_or_new(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text("old")
    crash = RuntimeError("while writing")

    def replace(text: str) -> None:
        with swap.replace_files(tmp_path) as folder:
            for name in ("a", "b"):
                (folder / name).write_text(text)
            if text == "broken":
                raise crash

    with pytest.raises(RuntimeError, match="while writing"):
        replace("broken")
    assert [(tmp_path / name).read_text() for name in ("a", "b")] == ["old", "old"]
    replace("new")
    assert [(tmp_path / name).read_text() for name in ("a", "b")] == ["new", "new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    # killed before the mark, then after it and one move
    folder = tmp_path / "partial" / "new"
    folder.mkdir(parents=True)
    (folder / "a").write_text("newer")
    swap.recover(tmp_path)
    assert [(tmp_path / name).read_text() for name in ("a", "b")] == ["new", "new"]
    folder.mkdir(parents=True)
    (folder / "b").write_text("newer")
    (folder / ".complete").touch()
    (tmp_path / "a").write_text("newer")
    swap.recover(tmp_path)
    assert [(tmp_path / name).read_text() for name in ("a", "b")] == ["newer", "newer"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("recovered", [True, False])
def test_a_stop_amid_the_moves_leaves_a_store_that_is_taken(tmp_path, monkeypatch, recovered):
    """The digests that the stage notes as it ends are of the files that count, be they moved or not."""
    old, new = ({"a": store.FileRecord(store.Stamp(1, time), 1.0, "")} for time in (2, 3))
    with store.writing(tmp_path):
        store.save_tracks(tmp_path, make_tracks(1))
        store.save_files(tmp_path, old)

    move = os.replace

    def stop(source, target):
        if Path(target).name == "files.csv" and Path(target).parent == tmp_path:
            raise KeyboardInterrupt
        move(source, target)

    def change() -> None:
        with store.writing(tmp_path), swap.replace_files(tmp_path) as folder:
            store.save_tracks(folder, make_tracks(2))
            store.save_files(folder, new)
            monkeypatch.setattr(os, "replace", stop)

    with pytest.raises(KeyboardInterrupt):
        change()
    monkeypatch.setattr(os, "replace", move)
    assert (tmp_path / "partial" / "new" / "files.csv").exists()
    if recovered:
        swap.recover(tmp_path)  # as `experiments.compact` does first
    with store.writing(tmp_path):
        swap.recover(tmp_path)
    assert store.load_files(tmp_path) == new
    assert len(store.load_tracks(tmp_path)) == 2
