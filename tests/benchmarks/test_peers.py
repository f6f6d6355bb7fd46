"""The benchmarks' PyTorch peers are the same networks, objective and batches; how many operations a training has."""

import json
import math
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import contenders, flops
from experiments.configs import PRESETS
from musiclust import objectives, training
from musiclust.models import MODELS
from musiclust.types import Data, Posterior

ROOT = Path(__file__).parents[2]
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")

# torch stays in a process of its own. Reads cases.json and <case>.npz (weights by torch's names, x, cond, z, beta) in
# the folder given, writes <case>.out.npz and told.json.
TORCH = """
import json, sys
from pathlib import Path
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from benchmarks.pytorch_networks import NETWORKS
from benchmarks.pytorch_peer import LOOPS, even_batches, loss_of

torch.set_num_threads(1)
folder = Path(sys.argv[1])
told = {"parameters": {}, "flop": {}, "scales": {}, "losses": {}}
cases = json.loads((folder / "cases.json").read_text())
for name, (model, shape, conditions, latent_dim, options, copied) in cases.items():
    torch.manual_seed(0)
    network = NETWORKS[model](shape, conditions, latent_dim, **options).eval()
    told["parameters"][name] = sum(parameter.numel() for parameter in network.parameters())
    told["scales"][name] = [(w.numel(), w.std().item()) for w in network.parameters() if w.ndim > 1]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        mean, _ = network.encode(torch.zeros(1, *shape), torch.zeros(1, conditions))
        network.decode(mean, torch.zeros(1, conditions))
    told["flop"][name] = counter.get_total_flops()
    if not copied:
        continue
    given = {key: torch.from_numpy(value) for key, value in np.load(folder / f"{name}.npz").items()}
    x, cond, z, beta = (given.pop(key) for key in ("x", "cond", "z", "beta"))
    missing, unexpected = network.load_state_dict(given, strict=False)
    assert not unexpected and all(key.endswith("num_batches_tracked") for key in missing), (missing, unexpected)
    with torch.no_grad():
        mean, logvar = network.encode(x, cond)
        decoded = network.decode(z, cond)
        network.logvar.weight.zero_()
        network.logvar.bias.fill_(-60.0)  # no noise, so that the loss is a number and not a draw
        loss = loss_of(network, x, cond, beta.item())
    np.savez(folder / f"{name}.out.npz", mean=mean, logvar=logvar, z=z, decoded=decoded, loss=loss)

x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) @ torch.ones(3, 6)
for name, loop in LOOPS.items():
    told["losses"][name] = []
    for epochs in (1, 15):
        torch.manual_seed(1)
        network = NETWORKS["vae"]((6,), 0, 2, hidden=(16,))
        told["losses"][name].append(loop(network, x, x.new_zeros(50, 0), 16, 0.1, epochs)[1])
told["batch"] = even_batches(3081, 256), even_batches(50, 16)
(folder / "told.json").write_text(json.dumps(told))
"""


def parts(case) -> tuple[Any, Any, Data]:
    """(model, its variables with every number random, batch) of a case."""
    name, shape, conditions, latent_dim, options, _ = case
    model = MODELS[name](input_shape=tuple(shape), latent_dim=latent_dim, **options)
    rng = np.random.default_rng(0)
    data = Data(
        jnp.asarray(rng.normal(size=(4, *shape)), jnp.float32),
        jnp.asarray(rng.normal(size=(4, conditions)), jnp.float32),
    )
    state = jax.eval_shape(lambda: training.init_state(model, jax.random.key(0), data))

    def drawn(tree, low):
        return jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(low, 0.4, leaf.shape), leaf.dtype), tree)

    return model, {"params": drawn(state.params, -0.2), "batch_stats": drawn(state.batch_stats, 0.01)}, data


def dense(name, tree, bias):
    """A dense layer's, whose bias may stand with the norm that follows."""
    return {f"{name}.weight": np.asarray(tree["kernel"]).T, f"{name}.bias": np.asarray(bias["bias"])}


def heads(tree):
    """Mean and logvar, which are one product here."""
    halves = {name: np.split(np.asarray(leaf), 2, axis=-1) for name, leaf in tree.items()}
    mean, logvar = ({name: half[i] for name, half in halves.items()} for i in range(2))
    return dense("mean", mean, mean) | dense("logvar", logvar, logvar)


def norm(name, stats, tree=None):
    found = {f"{name}.running_mean": stats["mean"], f"{name}.running_var": stats["var"]}
    if tree is not None:
        found |= {f"{name}.weight": tree["scale"], f"{name}.bias": tree["shift"]}
    return {key: np.asarray(value) for key, value in found.items()}


