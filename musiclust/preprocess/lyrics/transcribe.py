"""Words heard in the sound: openai-whisper over whole files, in processes of their own.

Conventions: Whisper is given float32 mono at 16 kHz, decoded by libsndfile without ffmpeg. What it hears becomes a
record in lyrics.jsonl, one for each track and model, and is never made twice: a transcript holds for as long as its
file keeps size and modification time. Segments are Whisper's: start and end are in s; avg_logprob is in nats, the mean
over the tokens of the 30 s window that the segment was cut from; no_speech_prob, compression_ratio and temperature are
of that window too.

Each window is transcribed without the text before it (`condition_on_previous_text`), which else spreads one
hallucination over the rest of a song. Sampling, where Whisper falls back on it, is seeded: one file, one text.

Source: Radford et al., Robust speech recognition via large-scale weak supervision (2022).
"""

import math
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from musiclust import store
from musiclust.errors import InputError
from musiclust.preprocess.audio.decode import mix_channels, open_audio
from musiclust.preprocess.lyrics import written
from musiclust.preprocess.lyrics.whisper_model import Settings, check, load
from musiclust.preprocess.workers import Failed, Machines, Place, Where, hear_all

SAMPLE_RATE = 16_000  # Hz

_BLOCK_SECONDS = 60  # decoded at a time
_WINDOW = 30 * SAMPLE_RATE
_LANGUAGE_WINDOWS = 3  # songs open with bars in which nobody sings
_FILE_SECONDS = 12 * 3600.0  # that another machine may take for a file
_KEPT = ("start", "end", "avg_logprob", "no_speech_prob", "compression_ratio", "temperature")


class Due(NamedTuple):
    """A track to transcribe; `stamp` is that of its file."""

    track_id: str
    path: str
    stamp: store.Stamp


def transcribe_file(path: str, *, settings: Settings) -> dict[str, Any] | Failed:
    """Transcribes a file. It runs in a worker process, which loads the model once.

    Returns:
      "text", "language", "language_probability" (None where the language was given), "segments", "seconds" (what it
      took); or why it could not be done.
    """
    try:
        model = _load_once(settings.whisper_model, settings.device)
        start = time.monotonic()
        heard = _transcribe_samples(model, read_samples(path), settings)
        return {**heard, "seconds": round(time.monotonic() - start, 3)}
    except InputError as error:
        return Failed(str(error).removeprefix(f"{path}: "))
    except Exception as error:  # whatever one file does to the model, the others are heard and this one is named
        return Failed(f"{type(error).__name__}: {error}")


@cache
def _load_once(whisper_model: str, device: str | None) -> Any:
    from tqdm import tqdm

    tqdm.set_lock(threading.RLock())  # its own, which Whisper's bar asks for, outlives a process that is killed
    return load(Settings(whisper_model, device=device))


def read_samples(path: str) -> np.ndarray:
    """Reads a whole file: (n,) float32 mono at 16 kHz; of a damaged one what decodes.

    Channels are mixed minute by minute, as `decode.mix_channels` does it.

    Raises:
      InputError: if it cannot be opened or nothing of it decodes.
    """
    import soundfile
    import soxr

    pieces = []
    try:
        with open_audio(path) as file:
            resampler = soxr.ResampleStream(file.samplerate, SAMPLE_RATE, 1, dtype="float32")
            try:
                while len(block := file.read(_BLOCK_SECONDS * file.samplerate, dtype="float32", always_2d=True)):
                    pieces.append(resampler.resample_chunk(mix_channels(block)[0]))
            except soundfile.LibsndfileError:
                pass  # damaged from here on, which the features have told
            pieces.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    except (OSError, soundfile.LibsndfileError, TypeError) as error:
        raise InputError(f"{path}: not audio that can be decoded here; convert or remove it") from error
    samples = np.concatenate(pieces)
    if not len(samples):
        raise InputError(f"{path}: nothing of it decodes; copy it again or remove it")
    return samples


def _transcribe_samples(model: Any, samples: np.ndarray, settings: Settings) -> dict[str, Any]:
    import torch
    import whisper

    language, probability = settings.language, None
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(0)
        if language is None:
            language, probability = _detect_language(model, samples)
        options = {"condition_on_previous_text": False, "fp16": model.device.type == "cuda", **settings.options}
        heard: Any = whisper.transcribe(model, samples, language=language, **options)
    segments = [
        {"text": segment["text"].strip(), **{name: round(float(segment[name]), 4) for name in _KEPT}}
        for segment in heard["segments"]
        if segment["text"].strip()
    ]
    return {
        "text": "\n".join(segment["text"] for segment in segments),
        "language": language,
        "language_probability": probability,
        "segments": segments,
    }


