"""R replicas as one program: sharded over the devices there are, side by side under vmap, in groups that fit memory.

    layout = devices.arrange(R, devices.count_devices(), footprint(model, recipe, shared), max_memory)
    program = compiled(model, recipe, chunk, layout, shared)
    groups = begin(layout, program, settings, shared)
    parts = advance(layout, program, groups, hypers(layout, settings), shared, first_epoch, epochs)    # groups go on

States and hypers have a leading replica axis; what is `Shared` has none. On a CPU each device (a core) trains one
replica after the other: vmap gains no time there, and its matrix products round differently from single ones. Adam's
first steps are nearly the sign of the gradient and turn such a difference of 1e-7 into 1e-3 within ten steps; one by
one, a replica's numbers are to the last bit those of the same run alone. An accelerator, which one small model leaves
idle, gets replicas side by side.

Data that are streamed have a program of their own, which trains a group on one chunk of an epoch after the other; see
`musiclust.streaming`. Where there are more devices than replicas, each batch may be split over all of them: the program
is that of one device, and XLA adds what the devices have to tell each other (gradients, BatchNorm's statistics).
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, PyTree

from musiclust import streaming, training
from musiclust.devices import Footprint, Layout, list_devices
from musiclust.models import Model
from musiclust.types import AnyArray, Data, History, Hyper, Posterior, TrainState

_AXIS, _BATCH = "replica", "batch"
_SHARDED, _SHARED, _SPREAD = PartitionSpec(_AXIS), PartitionSpec(), PartitionSpec(None, _BATCH)


class Shared(NamedTuple):
    """What all replicas look at.

    data: of N tracks. rows: (T, n) int32, each line the rows of `data` that a replica trains on. held_out: (h,) int32
    rows on which none does, None where there are no such.
    """

    data: Data
    rows: Int[AnyArray, "T n"]
    held_out: Int[AnyArray, " h"] | None = None


class Program(NamedTuple):
    """One group's compiled functions: init(seeds (G,), data) -> states, and train(states, hypers, shared, first_epoch,
    epochs) -> (states, History of a chunk). Arrays are where `place` puts them, and states are given away."""

    init: Any
    train: Any


class StreamProgram(NamedTuple):
    """The compiled functions of a group whose data are streamed: `init` as in `Program`; train_part, as
    `run_group_part`, on a chunk of an epoch; held_out, as `look_at_group`, None where no tracks are."""

    init: Any
    train_part: Any
    held_out: Any


def share_all(data: Data) -> Shared:
    """The data with a table of one line: every replica trains on all of them."""
    return Shared(data, np.arange(len(data.x), dtype=np.int32)[None])


def footprint(model: Model, recipe: training.Recipe, shared: Shared) -> Footprint:
    """The memory that a replica takes, computed from shapes.

    It is the state, what the way back needs of a step (twice: values and their gradients), the gradients and updates
    of the parameters, and the epoch's tracks in their order.
    """
    data, tracks = shared.data, shared.rows.shape[1]
    state, step = _measure_step(model, recipe, data, recipe.batches(tracks)[1])
    epoch = _bytes(data) // len(data.x) * tracks
    return Footprint(state, step + epoch, _bytes(shared))


def footprint_streamed(model: Model, recipe: training.Recipe, data: Data, chunks: streaming.Chunks) -> Footprint:
    """The memory that a replica takes whose data are streamed: that of `footprint`, and of all replicas two chunks, one
    that is trained on and one that is read."""
    state, step = _measure_step(model, recipe, one_row(data), chunks.size)
    row = data.x.row_bytes + 4 * data.cond.shape[1]
    return Footprint(state, step + chunks.size * row, 2 * chunks.batches * chunks.size * row)


def one_row(data: Data) -> Data:
    """Zeros in the shape of a row of streamed data."""
    return Data(jnp.zeros((1, *data.x.shape[1:])), jnp.zeros((1, data.cond.shape[1])))


def _measure_step(model: Model, recipe: training.Recipe, data: Data, size: int) -> tuple[int, int]:
    """Bytes of a replica's state, and of a step on a batch of so many rows."""
    state = jax.eval_shape(lambda: training.init_state(model, jax.random.key(0), data))
    batch = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((size, *leaf.shape[1:]), jnp.float32), data)

    def kept(state: TrainState, batch: Data) -> PyTree:
        descended = partial(training.objective, model, recipe, state, jnp.ones(()), 1.0, batch, jnp.ones(size))
        return jax.vjp(lambda params: descended(params)[0], state.params)[1]

    kept_bytes = _bytes(jax.eval_shape(kept, state, batch))
    return _bytes(state), 2 * kept_bytes + 2 * _bytes(state.params)


