"""Where the grouping tag of an mp3 or FLAC file stands, and which bytes of the file set it.

The grouping is the frame TIT1 of ID3v2.3 and ID3v2.4 (or GRP1, in files that have one: iTunes writes the grouping
there, and the work into TIT1), and the comment GROUPING of FLAC. Players show it, and few use it for anything else.

Only what is understood to the last byte is touched. Everything else raises `UnwritableError`: other formats, ID3v2.2,
tags with unsynchronisation, an extended header or a footer, tags that hold places in the file, and damaged ones.

Conventions: places are offsets in bytes from the start of the file.

Sources: id3.org, ID3 tag versions 2.3.0 and 2.4.0; RFC 9639 (FLAC), sections 8 and 8.6.
"""

import io
import re
from collections.abc import Callable
from typing import NamedTuple

BETWEEN = " / "  # two texts of one tag

_ID3_HEADER = 10  # bytes, of a tag and of a frame
_FRAME_ID = re.compile(rb"[A-Z][A-Z0-9]{3}")
_HOLDS_PLACES = (b"ASPI", b"CHAP", b"SEEK")  # frames that count bytes of the file
_ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")  # by the first byte of a text frame
_ZEROS = 4096  # bytes of zeros looked through for the first frame of sound
_VENDOR = b"musiclust"
_STREAMINFO, _COMMENTS = 0, 4  # types of blocks
_FIRST_BLOCK = 4 + 34  # bytes of STREAMINFO with its header


class UnwritableError(Exception):
    """A file's tag is not written; the message says in a few words why."""


class Edit(NamedTuple):
    """The bytes `before`, which stand at `place`, become the bytes `after`."""

    place: int
    before: bytes
    after: bytes


class Grouping(NamedTuple):
    """The grouping of a file.

    text: several texts are joined by `BETWEEN`; "" where there is none.
    sound: the place after all metadata in front, from which on an edit changes nothing.
    set_text: returns the edits that give it a text, in the order of their places. It raises UnwritableError if the tag
      becomes too large for its format.
    """

    text: str
    sound: int
    set_text: Callable[[str], list[Edit]]


def find_grouping(file: io.BufferedIOBase) -> Grouping:
    """Returns the grouping of an mp3 or FLAC file that is open for reading.

    Raises:
      UnwritableError: if the file is of another format, damaged, or has a tag that is not written here.
      OSError: if it cannot be read.

    Example:
      >>> import io
      >>> song = io.BytesIO(bytes([0xFF, 0xFB, 0x90, 0x44]) + bytes(413))
      >>> [edit.after for edit in find_grouping(song).set_text("piano, solo")]
      [b'ID3\\x03\\x00\\x00\\x00\\x00\\x00\\x16TIT1\\x00\\x00\\x00\\x0c\\x00\\x00\\x00piano, solo']
    """
    size = file.seek(0, 2)
    head = _read_at(file, 0, _ID3_HEADER)
    if head.startswith(b"fLaC"):
        return _find_in_flac(file, size)
    if head.startswith(b"ID3"):
        return _find_in_id3(file, head)
    if _begins_mp3(head):
        return _find_without_tag(file, size)
    raise UnwritableError("neither mp3 nor FLAC")


def _find_in_id3(file: io.BufferedIOBase, head: bytes) -> Grouping:
    if len(head) < _ID3_HEADER:
        raise UnwritableError("damaged: its tag is cut off")
    version, flags = head[3], head[5]
    if version not in (3, 4):
        raise UnwritableError(f"mp3 with an ID3v2.{version} tag")
    for bit, what in ((0x80, "an unsynchronised tag"), (0x40, "an extended header"), (0xFF, "a footer or other flags")):
        if flags & bit:
            raise UnwritableError(f"mp3 with {what}")
    length = _from_synchsafe(head[6:])
    body = _read_at(file, _ID3_HEADER, length)
    if len(body) < length:
        raise UnwritableError("damaged: its tag is cut off")
    sound = _ID3_HEADER + length
    after = _read_at(file, sound, _ZEROS).lstrip(b"\0")
    if after.startswith(b"ID3"):
        raise UnwritableError("mp3 with two tags in front")
    if not _begins_mp3(after):
        raise UnwritableError("no mp3 sound after its tag")

    frames = _list_frames(body, version)
    if places := sorted({name.decode() for name, _, _ in frames if name in _HOLDS_PLACES}):
        raise UnwritableError(f"mp3 with {places[0]}, which counts bytes of the file")
    # iTunes writes the grouping into GRP1 and the work into TIT1.
    wanted = b"GRP1" if any(name == b"GRP1" for name, _, _ in frames) else b"TIT1"
    ours = [(begin, end) for name, begin, end in frames if name == wanted]
    if len(ours) > 1:
        raise UnwritableError(f"mp3 with {wanted.decode()} twice")
    begin, end = ours[0] if ours else (0, 0)
    old = body[begin:end]

    def set_text(text: str) -> list[Edit]:
        new = _make_frame(wanted, text, version)
        grown = length + len(new) - len(old)
        edits = [Edit(6, head[6:], _to_synchsafe(grown)), Edit(_ID3_HEADER + begin, old, new)]
        return [edit for edit in edits if edit.before != edit.after]

    return Grouping(_read_frame(old) if ours else "", sound, set_text)


