"""The words of a store's tracks: found or heard, judged, written to lyrics.jsonl, embedded as the block "lyrics".

Conventions: the block has this name whatever embedder made it. Beside it the store keeps a digest of each text, by
which changed texts are found, and the fitted model of TF-IDF, by which a new text is placed. Verdicts are made anew in
each run from the transcripts as they stand, so that another threshold needs no second transcription.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from musiclust import store
from musiclust.preprocess.lyrics import embed, leakage, transcribe, voice, whisper_model, written
from musiclust.preprocess.lyrics.gate import Gate, judge
from musiclust.preprocess.workers import Where
from musiclust.preprocess.writing.swap import replace_files
from musiclust.types import Block, Tracks

Report = Callable[[str, int, int], None]
Records = dict[str, dict[str, Any]]

BLOCK = "lyrics"

# Where to look for words: the first place that has any counts. "whisper" is the only one where they are made.
SOURCES: dict[str, tuple[str, ...]] = {
    "auto": ("score", "sidecar", "tags", "transcript", "whisper"),
    "sidecar": ("sidecar",),
    "tags": ("tags",),
    "whisper": ("whisper",),
    "none": (),
}

_NUMBERS = ("mean", "std", "min", "max")


def update_lyrics(
    root: Path,
    tracks: Tracks,
    scores: Mapping[str, str],
    sources: tuple[str, ...],
    embedder: embed.Embedder,
    report: Report,
    *,
    transcripts: Mapping[str, Sequence[str]] | None = None,
    whisper: whisper_model.Settings | None = None,
    gate: Gate | None = Gate(),  # noqa: B008 (frozen)
    workers: Where = 1,
) -> tuple[Records, bool]:
    """Brings lyrics.jsonl and the block "lyrics" of a store up to date.

    Args:
      scores: track_id -> the words that the corpus knows.
      sources: a value of SOURCES.
      report: called with (stage, done, total).
      transcripts: track_id -> what machines heard in it, as far as the corpus knows; of several the first that has any
        text counts, and the others are held against it.
      whisper: how to transcribe the tracks that no source before "whisper" has words for; with None nothing is
        transcribed, and only what was transcribed before is used.
      gate: thresholds for what machines heard; with None all of it is trusted.
      workers: how many processes transcribe, or the machines that do.

    Returns:
      track_id -> its record, and whether there is a block: not where no track has words.

    Raises:
      InputError: if the Whisper model cannot be loaded.
    """
    before, records, voices = store.load_lyrics(root), {}, voice.load_voices(root)
    for count, (track_id, path) in enumerate(zip(tracks.track_id.tolist(), tracks.path.tolist(), strict=True), start=1):
        records[track_id] = written.find_words(track_id, path, scores.get(track_id, ""), sources)
        heard = [one for one in (transcripts or {}).get(track_id, ()) if one.strip()]
        if "transcript" in sources and heard and not records[track_id]["words"]:
            records[track_id] = written.make_record(track_id, heard[0], "transcript", None, "")
            records[track_id] = judge_record(
                records[track_id], gate, [{"text": one} for one in heard[1:]], voices.get(track_id)
            )
        report("lyrics", count, len(tracks))
    if "whisper" in sources:
        before |= _transcribe(root, tracks, records, whisper, gate, voices, workers, report)
    for track_id, reason in leakage.find_leaks(tracks, {i: record["words"] for i, record in records.items()}).items():
        records[track_id] = {**records[track_id], "words": "", "reason": reason}
    changed = [record for track_id, record in records.items() if before.get(track_id) != record]
    if changed:
        store.append_lyrics(root, changed)
    return records, _embed(root, tracks.track_id, records, embedder, report)


def judge_record(
    record: Mapping[str, Any],
    gate: Gate | None,
    others: Sequence[Mapping[str, Any]] = (),
    voice: float | None = None,
) -> dict[str, Any]:
    """Returns the record with the gate's verdict: its "words", its "reason" and the "reason" of each segment.

    With the score of a voice it has that too, as "voice".
    """
    verdict = judge(record, gate, others, voice)
    found = {**record, "words": verdict.words, "reason": "; ".join(verdict.reasons)}
    found.pop("voice", None)  # of an earlier run
    if voice is not None:
        found["voice"] = round(voice, 4)
    if not record["text"]:
        found["reason"] = "no words heard"
    if "segments" in record:
        pairs = zip(record["segments"], verdict.segments, strict=False)
        found["segments"] = [{**segment, "reason": reason} for segment, reason in pairs]
    return found


def _transcribe(
    root: Path,
    tracks: Tracks,
    records: Records,
    whisper: whisper_model.Settings | None,
    gate: Gate | None,
    voices: Mapping[str, float],
    workers: Where,
    report: Report,
) -> Records:
    """Puts what Whisper heard, now or before, and the verdict on it into the `records` that have no words yet.

    Each transcript is appended to lyrics.jsonl as it comes.

    Returns:
      track_id -> its record, of the tracks that were transcribed now.
    """
    known, due, rivals, new = store.load_transcripts(root), [], {}, {}
    model = transcribe.identify_model(whisper.whisper_model) if whisper else ""
    for track_id, path in zip(tracks.track_id.tolist(), tracks.path.tolist(), strict=True):
        stamp = transcribe.read_stamp(path)
        if records[track_id]["words"] or stamp is None:
            continue
        one = transcribe.Due(track_id, path, stamp)
        valid = {name: found for name, found in known.get(track_id, {}).items() if tuple(found["stamp"]) == stamp}
        name = model or next(reversed(valid), "")
        rivals[track_id] = [found for other, found in valid.items() if other != name]
        if name in valid and (whisper is None or transcribe.is_current(valid[name], one, whisper)):
            records[track_id] = judge_record(valid[name], gate, rivals[track_id], voices.get(track_id))
        elif whisper is not None:
            due.append(one)
    if whisper is None:
        return new
    report("transcribing", 0, len(due))
    for count, (one, record) in enumerate(transcribe.transcribe_all(due, whisper, workers=workers), start=1):
        records[one.track_id] = record
        if record["source"] == "whisper":
            heard = judge_record(record, gate, rivals[one.track_id], voices.get(one.track_id))
            new[one.track_id] = records[one.track_id] = heard
            store.append_lyrics(root, [new[one.track_id]])
        report("transcribing", count, len(due))
    return new


def list_refused(records: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Lists (track_id, reason) of the tracks for which a text was found and not taken for lyrics."""
    return [(track_id, record["reason"]) for track_id, record in records.items() if written.is_refused(record)]


