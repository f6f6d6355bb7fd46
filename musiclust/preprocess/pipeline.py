"""From a corpus to a store: what is due, what failed, what is kept.

Conventions: a run does what is due and no more. A track is due when it is new, when its file has changed (size or
modification time), or when a feature's spec has. No file can stop a run: one that cannot be used is left out of
tracks.csv and stands with its reason in skipped.csv. For a corpus without audio no features are computed: its store
holds the blocks that it has ready-made and nothing else. Blocks joined to it from a table stay in the store until a
table brings others of their names. Finished tracks go to disk every few seconds, so that a run
that is killed, interrupted or out of disk loses only those, and the same command goes on from there.
"""

import os
import stat
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from musiclust import store
from musiclust.errors import InputError
from musiclust.preprocess.audio import listen
from musiclust.preprocess.corpora.base import Corpus
from musiclust.preprocess.lyrics import embed, transcribe, update, whisper_model
from musiclust.preprocess.lyrics.gate import Gate
from musiclust.preprocess.lyrics.update import Report
from musiclust.preprocess.workers import Failed, Where
from musiclust.preprocess.writing import shards
from musiclust.preprocess.writing.lock import explain_full_disk, lock_store, record_corpus
from musiclust.preprocess.writing.swap import replace_files
from musiclust.stretches import split_stretch
from musiclust.types import JOINED, Tracks

_SHARD_TRACKS = 32
_SHARD_SECONDS = 5.0
_MOST_DEAD = 1 / 3  # of the rows of a block; more are told
_READY_MADE = "corpus"  # in the spec of a block that a corpus has ready-made: the name of the corpus


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
      dead: name -> bytes of the rows that are no track's, for each block where they are more than a third of all rows.
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
    dead: Mapping[str, int]
    lyrics: Mapping[str, int]
    refused: Sequence[tuple[str, str]]
    embedder: embed.Embedder | None
    words: Mapping[str, Any]
    seconds: Mapping[str, float]


def preprocess(
    corpus: Corpus,
    root: Path,
    *,
    audio: listen.Settings = listen.Settings(),  # noqa: B008 (frozen)
    lyrics: str = "auto",
    embedder: str = "auto",
    whisper: whisper_model.Settings | None = None,
    gate: Gate | None = Gate(),  # noqa: B008 (frozen)
    workers: Where = 1,
    progress: Report | None = None,
) -> Summary:
    """Brings the store at `root` up to date with `corpus`.

    Args:
      audio: how the audio files are heard, see `listen.Settings`.
      lyrics: where to look for words, a key of `update.SOURCES`.
      embedder: see `embed.choose`.
      whisper: how to transcribe; with None nothing is transcribed, unless `lyrics` is "whisper", which takes the
        default settings.
      gate: thresholds for what was transcribed, see `gate.judge`; with None all of it is trusted.
      workers: how many processes decode and extract, and transcribe; or the machines that do so, see
        `machines.dispatch.connect`.
      progress: called with (stage, done, total).

    Raises:
      InputError: if the store holds another corpus or is being written by another process, the disk is full, a block
        joined from a table has the name of one made from sound, the embedder or the Whisper model is not there, or the
        machines cannot be used.
    """
    chosen = embed.choose(embedder)
    if lyrics == "whisper":
        whisper = whisper or whisper_model.Settings()
    if whisper is not None:
        transcribe.check_settings(whisper, workers)
    report = progress or (lambda stage, done, total: None)
    started = time.monotonic()
    with explain_full_disk(root), lock_store(root), store.writing(root):
        record_corpus(root, corpus.source)
        specs = listen.list_specs(audio)
        tracks, finished, failed, computed = corpus.tracks, {}, [], 0
        audible = (tracks.path != "").any()
        _check_names(corpus)
        if audible:
            finished, failed, computed = _compute_features(tracks, root, audio, specs, workers, report)
            tracks = _add_durations(tracks, finished)
        skipped = [*corpus.skipped, *failed]
        store.save_skipped(root, skipped)
        heard = time.monotonic()
        records, embedded, blocks = {}, False, {}
        if len(tracks):
            if audible:
                shards.merge_shards(root, tracks, finished, specs)
            ready = _save_ready_made(root, corpus, tracks)
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
            heard_blocks = [name for of_group in specs.values() for name in of_group] if audible else []
            names = [*heard_blocks, *ready, *([update.BLOCK] if embedded else [])]
            blocks = {name: store.load_outline(root, name) for name in names}
    paths = dict(zip(tracks.track_id.tolist(), tracks.path.tolist(), strict=True))
    unused = {path for path, _ in failed}
    amiss = [
        (paths[i], one.file.warning)
        for i, one in next(iter(finished.values()), {}).items()
        if one.file.warning and i in tracks.track_id
    ]
    return Summary(
        found=len(tracks) + len(skipped),
        things=_name_things(corpus.tracks),
        used=len(tracks),
        computed=computed,
        others=corpus.others,
        skipped=skipped,
        warnings=[*(one for one in corpus.warnings if one[0] not in unused), *amiss],
        blocks={name: (b.shape, str(b.layout.dtype), int(b.valid.sum())) for name, b in blocks.items()},
        dead=_list_dead(blocks.values()),
        lyrics=Counter(record["source"] for record in records.values()),
        refused=update.list_refused(records),
        embedder=chosen if embedded else None,
        words=update.summarise(records, store.load_block(root, update.BLOCK) if embedded else None),
        seconds={"features": heard - started, "lyrics": time.monotonic() - heard},
    )


