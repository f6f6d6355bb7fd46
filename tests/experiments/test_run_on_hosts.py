"""One run that two processes train together, on the loopback, as two hosts do."""

import json
import time

import numpy as np
import pytest
from command_line import free_address, script, start
from conftest import make_store

from musiclust import checkpoint


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("hosts")
    make_store(root / "store")
    make_store(root / "other", 48)
    return root


def start_together(place, *each):
    """A process for each, of which `each` has the arguments."""
    address = free_address()
    return [
        start(place, "run", *args, f"--coordinator={address}", f"--processes={len(each)}", f"--process={number}")
        for number, args in enumerate(each)
    ]


def run_together(place, *each, seconds=240):
    """(exit status, standard output, standard error) of each process when it has ended."""
    started, ended = start_together(place, *each), []
    try:
        for process in started:
            out, err = process.communicate(timeout=seconds)
            assert "Traceback" not in err, err
            ended.append((process.returncode, out, err))
    finally:
        for process in started:
            process.kill()
    return ended


@pytest.mark.slow
def test_two_processes_make_the_run_of_one(place):
    settings = ["--model=vae", f"--store={place / 'store'}", "--latent_dim=4", "--seed=0,1"]
    alone, both = place / "alone", place / "both"
    code, _, err = script(place, "run", *settings, "--epochs=20", f"--run_dir={alone}", "--split_batches")
    assert code == 0, err
    asked = [*settings, "--epochs=20", f"--run_dir={both}", "--checkpoint_seconds=0"]
    first, second = run_together(place, asked, asked)
    assert first[0] == second[0] == 0, first[2] + second[2]
    assert "written:" in first[1]
    assert "process 0 scores and writes" in second[1]
    losses, expected = (checkpoint.restore(run / "checkpoints" / "model").history.loss for run in (both, alone))
    np.testing.assert_allclose(losses[:, 0], expected[:, 0], rtol=1e-5)
    np.testing.assert_allclose(losses, expected, rtol=1e-2)  # roundings add up
    found, expected = (json.loads((run / "metrics.json").read_text())["rows"] for run in (both, alone))
    assert [row["name"] for row in found] == [row["name"] for row in expected]
    # Stopped after its first checkpoints, it goes on to the same numbers.
    kept = sorted(int(path.name) for path in (both / "checkpoints" / "model").iterdir() if path.name.isdigit())
    assert kept == [10, 20]
    before = np.load(both / "latents.npy")
    (both / "checkpoints" / "model" / "20").rename(place / "later")
    again = ["--resume", f"--run_dir={both}"]
    first, second = run_together(place, again, again)
    assert first[0] == second[0] == 0, first[2] + second[2]
    np.testing.assert_array_equal(np.load(both / "latents.npy"), before)


@pytest.mark.slow
def test_processes_that_were_told_different_things_do_not_train(place):
    settings = ["--model=vae", f"--run_dir={place / 'different'}", "--epochs=2"]
    store, other = (f"--store={place / name}" for name in ("store", "other"))
    for args in ([store, "--beta=2"], [other]):
        ended = run_together(place, [*settings, store], [*settings, *args])
        assert [one[0] for one in ended] == [1, 1]
        what = "configuration" if "--beta=2" in args else "store"
        assert all(f"process 1 has another {what} than process 0" in one[2] for one in ended)
    assert not (place / "different").exists()


@pytest.mark.slow
def test_a_lost_process_ends_the_other_which_goes_on_from_its_checkpoint(place):
    """JAX itself ends it, with a message of its own, when heartbeats have failed for 100 s."""
    run_dir = place / "lost"
    settings = ["--model=autoencoder", f"--store={place / 'store'}", f"--run_dir={run_dir}", "--epochs=100000"]
    settings += ["--checkpoint_seconds=1"]
    started = start_together(place, settings, settings)
    try:
        deadline = time.monotonic() + 120
        while checkpoint.latest_epoch(run_dir / "checkpoints" / "model") is None and time.monotonic() < deadline:
            time.sleep(0.2)
        started[1].kill()
        _, err = started[0].communicate(timeout=200)
    finally:
        for process in started:
            process.kill()
    assert started[0].returncode, err
    assert 0 < checkpoint.restore(run_dir / "checkpoints" / "model").epoch < 100_000


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--process=1"], "--processes and --process need --coordinator"),
        (["--coordinator=first:8476"], "--coordinator needs --run_dir"),
        (["--coordinator=first", "--run_dir=x"], "--coordinator=first: give host:port of the first process, or auto"),
        (["--coordinator=first:8476", "--run_dir=x", "--processes=2", "--process=2"], "counted from 0"),
        (["--coordinator=auto", "--run_dir=x", "--processes=2"], "leave out --processes and --process"),
        (["--coordinator=auto", "--run_dir=x"], "the processes did not come together"),
    ],
)
def test_wrong_numbers_are_refused_in_one_line(place, args, message):
    code, _, err = script(place, "run", "--model=vae", *args)
    assert code == 1
    assert message in err
    assert len(err.splitlines()) == 1