def _find_without_tag(file: io.BufferedIOBase, size: int) -> Grouping:
    # A player that finds a new tag in front may look no further.
    for place, mark, name in ((128, b"TAG", "ID3v1"), (32, b"APETAGEX", "APEv2")):
        if size >= place and _read_at(file, size - place, len(mark)) == mark:
            raise UnwritableError(f"mp3 with an {name} tag alone, which a new tag would hide")

    def set_text(text: str) -> list[Edit]:
        frame = _make_frame(b"TIT1", text, 3)
        return [Edit(0, b"", b"ID3\3\0\0" + _to_synchsafe(len(frame)) + frame)]

    return Grouping("", 0, set_text)


def _list_frames(body: bytes, version: int) -> list[tuple[bytes, int, int]]:
    """(name, begin, end) of each frame of a tag, header included; after them come zeros alone."""
    frames, place = [], 0
    while place < len(body) and body[place]:
        header = body[place : place + _ID3_HEADER]
        if len(header) < _ID3_HEADER or not _FRAME_ID.fullmatch(header[:4]):
            raise UnwritableError("damaged: its tag has something that is no frame")
        length = int.from_bytes(header[4:8], "big") if version == 3 else _from_synchsafe(header[4:8])
        end = place + _ID3_HEADER + length
        if not length or end > len(body):
            raise UnwritableError(f"damaged: its frame {header[:4].decode()} does not fit into the tag")
        frames.append((header[:4], place, end))
        place = end
    if body[place:].strip(b"\0"):
        raise UnwritableError("damaged: its tag has something after the last frame")
    return frames


def _read_frame(frame: bytes) -> str:
    """The text of a text frame, header included."""
    name = frame[:4].decode()
    if any(frame[8:_ID3_HEADER]):
        raise UnwritableError(f"mp3 with {name} read-only, compressed or encrypted")
    encoding = frame[_ID3_HEADER]
    try:
        values = frame[_ID3_HEADER + 1 :].decode(_ENCODINGS[encoding]).split("\0")
    except (IndexError, UnicodeDecodeError) as error:
        raise UnwritableError(f"damaged: the text of its {name} cannot be read") from error
    return BETWEEN.join(plain for value in values if (plain := value.removeprefix("\ufeff")))


def _make_frame(name: bytes, text: str, version: int) -> bytes:
    # ASCII is the same in all encodings; UTF-16 is known to both versions.
    content = b"\0" + text.encode("ascii") if text.isascii() else b"\1\xff\xfe" + text.encode("utf-16-le")
    size = len(content).to_bytes(4, "big") if version == 3 else _to_synchsafe(len(content))
    return name + size + b"\0\0" + content