def _list_dead(blocks: Iterable[store.Outline]) -> dict[str, int]:
    return {b.name: b.dead_rows * b.layout.row_bytes for b in blocks if b.dead_rows > _MOST_DEAD * b.layout.rows}


def _check_names(corpus: Corpus) -> None:
    """Raises InputError where a joined block would take the place of one that is made from sound."""
    taken = {block.name for block in corpus.blocks if JOINED in block.spec} & listen.NAMES
    if taken:
        raise InputError(f"`block={min(taken)}`: blocks made from sound have that name: choose another for the table's")


def _save_ready_made(root: Path, corpus: Corpus, tracks: Tracks) -> list[str]:
    """Stores the blocks that the corpus has ready-made for `tracks`, and removes those that it had before.

    Blocks joined from a table before stay, for the tracks there are now. Where there is no audio tracks.csv is written
    here, with the blocks; else it is there already.

    Returns:
      The names of all these blocks.
    """
    audible = (tracks.path != "").any()
    brought = {block.name: block for block in store.align(tracks, corpus.blocks)}
    stored = {name: store.load_outline(root, name) for name in set(store.block_names(root)) - set(brought)}
    joined = {name: block for name, block in stored.items() if JOINED in block.spec}
    gone = {name for name, block in stored.items() if _READY_MADE in block.spec}
    gone |= {name for name, block in joined.items() if not np.isin(block.track_id[block.valid], tracks.track_id).any()}
    changed = [
        block
        for name, block in joined.items()
        if name not in gone and not np.array_equal(block.track_id, tracks.track_id)
    ]
    if brought or changed or not audible:
        with replace_files(root) as folder:
            if not audible:
                store.update_tracks(root, folder, tracks)
            for block in brought.values():
                mark = {} if JOINED in block.spec else {_READY_MADE: corpus.source["corpus"]}
                store.save_block(folder, replace(block, spec={**block.spec, **mark}))
            for block in changed:
                _fit_block(root, folder, block, tracks.track_id)
    for name in gone:
        store.remove_block(root, name)
    return sorted({*brought, *joined} - gone)


def _fit_block(root: Path, folder: Path, block: store.Outline, track_id: np.ndarray) -> None:
    """Makes a stored block hold `track_id` (N,); those that it lacks become rows of zeros that are not valid."""
    ids = track_id.tolist()
    fresh = track_id[~np.isin(track_id, block.track_id)].tolist()
    silent = {*fresh, *block.track_id[~block.valid].tolist()}
    zeros = (np.zeros(block.layout.shape, block.layout.dtype) for _ in fresh)
    store.extend_block(root, folder, block.name, ids, fresh, zeros, block.spec, invalid=silent.intersection(ids))