def _bytes(tree: PyTree) -> int:
    return sum(math.prod(leaf.shape) * getattr(leaf.dtype, "itemsize", 8) for leaf in jax.tree.leaves(tree))


def compiled(model: Model, recipe: training.Recipe, chunk: int, layout: Layout, shared: Shared) -> Program:
    """A group's two functions, lowered and compiled side by side; `shared` gives shapes only.

    The last programs are kept, so that training again on data of the same shape compiles nothing.
    """
    data, rows, held_out = shared
    shapes = data.x.shape, data.cond.shape, rows.shape, None if held_out is None else held_out.shape
    return _compiled(model, recipe, chunk, layout, *shapes)  # pyright: ignore[reportArgumentType]


@lru_cache(maxsize=8)
def _compiled(
    model: Model,
    recipe: training.Recipe,
    chunk: int,
    layout: Layout,
    x_shape: tuple[int, ...],
    cond_shape: tuple[int, ...],
    rows_shape: tuple[int, ...],
    held_out_shape: tuple[int, ...] | None,
) -> Program:
    places = layout.places
    data = Data(jax.ShapeDtypeStruct(x_shape, jnp.float32), jax.ShapeDtypeStruct(cond_shape, jnp.float32))
    rows = jax.ShapeDtypeStruct(rows_shape, jnp.int32)
    held_out = None if held_out_shape is None else jax.ShapeDtypeStruct(held_out_shape, jnp.int32)
    shared = Shared(data, rows, held_out)

    def shape(leaf: Any, shared: bool, *axes: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((*axes, *leaf.shape), leaf.dtype, sharding=_sharding(layout, shared))

    seeds = jax.ShapeDtypeStruct((places,), jnp.int32)
    initialise = init.lower(model, seeds, data)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(initialise.compile)
        states = jax.tree.map(lambda leaf: shape(leaf, False), initialise.out_info)
        scalar, number = jnp.zeros(()), jnp.zeros((), jnp.int32)
        traced = Hyper(*(shape(leaf, False, places) for leaf in (scalar, scalar, number)))
        given = jax.tree.map(lambda leaf: shape(leaf, True), (shared, number, number))
        run = run_group.lower(model, recipe, chunk, layout, states, traced, *given).compile()
        return Program(first.result(), run)


def compiled_stream(
    model: Model,
    recipe: training.Recipe,
    layout: Layout,
    data: Data,
    chunks: streaming.Chunks,
    held_out: streaming.Chunks | None = None,
) -> StreamProgram:
    """A group's functions for streamed data, compiled; `data` gives shapes only. The last programs are kept."""
    shapes = data.x.shape[1:], data.cond.shape[1]
    cut = (chunks.count, chunks.size, chunks.batches)
    held = None if held_out is None else (held_out.count, held_out.size, held_out.batches)
    return _compiled_stream(model, recipe, layout, *shapes, cut, held)  # pyright: ignore[reportArgumentType]


@lru_cache(maxsize=8)
def _compiled_stream(
    model: Model,
    recipe: training.Recipe,
    layout: Layout,
    row_shape: tuple[int, ...],
    conditions: int,
    cut: tuple[int, int, int],
    held_out: tuple[int, int, int] | None,
) -> StreamProgram:
    def shape(leaf: Any, shared: bool) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=_sharding(layout, shared))

    def part(size: int, batches: int) -> tuple[Data, jax.ShapeDtypeStruct]:
        x = jax.ShapeDtypeStruct((batches, size, *row_shape), jnp.float32, sharding=_sharding(layout, True))
        if layout.split > 1 and size % layout.split == 0:
            x = jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=_spread(layout))
        cond, weight = jnp.zeros((batches, size, conditions)), jnp.zeros((batches, size))
        return Data(x, shape(cond, True)), shape(weight, True)

    one = Data(*(jax.ShapeDtypeStruct((1, *rest), jnp.float32) for rest in (row_shape, (conditions,))))
    initialise = init.lower(model, jax.ShapeDtypeStruct((layout.places,), jnp.int32), one)
    states = jax.tree.map(lambda leaf: shape(leaf, False), initialise.out_info)
    scalar, number = jnp.zeros(layout.places), jnp.zeros(layout.places, jnp.int32)
    traced = jax.tree.map(lambda leaf: shape(leaf, False), Hyper(scalar, scalar, number))
    numbers = [shape(jnp.zeros((), jnp.int32), True)] * 4
    count, size, batches = cut
    orders = shape(jnp.zeros((layout.places, batches), jnp.int32), False)
    given = (states, traced, orders, *part(size, batches), *numbers)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(initialise.compile)
        train_part = run_group_part.lower(model, recipe, count, layout, *given).compile()
        look = None
        if held_out is not None:
            count, size, batches = held_out
            given = (states, traced, *part(size, batches), numbers[0])
            look = look_at_group.lower(model, recipe, count, layout, *given).compile()
        return StreamProgram(first.result(), train_part, look)


