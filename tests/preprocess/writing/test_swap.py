"""swap: files that are replaced as one."""

import pytest

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
