"""The eight repertories of the demo corpus: where their scores are, and which instruments may play them.

Conventions: scores are found in the folder `corpus` of music21 and read as data; music21 itself is not imported.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from musiclust.preprocess.demo import abc_notation

_QUARTETS = {"haydn": "Joseph Haydn", "mozart": "Wolfgang Amadeus Mozart", "beethoven": "Ludwig van Beethoven"}


@dataclass(frozen=True)
class Repertory:
    """One class of the corpus.

    Attributes:
      name: as it stands in track ids.
      title: as it is shown to people.
      album: the collection.
      artist: "" where the score names its composer.
      files: globs in music21's corpus.
      instruments: choices of one or more General MIDI programs (from 0), spread over the parts from the highest to the
        lowest.
      pace: the commonest note value, in notes per second, where the score has no tempo.
      skip: a regular expression for paths that are left out.
    """

    name: str
    title: str
    album: str
    artist: str
    files: tuple[str, ...]
    instruments: tuple[tuple[int, ...], ...]
    pace: float
    skip: str = r"(?!)"


REPERTORIES = (
    Repertory("trecento", "Trecento polyphony", "Polyphonic Music of the Fourteenth Century", "",
        ("trecento/PMFC_04*", "trecento/PMFC_06*", "trecento/PMFC_1*", "trecento/PMFC_24*", "trecento/Fava*"),
        ((73,), (68,), (46,)), 3.0, skip=r"_bak|Clementissime\.mxl"),  # flute, oboe for the shawm, harp
    Repertory("monteverdi", "Monteverdi madrigals", "Madrigals, books 3 to 5", "Claudio Monteverdi",
        ("monteverdi/*.mxl",), ((48,), (46,), (56,)), 2.2, skip="_old"),  # strings, harp, trumpet for the cornett
    Repertory("bach", "Bach chorales", "Chorales", "Johann Sebastian Bach",
        ("bach/*.mxl",), ((56,), (48,), (64, 64, 66, 66)), 1.4, skip="bwv846|-inst"),  # trumpets, strings, saxophones
    Repertory("quartet", "Viennese string quartets", "String quartets", "",
        ("haydn/*/*.mxl", "mozart/*/*.mxl", "beethoven/*.mxl", "beethoven/*/*.mxl"),
        ((48,), (49,)), 4.0, skip="k545"),  # strings, slow strings; K. 545 is a piano sonata
    Repertory("fiddle", "American fiddle tunes", "Ryan's Mammoth Collection", "traditional",
        ("ryansMammoth/*.abc",), ((72,), (73,), (12,)), 6.5),  # fife, flute, marimba
    Repertory("irish", "Irish dance tunes", "O'Neill's Music of Ireland", "traditional",
        ("oneills1850/0[7-9]*.abc", "oneills1850/1[0-7]*.abc"),  # the rest of the book is not for dancing
        ((73,), (72,), (46,)), 6.0),  # flute, piccolo for the whistle, harp
    Repertory("chinese", "Chinese folk songs", "Essen Folksong Collection", "traditional",
        ("essenFolksong/han*.abc",), ((107,), (79,), (73,)), 3.2),  # koto, ocarina, flute
    Repertory("german", "German folk songs", "Essen Folksong Collection", "traditional",
        tuple(f"essenFolksong/{book}*.abc" for book in ("altdeu", "ballad", "boehme", "dva", "erk", "fink", "zuccal")),
        ((68,), (79,), (10,)), 2.8),  # oboe, ocarina, music box
)  # fmt: skip


class Piece(NamedTuple):
    """A piece from which excerpts are drawn.

    Attributes:
      path: the file that it stands in.
      tune: the text of an ABC tune, "" for a MusicXML file.
      title: "" where only the score itself has it.
      artist: "" where only the score itself has it.
      group: what excerpts of one piece share; for a quartet the whole work.
    """

    path: str
    tune: str
    title: str
    artist: str
    group: str


def find_pieces(repertory: Repertory, corpus: Path) -> list[Piece]:
    """Lists the pieces of a repertory, MusicXML files unread; of two transcriptions of a tune the first."""
    pieces: dict[str, Piece] = {}
    for path in sorted(path for pattern in repertory.files for path in corpus.glob(pattern)):
        if re.search(repertory.skip, str(path)):
            continue
        if path.suffix != ".abc":
            pieces[str(path)] = _describe_score(path, repertory)
            continue
        for tune in abc_notation.split_abc(path.read_text(encoding="utf-8", errors="replace")):
            fields = abc_notation.abc_fields(tune)
            book = path.stem if repertory.name != "irish" else ""  # O'Neill's numbers run through all files
            group = f"{repertory.name}-{book}{fields['X']}"
            title = fields.get("T", "").replace('"', "").replace(" -- ", ", ")
            title = title.capitalize() if title.isupper() else title
            pieces.setdefault(group, Piece(str(path), tune, title, "", group))
    return list(pieces.values())


def _describe_score(path: Path, repertory: Repertory) -> Piece:
    """Describes a MusicXML file by its name and by what stands beside it, without reading it."""
    title, artist, group = "", "", path.stem
    if repertory.name == "monteverdi":
        _, book, number = path.stem.split(".")
        analysis = path.with_suffix(".rntxt")
        named = re.search(r"Title: *(.+)", analysis.read_text(encoding="utf-8")) if analysis.is_file() else None
        title = f"{named[1].strip() if named else 'Madrigal'} (book {book}, no. {number})"
    elif repertory.name == "bach":
        group = re.sub(r"(bwv\d+(\.\d+)?).*", r"\1", path.stem)  # without the letters of a variant
        title = f"Chorale, BWV {path.stem[3:]}"
    elif repertory.name == "quartet":
        pattern = r"(\w+)[/\\](opus|k)(\d+)(?:no(\d+))?(?:[/\\]movement(\d))?\.mxl"
        ((artist, kind, work, number, movement),) = re.findall(pattern, str(path))
        work = ("op. " if kind == "opus" else "K. ") + work + (f" no. {number}" if number else "")
        title, group = f"String quartet {work}" + (f", movement {movement}" if movement else ""), f"{artist}-{work}"
        artist = _QUARTETS[artist]
    return Piece(str(path), "", title, artist, group)
