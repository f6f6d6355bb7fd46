"""Several processes that train one population together, each with devices of its own, on the loopback."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from command_line import ROOT, free_address

_TRAIN = """
import json, sys
import jax
process, processes, port = map(int, sys.argv[1:4])
jax.config.update("jax_num_cpu_devices", 4 // processes)
if processes > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", processes, process)
import numpy as np
import musiclust as mc
from musiclust import devices, population, streaming

x = np.random.default_rng(0).normal(size=(64, 8, 9)).astype(np.float32)
read = []
def look(rows):
    read.extend(rows.tolist())
    return x[rows]
streamed = mc.Data(streaming.Streamed(x.shape, look, chunk_bytes=2 * 16 * x[0].nbytes))
model = mc.ConvVAE(input_shape=(8, 9), latent_dim=2, channels=(3, 4, 4, 5), dense=6)
options = {"seeds": (0, 1), "epochs": 2, "recipe": mc.Recipe(batch_size=16), "split_batches": True}
found = {"devices": devices.count_devices()}
for name, data in (("memory", mc.Data(x)), ("streamed", streamed)):
    trained = mc.train(model, data, **options)
    found[name] = trained.history.loss.tolist()
    found[name + "_params"] = float(sum(abs(np.asarray(leaf)).sum() for leaf in jax.tree.leaves(trained.states.params)))
found["rows"] = len(read)
print("FOUND", json.dumps(found))
"""


def train_together(processes: int) -> list[dict]:
    """What each of so many processes says of its training."""
    port = free_address().rpartition(":")[2]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _TRAIN, str(number), str(processes), port],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in range(processes)
    ]  # fmt: skip
    found = []
    try:
        for process in started:
            out, err = process.communicate(timeout=240)
            assert process.returncode == 0, err[-3000:]
            found.append(json.loads(next(line for line in out.splitlines() if line.startswith("FOUND"))[6:]))
    finally:
        for process in started:
            process.kill()
    return found


@pytest.mark.slow
def test_two_hosts_train_as_one():
    """In memory and streamed: the losses of one process, the same parameters on both, and each reads half."""
    (alone,) = train_together(1)
    both = train_together(2)
    assert [one["devices"] for one in both] == [4, 4] == [alone["devices"]] * 2
    for name in ("memory", "streamed"):
        assert both[0][name] == both[1][name]
        assert both[0][name + "_params"] == both[1][name + "_params"]
        np.testing.assert_allclose(both[0][name], alone[name], rtol=1e-5)
    # Two epochs of 64 tracks, of which each host reads its part of every batch.
    assert [one["rows"] for one in both] == [64, 64]
    assert alone["rows"] == 128
