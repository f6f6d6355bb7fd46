"""Models of several modalities: what is missing is not looked at, and what is there is put together rightly."""

from functools import cache, partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from musiclust import population, training
from musiclust.cluster import kmeans
from musiclust.devices import Layout
from musiclust.fusion import fuse, modality_mask
from musiclust.metrics.partition import nmi
from musiclust.models import MODELS
from musiclust.models.multimodal import PresentBatchNorm, product_of_experts
from musiclust.population import select_replica
from musiclust.types import Block, Data, Hyper, Posterior

MULTIMODAL = [name for name, kind in MODELS.items() if kind.multimodal]
SMALL = {"poe_vae": {"hidden": (16, 8)}, "attention_vae": {"hidden": (16, 8), "width": 8, "queries": 3, "heads": 2}}
COND = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0]], np.float32)
WIDTHS = (4, 3, 5)
COLUMNS = np.repeat(COND, WIDTHS, axis=1) == 1


def small(name):
    return MODELS[name](input_shape=(12,), latent_dim=3, modalities=WIDTHS, **SMALL[name])


def toy() -> Data:
    x = np.random.default_rng(0).normal(size=(len(COND), 12)).astype(np.float32)
    return Data(jnp.asarray(x * COLUMNS), jnp.asarray(COND))


@cache
def initial(name):
    model, data = small(name), toy()
    return model, data, select_replica(population.init(model, jnp.arange(1), data), 0)


def trained(model, data, seeds=(0,), epochs=2, rate=1e-3, beta=1.0, width=1, **recipe):
    """On one device, `width` replicas side by side."""
    r = len(seeds)
    states = population.init(model, jnp.asarray(seeds), data)
    hypers = Hyper(jnp.full(r, beta), jnp.full(r, rate), jnp.zeros(r, jnp.int32))
    layout, shared = Layout(1, width, r // width, 1), population.share_all(data)
    return population.run_group(model, training.Recipe(**recipe), epochs, layout, states, hypers, shared, 0, epochs)


def call(model, state, method, *args, key=None) -> Any:
    """A method of the model at a state; what a key is given for may move the running statistics, which are dropped."""
    *arrays, training = args
    return compiled(model, state, method, arrays, training, key)


@partial(jax.jit, static_argnames=("model", "method", "training"))
def compiled(model, state, method, arrays, training, key):
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    if key is None:
        return model.apply(variables, *arrays, training, method=method)
    rngs = {"dropout": key}
    return model.apply(variables, *arrays, training, method=method, rngs=rngs, mutable=["batch_stats"])[0]


def test_product_of_experts_is_the_formula():
    """Against the product of densities, one latent dimension at a time, normalised on a grid."""
    rng = np.random.default_rng(0)
    mean, logvar = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4))
    present = np.array([[True, False, True], [True, True, True]])
    q = product_of_experts(Posterior(jnp.float32(mean), jnp.float32(logvar)), jnp.asarray(present))
    grid = np.linspace(-12, 12, 24_001)
    for b in range(2):
        for d in range(4):
            log_density = -0.5 * grid**2
            for m in np.flatnonzero(present[b]):
                log_density -= 0.5 * (grid - mean[b, m, d]) ** 2 / np.exp(logvar[b, m, d])
            density = np.exp(log_density - log_density.max())
            density /= density.sum()
            expected = density @ grid
            assert float(q.mean[b, d]) == pytest.approx(expected, abs=1e-4)
            assert float(q.logvar[b, d]) == pytest.approx(np.log(density @ (grid - expected) ** 2), abs=1e-4)


def test_an_expert_of_extreme_width_stays_finite():
    q = product_of_experts(
        Posterior(jnp.full((1, 2, 1), 3.0), jnp.array([[[-500.0], [500.0]]])), jnp.ones((1, 2), bool)
    )
    assert float(q.mean[0, 0]) == pytest.approx(3.0, abs=1e-3)
    assert float(q.logvar[0, 0]) == pytest.approx(-10.0, abs=1e-3)


