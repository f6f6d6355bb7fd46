"""From a corpus to a store: what is due, what failed, what is kept.

Conventions: a run does what is due and no more. A track is due when it is new, when its file has changed (size or
modification time), or when a feature's spec has. No file can stop a run: one that cannot be used is left out of
tracks.csv and stands with its reason in skipped.csv. A corpus without audio is not heard: what it brings ready-made is
all its store holds. Finished tracks go to disk every few seconds, so that a run that is killed, interrupted or out of
disk loses only those, and the same command goes on from there.
"""

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from musiclust import store
from musiclust.preprocess.audio import features
from musiclust.preprocess.audio.decode import split_stretch
from musiclust.preprocess.audio.listen import Heard, hear
from musiclust.preprocess.corpora.base import Corpus
from musiclust.preprocess.lyrics import embed, update, whisper_model, written
from musiclust.preprocess.lyrics.gate import Gate
from musiclust.preprocess.lyrics.update import Report
from musiclust.preprocess.workers import Failed, hear_all
from musiclust.preprocess.writing import shards
from musiclust.preprocess.writing.lock import claim, full_disk_explained, locked
from musiclust.preprocess.writing.swap import together
from musiclust.types import Tracks

_SHARD_TRACKS = 32
_SHARD_SECONDS = 5.0
_BROUGHT = "corpus"  # in the spec of a block that the corpus brought ready-made: which


@dataclass(frozen=True)
class Summary:
    """What became of the files of a corpus.

    Attributes:
      found: how many `things` there are: "audio files" by their names, "clips" where several are cut from a file, or
        "rows" where there is no audio. used: tracks now in the store. computed: of these, in this run.
      others: files passed over as not audio.
      skipped: (path, reason) of audio files that cannot be used. warnings: (path, what is amiss) of files used all
        the same.
      blocks: name -> (shape, dtype, how many tracks are valid).
      lyrics: source -> number of tracks. refused: (track_id, reason) where a text was found and not taken for lyrics.
      embedder: of the block "lyrics"; None where there is no such block. words: see `update.statistics`.
      seconds: stage -> duration.
    """

    found: int
    things: str
    used: int
    computed: int
    others: int
    skipped: Sequence[tuple[str, str]]
    warnings: Sequence[tuple[str, str]]
    blocks: Mapping[str, tuple[tuple[int, ...], str, int]]
    lyrics: Mapping[str, int]
    refused: Sequence[tuple[str, str]]
    embedder: embed.Embedder | None
    words: Mapping[str, Any]
    seconds: Mapping[str, float]


def preprocess(
    corpus: Corpus,
    root: Path,
    *,
    lyrics_from: str = "auto",
    embedder: str = "auto",
    whisper: whisper_model.Settings | None = None,
    gate: Gate | None = Gate(),  # noqa: B008 (frozen)
    workers: int = 1,
    progress: Report | None = None,
) -> Summary:
    """Brings the store at `root` up to date with `corpus`.

    Args:
      lyrics_from: a key of `written.SOURCES`.
      embedder: see `embed.choose`.
      whisper: how to transcribe; None does not, unless lyrics_from is "whisper", which takes the defaults.
      gate: judges what was transcribed, see `gate.judge`; None trusts it.
      workers: processes that decode and extract, and that transcribe.
      progress: called with (stage, done, total).

    Raises:
      InputError: if the store holds another corpus or is being written by another process, the disk is full, or the
        embedder or the Whisper model is not there.
    """
    chosen = embed.choose(embedder)
    if lyrics_from == "whisper":
        whisper = whisper or whisper_model.Settings()
    if whisper is not None:
        whisper_model.check(whisper)
    report = progress or (lambda stage, done, total: None)
    started = time.monotonic()
    with full_disk_explained(root), locked(root):
        claim(root, corpus)
        specs = {name: features.spec(name) for name in features.BLOCKS}
        tracks, done, failed, computed = corpus.tracks, {}, [], 0
        audible = (tracks.path != "").any()
        if audible:
            done, failed, computed = _features(tracks, root, specs, workers, report)
            tracks = _with_durations(tracks, done)
        skipped = [*corpus.skipped, *failed]
        store.save_skipped(root, skipped)
        heard = time.monotonic()
        records, embedded, blocks = {}, False, {}
        if len(tracks):
            if audible:
                shards.merge(root, tracks, done, specs)
            _bring(root, corpus, tracks)
            sources = written.SOURCES[lyrics_from]
            records, embedded = update.update(
                root,
                tracks,
                corpus.words,
                sources,
                chosen,
                report,
                transcripts=corpus.transcripts,
                whisper=whisper,
                gate=gate,
                workers=workers,
            )
            ready = [block.name for block in corpus.blocks]
            names = [*(specs if audible else ()), *ready, *([update.BLOCK] if embedded else [])]
            blocks = {name: store.load_block(root, name) for name in names}
    paths = dict(zip(tracks.track_id.tolist(), tracks.path.tolist(), strict=True))
    unused = {path for path, _ in failed}
    amiss = [(paths[i], one.warning) for i, one in done.items() if one.warning]
    return Summary(
        found=len(tracks) + len(skipped),
        things=_things(corpus.tracks),
        used=len(tracks),
        computed=computed,
        others=corpus.others,
        skipped=skipped,
        warnings=[*(one for one in corpus.warnings if one[0] not in unused), *amiss],
        blocks={name: (b.values.shape, str(b.values.dtype), int(b.valid.sum())) for name, b in blocks.items()},
        lyrics=Counter(record["source"] for record in records.values()),
        refused=[(i, record["reason"]) for i, record in records.items() if written.refused(record)],
        embedder=chosen if embedded else None,
        words=update.statistics(records, store.load_block(root, update.BLOCK) if embedded else None),
        seconds={"features": heard - started, "lyrics": time.monotonic() - heard},
    )


