"""A few seconds of a song, small enough to lie within a page, so that the page can be sent to somebody without it."""

import io

from musiclust.preprocess.audio.decode import SAMPLE_RATE, decode

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
