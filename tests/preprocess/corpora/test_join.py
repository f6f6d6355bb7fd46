"""join: features made elsewhere, joined to the tracks of a corpus by id or path."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import script

from musiclust import store
from musiclust.errors import InputError
from musiclust.preprocess import pipeline
from musiclust.preprocess.audio import features
from musiclust.preprocess.corpora.base import Corpus, Request, TableRequest
from musiclust.preprocess.corpora.folder import folder
from musiclust.preprocess.corpora.gtzan import gtzan
from musiclust.preprocess.corpora.join import join_table
from musiclust.types import Block

FILES = ("jazz/a.mp3", "jazz/b.mp3", "rock/b.ogg", "rock/blues.00000.wav", "c.flac")


def touch(root: Path, *names: str) -> Corpus:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return folder(Request(audio_dir=root))


def write(path: Path, rows: dict[str, float], header: str = "filename,x") -> Path:
    path.write_text(header + "\n" + "".join(f"{name},{value}\n" for name, value in rows.items()), encoding="utf-8")
    return path


def join(corpus: Corpus, path: Path, **options) -> tuple[list[Block], list[tuple[str, str]]]:
    joined = join_table(corpus, TableRequest(path, **options))
    assert joined.source == corpus.source  # the store stays that of its corpus, with a table or without
    return list(joined.blocks), list(joined.warnings)


def joined_values(corpus: Corpus, path: Path, **options) -> dict[str, float]:
    [block], _ = join(corpus, path, **options)
    values = dict(zip(block.track_id.tolist(), block.values[:, 0].tolist(), strict=True))
    assert not block.values[~block.valid].any()
    return {track_id: values[track_id] for track_id in block.track_id[block.valid].tolist()}


@pytest.mark.parametrize(
    ("name", "track_id"),
    [
        ("jazz/a", "jazz/a"),  # the id
        ("jazz/a.mp3", "jazz/a"),  # the path below the folder
        ("./jazz/a.mp3", "jazz/a"),
        ("a.mp3", "jazz/a"),
        ("a", "jazz/a"),
        ("a.wav", "jazz/a"),  # converted before it was embedded
        ("/old/disk/music/jazz/a.mp3", "jazz/a"),
        ("D:\\music\\jazz\\a.mp3", "jazz/a"),
        ("b.ogg", "rock/b"),  # the other b is an mp3
        ("rock/b.wav", "rock/b"),
        ("blues.00000.wav", "rock/blues.00000"),
        ("blues.00000", "rock/blues.00000"),
        ("/elsewhere/c.flac", "c"),
    ],
)
def test_a_row_finds_its_track(tmp_path, name, track_id):
    corpus = touch(tmp_path / "music", *FILES)
    assert joined_values(corpus, write(tmp_path / "t.csv", {name: 1.5, "rock/a.mp3": 7.0})) == {track_id: 1.5}


def test_an_absolute_path_and_another_spelling_of_a_letter(tmp_path):
    corpus = touch(tmp_path / "music", unicodedata.normalize("NFD", "jazz/é.mp3"), "x.mp3")
    rows = {unicodedata.normalize("NFD", "é"): 1.0, str(tmp_path / "music" / "x.mp3"): 2.0}
    assert joined_values(corpus, write(tmp_path / "t.csv", rows)) == {"jazz/é": 1.0, "x": 2.0}


def test_an_id_comes_before_a_file_name(tmp_path):
    corpus = touch(tmp_path / "music", "a.mp3", "jazz/a.mp3")
    assert joined_values(corpus, write(tmp_path / "t.csv", {"a": 1.0, "jazz/a": 2.0})) == {"a": 1.0, "jazz/a": 2.0}


def test_tracks_that_the_table_lacks_are_not_valid_and_strange_rows_are_told(tmp_path):
    corpus = touch(tmp_path / "music", *FILES)
    table = tmp_path / "muq.csv"
    table.write_text("path,muq_0,muq_1,note\nc.flac,1,2,x\nzzz.mp3,3,4,y\nb.ogg,nan,5,z\nyyy.mp3,3,4,y\na.mp3,6,7,-\n")
    [block, second], warnings = join(corpus, table, block=(("muq", "muq*"), ("half", "muq_1")))
    assert (block.name, second.name) == ("muq", "half")
    assert block.track_id.tolist() == corpus.tracks.track_id.tolist() == sorted(corpus.tracks.track_id)
    assert block.track_id[block.valid].tolist() == ["c", "jazz/a"]
    np.testing.assert_array_equal(block.values[block.valid], np.array([[1, 2], [6, 7]], np.float32))
    assert block.spec["columns"] == ["muq_0", "muq_1"]
    np.testing.assert_array_equal(second.values[:, 0], block.values[:, 1])
    assert warnings == [
        ("muq.csv", "2 of 5 rows match no track: zzz.mp3, yyy.mp3"),
        ("muq.csv, b.ogg", "not taken, NaN in muq_0"),
    ]


def test_an_array_goes_by_the_rows_of_its_tracks_table(tmp_path):
    corpus = touch(tmp_path / "music", *FILES)
    values = np.random.default_rng(0).normal(size=(3, 512)).astype(np.float32)
    np.save(tmp_path / "clap.npy", values)
    names = tmp_path / "names.csv"
    names.write_text("n,path,by\n1,music/c.flac,X\n2,music/rock/b.ogg,Y\n3,music/gone.wav,Z\n")
    [block], warnings = join(corpus, tmp_path / "clap.npy", tracks_table=names, id_column="path")
    assert block.name == "table"
    assert block.track_id[block.valid].tolist() == ["c", "rock/b"]
    np.testing.assert_array_equal(block.values[block.valid], values[:2])
    assert warnings == [("clap.npy", "1 of 3 rows match no track: music/gone.wav")]


def test_features_of_gtzan_go_with_its_sound(tmp_path):
    touch(tmp_path / "genres", "blues/blues.00000.wav", "rock/rock.00001.wav")
    corpus = gtzan(Request(audio_dir=tmp_path / "genres"))
    rows = {"blues.00000.wav": 1.0, "rock.00001.wav": 2.0}
    assert joined_values(corpus, write(tmp_path / "f.csv", rows)) == {"blues/blues.00000": 1.0, "rock/rock.00001": 2.0}


def test_what_cannot_be_joined_is_one_line(tmp_path):
    corpus = touch(tmp_path / "music", *FILES)
    numbers = tmp_path / "numbers.csv"
    numbers.write_text("x,y\n1,2\n3,4\n")
    np.save(tmp_path / "x.npy", np.ones((2, 3)))
    anonymous = tmp_path / "anonymous.csv"
    anonymous.write_text("n\n1\n2\n")
    for path, options, message in (
        (write(tmp_path / "1.csv", {"b": 1}), {}, r"1 of its rows could be several tracks \(b is jazz/b or rock/b\)"),
        (
            write(tmp_path / "2.csv", {"a": 1, "jazz/a.mp3": 2}),
            {},
            r"1 tracks have several rows \(jazz/a by a and jazz/a",
        ),
        (
            write(tmp_path / "3.csv", {"q": 1, "r": 2}),
            {},
            r"none of its 2 rows names one of the 5 tracks \('q' there, 'c'",
        ),
        (write(tmp_path / "4.csv", {"a": "nan", "q": 2}), {}, "each row that belongs to a track lacks a number"),
        (numbers, {}, "numbers.csv has no column of ids or paths: name it with `id_column`"),
        (tmp_path / "x.npy", {}, "x.npy has no ids: name the table that has them, `tracks_table=<file.csv>`"),
        (tmp_path / "x.npy", {"tracks_table": anonymous}, "anonymous.csv has no column of ids or paths"),
        (numbers, {"tracks_table": anonymous}, "has ids itself: leave out `tracks_table`"),
        (tmp_path / "none.csv", {}, "none.csv: no such file"),
    ):
        with pytest.raises(InputError, match=message):
            join(corpus, path, **options)
    table = write(tmp_path / "5.csv", {"a": 1})
    brought = Block("muq", corpus.tracks.track_id, np.ones((5, 1)), np.ones(5, bool))
    with pytest.raises(InputError, match="the corpus itself has the block muq"):
        join(corpus._replace(blocks=[brought]), table, block=(("muq", "*"),))


def noise(path: Path, seed: int) -> None:
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.3, 0.3, 22_050), 22_050)


@pytest.mark.slow
def test_joined_blocks_stay_in_the_store_as_its_tracks_come_and_go(tmp_path):
    music, root = tmp_path / "music", tmp_path / "store"
    for seed, name in enumerate(("a", "b", "c")):
        noise(music / f"{name}.wav", seed)
    table = TableRequest(write(tmp_path / "t.csv", {"a.wav": 1.0, "b.wav": 2.0}), block=(("muq", "*"),))
    corpus = folder(Request(audio_dir=music))
    summary = pipeline.preprocess(join_table(corpus, table), root, embedder="tfidf")
    assert summary.blocks["muq"] == ((3, 1), "float32", 2)
    assert store.load_block(root, "muq").values[:, 0].tolist() == [1, 2, 0]
    before = (root / "muq.npy").stat().st_mtime_ns
    # another table brings another block, and this one stays untouched
    other = TableRequest(write(tmp_path / "u.csv", {"c": 5.0}), block=(("mert", "*"),))
    pipeline.preprocess(join_table(corpus, other), root, embedder="tfidf")
    assert (root / "muq.npy").stat().st_mtime_ns == before
    # without any table: a song that is new is not valid, one that is gone is gone, and a block of gone songs goes
    (music / "a.wav").unlink()
    (music / "c.wav").unlink()
    noise(music / "d.wav", 9)
    summary = pipeline.preprocess(folder(Request(audio_dir=music)), root, embedder="tfidf")
    assert summary.blocks["muq"] == ((2, 1), "float32", 1)
    block = store.load_block(root, "muq")
    assert dict(zip(block.track_id.tolist(), block.values[:, 0].tolist(), strict=True)) == {"b": 2, "d": 0}
    assert block.valid.tolist() == [True, False]
    assert store.block_names(root) == sorted([*features.BLOCKS, "muq"])
    # the table again, and its row of a song that has come back
    noise(music / "a.wav", 0)
    pipeline.preprocess(join_table(folder(Request(audio_dir=music)), table), root, embedder="tfidf")
    assert store.load_block(root, "muq").values[:, 0].tolist() == [1, 2, 0]


@pytest.mark.parametrize("name", ["mfcc_mean", "tags", "msd_pool_std"])
def test_a_joined_block_may_not_take_the_place_of_one_made_from_sound(tmp_path, name):
    corpus = touch(tmp_path / "music", "a.wav")
    table = TableRequest(write(tmp_path / "t.csv", {"a": 1.0}), block=((name, "*"),))
    with pytest.raises(InputError, match=f"`block={name}`: blocks made from sound have that name"):
        pipeline.preprocess(join_table(corpus, table), tmp_path / "store")


@pytest.mark.slow
def test_the_command_joins_a_table_to_a_folder(tmp_path):
    for seed, name in enumerate(("a", "b")):
        noise(tmp_path / "music" / f"{name}.wav", seed)
    table = write(tmp_path / "t.csv", {"a.wav": 1.0, "zzz.wav": 2.0})
    where = (f"--audio_dir={tmp_path / 'music'}", f"--store={tmp_path / 'store'}", "--tagger=none", "--embedder=tfidf")
    code, out, err = script(tmp_path, "preprocess", f"--table={table}", "--block=muq:*", *where)
    assert code == 0, err
    assert "2 x 1 float32, valid: 1" in out
    assert "t.csv: 1 of 2 rows match no track: zzz.wav" in out
    assert store.load_corpus(tmp_path / "store")["corpus"] == "folder"
    code, _, err = script(tmp_path, "preprocess", f"--table={table}", "--class_column=x", *where)
    assert code == 1
    assert "--class_column is of the corpus table, not folder: leave it out, or add --corpus=table" in err
    code, _, err = script(tmp_path, "preprocess", "--block=muq:*", *where)
    assert "--block is of the corpus table, not folder" in err