def fully_connected_weights(variables):
    """PyTorch's name -> array."""
    params, stats = variables["params"], variables["batch_stats"]
    found = {}
    for stack in ("encoder", "decoder"):
        for i in range(len(stats[stack])):
            follows = params[stack][f"norm_{i}"]
            found |= dense(f"{stack}.{3 * i}", params[stack][f"dense_{i}"], follows)
            found |= norm(f"{stack}.{3 * i + 1}", stats[stack][f"norm_{i}"], follows)
    return found | heads(params["heads"]) | dense("output", params["output"], params["output"])


def convolutional_weights(variables, shape, channels):
    """The same. Channels come first, so flat rows are in another order; transposed kernels are mirrored."""
    params, stats = variables["params"], variables["batch_stats"]
    rank = len(shape)
    space = [-(-n // (40 if rank == 1 else 16)) for n in shape]
    order = np.arange(math.prod(space) * channels[-1]).reshape(*space, channels[-1])
    order = np.moveaxis(order, -1, 0).ravel()
    found = {}
    for i in range(4):
        for kind, follows, axes in (
            ("convs", "conv_norms", (rank + 1, rank)), ("transposed", "transposed_norms", (rank, rank + 1))
        ):  # fmt: skip
            kernel = np.asarray(params[f"{kind}_{i}"]["kernel"])
            name = f"{kind}.{i}"
            if kind == "transposed":
                kernel = np.flip(kernel, axis=tuple(range(rank)))
                name += ".1" if rank == 1 and i == 3 else ""  # 0 repeats its input
            found[f"{name}.weight"] = np.ascontiguousarray(kernel.transpose(*axes, *range(rank)))
            bias = params.get(f"{follows}_{i}", params[f"{kind}_{i}"])  # no norm follows the last one
            found[f"{name}.bias"] = np.asarray(bias["bias"])
        found |= norm(f"conv_activations.{i}.0", stats[f"conv_norms_{i}"])
        if i < 3:
            found |= norm(f"transposed_activations.{i}.0", stats[f"transposed_norms_{i}"])
    for layer in ("squeeze", "expand", "unflatten"):
        found |= dense(f"{layer}.0", params[layer], params[f"{layer}_norm"])
        found |= norm(f"{layer}.1.0", stats[f"{layer}_norm"])
    found["squeeze.0.weight"] = found["squeeze.0.weight"][:, order]
    for name in ("0.weight", "0.bias", "1.0.running_mean", "1.0.running_var"):
        found[f"unflatten.{name}"] = found[f"unflatten.{name}"][order]
    return found | heads(params["heads"])


# name -> (model, shape, conditions, latent dimensions, options, are weights copied?)
CASES = {
    **{
        preset: (config.model, *contenders.SHAPES[preset], config.latent_dim, dict(config.options), False)
        for preset, config in PRESETS.items()
        if preset in contenders.SHAPES
    },
    "cvae": ("cvae", (5,), 2, 3, {"hidden": (8, 4)}, True),
    "conv 1-D": ("conv_vae", (140,), 0, 3, {"channels": (2, 3, 4, 5), "dense": 6}, True),
    "conv 2-D": ("conv_vae", (17, 22), 0, 3, {"channels": (2, 3, 4, 5), "dense": 6}, True),
}
COPIED = [name for name, case in CASES.items() if case[-1]]
BETA = 0.7


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What PyTorch says of all cases: (told.json, case -> its arrays)."""
    folder = tmp_path_factory.mktemp("torch")
    (folder / "cases.json").write_text(json.dumps(CASES))
    for name in COPIED:
        _, variables, data = parts(CASES[name])
        _, shape, _, latent_dim, options, _ = CASES[name]
        if len(options) > 1:
            weights = convolutional_weights(variables, shape, options["channels"])
        else:
            weights = fully_connected_weights(variables)
        z = np.random.default_rng(1).normal(size=(4, latent_dim)).astype(np.float32)
        arrays: dict[str, Any] = weights | {"x": data.x, "cond": data.cond, "z": z, "beta": np.array(BETA)}
        np.savez(folder / f"{name}.npz", **arrays)
    done = subprocess.run(
        [sys.executable, "-c", TORCH, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    theirs = {name: dict(np.load(folder / f"{name}.out.npz")) for name in COPIED}
    return json.loads((folder / "told.json").read_text()), theirs


def network_and_shapes(case):
    model, shape, conditions, latent_dim, options, _ = case
    network = MODELS[model](input_shape=tuple(shape), latent_dim=latent_dim, **options)
    data = Data(jnp.zeros((1, *shape)), jnp.zeros((1, conditions)))
    return network, jax.eval_shape(lambda: training.init_state(network, jax.random.key(0), data)).params


@needs_torch
@pytest.mark.parametrize("name", list(CASES))
def test_the_peer_has_as_many_parameters_and_products(told, name):
    network, params = network_and_shapes(CASES[name])
    assert told[0]["parameters"][name] == sum(leaf.size for leaf in jax.tree.leaves(params))
    # PyTorch's own counter, of one track once forwards, two operations a multiplication.
    assert told[0]["flop"][name] == 2 * flops.multiplications(network, CASES[name][2])


@needs_torch
@pytest.mark.parametrize("name", ["fma_cvae", "fma_conv", "gtzan_conv"])
def test_the_peer_starts_at_flax_scale(told, name):
    """LeCun normal: a variance of 1 / fan-in, which is all axes of a Flax kernel but the last."""
    expected = []
    for path, kernel in jax.tree.leaves_with_path(network_and_shapes(CASES[name])[1]):
        if kernel.ndim > 1:
            layers = 2 if path[0].key == "heads" else 1
            expected += [(kernel.size // layers, math.prod(kernel.shape[:-1]) ** -0.5)] * layers
    expected.sort()
    for (size, deviation), (elements, found) in zip(expected, sorted(map(tuple, told[0]["scales"][name])), strict=True):
        assert elements == size
        assert found == pytest.approx(deviation, rel=4 / (2 * size) ** 0.5)


@needs_torch
@pytest.mark.parametrize("name", COPIED)
def test_with_the_same_weights_the_peer_has_the_same_values_and_loss(told, name):
    model, variables, data = parts(CASES[name])
    theirs = told[1][name]

    @jax.jit
    def ours(variables, data, z):
        q = model.apply(variables, data.x, data.cond, False, method="encode")
        decoded = model.apply(variables, z, data.cond, False, method="decode")
        reconstruction = model.apply(variables, q.mean, data.cond, False, method="decode")
        still = Posterior(q.mean, jnp.full_like(q.mean, -60.0))
        loss, _ = objectives.elbo(reconstruction, data.x, still, jnp.array(BETA))
        return {"mean": q.mean, "logvar": q.logvar, "decoded": decoded, "loss": loss.mean()}

    for what, values in ours(variables, data, jnp.asarray(theirs["z"])).items():
        np.testing.assert_allclose(theirs[what], values, rtol=1e-4, atol=1e-5, err_msg=what)
        assert what == "loss" or np.std(values, axis=0).mean() > 1e-3  # tracks differ


@needs_torch
def test_both_loops_learn_alike_in_batches_of_the_same_size(told):
    (before, idiomatic), (_, written) = told[0]["losses"]["idiomatic"], told[0]["losses"]["written"]
    assert idiomatic < 0.8 * before
    assert written == pytest.approx(idiomatic, rel=0.15)
    assert told[0]["batch"] == [training.Recipe(batch_size=b).batches(n)[1] for n, b in ((3081, 256), (50, 16))]


def test_flop_of_a_fully_connected_network_are_six_a_weight():
    model = MODELS["vae"](input_shape=(20,))
    weights = 2 * (20 * 512 + 512 * 256 + 256 * 128) + 128 * 64 + 32 * 128
    assert flops.multiplications(model, 0) == weights
    assert flops.training_flop(model, 100, 0, 3) == 6 * weights * 300


@pytest.mark.skipif(find_spec("pythae") is None, reason="pythae is not installed")
def test_pythae_minimises_the_same():
    code = """
import torch
from benchmarks.pytorch_networks import NETWORKS
from benchmarks.pytorch_peer import idiomatic, loss_of
from benchmarks.pythae_peer import half_the_objective, pythae
torch.set_num_threads(1)
x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0)) @ torch.ones(3, 6)
network = NETWORKS["vae"]((6,), 0, 2, hidden=(16,))
with torch.no_grad():
    torch.manual_seed(1)
    print(loss_of(network, x, x.new_zeros(64, 0), 4.0).item())
    torch.manual_seed(1)
    print(2 * half_the_objective(network, 4.0)({"data": x}).loss.item())
for loop in (idiomatic, pythae):
    torch.manual_seed(1)
    print(loop(NETWORKS["vae"]((6,), 0, 2, hidden=(16,)), x, x.new_zeros(64, 0), 16, 0.1, 15)[1])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    objective, theirs, trained, trained_by_pythae = map(float, done.stdout.split())
    assert theirs == pytest.approx(objective, rel=1e-5)
    assert trained < 0.8 * objective
    assert trained_by_pythae == pytest.approx(trained, rel=0.15)
