"""ABC tunes read as data, by the abc2midi that symusic brings. Conventions: as in musicxml.py."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from musiclust.errors import InputError
from musiclust.preprocess.demo import musicxml

_KEY = re.compile(r"[A-G]|H[Pp]|none|$")  # ABC 2.1, 3.1.14; of the tunes that music21 has, two are in H
_ACCENT = 105  # the velocity that abc2midi gives to the first note of each bar, and to no other


def split_abc(book: str) -> list[str]:
    """The tunes of an ABC file, each from its `X:` line on."""
    return re.split(r"(?m)^(?=X:)", book)[1:]


def abc_fields(tune: str) -> dict[str, str]:
    """The first line of each header field of an ABC tune, by letter."""
    fields: dict[str, str] = {}
    for letter, value in re.findall(r"(?m)^([A-Z]):(.*)$", tune):
        fields.setdefault(letter, value.strip())
    return fields


def read_abc(tune: str) -> musicxml.Score:
    """Reads one ABC tune, repeats played out. The tempo is kept only where the tune has a `Q:` field.

    Raises:
      ValueError: if the tune has no notes, or a key that there is not, of which abc2midi makes nothing.
      InputError: if abc2midi made nothing of it, as where there is no room for its file.
    """
    import symusic

    fields = abc_fields(tune)
    title = fields.get("T", "")
    if not _KEY.match(fields.get("K", "")):
        raise ValueError(f"ABC tune {title!r} is in no key: {fields.get('K', '')!r}")
    with _muted(), _own_temporary_folder():
        try:
            score: Any = symusic.Score.from_abc(tune)
        except RuntimeError as error:
            raise InputError(
                f"ABC tune {title!r}: abc2midi made no notes of it ({error}): see that there is room in /tmp, and run "
                "the same command again, which goes on where it was"
            ) from error
    tick = 1 / score.tpq  # abc2midi starts each note a tick late and leaves a tick of silence after it
    notes = [
        ((note.time - 1) * tick, (note.duration + 1) * tick, note.pitch, note.velocity, part)
        for part, track in enumerate(score.tracks)
        for note in track.notes
    ]
    if not notes:
        raise ValueError(f"ABC tune {title!r} has no notes")
    notes = np.sort(np.array(notes, musicxml.NOTE), order="onset", kind="stable")
    measures = np.unique(notes["onset"][notes["velocity"] == _ACCENT])
    tempos = tuple((tempo.time * tick, float(tempo.qpm)) for tempo in score.tempos) if "Q" in fields else ()
    length = float((notes["onset"] + notes["duration"]).max())
    return musicxml.Score(title, fields.get("C", ""), notes, measures, length, tempos, ())


@contextlib.contextmanager
def _own_temporary_folder() -> Iterator[None]:
    """symusic hands the tune to abc2midi through a file in TMPDIR whose name two processes may share."""
    before = os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before


@contextlib.contextmanager
def _muted() -> Iterator[None]:
    """Drops what a child process writes to stdout: abc2midi, which symusic runs, reports each odd bar there."""
    sys.stdout.flush()
    saved, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(null)
