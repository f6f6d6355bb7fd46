"""The demo corpus, rendered small and listened to by numbers."""

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from musiclust.digests import forget_digests
from musiclust.errors import InputError
from musiclust.preprocess.demo import manifest, musicxml, render
from musiclust.preprocess.demo.factors import FACTORS, describe_excerpt
from musiclust.preprocess.demo.repertories import REPERTORIES, find_pieces
from musiclust.preprocess.demo.synthesizer import SAMPLE_RATE, play

for _package in ("music21", "symusic", "pretty_midi", "soundfile"):
    if find_spec(_package) is None:
        pytest.skip(f"{_package} is not installed", allow_module_level=True)

PROGRAMS = sorted({program for repertory in REPERTORIES for part in repertory.instruments for program in part})
VOCAL = {"trecento", "monteverdi", "bach"}


def _soundfont():
    return Path(find_spec("pretty_midi").submodule_search_locations[0]) / "TimGM6mb.sf2"


def _share_in_tune(wave, pitch):
    """The share of the power, up to the ninth harmonic, that lies within 45 cents of a harmonic of `pitch`."""
    n_fft = 1 << 17
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), n_fft)) ** 2
    hertz = np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE)[1:]
    harmonic = hertz / (440 * 2 ** ((pitch - 69) / 12))
    cents = 1200 * np.abs(np.log2(harmonic / np.maximum(np.round(harmonic), 1)))
    counted = (hertz > 60) & (harmonic < 9.5) & (hertz < 9000)
    return power[1:][counted & (cents < 45)].sum() / power[1:][counted].sum()


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_instrument_is_in_tune(program):
    for pitch in (40, 47, 52, 57, 62, 66, 69, 73, 78, 80, 82, 85, 88):
        note = np.array([(0.0, 1.0, pitch, 90, 0)], musicxml.NOTE)
        wave = play(note, [program], 1.0, _soundfont())
        assert wave.shape == (SAMPLE_RATE,)
        assert _share_in_tune(wave[2205:20000], pitch) > 0.85, pitch
        assert _share_in_tune(wave[2205:20000], pitch + 1) < 0.5, pitch


def test_play_keeps_time():
    notes = np.array([(1.0, 0.5, 72, 90, 0), (2.0, 0.5, 60, 90, 1)], musicxml.NOTE)
    wave = play(notes, [73, 107], 3.0, _soundfont())
    loud = np.abs(wave).reshape(-1, 2205).max(axis=1) > 0.02 * np.abs(wave).max()  # tenths of a second
    assert not loud[:9].any()
    assert loud[10:14].all()
    assert loud[20]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    out_dir, seen = tmp_path_factory.mktemp("demo"), []
    render.render(out_dir, per_class=2, workers=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k + 1, 16) for k in range(16)]
    return out_dir


def _audio(tracks):
    import soundfile

    return [soundfile.read(path, dtype="float32") for path in tracks.path]


def test_tracks(corpus):
    tracks, words = manifest.load(corpus)
    assert len(tracks) == 16
    assert "bach-001" in tracks.track_id
    named = [REPERTORIES[code].name for code in tracks.classes["repertory"]]
    assert named == [track_id.split("-")[0] for track_id in tracks.track_id]
    assert tracks.class_names["repertory"][2] == "Bach chorales"
    assert all(tracks.meta[key].all() for key in ("title", "artist", "album"))
    assert tracks.group.all()
    assert {track_id.split("-")[0] for track_id in words} <= VOCAL
    assert len(words) >= 3
    assert all(text.strip() for text in words.values())
    assert not list(corpus.rglob(".*"))


def test_excerpts_sound_throughout_unclipped(corpus):
    tracks, _ = manifest.load(corpus)
    for track_id, (wave, rate) in zip(tracks.track_id, _audio(tracks), strict=True):
        assert (rate, wave.shape) == (SAMPLE_RATE, (220_500,)), track_id
        assert 0.05 < np.sqrt(np.mean(wave**2)) < 0.11, track_id
        assert np.abs(wave).max() < 1, track_id
        assert (np.abs(wave).reshape(5, -1).max(axis=1) > 0.01).all(), track_id


def test_same_seed_same_sound_in_any_number_of_processes(corpus, tmp_path):
    render.render(tmp_path, per_class=1, workers=2)
    tracks, words = manifest.load(corpus)
    again, words_again = manifest.load(tmp_path)
    same = tracks.select(np.isin(tracks.track_id, again.track_id))
    assert same.meta["title"].tolist() == again.meta["title"].tolist()
    assert words_again == {track_id: text for track_id, text in words.items() if track_id in again.track_id}
    for (wave, _), (other, _) in zip(_audio(same), _audio(again), strict=True):
        assert wave.tobytes() == other.tobytes()


def test_other_seed_other_excerpts_and_what_is_there_is_kept(corpus, tmp_path):
    corpus = shutil.copytree(corpus, tmp_path / "demo")
    before, _ = manifest.load(corpus)
    stamps = {path: Path(path).stat().st_mtime_ns for path in before.path}
    assert manifest.is_rendered(corpus)
    Path(before.path[3]).unlink()
    assert not manifest.is_rendered(corpus)
    render.render(corpus, per_class=2, workers=1)
    assert manifest.is_rendered(corpus)
    assert not manifest.is_rendered(corpus, seed=1)
    resumed, _ = manifest.load(corpus)
    changed = [path for path in resumed.path if Path(path).stat().st_mtime_ns != stamps[path]]
    assert changed == [before.path[3]]
    render.render(corpus, seed=1, per_class=1, workers=1)
    other, _ = manifest.load(corpus)
    assert not set(other.path) & set(before.path)
    assert len(set(other.meta["title"]) & set(before.meta["title"])) <= 2


