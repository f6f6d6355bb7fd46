"""embed: transcripts to vectors, against TF-IDF by hand and the sentence-transformers model alone."""

import math

import numpy as np
import pytest

from musiclust import store
from musiclust.errors import InputError
from musiclust.preprocess.lyrics import embed

TEXTS = ["the sea the sea", "the hill and the sea", "", "a hill I climb", "night"]


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


def test_tfidf_svd_keeps_the_cosines_of_tfidf():
    # with as many dimensions as texts nothing is lost, so the cosines are those of TF-IDF itself
    values, valid = embed.apply_tfidf_svd(embed.fit_tfidf_svd(TEXTS), TEXTS)
    by_hand = tfidf_by_hand(TEXTS)
    assert values.shape == (5, 4)
    assert valid.tolist() == [True, True, False, True, True]
    np.testing.assert_allclose(values[valid] @ values[valid].T, by_hand @ by_hand.T, atol=1e-5)
    np.testing.assert_array_equal(values[2], 0)


def test_tfidf_svd_is_deterministic_and_bounded():
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{j}" for j in rng.integers(0, 300, 40)) for _ in range(100)]
    first, second = (embed.apply_tfidf_svd(embed.fit_tfidf_svd(texts), texts)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (100, 64)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, rtol=1e-5)


def test_tfidf_svd_places_a_new_text_as_if_it_had_been_there(tmp_path):
    model = embed.fit_tfidf_svd(TEXTS)
    store.save_text_model(tmp_path, np.array(["x"] * len(TEXTS)), model._asdict())
    values, valid = embed.apply_tfidf_svd(embed.load_tfidf_svd(tmp_path), ["THE SEA, the sea!", "unheard-of", ""])
    np.testing.assert_allclose(values[0], embed.apply_tfidf_svd(model, TEXTS)[0][0], atol=1e-6)
    assert valid.tolist() == [True, False, False]
    with pytest.raises(InputError, match=r"holds no fitted text model"):
        embed.load_tfidf_svd(tmp_path / "other")


def test_one_text_and_one_word_will_do():
    values, valid = embed.apply_tfidf_svd(embed.fit_tfidf_svd(["la"]), ["la", ""])
    np.testing.assert_allclose(values, [[1], [0]])
    assert valid.tolist() == [True, False]


def test_unknown_embedders_name_the_choices():
    with pytest.raises(InputError, match="'bert' is not known: choose from auto, tfidf, sbert"):
        embed.choose("bert")
    with pytest.raises(InputError, match="is not known"):
        embed.choose("tfidf:x")
    assert embed.choose("tfidf") == ("tfidf-svd", "")


@pytest.mark.slow
def test_sbert_equals_the_model_alone_and_pools_windows():
    if embed.choose("auto").name != f"sbert:{embed.SBERT}":
        pytest.skip("SBERT is not installed")
    network = embed._load_sbert(embed.SBERT, "cpu")
    song = "I walked along the shore, unbelievably weather-beaten. " * 40
    texts = ["Kyrie eleison", "", song, "a short line"]
    values, valid = embed.embed_sbert(texts, device="cpu")
    assert values.shape == (4, 384)
    assert valid.tolist() == [True, False, True, True]
    alone = network.encode(["Kyrie eleison", "a short line"], normalize_embeddings=True)
    np.testing.assert_allclose(values[[0, 3]], alone, atol=1e-5)
    np.testing.assert_array_equal(values[1], 0)
    np.testing.assert_allclose(np.linalg.norm(values[valid], axis=1), 1, rtol=1e-5)

    def tokens(words):
        return network.tokenizer(words, add_special_tokens=False)["input_ids"]

    windows = embed._windows(network, song)
    assert [len(tokens(window)) for window, _ in windows] == [n for _, n in windows]
    assert all(n <= 254 for _, n in windows)
    assert [token for window, _ in windows for token in tokens(window)] == tokens(song)
    weights = np.array([n for _, n in windows], dtype=float)
    vectors = network.encode([window for window, _ in windows], normalize_embeddings=True)
    mean = weights @ vectors
    np.testing.assert_allclose(values[2], mean / np.linalg.norm(mean), atol=1e-5)
    assert np.abs(values[2] - network.encode(song, normalize_embeddings=True)).max() > 1e-3  # which cuts the song off
