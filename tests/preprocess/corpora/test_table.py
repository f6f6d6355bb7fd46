"""table (with columns): features that somebody else has extracted, in every form they come in."""

import gzip
import os
from time import process_time

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from musiclust import store
from musiclust.errors import InputError
from musiclust.preprocess import pipeline
from musiclust.preprocess.audio import listen
from musiclust.preprocess.corpora.base import Request, TableRequest
from musiclust.preprocess.corpora.table import table
from musiclust.types import Block

GTZAN = """filename,length,rms_mean,mfcc1_mean,mfcc1_var,label
rock.00001.wav,661794,0.5,-100.25,2e3,rock
blues.00000.wav,661795,0.25,-1,3,blues
pop.00002.wav,661796,0.75,7,8,pop
"""


def read(path, **options):
    return table(Request(table=TableRequest(path, **options)))


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def features(corpus, name="table"):
    [block] = [block for block in corpus.blocks if block.name == name]
    return block


def test_a_table_of_gtzan(tmp_path):
    path = write(tmp_path / "f.csv", GTZAN)
    corpus = read(path, id_column="filename", class_column=("label",), block=(("mfcc40", "mfcc*"), ("table", "[!l]*")))
    tracks = corpus.tracks
    assert tracks.track_id.tolist() == ["blues.00000.wav", "pop.00002.wav", "rock.00001.wav"]
    assert tracks.path.tolist() == [""] * 3
    assert tracks.group.tolist() == tracks.track_id.tolist()
    assert (tracks.classes["label"].tolist(), tracks.class_names["label"]) == ([0, 1, 2], ("blues", "pop", "rock"))
    mfcc = features(corpus, "mfcc40")
    np.testing.assert_array_equal(mfcc.values, np.array([[-1, 3], [7, 8], [-100.25, 2e3]], np.float32))
    assert mfcc.spec["columns"] == ["mfcc1_mean", "mfcc1_var"]
    whole = features(corpus)
    assert whole.spec["columns"] == ["rms_mean", "mfcc1_mean", "mfcc1_var"]  # no length, in file order
    assert whole.values[:, 0].tolist() == [0.25, 0.75, 0.5]
    assert whole.valid.all()
    assert corpus.source == {"corpus": "table", "table": str(path)}
    assert (corpus.skipped, corpus.warnings, corpus.words) == ([], [], {})


def test_defaults_take_every_number_and_say_what_is_left_out(tmp_path):
    corpus = read(write(tmp_path / "f.csv", GTZAN))
    assert features(corpus).values.shape == (3, 4)
    assert corpus.warnings == [("f.csv", "columns left out, not numeric: label")]
    assert corpus.tracks.track_id[0] == "blues.00000.wav"
    numbered = read(write(tmp_path / "g.csv", "a,b\n" + "".join(f"{i},{-i}\n" for i in range(12))))
    assert numbered.tracks.track_id.tolist() == [f"{i:02d}" for i in range(1, 13)]
    np.testing.assert_array_equal(features(numbered).values, np.stack([np.arange(12), -np.arange(12)], axis=1))
    of_pandas = read(write(tmp_path / "h.csv", ",a\n7,1\n5,2\n"))
    assert of_pandas.tracks.track_id.tolist() == ["5", "7"]
    assert features(of_pandas).values.tolist() == [[2], [1]]


def test_a_thousand_and_more_rows_whichever_way_they_are_read(tmp_path):
    # plain lines, lines with holes, and lines with quotes over several lines take different ways through the reader
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5000, 3)).astype(np.float32)
    lines = [f"id{i:04d},{a!s},{b!s},{c!s},x" for i, (a, b, c) in enumerate(values.tolist())]
    lines[1500] = "id1500,,1,2,x"
    lines[3100] = 'id3100,1,2,3,"a\nb, ""c"""'
    corpus = read(write(tmp_path / "f.csv", "id,a,b,c,note\n" + "\r\n".join(lines)), class_column=("note",))
    values[3100] = 1, 2, 3
    np.testing.assert_array_equal(features(corpus).values, np.delete(values, 1500, axis=0))
    assert corpus.skipped == [("id1500", "NaN in a")]
    assert corpus.tracks.class_names["note"] == ('a\nb, "c"', "x")
    assert len(corpus.tracks) == 4999


