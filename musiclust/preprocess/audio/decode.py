"""A file on disk -> one short mono clip, or several pieces from all through it.

Conventions: samples are float32, mono (the mean of the channels; the loudest where they cancel each other), full scale
is 1.0, the rate is in Hz. Of a longer file the central stretch is taken: beginnings and endings fade. Whatever
libsndfile reads is read (mp3, ogg, opus, flac, wav, au, aiff, ...), without ffmpeg, and only the frames that are
wanted: the decoder seeks. The tags of an mp3 file never count as sound.

A path may end in a fragment of time, song.wav#t=10,20 (W3C Media Fragments URI, 4.2.1: from second 10 up to second 20),
as where several clips are cut from one song; then that stretch is taken, as if it were the file.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from musiclust.errors import InputError
from musiclust.preprocess.audio.mp3_tags import FilePart, find_sound
from musiclust.stretches import split_stretch

if TYPE_CHECKING:
    import soundfile

SAMPLE_RATE = 22_050  # Hz
CLIP_SECONDS = 30.0

MIN_SAMPLES = 2048  # one analysis window: in a shorter clip no frame is free of padding
SILENCE_PEAK = 1e-4  # -80 dB of full scale, three steps of 16-bit audio: dither and decoder noise, not music
MAX_PEAK = 1e6  # 120 dB over full scale: not a recording, and its powers would near the end of float32
RATES = (1_000, 1_000_000)  # Hz; outside, the header is broken

_CANCELLED = 1e-4  # share of the channels' energy, -40 dB, below which their mean is no sound of the song

_LEAD_IN = 24_000  # frames decoded and dropped: after a seek, mp3 borrows bits from up to twenty frames back
_MARGIN_SECONDS = 0.05  # decoded on both sides of a piece and dropped after resampling, whose filter rings that long
_BLOCK = 8192  # frames read at a time where a file is damaged
_SKIP = 16_384  # frames left out at damage, four times as many where that is not beyond it
_MOST_DAMAGES = 64  # places beyond which a file is looked at
_PADDING_SECONDS = 0.1  # codecs pad: if more than this is missing, the file's frames are counted
_SLACK_SECONDS = 0.5  # what may be missing without a warning: clean mp3 files lack a tenth or two,
_SLACK_SHARE = 0.01  # and long ones whose header has no length up to so much of the length promised


class Clip(NamedTuple):
    """Sound ready to be analysed.

    Attributes:
      samples: (n,) float32 mono, n <= seconds * sample_rate.
      duration: seconds of the whole file, or of the stretch that the path names; of a damaged file, up to the end of
        the last part that decodes.
      warning: "" or one line on what is wrong with a file that was taken all the same.
    """

    samples: np.ndarray
    duration: float
    warning: str


@contextmanager
def open_audio(path: str) -> "Iterator[soundfile.SoundFile]":
    """Opens an audio file for reading; of an mp3 file with tags only what lies between them.

    Raises:
      OSError: if the file cannot be opened.
      soundfile.LibsndfileError: if libsndfile cannot read it.
      TypeError: if it is a headerless .raw file.
    """
    import soundfile

    with open(path, "rb") as file:
        place = find_sound(file)
        if place is not None:
            part: Any = FilePart(file, *place)
            with soundfile.SoundFile(part) as audio:
                yield audio
            return
    with soundfile.SoundFile(path) as audio:
        yield audio


def decode(path: Path | str, *, sample_rate: int = SAMPLE_RATE, seconds: float = CLIP_SECONDS) -> Clip:
    """Decodes the central `seconds` of an audio file, the whole of a shorter one, resampled to `sample_rate` Hz.

    Of a path with a fragment of time it decodes the stretch from its start on, as far as the file goes, `seconds` at
    most.

    A file that breaks off, or is damaged, before its central stretch ends is taken for the longest part that decodes,
    and the clip says so. Damage beyond that stretch changes nothing and goes unnoticed, and so does the loss of the end
    where the format keeps no length of its own (ogg) or libsndfile mends it by the file's size (wav, au, aiff): the
    file is then simply shorter. Resampling is soxr's HQ, as in `librosa.load`.

    Raises:
      InputError: "<path>: <reason>" if the file is missing, empty, not audio, shorter than one analysis window
        (MIN_SAMPLES, 0.093 s at SAMPLE_RATE), silent (peak below SILENCE_PEAK), or holds NaN, infinite or absurdly
        large samples.
    """
    import soundfile
    import soxr

    place, span = split_stretch(str(path))
    try:
        if stat.S_ISFIFO(os.stat(place).st_mode):  # to open it would wait for a writer
            raise InputError(f"{path}: a pipe, not a file")
        with open(place, "rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    if empty:
        raise InputError(f"{path}: empty file, 0 bytes; copy it again or remove it")
    try:
        read = _read_centre(place, seconds) if span is None else _read_span(place, *span, seconds)
    # TypeError: soundfile asks for the sample rate of headerless .raw files
    except (soundfile.LibsndfileError, TypeError) as error:
        raise InputError(
            f"{path}: not audio that can be decoded here (mp3, ogg, opus, flac, wav, au, aiff); convert or remove it"
        ) from error
    mono, rate = read.samples, read.rate
    if not RATES[0] <= rate <= RATES[1]:
        raise InputError(f"{path}: its header says {rate} Hz, expected {RATES[0]} to {RATES[1]}; convert or remove it")
    peak = float(np.abs(mono).max(initial=0))
    if not peak <= MAX_PEAK:  # NaN too
        raise InputError(f"{path}: damaged, its samples reach {peak:g} where 1 is full scale; convert or remove it")
    samples = soxr.resample(mono, rate, sample_rate)[: round(seconds * sample_rate)]
    if len(samples) < MIN_SAMPLES:
        raise InputError(
            f"{path}: too short, {len(mono) / rate:.3f} s of sound, at least {MIN_SAMPLES / sample_rate:.3f} s needed"
        )
    if peak < SILENCE_PEAK:
        raise InputError(f"{path}: silent, its peak is below {20 * np.log10(SILENCE_PEAK):.0f} dB of full scale")
    return Clip(samples, read.duration, read.warning)


def place_pieces(duration: float | int, *, seconds: float | int, count: int) -> list[float | int]:
    """Returns the starts in seconds of pieces spread over a song, ascending.

    Args:
      duration: of the song; seconds: of a piece.
      count: how many are wanted, in the middles of as many equal parts of the song. A song that is too short for so
        many has as many as fit side by side, but at least one. 0 is all of the song: one piece after the other from
        its start, what is left at its end dropped.

    Example:
      >>> place_pieces(60, seconds=4, count=3)
      [8.0, 28.0, 48.0]
      >>> place_pieces(7, seconds=3, count=0)
      [0, 3]
    """
    fit = max(1, int((duration + 1e-9) / seconds))
    if not count:
        return [i * seconds for i in range(fit)]
    part = duration / min(count, fit)
    return [max(0.0, i * part + (part - seconds) / 2) for i in range(min(count, fit))]


def decode_pieces(
    path: str, starts: Sequence[float | int], *, sample_rate: int, seconds: float
) -> Iterator[np.ndarray]:
    """Decodes pieces of `seconds` of an audio file, one after the other, each resampled to `sample_rate` Hz.

    Of a long file it reads the pieces alone. What lies before the file's start is zeros; a piece at the end of the
    file, or at damage, is as long as what decodes. Pieces of a path with a fragment of time count from its start.

    Args:
      path: a file that `decode` takes.
      starts: seconds, ascending, where the pieces begin; below 0 is before the file.

    Yields:
      (n,) float32 mono, n <= seconds * sample_rate.

    Raises:
      InputError: "<path>: <reason>" if the file cannot be read, or a piece holds NaN, infinite or absurdly large
        samples.
    """
    import soundfile
    import soxr

    place, span = split_stretch(path)
    offset = span[0] if span else 0.0
    try:
        with ExitStack() as stack:
            file = stack.enter_context(open_audio(place))
            rate = file.samplerate
            length = min(file.frames, round(span[1] * rate) if span else file.frames)
            for start in starts:
                first = round((offset + start - _MARGIN_SECONDS) * rate)
                last = round((offset + start + seconds + _MARGIN_SECONDS) * rate)
                piece = _read_piece(file, max(0, first), min(last, length))
                if piece.broken:
                    stack.close()
                    file = stack.enter_context(open_audio(place))
                mono = np.concatenate([np.zeros(max(0, -first), np.float32), piece.samples])
                if not np.abs(mono).max(initial=0) <= MAX_PEAK:  # NaN too
                    raise InputError(f"{path}: damaged around {offset + start:.0f} s; convert or remove it")
                margin = round(_MARGIN_SECONDS * sample_rate)
                yield soxr.resample(mono, rate, sample_rate)[margin : margin + round(seconds * sample_rate)]
    except (OSError, soundfile.LibsndfileError) as error:
        raise InputError(f"{path}: cannot be read any more ({error})") from error


class _Piece(NamedTuple):
    """Frames that were read.

    Attributes:
      samples: (n,) float32 mono.
      broken: whether the decoder failed on damage; then `samples` end there, and the decoder reads nothing more.
      cancelled: whether the channels cancel each other, so that one of them was taken.
    """

    samples: np.ndarray
    broken: bool
    cancelled: bool


class _Part(NamedTuple):
    """Frames of a damaged file that decode."""

    first: int
    frames: int


class _Read(NamedTuple):
    """What was read of a file: samples (n,) float32 mono at the file's own rate in Hz, and what `Clip` says of it."""

    samples: np.ndarray
    rate: int
    duration: float
    warning: str


