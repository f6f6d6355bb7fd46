"""The demo corpus: short excerpts of real scores, rendered on the machine.

The scores ship inside music21 (found on disk and read as data; music21 itself is not imported), the sounds inside
pretty_midi (TimGM6mb.sf2), the player is symusic's. What is real and what is chosen here:

- real: the notes, the titles and composers, the repertory (the class), and the words where the score has them.
  Monteverdi's come from a scanned edition and are spelt as the scanner read them.
- measured on the notes: tempo, register, mode and voices, which are classes too; see factors.py.
- chosen by the seed: the piece, the measure at which the excerpt starts, the instruments (of the two or three that a
  repertory may have, parts of which other repertories have too) and the tempo: the score's own where it has one, else
  the repertory's `pace`, within 8 % of it either way.

The instruments are those that symusic 0.5.9 plays in tune. Its choirs, organs, solo strings, pianos, guitars and
accordions are not among them: it passes over the root keys that the SoundFont gives for these. Nor are its tremolo
strings (44), which sound a little different each time.
"""

import os
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np

from musiclust.errors import InputError
from musiclust.files import remove_temporary
from musiclust.preprocess.demo import abc_notation, manifest, musicxml
from musiclust.preprocess.demo.factors import describe_excerpt
from musiclust.preprocess.demo.manifest import SECONDS, VERSION
from musiclust.preprocess.demo.repertories import REPERTORIES, Piece, Repertory, find_pieces
from musiclust.preprocess.demo.synthesizer import SAMPLE_RATE, play
from musiclust.types import Tracks

_FADE = 441  # samples, 20 ms
_TRIES = 8  # pieces tried for one excerpt, where the first ones have none without long rests
_LEFT_BEHIND = 3600  # seconds after which what a killed process has half rendered is removed


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
      out_dir: the folder, made if need be; the audio of a seed has a folder of its own in it.
      seed: 0 or more.
      per_class: how many excerpts there are of each repertory.
      workers: how many processes render; None is as many as there are cores.
      progress: is called with (done, total) after each excerpt.

    Raises:
      InputError: if music21, symusic or pretty_midi is not installed.
    """
    corpus, soundfont = _find_package("music21") / "corpus", _find_package("pretty_midi") / "TimGM6mb.sf2"
    _find_package("symusic")
    audio_dir = out_dir / f"audio-v{VERSION}-seed{seed}"
    audio_dir.mkdir(parents=True, exist_ok=True)
    for folder in (out_dir, audio_dir):
        remove_temporary(folder, idle=_LEFT_BEHIND)
    manifest.remove_manifest(out_dir)
    jobs = []
    for index, repertory in enumerate(REPERTORIES):
        pieces = find_pieces(repertory, corpus)
        order = np.random.default_rng([seed, index]).permutation(len(pieces))
        for k in range(per_class):
            choices = [pieces[order[(k + 97 * attempt) % len(pieces)]] for attempt in range(_TRIES)]
            path = audio_dir / f"{repertory.name}-{k:03d}.flac"
            jobs.append(joblib.delayed(_render_excerpt)(path, repertory, choices, [seed, index, 1 + k], soundfont))
    records = []
    for record in joblib.Parallel(n_jobs=workers or -1, return_as="generator_unordered")(jobs):
        records.append(record)
        if progress is not None:
            progress(len(records), len(jobs))
    manifest.save_manifest(out_dir, seed, records)


def load_or_render(
    out_dir: Path | None = None,
    *,
    cache_dir: Path | None = None,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Path, Tracks, dict[str, str]]:
    """Loads the corpus, which is rendered first where it is not on disk.

    Args:
      out_dir: its folder; None is the default one of the seed in `cache_dir`, which itself is by default the user's.
      seed, workers, progress: as for `render`.

    Returns:
      The folder, the tracks, and track_id -> the words that the score has.

    Raises:
      InputError: as `render`.
    """
    place = out_dir or manifest.default_dir(cache_dir, seed)
    if not manifest.is_rendered(place, seed=seed):
        render(place, seed=seed, workers=workers, progress=progress)
    return place, *manifest.load(place)


def _find_package(package: str) -> Path:
    """Returns the folder of an installed package. Raises InputError if it is not installed."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"the demo corpus needs {package}, which is not installed: pip install 'musiclust[demo]'")
    return Path(spec.submodule_search_locations[0])


def _render_excerpt(path: Path, repertory: Repertory, choices: list[Piece], seed: list[int], soundfont: Path) -> dict:
    """Renders one excerpt, unless it is there, from the first of `choices` that has one; returns its manifest line."""
    import soundfile

    rng = np.random.default_rng(seed)
    for piece in choices:
        try:
            score = abc_notation.read_abc(piece.tune) if piece.tune else musicxml.read_musicxml(Path(piece.path))
        except ValueError:  # no music to be drawn from
            continue
        excerpt = musicxml.draw_excerpt(score, rng, SECONDS, repertory.pace)
        if excerpt is not None:
            break
    else:
        titles = ", ".join(piece.title for piece in choices)
        raise InputError(f"{path.stem}: none of {titles} has {SECONDS:g} s without long rests: take another seed")
    ensemble = repertory.instruments[rng.integers(len(repertory.instruments))]
    if not path.exists():
        parts = int(score.notes["part"].max()) + 1
        programs = [ensemble[part * len(ensemble) // parts] for part in range(parts)]
        wave = play(excerpt.notes, programs, SECONDS, soundfont)
        wave *= min(0.1 / np.sqrt(np.mean(wave**2)), 0.9 / np.abs(wave).max())  # -20 dB, as far as peaks allow
        wave[-_FADE:] *= np.linspace(1, 0, _FADE)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
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
        **describe_excerpt(excerpt.notes, ensemble, SECONDS),
    }