def test_several_header_rows_and_the_name_of_the_index(tmp_path):
    text = "feature,mfcc,mfcc,tonnetz\nstatistics,mean,std,mean\nnumber,01,01,02\ntrack_id,,,\n2,1,2,3\n10,4,5,6\n"
    corpus = read(write(tmp_path / "f.csv", text), header_rows=3)
    assert features(corpus).spec["columns"] == ["mfcc_mean_01", "mfcc_std_01", "tonnetz_mean_02"]
    assert corpus.tracks.track_id.tolist() == ["10", "2"]
    assert features(corpus).values.tolist() == [[4, 5, 6], [1, 2, 3]]
    without = read(write(tmp_path / "g.csv", text.replace("track_id,,,\n", "")), header_rows=3)
    assert without.tracks.track_id.tolist() == ["10", "2"]
    with pytest.raises(InputError, match=r"several columns are named 'mfcc': has it more header rows"):
        read(tmp_path / "f.csv", header_rows=1)
    with pytest.raises(InputError, match="header row 4 looks like data: has it 5 header rows"):
        read(tmp_path / "f.csv", header_rows=5)
    with pytest.raises(InputError, match="header row 2 looks like data"):
        read(write(tmp_path / "h.csv", "id,a\nx,1.5\ny,2.5\nz,3.5\n"), header_rows=3)


def test_rows_that_are_not_whole_are_named(tmp_path):
    text = "id,a,b,c,d\nt1,1,2,3,\nt2,nan,2,3,1\nt3,1,inf,,1\nt4,1,1e39,3,1\nt5,N/A,None,null,NA\n"
    corpus = read(write(tmp_path / "f.csv", text), block=(("x", "[ab]"), ("y", "c")))
    assert corpus.tracks.track_id.tolist() == ["t1"]  # d is not chosen
    assert corpus.skipped == [
        ("t2", "NaN in a"),
        ("t3", "infinite in b and 1 more columns"),
        ("t4", "infinite in b"),
        ("t5", "NaN in every column"),
    ]
    with pytest.raises(InputError, match=r"each of its 2 rows lacks a number.* b in all of them"):
        read(write(tmp_path / "g.csv", "id,a,b\nx,1,\ny,2,\n"))


def test_copies_share_a_group_whatever_their_class(tmp_path):
    text = "id,artist,label,a,b\n1,A,x,1,0\n2,B,y,1,-0.0\n3,B,x,2,2\n4,C,y,3,3\n"
    corpus = read(write(tmp_path / "f.csv", text), id_column="id", artist_column="artist", class_column=("label",))
    assert corpus.tracks.group.tolist() == ["A", "A", "A", "C"]  # by the copy, artist B joins artist A
    assert corpus.warnings == [("1", "same features: 2")]
    assert len(corpus.tracks) == 4
    grouped = read(tmp_path / "f.csv", id_column="id", artist_column="artist", group_column="label")
    assert grouped.tracks.group.tolist() == ["x"] * 4


