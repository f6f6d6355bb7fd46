"""Replicas in company: each is what it would be alone, wherever it stands."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from musiclust import population, training
from musiclust.devices import Footprint, Layout, arrange
from musiclust.errors import InputError
from musiclust.models import MODELS
from musiclust.types import Data, Hyper

N, D = 37, 6
MODEL = MODELS["vae"](input_shape=(D,), latent_dim=3, hidden=(16, 8))
RECIPE = training.Recipe(batch_size=15)


@pytest.fixture(scope="module")
def data() -> Data:
    x = jax.random.normal(jax.random.key(9), (N, 2)) @ jax.random.normal(jax.random.key(8), (2, D))
    return Data(x, jnp.zeros((N, 0)))


def trained(layout, data, seeds, betas, *, recipe=RECIPE, epochs=12):
    """One group of replicas, by the compiled program that `fit` uses."""
    shared = population.share_all(data)
    program = population.compiled(MODEL, recipe, epochs, layout, shared)
    states = program.init(jnp.asarray(seeds, jnp.int32), data)
    size = len(seeds)
    hypers = Hyper(jnp.asarray(betas, jnp.float32), jnp.full(size, 1e-3), jnp.zeros(size, jnp.int32))
    numbers = [population.place(layout, jnp.int32(number), shared=True) for number in (0, epochs)]
    placed = population.place(layout, states), population.place(layout, hypers)
    return program.train(*placed, population.place(layout, shared, shared=True), *numbers)


def test_the_tests_have_eight_devices():
    assert jax.local_device_count() == 8


@pytest.mark.slow
def test_a_replica_in_a_population_of_8_is_the_replica_alone(data, optimised):
    """One a device, and two a device one after the other: to the last bit."""
    seeds, betas = [0, 1, 2, 3, 0, 1, 2, 3], [1.0, 1, 1, 1, 4, 4, 4, 4]
    states, history = trained(Layout(8, 1, 1, 1), data, seeds, betas)
    _, in_turn = trained(Layout(4, 1, 2, 1), data, seeds, betas)
    jax.tree.map(np.testing.assert_array_equal, history, in_turn)
    for r in (0, 3, 6):
        alone_states, alone = trained(Layout(1, 1, 1, 1), data, seeds[r : r + 1], betas[r : r + 1])
        jax.tree.map(lambda a, b, r=r: np.testing.assert_array_equal(a[r], b[0]), history, alone)
        together, single = (
            training.encode(MODEL, population.select_replica(population.from_host(population.to_host(s)), i), data)
            for s, i in ((states, r), (alone_states, 0))
        )
        np.testing.assert_array_equal(together.mean, single.mean)
    assert len({float(value) for value in history.loss[:, -1]}) == 8


@pytest.mark.slow
def test_a_stopped_replica_does_not_change_its_neighbours(data):
    """Under vmap, where all compute and the stopped one's results are dropped, and one by one."""
    recipe = training.Recipe(batch_size=15, patience=2)
    for layout in (Layout(1, 3, 1, 1), Layout(3, 1, 1, 1)):
        states, history = trained(layout, data, [0, 1, 2], [1.0, 1e3, 1.0], recipe=recipe, epochs=30)
        steps = np.asarray(states.step) // recipe.batches(N)[0]
        assert steps.min() < 30
        for r in range(3):
            assert np.asarray(history.loss[r, : steps[r]]).all()
            assert not np.asarray(history.loss[r, steps[r] :]).any()


@pytest.mark.slow
def test_side_by_side_under_vmap_differs_by_rounding_only(data):
    """One step, before Adam has made large what is small."""
    one_by_one, in_vmap, on_two = (
        trained(layout, data, range(8), [1.0] * 8, recipe=training.Recipe(), epochs=1)[1]
        for layout in (Layout(1, 1, 8, 1), Layout(1, 4, 2, 1), Layout(2, 4, 1, 1))
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), one_by_one, in_vmap)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), one_by_one, on_two)


@pytest.mark.parametrize(
    ("replicas", "devices", "limit", "layout"),
    [
        (1, 8, 10**6, Layout(1, 1, 1, 1)),
        (5, 2, 10**6, Layout(2, 1, 3, 1)),
        # Two devices with 700 bytes each: a step of 500 leaves 200, one state coming and going.
        (5, 2, 1400, Layout(2, 1, 1, 3)),
        (5, 2, 1800, Layout(2, 1, 2, 2)),
        # Room for one device only: better one core than none.
        (5, 2, 1300, Layout(1, 1, 3, 2)),
    ],
)
def test_layouts_on_a_cpu(replicas, devices, limit, layout):
    assert arrange(replicas, devices, Footprint(100, 500), limit) == layout


@pytest.mark.parametrize(
    ("replicas", "devices", "limit", "layout"),
    [
        (256, 1, 10**6, Layout(1, 256, 1, 1)),
        (256, 1, 256 * 200 + 130 * 500, Layout(1, 128, 2, 1)),
        (256, 2, 10**6, Layout(2, 128, 1, 1)),
        (256, 1, 128 * 200 + 500, Layout(1, 1, 128, 2)),
    ],
)
def test_layouts_on_an_accelerator(replicas, devices, limit, layout, monkeypatch):
    monkeypatch.setattr("musiclust.devices.side_by_side", lambda: True)
    found = arrange(replicas, devices, Footprint(100, 500), limit)
    assert found == layout
    assert found.places * found.groups >= replicas
    used = found.rounds * found.width * 200 + found.width * 500
    assert used <= limit / devices


def test_what_does_not_fit_is_told_with_the_remedy():
    with pytest.raises(InputError, match=r"training takes .* GiB, .* are allowed: raise `max_memory`"):
        arrange(1, 1, Footprint(2**30, 2**30), 2**31)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(16, 8), (512, 256, 128)])
def test_the_footprint_bounds_what_the_program_takes(size, optimised):
    """What XLA plans for one replica is less than what is computed from shapes, and not by much."""
    model = MODELS["vae"](input_shape=(20,), hidden=size)
    shared = population.share_all(Data(jnp.zeros((600, 20)), jnp.zeros((600, 0))))
    each = population.footprint(model, training.Recipe(), shared)
    program = population.compiled(model, training.Recipe(), 1, Layout(1, 1, 1, 1), shared)
    planned = program.train.memory_analysis()
    assert each.state == planned.alias_size_in_bytes
    taken = planned.temp_size_in_bytes
    assert each.step / 3 < taken < each.state + each.step


def test_data_sets_laid_one_after_the_other_are_there_once():
    """A replica takes what it takes of one of them; all it has more is the shared data."""
    model = MODELS["vae"](input_shape=(20,), hidden=(16, 8))
    one, five = (Data(jnp.zeros((n, 20)), jnp.zeros((n, 0))) for n in (600, 3000))
    alone = population.footprint(model, training.Recipe(), population.share_all(one))
    table = np.arange(3000, dtype=np.int32).reshape(5, 600)
    each = population.footprint(model, training.Recipe(), population.Shared(five, table))
    assert each[:2] == alone[:2]
    assert each.shared == 5 * alone.shared == 4 * (3000 * 20 + 3000)


def test_groups_are_split_and_joined(data):
    layout = Layout(2, 1, 1, 3)
    groups = population.split(layout, {"a": np.arange(5)})
    assert [group["a"].tolist() for group in groups] == [[0, 1], [2, 3], [4, 4]]
    np.testing.assert_array_equal(population.join(groups, 5)["a"], np.arange(5))