def test_manifest_missing_or_of_another_version(tmp_path):
    with pytest.raises(InputError, match=r"manifest\.jsonl: no such file"):
        manifest.load(tmp_path)
    (tmp_path / "manifest.jsonl").write_text(json.dumps({"version": 0}) + "\n")
    with pytest.raises(InputError, match="version 0, expected"):
        manifest.load(tmp_path)


def _drop_factors(corpus):
    """The manifest as it was before it told factors."""
    path = corpus / "manifest.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    old = [{key: value for key, value in record.items() if key not in FACTORS} for record in records]
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in old))
    forget_digests(corpus)


def test_a_manifest_without_factors_is_written_again_and_the_sound_is_kept(corpus, tmp_path):
    corpus = shutil.copytree(corpus, tmp_path / "demo")
    whole = (corpus / "manifest.jsonl").read_text()
    stamps = {path: path.stat().st_mtime_ns for path in corpus.rglob("*.flac")}
    _drop_factors(corpus)
    assert not manifest.is_rendered(corpus)
    with pytest.raises(InputError, match=r"manifest\.jsonl does not tell the factors yet: render .* audio is kept"):
        manifest.load(corpus)
    render.render(corpus, per_class=2, workers=1)
    assert (corpus / "manifest.jsonl").read_text() == whole
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*.flac")} == stamps


def test_factors_are_classes_after_the_repertory(corpus):
    tracks, _ = manifest.load(corpus)
    assert [*tracks.classes] == ["repertory", *FACTORS]
    assert {name: tracks.class_names[name] for name in FACTORS} == FACTORS
    told = {name: [FACTORS[name][code] for code in tracks.classes[name]] for name in FACTORS}
    of_piece = dict(zip(tracks.track_id.tolist(), told["voices"], strict=True))
    assert of_piece["bach-000"] == of_piece["quartet-001"] == "4 or more"
    assert of_piece["irish-000"] == of_piece["german-000"] == "1"
    assert set(told["instrument"]) <= set(FACTORS["instrument"])


def test_every_instrument_has_a_name():
    for repertory in REPERTORIES:
        for ensemble in repertory.instruments:
            told = describe_excerpt(np.array([(0, 1, 60, 80, 0)], musicxml.NOTE), ensemble, 10.0)
            assert told["instrument"] in FACTORS["instrument"]
    assert len({ensemble[0] for r in REPERTORIES for ensemble in r.instruments}) == len(FACTORS["instrument"])


@pytest.mark.parametrize("package", ["music21", "symusic", "pretty_midi"])
def test_missing_package_names_the_extra(package, monkeypatch, tmp_path):
    monkeypatch.setattr(render, "find_spec", lambda name: None if name == package else find_spec(name))
    with pytest.raises(InputError, match=rf"{package}.*pip install 'musiclust\[demo\]'"):
        render.render(tmp_path)


def test_default_dir(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert manifest.default_dir() == tmp_path / "musiclust" / f"demo-v{manifest.VERSION}-seed0"
    assert manifest.default_dir(tmp_path / "mine", 3).parent == tmp_path / "mine"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert manifest.default_dir() == Path.home() / ".cache" / "musiclust" / f"demo-v{manifest.VERSION}-seed0"
    assert len({manifest.default_dir(seed=seed) for seed in range(3)}) == 3


def test_a_damaged_manifest_is_one_line_and_is_written_again(corpus, tmp_path):
    corpus = shutil.copytree(corpus, tmp_path / "demo")
    path = corpus / "manifest.jsonl"
    whole = path.read_text()
    for content, fault in (
        (whole.replace("fiddle", "fidble", 1), "is not as it was written"),
        (whole[:-300], "is not as it was written"),
        ("", "is not as it was written"),
    ):
        path.write_text(content)
        with pytest.raises(InputError, match=f"{fault}.*: delete .* and render again"):
            manifest.load(corpus)
        assert not manifest.is_rendered(corpus)
    forget_digests(corpus)
    for content, fault in (
        (whole.replace('"repertory": "fiddle"', '"repertory": "fidble"', 1), "repertory is 'fidble', which is unknown"),
        (whole.replace('"file": "', '"file": "../', 1), "a file lies outside of the corpus"),
        (whole[:-300], "is damaged"),
        ("", "is damaged"),
    ):
        path.write_text(content)
        with pytest.raises(InputError, match=fault):
            manifest.load(corpus)
        assert not manifest.is_rendered(corpus)
    render.render(corpus, per_class=2, workers=1)
    assert path.read_text() == whole


def test_a_tune_without_a_key_gives_way_to_the_next(tmp_path):
    """Two of the 1,224 Chinese tunes are in H, and a seed in fifteen drew one of them."""
    repertory = next(one for one in REPERTORIES if one.name == "chinese")
    pieces = find_pieces(repertory, Path(find_spec("music21").submodule_search_locations[0]) / "corpus")
    keyless = [piece for piece in pieces if re.search(r"(?m)^K: *H$", piece.tune)]
    assert len(keyless) == 2
    record = render._render_excerpt(tmp_path / "a.flac", repertory, [*keyless, pieces[0]], [0, 6, 1], _soundfont())
    assert record["title"] == pieces[0].title
    with pytest.raises(InputError, match="take another seed"):
        render._render_excerpt(tmp_path / "b.flac", repertory, keyless, [0, 6, 1], _soundfont())
