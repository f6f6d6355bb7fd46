"""clap: a tiny random CLAP, made on the spot, from audio files to blocks, against transformers called directly."""

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musiclust import store
from musiclust.errors import InputError
from musiclust.preprocess import pipeline
from musiclust.preprocess.audio import clap, features, listen
from musiclust.preprocess.audio.decode import decode_pieces
from musiclust.preprocess.corpora.base import Request
from musiclust.preprocess.corpora.folder import folder

pytest.importorskip("transformers")

DIMS = 24
ROOT = Path(__file__).parents[3]


def save_model(root: Path, *, seed: int = 0, fusion: bool = False) -> Path:
    import torch
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    torch.manual_seed(seed)
    config = ClapConfig(
        text_config={
            "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "max_position_embeddings": 40,
        },
        audio_config={
            "depths": [1, 1], "num_attention_heads": [1, 2], "patch_embeds_hidden_size": 8, "hidden_size": 16,
            "enable_fusion": fusion, "fusion_type": "aff_2d" if fusion else None,
        },
        projection_dim=DIMS,
    )  # fmt: skip
    ClapModel(config).save_pretrained(root)
    truncation = "fusion" if fusion else "rand_trunc"
    ClapFeatureExtractor(frequency_min=50, truncation=truncation).save_pretrained(root)
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("clap") / "tiny")


def embed_by_hand(root: Path, pieces: list[np.ndarray]) -> np.ndarray:
    import torch
    from transformers import ClapFeatureExtractor, ClapModel

    network, extractor = ClapModel.from_pretrained(root).eval(), ClapFeatureExtractor.from_pretrained(root)
    rows = []
    for piece in pieces:
        inputs = extractor(piece, sampling_rate=48_000, return_tensors="pt")
        inputs["is_longer"][:] = False
        with torch.inference_mode():
            found = network.get_audio_features(**inputs)
        rows.append(getattr(found, "pooler_output", found)[0].numpy())
    return np.stack(rows)


def song(path: Path, seed: int, seconds: float) -> str:
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * 22_050)) / 22_050
    rising = np.sin(2 * np.pi * (200 + rng.uniform(10, 30) * time) * time)
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, 0.5 * rising + 0.01 * rng.standard_normal(len(time)), 22_050)
    return str(path)


@pytest.mark.slow
def test_from_files_to_blocks(model, tmp_path):
    music, root = tmp_path / "music", tmp_path / "store"
    long, short = song(music / "long.wav", 0, 45.0), song(music / "short.wav", 1, 4.0)

    def make(**how) -> pipeline.Summary:
        audio = listen.Settings(**how)
        return pipeline.preprocess(folder(Request(audio_dir=music)), root, audio=audio, embedder="tfidf", workers=2)

    make()
    before = {name: (root / f"{name}.npy").stat().st_mtime_ns for name in features.BLOCKS}
    found = clap.find_model(f"clap:{model}")
    summary = make(embedding=found, windows=3)
    assert summary.blocks["clap"] == summary.blocks["clap_std"] == ((2, DIMS), "float32", 2)
    assert {name: (root / f"{name}.npy").stat().st_mtime_ns for name in features.BLOCKS} == before
    pieces = [*decode_pieces(long, [2.5, 17.5, 32.5], sample_rate=48_000, seconds=10.0)]
    whole = [*decode_pieces(short, [0.0], sample_rate=48_000, seconds=4.0)]
    by_hand = embed_by_hand(model, pieces)
    mean, spread = (store.load_block(root, name) for name in clap.NAMES)
    assert mean.track_id.tolist() == ["long", "short"]
    np.testing.assert_allclose(mean.values[0], by_hand.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(spread.values[0], by_hand.std(axis=0), atol=1e-5)
    assert spread.values[0].max() > 1e-3  # the song does change
    np.testing.assert_allclose(mean.values[1], embed_by_hand(model, whole)[0], atol=1e-5)
    assert not spread.values[1].any()
    assert (mean.spec["model"], mean.spec["windows"]) == ("tiny", 3)
    assert mean.spec["weights"].startswith("sha256:")
    # again nothing, elsewhere nothing, another model all of it
    assert make(embedding=found, windows=3).computed == 0
    moved = tmp_path / "elsewhere" / "tiny"
    shutil.copytree(model, moved)
    assert make(embedding=clap.find_model(f"clap:{moved}"), windows=3).computed == 0
    other = save_model(tmp_path / "other" / "tiny", seed=1)
    assert make(embedding=clap.find_model(f"clap:{other}"), windows=3).computed == 2
    expected = embed_by_hand(other, pieces).mean(axis=0)
    np.testing.assert_allclose(store.load_block(root, "clap").values[0], expected, atol=1e-5)
    assert np.abs(expected - by_hand.mean(axis=0)).max() > 0.01


def test_a_model_with_fusion_draws_no_lots(tmp_path):
    found = clap.find_model(f"clap:{save_model(tmp_path / 'fused', fusion=True)}")
    assert found is not None
    windows = np.random.default_rng(0).normal(scale=0.1, size=(3, 480_000)).astype(np.float32)
    windows[2, 100_000:] = np.nan
    values = clap.embed(found, windows)["clap"]
    by_hand = embed_by_hand(tmp_path / "fused", [windows[0], windows[1], windows[2, :100_000]])
    np.testing.assert_allclose(values, by_hand, atol=1e-5)
    np.testing.assert_array_equal(clap.embed(found, windows)["clap"], values)
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, rtol=1e-5)


