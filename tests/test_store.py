import errno
import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import make_tracks

from musiclust import store
from musiclust.errors import InputError
from musiclust.types import Block, Tracks

AWKWARD = ["a", 'café, "quoted"', "line\nbreak", "🎺 trumpet"]


def awkward_tracks() -> Tracks:
    track_id = np.array(sorted(AWKWARD))
    return Tracks(
        track_id=track_id,
        path=np.array([f"/music/{name}.mp3" for name in track_id]),
        meta={
            "title": track_id,
            "artist": np.array([""] * 4),
            "album": np.array(["x"] * 4),
            "duration": np.array([1.5, np.nan, 3.25, 0.3]),
        },
        classes={"genre": np.array([-1, 0, 1, 0], np.int32)},
        class_names={"genre": ("folk", "jazz")},
        group=track_id,
    )


def block(track_id: np.ndarray, name: str = "mfcc_mean") -> Block:
    values = np.arange(3.0 * len(track_id), dtype=np.float32).reshape(-1, 3)
    return Block(name, track_id, values, np.ones(len(track_id), bool), {"sample_rate": 22050})


def test_tracks_come_back_as_they_were(tmp_path):
    tracks = awkward_tracks()
    store.save_tracks(tmp_path, tracks)
    back = store.load_tracks(tmp_path)
    assert back.track_id.tolist() == tracks.track_id.tolist()
    assert back.path.tolist() == tracks.path.tolist()
    np.testing.assert_array_equal(back.meta["duration"], tracks.meta["duration"])
    assert back.classes["genre"].tolist() == [-1, 0, 1, 0]
    assert back.class_names == tracks.class_names


def test_classes_of_stores_of_version_0_1_are_read(tmp_path):
    tracks = awkward_tracks()
    store.save_tracks(tmp_path, tracks)
    path = tmp_path / "tracks.csv"
    path.write_text(path.read_text().replace("class:genre", "label:genre"))
    back = store.load_tracks(tmp_path)
    assert back.classes["genre"].tolist() == [-1, 0, 1, 0]
    assert back.class_names == {"genre": ("folk", "jazz")}


def test_tracks_refuse_disorder_and_unknown_codes():
    tracks = make_tracks(3)
    with pytest.raises(ValueError, match="sorted and unique"):
        Tracks(tracks.track_id[::-1], tracks.path, tracks.meta, tracks.classes, tracks.class_names, tracks.group)
    with pytest.raises(ValueError, match="classes"):
        Tracks(tracks.track_id, tracks.path, tracks.meta, {"g": np.array([0, 1, 9])}, {"g": ("a", "b")}, tracks.group)


def test_block_comes_back_memory_mapped(tmp_path):
    ids = np.array(["a", "b"])
    values = np.array([[1.0, 2.0], [0.0, 0.0]], np.float16)
    store.save_block(tmp_path, Block("lyrics", ids, values, np.array([True, False]), {"embedder": "sbert"}))
    back = store.load_block(tmp_path, "lyrics")
    assert isinstance(back.values, np.memmap)
    assert back.values.dtype == np.float16
    np.testing.assert_array_equal(back.values, values)
    assert back.valid.tolist() == [True, False]
    assert back.spec == {"embedder": "sbert"}


