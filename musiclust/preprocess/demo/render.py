"""The demo corpus: short excerpts of real scores, rendered on the machine.

The scores ship inside music21 (found on disk and read as data; music21 itself is not imported), the sounds inside
pretty_midi (TimGM6mb.sf2), the player is symusic's. What is real and what is chosen here:

- real: the notes, the titles and composers, the repertory (the label), and the words where the score has them.
  Monteverdi's come from a scanned edition and are spelt as the scanner read them.
- chosen by the seed: the piece, the measure at which the excerpt starts, the instruments (of the two or three that a
  repertory may have, parts of which other repertories have too) and the tempo: the score's own where it has one, else
  the repertory's `pace`, within 8 % of it either way.

The instruments are those that symusic 0.5.9 plays in tune. Its choirs, organs, solo strings, pianos, guitars and
accordions are not among them: it passes over the root keys that the SoundFont gives for these. Nor are its tremolo
strings (44), which sound a little different each time.
"""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import joblib
import numpy as np

from musiclust.errors import InputError
from musiclust.preprocess.demo import abc_notation, musicxml
from musiclust.preprocess.demo.synthesizer import SAMPLE_RATE, play

if TYPE_CHECKING:  # importing it loads JAX, which the worker processes do without
    from musiclust.types import Tracks

VERSION = 1  # of the corpus: raised whenever the same seed would give other excerpts
SECONDS = 10.0
_QUARTETS = {"haydn": "Joseph Haydn", "mozart": "Wolfgang Amadeus Mozart", "beethoven": "Ludwig van Beethoven"}
_FADE = 441  # samples, 20 ms
_MANIFEST = "manifest.jsonl"
_TRIES = 8  # pieces tried for one excerpt, where the first ones have none without long rests


@dataclass(frozen=True)
class Repertory:
    """One class of the corpus.

    name: as in track ids. title: shown to people. album: the collection. artist: "" where the score names its composer.
    files: globs in music21's corpus. instruments: each a tuple of General MIDI programs (from 0), spread over the parts
    from the highest to the lowest. pace: the commonest note value, in notes per second, where the score has no tempo.
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


class _Piece(NamedTuple):
    path: str
    tune: str  # the text of an ABC tune, "" for a MusicXML file
    title: str
    artist: str  # "", like the title, where the score knows it
    group: str


def default_dir(cache_dir: Path | None = None, seed: int = 0) -> Path:
    """Where the corpus of a seed lives: in `cache_dir`, else in $XDG_CACHE_HOME/musiclust, else ~/.cache/musiclust."""
    if cache_dir is None:
        cache_dir = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "musiclust"
    return cache_dir / f"demo-v{VERSION}-seed{seed}"


def render(
    out_dir: Path,
    *,
    seed: int = 0,
    per_class: int = 40,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Renders the corpus: 10 s excerpts, FLAC, mono, 22,050 Hz, and then a manifest.

    Excerpts that are there already are kept, so a broken-off run goes on where it stopped. Excerpt k of a repertory
    depends on the seed and k alone.

    Args:
      out_dir: made if need be; the audio of a seed has a folder of its own in it.
      seed: >= 0.
      per_class: excerpts of each repertory.
      workers: processes; all cores by default.
      progress: called with (done, total) after each excerpt.

    Raises:
      InputError: if music21, symusic or pretty_midi is not installed.
    """
    corpus, soundfont = _installed("music21") / "corpus", _installed("pretty_midi") / "TimGM6mb.sf2"
    _installed("symusic")
    audio_dir = out_dir / f"audio-v{VERSION}-seed{seed}"
    audio_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / _MANIFEST).unlink(missing_ok=True)
    jobs = []
    for index, repertory in enumerate(REPERTORIES):
        pieces = _pieces(repertory, corpus)
        order = np.random.default_rng([seed, index]).permutation(len(pieces))
        for k in range(per_class):
            choices = [pieces[order[(k + 97 * attempt) % len(pieces)]] for attempt in range(_TRIES)]
            path = audio_dir / f"{repertory.name}-{k:03d}.flac"
            jobs.append(joblib.delayed(_render)(path, repertory, choices, [seed, index, 1 + k], soundfont))
    records = []
    for record in joblib.Parallel(n_jobs=workers or -1, return_as="generator_unordered")(jobs):
        records.append(record)
        if progress is not None:
            progress(len(records), len(jobs))
    head = {"corpus": "musiclust-demo", "version": VERSION, "seed": seed}
    lines = [head, *sorted(records, key=lambda record: record["track_id"])]
    temporary = out_dir / f".{_MANIFEST}.{os.getpid()}"
    temporary.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    temporary.replace(out_dir / _MANIFEST)


def is_rendered(out_dir: Path, *, seed: int = 0) -> bool:
    """Whether `render` has ended in this folder, with this seed, and its audio is still there."""
    if not (out_dir / _MANIFEST).is_file():
        return False
    head, *records = _lines(out_dir / _MANIFEST)
    known = (head.get("version"), head.get("seed")) == (VERSION, seed)
    return known and all((out_dir / record["file"]).is_file() for record in records)