def test_what_is_no_model_is_one_line(model, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    words = tmp_path / "words"
    shutil.copytree(model, words)
    (words / "config.json").write_text('{"model_type": "bert"}')
    torn = tmp_path / "torn"
    shutil.copytree(model, torn)
    (torn / "config.json").write_text("{")
    for embedding, message in (
        ("muq:x", "embedding 'muq:x' is not known: write none or clap:<folder or name>"),
        ("clap:", "embedding 'clap:' is not known"),
        (f"clap:{tmp_path / 'gone'}", "there is no folder .*gone: give one that holds a CLAP model"),
        (f"clap:{tmp_path / 'empty'}", r"holds no CLAP model as transformers saves it: config\.json"),
        (f"clap:{words}", "words holds a model of the type bert, not clap"),
        (f"clap:{torn}", "torn holds no CLAP model that can be read"),
        ("clap:a b", "'a b' is neither a folder nor a name on the hub, owner/model"),
    ):
        with pytest.raises(InputError, match=message):
            clap.find_model(embedding)
    assert clap.find_model("none") is None
    monkeypatch.setattr(clap.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=r"needs torch and transformers: pip install 'musiclust\[text\]'"):
        clap.find_model(f"clap:{model}")


def test_weights_that_do_not_fit_are_one_line(model, tmp_path):
    from safetensors.numpy import load_file, save_file

    less, cut = tmp_path / "less", tmp_path / "cut"
    for place in (less, cut):
        shutil.copytree(model, place)
    weights = load_file(less / "model.safetensors")
    save_file(
        {name: one for name, one in weights.items() if "audio_projection" not in name}, less / "model.safetensors"
    )
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:2000])
    for place, message in ((less, "lacks 4 of its weights, the first is audio_projection"), (cut, "cannot be loaded")):
        found = clap.find_model(f"clap:{place}")
        assert found is not None
        with pytest.raises(InputError, match=message):
            clap.prepare(found)


_FETCH = """
import sys
from musiclust.errors import InputError
from musiclust.preprocess.audio import clap
try:
    print(clap.find_model("clap:owner/tiny", print))
except InputError as error:
    print(error)
assert "torch" not in sys.modules
"""


def test_a_model_of_the_hub_is_fetched_once_and_its_licence_told(model, tmp_path):
    commit, asked = "0123456789abcdef0123456789abcdef01234567", []
    files = {path.name: path.read_bytes() for path in model.iterdir()} | {"README.md": b"not needed"}

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            asked.append(path)
            if path.startswith("/api/models/owner/tiny/tree"):
                listed = [{"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in files.items()]
                self.answer(json.dumps(listed).encode())
            elif path.startswith("/api/models/owner/tiny"):
                siblings = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
                facts = {"id": "owner/tiny", "sha": commit, "siblings": siblings, "cardData": {"license": "cc0-1.0"}}
                self.answer(json.dumps(facts).encode())
            else:
                self.answer(files[path.rpartition("/")[2]])

        def answer(self, data: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{len(data)}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def log_message(self, *args) -> None:
            pass

    def fetch(endpoint: str) -> str:
        own = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "0"}
        code = [sys.executable, "-c", _FETCH]
        done = subprocess.run(code, env=os.environ | own, cwd=ROOT, capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr
        return done.stdout

    nobody = "http://127.0.0.1:9"
    refused = fetch(nobody)
    assert refused.startswith("the CLAP model 'owner/tiny' is no folder here and could not be fetched (")
    assert refused.count("\n") == 1
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        told, *rest = fetch(f"http://127.0.0.1:{server.server_port}").splitlines()
    finally:
        server.shutdown()
        server.server_close()
    assert len(rest) == 1, (told, rest, asked)
    [found] = rest
    assert told == "fetching the CLAP model owner/tiny, once: 0 MB, licence: cc0-1.0"
    assert f"weights='revision:{commit}'" in found
    assert "name='owner/tiny'" in found
    assert f"dims={DIMS}" in found
    assert not any(path.endswith("README.md") for path in asked)
    assert fetch(nobody).splitlines() == [found]  # without a network, and nothing is told again