@partial(jax.jit, static_argnums=(0, 1, 2, 3), donate_argnums=(4,))
def run_group(
    model: Model,
    recipe: training.Recipe,
    chunk: int,
    layout: Layout,
    states: TrainState,
    hypers: Hyper,
    shared: Shared,
    first_epoch: Int[Array, ""] | int,
    epochs: Int[Array, ""] | int,
) -> tuple[TrainState, History]:
    """`training.run_epochs` of a group of replicas as one program."""

    def mine(states: TrainState, hypers: Hyper, shared: Shared, first_epoch: Any, epochs: Any) -> Any:
        def one(replica: tuple[TrainState, Hyper]) -> tuple[TrainState, History]:
            data, rows, held_out = shared
            given = (*replica, data, rows, first_epoch, epochs, held_out)
            return training.run_epochs(model, recipe, chunk, *given, spread=_spread(layout))

        return _on_each_replica(layout, one, (states, hypers))

    return _on_each_device(layout, mine, 2, states, hypers, shared, first_epoch, epochs)


@partial(jax.jit, static_argnums=(0, 1, 2, 3), donate_argnums=(4,))
def run_group_part(
    model: Model,
    recipe: training.Recipe,
    count: int,
    layout: Layout,
    states: TrainState,
    hypers: Hyper,
    orders: Int[Array, "G k"],
    batches: Data,
    weight: Float[Array, "k B"],
    there: Int[Array, ""] | int,
    first: Int[Array, ""] | int,
    epoch: Int[Array, ""] | int,
    epochs: Int[Array, ""] | int,
) -> tuple[TrainState, training.Sums]:
    """`training.run_part` of a group of replicas as one program; each has its own order of the batches."""

    def mine(states: TrainState, hypers: Hyper, orders: Any, batches: Data, weight: Any, *numbers: Any) -> Any:
        def one(replica: tuple[TrainState, Hyper, Any]) -> tuple[TrainState, training.Sums]:
            state, hyper, order = replica
            given = (state, hyper, batches, weight, order, *numbers)
            return training.run_part(model, recipe, count, *given, spread=_spread(layout))

        return _on_each_replica(layout, one, (states, hypers, orders))

    numbers = (there, first, epoch, epochs)
    return _on_each_device(layout, mine, 3, states, hypers, orders, batches, weight, *numbers)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def look_at_group(
    model: Model,
    recipe: training.Recipe,
    count: int,
    layout: Layout,
    states: TrainState,
    hypers: Hyper,
    batches: Data,
    weight: Float[Array, "k B"],
    first: Int[Array, ""] | int,
) -> Float[Array, " G"]:
    """`training.held_out_part` of a group of replicas as one program."""

    def mine(states: TrainState, hypers: Hyper, batches: Data, weight: Any, first: Any) -> Any:
        def one(replica: tuple[TrainState, Hyper]) -> Float[Array, ""]:
            state, hyper = replica
            return training.held_out_part(model, recipe, count, state, hyper.beta, batches, weight, first)

        return _on_each_replica(layout, one, (states, hypers))

    return _on_each_device(layout, mine, 2, states, hypers, batches, weight, first)


