"""update: the transcripts and the block "lyrics" of a store, and what of them is done again."""

import importlib.util
import json

import numpy as np
import pytest
from conftest import make_tracks

from musiclust import store
from musiclust.errors import InputError
from musiclust.preprocess.lyrics import embed, written
from musiclust.preprocess.lyrics import update as lyrics_update
from musiclust.preprocess.lyrics.gate import Gate
from musiclust.types import Block, Tracks

TEXTS = ["the sea the sea", "the hill and the sea", "", "a hill I climb", "night"]
IDS = np.array(["a", "b", "c", "d", "e"])


def silent(stage, done, total):
    pass


def of(ids):
    return Tracks(ids, np.full(len(ids), ""), {"duration": np.ones(len(ids))}, {}, {}, ids)


def update(root, texts, embedder="tfidf", ids=IDS):
    scores = dict(zip(ids.tolist(), texts, strict=True))
    return lyrics_update.update_lyrics(root, of(ids), scores, ("score",), embed.choose(embedder), silent)


def test_the_block_says_how_it_was_made(tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, package=None: None if name == "sentence_transformers" else find_spec(name, package),
    )
    _, made = update(tmp_path, TEXTS, "auto")
    block = store.load_block(tmp_path, "lyrics")
    assert made
    assert block.spec["embedder"] == "tfidf-svd"
    assert block.spec["why"] == "SBERT is not installed (sentence_transformers; pip install 'musiclust[text]')"
    assert block.valid.tolist() == [True, True, False, True, True]
    assert not block.values[2].any()
    with pytest.raises(InputError, match=r"musiclust\[text\]"):
        embed.choose("sbert")


def test_no_words_no_block(tmp_path):
    update(tmp_path, TEXTS)
    assert store.block_names(tmp_path) == ["lyrics"]
    _, made = update(tmp_path, [""] * 5)
    assert not made
    assert [path.name for path in tmp_path.iterdir()] == ["lyrics.jsonl"]


def test_unchanged_texts_are_not_embedded_again(tmp_path):
    update(tmp_path, TEXTS)
    stamp = (tmp_path / "lyrics.npy").stat().st_mtime_ns
    update(tmp_path, TEXTS)
    assert (tmp_path / "lyrics.npy").stat().st_mtime_ns == stamp
    update(tmp_path, [*TEXTS[:4], "day"])
    assert (tmp_path / "lyrics.npy").stat().st_mtime_ns != stamp


def test_sbert_shows_the_model_only_what_is_new(tmp_path, monkeypatch):
    shown = []

    def embed_all(texts, *, model, progress):
        shown.append([sung for sung in texts if sung])
        values = np.array([[len(sung), 1.0] if sung else [0, 0] for sung in texts], dtype=np.float32)
        return values, values.any(axis=1)

    monkeypatch.setattr(embed, "embed_sbert", embed_all)
    monkeypatch.setattr(embed, "choose", lambda embedder: embed.Embedder("sbert:fake", ""))
    update(tmp_path, TEXTS)
    update(tmp_path, [*TEXTS[:3], "changed", TEXTS[4], "new"], ids=np.array([*IDS, "f"]))
    update(tmp_path, TEXTS[:3], ids=IDS[:3])
    assert shown == [[sung for sung in TEXTS if sung], ["changed", "new"]]
    np.testing.assert_array_equal(
        store.load_block(tmp_path, "lyrics").values, [[len(TEXTS[0]), 1], [len(TEXTS[1]), 1], [0, 0]]
    )


def test_only_new_and_changed_records_are_appended(tmp_path):
    def lines():
        return [json.loads(line)["track_id"] for line in (tmp_path / "lyrics.jsonl").read_text().splitlines()]

    update(tmp_path, TEXTS)
    assert lines() == IDS.tolist()
    update(tmp_path, TEXTS)
    update(tmp_path, [*TEXTS[:4], "day"])
    assert lines() == [*IDS.tolist(), "e"]
    assert store.load_lyrics(tmp_path)["e"]["text"] == "day"