@pytest.mark.parametrize("there", [5, 2, 1, 0])
def test_running_statistics_are_of_present_tracks(there):
    """Those of the usual BatchNorm on these tracks alone; of fewer than two, unmoved."""
    x = jax.random.normal(jax.random.key(0), (7, 4)) * 3 + 1
    present = jnp.arange(7) < there
    old = {"batch_stats": {"mean": jnp.arange(4.0), "var": jnp.arange(1.0, 5.0)}}
    old["params"] = {"scale": jnp.full(4, 2.0), "bias": jnp.full(4, 0.5)}
    ours: Any = PresentBatchNorm()
    y, updated = jax.jit(lambda: ours.apply(old, x, present, True, mutable=["batch_stats"]))()
    usual: Any = nn.BatchNorm(there < 2, momentum=0.9, epsilon=1e-5)
    with jax.numpy_rank_promotion("allow"):
        expected, statistics = jax.jit(lambda: usual.apply(old, x[: max(there, 1)], mutable=["batch_stats"]))()
        evaluator: Any = nn.BatchNorm(True, momentum=0.9, epsilon=1e-5)
        evaluated = evaluator.apply(old, x)
    np.testing.assert_allclose(y[:there], expected[:there], rtol=1e-4, atol=1e-5)
    for name, value in (statistics.get("batch_stats") or old["batch_stats"]).items():
        np.testing.assert_allclose(updated["batch_stats"][name], value, rtol=1e-5)
    np.testing.assert_allclose(ours.apply(old, x, present, False), evaluated, rtol=1e-5, atol=1e-6)


def test_a_track_without_modalities_has_the_prior():
    model, data, state = initial("poe_vae")
    q = call(model, state, "encode", *data, False)
    np.testing.assert_array_equal(q.mean[-1], np.zeros(3))
    np.testing.assert_array_equal(q.logvar[-1], np.zeros(3))
    assert (np.abs(q.mean[:-1]) > 0).all()
    assert (q.logvar[:-1] < 0).all()


@pytest.mark.parametrize("name", MULTIMODAL)
@pytest.mark.parametrize("training", [False, True])
def test_what_a_track_lacks_is_not_looked_at(name, training):
    """Not even where it is not a number; and what a track has is."""
    model, data, state = initial(name)

    def encode(x):
        return call(model, state, "encode", x, data.cond, training, key=jax.random.key(1))

    q = encode(data.x)
    for other in (encode(jnp.where(COLUMNS, data.x, 7.0)), encode(jnp.where(COLUMNS, data.x, jnp.nan))):
        jax.tree.map(np.testing.assert_array_equal, other, q)
    if not training:
        moved = encode(jnp.where(COLUMNS, data.x + 1.0, data.x))
        assert (moved.mean[:-1] != q.mean[:-1]).all()
        np.testing.assert_array_equal(moved.mean[-1], q.mean[-1])


@pytest.mark.parametrize("name", ["poe_vae", pytest.param("attention_vae", marks=pytest.mark.slow)])
def test_nothing_is_learned_from_what_is_missing(name):
    """No track has the second modality: its encoder and decoder stay as they were, and all stays finite."""
    model = small(name)
    data = toy()
    data = Data(data.x, jnp.asarray(COND * [1, 0, 1], jnp.float32))
    data = data._replace(x=data.x.at[:, 4:7].set(0))
    states, history = trained(model, data, epochs=5)
    before, after = initial(name)[2].params, select_replica(states, 0).params
    for part in ("encoders_1", "decoders_1", "outputs_1"):
        jax.tree.map(np.testing.assert_array_equal, before[part], after[part])
    assert (before["encoders_0"]["dense_0"]["kernel"] != after["encoders_0"]["dense_0"]["kernel"]).any()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((history[:4], states.params, states.batch_stats)))