def summarise(records: Mapping[str, Mapping[str, Any]], block: Block | None) -> dict[str, Any]:
    """Makes the FMA report's table of lyrics (its section 3.2) and, beside it, counts languages.

    Returns:
      "tracks", "vocal" and "instrumental" (or minimal) tracks; "mean", "std", "min" and "max" of all values of the
      vectors of tracks with words, None where there are none; "languages": code -> vocal tracks, "unknown" where
      nobody said. Vectors of length 1 have a "std" of about 1 / sqrt(D), whatever they mean.
    """
    vocal = [record for record in records.values() if record["words"]]
    values = block.values[block.valid] if block is not None and block.valid.any() else None
    numbers = {name: None if values is None else float(getattr(np, name)(values)) for name in _NUMBERS}
    languages = Counter(record["language"] or "unknown" for record in vocal)
    return {
        "tracks": len(records),
        "vocal": len(vocal),
        "instrumental": len(records) - len(vocal),
        **numbers,
        "languages": dict(languages.most_common()),
    }


def _embed(
    root: Path,
    track_id: np.ndarray,
    records: Mapping[str, Mapping[str, Any]],
    embedder: embed.Embedder,
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
    texts = [records[i]["words"] for i in track_id.tolist()]
    if not any(texts):
        store.remove_block(root, BLOCK)
        store.remove_text_model(root)
        return False
    digests = np.array([hashlib.sha256(words.encode()).hexdigest()[:16] for words in texts])
    old = _load_old(root, embedder)
    if old is not None and np.array_equal(old[0].track_id, track_id) and np.array_equal(old[1], digests):
        return True
    model: dict[str, np.ndarray] = {}
    if embedder.name == "tfidf-svd":
        fitted = embed.fit_tfidf_svd(texts)
        values, valid = embed.apply_tfidf_svd(fitted, texts)
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
    with replace_files(root) as folder:
        store.save_text_model(folder, digests, model)
        if old is None or model:
            store.save_block(folder, Block(BLOCK, track_id, values, valid, spec))
        else:
            before = dict(zip(old[0].track_id.tolist(), old[1].tolist(), strict=True))
            new = np.array([before.get(i) != digest for i, digest in zip(track_id.tolist(), digests, strict=True)])
            ids, silent = track_id.tolist(), track_id[~valid].tolist()
            store.extend_block(root, folder, BLOCK, ids, track_id[new].tolist(), values[new], spec, invalid=silent)
    return True


def _load_old(root: Path, embedder: embed.Embedder) -> tuple[Block, np.ndarray] | None:
    """Loads the block as it is and the digests of its texts (N,); None where it has to be made anew."""
    model = store.load_text_model(root)
    if BLOCK not in store.block_names(root) or model is None:
        return None
    block = store.load_block(root, BLOCK)
    whole = len(model[0]) == len(block.track_id)  # not where rows were damaged, and dropped
    return (block, model[0]) if whole and block.spec["embedder"] == embedder.name else None


def _embed_changed(
    texts: Sequence[str],
    digests: np.ndarray,
    known: Mapping[str, np.ndarray],
    embedder: embed.Embedder,
    report: Report,
) -> tuple[np.ndarray, np.ndarray]:
    """Embeds texts as `embed.embed_sbert` does, but for those whose digest is known."""
    valid = np.array([bool(words) for words in texts])
    fresh = [words if digest not in known else "" for words, digest in zip(texts, digests, strict=True)]
    if not any(fresh):
        return np.stack([known[digest] for digest in digests]), valid
    model = embedder.name.removeprefix("sbert:")
    values, _ = embed.embed_sbert(fresh, model=model, progress=lambda done, total: report("embedding", done, total))
    for row, digest in enumerate(digests):
        if digest in known:
            values[row] = known[digest]
    return values, valid