def test_an_array_goes_row_by_row_with_its_tracks(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 12))
    np.save(tmp_path / "x.npy", values)
    tracks = write(tmp_path / "t.csv", 'track_id,genre,title,by,words\n30,Pop,P,A,"la,\nla"\n4,,Q,,\n100,12,R,B,nan\n')
    options = {"tracks_table": tracks, "class_column": ("genre",), "title_column": "title", "artist_column": "by"}
    corpus = read(tmp_path / "x.npy", **options, text_column="words", block=(("mfcc40", "*"),))
    assert corpus.tracks.track_id.tolist() == ["100", "30", "4"]
    np.testing.assert_array_equal(features(corpus, "mfcc40").values, values[[2, 0, 1]].astype(np.float32))
    assert features(corpus, "mfcc40").spec["columns"][::11] == ["01", "12"]
    assert corpus.tracks.class_names["genre"] == ("12", "Pop")  # codes stay as they are written
    assert corpus.tracks.classes["genre"].tolist() == [0, 1, -1]
    assert corpus.tracks.meta["title"].tolist() == ["R", "P", "Q"]
    assert corpus.tracks.group.tolist() == ["B", "A", "4"]
    assert corpus.words == {"30": "la,\nla"}
    assert read(tmp_path / "x.npy").tracks.track_id.tolist() == ["1", "2", "3"]
    write(tracks, "track_id,genre\n30,Pop\n")
    with pytest.raises(InputError, match=r"has 3 rows and .* 1: they must go row by row"):
        read(tmp_path / "x.npy", tracks_table=tracks)
    with pytest.raises(InputError, match="has no ids"):
        read(tmp_path / "x.npy", id_column="track_id")


def test_a_table_of_tracks_joins_by_id_as_written(tmp_path):
    path = write(tmp_path / "f.csv", "id,a,mood\nx,1,sad\ny,2,gay\nz,3,sad\n")
    facts = write(tmp_path / "t.csv", "genre,id\nRock,z\nPop,x\nFolk,q\n")
    corpus = read(path, tracks_table=facts, class_column=("genre", "mood"))
    codes, names = corpus.tracks.classes["genre"], corpus.tracks.class_names["genre"]
    assert [names[code] if code >= 0 else "" for code in codes] == ["Pop", "", "Rock"]
    assert corpus.tracks.classes["mood"].tolist() == [1, 0, 1]
    [(name, reason)] = corpus.warnings
    assert name == "y"
    assert "no row in t.csv" in reason
    with pytest.raises(InputError, match=r"no id in common \('2' here, '000002' there\)"):
        read(write(tmp_path / "g.csv", "id,a\n2,1\n"), tracks_table=write(tmp_path / "u.csv", "id,genre\n000002,Pop\n"))


def test_gzip_and_parquet(tmp_path):
    (tmp_path / "f.csv.gz").write_bytes(gzip.compress(GTZAN.encode()))
    assert features(read(tmp_path / "f.csv.gz")).values.shape == (3, 4)
    (tmp_path / "g.csv.gz").write_bytes(gzip.compress(GTZAN.encode())[:-30])
    with pytest.raises(InputError, match=r"g.csv.gz: not a CSV file that can be read"):
        read(tmp_path / "g.csv.gz")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="not a Parquet file"):
        read(tmp_path / "bad.parquet")
    columns = {"id": ["b", "a", "c"], "genre": ["x", None, "y"], "p": [1.5, 2.5, None], "q": [1, 2, 3]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "f.parquet")
    corpus = read(tmp_path / "f.parquet", class_column=("genre",))
    assert corpus.tracks.track_id.tolist() == ["a", "b"]
    assert corpus.tracks.classes["genre"].tolist() == [-1, 0]
    assert features(corpus).values.tolist() == [[2.5, 2], [1.5, 1]]
    assert corpus.skipped == [("c", "NaN in p")]


