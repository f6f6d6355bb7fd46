"""Paths of a store or a run that lead out of the folder of its music are refused, unless its maker is trusted."""

import os
from dataclasses import replace

import numpy as np
import pytest
from conftest import make_store, make_tracks

from experiments.study.trusted_paths import check_run, check_store, find_music, find_stray
from musiclust import store
from musiclust.errors import InputError


def save_paths(root, *paths, **source):
    """A store of songs that lie at these paths."""
    root.mkdir(exist_ok=True)
    store.save_tracks(root, replace(make_tracks(len(paths)), path=np.array(paths, dtype=str)))
    if source:
        store.save_corpus(root, source)
    return root


@pytest.mark.parametrize(
    "path",
    [
        "/elsewhere/diary.mp3",
        "/music/../elsewhere/diary.mp3",
        "/music/a/../../elsewhere/diary.mp3#t=0,10",
        "/musical/a.mp3",
        "/music",
        "diary.mp3",
        "../diary.mp3",
    ],
)
def test_a_path_that_leads_out_is_found(tmp_path, path):
    inside = ["/music/a.mp3", "/music/..b/c..mp3", "/music/d.mp3#t=10,20", ""]
    assert find_stray(inside, "/music") is None
    assert find_stray([*inside, path], "/music") == path
    assert find_stray([*inside, path], "/music/") == path
    assert find_stray(["/a.mp3"], "/") is None
    root = save_paths(tmp_path / "store", *inside, path, corpus="folder", audio_dir="/music")
    with pytest.raises(
        InputError, match="which is not below /music, the folder of its music: add --trust_paths"
    ) as told:
        check_store(root)
    assert f"has the path {path}," in str(told.value)
    with pytest.raises(InputError, match="which is not below /music: add --trust_paths"):
        check_run(tmp_path, [*inside, path], "/music", music_dir=None)


def test_stores_of_today_are_taken_and_of_tables_too(tmp_path):
    root = save_paths(tmp_path / "store", "/music/a.mp3", "/music/b/c.mp3#t=0,10", corpus="gtzan", audio_dir="/music")
    check_store(root)
    assert find_music(root) == "/music"
    check_store(make_store(tmp_path / "table", 6))  # without audio there are no paths
    assert find_music(tmp_path / "table") == ""


def test_a_folder_that_is_not_known_is_asked_for(tmp_path):
    root = save_paths(tmp_path / "store", "/music/a.mp3")
    with pytest.raises(InputError, match="does not tell which folder its music is in: add --trust_paths"):
        check_store(root)
    with pytest.raises(InputError, match=r"name it by --music_dir \(the first song is /music/a.mp3\), or add"):
        check_run(tmp_path, ["", "/music/a.mp3"], "", music_dir=None)
    check_run(tmp_path, ["/music/a.mp3"], "", music_dir="/elsewhere")  # where all of them are looked for
    with pytest.raises(InputError, match=r"has the path /music/../a.mp3, which is not below /elsewhere"):
        check_run(tmp_path, ["/music/b.mp3", "/music/../a.mp3"], "", music_dir="/elsewhere")


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_links_in_the_named_folder_are_its_owners(tmp_path):
    """A music folder often has links to other disks; nobody else can lay one there."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.mp3").touch()
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "more").symlink_to(tmp_path / "disk")
    path = str(tmp_path / "music" / "more" / "a.mp3")
    check_store(save_paths(tmp_path / "store", path, corpus="folder", audio_dir=str(tmp_path / "music")))