def test_a_block_written_row_by_row_is_that_written_at_once(tmp_path):
    whole = block(np.array(["a", "b"]))
    spec = {"shape": [3], "dtype": "float32", "sample_rate": 22050}
    store.save_block(tmp_path / "whole", Block(whole.name, whole.track_id, whole.values, whole.valid, spec))
    store.write_block(tmp_path / "rows", whole.name, ["a", "b"], iter(whole.values.astype(float)), spec)
    for name in ("mfcc_mean.npy", "mfcc_mean.json"):
        assert (tmp_path / "rows" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(ValueError, match="shorter"):
        store.write_block(tmp_path / "rows", whole.name, ["a", "b"], iter(whole.values[:1]), spec)
    with pytest.raises(ValueError, match=r"mfcc_mean, track a: a row of shape \(2,\), expected \(3,\)"):
        store.write_block(tmp_path / "rows", whole.name, ["a"], iter(whole.values[:1, :2]), spec)
    assert store.load_block(tmp_path / "rows", "mfcc_mean").track_id.tolist() == ["a", "b"]
    store.remove_block(tmp_path / "rows", "mfcc_mean")
    store.remove_block(tmp_path / "rows", "mfcc_mean")
    assert not list((tmp_path / "rows").iterdir())


def test_block_with_nan_is_refused_and_the_track_named(tmp_path):
    ids = np.array(["a", "b", "c"])
    values = np.array([[1.0], [np.nan], [np.nan]])
    with pytest.raises(InputError, match=r"2 tracks hold NaN or infinity, the first is b"):
        store.save_block(tmp_path, Block("chroma", ids, values, np.ones(3, bool)))
    # Where it is not valid, nothing is read.
    store.save_block(tmp_path, Block("chroma", ids, values, np.array([True, False, False])))


def test_align_joins_by_id_not_by_position():
    tracks = make_tracks(4)
    wide = block(np.array(["a", *tracks.track_id, "zz"]))
    (aligned,) = store.align(tracks, [wide])
    assert aligned.track_id.tolist() == tracks.track_id.tolist()
    np.testing.assert_array_equal(aligned.values, wide.values[1:-1])


def test_align_names_what_is_lacking():
    tracks = make_tracks(5)
    with pytest.raises(InputError, match=r"mfcc_mean lacks 2 of 5 tracks \(t0001, t0003"):
        store.align(tracks, [block(tracks.track_id[[0, 2, 4]])])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "mfcc_mean.npy").write_bytes(b"not an array"), "damaged"),
        (lambda root: (root / "mfcc_mean.npy").write_bytes((root / "mfcc_mean.npy").read_bytes()[:-4]), "damaged"),
        (lambda root: (root / "mfcc_mean.json").write_text("{"), "damaged"),
        (lambda root: (root / "mfcc_mean.json").write_text(json.dumps({"format": 99})), "format 99"),
        (lambda root: (root / "mfcc_mean.json").unlink(), "no block 'mfcc_mean'"),
    ],
)
def test_damaged_block_is_named(tmp_path, damage, message):
    store.save_block(tmp_path, block(np.array(["a", "b"])))
    damage(tmp_path)
    with pytest.raises(InputError, match=message):
        store.load_block(tmp_path, "mfcc_mean")


def test_missing_store_and_foreign_csv_are_named(tmp_path):
    with pytest.raises(InputError, match="is not a store"):
        store.load_tracks(tmp_path / "nowhere")
    (tmp_path / "tracks.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="lacks the columns"):
        store.load_tracks(tmp_path)


def test_full_disk_leaves_the_file_before(tmp_path, monkeypatch):
    store.save_block(tmp_path, block(np.array(["a", "b"])))

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space"):
        store.save_block(tmp_path, block(np.array(["a", "b", "c"])))
    assert store.load_block(tmp_path, "mfcc_mean").track_id.tolist() == ["a", "b"]
    assert not list(tmp_path.glob(".*.tmp"))


def test_lyrics_are_appended_and_a_torn_line_is_mended(tmp_path):
    store.append_lyrics(tmp_path, [{"track_id": "a", "text": "la la"}, {"track_id": "b", "text": "mu\u2028mu"}])
    whole = (tmp_path / "lyrics.jsonl").read_bytes()
    line = json.dumps({"track_id": "c", "text": "für Elise 🎹"}, ensure_ascii=False).encode() + b"\n"
    for end in range(len(line) - 1):  # within a letter too
        (tmp_path / "lyrics.jsonl").write_bytes(whole + line[:end])
        assert set(store.load_lyrics(tmp_path)) == {"a", "b"}
    store.append_lyrics(tmp_path, [{"track_id": "a", "text": "new"}])
    records = store.load_lyrics(tmp_path)
    assert set(records) == {"a", "b"}
    assert records["a"]["text"] == "new"
    assert records["b"]["text"] == "mu\u2028mu"


def test_transcripts_are_the_last_of_each_model(tmp_path):
    assert store.load_transcripts(tmp_path) == {}
    about = {"language": "en", "language_probability": None, "segments": [], "stamp": [1, 2]}
    heard = [
        {"track_id": "a", "model": model, "text": text, **about}
        for model, text in (("base", "old"), ("tiny", "other"), ("base", "new"))
    ]
    store.append_lyrics(tmp_path, [*heard, {"track_id": "a", "text": "written down"}])
    found = store.load_transcripts(tmp_path)
    assert [*found["a"].items()] == [("tiny", heard[1]), ("base", heard[2])]
    assert store.load_lyrics(tmp_path)["a"]["text"] == "written down"
    with open(tmp_path / "lyrics.jsonl", "ab") as file:
        file.write(b'broken "segments"\n{}\n')
    for load in (store.load_lyrics, store.load_transcripts):
        with pytest.raises(InputError, match="line 5, is not a lyrics record"):
            load(tmp_path)


def test_the_text_model_comes_back(tmp_path):
    assert store.load_text_model(tmp_path) is None
    digests, idf = np.array(["12ab", "34cd"]), np.array([1.0, 2.0])
    store.save_text_model(tmp_path, digests, {"idf": idf})
    back = store.load_text_model(tmp_path)
    assert back is not None
    np.testing.assert_array_equal(back[0], digests)
    assert list(back[1]) == ["idf"]
    np.testing.assert_array_equal(back[1]["idf"], idf)
    (tmp_path / "lyrics.model.npz").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"lyrics\.model\.npz is damaged"):
        store.load_text_model(tmp_path)
    store.remove_text_model(tmp_path)
    assert store.load_text_model(tmp_path) is None