def _read_piece(file: "soundfile.SoundFile", first: int, last: int) -> _Piece:
    """Reads the frames from `first` up to `last`, as far as they decode."""
    import soundfile

    start = first if file.format == "FLAC" else max(0, first - _LEAD_IN)
    if last <= first:
        return _Piece(np.zeros(0, np.float32), False, False)
    frames, broken = np.zeros((0, file.channels), np.float32), False
    try:
        file.seek(start)
        frames = np.zeros((last - start, file.channels), np.float32)
        # In one go: after each read soundfile seeks to where it is.
        frames = file.read(out=frames)
    except soundfile.LibsndfileError:
        broken = True
        sound = np.flatnonzero(frames.any(axis=1))  # what is still 0 at the end was not read
        frames = frames[: sound[-1] + 1 if len(sound) else 0]
    mono, cancelled = mix_channels(frames[first - start :])
    return _Piece(mono, broken, cancelled)


def mix_channels(frames: np.ndarray) -> tuple[np.ndarray, bool]:
    """Mixes (n, channels) to mono, (n,): the mean, or the channel with most energy where they cancel each other.

    Returns:
      The samples, and whether the channels cancel.
    """
    channels = frames.shape[1]
    mono = frames @ np.full(channels, 1 / channels, np.float32)
    if channels == 1 or not len(mono):
        return mono, False
    with np.errstate(over="ignore", invalid="ignore"):  # of damaged files, which are refused later
        if not np.vdot(mono, mono) < _CANCELLED / channels * np.vdot(frames, frames):
            return mono, False
        energy = [np.vdot(channel, channel) for channel in frames.T]
    return np.ascontiguousarray(frames[:, int(np.argmax(energy))]), True


