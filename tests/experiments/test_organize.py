"""`python -m experiments.organize`: playlists of a run, from its folder and the music alone."""

import csv
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from command_line import script
from conftest import make_tracks
from tunes import play, write

from experiments.configs import DEFAULTS
from experiments.study.plan import Plan, write_plan
from experiments.study.song_blocks import read_song_block
from experiments.study.songs import read_songs
from musiclust import store
from musiclust.types import Block

NAMES = ["piano, solo", "metal <b>", "no clear character", "no clear character"]


@pytest.fixture
def place(tmp_path):
    """The files that a finished run leaves of 40 songs in four clusters, on a line; ten artists. No two
    that are near to each other are as long, so that none is taken for a copy."""
    music, run_dir = tmp_path / "music", tmp_path / "run"
    run_dir.mkdir()
    rows = []
    for i in range(40):
        path = music / f"artist {i % 10}" / f"song {i:02d}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(100))
        about = {
            "title": f"Song {i}",
            "artist": f"Artist {i % 10}",
            "album": "Best of",
            "seconds": str(100.0 - 2 * i if i < 30 else 41.0 + 2 * i),
        }
        about |= {
            "class": "slow" if i < 20 else "fast",
            "x": float(i),
            "y": 0.0,
            "confidence": 0.5,
            "certainty": "sure",
        }
        rows.append({"track_id": f"t{i:02d}", "cluster": i // 10, **about, "path": path, "tags": ""})
    write_table(run_dir / "tracks.csv", rows)
    z = np.arange(40)[:, None] + 100.0 * (np.arange(40) // 10)[:, None]
    np.save(run_dir / "latents.npy", np.hstack([z, np.zeros((40, 1))]).astype(np.float32))
    clusters = [{"cluster": number, "name": name} for number, name in enumerate(NAMES)]
    (run_dir / "metrics.json").write_text(json.dumps({"format": 3, "rows": [], "clusters": clusters}))
    write_plan(Plan(DEFAULTS["vae"], tmp_path / "store", run_dir, "python -m experiments.run", music=str(music)))
    return tmp_path


def write_table(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def organize(place, *args, run=None):
    code, out, err = script(place, "organize", f"--run={run or place / 'run'}", *args)
    return code, " ".join(out.split()), " ".join(err.split())


def songs(path):
    """The songs of a playlist, by number, each of whose files is there."""
    lines = path.read_text().splitlines()
    assert lines[0] == "#EXTM3U"
    files = [line for line in lines if not line.startswith("#")]
    assert all((path.parent / file).exists() for file in files)
    return [int(file[-6:-4]) for file in files]


def test_each_cluster_is_a_playlist_by_its_name(place):
    code, out, err = organize(place)
    assert code == 0, err
    folder = place / "run" / "playlists"
    lists = {path.stem: songs(path) for path in folder.glob("*.m3u8")}
    assert {name: sorted(rows) for name, rows in lists.items()} == {
        "piano, solo": list(range(10)),
        "metal -b-": list(range(10, 20)),
        "no clear character": list(range(20, 30)),
        "no clear character (3)": list(range(30, 40)),
    }
    assert lists["piano, solo"] in (list(range(10)), list(range(9, -1, -1)))  # a short way through
    assert "#PLAYLIST:metal <b>\n" in (folder / "metal -b-.m3u8").read_text()
    assert "10 piano, solo" in out
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert organize(place)[0] == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_songs_and_neighbours_are_tables_and_the_map_is_a_page(place):
    rows = table(place / "run" / "tracks.csv")
    rows[7]["title"] = "=HYPERLINK(1)"
    write_table(place / "run" / "tracks.csv", rows)
    code, _, err = organize(place)
    assert code == 0, err
    folder = place / "run" / "playlists"
    found = table(folder / "songs.csv")
    assert [row["track_id"] for row in found] == [f"t{i:02d}" for i in range(40)]
    assert {(row["cluster_name"], row["new"], row["certainty"]) for row in found[30:]} == {
        ("no clear character (3)", "0", "sure")
    }
    assert found[7]["title"] == "'=HYPERLINK(1)"  # no formula to a spreadsheet
    near = table(folder / "neighbours.csv")
    assert len(near) == 40 * 10
    assert {row["neighbour"] for row in near if row["track_id"] == "t05"} == {f"t{i:02d}" for i in range(11)} - {"t05"}
    page = (folder / "map.html").read_text()
    assert "metal <b>" not in page
    assert "Song 39" in page


def test_files_are_followed_and_copies_listed_once(place):
    folder, music = place / "run" / "playlists", place / "music"
    shutil.copyfile(music / "artist 2" / "song 02.mp3", music / "artist 3" / "song 03.mp3")
    assert organize(place)[0] == 0
    assert sorted(songs(folder / "piano, solo.m3u8")) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    (music / "new").mkdir()
    shutil.move(music / "artist 5" / "song 05.mp3", music / "new" / "renamed 05.mp3")
    code, out, err = organize(place)
    assert code == 0, err
    assert "no file here" not in out
    assert "../../music/new/renamed 05.mp3" in (folder / "piano, solo.m3u8").read_text()


def test_a_recording_in_several_encodings_is_listed_once(place):
    """Songs 2, 3 and 4 are one, and so is song 35 of another cluster; 5 is another one of that length."""
    rows = table(place / "run" / "tracks.csv")
    tune, folder = play(1, seconds=9), place / "run" / "playlists"
    files = {
        2: write(place / "music" / "artist 2" / "song 02.mp3", tune, compression_level=0.2),
        3: write(place / "music" / "artist 3" / "song 03.mp3", 0.4 * tune, format="FLAC"),
        5: write(place / "music" / "artist 5" / "song 05.mp3", play(2, seconds=9), format="OGG"),
        35: write(place / "music" / "artist 5" / "song 35.mp3", tune[3000:], compression_level=0.9),
    }
    shutil.copyfile(files[3], place / "music" / "artist 4" / "song 04.mp3")
    for row in (2, 3, 4, 5, 35):
        rows[row]["seconds"] = "9.1"
    rows[35]["title"] = "song 2"
    write_table(place / "run" / "tracks.csv", rows)
    code, out, err = organize(place)
    assert code == 0, err
    assert "hearing songs that may be copies: 4 of 4" in out
    assert "3 of 40 songs are copies of others, by their bytes or sound, and are listed once: see copy_of in" in out
    copies = {row["track_id"]: row["copy_of"] for row in table(folder / "songs.csv") if row["copy_of"]}
    assert copies == {"t03": "t02", "t04": "t02", "t35": "t02"}
    assert sorted(songs(folder / "piano, solo.m3u8")) == [0, 1, 2, 5, 6, 7, 8, 9]
    assert sorted(songs(folder / "no clear character (3).m3u8")) == [30, 31, 32, 33, 34, 36, 37, 38, 39]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (place / "music" / "artist 5" / "song 05.mp3").write_bytes(b"no sound")
    code, out, err = organize(place)
    assert code == 0, err
    assert "hearing songs that may be copies: 1 of 1" in out  # and not the others again
    assert "1 songs could not be compared by their sound, the first is " in out
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name for name in before if after[name] != before[name]} <= {"contents.csv"}
    code, out, err = organize(place, "--like=t35", "--songs=3")
    assert code == 0, err
    assert songs(folder / "like song 2.m3u8").count(35) == 1
    assert not {2, 3, 4} & set(songs(folder / "like song 2.m3u8"))


def test_stretches_of_a_file_are_no_copies_of_each_other(place):
    rows = table(place / "run" / "tracks.csv")
    one, other = place / "music" / "artist 0" / "song 00.mp3", place / "music" / "artist 1" / "song 01.mp3"
    write(one, play(1, seconds=18), format="FLAC")
    shutil.copyfile(one, other)
    for row, path in ((0, f"{one}#t=0,9"), (1, f"{one}#t=9,18"), (2, f"{other}#t=0,9"), (3, f"{other}#t=9,18")):
        rows[row] |= {"path": path, "seconds": "9.0"}
    write_table(place / "run" / "tracks.csv", rows)
    code, _, err = organize(place)
    assert code == 0, err
    found = table(place / "run" / "playlists" / "songs.csv")
    assert [row["copy_of"] for row in found[:5]] == ["", "", "t00", "t01", ""]


def save_words(root, values, valid, embedder="sbert:all", track_id=None, path=None):
    """A store of songs with what is sung in them, as vectors."""
    tracks = make_tracks(len(values))
    tracks = replace(
        tracks,
        track_id=np.array([f"t{i:02d}" for i in range(len(values))]) if track_id is None else track_id,
        path=tracks.path if path is None else path,
    )
    tracks = replace(tracks, group=tracks.track_id)
    store.save_tracks(root, tracks)
    spec = {"shape": [2], "embedder": embedder, "why": embedder}
    store.save_block(root, Block("lyrics", tracks.track_id, values.astype(np.float32), valid, spec))


def test_what_is_sung_may_count_in_what_is_alike(place):
    angle = np.arange(40) % 4 * np.pi / 8  # every fourth song has the same words
    save_words(place / "store", np.column_stack([np.cos(angle), np.sin(angle)]), np.arange(40) != 7)
    path = place / "run" / "playlists" / "like Song 0.m3u8"
    for weight, rows in (("0", [0, 1, 2, 3]), ("1", [0, 4, 8, 12]), ("0.3", [0, 1, 4, 8])):
        code, _, err = organize(place, "--like=t00", f"--words_weight={weight}", "--songs=4")
        assert code == 0, err
        assert sorted(songs(path)) == rows
    code, _, err = organize(place, "--like=t00", "--like=t07", "--words_weight=0.5")
    assert code == 1
    assert "'t07' has no words that others could be like: leave out --words_weight" in err
    shutil.rmtree(place / "store")
    code, _, err = organize(place, "--like=t00", "--words_weight=0.5")
    assert code == 1
    assert f"since the run's store is not at {place / 'store'} (give --store=<where it is now>)" in err


def test_words_of_new_songs_count_where_one_model_made_them(place):
    values = np.eye(2)[np.arange(40) % 2]
    save_words(place / "store", values, np.ones(40, bool))
    known = read_songs(place / "run")
    new = known._replace(track_id=np.append(known.track_id, ["/new/a.mp3", "/new/b.mp3"]), song=[*known.song] * 2)
    new = new._replace(song=new.song[:42])
    for embedder, heard in (("sbert:all", [True, False]), ("sbert:other", [False, False])):
        shutil.rmtree(place / "run" / "new_songs", ignore_errors=True)
        home = place / "run" / "new_songs" / "new"
        ids, path = np.array(["a.mp3", "b.mp3"]), np.array(["/new/a.mp3", "/new/b.mp3"])
        save_words(home, np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([True, False]), embedder, ids, path)
        block = read_song_block(place / "run", new, place / "store", "lyrics")
        assert block is not None
        assert block.valid.tolist() == [True] * 40 + heard
        np.testing.assert_array_equal(block.values[40], [0, 1] if heard[0] else [0, 0])
    # Vectors of TF-IDF mean something within the store alone that they were fitted to.
    for root, count, more in ((place / "store", 40, {}), (home, 2, {"track_id": ids, "path": path})):
        save_words(root, np.ones((count, 2)), np.ones(count, bool), "tfidf-svd", **more)
    block = read_song_block(place / "run", new, place / "store", "lyrics")
    assert block is not None
    assert block.valid.tolist() == [True] * 40 + [False] * 2


def test_the_next_run_keeps_names_and_files(place):
    out = place / "lists"
    assert organize(place, f"--out={out}")[0] == 0
    path = out / "piano, solo.m3u8"
    path.write_text(path.read_text() + "mine.mp3\n")
    after = shutil.copytree(place / "run", place / "after")
    rows = table(after / "tracks.csv")
    for row in rows:  # the clusters in another order, two songs in another one, and other names
        row["cluster"] = "2" if row["track_id"] in ("t00", "t01") else str(3 - int(row["cluster"]))
    write_table(after / "tracks.csv", rows)
    clusters = [{"cluster": number, "name": f"other {number}"} for number in range(4)]
    (after / "metrics.json").write_text(json.dumps({"format": 3, "rows": [], "clusters": clusters}))
    code, told, err = organize(place, f"--out={out}", run=after)
    assert code == 0, err
    assert "piano, solo.m3u8 was edited and stays as it is" in told
    names = {"piano, solo", "metal -b-", "no clear character", "no clear character (3)"}
    assert {path.stem for path in out.glob("*.m3u8")} == names
    assert sorted(songs(out / "metal -b-.m3u8")) == [0, 1, *range(10, 20)]


@pytest.mark.parametrize(
    ("args", "rows"),
    [
        (["--path=*/song 0*"], range(10)),
        (["--class=slow"], range(20)),
        (["--seconds=101-200"], range(30, 40)),
        (["--class=slow", "--class=fast", "--path=*/artist 7/*"], range(7, 40, 10)),
    ],
)
def test_which_songs_may_be_taken(place, args, rows):
    code, _, err = organize(place, *args)
    assert code == 0, err
    lists = (place / "run" / "playlists").glob("*.m3u8")
    assert sorted(row for path in lists for row in songs(path)) == list(rows)


def test_words_are_asked_of_what_clap_has_heard(place):
    """The model that reads is tried in test_ask_words; here a store says which model heard its songs."""
    pytest.importorskip("transformers")
    tracks = make_tracks(40)
    tracks.track_id[:] = [f"t{i:02d}" for i in range(40)]
    store.save_tracks(place / "store", tracks)
    spec = {"model": "owner/tiny", "weights": "of the hub", "columns": []}
    store.save_block(
        place / "store", Block("clap", tracks.track_id, np.ones((40, 4), np.float32), np.arange(40) < 9, spec)
    )
    block = read_song_block(place / "run", read_songs(place / "run"), place / "store", "clap")
    assert block is not None
    assert (int(block.valid.sum()), block.valid[8], block.values[8].tolist()) == (9, True, [1, 1, 1, 1])
    code, _, err = organize(place, "--like=calm piano", f"--embedding=clap:{place}")
    assert code == 1
    assert "holds no CLAP model as transformers saves it" in err
    shutil.move(place / "store", place / "moved")
    assert (
        f"since its store is not at {place / 'store'} (give --store=<where it is now>)"
        in organize(place, "--like=calm")[2]
    )
    code, _, err = organize(place, "--like=calm piano", f"--embedding=clap:{place}", f"--store={place / 'moved'}")
    assert "holds no CLAP model as transformers saves it" in err


def test_tags_are_proposed_written_if_asked_and_undone(place):
    music = sorted((place / "music").rglob("*.mp3"))
    sound = bytes([0xFF, 0xFB, 0x90, 0x44]) + bytes(413)
    for path in music[1:]:
        path.write_bytes(sound + path.name.encode())
    rows = table(place / "run" / "tracks.csv")
    rows[39]["cluster"] = "-1"
    write_table(place / "run" / "tracks.csv", rows)
    before = {path: path.read_bytes() for path in music}
    code, out, err = organize(place, "--tags=propose")
    assert code == 0, err
    assert "19 of 20 files would change, and none has" in out
    assert "1 files are not written: neither mp3 nor FLAC" in out  # the noise that song 0 is
    proposed = table(place / "run" / "playlists" / "tags.csv")
    # None for the song without a cluster, and none for clusters that have no name of their own.
    assert [row["grouping_proposed"] for row in proposed] == ["", *(NAMES[i // 10] for i in range(1, 20))]
    assert {path: path.read_bytes() for path in music} == before
    code, out, err = organize(place, "--tags=write")
    assert code == 0, err
    assert "19 files have a new tag" in out
    after = {path: path.read_bytes() for path in music}
    assert sum(after[path] != before[path] for path in music) == 19
    assert b"metal <b>" in after[place / "music" / "artist 2" / "song 12.mp3"]
    assert "0 of 20 files would change" in organize(place, "--tags=propose")[1]
    code, out, err = organize(place, "--tags=undo")
    assert code == 0, err
    assert "19 files are as they were" in out
    assert {path: path.read_bytes() for path in music} == before
    code, _, err = organize(place, "--tags=undo")
    assert code == 1
    assert "no tags were written that could be undone" in err


def test_edits_stay_until_they_are_given_up(place):
    assert organize(place)[0] == 0
    path = place / "run" / "playlists" / "piano, solo.m3u8"
    path.write_text(path.read_text() + "mine.mp3\n")
    code, out, _ = organize(place)
    assert code == 0
    assert "piano, solo.m3u8 was edited and stays as it is" in out.replace("\n", "")
    assert path.read_text().endswith("mine.mp3\n")
    assert organize(place, "--force")[0] == 0
    assert "mine" not in path.read_text()


def test_songs_like_a_song_and_a_path_between_two(place):
    folder = place / "out"
    assert organize(place, f"--out={folder}")[0] == 0
    file = place / "music" / "artist 5" / "song 05.mp3"
    code, _, err = organize(place, f"--out={folder}", f"--like={file}", "--songs=5")
    assert code == 0, err
    assert sorted(songs(folder / "like Song 5.m3u8")) == [3, 4, 5, 6, 7]
    code, _, err = organize(place, f"--out={folder}", "--from=t00", "--to=Song 39", "--songs=4")
    assert code == 0, err
    path = songs(folder / "from Song 0 to Song 39.m3u8")
    assert (path[0], path[-1], len(path), path == sorted(path)) == (0, 39, 4, True)
    assert (folder / "piano, solo.m3u8").exists()  # what was there stays


def test_a_name_with_a_line_break_costs_itself(place):
    old, new = place / "music" / "artist 3" / "song 03.mp3", place / "music" / "artist 3" / "song\u2028 03.mp3"
    old.rename(new)
    table = place / "run" / "tracks.csv"
    table.write_text(table.read_text().replace(str(old), str(new)))
    code, out, err = organize(place)
    assert code == 0, err
    assert "1 songs are left out of the lists: no .m3u8 can hold a line break in a name" in out
    assert sorted(songs(place / "run" / "playlists" / "piano, solo.m3u8")) == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def test_limits_and_formats(place):
    code, _, err = organize(place, "--like=t05", "--songs=30", "--per_artist=1", "--minutes=9.2", "--format=xspf,m3u8")
    assert code == 0, err
    folder = place / "run" / "playlists"
    rows = songs(folder / "like Song 5.m3u8")
    assert len(rows) == 6
    assert sum(100 - 2 * row for row in rows) <= 552
    assert len({row % 10 for row in rows}) == 6
    assert "<title>like Song 5</title>" in (folder / "like Song 5.xspf").read_text()
    code, _, err = organize(place, "--base_path=/storage/Music")
    assert code == 0, err
    assert "\n/storage/Music/artist 3/song 03.mp3\n" in (folder / "piano, solo.m3u8").read_text()


def test_music_that_has_moved(place):
    shutil.move(place / "music", place / "elsewhere")
    code, _, err = organize(place)
    assert code == 1
    assert "none of the 40 files of the run is there: name their folder by --music_dir" in err
    (place / "elsewhere" / "artist 0" / "song 00.mp3").unlink()
    code, out, err = organize(place, f"--music_dir={place / 'elsewhere'}")
    assert code == 0, err
    assert "1 of 40 songs have no file here and are in no playlist" in out
    assert sorted(songs(place / "run" / "playlists" / "piano, solo.m3u8")) == list(range(1, 10))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--like=nobody",), "the run has no song 'nobody' (give its file, its track_id or its title)"),
        (("--like=t01", "--like=nobody"), "the run has no song 'nobody': give its file, its track_id or its title"),
        (("--from=t01", "--to=nobody"), "the run has no song 'nobody': give its file, its track_id or its title"),
        (("--from=t01",), "a path needs both ends"),
        (("--from=t01", "--to=t01"), "give two different rows"),
        (("--like=t01", "--from=t01", "--to=t02"), "are two playlists: give one of them"),
        (("--words_weight=0.5",), "--words_weight=0.5 is for songs like a song: give --like=..."),
        (
            ("--like=calm", "--words_weight=0.5"),
            "the run has no song 'calm', and --words_weight is for songs like a song",
        ),
        (("--format=pls",), "--format=pls: choose from m3u8, xspf"),
        (("--tags=write", "--like=t01"), "--tags=write goes by clusters: leave out --like, --from and --to"),
        (("--minutes=0.5",), "no song is left by these limits"),
        (("--music_dir=/nowhere",), "there is no such folder"),
        (("--audio_dir=/nowhere",), "--audio_dir=/nowhere: there is no such folder"),
        (("--class=loud",), "--class=loud: the run has fast, slow"),
        (("--seconds=60",), "--seconds=60: write the shortest and the longest, as 90-600"),
        (("--seconds=1-2",), "none of the 40 songs is left by --path, --class and --seconds"),
    ],
)
def test_bad_input_gets_one_line(place, args, message):
    code, _, err = organize(place, *args)
    assert code == 1
    assert message in err
    assert err.count("error:") == 1


def test_a_title_that_several_songs_have_is_asked_about(place):
    table = place / "run" / "tracks.csv"
    table.write_text(table.read_text().replace("Song 1,", "Song 2,"))
    code, _, err = organize(place, "--like=Song 2")
    assert code == 1
    assert "'Song 2' is 2 songs of the run (t01, t02): give the track_id of one" in err


def test_songs_outside_of_the_folder_of_the_music_are_refused(place):
    secret = place / "secret.mp3"
    secret.write_bytes(b"private" * 20)
    rows = table(place / "run" / "tracks.csv")
    rows[3]["path"] = str(secret)
    write_table(place / "run" / "tracks.csv", rows)
    code, _, err = organize(place, "--previews")
    assert code == 1
    assert f"has the path {secret}, which is not below {place / 'music'}: add --trust_paths" in err
    assert not (place / "run" / "playlists" / "map.html").exists()
    code, _, err = organize(place, "--trust_paths")
    assert code == 0, err
    assert "secret.mp3" in (place / "run" / "playlists" / "piano, solo.m3u8").read_text()
    rows[3]["path"] = f"{place}/music/../secret.mp3"
    write_table(place / "run" / "tracks.csv", rows)
    code, _, err = organize(place, f"--music_dir={place / 'music'}")
    assert code == 1
    assert "music/../secret.mp3, which is not below" in err


def test_a_run_that_does_not_tell_where_its_music_is_is_told_so(place):
    write_plan(Plan(DEFAULTS["vae"], place / "store", place / "run", "python -m experiments.run"))
    code, _, err = organize(place)
    assert code == 1
    assert (
        "does not tell which folder its music is in, as runs of earlier versions do not: name it by --music_dir" in err
    )
    assert organize(place, f"--music_dir={place / 'music'}")[0] == 0


def test_what_a_killed_run_left_is_removed_before_anything_is_written(place):
    folder = place / "run" / "playlists"
    folder.mkdir()
    gone = 2**22 + 7  # above the largest number that Linux gives a process
    (folder / f".songs.csv.{gone}.tmp").write_text("half")
    (folder / f".songs.csv.{os.getpid()}.tmp").write_text("somebody is writing it")
    assert organize(place)[0] == 0
    assert [path.name for path in folder.glob(".*")] == [f".songs.csv.{os.getpid()}.tmp"]


def test_what_is_no_finished_run_is_named(place):
    for name in ("latents.npy", "tracks.csv", "metrics.json"):
        broken = shutil.copytree(place / "run", place / f"no {name}")
        (broken / name).unlink()
        assert f"has no {name}: give the folder of a finished run" in organize(place, run=broken)[2]
    np.save(place / "run" / "latents.npy", np.zeros((3, 2)))
    assert "is damaged or of another version (40 songs and latents of shape (3, 2))" in organize(place)[2]
