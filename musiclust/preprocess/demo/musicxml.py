"""Scores read as data: MusicXML files, and excerpts drawn from any score; ABC tunes are read in abc_notation.py.

Conventions: time is in quarter notes from the start of the piece in a `Score`, in seconds from its own start in an
`Excerpt`. Pitch is a MIDI number (A4 = 69 = 440 Hz), velocity 1 to 127. Parts count from 0 in the order of the score,
highest first. Repeat signs and grace notes are played in ABC and passed over in MusicXML.
"""

import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

NOTE = np.dtype([("onset", "f8"), ("duration", "f8"), ("pitch", "i2"), ("velocity", "i2"), ("part", "i2")])

_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_BEATS = {"whole": 4.0, "half": 2.0, "quarter": 1.0, "eighth": 0.5}  # in quarter notes
_DYNAMICS = {"ppp": 45, "pp": 55, "p": 65, "mp": 75, "mf": 85, "f": 97, "ff": 109, "fff": 120}
_HYPHENS = "\\-\u00ad\u2010\u2011\u2013_~"  # as inside a regular expression's []


class Word(NamedTuple):
    """A sung word: its part, the onsets of its syllables (quarter notes) and its text."""

    part: int
    onsets: tuple[float, ...]
    text: str


class Score(NamedTuple):
    """A piece of music. notes: (n,) of dtype NOTE, by onset. measures: (m,) onsets. length: where the piece ends.

    tempos: (onset, quarter notes per minute) by onset, empty where the score is silent on it. title, composer: "" where
    unknown.
    """

    title: str
    composer: str
    notes: np.ndarray
    measures: np.ndarray
    length: float
    tempos: tuple[tuple[float, float], ...]
    words: tuple[Word, ...]


class _Measure(NamedTuple):
    length: float
    notes: list[tuple[float, float, int, int, bool]]  # onset, duration, pitch, velocity, tied to the one before
    syllables: list[tuple[float, str, str, str]]  # onset, verse, begin|middle|end|single, text
    tempos: list[tuple[float, float]]


def read_musicxml(path: Path) -> Score:
    """Reads a partwise MusicXML file, plain (.xml, .musicxml) or zipped (.mxl).

    Measure k starts in all parts where the longest measure k-1 ended, so that a rest too short in one part (scanned
    editions have many) does not put the parts out of step. Of several verses the one with most syllables is kept.

    Raises ElementTree.ParseError or zipfile.BadZipFile where the file is not such.
    """
    root = _xml_root(path)
    parts = [list(_measures(part)) for part in root.iterfind("part")]
    count = max(map(len, parts))
    lengths = [max(part[k].length for part in parts if k < len(part)) for k in range(count)]
    starts = np.concatenate([[0.0], np.cumsum(lengths)])
    notes, words, tempos = [], [], {}
    for index, part in enumerate(parts):
        sounding: dict[int, list] = {}  # pitch -> its last note, for ties
        syllables = []
        for start, measure in zip(starts, part, strict=False):
            for onset, duration, pitch, velocity, tied in measure.notes:
                if tied and pitch in sounding:
                    sounding[pitch][1] = start + onset + duration - sounding[pitch][0]
                else:
                    sounding[pitch] = [start + onset, duration, pitch, velocity, index]
                    notes.append(sounding[pitch])
            syllables += [(start + onset, *rest) for onset, *rest in measure.syllables]
            for onset, tempo in measure.tempos:
                tempos.setdefault(start + onset, tempo)
        words += _join(index, syllables)
    title, composer = _names(root)
    notes = np.array([tuple(note) for note in notes], NOTE)
    return Score(
        title,
        composer,
        notes[np.argsort(notes["onset"], kind="stable")],
        starts[:-1],
        float(starts[-1]),
        tuple(sorted((float(onset), tempo) for onset, tempo in tempos.items())),
        tuple(words),
    )


