"""Words of songs: from the score, from a file beside the audio (`song.lrc`, `song.txt`), from the tags.

Conventions: a transcript is a record {"track_id", "text", "words", "source", "language", "confidence", "reason"}.
`text` is plain lines as they were found, "" where there are none; `words` what of them is taken for lyrics and
embedded; `source` is "score", "sidecar", "tags", "transcript" (a machine's, which the corpus brings), "whisper" or
"none"; `language` an ISO 639 code or None where unknown; `confidence` in [0, 1], 1 for words that somebody wrote down,
None where unknown; `reason` says where the words came from, or why what was found is not taken for lyrics. What Whisper
heard (transcribe.py) has more: "language_probability", "segments", "model", "seconds", "stamp", and each segment the
"reason" for which it was dropped.

A text beside a song is often no lyrics but a licence or a credit. The rule: a line that names a web address, an e-mail
address or a licence is a notice; where a quarter or more of the non-empty lines are notices the whole text is one, and
below that (a credit under a song sheet) only those lines are dropped. It does not apply to .lrc files, which hold
lyrics by their nature, beyond the dropping of such lines.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tinytag import TinyTag, TinyTagException

_NOTICE = re.compile(
    r"https?://|\bwww\.|\S+@\S+\.\w|creative\s+commons|\bcc[ -](?:by|0|zero)\b|\bcc0\b|licen[cs]ed\s+(?:under|for|by)"
    r"|\blicen[cs]e\s*:|all\s+rights\s+reserved|\bcopyright\b|\(c\)\s*(?:copyright|\d{4})|©|public\s+domain",
    re.IGNORECASE,
)
_NOTHING = ("no words found", "no words heard")
_NOTICE_SHARE = 0.25
_MOST_BYTES = 1 << 16  # the longest sung texts, whole opera acts, stay below
_STAMP = re.compile(r"[\[<]\d{1,3}:\d{1,2}(?:[.:]\d{1,3})?[\]>]")  # [mm:ss.xx], <mm:ss.xx> before a word
_HEADING = re.compile(r"\[[^\[\]]*\]")  # [ar:...], [Chorus]: a line of its own that nobody sings


class _Finding(NamedTuple):
    """The words that one place has ("" for none) and what to say of them."""

    text: str
    reason: str


def find_words(track_id: str, path: str, score: str, sources: tuple[str, ...]) -> dict[str, Any]:
    """Makes the record of one track: the words of the first of `sources` that has any written down.

    Args:
      path: the audio file, beside and inside which words are looked for; "" where there is none.
      score: the words that the corpus knows, or "".
      sources: the places to look in, see `update.SOURCES`; those where nothing is written down are passed over.
    """
    reasons = []
    for source in filter(_PLACES.__contains__, sources):
        finding = _PLACES[source](path, score)
        if finding.text:
            return make_record(track_id, finding.text, source, 1.0, finding.reason)
        if finding.reason:
            reasons.append(finding.reason)
    return make_record(track_id, "", "none", 0.0, "; ".join(reasons) or _NOTHING[0])


def is_refused(record: Mapping[str, Any]) -> bool:
    """Tells whether a text was found for the track and not taken for lyrics, or could not be read or made."""
    return not record["words"] and record["reason"] not in _NOTHING


def make_record(track_id: str, text: str, source: str, confidence: float | None, reason: str) -> dict[str, Any]:
    """Makes a record as described at the head of this file, with all of its text taken for lyrics."""
    return {
        "track_id": track_id,
        "text": text,
        "words": text,
        "source": source,
        "language": None,
        "confidence": confidence,
        "reason": reason,
    }


def _read_score(path: str, score: str) -> _Finding:
    return _Finding(clean_lines(score), "sung words of the score" if score else "")


def _read_sidecar(path: str, score: str) -> _Finding:
    """Reads `song.lrc`, else `song.txt`, in lower or upper case, beside the audio."""
    reasons = []
    for file in _find_beside(Path(path)) if path else ():
        try:
            raw = file.read_bytes() if file.stat().st_size <= _MOST_BYTES else None
        except OSError as error:
            reasons.append(f"{file.name}: {error.strerror}")
            continue
        if raw is None:
            reasons.append(f"{file.name}: longer than {_MOST_BYTES // 1024} KiB, too long for lyrics")
            continue
        text, reason = separate_notices(_decode_text(raw), synced=file.suffix.lower() == ".lrc")
        if text:
            return _Finding(text, f"{file.name}: {reason}" if reason else file.name)
        reasons.append(f"{file.name}: {reason}")
    return _Finding("", "; ".join(reasons))


def _find_beside(audio: Path) -> Iterator[Path]:
    for suffix in (".lrc", ".txt"):
        files = (audio.with_suffix(suffix), audio.with_suffix(suffix.upper()))
        yield from [file for file in files if file.is_file()][:1]


def _read_tags(path: str, score: str) -> _Finding:
    """Reads, through tinytag, USLT and SYLT frames of ID3, LYRICS and UNSYNCEDLYRICS of Vorbis comments."""
    try:
        found = TinyTag.get(path, duration=False).other.get("lyrics") if path else None
    except (TinyTagException, OSError):  # broken tags are no tags; a broken file is the pipeline's affair
        return _Finding("", "")
    if not found:
        return _Finding("", "")
    text, reason = separate_notices(max(found, key=len), synced=False)
    return _Finding(text, f"lyrics tag: {reason}" if reason else "lyrics tag")


_PLACES: dict[str, Callable[[str, str], _Finding]] = {
    "score": _read_score,
    "sidecar": _read_sidecar,
    "tags": _read_tags,
}


def clean_lines(text: str) -> str:
    """Keeps lines of words: takes out time stamps, LRC tags, headings in brackets and mere signs, evens white space.

    Example:
      >>> clean_lines("[ar:Somebody]\\n[00:12.00]Early  one morning\\n[Chorus]")
      'Early one morning'
    """
    lines = (" ".join(_STAMP.sub(" ", line).split()) for line in text.splitlines())
    sung = (line for line in lines if any(map(str.isalnum, line)) and not _HEADING.fullmatch(line))
    return "\n".join(sung)


def separate_notices(text: str, *, synced: bool) -> tuple[str, str]:
    """Separates lyrics from notices, by the rule at the head of this file.

    Args:
      synced: whether it is an .lrc, which is lyrics by its nature.

    Returns:
      The lyrics, "" if there are none, and a reason, "" where there is nothing to say.
    """
    if "\0" in text:
        return "", "not a text"
    lines = clean_lines(text).splitlines()
    words = [line for line in lines if not _NOTICE.search(line)]
    notices = len(lines) - len(words)
    if not lines:
        return "", "no words in it"
    if not words or (not synced and notices >= _NOTICE_SHARE * len(lines)):
        return "", f"a licence or credit notice, not lyrics ({notices} of its {len(lines)} lines name one)"
    return "\n".join(words), f"left out {notices} of its {len(lines)} lines, a notice" if notices else ""


def _decode_text(raw: bytes) -> str:
    """Decodes UTF-8 and UTF-16 by their marks, else UTF-8 if it is valid, else Windows-1252, else Latin-1."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", errors="replace")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")