def _lines(manifest: Path) -> list[dict]:
    return [json.loads(line) for line in manifest.read_text(encoding="utf-8").split("\n") if line]


def load(out_dir: Path) -> "tuple[Tracks, dict[str, str]]":
    """What `render` wrote: the tracks, and the words sung in each by track_id (only where words are sung).

    The label "repertory" counts in the order of REPERTORIES; `group` is the piece (for a quartet the whole work).

    Raises:
      InputError: if the manifest is missing or another version's.
    """
    from musiclust.types import Tracks

    manifest = out_dir / _MANIFEST
    if not manifest.is_file():
        raise InputError(f"{manifest}: no such file; render the demo corpus there first")
    head, *records = _lines(manifest)
    if head.get("version") != VERSION:
        raise InputError(
            f"{manifest}: version {head.get('version')}, expected {VERSION}; delete {out_dir} and render again"
        )

    def column(key: str) -> np.ndarray:
        return np.array([record[key] for record in records])

    names = [repertory.name for repertory in REPERTORIES]
    tracks = Tracks(
        track_id=column("track_id"),
        path=np.array([str(out_dir / record["file"]) for record in records]),
        meta={"duration": np.full(len(records), SECONDS)} | {key: column(key) for key in ("title", "artist", "album")},
        classes={"repertory": np.array([names.index(record["repertory"]) for record in records], np.int32)},
        class_names={"repertory": tuple(repertory.title for repertory in REPERTORIES)},
        group=column("group"),
    )
    return tracks, {record["track_id"]: record["words"] for record in records if record["words"]}


def _installed(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"the demo corpus needs {package}, which is not installed: pip install 'musiclust[demo]'")
    return Path(spec.submodule_search_locations[0])


def _pieces(repertory: Repertory, corpus: Path) -> list[_Piece]:
    """The pieces of a repertory, MusicXML files unread; of two transcriptions of a tune the first."""
    pieces: dict[str, _Piece] = {}
    for path in sorted(path for pattern in repertory.files for path in corpus.glob(pattern)):
        if re.search(repertory.skip, str(path)):
            continue
        if path.suffix != ".abc":
            pieces[str(path)] = _piece(path, repertory)
            continue
        for tune in abc_notation.split_abc(path.read_text(encoding="utf-8", errors="replace")):
            fields = abc_notation.abc_fields(tune)
            book = path.stem if repertory.name != "irish" else ""  # O'Neill's numbers run through all files
            group = f"{repertory.name}-{book}{fields['X']}"
            title = fields.get("T", "").replace('"', "").replace(" -- ", ", ")
            title = title.capitalize() if title.isupper() else title
            pieces.setdefault(group, _Piece(str(path), tune, title, "", group))
    return list(pieces.values())


def _piece(path: Path, repertory: Repertory) -> _Piece:
    """A MusicXML file; its title from what stands beside it, "" where only the score itself has it."""
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
    return _Piece(str(path), "", title, artist, group)


def _render(path: Path, repertory: Repertory, choices: list[_Piece], seed: list[int], soundfont: Path) -> dict:
    """Renders one excerpt, unless it is there, from the first of `choices` that has one; returns its manifest line."""
    import soundfile

    rng = np.random.default_rng(seed)
    for piece in choices:
        score = abc_notation.read_abc(piece.tune) if piece.tune else musicxml.read_musicxml(Path(piece.path))
        excerpt = musicxml.draw_excerpt(score, rng, SECONDS, repertory.pace)
        if excerpt is not None:
            break
    else:
        raise RuntimeError(f"{path.stem}: no {SECONDS:g} s without long rests in {[piece.title for piece in choices]}")
    ensemble = repertory.instruments[rng.integers(len(repertory.instruments))]
    if not path.exists():
        parts = int(score.notes["part"].max()) + 1
        programs = [ensemble[part * len(ensemble) // parts] for part in range(parts)]
        wave = play(excerpt.notes, programs, SECONDS, soundfont)
        wave *= min(0.1 / np.sqrt(np.mean(wave**2)), 0.9 / np.abs(wave).max())  # -20 dB, as far as peaks allow
        wave[-_FADE:] *= np.linspace(1, 0, _FADE)
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.flac")
        # Not Vorbis: five times as small and seven times as slow, and now and then it encodes a block another way.
        soundfile.write(temporary, wave, SAMPLE_RATE, "PCM_16", format="FLAC")
        temporary.replace(path)
    return {
        "track_id": path.stem,
        "file": f"{path.parent.name}/{path.name}",
        "repertory": repertory.name,
        "title": piece.title or re.sub(r"^\d+\w?( \(\d+\))?\. *| - \w+$", "", score.title),
        "artist": repertory.artist
        or piece.artist
        or re.sub(r" +(\(|\?|[A-Z]+-).*|[()?]", "", score.composer)
        or "anonymous",
        "album": repertory.album,
        "group": piece.group,
        "words": excerpt.words,
    }
