"""Scores by hand, read back to the note."""

import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from musiclust.errors import InputError
from musiclust.preprocess.demo import abc_notation, musicxml


def _note(step, octave, duration, *extra):
    return (
        f"<note>{'<chord/>' if 'chord' in extra else ''}<pitch><step>{step}</step><octave>{octave}</octave></pitch>"
        f"<duration>{duration}</duration>{''.join(e for e in extra if e != 'chord')}</note>"
    )


def _lyric(syllabic, text, verse=1):
    return f'<lyric number="{verse}"><syllabic>{syllabic}</syllabic><text>{text}</text></lyric>'


def _score(*parts, head=""):
    body = "".join(
        f'<part id="P{k}">' + "".join(f"<measure>{measure}</measure>" for measure in part) + "</part>"
        for k, part in enumerate(parts)
    )
    return f"<score-partwise>{head}{body}</score-partwise>"


def _read(tmp_path, text):
    path = tmp_path / "score.xml"
    path.write_text(text, encoding="utf-8")
    return musicxml.read_musicxml(path)


DIVISIONS = "<attributes><divisions>2</divisions></attributes>"


def test_voices_chords_ties_and_a_short_measure(tmp_path):
    upper = [
        DIVISIONS + _note("C", 5, 2) + _note("E", 5, 2, "chord") + _note("G", 5, 6, '<tie type="start"/>'),
        _note("G", 5, 4, '<tie type="stop"/>') + "<note><rest/><duration>4</duration></note>",
    ]
    lower = [
        DIVISIONS + _note("C", 3, 4) + "<backup><duration>2</duration></backup>" + _note("A", 2, 2),  # 2 beats short
        "<forward><duration>2</duration></forward>" + _note("D", 3, 6),
    ]
    score = _read(tmp_path, _score(upper, lower))
    rows = [tuple(map(float, row)) for row in score.notes[["onset", "duration", "pitch", "part"]].tolist()]
    assert rows == [(0, 1, 72, 0), (0, 1, 76, 0), (0, 2, 48, 1), (1, 5, 79, 0), (1, 1, 45, 1), (5, 3, 50, 1)]
    assert score.measures.tolist() == [0, 4]
    assert score.length == 8


def test_alterations_transposition_dynamics_grace_notes_and_tempo(tmp_path):
    transposed = "<attributes><divisions>2</divisions><transpose><chromatic>-2</chromatic></transpose></attributes>"
    loud = '<direction><direction-type><dynamics><f/></dynamics></direction-type><sound tempo="90"/></direction>'
    mark = (
        "<direction><direction-type><metronome><beat-unit>half</beat-unit><per-minute>70</per-minute></metronome>"
        "</direction-type></direction>"
    )
    sharp = "<note><pitch><step>F</step><alter>1</alter><octave>4</octave></pitch><duration>2</duration></note>"
    grace = "<note><grace/><pitch><step>A</step><octave>4</octave></pitch></note>"
    score = _read(tmp_path, _score([transposed + _note("C", 4, 2) + loud + grace + sharp + mark + _note("C", 4, 4)]))
    assert score.notes["pitch"].tolist() == [58, 64, 58]
    assert score.notes["velocity"].tolist() == [80, 97, 97]
    assert score.tempos == ((1.0, 90.0), (2.0, 140.0))


def test_words_are_joined_and_one_verse_is_kept(tmp_path):
    lyrics = [
        _lyric("single", "1. Wie") + _lyric("single", "So", 2),
        _lyric("begin", "schön"),
        _lyric("single", "leuch-"),  # a scanned edition prints its hyphens
        _lyric("single", "tet"),
        "<lyric number='1'><syllabic>end</syllabic><text>der</text><elision/><syllabic>begin</syllabic><text>Mor</text>"
        "</lyric>",
        _lyric("middle", "gen"),
        _lyric("end", "stern"),
    ]
    score = _read(tmp_path, _score([DIVISIONS + "".join(_note("C", 4, 2, lyric) for lyric in lyrics)]))
    assert [word.text for word in score.words] == ["Wie", "schön", "leuchtet", "der", "Morgenstern"]
    assert score.words[2].onsets == (2.0, 3.0)
    assert score.words[4].onsets == (4.0, 5.0, 6.0)


def test_zipped_score_is_the_plain_one(tmp_path):
    text = _score([DIVISIONS + _note("A", 4, 8)], head="<work><work-title>A  tone</work-title></work>")
    with zipfile.ZipFile(tmp_path / "score.mxl", "w") as archive:
        archive.writestr("other.xml", "<nothing/>")
        archive.writestr("inner/score.xml", text)
        archive.writestr(
            "META-INF/container.xml",
            '<container><rootfiles><rootfile full-path="inner/score.xml"/></rootfiles></container>',
        )
    zipped, plain = musicxml.read_musicxml(tmp_path / "score.mxl"), _read(tmp_path, text)
    assert zipped.title == plain.title == "A tone"
    assert zipped.notes.tolist() == plain.notes.tolist() == [(0.0, 4.0, 69, 80, 0)]