def _name_things(tracks: Tracks) -> str:
    paths = tracks.path.tolist()
    if not any(paths):
        return "rows"
    return "clips" if any(split_stretch(path)[1] for path in paths) else "audio files"


def _compute_features(
    tracks: Tracks,
    root: Path,
    audio: listen.Settings,
    groups: Mapping[str, shards.Specs],
    workers: Where,
    report: Report,
) -> tuple[dict[str, dict[str, shards.Finished]], list[tuple[str, str]], int]:
    """Computes the features that are due.

    Returns:
      group -> track_id -> where the features are; (path, reason) of the tracks that cannot be used; how many tracks
      were computed. The tracks that can be used are finished in each group.
    """
    before = shards.find_finished(root, groups)
    failed, due, stamps = [], [], {}
    for track_id, path in zip(tracks.track_id.tolist(), tracks.path.tolist(), strict=True):
        try:
            status = os.stat(split_stretch(path)[0])
        except OSError as error:
            failed.append((path, f"cannot be read: {error.strerror}"))
            continue
        if not stat.S_ISREG(status.st_mode):  # it has become so since its folder was looked through
            failed.append((path, "a pipe, socket or device, not a file"))
            continue
        stamps[track_id] = stamp = store.Stamp(status.st_size, status.st_mtime_ns)
        lacking = [group for group, there in before.items() if not _is_current(there.get(track_id), stamp)]
        if lacking:
            due.append((track_id, listen.Job(path, tuple(lacking))))
    now = before
    if due:
        failed += _listen_and_save(root, due, stamps, audio, groups, workers, report)
        now = shards.find_finished(root, groups)
    finished = {
        group: {track_id: one for track_id, one in there.items() if _is_current(one, stamps.get(track_id))}
        for group, there in now.items()
    }
    computed = sum(all(track_id in there for there in finished.values()) for track_id, _ in due)
    return finished, sorted(failed), computed


def _is_current(finished: shards.Finished | None, stamp: store.Stamp | None) -> bool:
    return finished is not None and finished.file.stamp == stamp


def _listen_and_save(
    root: Path,
    due: Sequence[tuple[str, listen.Job]],
    stamps: Mapping[str, store.Stamp],
    audio: listen.Settings,
    groups: Mapping[str, shards.Specs],
    workers: Where,
    report: Report,
) -> list[tuple[str, str]]:
    """Computes what is due and saves it in shards, every few seconds.

    Returns:
      (path, reason) of the tracks that cannot be used.
    """
    failed = []
    unsaved: dict[str, list[shards.Computed]] = {group: [] for group in groups}

    def save() -> None:
        for group, computed in unsaved.items():
            if computed:
                shards.save_shard(root, computed, groups[group])
                computed.clear()

    report("features", 0, len(due))
    saved = time.monotonic()
    try:
        jobs = [job for _, job in due]
        with closing(listen.listen(jobs, audio, workers=workers, report=report)) as results:
            for count, (i, result) in enumerate(results, start=1):
                track_id, job = due[i]
                if isinstance(result, Failed):
                    failed.append((job.path, result.reason))
                else:
                    file = store.FileRecord(stamps[track_id], result.duration, result.warning)
                    for group, values in result.features.items():
                        unsaved[group].append(shards.Computed(track_id, file, values))
                if max(map(len, unsaved.values())) >= _SHARD_TRACKS or time.monotonic() - saved > _SHARD_SECONDS:
                    save()
                    saved = time.monotonic()
                report("features", count, len(due))
    finally:
        save()
    return failed


def _add_durations(tracks: Tracks, finished: Mapping[str, Mapping[str, shards.Finished]]) -> Tracks:
    """Those of `tracks` that are finished in each group, with their durations."""
    used = tracks.select(
        np.array([all(i in there for there in finished.values()) for i in tracks.track_id.tolist()], dtype=bool)
    )
    first = next(iter(finished.values()))
    duration = np.array([first[track_id].file.duration for track_id in used.track_id.tolist()])
    return replace(used, meta={**used.meta, "duration": duration})