def _begins_mp3(head: bytes) -> bool:
    """Whether a frame of MPEG audio, layer III, begins here."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer, bitrate, rate = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer == 1 and bitrate != 15 and rate != 3


def _to_synchsafe(number: int) -> bytes:
    """Four bytes of seven bits each."""
    if number >= 1 << 28:
        raise UnwritableError("no room: its tag would be too large")
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def _from_synchsafe(four: bytes) -> int:
    if any(byte & 0x80 for byte in four):
        raise UnwritableError("damaged: its tag has a wrong size")
    return four[0] << 21 | four[1] << 14 | four[2] << 7 | four[3]


def _find_in_flac(file: io.BufferedIOBase, size: int) -> Grouping:
    place, comments, last = 4, -1, b""
    while not last:
        header = _read_at(file, place, 4)
        length = int.from_bytes(header[1:], "big")
        if len(header) < 4 or place + 4 + length > size:
            raise UnwritableError("damaged: its metadata is cut off")
        kind = header[0] & 0x7F
        if (kind == _STREAMINFO) != (place == 4) or (place == 4 and 4 + length != _FIRST_BLOCK):
            raise UnwritableError("damaged: its metadata does not begin with STREAMINFO")
        if kind == _COMMENTS:
            if comments >= 0:
                raise UnwritableError("FLAC with two blocks of comments")
            comments = place
        place += 4 + length
        last = header[:1] if header[0] & 0x80 else b""
    sync = _read_at(file, place, 2)
    if len(sync) < 2 or sync[0] != 0xFF or sync[1] & 0xFC != 0xF8:
        raise UnwritableError("damaged: no sound after its metadata")
    if comments < 0:
        return Grouping("", place, lambda text: _add_comments(text, streaminfo_is_last=place == 4 + _FIRST_BLOCK))
    header = _read_at(file, comments, 4)
    return _find_in_comments(header, _read_at(file, comments + 4, int.from_bytes(header[1:], "big")), comments, place)


def _find_in_comments(header: bytes, block: bytes, begin: int, sound: int) -> Grouping:
    """The grouping among the comments of a block that begins, with its header, at `begin`."""

    def read_number(at: int) -> int:
        if at + 4 > len(block):
            raise UnwritableError("damaged: its comments are cut off")
        return int.from_bytes(block[at : at + 4], "little")

    counted = 4 + read_number(0)  # where the number of comments stands, after the vendor
    number, at = read_number(counted), counted + 4
    found: list[tuple[int, bytes]] = []
    values: list[str] = []
    for _ in range(number):
        end = at + 4 + read_number(at)
        if end > len(block):
            raise UnwritableError("damaged: its comments are cut off")
        key, _, value = block[at + 4 : end].partition(b"=")
        if key.upper() == b"GROUPING":
            found.append((at, block[at:end]))
            try:
                values.append(value.decode())
            except UnicodeDecodeError as error:
                raise UnwritableError("damaged: the text of its GROUPING cannot be read") from error
        at = end
    if at != len(block):
        raise UnwritableError("damaged: its comments have something after the last one")

    def set_text(text: str) -> list[Edit]:
        content = _make_comment(text)
        changed = [(at, b"", content)] if not found else [(*found[0], content), *((*one, b"") for one in found[1:])]
        grown = len(block) + sum(len(new) - len(old) for _, old, new in changed)
        if grown >= 1 << 24:
            raise UnwritableError("no room: its comments would be too large")
        count = number + 1 - len(found)
        edits = [
            Edit(begin + 1, header[1:], grown.to_bytes(3, "big")),
            Edit(begin + 4 + counted, block[counted : counted + 4], count.to_bytes(4, "little")),
            *(Edit(begin + 4 + where, old, new) for where, old, new in changed),
        ]
        return [edit for edit in edits if edit.before != edit.after]

    return Grouping(BETWEEN.join(value for value in values if value), sound, set_text)


def _add_comments(text: str, *, streaminfo_is_last: bool) -> list[Edit]:
    """The edits that add a block of comments after STREAMINFO, which is always first."""
    content = b"".join((len(_VENDOR).to_bytes(4, "little"), _VENDOR, (1).to_bytes(4, "little"), _make_comment(text)))
    if len(content) >= 1 << 24:
        raise UnwritableError("no room: its comments would be too large")
    kind = _COMMENTS | (0x80 if streaminfo_is_last else 0)
    block = Edit(4 + _FIRST_BLOCK, b"", bytes([kind]) + len(content).to_bytes(3, "big") + content)
    return [Edit(4, b"\x80", b"\0"), block] if streaminfo_is_last else [block]


def _make_comment(text: str) -> bytes:
    comment = b"GROUPING=" + text.encode()
    return len(comment).to_bytes(4, "little") + comment


def _read_at(file: io.BufferedIOBase, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)