@partial(jax.jit, static_argnums=0)
def end_epoch(
    recipe: training.Recipe,
    states: TrainState,
    seen: Float[AnyArray, " G"],
    epoch: Int[Array, ""] | int,
    epochs: Int[Array, ""] | int,
) -> TrainState:
    """`training.count_stale` of a group of replicas; those that have stopped stay as they are."""

    def one(state: TrainState, seen: Float[Array, ""]) -> TrainState:
        after = training.count_stale(recipe, state, seen, epoch, epochs)
        due = state.stale < recipe.patience
        return state._replace(
            best=jnp.where(due, after.best, state.best), stale=jnp.where(due, after.stale, state.stale)
        )

    return jax.vmap(one)(states, seen)


def _on_each_replica(layout: Layout, one: Callable[[Any], Any], replicas: PyTree) -> PyTree:
    """Calls `one` on each replica of a device, as many side by side as the layout says."""
    return jax.lax.map(one, replicas, batch_size=layout.width if layout.width > 1 else None)


def _on_each_device(layout: Layout, mine: Any, sharded: int, *given: Any) -> Any:
    """Calls `mine` on each device with its part of the first `sharded` arguments, and with all of the others."""
    if layout.split > 1:
        return jax.lax.with_sharding_constraint(mine(*given), _sharding(layout, True))
    if layout.devices == 1:
        return mine(*given)
    specs = (_SHARDED,) * sharded + (_SHARED,) * (len(given) - sharded)
    return jax.shard_map(mine, mesh=_mesh(layout), in_specs=specs, out_specs=_SHARDED, check_vma=False)(*given)


@partial(jax.jit, static_argnums=0)
def init(model: Model, seeds: Int[Array, " R"], data: Data) -> TrainState:
    """The states of R replicas, each that of its own seed; only the shapes of `data` matter."""
    return jax.vmap(lambda seed: training.init_state(model, jax.random.key(seed), data))(seeds)


def place(layout: Layout, tree: PyTree, *, shared: bool = False) -> PyTree:
    """A group's arrays on its devices: sharded by replica, or, if shared, on every one."""
    sharding = _sharding(layout, shared)
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def put(leaf: Any) -> Array:
        return leaf if getattr(leaf, "sharding", None) == sharding else _put_everywhere(sharding, leaf)

    return jax.tree.map(put, tree)


def place_batches(layout: Layout, data: Data, rows: Int[np.ndarray, "k B"]) -> Data:
    """Batches of streamed data on the devices of a group: x (k, B, *D) and cond (k, B, C).

    Where batches are split, each device gets its part of every batch, and a host reads no more than its devices get.
    """

    def gather(array: Any, some: np.ndarray) -> np.ndarray:
        return np.asarray(array[some.reshape(-1)]).reshape(*some.shape, *array.shape[1:])

    cond = place(layout, gather(data.cond, rows), shared=True)
    if layout.split == 1 or rows.shape[1] % layout.split:
        return Data(place(layout, gather(data.x, rows), shared=True), cond)
    shape, spread = (*rows.shape, *data.x.shape[1:]), _spread(layout)
    assert spread is not None

    def part(index: Any) -> np.ndarray:
        return gather(data.x, rows[index[:2]])

    return Data(jax.make_array_from_callback(shape, spread, part), cond)


def _put_everywhere(sharding: NamedSharding, leaf: Any) -> Array:
    """The same array on all devices of all hosts, each of which has it."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_put_everywhere(sharding, jax.random.key_data(leaf)))
    values = np.asarray(leaf)
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])


def hypers(layout: Layout, settings: Sequence[training.Setting]) -> list[Hyper]:
    """The hypers of each group, on its devices."""
    return [place(layout, part) for part in split(layout, gather_hypers(settings))]


def gather_hypers(settings: Sequence[training.Setting]) -> Hyper:
    """The hypers of R settings, (R,) each, in the host's memory."""
    _, betas, rates, lines = zip(*settings, strict=True)
    return Hyper(np.array(betas, np.float32), np.array(rates, np.float32), np.array(lines, np.int32))


