"""words: the transcripts and the block "lyrics" of a store, and what of them is done again."""

import importlib.util
import json

import numpy as np
import pytest

from musiclust import store
from musiclust.errors import InputError
from musiclust.preprocess import text, words
from musiclust.types import Tracks

TEXTS = ["the sea the sea", "the hill and the sea", "", "a hill I climb", "night"]
IDS = np.array(["a", "b", "c", "d", "e"])


def update(root, texts, embedder="tfidf", ids=IDS):
    tracks = Tracks(ids, np.full(len(ids), ""), {"duration": np.ones(len(ids))}, {}, {}, ids)
    scores = dict(zip(ids.tolist(), texts, strict=True))
    return words.update(root, tracks, scores, ("score",), text.choose(embedder), lambda stage, done, total: None)


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
        text.choose("sbert")


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

    def embed(texts, *, model, progress):
        shown.append([sung for sung in texts if sung])
        values = np.array([[len(sung), 1.0] if sung else [0, 0] for sung in texts], dtype=np.float32)
        return values, values.any(axis=1)

    monkeypatch.setattr(text, "embed_sbert", embed)
    monkeypatch.setattr(text, "choose", lambda embedder: text.Embedder("sbert:fake", ""))
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
