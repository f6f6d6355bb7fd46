"""Features that are read as they are needed: the order of tracks, and training that is that of features in memory."""

import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import musiclust as mc
from musiclust import blocks as blocks_room
from musiclust import bounds, checkpoint, devices, fusion, population, store, streaming, sweep, training
from musiclust.errors import InputError
from musiclust.fit import fit
from musiclust.models import MODELS
from musiclust.rows import Rows
from musiclust.streaming import Streamed, plan_chunks
from musiclust.types import Block, Data, Hyper

N, D = 150, 12
MODEL = MODELS["vae"](input_shape=(D,), latent_dim=2, hidden=(8,))
IMAGES = MODELS["conv_vae"](input_shape=(3, 4), latent_dim=2, channels=(3, 4, 4, 5), dense=6)  # with dropout
RECIPE = training.Recipe(batch_size=16)  # ten batches of 15
SETTINGS = sweep.product((0, 1), (1.0,), (1e-3,))


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(N, 1)) + rng.normal(size=(N, D))).astype(np.float32)


def stream(x: np.ndarray, *, batches: int = 3, size: int = 15) -> Data:
    """The same rows, as if they were on the disk, in chunks of so many batches."""

    def read(rows: np.ndarray) -> np.ndarray:
        assert (np.diff(rows) > 0).all()
        return x[rows]

    return Data(Streamed(x.shape, read, chunk_bytes=batches * size * x[0].nbytes))


def close(one, other, rtol=1e-5, atol=1e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), one, other)


def test_rows_are_given_in_the_order_asked_for_and_read_in_that_of_the_disk(monkeypatch):
    monkeypatch.setattr(streaming, "_PIECE_BYTES", 40)
    asked = []

    def read(rows):
        asked.append(rows.tolist())
        return np.stack([rows, -rows], axis=1).astype(np.float32)

    x = Streamed((30, 2), read)
    rows = np.array([9, 3, 3, 28, 0, 7, 11])
    np.testing.assert_array_equal(x[rows][:, 0], rows)
    assert asked == [[0, 3, 7], [9, 11, 28]]  # each once, though 3 is asked for twice
    np.testing.assert_array_equal(x.select(np.array([4, 28]))[np.array([1, 0])][:, 0], [28, 4])
    assert (x.ndim, x.row_bytes, x.nbytes, len(x)) == (2, 8, 240, 30)


def test_an_epoch_has_every_track_once_and_shuffles_within_and_between_chunks(x):
    data = stream(x, batches=4)
    chunks = plan_chunks(data.x, 146, RECIPE.batches(146))
    assert (chunks.count, chunks.size, chunks.batches, chunks.number) == (10, 15, 4, 3)
    line = np.delete(np.arange(N), [5, 6, 7, 149])
    first, second = (chunks.draw_rows(line, epoch) for epoch in (0, 1))
    for drawn in (first, second):
        np.testing.assert_array_equal(np.sort(drawn.ravel()[:146]), line)
        np.testing.assert_array_equal(drawn.ravel()[146:], drawn.ravel()[:4])
    np.testing.assert_array_equal(first, chunks.draw_rows(line, 0))
    # Another epoch has other tracks in its first chunk, and they come in no order.
    assert set(first[:4].ravel()) != set(second[:4].ravel())
    assert (np.diff(first[:4].ravel()) < 0).any()
    weights = np.concatenate([chunks.weigh(chunk) for chunk in range(3)])
    assert weights.sum() == 146
    assert weights[9].tolist() == [1.0] * 11 + [0.0] * 4
    orders = {tuple(chunks.order_batches(seed, 0, 0)) for seed in range(20)}
    assert len(orders) > 5
    # The last chunk has two batches, of which the one that is filled up comes last.
    assert {tuple(chunks.order_batches(seed, 0, 2)) for seed in range(20)} == {(0, 1, 2, 3)}


