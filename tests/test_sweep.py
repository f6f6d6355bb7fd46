"""Training in memory: every combination, one program, the best replica by a rule that sees no class."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import musiclust as mc
from musiclust import devices, population, sweep, training
from musiclust.epochs import Diverged
from musiclust.errors import InputError
from musiclust.sweep import chunk_epochs, product
from musiclust.types import Hyper


@pytest.fixture(scope="module")
def data() -> mc.Data:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 5)) * 3
    return mc.Data(mc.standardise(centres[np.arange(40) % 3] + rng.normal(size=(40, 5))))


MODEL = mc.VAE(input_shape=(5,), latent_dim=2, hidden=(8,))
RECIPE = mc.Recipe(batch_size=16)


@pytest.fixture(scope="module")
def trained(data) -> mc.Trained:
    return mc.train(MODEL, data, seeds=(0, 1), betas=(1.0, 500.0), epochs=25, recipe=RECIPE)


def test_product_is_every_combination():
    settings = product((0, 1), (1.0, 4.0), (1e-3,))
    assert [tuple(setting) for setting in settings] == [
        (0, 1.0, 1e-3, 0), (1, 1.0, 1e-3, 0), (0, 4.0, 1e-3, 0), (1, 4.0, 1e-3, 0)
    ]  # fmt: skip
    settings = product((5, 6), (1.0,), (1e-3, 2e-3), (1, 2))
    assert settings[:4] == [(5, 1.0, 1e-3, 1), (6, 1.0, 1e-3, 1), (5, 1.0, 1e-3, 2), (6, 1.0, 1e-3, 2)]
    assert len(set(settings)) == 8


@pytest.mark.parametrize(
    ("values", "steps", "chunk"),
    [
        (320 * 404, 2, 10),
        (3081 * 404, 13, 8),
        (320 * 128 * 431, 10, 1),
        (256 * 3081 * 20, 13, 1),
        (200 * 128 * 400, 1, 5),  # states are copied once a chunk
        (20 * 64 * 128 * 431, 1, 1),
    ],
)
def test_chunks_are_short_where_epochs_are_long(values, steps, chunk):
    assert chunk_epochs(values, steps) == chunk


def test_train_is_run_epochs_of_each_setting(trained, data):
    """Against one replica trained by the pure function, in one go."""
    assert trained.history.loss.shape == (4, 25)
    assert [setting[:2] for setting in trained.settings] == [(0, 1.0), (1, 1.0), (0, 500.0), (1, 500.0)]
    setting, on_device = trained.settings[2], jax.tree.map(jax.numpy.asarray, data)
    state = training.init_state(MODEL, jax.random.key(setting.seed), on_device)
    hyper = Hyper(*map(jax.numpy.asarray, (setting.beta, setting.learning_rate, 0)))
    run = jax.jit(training.run_epochs, static_argnums=(0, 1, 2))
    state, history = run(MODEL, RECIPE, 25, state, hyper, on_device, jax.numpy.arange(40)[None], 0, 25)
    np.testing.assert_allclose(trained.history.loss[2], history.loss, rtol=1e-5)
    z = training.encode(MODEL, trained.replica(2), data).mean
    np.testing.assert_allclose(z, training.encode(MODEL, state, data).mean, rtol=1e-3, atol=1e-5)


def test_each_combination_is_trained_on_each_line_of_rows(data):
    """Two data sets one after the other: as if each had been trained alone."""
    other = mc.standardise(np.random.default_rng(1).normal(size=(40, 5)))
    both = mc.Data(np.concatenate([data.x, other]))
    table = np.arange(80).reshape(2, 40)
    trained = mc.train(MODEL, both, seeds=(0, 1), betas=(1.0, 4.0), rows=table, epochs=12, recipe=RECIPE)
    assert [setting[1:2] + setting[3:] for setting in trained.settings[::2]] == [(1.0, 0), (1.0, 1), (4.0, 0), (4.0, 1)]
    assert str(trained.settings[2]) == "seed 0, beta 1, learning rate 0.001, rows 1"
    assert str(trained.settings[0]) == "seed 0, beta 1, learning rate 0.001"
    for x, lines in ((data.x, [0, 1, 4, 5]), (other, [2, 3, 6, 7])):
        alone = mc.train(MODEL, mc.Data(x), seeds=(0, 1), betas=(1.0, 4.0), epochs=12, recipe=RECIPE)
        jax.tree.map(
            lambda a, b, lines=lines: np.testing.assert_array_equal(a[np.array(lines)], b),
            (trained.history, trained.states.params),
            (alone.history, alone.states.params),
        )


@pytest.mark.slow
def test_a_list_of_settings_need_not_be_a_product(data, trained):
    """Line i with seed i, and a line that is not there."""
    table = np.stack([np.arange(0, 30), np.arange(10, 40)])
    settings = [sweep.Setting(line, 1.0, 1e-3, line) for line in range(2)]
    options = {"epochs": 12, "recipe": RECIPE, "rows": table}
    paired = sweep.train_settings(MODEL, data, settings=settings, **options)
    assert paired.settings == tuple(settings)
    every = mc.train(MODEL, data, seeds=(0, 1), **options)
    np.testing.assert_array_equal(paired.history.loss, every.history.loss[[0, 3]])
    with pytest.raises(mc.InputError, match="rows 2: the table of rows has 2 lines, counted from 0"):
        sweep.train_settings(MODEL, data, settings=[sweep.Setting(0, 1.0, 1e-3, 2)], **options)


@pytest.mark.slow
def test_all_but_the_held_out_rows_are_trained_on(data):
    held = np.array([3, 9, 27])
    trained = mc.train(MODEL, data, held_out=held, epochs=12, recipe=RECIPE)
    alone = mc.train(MODEL, mc.Data(np.delete(data.x, held, axis=0)), epochs=12, recipe=RECIPE)
    np.testing.assert_allclose(trained.history.loss, alone.history.loss, rtol=1e-5)
    assert np.isfinite(trained.history.held_out).all()
    assert np.isnan(alone.history.held_out).all()
    assert trained.history.held_out[0, -1] < trained.history.held_out[0, 0]


def test_the_best_replica_has_not_collapsed(trained, data):
    kl = trained.history.kl_per_dim[:, -1].sum(axis=1)
    assert (kl[2:] < np.log(2)).all()
    bounds = [float(mc.negative_elbo(MODEL, trained.replica(r), data)) for r in range(len(trained))]
    assert trained.choose(data) == int(np.argmin(bounds[:2]))
    best = trained.best(data)
    jax.tree.map(np.testing.assert_array_equal, best.params, trained.replica(int(np.argmin(bounds[:2]))).params)


def test_progress_is_told_and_may_stop_it(data):
    told = []

    def stop(done, part):
        told.append((done, part.loss.shape))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mc.train(MODEL, data, seeds=(0, 1), betas=(1.0, 500.0), epochs=25, recipe=RECIPE, on_epochs=stop)
    assert told == [(10, (4, 10))]


def test_chunks_go_on_from_an_earlier_epoch(data):
    settings = product((0, 1), (1.0, 500.0), (1e-3,))
    prepared = sweep.prepare(MODEL, RECIPE, data, settings=settings, epochs=25)
    first = next(sweep.train_chunks(prepared)).trained()
    assert (first.epoch, first.history.loss.shape) == (10, (4, 10))
    *_, last = sweep.train_chunks(prepared, first)
    *_, whole = sweep.train_chunks(prepared)
    jax.tree.map(np.testing.assert_array_equal, last.trained().history, whole.trained().history)
    assert list(sweep.train_chunks(prepared, last.trained())) == []


def test_a_condition_is_for_conditional_models(data):
    with pytest.raises(mc.InputError, match="a CVAE needs a condition: give Data"):
        mc.train(mc.CVAE(input_shape=(5,)), data)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda x: x[:, :4], {}, r"x has shape \(40, 4\), the model takes rows of shape \(5,\)"),
        (lambda x: x[:1], {}, "give at least two such"),
        (lambda x: np.where(np.arange(40)[:, None] == 7, np.nan, x), {}, r"row 7 of x holds NaN or infinity \(1 of 40"),
        (lambda x: x, {"seeds": ()}, "there is nothing to train"),
        (lambda x: x, {"seeds": (-1,)}, "seeds are whole numbers from 0"),
        (lambda x: x, {"rows": np.array([[0, 40]])}, "rows goes from 0 to 40: the rows of data are 0 to 39"),
        (lambda x: x, {"held_out": np.array([40])}, "`held_out` goes from 40 to 40: the rows of data are 0 to 39"),
        (lambda x: x, {"held_out": np.arange(0)}, r"shape \(0,\): give at least one row number, or None"),
        (lambda x: x, {"held_out": np.arange(39)}, r"shape \(1, 1\): give a table"),
        (lambda x: x, {"rows": np.array([[1, 7]]), "held_out": np.array([7])}, "row 7 is in rows and in `held_out`"),
        (lambda x: x, {"rows": np.array([[-1, 3]])}, "rows goes from -1 to 3"),
        (
            lambda x: x,
            {"rows": np.array([[3], [4]])},
            r"shape \(2, 1\): give .* at least two in each line",
        ),
        (lambda x: x, {"rows": np.array([[0.0, 1.0]])}, "rows is float64 of shape"),
        (lambda x: x, {"betas": (-1.0,)}, "a beta is at least 0"),
        (lambda x: x, {"learning_rates": (0.0,)}, "a learning rate above 0"),
        (lambda x: x, {"epochs": 0}, "choose `epochs` of at least 1"),
    ],
)
def test_bad_input_is_named_at_the_door(data, change, options, message):
    with pytest.raises(mc.InputError, match=message):
        mc.train(MODEL, mc.Data(change(data.x).astype(np.float32)), **options)


def test_a_loss_that_is_not_finite_names_replica_and_epoch(data):
    with pytest.raises(Diverged, match=r"epoch \d+ in replica 1 \(seed 0, beta 1, learning rate 1e\+18\).*lower `lear"):
        mc.train(MODEL, data, learning_rates=(1e-3, 1e18), epochs=25, recipe=RECIPE)


def test_a_sweep_that_the_machine_cannot_hold_is_refused_before_it_begins(data, monkeypatch):
    settings = product(range(50_000), (1.0,), (1e-3,))
    shared = jax.tree.map(jnp.asarray, population.share_all(data))
    state = population.footprint(MODEL, RECIPE, shared).state
    monkeypatch.setattr(devices, "machine_memory", lambda: 2**26)
    monkeypatch.setattr(population, "compiled", None)  # which would come next
    with pytest.raises(InputError, match=r"50,000 replicas take .* GiB of memory.*`max_memory`") as refused:
        sweep.prepare(MODEL, RECIPE, data, settings=settings, epochs=10)
    most = int(re.search(r"train ([\d,]+) of them at a time", str(refused.value))[1].replace(",", ""))
    bytes_of_one = 2 * (state + 4 * 10 * (4 + MODEL.latent_dim))
    assert most * bytes_of_one <= 2**25 < (most + 1) * bytes_of_one
    with pytest.raises(TypeError, match="not callable"):  # a sweep that fits goes on to compile
        sweep.prepare(MODEL, RECIPE, data, settings=settings[:most], epochs=10)
    with pytest.raises(TypeError, match="not callable"):  # and so does one that is asked for
        sweep.prepare(MODEL, RECIPE, data, settings=settings, epochs=10, max_memory=2**34)
