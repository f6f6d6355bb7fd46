"""Where the sound of an mp3 file begins and ends: its tags, which may hold a cover of any size, stand around it.

libsndfile reads mp3 through mpg123. Where a file has no Xing or Info header, mpg123 estimates its length from the size
of the whole file, so that a tag of 100 kB passes for seconds of sound.

Conventions: places are offsets in bytes from the start of the file. The tags known are ID3v2 in front of the sound,
ID3v1 and APEv2 behind it; others are rare and small.

Sources: id3.org, ID3 tag version 2.4.0, main structure; wiki.hydrogenaudio.org, APEv2 specification.
"""

import io
import os

_ID3V2_HEADER = 10  # bytes, and as many of a footer
_ID3V2_HAS_FOOTER = 0x10
_ID3V1 = 128  # bytes
_APE_FOOTER = 32  # bytes, and as many of a header
_APE_HAS_HEADER = 1 << 31
_PADDING = 4096  # bytes of zeros looked through for the first frame


def find_sound(file: io.BufferedIOBase) -> tuple[int, int] | None:
    """The place of the first frame of an mp3 file, and the place after its last one.

    Returns:
      None where the file has none of these tags, or is not mp3.

    Example:
      >>> id3v1 = b"TAG" + bytes(125)
      >>> find_sound(io.BytesIO(bytes([0xFF, 0xFB, 0x90, 0x44]) + bytes(413) + id3v1))
      (0, 417)
    """
    begin = _skip_leading_tags(file)
    if not _begins_frame(_read_at(file, begin, 2)):
        return None
    size = file.seek(0, os.SEEK_END)
    end = _drop_trailing_tags(file, begin, size)
    return (begin, end) if (begin, end) != (0, size) else None


def _skip_leading_tags(file: io.BufferedIOBase) -> int:
    """The place after all ID3v2 tags in front, and after the zeros that follow them."""
    place = 0
    while (header := _read_at(file, place, _ID3V2_HEADER))[:3] == b"ID3" and len(header) == _ID3V2_HEADER:
        length = 0
        for byte in header[6:]:
            length = length << 7 | byte & 0x7F  # the highest bit of each byte is 0
        place += _ID3V2_HEADER + length + (_ID3V2_HEADER if header[5] & _ID3V2_HAS_FOOTER else 0)
    if place:
        after = _read_at(file, place, _PADDING)
        place += len(after) - len(after.lstrip(b"\0"))
    return place


def _drop_trailing_tags(file: io.BufferedIOBase, begin: int, end: int) -> int:
    """The place where the tags that end at `end` begin; none of them reaches before `begin`."""
    while end > begin:
        length = 0
        if _read_at(file, max(begin, end - _ID3V1), 3) == b"TAG":
            length = _ID3V1
        else:
            footer = _read_at(file, max(begin, end - _APE_FOOTER), _APE_FOOTER)
            if footer[:8] == b"APETAGEX":
                length = int.from_bytes(footer[12:16], "little")  # of the items and the footer
                length += _APE_FOOTER if int.from_bytes(footer[20:24], "little") & _APE_HAS_HEADER else 0
        if not 0 < length < end - begin:
            return end
        end -= length
    return end


def _begins_frame(head: bytes) -> bool:
    """Whether these two bytes begin a frame of MPEG audio, layer I to III: eleven bits are set, the layer is not 0."""
    return len(head) == 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 != 0


def _read_at(file: io.BufferedIOBase, place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count)


class FilePart(io.RawIOBase):
    """The bytes of an open file from `begin` up to `end`, as a file of its own that can be read only.

    Closing it leaves the file open.

    Example:
      >>> FilePart(io.BytesIO(b"ID3 sound TAG"), 4, 9).read()
      b'sound'
    """

    def __init__(self, file: io.BufferedIOBase, begin: int, end: int) -> None:
        self._file, self._begin, self._length = file, begin, end - begin
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._length}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer, /) -> int:
        into = memoryview(buffer)
        count = max(0, min(len(into), self._length - self._place))
        self._file.seek(self._begin + self._place)
        data = self._file.read(count)
        into[: len(data)] = data
        self._place += len(data)
        return len(data)
