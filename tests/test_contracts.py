"""What every entry of a registry promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.configs import DEFAULTS, PRESETS, Config
from experiments.published import RUNS
from musiclust import training
from musiclust.baselines import BASELINES
from musiclust.cluster import CLUSTERERS, assigner
from musiclust.fusion import FUSIONS, SCALINGS, apply, fuse
from musiclust.models import MODELS, Model
from musiclust.schedules import BETA_SCHEDULES, SCHEDULES
from musiclust.types import Block, Data, TrainState


def blobs(n: int = 90, dims: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = np.arange(n) % 3
    return (rng.normal(size=(3, dims))[truth] * 8 + rng.normal(size=(n, dims))).astype(np.float32), truth


def small_model(name: str) -> Model:
    """Of 12 columns, latent 3, for a condition of two columns where there is one."""
    options = {"modalities": (5, 7)} if MODELS[name].multimodal else {}
    return MODELS[name](input_shape=(12,), latent_dim=3, **options)


def initial(model: Model, data: Data) -> TrainState:
    """Compiled whole: operation by operation it takes long."""
    return jax.jit(lambda: training.init_state(model, jax.random.key(0), data))()


@pytest.mark.parametrize("name", MODELS)
def test_models_encode_and_decode_by_shape_and_by_row(name):
    model = small_model(name)
    conditions = 2 if model.conditional else 0
    data = Data(jax.random.normal(jax.random.key(0), (5, 12)), jnp.ones((5, conditions)))
    state = initial(model, data)
    q = training.encode(model, state, data)
    assert q.mean.shape == q.logvar.shape == (5, 3)
    assert q.mean.dtype == jnp.float32
    assert training.reconstruct(model, state, data).shape == (5, 12)
    assert isinstance(model.variational, bool)
    assert isinstance(model.multimodal, bool)
    assert model.conditional or not model.multimodal
    assert bool(jnp.isneginf(q.logvar).all()) is not model.variational
    # In evaluation mode a track's code depends on that track alone.
    alone = training.encode(model, state, jax.tree.map(lambda a: a[3:4], data))
    np.testing.assert_allclose(alone.mean[0], q.mean[3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_condition_moves_conditional_models_only(name):
    model = small_model(name)
    x = jax.random.normal(jax.random.key(0), (5, 12))
    state = initial(model, Data(x, jnp.ones((5, 2))))
    one, other = (training.encode(model, state, Data(x, jnp.full((5, 2), c))).mean for c in (0.0, 1.0))
    assert bool((one != other).any()) is model.conditional


@pytest.mark.parametrize("name", CLUSTERERS)
def test_clusterers_find_blobs_and_place_new_points(name):
    z, truth = blobs()
    clustering = CLUSTERERS[name](z, k=3, seed=0)
    assert clustering.clusters.dtype == np.int32
    assert clustering.clusters.shape == (90,)
    found = clustering.clusters[clustering.clusters >= 0]
    assert len(clustering.centres) == len(np.unique(found)) == 3
    for c in range(3):
        assert len(np.unique(truth[clustering.clusters == c])) == 1
    restored = assigner(name, clustering.state)
    np.testing.assert_array_equal(clustering.assign(z), clustering.clusters)
    np.testing.assert_array_equal(restored(z), clustering.clusters)
    np.testing.assert_array_equal(clustering.clusters, CLUSTERERS[name](z, k=3, seed=0).clusters)


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_give_finite_float32(name):
    x = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    z = BASELINES[name](x, latent_dim=4, seed=0)
    assert z.dtype == np.float32
    assert z.shape == (30, {"pca": 4, "tsne": 2}.get(name, 8))
    np.testing.assert_array_equal(z, BASELINES[name](x, latent_dim=4, seed=0))


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("how", FUSIONS)
def test_fusions_transform_new_tracks_alike(how, scaling):
    rng = np.random.default_rng(0)
    ids = np.array([f"{i:02d}" for i in range(20)])
    blocks = [Block("mfcc_mean", ids, rng.normal(size=(20, 4)), np.ones(20, bool))]
    sung = ids < "12"
    blocks.append(Block("lyrics", ids, rng.normal(size=(20, 6)) * sung[:, None], sung))
    fused = fuse(blocks, how=how, scaling=scaling)
    assert fused.x.dtype == np.float32
    assert np.isfinite(fused.x).all()
    part = [Block(b.name, b.track_id[5:15], b.values[5:15], b.valid[5:15]) for b in blocks]
    np.testing.assert_allclose(apply(fused.fusion, part), fused.x[5:15], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", BETA_SCHEDULES)
def test_beta_schedules_stay_between_0_and_1_and_end_at_1(name):
    values = np.asarray(BETA_SCHEDULES[name](jnp.arange(101) / 100))
    assert values.shape == (101,)
    assert ((values >= 0) & (values <= 1)).all()
    assert values[-1] == 1


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (2, 3), (13, 100)])
def test_learning_rate_schedules_stay_between_0_and_1(name, steps, epochs):
    elapsed = jnp.arange(steps * epochs) / steps
    values = np.asarray(jax.vmap(SCHEDULES[name])(elapsed, elapsed / epochs))
    assert ((values >= 0) & (values <= 1)).all()
    assert values.max() > 0 or (name, steps * epochs) == ("cosine", 1)  # whose only step is the first of the warm-up


@pytest.mark.parametrize("config", [*DEFAULTS.values(), *PRESETS.values()])
def test_configurations_survive_json_and_name_what_there_is(config):
    assert Config.from_json(config.to_json()) == config
    assert config.model in MODELS
    assert config.fusion in FUSIONS
    assert config.scaling in SCALINGS
    assert set(config.clusterer) <= set(CLUSTERERS)
    assert set(config.baselines) <= set(BASELINES)
    assert (config.condition != "none") is MODELS[config.model].conditional


def test_every_model_has_defaults_with_every_baseline():
    assert DEFAULTS.keys() == MODELS.keys()
    assert {config.baselines for config in DEFAULTS.values()} == {tuple(BASELINES)}


def test_published_runs_have_the_reports_baselines():
    assert {config.baselines for config in (*PRESETS.values(), *RUNS.values())} == {("features", "pca")}