def _read_centre(path: str, seconds: float) -> _Read:
    """Reads the central `seconds`."""
    with open_audio(path) as file:
        rate, promised = file.samplerate, file.frames
        wanted = min(round(seconds * rate), promised)
        first = (promised - wanted) // 2
        piece = _read_piece(file, first, first + wanted)
    if wanted - len(piece.samples) <= _PADDING_SECONDS * rate:
        return _Read(piece.samples, rate, promised / rate, _join_warnings("", piece.cancelled))
    # The header promises more than there is, or there is damage. What there is can only be counted, and its centre is
    # elsewhere.
    return _read_longest(path, _find_parts(path, 0, promised), 0, promised, promised, rate, seconds)


def _read_span(path: str, start: float, end: float, seconds: float) -> _Read:
    """Reads the seconds from `start` to `end`, `seconds` at most, less where the file ends before."""
    with open_audio(path) as file:
        rate, promised = file.samplerate, file.frames
        first = round(start * rate)
        wanted = max(0, min(round(min(end, start + seconds) * rate), promised) - first)
        piece = _read_piece(file, first, first + wanted)
    if piece.broken:
        return _read_longest(path, _find_parts(path, first, first + wanted), first, wanted, promised, rate, seconds)
    found = len(piece.samples)
    warning = _join_warnings(_warn(found, wanted, promised, rate), piece.cancelled)
    return _Read(piece.samples, rate, found / rate, warning)


