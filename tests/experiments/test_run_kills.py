"""A run that is killed at any moment goes on to the numbers of the unbroken run."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import script
from conftest import make_store

KILLS = 20


def read_run(run_dir: Path) -> dict[str, Any]:
    """All that a run found: its rows, clusters, songs and latent space."""
    metrics = json.loads((run_dir / "metrics.json").read_text())
    songs = (run_dir / "tracks.csv").read_text()
    return {
        "rows": metrics["rows"],
        "clusters": metrics["clusters"],
        "songs": songs,
        "latents": np.load(run_dir / "latents.npy").tobytes(),
    }


@pytest.mark.slow
def test_a_run_killed_at_any_moment_goes_on_to_the_same_numbers(tmp_path):
    make_store(tmp_path / "store")
    settings = [
        "--model=vae", f"--store={tmp_path / 'store'}", "--epochs=100", "--latent_dim=4", "--baselines=features",
        "--checkpoint_seconds=0",
    ]  # fmt: skip

    def run(name: str, **how: float) -> int:
        run_dir = tmp_path / name
        asked = ["--resume"] if (run_dir / "config.json").exists() else settings
        return script(tmp_path, "run", *asked, f"--run_dir={run_dir}", **how)[0]

    assert run("first") == 0  # compiles
    started = time.monotonic()
    assert run("whole") == 0
    seconds = time.monotonic() - started
    whole = read_run(tmp_path / "whole")
    rng, killed, begun, trained = np.random.default_rng(0), 0, 0, 0
    for number in range(KILLS):
        name = f"killed-{number}"
        code = run(name, kill_after=rng.uniform(0, seconds))
        assert code in (0, -signal.SIGKILL)
        killed += code != 0
        begun += (tmp_path / name / "config.json").exists()
        trained += any((tmp_path / name / "checkpoints").glob("model/[0-9]*"))
        if number % 5 == 0:
            code, _, err = script(tmp_path, "evaluate", f"--run={tmp_path / name}")
            assert code == 0 or len(err.splitlines()) == 1, err
        assert run(name) == 0
        assert read_run(tmp_path / name) == whole, number
        assert not [*(tmp_path / name).rglob("*.tmp*")]
    assert killed > KILLS // 2
    assert begun > KILLS // 4
    assert trained > KILLS // 5
