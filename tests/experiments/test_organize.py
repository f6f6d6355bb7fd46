"""`python -m experiments.organize`: playlists of a run, from its folder and the music alone."""

import csv
import json
import os
import shutil

import numpy as np
import pytest
from command_line import script
from conftest import make_tracks

from experiments.configs import DEFAULTS
from experiments.study.heard import read_heard
from experiments.study.plan import Plan, write_plan
from experiments.study.songs import read_songs
from musiclust import store
from musiclust.types import Block

NAMES = ["piano, solo", "metal <b>", "no clear character", "no clear character"]


@pytest.fixture
def place(tmp_path):
    """The files that a finished run leaves of 40 songs in four clusters, on a line; ten artists, 100 s each."""
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
            "seconds": str(100.0 + i // 30),
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
    block = read_heard(place / "run", read_songs(place / "run"), place / "store")
    assert block is not None
    assert (block.track_id[8], int(block.valid.sum()), block.values[8].tolist()) == ("t08", 9, [1, 1, 1, 1])
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


def test_limits_and_formats(place):
    code, _, err = organize(place, "--like=t05", "--songs=30", "--per_artist=1", "--minutes=10", "--format=xspf,m3u8")
    assert code == 0, err
    folder = place / "run" / "playlists"
    rows = songs(folder / "like Song 5.m3u8")
    assert len(rows) == 6  # of 100 s each
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
        (("--format=pls",), "--format=pls: choose from m3u8, xspf"),
        (("--tags=write", "--like=t01"), "--tags=write goes by clusters: leave out --like, --from and --to"),
        (("--minutes=1",), "no song is left by these limits"),
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