def _bring(root: Path, corpus: Corpus, tracks: Tracks) -> None:
    """Stores what the corpus brings ready-made for `tracks`; takes out what it brought before and no longer does.

    Where there is no audio tracks.csv is written here, with the blocks; else it is there already.
    """
    audible = (tracks.path != "").any()
    blocks = store.align(tracks, corpus.blocks)
    if blocks or not audible:
        with together(root) as staged:
            if not audible:
                store.save_tracks(staged, tracks)
            for block in blocks:
                store.save_block(staged, replace(block, spec={**block.spec, _BROUGHT: corpus.source["corpus"]}))
    for name in set(store.block_names(root)) - {block.name for block in blocks}:
        if _BROUGHT in store.load_block(root, name).spec:
            for suffix in (".json", ".npy"):
                (root / f"{name}{suffix}").unlink()


def _things(tracks: Tracks) -> str:
    paths = tracks.path.tolist()
    if not any(paths):
        return "rows"
    return "clips" if any(split_stretch(path)[1] for path in paths) else "audio files"


def _features(
    tracks: Tracks, root: Path, specs: shards.Specs, workers: int, report: Report
) -> tuple[dict[str, shards.Done], list[tuple[str, str]], int]:
    """Computes what is due. Returns every usable track, (path, reason) of the others, how many were computed."""
    before, done, failed, due = shards.finished(root, specs), {}, [], []
    for track_id, path in zip(tracks.track_id.tolist(), tracks.path.tolist(), strict=True):
        try:
            status = os.stat(split_stretch(path)[0])
        except OSError as error:
            failed.append((path, f"cannot be read: {error.strerror}"))
            continue
        stamp = shards.Stamp(status.st_size, status.st_mtime_ns)
        if track_id in before and before[track_id].stamp == stamp:
            done[track_id] = before[track_id]
        else:
            due.append((track_id, path, stamp))
    if not due:
        return done, failed, 0
    features.warm_up()  # numba's compiled code goes to its cache on disk, from which the processes of the pool load it
    report("features", 0, len(due))
    unsaved: list[tuple[str, shards.Stamp, Heard]] = []

    def save() -> None:
        if unsaved:
            shards.save_shard(root, unsaved, specs)
            unsaved.clear()

    saved, count = time.monotonic(), 0
    try:
        with closing(hear_all([path for _, path, _ in due], workers=workers, hear=hear)) as results:
            for i, result in results:
                track_id, path, stamp = due[i]
                if isinstance(result, Failed):
                    failed.append((path, result.reason))
                else:
                    unsaved.append((track_id, stamp, result))
                if len(unsaved) >= _SHARD_TRACKS or time.monotonic() - saved > _SHARD_SECONDS:
                    save()
                    saved = time.monotonic()
                count += 1
                report("features", count, len(due))
    finally:
        save()
    finished = shards.finished(root, specs)
    computed = [track_id for track_id, path, stamp in due if track_id in finished and finished[track_id].stamp == stamp]
    return done | {track_id: finished[track_id] for track_id in computed}, sorted(failed), len(computed)


def _with_durations(tracks: Tracks, done: Mapping[str, shards.Done]) -> Tracks:
    used = tracks.select(np.array([track_id in done for track_id in tracks.track_id.tolist()], dtype=bool))
    duration = np.array([done[track_id].duration for track_id in used.track_id.tolist()])
    return replace(used, meta={**used.meta, "duration": duration})