def test_neighbours_on_the_disk_are_read_together():
    x = Streamed((1000, 64), lambda rows: np.zeros((len(rows), 64), np.float32), chunk_bytes=2**18)
    chunks = plan_chunks(x, 1000, (10, 100))
    assert (chunks.batches, chunks.run) == (10, 4)
    half = plan_chunks(Streamed((1000, 64), x.__getitem__, chunk_bytes=2**17), 1000, (10, 100))
    chunk = np.sort(half.draw_rows(np.arange(1000), 0)[:5].ravel())
    starts = chunk[np.flatnonzero(np.diff(chunk, prepend=-9) > 1)]
    assert (starts % 2 == 0).all()
    assert len(starts) <= 250


def test_the_next_item_is_read_while_this_one_is_used():
    begun = [threading.Event() for _ in range(3)]

    def read(number):
        begun[number].set()
        return number

    found = streaming.read_ahead(read, range(3))
    assert next(found) == 0
    assert begun[1].wait(10)
    time.sleep(0.05)
    assert not begun[2].is_set()  # no more than one is waiting
    assert list(found) == [1, 2]
    with pytest.raises(ZeroDivisionError):
        list(streaming.read_ahead(lambda number: 1 // number, [1, 0]))


def train_in_memory(model, x: np.ndarray, chunks: streaming.Chunks, seed: int, epochs: int, out: np.ndarray):
    """One replica by `training.run_epochs`, on arrays, with the order of the tracks that streaming has."""
    line = np.setdiff1d(np.arange(N), out)
    orders = []
    for epoch in range(epochs):
        drawn = chunks.draw_rows(line, epoch)
        places = [
            chunk * chunks.batches + chunks.order_batches(seed, epoch, chunk)[: chunks.there(chunk)]
            for chunk in range(chunks.number)
        ]
        orders.append(drawn[np.concatenate(places)].ravel())
    data = jax.tree.map(jnp.asarray, Data(x))
    state = training.init_state(model, jax.random.key(seed), data)
    run = jax.jit(training.run_epochs, static_argnums=(0, 1, 2))
    hyper, rows = Hyper(jnp.array(1.0), jnp.array(1e-3), jnp.array(0)), jnp.asarray(line)[None]
    given = (model, RECIPE, epochs, state, hyper, data, rows, 0, epochs, jnp.asarray(out))
    return run(*given, orders=jnp.asarray(orders))


@pytest.mark.parametrize("model", [MODEL, pytest.param(IMAGES, marks=pytest.mark.slow)])
def test_streamed_training_is_that_in_memory_of_the_same_order(x, model):
    """Losses and parameters, with a last batch that is filled up and tracks held out."""
    out = np.array([3, 50, 51, 52, 120])
    x = x.reshape(N, *model.input_shape)
    data = stream(x)
    trained = mc.train(model, data, seeds=(0, 1), held_out=out, epochs=3, recipe=RECIPE)
    chunks = plan_chunks(data.x, 145, RECIPE.batches(145))
    assert chunks.number == 4
    for replica in range(2):
        state, history = train_in_memory(model, x, chunks, replica, 3, out)
        close(jax.tree.map(lambda leaf, r=replica: leaf[r], trained.history), history)
        close(trained.replica(replica).params, state.params)
        close(trained.replica(replica).batch_stats, state.batch_stats)
    assert np.isfinite(trained.history.held_out).all()
    assert (trained.history.loss[0] != trained.history.loss[1]).all()
    # The order of the tracks is another one than in memory by default, and the losses are as good.
    ordinary = mc.train(model, Data(x), seeds=(0, 1), held_out=out, epochs=3, recipe=RECIPE)
    assert (ordinary.history.loss != trained.history.loss).all()
    np.testing.assert_allclose(ordinary.history.loss[:, -1], trained.history.loss[:, -1], rtol=0.1)


def test_a_replica_in_company_is_the_replica_alone(x):
    """To the last bit, also in groups that wait in the host's memory, and on lines of a table."""
    table = np.stack([np.arange(0, 100), np.arange(50, 150)])
    settings = sweep.product((0, 1, 2), (1.0,), (1e-3,), (0, 1))
    together = sweep.train_settings(MODEL, stream(x), settings=settings, rows=table, epochs=2, recipe=RECIPE)
    for index in (0, 4):
        alone = sweep.train_settings(
            MODEL, stream(x), settings=settings[index : index + 1], rows=table, epochs=2, recipe=RECIPE
        )
        np.testing.assert_array_equal(together.history.loss[index], alone.history.loss[0])
        jax.tree.map(
            lambda a, b, i=index: np.testing.assert_array_equal(a[i], b[0]), together.states.params, alone.states.params
        )


def test_early_stopping_freezes_and_ends_as_in_memory(x):
    recipe = training.Recipe(batch_size=16, patience=2)
    settings = [sweep.Setting(0, 1.0, 1e-30), sweep.Setting(0, 1.0, 1e-3)]
    trained = sweep.train_settings(MODEL, stream(x), settings=settings, epochs=20, recipe=recipe)
    alone = sweep.train_settings(MODEL, stream(x), settings=settings[:1], epochs=200, recipe=recipe)
    steps = np.asarray(trained.states.step) // 10
    assert 3 <= steps[0] < 20
    np.testing.assert_array_equal(trained.history.loss[0, steps[0] :], trained.history.loss[0, steps[0] - 1])
    assert alone.history.loss.shape == (1, 200)
    np.testing.assert_array_equal(alone.history.loss[0, :20], trained.history.loss[0])


class Killed(Exception):
    pass


def test_a_run_killed_in_an_epoch_goes_on_there_to_the_same_numbers(x, tmp_path):
    model_fusion = fusion.Fusion("concat", ("melspec",), ({"mean": np.zeros(8, np.float32)},))

    def run(root, **options):
        prepared = sweep.prepare(MODEL, RECIPE, stream(x), settings=SETTINGS, epochs=3)
        return fit(prepared, fusion=model_fusion, root=root, meta={}, checkpoint_seconds=0.0, **options).checkpoint

    told = []
    whole = run(tmp_path / "whole" / "model", on_part=lambda done, parts: told.append((done, parts)))
    assert told == [(1, 4), (2, 4), (3, 4)] * 3
    assert [path.name for path in (tmp_path / "whole").iterdir()] == ["model"]

    def stop(kind):
        count = iter(range(100))

        def on_part(done, parts):
            if next(count) == 4:  # after the second part of the second epoch
                raise kind

        return on_part

    for kind, parts in ((Killed, 5), (KeyboardInterrupt, 6)):
        root = tmp_path / kind.__name__ / "model"
        with pytest.raises(kind):
            run(root, on_part=stop(kind))
        assert checkpoint.latest_epoch(root) == 1
        assert checkpoint.latest_epoch(root.with_name("model_in_epoch")) == parts
        told.clear()
        resumed = run(root, resume=True, on_part=lambda done, parts: told.append(done))
        assert told == [*range(parts - 3, 4), 1, 2, 3]
        jax.tree.map(np.testing.assert_array_equal, resumed.history, whole.history)
        jax.tree.map(np.testing.assert_array_equal, resumed.states.params, whole.states.params)
        assert not root.with_name("model_in_epoch").exists()


def test_what_is_made_of_streamed_tracks_is_what_is_made_of_those_in_memory(x, monkeypatch):
    """Latents, and bounds with their draws, in pieces of which the last one is filled up."""
    monkeypatch.setattr(streaming, "_PIECE_BYTES", 40 * x[0].nbytes)
    states = population.init(MODEL, jnp.arange(2), jax.tree.map(jnp.asarray, Data(x)))
    state = population.select_replica(states, 1)
    memory, disk = jax.tree.map(jnp.asarray, Data(x)), stream(x)
    close(population.encode_replica(MODEL, states, 1, disk), population.encode_replica(MODEL, states, 1, memory))
    close(training.negative_elbo(MODEL, state, disk), training.negative_elbo(MODEL, state, memory))
    for measure in (bounds.comparable_bound, bounds.held_out_scores):
        close(measure(MODEL, state, disk), measure(MODEL, state, memory))
    some = np.array([7, 90, 3])
    close(
        population.encode_replica(MODEL, states, 1, streaming.take_rows(disk, some)),
        population.encode_replica(MODEL, states, 1, streaming.take_rows(memory, some)),
    )


def test_a_fusion_is_fitted_in_pieces(tmp_path, monkeypatch):
    """Of an image, and of vectors some of which lack a block, on some of the rows: means and factors of float32."""
    monkeypatch.setattr(streaming, "_PIECE_BYTES", 2000)
    monkeypatch.setattr(blocks_room, "_AT_ONCE", 0)
    rng = np.random.default_rng(0)
    ids = np.array([f"t{i:03d}" for i in range(97)])
    image = Block("melspec", ids, (rng.normal(size=(97, 6, 31)) * 3 - 40).astype(np.float16), np.ones(97, bool))
    sung = np.arange(97) % 3 == 0
    both = [
        Block("mfcc_mean", ids, rng.normal(1e3, 5, (97, 4)), np.ones(97, bool)),
        Block("lyrics", ids, rng.normal(size=(97, 7)) * sung[:, None], sung),
    ]
    rows = np.flatnonzero(np.arange(97) % 5 > 0)
    for blocks in ([image], both):
        for block in blocks:
            store.save_block(tmp_path, block)
        on_disk = [store.load_block(tmp_path, block.name) for block in blocks]
        assert all(isinstance(block.values, Rows) for block in on_disk)
        for scaling in ("balanced", "unit", "plain", "none"):
            found = fusion.fit_in_pieces(on_disk, rows, scaling=scaling)
            expected = fusion.fuse([streaming.take_block(b, rows) for b in blocks], scaling=scaling).fusion
            close(found.arrays, expected.arrays, rtol=1e-5)
            assert (found.how, found.blocks) == (expected.how, expected.blocks)
    for choice, message in (
        ({"how": "pca"}, "`fusion` = pca looks at all tracks"),
        ({"scaling": "power"}, "`scaling`"),
    ):
        with pytest.raises(InputError, match=message):
            fusion.fit_in_pieces(both, **choice)  # pyright: ignore[reportArgumentType]


def test_what_fits_is_kept_in_memory_and_what_does_not_is_streamed(monkeypatch):
    assert devices.fits(10**6)
    assert devices.fits(10**6, 8 * 10**6)
    assert not devices.fits(10**6 + 1, 8 * 10**6)
    assert not devices.fits(10**13)
    monkeypatch.setattr(devices, "memory", lambda devices: 10**6)
    assert not devices.fits(10**6)


@pytest.mark.slow
def test_a_batch_is_split_over_eight_devices(x):
    """In memory in batches of 15, and streamed in batches of 16: the losses of one device, but for rounding."""
    assert jax.local_device_count() == 8
    flat = x[:, :6]
    model = mc.VAE(input_shape=(6,), latent_dim=2, hidden=(8,))
    streamed = Data(Streamed((144, 6), lambda rows: flat[rows], chunk_bytes=5 * 16 * 24))
    for data in (Data(flat), streamed):
        one, eight = (mc.train(model, data, epochs=1, recipe=RECIPE, split_batches=split) for split in (False, True))
        np.testing.assert_allclose(eight.history.loss, one.history.loss, rtol=1e-5)
        np.testing.assert_allclose(eight.history.kl_per_dim, one.history.kl_per_dim, rtol=1e-3, atol=1e-5)
    prepared = sweep.prepare(model, RECIPE, Data(flat), settings=SETTINGS[:1], epochs=1, split_batches=True)
    assert prepared.layout == devices.Layout(1, 1, 1, 1, split=8)


def test_batches_are_split_where_accelerators_are_more_than_replicas(monkeypatch):
    assert not devices.splits_batches(1)  # on a CPU a replica alone is the replica in a sweep
    assert devices.splits_batches(1, True)
    monkeypatch.setattr(devices, "side_by_side", lambda: True)
    assert [devices.splits_batches(replicas) for replicas in (1, 7, 8, 9)] == [True, True, False, False]
    assert not devices.splits_batches(1, False)