def _read_longest(
    path: str, parts: Sequence[_Part], first: int, wanted: int, promised: int, rate: int, seconds: float
) -> _Read:
    """Reads the central `seconds` of the longest of the parts that decode.

    Args:
      first, wanted: the frames among which the parts were looked for; promised: those that the file should have.
    """
    longest = max(parts, key=lambda part: part.frames, default=_Part(first, 0))
    frames = min(round(seconds * rate), longest.frames)
    start = longest.first + (longest.frames - frames) // 2
    with open_audio(path) as file:
        piece = _read_piece(file, start, start + frames)
    found = sum(part.frames for part in parts)
    end = parts[-1].first + parts[-1].frames if parts else first
    warning = _join_warnings(_warn(found, wanted, promised, rate, parts=len(parts)), piece.cancelled)
    return _Read(piece.samples, rate, (end - first) / rate, warning)


def _warn(found: int, wanted: int, promised: int, rate: int, *, parts: int = 1) -> str:
    """Returns a warning if more of the `wanted` frames are missing than padding explains, or there are parts, else "".

    The allowance is that of the whole file, of `promised` frames, also where a stretch of it is wanted: what is missing
    is missing at the file's end.
    """
    if parts < 2 and wanted - found <= max(_SLACK_SECONDS * rate, _SLACK_SHARE * promised):
        return ""
    of_header = " in its header" if wanted == promised else ""
    heard = "" if parts < 2 else f", in {parts} parts of which the longest was heard"
    return f"damaged or cut short: {found / rate:.1f} s decode of {wanted / rate:.1f} s{of_header}{heard}"


def _join_warnings(damage: str, cancelled: bool) -> str:
    antiphase = "its channels cancel each other (antiphase), so the loudest of them was heard" if cancelled else ""
    return "; ".join(one for one in (damage, antiphase) if one)


def _find_parts(path: str, first: int, last: int) -> list[_Part]:
    """Finds the parts of a damaged file that decode, among the frames from `first` up to `last`.

    Beyond damage it looks for frames that decode at growing distances, for a search among zeros is slow.
    """
    parts, place, skip = [], first, _SKIP
    for _ in range(_MOST_DAMAGES):
        frames, broken = _count_frames(path, place, last)
        if frames:
            parts.append(_Part(place, frames))
            skip = _SKIP
        place += frames + skip
        skip *= 4
        if not broken or place >= last:
            break
    return parts


def _count_frames(path: str, first: int, last: int) -> tuple[int, bool]:
    """Counts the frames from `first` up to `last`, the end, or damage. Returns how many, and whether it is damage."""
    import soundfile

    # Opened anew: once a decoder of FLAC has failed it stays broken.
    with open_audio(path) as file:
        count = 0
        try:
            file.seek(first)
            while n := len(file.read(min(_BLOCK, last - first - count), dtype="float32", always_2d=True)):
                count += n
        except soundfile.LibsndfileError:
            return max(count, file.tell() - first), True
        return count, False