def begin(layout: Layout, program: Program, settings: Sequence[training.Setting], shared: Shared) -> list[TrainState]:
    """The states of each group before the first epoch."""
    seeds = np.array([setting.seed for setting in settings], np.int32)
    return [waiting(layout, program.init(part, shared.data)) for part in split(layout, seeds)]


def advance(
    layout: Layout,
    program: Program,
    groups: list[TrainState],
    given: Sequence[Hyper],
    shared: Shared,
    first_epoch: int,
    epochs: int,
) -> list[History]:
    """Trains one group after the other for a chunk of epochs, and puts its new states in place of the old ones.

    Args:
      groups, given: as `begin` and `hypers` make them. shared: on every device. epochs: of the whole run.
    """
    numbers = place(layout, (jnp.int32(first_epoch), jnp.int32(epochs)), shared=True)
    parts = []
    for index, hyper in enumerate(given):
        states, part = program.train(place(layout, groups[index]), hyper, shared, *numbers)
        groups[index] = waiting(layout, states)
        parts.append(part)
    return parts


def waiting(layout: Layout, states: TrainState) -> TrainState:
    """A group's states until its next chunk: one group stays where it is; of several, those that wait make room."""
    return states if layout.groups == 1 else from_host(to_host(states))


def split(layout: Layout, tree: PyTree) -> list[PyTree]:
    """Arrays of R replicas -> those of each group; places beyond R repeat the last replica."""

    last = len(jax.tree.leaves(tree)[0]) - 1
    rows = np.minimum(np.arange(layout.groups * layout.places), last)
    return [select_replicas(tree, part) for part in np.split(rows, layout.groups)]


def select_replicas(tree: PyTree, rows: Int[np.ndarray, " n"]) -> PyTree:
    """Arrays of R replicas -> those of some of them."""
    return jax.tree.map(lambda leaf: leaf[rows], tree)


def join(groups: Sequence[PyTree], replicas: int) -> PyTree:
    """The inverse of `split`, in the host's memory."""

    def whole(*leaves: Any) -> np.ndarray:
        return np.concatenate([np.asarray(_at_hand(leaf)) for leaf in leaves])[:replicas]

    return jax.tree.map(whole, *groups)


def to_host(states: TrainState) -> TrainState:
    """The same in the host's memory, with keys as their words; `from_host` is the inverse."""
    states = jax.tree.map(_at_hand, states)
    return jax.device_get(states._replace(key=jax.random.key_data(states.key)))


def _at_hand(leaf: Any) -> Any:
    """What one of this host's devices has of an array that is the same on all devices of all hosts."""
    return leaf if getattr(leaf, "is_fully_addressable", True) else leaf.addressable_data(0)


def from_host(states: TrainState) -> TrainState:
    """The inverse of `to_host`."""
    return states._replace(key=jax.random.wrap_key_data(jnp.asarray(states.key)))


def select_replica(states: TrainState, index: int) -> TrainState:
    """The state of one replica of a population."""
    return jax.tree.map(lambda leaf: leaf[index], states)


def encode_replica(model: Model, states: TrainState, index: int, data: Data) -> Posterior:
    """The posterior of all tracks by one replica of a population, in the host's memory."""
    state = select_replica(states, index)
    if streaming.is_streamed(data):
        return streaming.map_rows(partial(training.encode, model, state), data)
    q = training.encode(model, state, jax.tree.map(jnp.asarray, data))
    return jax.tree.map(np.asarray, q)


def _mesh(layout: Layout) -> Mesh:
    if layout.split > 1:
        return Mesh(np.array(list_devices()[: layout.split]), (_BATCH,))
    return Mesh(np.array(jax.local_devices()[: layout.devices]), (_AXIS,))


def _sharding(layout: Layout, shared: bool) -> NamedSharding:
    return NamedSharding(_mesh(layout), _SHARED if shared or layout.split > 1 else _SHARDED)


def _spread(layout: Layout) -> NamedSharding | None:
    """How batches (k, B, *D) lie on the devices that they are split over; None where they are not."""
    return NamedSharding(_mesh(layout), _SPREAD) if layout.split > 1 else None