ABC = "X:1\nT:Up\nM:2/4\nL:1/8\nK:D\nA|DEFG|A2 d2|\n\nX:2\nT:Down\nM:3/4\nL:1/4\nQ:1/4=96\nK:C\n|:cBA|G3:|\n"


def test_abc_tunes(capfd):
    pytest.importorskip("symusic")
    tunes = abc_notation.split_abc(ABC)
    assert [abc_notation.abc_fields(tune)["T"] for tune in tunes] == ["Up", "Down"]
    up, down = map(abc_notation.read_abc, tunes)
    assert capfd.readouterr().out == ""  # abc2midi complains of the upbeat, unheard
    assert up.notes["pitch"].tolist() == [69, 62, 64, 66, 67, 69, 74]  # F sharp, by the key
    np.testing.assert_allclose(up.notes["onset"], [0, 0.5, 1, 1.5, 2, 2.5, 3.5], atol=0.01)
    np.testing.assert_allclose(up.measures, [0, 0.5, 2.5], atol=0.01)
    assert up.tempos == ()
    assert down.notes["pitch"].tolist() == [72, 71, 69, 67] * 2  # repeated
    assert [round(tempo) for _, tempo in down.tempos] == [96]
    with pytest.raises(ValueError, match="Empty"):
        abc_notation.read_abc("X:1\nT:Empty\nM:2/4\nL:1/8\nK:C\n")
    with pytest.raises(ValueError, match="'Odd' is in no key: 'H'"):  # abc2midi would write no file
        abc_notation.read_abc("X:1\nT:Odd\nM:2/4\nL:1/8\nK: H\nCDEF|\n")


def test_a_tune_of_which_abc2midi_makes_nothing_is_named(monkeypatch):
    symusic = pytest.importorskip("symusic")

    def fail(tune):
        raise RuntimeError("File not found file: /tmp/file1")

    monkeypatch.setattr(symusic, "Score", SimpleNamespace(from_abc=fail))
    with pytest.raises(InputError, match=r"ABC tune 'Up': abc2midi made no notes of it .* room in /tmp"):
        abc_notation.read_abc(abc_notation.split_abc(ABC)[0])


def _steady(beats, tempo=60.0, rests=()):
    """One note a quarter, pitch 60 + beat, a word each, 4/4."""
    beats_ = [beat for beat in range(beats) if beat not in rests]
    notes = np.array([(beat, 1.0, 60 + beat, 80, 0) for beat in beats_], musicxml.NOTE)
    words = tuple(musicxml.Word(0, (float(beat),), f"w{beat}") for beat in beats_)
    return musicxml.Score("", "", notes, np.arange(0.0, beats, 4), float(beats), ((0.0, tempo),), words)


def test_excerpt_starts_with_a_measure_and_has_its_own_words():
    for seed in range(20):
        excerpt = musicxml.draw_excerpt(_steady(40), np.random.default_rng(seed), 10.0, 1.0)
        first = int(excerpt.notes["pitch"][0]) - 60
        assert first % 4 == 0
        assert excerpt.notes["onset"][0] == 0
        assert 0.92 - 1e-9 <= 1 / excerpt.notes["duration"][0] <= 1.08 + 1e-9  # 60 a minute, within 8 %
        assert (excerpt.notes["onset"] < 10).all()
        assert excerpt.words.split() == [f"w{pitch - 60}" for pitch in excerpt.notes["pitch"]]


def test_a_short_piece_is_sung_again():
    excerpt = musicxml.draw_excerpt(_steady(4), np.random.default_rng(0), 10.0, 1.0)
    assert (np.diff(excerpt.notes["pitch"].astype(int)) % 4 == 1).all()
    assert 10 <= len(excerpt.notes) <= 11
    assert sorted(set(excerpt.words.split())) == ["w0", "w1", "w2", "w3"]


def test_pace_sets_the_tempo_where_the_score_does_not():
    score = _steady(80)._replace(tempos=())
    excerpt = musicxml.draw_excerpt(score, np.random.default_rng(0), 10.0, 4.0)
    np.testing.assert_allclose(excerpt.notes["duration"], 0.25, rtol=0.09)


def test_long_rests_are_avoided():
    score = _steady(40, rests=range(10, 14))
    for seed in range(20):
        pitches = musicxml.draw_excerpt(score, np.random.default_rng(seed), 10.0, 1.0).notes["pitch"]
        assert pitches.min() >= 60 + 14 or pitches.max() < 60 + 10
    assert musicxml.draw_excerpt(_steady(40, rests=range(2, 38)), np.random.default_rng(0), 10.0, 1.0) is None


def test_words_come_from_the_part_that_sings_most():
    score = _steady(12)
    busy = tuple(musicxml.Word(1, (beat, beat + 0.5), f"v{beat}") for beat in np.arange(12.0))
    excerpt = musicxml.draw_excerpt(score._replace(words=score.words + busy), np.random.default_rng(0), 10.0, 1.0)
    assert set(excerpt.words.split()) <= {word.text for word in busy}