def _detect_language(model: Any, samples: np.ndarray) -> tuple[str, float]:
    """Returns the language and its probability, the mean over windows spread over the whole track."""
    import torch
    from whisper.audio import log_mel_spectrogram, pad_or_trim

    if not model.is_multilingual:
        return "en", 1.0
    starts = {*np.linspace(0, max(0, len(samples) - _WINDOW), _LANGUAGE_WINDOWS).astype(int).tolist()}
    windows = np.stack([pad_or_trim(samples[start : start + _WINDOW]) for start in sorted(starts)])
    mel = log_mel_spectrogram(torch.from_numpy(windows), model.dims.n_mels).to(model.device)
    _, found = model.detect_language(mel)
    means = {code: float(np.mean([probabilities[code] for probabilities in found])) for code in found[0]}
    best = max(means, key=means.__getitem__)
    return best, round(means[best], 4)


def check_settings(settings: Settings, workers: Where) -> None:
    """Finds out what is wrong with settings where files will be transcribed, see `whisper_model.check`."""
    if isinstance(workers, Machines):
        settings = replace(settings, whisper_model=identify_model(settings.whisper_model))
        list(workers.work_all([settings], files=[""], work=_check_batch, stage="loading Whisper on a worker"))
    else:
        check(settings)


def _check_batch(batch: Sequence[Settings], place: Place) -> list[str]:
    return [place.call(partial(check, settings)) for settings in batch]


def transcribe_all(due: Sequence[Due], settings: Settings, *, workers: Where) -> Iterator[tuple[Due, dict[str, Any]]]:
    """Yields each track with its record, in the order of completion.

    On a CPU each of `workers` processes runs a model on one thread; on a GPU there is one process. Other machines are
    handed one file at a time.

    Yields:
      The track, and what Whisper heard as a record of `source` "whisper", all of its text taken for lyrics, or a record
      of `source` "none" with the reason why nothing could be heard.

    Raises:
      InputError: if the model cannot be loaded.
    """
    if not due:
        return
    paths, model = [one.path for one in due], identify_model(settings.whisper_model)
    if isinstance(workers, Machines):
        work = partial(_transcribe_batch, settings=replace(settings, whisper_model=model))
        results = workers.work_all(paths, files=paths, work=work, stage="transcribing on workers", most=1)
    else:
        on_gpu = check(settings) == "cuda"
        hear = partial(transcribe_file, settings=settings)
        results = hear_all(paths, workers=1 if on_gpu else workers, hear=hear)
    with closing(results):
        for i, heard in results:
            yield due[i], _make_record(due[i], heard, model)


def _transcribe_batch(paths: Sequence[str], place: Place, settings: Settings) -> list[dict[str, Any] | Failed]:
    """Transcribes files on another machine; on its GPU one at a time."""
    on_gpu = place.call(partial(check, settings)) == "cuda"
    hear = partial(transcribe_file, settings=settings)
    with place.take_turns() if on_gpu else nullcontext():
        return [heard for _, heard in place.hear_all(paths, hear=hear, seconds=_FILE_SECONDS)]


def _make_record(due: Due, heard: dict[str, Any] | Failed, model: str) -> dict[str, Any]:
    if isinstance(heard, Failed):
        return written.make_record(due.track_id, "", "none", 0.0, f"Whisper: {heard.reason}")
    confidence = compute_confidence(heard["segments"])
    about = {"model": model, "stamp": list(due.stamp)}
    return written.make_record(due.track_id, heard["text"], "whisper", confidence, "") | heard | about


def read_stamp(path: str) -> store.Stamp | None:
    """Reads size and modification time of a file; None where there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return store.Stamp(status.st_size, status.st_mtime_ns)


def identify_model(whisper_model: str) -> str:
    """Returns what tells one model from another in a record: its name, or the absolute path of its file."""
    path = Path(whisper_model).expanduser()
    return str(path.resolve()) if path.is_file() else whisper_model


def is_current(transcript: Mapping[str, Any], due: Due, settings: Settings) -> bool:
    """Tells whether a transcript is of the file as it is now and in the language asked for."""
    if tuple(transcript["stamp"]) != due.stamp:
        return False
    if settings.language is None:
        return transcript["language_probability"] is not None
    return transcript["language"] == settings.language


def compute_confidence(segments: Sequence[Mapping[str, Any]]) -> float:
    """Computes the geometric mean of the tokens' probabilities, weighted by the lengths of the segments; in [0, 1]."""
    lengths = [max(segment["end"] - segment["start"], 0.02) for segment in segments]
    total = sum(length * segment["avg_logprob"] for length, segment in zip(lengths, segments, strict=True))
    return round(math.exp(total / sum(lengths)), 4) if segments else 0.0
