"""The words of a store's tracks: found, written to lyrics.jsonl, embedded as the block "lyrics".

Conventions: the block has this name whatever embedder made it. Beside it, lyrics.model.npz holds a digest of each text,
by which changed ones are told, and TF-IDF's fitted model, by which a new text is placed.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from musiclust import store
from musiclust.preprocess import lyrics, text
from musiclust.preprocess.staging import together
from musiclust.types import Block, Tracks

Report = Callable[[str, int, int], None]

BLOCK = "lyrics"


def update(
    root: Path,
    tracks: Tracks,
    scores: Mapping[str, str],
    sources: tuple[str, ...],
    embedder: text.Embedder,
    report: Report,
) -> tuple[dict[str, dict[str, Any]], bool]:
    """Brings words and their embedding up to date.

    Args:
      scores: track_id -> the words that the corpus knows.
      sources: a value of `lyrics.SOURCES`.
      report: called with (stage, done, total).

    Returns:
      track_id -> its record, and whether there is a block: not where no track has words.
    """
    records = _transcribe(root, tracks, scores, sources, report)
    return records, _embed(root, tracks.track_id, records, embedder, report)


def _transcribe(
    root: Path, tracks: Tracks, scores: Mapping[str, str], sources: tuple[str, ...], report: Report
) -> dict[str, dict[str, Any]]:
    """The record of each track; those that are new or have changed are appended to lyrics.jsonl."""
    before, records = store.load_lyrics(root), {}
    for count, (track_id, path) in enumerate(zip(tracks.track_id.tolist(), tracks.path.tolist(), strict=True), start=1):
        records[track_id] = lyrics.transcribe(track_id, path, scores.get(track_id, ""), sources)
        report("lyrics", count, len(tracks))
    changed = [record for track_id, record in records.items() if before.get(track_id) != record]
    if changed:
        store.append_lyrics(root, changed)
    return records


def _embed(
    root: Path,
    track_id: np.ndarray,
    records: Mapping[str, Mapping[str, Any]],
    embedder: text.Embedder,
    report: Report,
) -> bool:
    """Makes the block "lyrics" of a store hold the words of `track_id` (N,), sorted; removes it if nobody sings.

    SBERT is shown only the texts that are new or changed. TF-IDF is fitted anew when any is.

    Args:
      records: track_id -> its lyrics record.
      report: called with (stage, done, total).

    Returns:
      Whether there is such a block now.
    """
    texts = [records[i]["text"] for i in track_id.tolist()]
    if not any(texts):
        for name in (f"{BLOCK}.json", f"{BLOCK}.npy", text.MODEL):
            (root / name).unlink(missing_ok=True)
        return False
    digests = np.array([hashlib.sha256(words.encode()).hexdigest()[:16] for words in texts])
    old = _old(root, embedder)
    if old is not None and np.array_equal(old[0].track_id, track_id) and np.array_equal(old[1], digests):
        return True
    model: dict[str, np.ndarray] = {}
    if embedder.name == "tfidf-svd":
        fitted = text.fit_tfidf_svd(texts)
        values, valid = text.apply_tfidf_svd(fitted, texts)
        model = fitted._asdict()
    else:
        known = {} if old is None else dict(zip(old[1].tolist(), old[0].values, strict=True))
        values, valid = _embed_changed(texts, digests, known, embedder, report)
    spec = {
        "shape": list(values.shape[1:]),
        "dtype": "float32",
        "units": "1, of length 1",
        "description": "embedding of the words sung",
        "embedder": embedder.name,
        "why": embedder.why,
    }
    with together(root) as staged:
        with store.atomic(staged / text.MODEL, "wb") as file:
            np.savez(file, allow_pickle=False, digests=digests, **model)
        store.save_block(staged, Block(BLOCK, track_id, values, valid, spec))
    return True


def _old(root: Path, embedder: text.Embedder) -> tuple[Block, np.ndarray] | None:
    """The block as it is and the digests of its texts (N,); None if there is none or another embedder made it."""
    if BLOCK not in store.block_names(root) or not (root / text.MODEL).exists():
        return None
    block = store.load_block(root, BLOCK)
    with np.load(root / text.MODEL) as arrays:
        return (block, arrays["digests"]) if block.spec["embedder"] == embedder.name else None


def _embed_changed(
    texts: Sequence[str],
    digests: np.ndarray,
    known: Mapping[str, np.ndarray],
    embedder: text.Embedder,
    report: Report,
) -> tuple[np.ndarray, np.ndarray]:
    """As `text.embed_sbert`, but for texts of known digest."""
    valid = np.array([bool(words) for words in texts])
    fresh = [words if digest not in known else "" for words, digest in zip(texts, digests, strict=True)]
    if not any(fresh):
        return np.stack([known[digest] for digest in digests]), valid
    model = embedder.name.removeprefix("sbert:")
    values, _ = text.embed_sbert(fresh, model=model, progress=lambda done, total: report("embedding", done, total))
    for row, digest in enumerate(digests):
        if digest in known:
            values[row] = known[digest]
    return values, valid