def test_the_corpus_comes_back_and_has_a_name(tmp_path):
    root = tmp_path / "mine"
    assert store.load_corpus(root) is None
    assert store.load_corpus_name(root) == "mine"
    source = {"corpus": "folder", "audio_dir": "/music/naïve"}
    store.save_corpus(root, source)
    assert store.load_corpus(root) == source
    assert store.load_corpus_name(root) == "folder"
    for text, message in (("{", "is damaged"), ("[]", "is damaged"), ('{"format": 9, "corpus": "x"}', "of format 9")):
        (root / "corpus.json").write_text(text)
        with pytest.raises(InputError, match=message):
            store.load_corpus(root)


def test_files_come_back(tmp_path):
    assert store.load_files(tmp_path) == {}
    files = {
        name: store.FileRecord(store.Stamp(i, 1_700_000_000_123_456_789), 0.1 + i, f"warning, {name}")
        for i, name in enumerate(AWKWARD)
    }
    store.save_files(tmp_path, files)
    assert store.load_files(tmp_path) == files
    (tmp_path / "files.csv").write_text("track_id,size\na,x\n")
    with pytest.raises(InputError, match=r"files\.csv lacks the columns .*: delete it and preprocess again"):
        store.load_files(tmp_path)


def test_skipped_round_trip(tmp_path):
    assert store.load_skipped(tmp_path) == []
    rows = [("/x/a, b.mp3", "0 bytes"), ('/x/"q"\n.mp3', "not audio")]
    store.save_skipped(tmp_path, rows)
    assert store.load_skipped(tmp_path) == rows


def test_a_block_is_fitted_to_tracks_that_it_lacks(tmp_path):
    tracks = make_tracks(4)
    three = tracks.track_id[[0, 2, 3]]
    block = Block("image", three, np.ones((3, 2, 5), np.float16), np.array([True, False, True]), {"a": 1})
    fitted = store.fit_to_tracks(tracks, block)
    assert fitted.valid.tolist() == [True, False, False, True]
    assert fitted.values.dtype == np.float16
    assert fitted.values.sum(axis=(1, 2)).tolist() == [10, 0, 0, 10]
    assert fitted.spec == {"a": 1}
    with pytest.raises(InputError, match="block image lacks 1 of 4 tracks"):
        store.align(tracks, [block])


def test_classes_keep_their_names(tmp_path):
    classes = {"g": np.array([0, 1], np.int32), "label:g": np.array([1, 0], np.int32)}
    names = {"g": ("a", "b"), "label:g": ("c", "d")}
    store.save_tracks(tmp_path, replace(make_tracks(2), classes=classes, class_names=names))
    found = store.load_tracks(tmp_path)
    assert found.class_names == names
    assert {name: codes.tolist() for name, codes in found.classes.items()} == {"g": [0, 1], "label:g": [1, 0]}


def test_a_block_of_no_tracks_is_zeros_for_all(tmp_path):
    block = Block("x", np.array([], dtype=str), np.zeros((0, 3)), np.array([], dtype=bool), {})
    fitted = store.fit_to_tracks(make_tracks(2), block)
    assert (fitted.values.tolist(), fitted.valid.tolist()) == ([[0.0] * 3] * 2, [False, False])


def test_a_table_that_says_the_same_is_not_written(tmp_path):
    tracks, folder = make_tracks(3), tmp_path / "new"

    def is_written(tracks: Tracks) -> bool:
        (folder / "tracks.csv").unlink(missing_ok=True)
        store.update_tracks(tmp_path, folder, tracks)
        return (folder / "tracks.csv").exists()

    assert is_written(tracks)
    store.save_tracks(tmp_path, tracks)
    assert not is_written(tracks)
    assert is_written(make_tracks(2))
    tracks.meta["title"][1] = "another"
    assert is_written(tracks)
    assert store.load_tracks(folder).meta["title"].tolist() == tracks.meta["title"].tolist()


def test_files_are_read_anew_where_they_have_changed(tmp_path):
    for duration in (1.0, 2.0):
        files = {"a": store.FileRecord(store.Stamp(1, 2), duration, "")}
        store.save_files(tmp_path, files)
        assert store.load_files(tmp_path) == files
    store.load_files(tmp_path).clear()
    assert store.load_files(tmp_path) == files


