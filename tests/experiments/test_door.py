"""A notebook and the command cannot differ: the ten lines and experiments.run on the same array."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import make_tracks

import musiclust as mc
from musiclust import store

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """x.npy, a store of it, and a run of that."""
    root = tmp_path_factory.mktemp("door")
    tracks = make_tracks(60)
    rng = np.random.default_rng(0)
    centres = 3 * rng.normal(size=(3, 6))
    x = (centres[tracks.classes["genre"]] + rng.normal(size=(60, 6))).astype(np.float32)
    np.save(root / "x.npy", x)
    store.save_tracks(root / "store", tracks)
    store.save_block(root / "store", mc.Block("table", tracks.track_id, x, np.ones(60, bool)))
    command = [sys.executable, "-m", "experiments.run", "--model=vae", "--features=table", "--latent_dim=8"]
    command += ["--seed=0,1", "--beta=1,4", "--epochs=12", "--baselines=features"]
    command += [f"--store={root / 'store'}", f"--run_dir={root / 'run'}"]
    environment = os.environ | {"XDG_CACHE_HOME": str(root / "cache"), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return root


@pytest.mark.slow
def test_the_ten_lines_give_what_the_command_gives(place):
    truth = store.load_tracks(place / "store").classes["genre"]
    x = mc.standardise(np.load(place / "x.npy"), scaling="unit")
    data = mc.Data(x)
    model = mc.VAE(input_shape=x.shape[1:], latent_dim=8)
    trained = mc.train(model, data, seeds=range(2), betas=(1, 4), epochs=12, recipe=mc.Recipe(neighbours=1.0))
    best = trained.best(data)
    z = mc.encode(model, best, data).mean
    np.testing.assert_array_equal(z, np.load(place / "run" / "latents.npy"))

    metrics = json.loads((place / "run" / "metrics.json").read_text())
    shown = metrics["rows"][metrics["chosen"]]
    groups = mc.kmeans(z, k=3, seed=shown["seed"])
    with open(place / "run" / "tracks.csv", newline="") as file:
        assert [int(row["cluster"]) for row in csv.DictReader(file)] == groups.clusters.tolist()
    scores = mc.score(z, groups.clusters, truth, seed=0)
    assert scores == {name: shown["scores"][name] for name in scores}
    judge = mc.Judge(mc.reference_space([np.load(place / "x.npy")]), truth, k=3, seed=0)
    (judged,) = judge(z, seed=shown["seed"])
    assert judged.scores == shown["scores"]
    low = mc.tells_little(*mc.encode(model, best, data))
    assert mc.flag_partition(judged.scores, low_information=low) == shown["flags"]
    found = judge.weigh(z, "kmeans", seed=shown["seed"])
    assert json.loads(json.dumps(found.to_json())) == metrics["trust"]["evidence"]
