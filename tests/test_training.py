"""Training as a function: what it computes, what it does not drop, and that a replica is itself in any company."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from musiclust import devices, neighbours, objectives, population, training
from musiclust.errors import InputError
from musiclust.models import MODELS
from musiclust.schedules import SCHEDULES
from musiclust.types import Data, Hyper

QUICK = ("vae", "conv_vae")  # the others are slow tests
N, D = 37, 6


@pytest.fixture(scope="module")
def data() -> Data:
    x = jax.random.normal(jax.random.key(9), (N, 2)) @ jax.random.normal(jax.random.key(8), (2, D))
    return Data(x, jnp.zeros((N, 0)))


@pytest.fixture(scope="module")
def model():
    return MODELS["vae"](input_shape=(D,), latent_dim=3, hidden=(16, 8))


def hypers(betas, rate=1e-3, line=0) -> Hyper:
    full = len(betas)
    return Hyper(jnp.asarray(betas, jnp.float32), jnp.full(full, rate, jnp.float32), jnp.full(full, line))


def scalars(beta, rate) -> Hyper:
    return Hyper(jnp.array(beta), jnp.array(rate), jnp.array(0))


def trained(model, recipe, epochs, data, seeds, hypers, rows=None):
    """The replicas one after the other on one device."""
    states = population.init(model, jnp.asarray(seeds), data)
    layout = devices.Layout(1, 1, len(seeds), 1)
    shared = population.share_all(data) if rows is None else population.Shared(data, jnp.asarray(rows))
    return population.run_group(model, recipe, epochs, layout, states, hypers, shared, 0, epochs)


ALL = jnp.arange(N)[None]  # a table of one line


@pytest.mark.parametrize(
    ("tracks", "batch", "count", "size"), [(3081, 256, 13, 237), (320, 256, 2, 160), (7, 256, 1, 7)]
)
def test_batches_are_even_and_hold_every_track(tracks, batch, count, size):
    assert training.Recipe(batch_size=batch).batches(tracks) == (count, size)
    assert count * size >= tracks
    assert size <= batch
    assert count * size - tracks < count


def test_an_epoch_counts_each_track_once(model, data):
    """37 tracks in 3 batches of 13 have two places to fill: the loss is still the mean over 37."""
    recipe = training.Recipe(batch_size=15)
    assert recipe.batches(N) == (3, 13)
    # At a learning rate of 0 nothing moves, so that each step's loss can be computed apart.
    state = training.init_state(model, jax.random.key(0), data)
    hyper = scalars(1.0, 0.0)
    _, history = jax.jit(training.run_epochs, static_argnums=(0, 1, 2))(model, recipe, 1, state, hyper, data, ALL, 0, 1)
    order = jax.random.permutation(jax.random.fold_in(jax.random.fold_in(state.key, 1), 0), N)
    assert sorted(order.tolist()) == list(range(N))
    order = jnp.concatenate([order, order[:2]]).reshape(3, 13)
    weights = jnp.concatenate([jnp.ones(N), jnp.zeros(2)]).reshape(3, 13)
    step = jax.jit(training.train_step, static_argnums=(0, 1))
    total = 0.0
    for rows, weight in zip(order, weights, strict=True):
        batch = Data(data.x[rows], data.cond[rows])
        state, sums = step(model, recipe, state, hyper, batch, weight, 0.0, 0.0)
        total += float(sums.loss)
    assert float(history.loss[0]) == pytest.approx(total / N, rel=1e-5)


@pytest.mark.parametrize("neighbour_weight", [pytest.param(0.0, marks=pytest.mark.slow), 0.5])
def test_a_step_is_adam_on_the_mean_loss(model, data, neighbour_weight):
    """Against optax.adam on the gradient of the mean negative ELBO and of half D times the divergence, written out."""
    state = training.init_state(model, jax.random.key(0), data)
    recipe = training.Recipe(schedule="constant", neighbours=neighbour_weight)
    step = jax.jit(training.train_step, static_argnums=(0, 1))
    after, _ = step(model, recipe, state, scalars(2.0, 1e-2), data, jnp.ones(N), 0.0, 0.0)

    def loss(params):
        variables = {"params": params, "batch_stats": state.batch_stats}
        q, updated = model.apply(variables, data.x, data.cond, True, method="encode", mutable=["batch_stats"])
        key = jax.random.fold_in(jax.random.fold_in(state.key, 2), 0)
        z = objectives.sample(q, key)
        x_hat, _ = model.apply(
            {"params": params, "batch_stats": updated["batch_stats"] | state.batch_stats},
            z, data.cond, True, method="decode", mutable=["batch_stats"],
        )  # fmt: skip
        kl = 0.5 * (q.mean**2 + jnp.exp(q.logvar) - 1 - q.logvar)
        p = neighbours.neighbour_affinities(data.x, jnp.ones(N))
        divergence = neighbours.neighbour_divergence(p, z, jnp.ones(N))
        return (((x_hat - data.x) ** 2).sum(1) + 2.0 * kl.sum(1)).mean() + neighbour_weight * D * divergence

    adam = optax.adam(1e-2)
    updates, _ = adam.update(jax.jit(jax.grad(loss))(state.params), adam.init(state.params))
    expected = optax.apply_updates(state.params, updates)
    differences = jax.tree.map(lambda a, b: float(jnp.median(abs(a - b))), after.params, expected)
    assert max(jax.tree.leaves(differences)) < 1e-4
    assert int(after.step) == 1


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]
)
def test_training_lowers_the_loss_of_every_model(name):
    size = {"channels": (4, 4, 8, 8), "dense": 16} if name == "conv_vae" else {"hidden": (16, 8)}
    model = MODELS[name](input_shape=(40,), latent_dim=3, **size)
    x = jax.random.normal(jax.random.key(9), (N, 2)) @ jax.random.normal(jax.random.key(8), (2, 40))
    _, history = trained(
        model, training.Recipe(), 60, Data(x, jnp.ones((N, int(model.conditional)))), [0], hypers([0.1], 1e-2)
    )
    assert history.loss[0, -1] < 0.8 * history.loss[0, 0]
    assert jnp.isfinite(history.loss).all()


def test_same_seed_same_result_other_seed_another(model, data):
    first, again, other = (trained(model, training.Recipe(), 3, data, [s], hypers([1.0]))[1].loss for s in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (np.asarray(first) != np.asarray(other)).all()


def test_chunks_make_the_whole_run(model, data):
    recipe = training.Recipe(batch_size=15, schedule="cosine", beta_schedule="linear")
    run = jax.jit(training.run_epochs, static_argnums=(0, 1, 2))
    state = training.init_state(model, jax.random.key(0), data)
    whole_state, whole = run(model, recipe, 7, state, scalars(1.0, 1e-3), data, ALL, 0, 7)
    parts = []
    for first in (0, 3, 6):
        state, part = run(model, recipe, 3, state, scalars(1.0, 1e-3), data, ALL, first, 7)
        parts.append(part.loss)
    np.testing.assert_array_equal(jnp.concatenate(parts)[:7], whole.loss)
    jax.tree.map(np.testing.assert_array_equal, state.params, whole_state.params)
    # Epochs past the end train nothing.
    assert not jnp.concatenate(parts)[7:].any()


def test_another_number_of_epochs_is_the_same_program(model, data):
    recipe = training.Recipe(schedule="cosine", beta_schedule="cyclical")
    run = jax.jit(training.run_epochs, static_argnums=(0, 1, 2))
    state = training.init_state(model, jax.random.key(0), data)
    _, short = run(model, recipe, 4, state, scalars(1.0, 1e-3), data, ALL, 0, 4)
    programs = run._cache_size()
    _, long = run(model, recipe, 4, state, scalars(1.0, 1e-3), data, ALL, 0, 400)
    assert run._cache_size() == programs
    assert (short.loss != long.loss).any()


@pytest.mark.slow
def test_a_replica_that_has_stopped_freezes(model, data):
    """At a learning rate of 0 the loss only jitters: after `patience` epochs without a better one nothing moves."""
    recipe = training.Recipe(patience=3)
    state = training.init_state(model, jax.random.key(0), data)
    still = jax.jit(training.run_epochs, static_argnums=(0, 1, 2))
    stopped, history = still(model, recipe, 40, state, scalars(1.0, 0.0), data, ALL, 0, 40)
    trained_epochs = int(stopped.step)  # a batch an epoch
    assert 4 <= trained_epochs < 40
    assert history.loss[:trained_epochs].all()
    assert not history.loss[trained_epochs:].any()
    loss = np.asarray(history.loss[:trained_epochs])
    best = np.minimum.accumulate(loss)
    assert (loss[-3:] >= best[-4] * (1 - 1e-3)).all()
    assert float(stopped.best) == best[-1]
    # One that improves goes on, and is what it would be without patience.
    going, with_patience = still(model, recipe, 20, state, scalars(0.1, 3e-2), data, ALL, 0, 20)
    assert int(going.step) == 20
    _, without = still(model, training.Recipe(), 20, state, scalars(0.1, 3e-2), data, ALL, 0, 20)
    np.testing.assert_array_equal(with_patience.loss, without.loss)


def test_patience_waits_until_beta_has_settled(model, data):
    """Where beta rises, so does the loss: that is no reason to stop."""
    recipe = training.Recipe(patience=2, beta_schedule="linear")
    state = training.init_state(model, jax.random.key(0), data)
    run = jax.jit(training.run_epochs, static_argnums=(0, 1, 2))
    stopped, _ = run(model, recipe, 40, state, scalars(50.0, 0.0), data, ALL, 0, 40)
    assert int(stopped.step) >= 0.3 * 40 + 2


@pytest.mark.slow
def test_a_line_of_rows_is_trained_as_if_it_were_the_tracks(model, data):
    """Of fewer tracks than there are, in any order, one of them twice."""
    rng = np.random.default_rng(0)
    rows = np.stack([rng.permutation(N)[:29] for _ in range(3)])
    rows[2, 0] = rows[2, 1]
    recipe = training.Recipe(batch_size=15)
    drawn = Data(data.x[rows[2]], data.cond[rows[2]])
    states, by_line = trained(model, recipe, 3, data, [0], hypers([1.0], line=2), rows)
    expected, by_hand = trained(model, recipe, 3, drawn, [0], hypers([1.0]))
    # Two programs: the compiler may order their sums differently, by the processor.
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, (states.params, by_line), (expected.params, by_hand))
    _, other = trained(model, recipe, 3, data, [0], hypers([1.0], line=1), rows)
    assert (np.asarray(other.loss) != np.asarray(by_line.loss)).all()


@pytest.mark.slow
def test_bfloat16_is_within_one_per_cent(model, data, optimised):
    losses = [
        float(trained(model, training.Recipe(precision=precision), 60, data, [0], hypers([1.0], 1e-2))[1].loss[0, -1])
        for precision in training.PRECISIONS
    ]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.01)


def test_without_neighbours_nothing_of_the_term_is_traced(model, data, monkeypatch):
    state = training.init_state(model, jax.random.key(0), data)
    arguments = (state, scalars(1.0, 1e-3), data, jnp.ones(N), 0.0, 0.0)

    def absent(*_):
        raise AssertionError("the neighbour term")

    monkeypatch.setattr(neighbours, "neighbour_affinities", absent)
    monkeypatch.setattr(neighbours, "neighbour_divergence", absent)
    for off in (training.Recipe(), training.Recipe(neighbours=0.0)):
        jax.make_jaxpr(training.train_step, static_argnums=(0, 1))(model, off, *arguments)
    with pytest.raises(AssertionError, match="the neighbour term"):
        jax.make_jaxpr(training.train_step, static_argnums=(0, 1))(model, training.Recipe(neighbours=1.0), *arguments)


def test_the_neighbour_term_moves_the_parameters_and_is_not_in_the_loss():
    """Of images; most tracks come twice, and two fill the batch up."""
    model = MODELS["vae"](input_shape=(4, 5), latent_dim=3, hidden=(16, 8))
    once = jax.random.normal(jax.random.key(0), (6, 4, 5))
    data = Data(jnp.concatenate([once, once]), jnp.zeros((12, 0)))
    weight = jnp.ones(12).at[-2:].set(0.0)
    given = (training.init_state(model, jax.random.key(0), data), scalars(2.0, 1e-2), data, weight, 0.0, 0.0)
    step = jax.jit(training.train_step, static_argnums=(0, 1))
    without, expected = step(model, training.Recipe(), *given)
    moved, sums = step(model, training.Recipe(neighbours=1.0), *given)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), sums[:3], expected[:3])
    assert (float(expected.neighbours), float(expected.descended)) == (0.0, float(expected.loss))
    assert float(sums.neighbours) > 1.0
    np.testing.assert_allclose(sums.descended, sums.loss + sums.neighbours, rtol=1e-5)
    differences = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), moved.params, without.params)
    assert max(jax.tree.leaves(differences)) > 1e-3
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(moved.params))


@pytest.mark.slow
def test_neighbours_are_kept_that_a_large_beta_loses():
    """Three clusters in 20 columns, each a cloud in a plane of its own: of a track's 10 nearest neighbours, how many
    are those of its latent?"""
    rng = np.random.default_rng(0)
    cluster = np.arange(120) % 3
    centres, planes = rng.normal(size=(3, 20)), rng.normal(size=(3, 2, 20))
    clouds = 0.6 * np.einsum("np,npd->nd", rng.normal(size=(120, 2)), planes[cluster])
    x = centres[cluster] + clouds + 0.05 * rng.normal(size=(120, 20))
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
    data = Data(jnp.asarray(x), jnp.zeros((120, 0)))
    model = MODELS["vae"](input_shape=(20,), latent_dim=4, hidden=(64, 32))

    def nearest(points) -> list[set]:
        rows = NearestNeighbors(n_neighbors=10).fit(np.asarray(points)).kneighbors(return_distance=False)
        return [set(row) for row in np.asarray(rows).tolist()]

    kept = []
    for weight in (0.0, 1.0):
        recipe = training.Recipe(batch_size=60, schedule="constant", neighbours=weight)
        states, _ = trained(model, recipe, 80, data, [0], hypers([4.0], 3e-3))
        z = training.encode(model, jax.tree.map(lambda leaf: leaf[0], states), data).mean
        kept.append(np.mean([len(a & b) / 10 for a, b in zip(nearest(x), nearest(z), strict=True)]))
    assert kept[1] > kept[0] + 0.05


def test_schedules():
    def at(name, epoch, epochs=100):
        return float(SCHEDULES[name](jnp.float32(epoch), jnp.float32(epoch / epochs)))

    assert [at("step", epoch) for epoch in (0, 19, 20, 40, 99)] == [1, 1, 0.5, 0.25, 0.0625]
    assert at("constant", 99) == 1
    assert at("cosine", 0) == 0
    assert at("cosine", 5) == pytest.approx(1, abs=1e-6)
    assert at("cosine", 52.5) == pytest.approx(0.5, abs=1e-2)
    assert at("cosine", 100) == pytest.approx(0, abs=1e-6)
    assert 0 <= at("cosine", 1, epochs=1) <= 1


def test_beta_zero_makes_an_autoencoder_and_large_beta_collapses(model, data):
    recipe = training.Recipe(schedule="constant")
    _, history = trained(model, recipe, 60, data, [0, 0], hypers([0.0, 50.0], 1e-2))
    kl = history.kl_per_dim.sum(axis=-1)[:, -1]
    assert kl[0] > 5
    assert kl[1] < 0.2
    np.testing.assert_allclose(history.loss[0], history.reconstruction[0], rtol=1e-6)
    np.testing.assert_allclose(history.loss[1, -1], history.reconstruction[1, -1] + 50 * kl[1], rtol=1e-4)


def test_encode_in_batches_is_encode_at_once(model, data):
    many = Data(jnp.tile(data.x, (20, 1)), jnp.tile(data.cond, (20, 1)))
    state = training.init_state(model, jax.random.key(0), data)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    whole = model.apply(variables, many.x, many.cond, False, method="encode")
    np.testing.assert_allclose(training.encode(model, state, many).mean, whole.mean, rtol=1e-5, atol=1e-6)


def test_negative_elbo_is_error_plus_kl(model, data):
    state = training.init_state(model, jax.random.key(0), data)
    q = training.encode(model, state, data)
    at_mean = float(objectives.squared_error(training.reconstruct(model, state, data), data.x).mean())
    kl = float(objectives.gaussian_kl(q).sum(axis=1).mean())
    # One draw a track instead of the mean: near, and not below the KL.
    assert float(training.negative_elbo(model, state, data)) == pytest.approx(at_mean + kl, rel=0.5)
    assert float(training.negative_elbo(model, state, data)) > kl


def test_patience_sees_the_neighbour_term(model):
    """Where the term pulls the latents apart, KL and loss rise while the term falls: that is no reason to stop."""
    centres = np.random.default_rng(0).normal(size=(3, D))
    x = jnp.asarray(centres[np.arange(N) % 3] + 0.1 * np.random.default_rng(1).normal(size=(N, D)), jnp.float32)
    data = Data(x, jnp.zeros((N, 0)))
    state = training.init_state(model, jax.random.key(0), data)
    run = jax.jit(training.run_epochs, static_argnums=(0, 1, 2))
    recipe = training.Recipe(patience=5, neighbours=1000.0, schedule="constant")
    stopped, history = run(model, recipe, 60, state, scalars(10.0, 1e-2), data, ALL, 0, 60)
    epochs = int(stopped.step)
    assert np.argmin(history.loss[:epochs]) == 0  # so that the loss alone would have ended it after six epochs
    assert epochs > 20
    assert float(history.neighbours[epochs - 1]) < 0.6 * float(history.neighbours[0])


def test_held_out_tracks_are_looked_at_and_not_trained_on(model, data):
    rows, held = np.arange(28)[None], np.arange(28, N)
    run = jax.jit(training.run_epochs, static_argnums=(0, 1, 2))
    state = training.init_state(model, jax.random.key(0), data)
    recipe = training.Recipe(batch_size=4, neighbours=0.5)
    after, history = run(model, recipe, 4, state, scalars(2.0, 1e-3), data, rows, 0, 4, held)
    expected, without = run(model, recipe, 4, state, scalars(2.0, 1e-3), data, rows, 0, 4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), after.params, expected.params)
    assert np.isnan(without.held_out).all()
    # Against the terms of all nine at once; they come in three batches of three.
    part = Data(data.x[held], data.cond[held])
    q = training.encode(model, after, part)
    at_mean = objectives.squared_error(training.reconstruct(model, after, part), part.x).mean()
    whole = float(at_mean + 2.0 * objectives.gaussian_kl(q).sum(axis=1).mean())
    plain = training.held_out_loss(model, training.Recipe(batch_size=4), after, jnp.array(2.0), data, jnp.asarray(held))
    assert float(plain) == pytest.approx(whole, rel=0.4)
    assert float(history.held_out[-1]) > float(plain)  # the neighbour term is in it
    moved = Data(data.x.at[28:].add(5.0), data.cond)
    _, other = run(model, recipe, 4, state, scalars(2.0, 1e-3), moved, rows, 0, 4, held)
    np.testing.assert_array_equal(other.loss, history.loss)
    assert (np.asarray(other.held_out) > np.asarray(history.held_out)).all()


@pytest.mark.slow
def test_patience_looks_at_the_held_out_tracks(model):
    """Noise: the training loss falls for as long as one likes, the held-out one does not."""
    data = Data(jax.random.normal(jax.random.key(0), (N, D)), jnp.zeros((N, 0)))
    state = training.init_state(model, jax.random.key(0), data)
    run = jax.jit(training.run_epochs, static_argnums=(0, 1, 2))
    recipe = training.Recipe(patience=8, schedule="constant")
    arguments = (state, scalars(0.0, 1e-2), data, np.arange(20)[None], 0, 150)
    stopped, history = run(model, recipe, 150, *arguments, np.arange(20, N))
    going, _ = run(model, recipe, 150, *arguments)
    assert int(stopped.step) < int(going.step)
    seen = np.asarray(history.held_out[: int(stopped.step)])
    assert (seen[-8:] >= seen[:-8].min() * (1 - 1e-3)).all()


def test_free_bits_and_capacity_exclude_each_other():
    with pytest.raises(InputError, match=r"`free_bits` is 0\.1 and `capacity` 10: give one of them"):
        training.Recipe(free_bits=0.1, capacity=10.0)


@pytest.fixture(scope="module")
def low_information():
    """Four clusters in ten columns, of which beta 4 leaves little: data, truth, and training with a recipe."""
    rng = np.random.default_rng(0)
    truth = np.arange(240) % 4
    x = rng.normal(size=(4, 10))[truth] * 0.8 + rng.normal(size=(240, 10))
    data = Data(jnp.asarray((x - x.mean(axis=0)) / x.std(axis=0), jnp.float32), jnp.zeros((240, 0)))
    model = MODELS["vae"](input_shape=(10,), latent_dim=4, hidden=(32,))

    def measure(**recipe):
        """(KL of the mean track in nats, agreement with the truth), a mean over three seeds."""
        settings = training.Recipe(batch_size=80, schedule="constant", **recipe)
        states, _ = trained(model, settings, 100, data, [0, 1, 2], hypers([4.0] * 3, 3e-3))
        found = []
        for r in range(3):
            q = training.encode(model, population.select_replica(states, r), data)
            clusters = KMeans(4, n_init=4, random_state=0).fit_predict(np.asarray(q.mean))
            found.append((objectives.gaussian_kl(q).sum(axis=1).mean(), adjusted_rand_score(truth, clusters)))
        return np.mean(found, axis=0)

    return measure


@pytest.mark.slow
def test_free_bits_and_capacity_bring_back_what_beta_takes(low_information):
    kl, agreement = low_information()
    assert kl < 0.7
    for recipe in ({"free_bits": 0.5}, {"capacity": 4.0}):
        more, better = low_information(**recipe)
        assert more > kl + 0.5
        assert better > agreement + 0.05


def test_the_loss_in_the_history_stays_error_plus_beta_kl(model, data):
    for recipe in (training.Recipe(free_bits=0.2), training.Recipe(capacity=3.0)):
        _, history = trained(model, recipe, 5, data, [0], hypers([2.0], 1e-2))
        kl = history.kl_per_dim.sum(axis=-1)
        np.testing.assert_allclose(history.loss, history.reconstruction + 2 * kl, rtol=1e-5)