@pytest.mark.parametrize("name", MULTIMODAL)
def test_decoded_is_zero_where_the_mask_is(name):
    model, data, state = initial(name)
    decoded = np.asarray(training.reconstruct(model, state, data))
    assert not decoded[~COLUMNS].any()
    assert decoded[COLUMNS].all()
    z = call(model, state, "encode", *data, False).mean
    imputed = np.asarray(call(model, state, "decode", z, jnp.ones_like(data.cond), False))
    assert imputed[:-1].all()
    np.testing.assert_allclose(imputed[COLUMNS], decoded[COLUMNS], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", MULTIMODAL)
def test_hidden_in_training_as_often_as_said_and_never_all(name):
    model, _, state = initial(name)
    assert model.drop == 0.3
    present = jnp.asarray(np.tile(COND, (4000, 1)) == 1)
    seen = np.asarray(call(model, state, "_seen", present, True, key=jax.random.key(2))).reshape(4000, *COND.shape)
    assert not seen[:, COND == 0].any()
    assert seen[:, COND.any(axis=1)].any(axis=2).all()
    # Of M present ones, all M would be hidden with probability 0.3 ** M: then one, each as likely, is left.
    for row, m in ((0, 3), (1, 2), (3, 1)):
        shares = seen[:, row, COND[row] == 1].mean(axis=0)
        np.testing.assert_allclose(shares, 0.7 + 0.3**m / m, atol=5 * np.sqrt(0.21 / 4000))
    np.testing.assert_array_equal(call(model, state, "_seen", present, False), present)


@pytest.mark.slow
@pytest.mark.parametrize("name", MULTIMODAL)
def test_a_missing_modality_is_imputed_from_the_others(name, optimised):
    """Two views of the same three numbers; the second is kept from a fifth of the tracks and guessed."""
    rng = np.random.default_rng(0)
    source = rng.normal(size=(400, 3))
    truth = np.concatenate([source @ rng.normal(size=(3, 8)), source @ rng.normal(size=(3, 6))], axis=1)
    truth = ((truth - truth.mean(0)) / truth.std(0)).astype(np.float32)
    cond = np.ones((400, 2), np.float32)
    cond[::5, 1] = 0
    data = Data(jnp.asarray(truth * np.repeat(cond, (8, 6), axis=1)), jnp.asarray(cond))
    model = MODELS[name](input_shape=(14,), latent_dim=4, modalities=(8, 6), **(SMALL[name] | {"hidden": (32, 16)}))
    states, _ = trained(model, data, epochs=150, rate=5e-3, beta=0.1, batch_size=128, schedule="cosine")
    z = training.encode(model, select_replica(states, 0), data).mean
    imputed = np.asarray(call(model, select_replica(states, 0), "decode", z, jnp.ones((400, 2)), False))
    error = np.mean((imputed[::5, 8:] - truth[::5, 8:]) ** 2)
    by_mean = np.mean((truth[1::5, 8:].mean(axis=0) - truth[::5, 8:]) ** 2)
    assert error < 0.3 * by_mean


@pytest.mark.slow
@pytest.mark.parametrize("name", MULTIMODAL)
def test_a_replica_in_a_population_is_the_replica_alone(name):
    model, data = small(name), toy()
    states, history = trained(model, data, seeds=(0, 1, 2), epochs=8)
    alone_states, alone = trained(model, data, seeds=(1,), epochs=8)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1], b[0], rtol=1e-5, atol=1e-5), history, alone)
    q = training.encode(model, select_replica(states, 1), data)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        q, training.encode(model, select_replica(alone_states, 0), data),
    )  # fmt: skip
    assert len(set(np.asarray(history.loss[:, -1]).tolist())) == 3


