"""`experiments.traverse` as a person starts it, on tiny runs made on the spot."""

import json
import shutil

import numpy as np
import pytest
from command_line import script
from conftest import make_store, make_tracks

from musiclust import store
from musiclust.types import Block

librosa = pytest.importorskip("librosa")
pytestmark = pytest.mark.slow  # four minutes, most of them two trainings
RATE, N_FFT, HOP = 22_050, 2048, 512


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("traverse")
    make_store(root / "store")
    code, _, err = script(
        root, "run", "--model=vae", f"--store={root / 'store'}", f"--run_dir={root / 'run'}", "--epochs=20",
        "--features=mfcc_mean,lyrics", "--latent_dim=4", "--seed=0,1", "--baselines=features",
    )  # fmt: skip
    assert code == 0, err
    return root


def traverse(place, *args):
    return script(place, "traverse", *args)


def test_vectors_are_drawn_for_the_most_informative_dimensions(place):
    code, out, err = traverse(place, f"--run={place / 'run'}", "--track=t0007")
    assert code == 0, err
    folder = place / "run" / "traversals"
    spec = json.loads((folder / "spec.json").read_text())
    values = np.load(folder / "traversals.npy")
    assert values.shape == (4, 7, 32)
    assert np.isfinite(values).all()
    assert spec["track_id"] == "t0007"
    assert sorted(spec["dimensions"]) == [0, 1, 2, 3]
    assert spec["kl"] == sorted(spec["kl"], reverse=True)
    assert np.ptp(values[0], axis=0).max() > 0.5  # moving the first one changes something
    for dimension in spec["dimensions"]:
        assert (folder / f"dim_{dimension:02d}.png").read_bytes()[1:4] == b"PNG"
    assert not list(folder.glob("*.wav"))
    assert "4 dimensions from t0007" in out


def test_what_the_dimensions_stand_for_is_told(place):
    """The store's three classes are well apart: what is told of them is beyond chance, and there are two seeds."""
    code, out, err = traverse(place, f"--run={place / 'run'}")
    assert code == 0, err
    found = json.loads((place / "run" / "traversals" / "disentanglement.json").read_text())
    assert list(found["classes"]) == ["genre"]
    scores = found["classes"]["genre"]
    assert scores["informativeness"]["score"] > 0.5
    assert scores["informativeness"]["p"] == 0.05
    assert scores["disentanglement"]["score"] is None, "one factor has nothing to be kept apart from"
    assert found["setting"]["beta"] == 1
    assert found["udr"]["seeds"] == [0, 1]
    assert all(0 < score <= 1 for score in found["udr"]["score"])
    assert "genre" in out
    assert "MIG" in out
    assert "UDR over 2 seeds" in out


def test_bad_input_is_one_clear_line(place, tmp_path):
    for args, line in (
        ([], "name the run"),
        ([f"--run={tmp_path}"], "is not a run"),
        ([f"--run={place / 'run'}", "--track=nobody"], "--track=nobody: the store has no such track"),
    ):
        code, out, err = traverse(place, *args)
        assert code == 1
        assert line in out + err
        assert "Traceback" not in out + err
    broken = shutil.copytree(place / "run", tmp_path / "broken")
    (broken / "metrics.json").unlink()
    code, out, err = traverse(place, f"--run={broken}")
    assert (code, "is not finished" in out + err) == (1, True)
    shutil.rmtree(broken / "checkpoints")
    code, out, err = traverse(place, f"--run={broken}")
    assert (code, "the model stopped at epoch 0" in out + err) == (1, True)


@pytest.fixture(scope="module")
def sounding(tmp_path_factory):
    """A run on spectrograms of high and low tones, loud and soft."""
    root = tmp_path_factory.mktemp("sounding")
    tracks = make_tracks(24)
    time = np.arange(RATE) / RATE
    waves = [
        (0.5 if i % 4 < 2 else 0.05) * np.sin(2 * np.pi * (330 if i % 2 else 1760) * (1 + i / 500) * time)
        for i in range(24)
    ]
    mels = [librosa.feature.melspectrogram(y=wave, sr=RATE, n_fft=N_FFT, hop_length=HOP) for wave in waves]
    values = np.stack([librosa.power_to_db(mel, top_db=80) for mel in mels]).astype(np.float16)
    spec = {"columns": [], "units": "dB", "sample_rate": RATE, "n_fft": N_FFT, "hop_length": HOP}
    store.save_tracks(root / "store", tracks)
    store.save_block(root / "store", Block("melspec", tracks.track_id, values, np.ones(24, bool), spec))
    code, _, err = script(
        root, "run", "--model=conv_vae", f"--store={root / 'store'}", f"--run_dir={root / 'run'}", "--epochs=3",
        "--features=melspec", "--latent_dim=2", "--seed=0", "--baselines=features", "--batch_size=8",
    )  # fmt: skip
    assert code == 0, err
    return root, values


def test_spectrograms_are_in_decibels_and_can_be_heard(sounding):
    import soundfile

    root, values = sounding
    code, _, err = traverse(root, f"--run={root / 'run'}", f"--out={root / 'out'}")
    assert code == 0, err
    decoded = np.load(root / "out" / "traversals.npy")
    assert decoded.shape == (2, 7, *values.shape[1:])
    # In the units of the block: about as loud as the songs are, band by band.
    usual = values.astype(float).mean(axis=(0, 2))
    assert np.abs(decoded[:, 3].mean(axis=(0, 2)) - usual).mean() < 10
    spec = json.loads((root / "out" / "spec.json").read_text())
    for dimension in spec["dimensions"]:
        assert (root / "out" / f"dim_{dimension:02d}.png").exists()
        wave, rate = soundfile.read(root / "out" / f"dim_{dimension:02d}.wav")
        assert rate == RATE
        assert len(wave) / rate == pytest.approx(7 * (1 + 0.25), abs=0.5)
        assert np.abs(wave).max() <= 0.91
