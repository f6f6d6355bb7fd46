"""transcribe: openai-whisper itself, with small random weights, from files to lyrics.jsonl."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musiclust import store
from musiclust.errors import InputError
from musiclust.preprocess.lyrics import embed, transcribe, whisper_model
from musiclust.preprocess.lyrics import update as lyrics_update
from musiclust.preprocess.lyrics.gate import Gate
from musiclust.preprocess.lyrics.transcribe import compute_confidence, read_samples, transcribe_file
from musiclust.preprocess.lyrics.whisper_model import Settings, check, load
from musiclust.preprocess.workers import Failed
from musiclust.types import Tracks

ROOT = Path(__file__).resolve().parents[3]
RATE = 22_050
QUICK = {"sample_len": 5, "temperature": 0.0}
TRUSTING = Gate(no_speech=1.0, logprob=-99.0, min_rate=0.0, min_words=1, max_scripts=99)

pytest.importorskip("whisper")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    """A multilingual Whisper of one layer and 16 columns that babbles."""
    return _random_model(tmp_path_factory.mktemp("whisper") / "babble.pt", seed=0)


def _random_model(path: Path, seed: int) -> str:
    import torch
    from whisper.model import ModelDimensions, Whisper

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Whisper(ModelDimensions(80, 1500, 16, 2, 1, 51865, 448, 16, 2, 1))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    torch.save({"dims": vars(model.dims), "model_state_dict": model.state_dict()}, path)
    return str(path)


@pytest.fixture
def here(monkeypatch) -> list[str]:
    """Transcribes in this process; the paths in their order."""
    heard = []

    def hear_all(paths, *, workers, hear):
        for i, path in enumerate(paths):
            heard.append(path)
            yield i, hear(path)

    monkeypatch.setattr(transcribe, "hear_all", hear_all)
    monkeypatch.setattr(transcribe, "check", lambda settings: "cpu")
    return heard


def heard(path: str, settings: Settings) -> dict:
    found = transcribe_file(path, settings=settings)
    assert isinstance(found, dict)
    return found


def noises(root: Path, n: int, seconds: float = 1.0) -> Tracks:
    root.mkdir()
    rng = np.random.default_rng(0)
    paths = [str(root / f"{i}.wav") for i in range(n)]
    for path in paths:
        soundfile.write(path, rng.uniform(-0.1, 0.1, round(seconds * RATE)), RATE)
    ids = np.array([Path(path).stem for path in paths])
    return Tracks(ids, np.array(paths), {}, {}, {}, ids)


def update(root, tracks, whisper, sources=("whisper",), gate: Gate | None = TRUSTING):
    quiet = lambda stage, done, total: None  # noqa: E731
    return lyrics_update.update_lyrics(
        root, tracks, {}, sources, embed.choose("tfidf"), quiet, whisper=whisper, gate=gate
    )[0]


def lines(root: Path) -> list[dict]:
    return [json.loads(line) for line in (root / "lyrics.jsonl").read_text(encoding="utf-8").split("\n") if line]


def test_a_file_comes_to_words_segments_and_a_language(tmp_path, weights):
    tracks = noises(tmp_path / "music", 1, seconds=35)
    path = str(tracks.path[0])
    found, again = (heard(path, Settings(weights, device="cpu", options=QUICK)) for _ in range(2))
    assert {**found, "seconds": 0} == {**again, "seconds": 0}
    assert 0 < found["language_probability"] < 1
    assert found["segments"]
    assert found["text"] == "\n".join(one["text"] for one in found["segments"])
    for one in found["segments"]:
        assert set(one) == {"text", *transcribe._KEPT}
        assert 0 <= one["start"] < one["end"]
        assert one["avg_logprob"] < 0 <= one["no_speech_prob"] <= 1
    given = heard(path, Settings(weights, "de", "cpu", QUICK))
    assert (given["language"], given["language_probability"]) == ("de", None)
    assert transcribe_file(str(tmp_path / "gone.wav"), settings=Settings(weights)) == Failed(
        "not audio that can be decoded here; convert or remove it"
    )


def test_the_language_is_whispers_own_where_there_is_one_window(tmp_path, weights):
    import torch
    from whisper.audio import log_mel_spectrogram, pad_or_trim

    model = load(Settings(weights, device="cpu"))
    samples = np.random.default_rng(0).uniform(-0.1, 0.1, 16_000).astype(np.float32)
    _, found = model.detect_language(log_mel_spectrogram(torch.from_numpy(pad_or_trim(samples)), 80))
    language, probability = transcribe._detect_language(model, samples)
    assert language == max(found, key=found.get)
    assert probability == pytest.approx(found[language], abs=1e-4)


def test_listening_is_soxr_over_the_whole_file(tmp_path, monkeypatch):
    import soxr

    stereo = np.random.default_rng(0).uniform(-0.5, 0.5, (5 * RATE, 2))
    soundfile.write(tmp_path / "a.flac", stereo, RATE, subtype="PCM_24")
    whole = soxr.resample(stereo.mean(axis=1), RATE, 16_000)
    monkeypatch.setattr(transcribe, "_BLOCK_SECONDS", 2)
    samples = read_samples(str(tmp_path / "a.flac"))
    assert samples.dtype == np.float32
    assert len(samples) == len(whole) == 80_000
    np.testing.assert_allclose(samples, whole, atol=1e-4)
    (tmp_path / "cut.flac").write_bytes((tmp_path / "a.flac").read_bytes()[:300_000])
    part = read_samples(str(tmp_path / "cut.flac"))
    assert 16_000 < len(part) < 80_000
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    with pytest.raises(InputError, match="nothing of it decodes"):
        read_samples(str(tmp_path / "empty.wav"))


def test_words_in_channels_that_cancel_are_heard(tmp_path):
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * RATE)
    soundfile.write(tmp_path / "one.wav", sound, RATE)
    soundfile.write(tmp_path / "against.wav", np.stack([sound, -sound], axis=1), RATE)
    one, against = (read_samples(str(tmp_path / name)) for name in ("one.wav", "against.wav"))
    np.testing.assert_allclose(np.abs(against), np.abs(one), atol=1e-4)


def test_what_is_wrong_with_settings_is_told_in_one_line(tmp_path, weights, monkeypatch):
    assert check(Settings(weights, "de", "cpu")) == "cpu"
    with pytest.raises(InputError, match=r"'huge': no such file, and none of tiny\.en, tiny"):
        check(Settings("huge"))
    for settings, message in (
        (Settings(str(tmp_path / "none.pt")), "none.pt': no such file"),
        (Settings(weights, "klingon"), "'klingon' is not one of Whisper's: auto, en"),
        (Settings(weights, device="abacus"), "'abacus' is not known: cpu, cuda"),
    ):
        with pytest.raises(InputError, match=message):
            whisper_model._examine(settings)
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="sees no GPU here: choose `device=cpu`"):
        whisper_model._examine(Settings(weights, device="cuda"))
    (tmp_path / "embed.pt").write_text("no weights")
    with pytest.raises(InputError, match="cannot be loaded"):
        load(Settings(str(tmp_path / "embed.pt")))


def test_without_a_network_a_name_ends_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(
        InputError, match=r"'tiny' is not on this machine and cannot be fetched .*a \.pt file"
    ) as caught:
        load(Settings("tiny"))
    assert "\n" not in str(caught.value)
    assert not [*(tmp_path / "whisper").glob("*.pt")]


def test_nothing_is_transcribed_twice_and_verdicts_are_made_anew(tmp_path, weights, here):
    tracks, root, settings = noises(tmp_path / "music", 2), tmp_path / "store", Settings(weights, "en", "cpu", QUICK)
    records = update(root, tracks, settings)
    assert here == tracks.path.tolist()
    assert [record["source"] for record in records.values()] == ["whisper"] * 2
    assert all(record["words"] for record in records.values())
    assert store.load_lyrics(root) == records
    assert len(lines(root)) == 2
    assert store.load_block(root, "lyrics").valid.all()

    strict = update(root, tracks, settings, gate=Gate())
    assert not any(record["words"] for record in strict.values())
    assert {record["reason"] for record in strict.values()} == {"improbable words"}
    assert [record["text"] for record in strict.values()] == [record["text"] for record in records.values()]
    assert "lyrics" not in store.block_names(root)
    assert update(root, tracks, None) == records  # without a model what was heard before still counts
    update(root, tracks, None, sources=())
    assert update(root, tracks, settings) == records  # nor does a run without words lose it
    assert len(here) == 2

    time.sleep(0.01)
    os.utime(tracks.path[1])
    update(root, tracks, settings)
    assert here[2:] == [tracks.path[1]]
    update(root, tracks, Settings(weights, "fr", "cpu", QUICK))
    assert len(here) == 5


def test_another_model_is_a_second_opinion(tmp_path, weights, here):
    tracks, root = noises(tmp_path / "music", 1), tmp_path / "store"
    first = update(root, tracks, Settings(weights, "en", "cpu", QUICK))["0"]
    other = _random_model(tmp_path / "other.pt", seed=1)
    lenient = Gate(**{**vars(TRUSTING), "agreement": 1.0})
    second = update(root, tracks, Settings(other, "en", "cpu", QUICK), gate=lenient)["0"]
    assert first["model"] != second["model"]
    assert first["text"] != second["text"]
    assert (second["words"], second["reason"]) == ("", "other transcripts disagree")


def test_a_file_that_fails_is_named_and_the_rest_goes_on(tmp_path, weights, here):
    tracks, root = noises(tmp_path / "music", 3), tmp_path / "store"
    Path(tracks.path[1]).write_bytes(b"no sound")
    records = update(root, tracks, Settings(weights, "en", "cpu", QUICK))
    assert [record["source"] for record in records.values()] == ["whisper", "none", "whisper"]
    assert records["1"]["reason"] == "Whisper: not audio that can be decoded here; convert or remove it"
    assert store.load_block(root, "lyrics").valid.tolist() == [True, False, True]


def test_whisper_hears_only_what_nobody_wrote_down(tmp_path, weights, here):
    tracks, root = noises(tmp_path / "music", 3), tmp_path / "store"
    (tmp_path / "music" / "1.txt").write_text("Early one morning\njust as the sun was rising\n")
    (tmp_path / "music" / "2.txt").write_text("https://example.org/licence")
    auto = ("sidecar", "tags", "whisper")
    records = update(root, tracks, Settings(weights, "en", "cpu", QUICK), sources=auto)
    assert [record["source"] for record in records.values()] == ["whisper", "sidecar", "whisper"]
    assert here == [tracks.path[0], tracks.path[2]]


def test_confidence_is_the_probability_of_a_token():
    quarter, half = ({"start": 0.0, "end": 2.0, "avg_logprob": float(np.log(p))} for p in (0.25, 0.5))
    assert compute_confidence([half]) == 0.5
    assert compute_confidence([quarter, {**half, "end": 6.0}]) == pytest.approx(0.25**0.25 * 0.5**0.75, abs=1e-4)
    assert compute_confidence([]) == 0


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from musiclust.preprocess.lyrics import embed, transcribe
from musiclust.preprocess.lyrics import update as lyrics_update
from musiclust.preprocess.lyrics.whisper_model import Settings
from musiclust.types import Tracks
transcribe.check = lambda settings: "cpu"  # which takes a process with torch of its own
paths = sorted(Path(sys.argv[1]).glob("*.wav"))
ids = np.array([path.stem for path in paths])
tracks = Tracks(ids, np.array([str(path) for path in paths]), {}, {}, {}, ids)
settings = Settings(sys.argv[3], "en", "cpu", {"sample_len": 5, "temperature": 0.0})
given = (Path(sys.argv[2]), tracks, {}, ("whisper",), embed.choose("tfidf"), lambda stage, done, total: None)
lyrics_update.update_lyrics(*given, whisper=settings)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_killed_run_goes_on_with_the_next_track(tmp_path, weights, here):
    tracks, root = noises(tmp_path / "music", 6, seconds=2), tmp_path / "store"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "music"), str(root), weights],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    kept_in = root / "lyrics.jsonl"
    while not kept_in.exists() or b"\n" not in kept_in.read_bytes():  # it is there a moment before its first line
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.002)
    process.kill()
    process.communicate(timeout=30)  # which ends when its processes have
    with open(kept_in, "ab") as file:
        file.write(b'{"track_id": "5", "segments": [{"text": "x"}')  # as if killed while writing
    kept = [*store.load_transcripts(root)]
    assert 1 <= len(kept) < 6
    records = update(root, tracks, Settings(weights, "en", "cpu", QUICK), gate=Gate())
    assert {Path(path).stem for path in here} == set(tracks.track_id.tolist()) - set(kept)
    assert [record["track_id"] for record in lines(root)] == [*kept, *(Path(path).stem for path in here)]
    alone = heard(str(tracks.path[0]), Settings(weights, "en", "cpu", QUICK))
    assert records["0"]["text"] == alone["text"]


@pytest.mark.skipif(
    "MUSICLUST_WHISPER" not in os.environ or "MUSICLUST_DATA" not in os.environ,
    reason="MUSICLUST_WHISPER names no weights, or MUSICLUST_DATA no folder of recordings",
)
def test_real_weights_hear_what_was_said(tmp_path, here):
    path = str(Path(os.environ["MUSICLUST_DATA"]) / "speech" / "jfk.flac")
    ids = np.array(["jfk"])
    tracks = Tracks(ids, np.array([path]), {}, {}, {}, ids)
    record = update(tmp_path, tracks, Settings(os.environ["MUSICLUST_WHISPER"]), gate=Gate())["jfk"]
    assert record["language"] == "en"
    assert "ask what you can do for your country" in record["words"].lower().replace("\n", " ").replace(",", "")
