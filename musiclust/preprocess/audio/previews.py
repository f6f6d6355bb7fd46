"""A few seconds of a song, small enough to lie within a page, so that the page can be sent to somebody without it."""

import io
from collections.abc import Callable, Sequence

from musiclust.errors import InputError
from musiclust.preprocess.audio.decode import SAMPLE_RATE, decode
from musiclust.preprocess.workers import Failed, hear_all

PREVIEW_SECONDS = 15.0
_COMPRESSION = 0.8  # of libsndfile, which is 40 kbit/s at 22,050 Hz: 75 kB


def make_preview(path: str) -> bytes:
    """Returns the middle of a song as an MP3 of 15 s, mono, 22,050 Hz, 40 kbit/s; the whole of a shorter song.

    Args:
      path: an audio file, or a stretch of it: "song.wav#t=10,20".

    Raises:
      InputError: if the file cannot be decoded, or is silent.
    """
    import soundfile

    file = io.BytesIO()
    how = {"format": "MP3", "subtype": "MPEG_LAYER_III", "compression_level": _COMPRESSION, "bitrate_mode": "CONSTANT"}
    soundfile.write(file, decode(path, seconds=PREVIEW_SECONDS).samples, SAMPLE_RATE, **how)
    return file.getvalue()


def make_previews(
    paths: Sequence[str], *, workers: int, report: Callable[[str, int, int], None] = lambda stage, done, total: None
) -> list[bytes]:
    """Returns the previews of N songs, b"" for one without a path and for one that cannot be decoded.

    Args:
      paths: as for `make_preview`; "" for none.
      workers: processes.
      report: called with (stage, done, total).
    """
    rows = [row for row, path in enumerate(paths) if path]
    found = [b""] * len(paths)
    heard = hear_all([paths[row] for row in rows], workers=workers, hear=_try_preview)
    for done, (index, preview) in enumerate(heard, 1):
        found[rows[index]] = b"" if isinstance(preview, Failed) else preview
        report("previews", done, len(rows))
    return found


def _try_preview(path: str) -> bytes | Failed:
    try:
        return make_preview(path)
    except InputError as error:
        return Failed(str(error))