def test_what_machines_heard_is_judged_and_may_be_judged_again(tmp_path):
    heard = {
        "a": ["Music playing", ""],
        "b": ["the sea is calling me home", "the sea is calling him home"],
        "c": ["", "down by the river side"],
        "d": ["a hill I climb alone", "Captain crane on this video"],
        "e": [],
    }

    def judged(gate, scores):
        embedder = embed.choose("tfidf")
        sources = ("score", "transcript")
        given = (tmp_path, of(IDS), scores, sources, embedder, silent)
        return lyrics_update.update_lyrics(*given, transcripts=heard, gate=gate)[0]

    records = judged(Gate(), {"e": "written down"})
    assert [record["source"] for record in records.values()] == [*["transcript"] * 4, "score"]
    assert [record["reason"] for record in records.values()] == [
        "phantom phrase",
        "",
        "",
        "other transcripts disagree",
        "sung words of the score",
    ]
    assert records["a"]["text"] == "Music playing"
    assert records["a"]["confidence"] is None
    assert store.load_block(tmp_path, "lyrics").valid.tolist() == [False, True, True, False, True]
    assert store.load_lyrics(tmp_path) == records
    assert judged(None, {})["a"]["words"] == "Music playing"
    assert store.load_block(tmp_path, "lyrics").valid.tolist() == [True, True, True, True, False]
    assert judged(Gate(agreement=0.0), {"b": "of the score"})["b"]["source"] == "score"


def test_a_class_in_other_words_is_no_lyrics(tmp_path):
    tracks = make_tracks(12)
    scores = {track_id: f"a wonderful genre {i % 3} song" for i, track_id in enumerate(tracks.track_id.tolist())}
    scores["t0000"] = "the sea is calling me home"
    records, made = lyrics_update.update_lyrics(tmp_path, tracks, scores, ("score",), embed.choose("tfidf"), silent)
    assert made
    assert store.load_block(tmp_path, "lyrics").valid.tolist() == [True, *[False] * 11]
    assert records["t0001"]["text"] == "a wonderful genre 1 song"
    assert written.is_refused(records["t0001"])
    assert not written.is_refused(records["t0000"])


def test_statistics_are_those_of_the_vectors_with_words(tmp_path):
    records, _ = update(tmp_path, TEXTS)
    records["a"]["language"] = "en"
    block = store.load_block(tmp_path, "lyrics")
    found = lyrics_update.summarise(records, block)
    values = block.values[[0, 1, 3, 4]]
    assert {name: found[name] for name in ("tracks", "vocal", "instrumental")} == {
        "tracks": 5,
        "vocal": 4,
        "instrumental": 1,
    }
    assert found["languages"] == {"unknown": 3, "en": 1}
    np.testing.assert_allclose(
        [found[name] for name in ("mean", "std", "min", "max")],
        [values.mean(), values.std(), values.min(), values.max()],
        rtol=1e-6,
    )
    nothing = lyrics_update.summarise({"a": written.make_record("a", "", "none", 0.0, "")}, None)
    assert (nothing["vocal"], nothing["mean"], nothing["languages"]) == (0, None, {})


def test_a_store_with_tags_tells_the_gate_who_is_heard(tmp_path):
    tracks = make_tracks(3)
    song = "I don't wanna waste no more of your precious time"
    heard = {track_id: [song] for track_id in tracks.track_id.tolist()}

    def judge() -> dict:
        sources, embedder = lyrics_update.SOURCES["auto"], embed.choose("tfidf")
        return lyrics_update.update_lyrics(tmp_path, tracks, {}, sources, embedder, silent, transcripts=heard)[0]

    before = judge()
    assert all(record["words"] == song and "voice" not in record for record in before.values())
    values = np.array([[0.9, 0.01, 0.09], [0.9, 0.3, 0.1], [0.0, 0.0, 0.0]], np.float32)
    columns = {"columns": ["mtt:guitar", "mtt:singing", "msd:instrumental"]}
    valid = np.array([True, True, False])
    store.save_block(tmp_path, Block("tags", tracks.track_id, values, valid, columns))
    first, second, third = judge().values()
    assert (first["words"], first["reason"], first["voice"]) == ("", "no voice is heard", 0.1)
    assert (second["words"], second["voice"]) == (song, 0.75)
    assert third == before["t0002"]  # nobody has listened
    store.remove_block(tmp_path, "tags")
    assert judge() == before