def _xml_root(path: Path) -> ElementTree.Element:
    if path.suffix != ".mxl":
        return ElementTree.fromstring(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        container = ElementTree.fromstring(archive.read("META-INF/container.xml"))
        rootfile = next(container.iterfind(".//{*}rootfile"))
        return ElementTree.fromstring(archive.read(rootfile.attrib["full-path"]))


def _names(root: ElementTree.Element) -> tuple[str, str]:
    """The title and the composer, from the metadata or else from the words printed on the first page."""
    credits = [element for element in root.iter("credit-words") if element.text]
    printed, signed = ([e.text for e in credits if e.get("justify") == side] for side in ("center", "right"))
    titles = [root.findtext("work/work-title"), root.findtext("movement-title"), *printed]
    composers = [e.text for e in root.iterfind("identification/creator") if e.get("type") == "composer"]
    title, composer = (next(filter(None, names), "") for names in (titles, [*composers, *signed]))
    return " ".join(title.split()), " ".join(composer.split())


def _measures(part: ElementTree.Element) -> Iterator[_Measure]:
    divisions, shift, velocity = 1.0, 0, 80
    for element in part.iterfind("measure"):
        measure = _Measure(0.0, [], [], [])
        now = onset = end = 0.0
        for item in element:
            if item.tag == "note":
                if item.find("grace") is not None:
                    continue
                duration = float(item.findtext("duration", "0")) / divisions
                if item.find("chord") is None:
                    onset, now = now, now + duration
                pitch = item.find("pitch")
                if pitch is not None and duration > 0:
                    step, octave = _SEMITONES[pitch.findtext("step", "C")], int(pitch.findtext("octave", "4"))
                    number = 12 * (octave + 1) + step + round(float(pitch.findtext("alter", "0"))) + shift
                    tied = any(tie.get("type") == "stop" for tie in item.iterfind("tie"))
                    measure.notes.append((onset, duration, number, velocity, tied))
                measure.syllables.extend(_syllables(item, onset))
            elif item.tag in ("backup", "forward"):
                step = float(item.findtext("duration", "0")) / divisions
                now = now + step if item.tag == "forward" else max(0.0, now - step)
            elif item.tag == "attributes":
                divisions = float(item.findtext("divisions", str(divisions)))
                shift = int(item.findtext("transpose/chromatic", str(shift)))
            elif item.tag in ("direction", "sound"):
                measure.tempos.extend((now, tempo) for tempo in _tempo(item))
                marks = [mark.tag for mark in item.iterfind("direction-type/dynamics/*")]
                velocity = next((_DYNAMICS[mark] for mark in marks if mark in _DYNAMICS), velocity)
            end = max(end, now)
        yield measure._replace(length=end)


def _syllables(note: ElementTree.Element, onset: float) -> Iterator[tuple[float, str, str, str]]:
    for lyric in note.iterfind("lyric"):
        syllabic = "single"
        for child in lyric:  # an elision has two texts on one note, each with its own syllabic
            if child.tag == "syllabic":
                syllabic = child.text or "single"
            elif child.tag == "text":
                text = re.sub(r"^(\d+\.? ?)+", "", " ".join((child.text or "").split()))  # "1. Wie": a verse number
                if text.strip(_HYPHENS):
                    yield onset, lyric.get("number", "1"), syllabic, text


def _tempo(item: ElementTree.Element) -> list[float]:
    """Quarter notes per minute, from <sound tempo> or else from a plain metronome mark; empty if there is neither."""
    for sound in item.iter("sound"):
        if sound.get("tempo"):
            return [float(sound.attrib["tempo"])]
    for mark in item.iter("metronome"):
        beat, speed = _BEATS.get(mark.findtext("beat-unit", "")), mark.findtext("per-minute", "")
        if beat and speed.isdecimal():
            return [beat * float(speed) * (1.5 if mark.find("beat-unit-dot") is not None else 1.0)]
    return []


def _join(part: int, syllables: Sequence[tuple[float, str, str, str]]) -> list[Word]:
    """Words from one part's syllables: joined where `syllabic` says so, or a printed hyphen (scanned editions)."""
    if not syllables:
        return []
    verse = Counter(number for _, number, _, _ in syllables).most_common(1)[0][0]
    words: list[Word] = []
    begun = hyphen = False
    for onset, _, syllabic, raw in (syllable for syllable in syllables if syllable[1] == verse):
        text = re.sub(f"[{_HYPHENS}]+", "", raw)
        if words and (hyphen or raw[0] in _HYPHENS or (begun and syllabic in ("middle", "end"))):
            words[-1] = Word(part, (*words[-1].onsets, onset), words[-1].text + text)
        else:
            words.append(Word(part, (onset,), text))
        begun, hyphen = syllabic in ("begin", "middle"), raw[-1] in _HYPHENS
    return words


class Excerpt(NamedTuple):
    """notes: (n,) of dtype NOTE, onset and duration in seconds from the excerpt's start. words: sung in it, or ""."""

    notes: np.ndarray
    words: str


def draw_excerpt(score: Score, rng: np.random.Generator, seconds: float, pace: float) -> Excerpt | None:
    """Draws an excerpt that starts with a measure and sounds throughout (no rest over 1 s, 90 % of it sounding).

    A piece shorter than the excerpt is sung again. The tempo is the score's, else such that `pace` of the commonest
    note value go into a second, within 8 % either way. Words are taken from the part that sings most syllables, whole
    where at least one syllable falls into the excerpt. None if no measure will do.
    """
    values, counts = np.unique(np.round(score.notes["duration"] * 24), return_counts=True)
    default = 60 * pace * max(1, values[counts.argmax()]) / 24
    marks = score.tempos if score.tempos and score.tempos[0][0] == 0 else ((0.0, default), *score.tempos)
    knots = np.array([onset for onset, _ in marks if onset < score.length] + [score.length])
    spans = np.diff(knots) * 60 / np.array([tempo for _, tempo in marks])[: len(knots) - 1] / rng.uniform(0.92, 1.08)
    total = spans.sum()

    def clock(onset: np.ndarray) -> np.ndarray:
        return np.interp(onset, knots, np.concatenate([[0.0], np.cumsum(spans)]))

    repeats = np.arange(int(np.ceil(seconds / total))) * total
    starts = np.add.outer(repeats, clock(score.measures)).ravel()
    onset, end = clock(score.notes["onset"]), clock(score.notes["onset"] + score.notes["duration"])
    onset, end = np.add.outer(repeats, onset).ravel(), np.add.outer(repeats, end).ravel()
    for start in rng.permutation(starts[starts + seconds <= len(repeats) * total + 1e-6]):
        inside = (end > start + 0.05) & (onset < start + seconds)
        notes = np.tile(score.notes, len(repeats))[inside]
        notes["onset"] = np.maximum(onset[inside] - start, 0)
        notes["duration"] = end[inside] - start - notes["onset"]
        if _sounds(notes, seconds):
            return Excerpt(notes, _sung(score.words, lambda at, start=start: (clock(at) - start) % total, seconds))
    return None


def _sounds(notes: np.ndarray, seconds: float) -> bool:
    """Whether notes, sorted by onset and none empty, leave no rest over 1 s and fill 90 % of the time."""
    reached = np.concatenate([[0.0], np.maximum.accumulate(notes["onset"] + notes["duration"])])
    rests = np.maximum(np.append(notes["onset"], seconds) - reached, 0)
    return bool(rests.max() <= 1 and rests.sum() <= 0.1 * seconds)


def _sung(words: Sequence[Word], since: Callable[[np.ndarray], np.ndarray], seconds: float) -> str:
    times = [since(np.array(word.onsets)) for word in words]
    heard = [(time.min(), word) for word, time in zip(words, times, strict=True) if time.min() < seconds]
    syllables: Counter[int] = Counter()
    for word, time in zip(words, times, strict=True):
        syllables[word.part] += int((time < seconds).sum())
    busiest = max(sorted(syllables), key=lambda part: syllables[part], default=0)
    return " ".join(word.text for _, word in sorted(heard, key=lambda pair: pair[0]) if word.part == busiest)