WRONG = {
    "missing": (None, {}, "no such file"),
    "empty": ("", {}, "empty file"),
    "header alone": ("id,a\n", {}, "no rows below its 1 header rows"),
    "ragged": ("id,a\nx,1\ny,2,3\n", {}, "row of 3 cells, its header has 2"),
    "twice named": ("id,a,a\nx,1,2\n", {}, "several columns are named 'a'"),
    "a zero in an id": ("id,a\nx,1\nx\0,2\ny,3\n", {}, "has a character of code 0"),
    "twice the id": ("id,a\nx,1\nx,2\ny,3\n", {}, r"1 ids stand there twice \(x\)"),
    "no id": ("id,a\nx,1\n,2\n", {}, "row 2 has no id"),
    "id column": ("track,a\nx,1\n", {"id_column": "tracks"}, "no column 'tracks'.*did you mean track.*`id_column`"),
    "class column": ("id,genre,a\nx,p,1\n", {"class_column": ("gnre",)}, "no column 'gnre'.*did you mean genre"),
    "glob": ("id,mfcc_1\nx,1\n", {"block": (("m", "mfc_*"),)}, "matches no column of numbers .*mean mfcc_1"),
    "block name": ("id,a\nx,1\n", {"block": (("../m", "a"),)}, "cannot name a block"),
    "reserved": ("id,a\nx,1\n", {"block": (("lyrics", "a"),)}, "cannot name a block"),
    "no numbers": ("id,a\nx,y\n", {}, r"no column of numbers \(not numeric: a\)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_tables_are_one_line(tmp_path, case):
    text, options, message = WRONG[case]
    path = tmp_path / "f.csv"
    if text is not None:
        write(path, text)
    with pytest.raises(InputError, match=message) as error:
        read(path, **options)
    assert "\n" not in str(error.value)


def test_wrong_files_are_one_line(tmp_path):
    with pytest.raises(InputError, match="add `table"):
        table(Request())
    with pytest.raises(InputError, match="is a folder"):
        read(tmp_path)
    (tmp_path / "latin.csv").write_bytes("id,a\nJos\xe9,1\n".encode("latin-1"))
    with pytest.raises(InputError, match="UTF-8"):
        read(tmp_path / "latin.csv")
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    with pytest.raises(InputError, match=r"\(2, 2, 2\), expected numbers of shape \(N, D\)"):
        read(tmp_path / "cube.npy")
    (tmp_path / "torn.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match="not an array"):
        read(tmp_path / "torn.npy")


def test_a_corpus_without_audio_is_not_heard(tmp_path, monkeypatch):
    monkeypatch.setattr(listen, "hear_all", None)
    root = tmp_path / "store"
    path = tmp_path / "f.csv"
    path.write_text("id,genre,words,a,b\nz,Pop,la la la,1,2\ny,Rock,,3,4\nx,Pop,oh oh oh,5,\n")
    corpus = read(path, class_column=("genre",), text_column="words")
    summary = pipeline.preprocess(corpus, root, embedder="tfidf")
    tracks = store.load_tracks(root)
    assert tracks.track_id.tolist() == ["y", "z"]
    assert tracks.class_names["genre"] == ("Pop", "Rock")
    assert (summary.found, summary.things, summary.used, summary.computed) == (3, "rows", 2, 0)
    assert store.load_skipped(root) == [("x", "NaN in b")]
    assert summary.blocks == {"table": ((2, 2), "float32", 2), "lyrics": ((2, 1), "float32", 1)}
    block = store.load_block(root, "table")
    assert block.values.tolist() == [[3, 4], [1, 2]]
    assert block.spec["corpus"] == "table"
    assert not (root / "files.csv").exists()
    before = {file.name: file.read_bytes() for file in root.iterdir()}
    pipeline.preprocess(corpus, root, embedder="tfidf")
    assert {file.name: file.read_bytes() for file in root.iterdir()} == before
    # other blocks of the same table take the place of those, and only of those
    store.save_block(root, Block("mine", tracks.track_id, block.values, block.valid))
    again = read(path, class_column=("genre", "words"), block=(("left", "a"), ("right", "b")))
    pipeline.preprocess(again, root, lyrics="none")
    assert store.block_names(root) == ["left", "mine", "right"]


@pytest.mark.parametrize("mark", [";", "\t"])
def test_cells_may_be_set_apart_by_semicolons_or_tabs(tmp_path, mark):
    path = write(tmp_path / "f.csv", GTZAN.replace(",", mark))
    options = {"class_column": ("label",), "block": (("mfcc40", "mfcc*"),)}
    corpus, plain = read(path, **options), read(write(tmp_path / "g.csv", GTZAN), **options)
    assert corpus.tracks.track_id.tolist() == plain.tracks.track_id.tolist()
    assert corpus.tracks.class_names == plain.tracks.class_names
    np.testing.assert_array_equal(features(corpus, "mfcc40").values, features(plain, "mfcc40").values)
    # Plain lines, lines with holes and lines with quotes take different ways through the reader.
    lines = [mark.join([f"id{i:04d}", str(i), "2"]) for i in range(2500)]
    lines[3], lines[2000] = mark.join(["id0003", "", "2"]), mark.join(['"id2000"', "2000", "2"])
    long = read(write(tmp_path / "l.csv", "\n".join([mark.join(["id", "a, b", "c"]), *lines])))
    assert features(long).spec["columns"] == ["a, b", "c"]
    assert features(long).values[:, 0].tolist() == [float(i) for i in range(2500) if i != 3]
    assert long.skipped == [("id0003", "NaN in a, b")]
    facts = write(tmp_path / "t.csv", mark.join(["id", "genre"]) + "\n" + mark.join(["x", "Pop"]) + "\n")
    joined = read(write(tmp_path / "h.csv", "id,a\nx,1\n"), tracks_table=facts, class_column=("genre",))
    assert joined.tracks.class_names["genre"] == ("Pop",)


def test_decimal_commas_are_told(tmp_path):
    with pytest.raises(InputError, match=r"writes its numbers with a comma \(1,5\): save it with decimal points"):
        read(write(tmp_path / "f.csv", "id;a;b\nx;1,5;2,25\ny;2,5;3,5\n"))


def test_reading_columns_takes_time_in_proportion_to_their_number(tmp_path):
    def seconds(columns: int, globs: int) -> float:
        names = [f"c{i}" for i in range(columns)]
        words = [f"w{i}" for i in range(columns)]  # not numeric
        row = ["x", *["1"] * columns, *["a"] * columns]
        path = write(tmp_path / f"{columns}.csv", ",".join(["id", *names, *words]) + "\n" + ",".join(row) + "\n")
        block = tuple((f"b{i}", f"c{i}*") for i in range(globs))
        taken = []
        for _ in range(3):
            started = process_time()
            assert sum(one.values.shape[1] for one in read(path, block=block).blocks) > 0
            taken.append(process_time() - started)
        return min(taken)

    # 8 times as many columns take some 8 times as long; it was 64 times.
    assert seconds(24_000, 3) < 24 * max(seconds(3_000, 3), 0.01)


def test_ids_in_any_order_join_the_same_rows(tmp_path):
    ids = [f"t{i:03d}" for i in range(50)]
    lines = [f"{one},{i},{i * i}" for i, one in enumerate(ids)]
    facts = [f"{one},genre {i % 3}" for i, one in enumerate(ids)]
    found = []
    for number, (rows, known) in enumerate([(lines, facts), (lines[::-1], facts), (lines, facts[::-1])]):
        path = write(tmp_path / f"f{number}.csv", "\n".join(["id,a,b", *rows]))
        tracks = write(tmp_path / f"t{number}.csv", "\n".join(["id,genre", *known]))
        corpus = read(path, tracks_table=tracks, class_column=("genre",))
        np.save(tmp_path / "x.npy", np.array([[float(cell) for cell in row.split(",")[1:]] for row in rows]))
        order = write(tmp_path / "o.csv", "\n".join(["id", *(row.split(",")[0] for row in rows)]))
        array = read(tmp_path / "x.npy", tracks_table=order)
        assert array.tracks.track_id.tolist() == corpus.tracks.track_id.tolist() == ids
        np.testing.assert_array_equal(features(array).values, features(corpus).values)
        found.append((features(corpus).values.tolist(), corpus.tracks.classes["genre"].tolist()))
    assert found[0] == found[1] == found[2]
    assert found[0][0] == [[i, i * i] for i in range(50)]


def test_what_is_no_file_or_begins_empty_is_one_line(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match="is a pipe, socket or device, not a file: write it to one"):
        read(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match="begins with an empty line"):
        read(write(tmp_path / "f.csv", "\nid,a\nx,1\n"))