@pytest.mark.slow
def test_side_by_side_under_vmap_hides_the_same():
    """One step of three replicas together: the bits are those of each replica's key."""
    model, data = small("poe_vae"), toy()
    losses = [trained(model, data, seeds=(0, 1, 2), epochs=1, width=width)[1].loss for width in (1, 3)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def stack(columns, *widths):
    """Parameters of dense layers with biases, each normalised with a scale and a bias."""
    return sum(a * b + 3 * b for a, b in zip((columns, *widths), widths, strict=False))


def test_parameter_counts_by_hand():
    def count(model):
        state = jax.eval_shape(lambda: training.init_state(model, jax.random.key(0), toy()))
        return sum(leaf.size for leaf in jax.tree.leaves(state.params))

    each = sum(stack(w, 16, 8) + stack(3, 8, 16) + (16 + 1) * w for w in WIDTHS)
    assert count(small("poe_vae")) == each + 3 * 2 * (8 + 1) * 3
    tokens, vectors, attention = 3 * (8 + 1) * 8, (3 + 3) * 8, 4 * (8 + 1) * 8
    assert count(small("attention_vae")) == each + tokens + vectors + attention + stack(3 * 8, 8) + 2 * (8 + 1) * 3


@pytest.mark.parametrize("name", MULTIMODAL)
def test_one_modality_needs_neither_widths_nor_mask(name):
    model = MODELS[name](input_shape=(3, 4), latent_dim=3, **SMALL[name])
    x = jax.random.normal(jax.random.key(0), (5, 3, 4))
    without, ones = Data(x, jnp.zeros((5, 0))), Data(x, jnp.ones((5, 1)))
    state = select_replica(population.init(model, jnp.arange(1), without), 0)
    assert training.reconstruct(model, state, without).shape == (5, 3, 4)
    jax.tree.map(
        np.testing.assert_array_equal, training.encode(model, state, without), training.encode(model, state, ones)
    )


@pytest.mark.parametrize(
    ("widths", "conditions", "said"), [((4, 3), 2, "do not make input_shape"), (WIDTHS, 2, "cond has 2 columns")]
)
def test_widths_and_mask_must_fit(widths, conditions, said):
    model = MODELS["poe_vae"](input_shape=(12,), modalities=widths)
    with pytest.raises(ValueError, match=said):
        training.init_state(model, jax.random.key(0), Data(jnp.zeros((1, 12)), jnp.ones((1, conditions))))


@pytest.mark.slow
def test_a_few_tracks_with_words_do_not_spoil_the_rest(optimised):
    """Eight groups by sound; 10 of 500 tracks have words, and these are noise. Mean of three seeds."""
    rng = np.random.default_rng(0)
    truth = np.arange(500) % 8
    ids = np.array([f"{i:03d}" for i in range(500)])
    audio = rng.normal(size=(8, 20))[truth] + rng.normal(size=(500, 20))
    sung = np.isin(np.arange(500), rng.permutation(500)[:10])
    text = rng.normal(size=(500, 384)) * sung[:, None]
    blocks = [Block("mfcc_mean", ids, audio, np.ones(500, bool)), Block("lyrics", ids, text, sung)]
    x, mask = jnp.asarray(fuse(blocks).x), jnp.asarray(modality_mask(blocks))
    none, size = jnp.zeros((500, 0)), {"latent_dim": 16, "hidden": (128, 64)}
    cases = {
        "poe": (MODELS["poe_vae"](input_shape=(404,), modalities=(20, 384), **size), Data(x, mask)),
        "vae": (MODELS["vae"](input_shape=(404,), **size), Data(x, none)),
        "audio": (MODELS["vae"](input_shape=(20,), **size), Data(x[:, :20], none)),
    }
    score = {}
    for name, (model, data) in cases.items():
        states, _ = trained(model, data, seeds=(0, 1, 2), epochs=60, rate=2e-3)
        codes = [np.asarray(training.encode(model, select_replica(states, r), data).mean) for r in range(3)]
        score[name] = np.mean([nmi(kmeans(z, k=8, seed=0).clusters, truth) for z in codes])
    assert score["poe"] >= score["vae"]
    # Nearer to what sound alone gives than to what the columns side by side give.
    assert score["audio"] - score["poe"] < score["poe"] - score["vae"]