def test_a_tag_of_any_length_comes_back(tmp_path):
    tracks = make_tracks(2)
    tracks.meta["title"] = np.array(["x" * 140_000, "short"])  # csv by itself reads 131,072 characters
    store.save_tracks(tmp_path, tracks)
    assert store.load_tracks(tmp_path).meta["title"].tolist() == tracks.meta["title"].tolist()


@pytest.mark.parametrize("lost", [1, 2, 9, 30])
def test_a_table_of_tracks_that_was_cut_is_no_table(tmp_path, lost):
    store.save_tracks(tmp_path, make_tracks(3))
    path = tmp_path / "tracks.csv"
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(InputError, match=r"tracks\.csv is (cut off|damaged) in row 3.*: preprocess the store again"):
        store.load_tracks(tmp_path)


def test_a_pickle_is_refused_in_our_own_words(tmp_path):
    np.savez(tmp_path / "lyrics.model.npz", digests=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="holds Python objects, which are never read") as caught:
        store.load_text_model(tmp_path)
    assert "allow_pickle" not in str(caught.value)


def test_what_a_store_holds_is_what_was_written(tmp_path):
    with store.writing(tmp_path):
        store.save_tracks(tmp_path, make_tracks(3))
        store.save_corpus(tmp_path, {"corpus": "demo"})
        store.save_files(tmp_path, {"t0000": store.FileRecord(store.Stamp(1, 2), 3.0, "")})
        store.append_lyrics(tmp_path, [{"track_id": "t0000", "text": "la"}])
        store.save_text_model(tmp_path, np.array(["12ab"]), {"idf": np.ones(3)})
    store.append_lyrics(tmp_path, [{"track_id": "t0001", "text": "li"}])  # more may come, as while Whisper hears
    loads = {
        "tracks.csv": store.load_tracks,
        "corpus.json": store.load_corpus,
        "files.csv": store.load_files,
        "lyrics.jsonl": store.load_lyrics,
        "lyrics.model.npz": store.load_text_model,
    }
    for name, load in loads.items():
        load(tmp_path)
        content = (tmp_path / name).read_bytes()
        for place in range(0, len(content) - len(content) // 2 * (name == "lyrics.jsonl"), 7):
            flipped = bytearray(content)
            flipped[place] ^= 1 << place % 8
            (tmp_path / name).write_bytes(flipped)
            with pytest.raises(InputError, match=rf"{name} is not as it was written .*: "):
                load(tmp_path)
        if name != "tracks.csv":  # which the preprocessing stage makes anew
            with pytest.raises(InputError, match=f"{name} is not as it was written"), store.writing(tmp_path):
                pass
        (tmp_path / name).write_bytes(content)
    with store.writing(tmp_path):
        assert not (tmp_path / "digests.json").exists()
    assert store.load_lyrics(tmp_path)["t0001"]["text"] == "li"


def test_a_changed_store_has_another_fingerprint(tmp_path):
    store.save_tracks(tmp_path, make_tracks(2))
    store.save_block(tmp_path, block(np.array(["t0000", "t0001"])))
    before = store.fingerprint(tmp_path, ["mfcc_mean"])
    assert list(before) == ["tracks.csv", "mfcc_mean"]
    store.save_block(tmp_path, block(np.array(["t0000", "t0002"])))
    after = store.fingerprint(tmp_path, ["mfcc_mean"])
    assert after["tracks.csv"] == before["tracks.csv"]
    assert after["mfcc_mean"] != before["mfcc_mean"]
    with pytest.raises(InputError, match="has no block 'chroma'"):
        store.fingerprint(tmp_path, ["chroma"])


@pytest.mark.parametrize("name", ["corpus", "digests"])
def test_a_block_may_not_take_the_place_of_a_file(tmp_path, name):
    with pytest.raises(InputError, match=f"`block={name}`: a file of the store has that name"):
        store.save_block(tmp_path, block(np.array(["a"]), name))


def test_a_block_whose_ids_are_out_of_order_is_refused_and_never_joined(tmp_path):
    ids = np.array(["a", "b", "c"])
    store.save_block(tmp_path, block(ids))
    record = json.loads((tmp_path / "mfcc_mean.json").read_text())
    for order in (record["track_id"][::-1], ["a", "a", "c"]):
        (tmp_path / "mfcc_mean.json").write_text(json.dumps({**record, "track_id": order}))
        with pytest.raises(InputError, match="mfcc_mean"):
            store.load_block(tmp_path, "mfcc_mean")
    with pytest.raises(ValueError, match="not sorted, or one is there twice"):
        block(ids[::-1])
