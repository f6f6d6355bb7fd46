"""From a corpus to a store: what is due, what failed, what is kept.

Conventions: a run does what is due and no more. A track is due when it is new, when its file has changed (size or
modification time), or when a feature's spec has. No file can stop a run: one that cannot be used is left out of
tracks.csv and stands with its reason in skipped.csv. For a corpus without audio no features are computed: its store
holds the blocks that it has ready-made and nothing else. Finished tracks go to disk every few seconds, so that a run
that is killed, interrupted or out of disk loses only those, and the same command goes on from there.
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
from musiclust.preprocess.audio.listen import hear
from musiclust.preprocess.corpora.base import Corpus
from musiclust.preprocess.lyrics import embed, update, whisper_model
from musiclust.preprocess.lyrics.gate import Gate
from musiclust.preprocess.lyrics.update import Report
from musiclust.preprocess.workers import Failed, hear_all
from musiclust.preprocess.writing import shards
from musiclust.preprocess.writing.lock import explain_full_disk, lock_store, record_corpus
from musiclust.preprocess.writing.swap import replace_files
from musiclust.types import Tracks

_SHARD_TRACKS = 32
_SHARD_SECONDS = 5.0
_READY_MADE = "corpus"  # in the spec of a block that a corpus has ready-made: the name of the corpus
_PREPARING = "loading the feature extractor (the first time it compiles)"


@dataclass(frozen=True)
class Summary:
    """What became of the files of a corpus.

    Attributes:
      found: how many `things` there are.
      things: "audio files"; "clips" where several are cut from a file; "rows" where there is no audio.
      used: how many tracks are in the store now.
      computed: how many of these were computed in this run.
      others: how many files were passed over because by their names they are not audio.
      skipped: (path, reason) of the audio files that cannot be used.
      warnings: (path, what is amiss) of the files that are used all the same.
      blocks: name -> (shape, dtype, how many tracks are valid).
      lyrics: source -> number of tracks.
      refused: (track_id, reason) where a text was found and not taken for lyrics.
      embedder: the one that made the block "lyrics"; None where there is no such block.
      words: see `update.summarise`.
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
    lyrics: str = "auto",
    embedder: str = "auto",
    whisper: whisper_model.Settings | None = None,
    gate: Gate | None = Gate(),  # noqa: B008 (frozen)
    workers: int = 1,
    progress: Report | None = None,
) -> Summary:
    """Brings the store at `root` up to date with `corpus`.

    Args:
      lyrics: where to look for words, a key of `update.SOURCES`.
      embedder: see `embed.choose`.
      whisper: how to transcribe; with None nothing is transcribed, unless `lyrics` is "whisper", which takes the
        default settings.
      gate: thresholds for what was transcribed, see `gate.judge`; with None all of it is trusted.
      workers: processes that decode and extract, and that transcribe.
      progress: called with (stage, done, total).

    Raises:
      InputError: if the store holds another corpus or is being written by another process, the disk is full, or the
        embedder or the Whisper model is not there.
    """
    chosen = embed.choose(embedder)
    if lyrics == "whisper":
        whisper = whisper or whisper_model.Settings()
    if whisper is not None:
        whisper_model.check(whisper)
    report = progress or (lambda stage, done, total: None)
    started = time.monotonic()
    with explain_full_disk(root), lock_store(root):
        record_corpus(root, corpus.source)
        specs = {name: features.spec(name) for name in features.BLOCKS}
        tracks, finished, failed, computed = corpus.tracks, {}, [], 0
        audible = (tracks.path != "").any()
        if audible:
            finished, failed, computed = _compute_features(tracks, root, specs, workers, report)
            tracks = _add_durations(tracks, finished)
        skipped = [*corpus.skipped, *failed]
        store.save_skipped(root, skipped)
        heard = time.monotonic()
        records, embedded, blocks = {}, False, {}
        if len(tracks):
            if audible:
                shards.merge_shards(root, tracks, finished, specs)
            _save_ready_made(root, corpus, tracks)
            records, embedded = update.update_lyrics(
                root,
                tracks,
                corpus.words,
                update.SOURCES[lyrics],
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
    amiss = [(paths[i], one.file.warning) for i, one in finished.items() if one.file.warning]
    return Summary(
        found=len(tracks) + len(skipped),
        things=_name_things(corpus.tracks),
        used=len(tracks),
        computed=computed,
        others=corpus.others,
        skipped=skipped,
        warnings=[*(one for one in corpus.warnings if one[0] not in unused), *amiss],
        blocks={name: (b.values.shape, str(b.values.dtype), int(b.valid.sum())) for name, b in blocks.items()},
        lyrics=Counter(record["source"] for record in records.values()),
        refused=update.list_refused(records),
        embedder=chosen if embedded else None,
        words=update.summarise(records, store.load_block(root, update.BLOCK) if embedded else None),
        seconds={"features": heard - started, "lyrics": time.monotonic() - heard},
    )


def _save_ready_made(root: Path, corpus: Corpus, tracks: Tracks) -> None:
    """Stores the blocks that the corpus has ready-made for `tracks`, and removes those that it had before.

    Where there is no audio tracks.csv is written here, with the blocks; else it is there already.
    """
    audible = (tracks.path != "").any()
    blocks = store.align(tracks, corpus.blocks)
    if blocks or not audible:
        with replace_files(root) as folder:
            if not audible:
                store.save_tracks(folder, tracks)
            for block in blocks:
                spec = {**block.spec, _READY_MADE: corpus.source["corpus"]}
                store.save_block(folder, replace(block, spec=spec))
    for name in set(store.block_names(root)) - {block.name for block in blocks}:
        if _READY_MADE in store.load_block(root, name).spec:
            store.remove_block(root, name)


def _name_things(tracks: Tracks) -> str:
    paths = tracks.path.tolist()
    if not any(paths):
        return "rows"
    return "clips" if any(split_stretch(path)[1] for path in paths) else "audio files"


def _compute_features(
    tracks: Tracks, root: Path, specs: shards.Specs, workers: int, report: Report
) -> tuple[dict[str, shards.Finished], list[tuple[str, str]], int]:
    """Computes the features that are due.

    Returns:
      track_id -> where the features are, of every track that can be used; (path, reason) of the others; how many
      tracks were computed.
    """
    before, finished, failed, due = shards.find_finished(root, specs), {}, [], []
    for track_id, path in zip(tracks.track_id.tolist(), tracks.path.tolist(), strict=True):
        try:
            status = os.stat(split_stretch(path)[0])
        except OSError as error:
            failed.append((path, f"cannot be read: {error.strerror}"))
            continue
        stamp = store.Stamp(status.st_size, status.st_mtime_ns)
        if track_id in before and before[track_id].file.stamp == stamp:
            finished[track_id] = before[track_id]
        else:
            due.append((track_id, path, stamp))
    if not due:
        return finished, failed, 0
    report(_PREPARING, 0, 1)
    features.warm_up()  # numba's compiled code goes to its cache on disk, from which the worker processes load it
    report(_PREPARING, 1, 1)
    report("features", 0, len(due))
    unsaved: list[shards.Computed] = []

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
                    file = store.FileRecord(stamp, result.duration, result.warning)
                    unsaved.append(shards.Computed(track_id, file, result.features))
                if len(unsaved) >= _SHARD_TRACKS or time.monotonic() - saved > _SHARD_SECONDS:
                    save()
                    saved = time.monotonic()
                count += 1
                report("features", count, len(due))
    finally:
        save()
    now = shards.find_finished(root, specs)
    computed = [track_id for track_id, _, stamp in due if track_id in now and now[track_id].file.stamp == stamp]
    return finished | {track_id: now[track_id] for track_id in computed}, sorted(failed), len(computed)


def _add_durations(tracks: Tracks, finished: Mapping[str, shards.Finished]) -> Tracks:
    """Those of `tracks` that are finished, with their durations."""
    used = tracks.select(np.array([track_id in finished for track_id in tracks.track_id.tolist()], dtype=bool))
    duration = np.array([finished[track_id].file.duration for track_id in used.track_id.tolist()])
    return replace(used, meta={**used.meta, "duration": duration})
