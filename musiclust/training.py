"""Training one replica, as pure functions; `musiclust.population` runs many of them as one program.

    state = init_state(model, key, data)
    state, history = run_epochs(model, recipe, chunk, state, hyper, data, rows, first_epoch, epochs)

`model`, `recipe` and `chunk` are static, everything else is traced: another seed, beta, learning rate, choice of as
many tracks or number of epochs is the same program.

Every random draw is a function of (state.key, what it is for, epoch or step), never of what was drawn before: a run
resumed from a checkpoint is the unbroken run, and a replica in a population is the replica alone.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from musiclust import neighbours, objectives, schedules, streaming
from musiclust.errors import InputError
from musiclust.models import Model
from musiclust.types import AnyArray, Data, History, Hyper, Posterior, TrainState

_INIT, _SHUFFLE, _SAMPLE, _DROPOUT, EVALUATE = range(5)
ENCODE_BATCH = 256
_IMPROVEMENT = 1e-3  # of the best loss so far, below which an epoch does not count as better

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Recipe:
    """The part of training that is fixed for a whole population.

    Attributes:
      batch_size: tracks in a step, at most. N tracks make ceil(N / batch_size) batches of equal size; where that does
        not come out even, the last one is filled up with tracks that count for BatchNorm only, not for the loss.
      schedule: name of the schedule of the learning rate, in schedules.SCHEDULES.
      beta_schedule: name of the schedule of beta, in schedules.BETA_SCHEDULES.
      neighbours: weight of the stochastic-neighbour term, in multiples of the number of features D; 1 is the weight
        of scvis (Ding et al., Nature Communications 2018) and VAE-SNE, 0 trains without it.
      patience: a replica stops after so many epochs in a row in which what is looked at was not lower than the best
        one by a thousandth of it. Looked at is the held-out loss where tracks are held out, else all that is descended.
        Epochs in which beta or the capacity moves do not count. 0: it never stops.
      precision: name in PRECISIONS of the type that the factors of the layers' products have in training. Parameters,
        norms, losses and evaluation are float32 always, and so are sums of products, but for an accelerator's
        convolutions.
      free_bits: nats of each latent dimension's KL that cost nothing; see `objectives.free_bits`. 0: all cost.
      capacity: nats to which the KL of all dimensions is drawn, rising from 0 over the first half of the run: beta
        times `objectives.distance_to_capacity` takes the place of beta times KL. 0: it is drawn to 0, as usual.

    Raises:
      InputError: if both free_bits and capacity are given, or one is negative or not finite.
    """

    batch_size: int = 256
    schedule: str = "step"
    beta_schedule: str = "constant"
    neighbours: float = 0.0
    patience: int = 0
    precision: str = "float32"
    free_bits: float = 0.0
    capacity: float = 0.0

    def __post_init__(self) -> None:
        given = (self.free_bits, self.capacity)
        if not all(0 <= one < math.inf for one in given) or all(given):
            raise InputError(
                f"`free_bits` is {self.free_bits:g} and `capacity` {self.capacity:g}: give one of them, above 0"
            )

    def batches(self, tracks: int) -> tuple[int, int]:
        """(batches an epoch, tracks a batch)."""
        count = math.ceil(tracks / self.batch_size)
        return count, math.ceil(tracks / count)


class Sums(NamedTuple):
    """What a step computes, summed over the tracks that count.

    loss, reconstruction, kl_per_dim (L,), neighbours: as in `History`. descended: what the step goes down, which is the
    loss with the recipe's free bits or capacity, and the neighbour term.
    """

    loss: Float[AnyArray, "*R"]
    reconstruction: Float[AnyArray, "*R"]
    kl_per_dim: Float[AnyArray, "*R L"]
    neighbours: Float[AnyArray, "*R"]
    descended: Float[AnyArray, "*R"]


class Setting(NamedTuple):
    """What tells one replica of a population from another.

    rows: line of the table of rows, which says on which rows of the data the replica trains.
    """

    seed: int
    beta: float
    learning_rate: float
    rows: int = 0

    def __str__(self) -> str:
        rows = f", rows {self.rows}" if self.rows else ""
        return f"seed {self.seed}, beta {self.beta:g}, learning rate {self.learning_rate:g}{rows}"


_ADAM = optax.scale_by_adam()


def init_state(model: Model, key: Key[Array, ""], data: Data) -> TrainState:
    """Parameters, running statistics and optimiser of one replica before its first step.

    Args:
      key: the key of this replica, usually `jax.random.key(seed)`.
      data: only its shapes matter.
    """
    one = Data(data.x[:1], data.cond[:1])
    variables = nn.init(_forward, model)({"params": jax.random.fold_in(key, _INIT)}, one, None, False)
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=_ADAM.init(params),
        key=key,
        best=jnp.full((), jnp.inf, jnp.float32),
        stale=jnp.zeros((), jnp.int32),
    )


def _forward(
    model: Model, batch: Data, key: Key[Array, ""] | None, train: bool
) -> tuple[Posterior, Float[Array, "B L"], Float[Array, "B *D"]]:
    q = model.encode(batch.x, batch.cond, train)
    z = objectives.sample(q, key) if model.variational and key is not None else q.mean
    return q, z, model.decode(z, batch.cond, train)


def objective(
    model: Model,
    recipe: Recipe,
    state: TrainState,
    beta: Float[Array, ""],
    progress: Float[Array, ""] | float,
    batch: Data,
    weight: Float[Array, " B"],
    params: PyTree,
) -> tuple[Float[Array, ""], tuple[Sums, PyTree]]:
    """What a step descends, as a function of `params`, with (sums, batch statistics); see `train_step`."""
    sample_key, dropout_key = (
        jax.random.fold_in(jax.random.fold_in(state.key, use), state.step) for use in (_SAMPLE, _DROPOUT)
    )
    variables = {"params": params, "batch_stats": state.batch_stats}
    (q, z, reconstruction), updated = nn.apply(_forward, model, mutable=["batch_stats"])(
        variables, batch, sample_key, True, rngs={"dropout": dropout_key}
    )
    loss, (error, kl) = objectives.elbo(reconstruction, batch.x, q, beta)
    counting = weight.sum()
    total = descended = weight @ loss
    mean = total / counting
    if recipe.free_bits or recipe.capacity:
        kl_mean = weight @ kl / counting
        if recipe.free_bits:
            penalty = objectives.free_bits(kl_mean, recipe.free_bits)
        else:
            capacity = recipe.capacity * schedules.rising_capacity(jnp.asarray(progress))
            penalty = objectives.distance_to_capacity(kl_mean, capacity)
        mean = weight @ error / counting + beta * penalty
        descended = counting * mean
    term = jnp.zeros(())
    if recipe.neighbours:
        flat = batch.x.reshape(len(batch.x), -1)
        affinities = neighbours.neighbour_affinities(flat, weight)
        scale = recipe.neighbours * flat.shape[1]
        mean = mean + scale * neighbours.neighbour_divergence(affinities, z, weight)
        # What is told of it is computed apart, or the numbers of training would be rounded otherwise.
        apart = jax.lax.optimization_barrier(jax.lax.stop_gradient((affinities, z, weight)))
        term = scale * neighbours.neighbour_divergence(*apart)
        descended = descended + counting * term
    sums = Sums(total, weight @ error, weight @ kl, counting * term, descended)
    return mean, (sums, updated.get("batch_stats", {}))


def train_step(
    model: Model,
    recipe: Recipe,
    state: TrainState,
    hyper: Hyper,
    batch: Data,
    weight: Float[Array, " B"],
    epoch: Float[Array, ""] | float,
    progress: Float[Array, ""] | float,
) -> tuple[TrainState, Sums]:
    """One step of Adam on the weighted mean of the negative ELBO, and of the neighbour term if the recipe has one.

    That term is recipe.neighbours * D * `neighbours.neighbour_divergence` of the z that are decoded (drawn from q, as
    in scvis) from the batch's own affinities, x flattened to D features. It moves the parameters and is not part of
    the loss that is returned, which stays squared error + beta * KL.

    Args:
      weight: 1 for a track that counts, 0 for one that fills the batch up.
      epoch: epochs done before this step, with a fraction; progress: what share of the run they are.

    Returns:
      The next state, and what the step computed, summed over the tracks that count.
    """
    beta = hyper.beta * schedules.BETA_SCHEDULES[recipe.beta_schedule](progress)
    with jax.default_matmul_precision(recipe.precision):
        descended = partial(objective, model, recipe, state, beta, progress, batch, weight)
        gradients, (sums, batch_stats) = jax.grad(descended, has_aux=True)(state.params)
    updates, opt_state = _ADAM.update(gradients, state.opt_state)
    rate = hyper.learning_rate * schedules.SCHEDULES[recipe.schedule](epoch, progress)
    params = jax.tree.map(lambda p, u: p - rate * u, state.params, updates)
    following = state._replace(step=state.step + 1, params=params, batch_stats=batch_stats, opt_state=opt_state)
    return following, sums


def run_epochs(
    model: Model,
    recipe: Recipe,
    chunk: int,
    state: TrainState,
    hyper: Hyper,
    data: Data,
    rows: Int[Array, "T n"],
    first_epoch: Int[Array, ""] | int,
    epochs: Int[Array, ""] | int,
    held_out: Int[Array, " h"] | None = None,
    *,
    orders: Int[Array, "E m"] | None = None,
    spread: NamedSharding | None = None,
) -> tuple[TrainState, History]:
    """Trains one replica from `first_epoch` on for `chunk` epochs, each over its tracks in an order of its own.

    Its tracks are the rows of `data` that stand in line `hyper.rows` of the table `rows`. A track that stands there
    twice counts twice. The rows `held_out` are looked at after each epoch.

    Epochs past `epochs`, the length of the whole run, and those of a replica that has stopped (`Recipe.patience`) leave
    the state as it is; their History rows are zero.

    Args:
      orders: rows of the data in the order in which they come in each epoch, those that fill the last batch up at its
        end; None draws them. Streamed training is checked by it.
      spread: lays the batches out over several devices, by their second axis; None leaves them on one.
    """
    n = rows.shape[1]
    count, size = recipe.batches(n)
    weight = jnp.concatenate([jnp.ones(n), jnp.zeros(count * size - n)]).reshape(count, size)
    mine = rows[hyper.rows]

    def one_epoch(state: TrainState, epoch: Int[Array, ""]) -> tuple[TrainState, History]:
        if orders is None:
            order = jax.random.permutation(jax.random.fold_in(jax.random.fold_in(state.key, _SHUFFLE), epoch), n)
            drawn = mine[jnp.concatenate([order, order[: count * size - n]])]
        else:
            drawn = orders[epoch]
        # Gathered once: a gather a step costs as much as a layer.
        batches = jax.tree.map(lambda leaf: leaf[drawn].reshape(count, size, *leaf.shape[1:]), data)
        if spread is not None:
            batches = Data(jax.lax.with_sharding_constraint(batches.x, spread), batches.cond)
        elapsed = epoch + jnp.arange(count) / count

        def one_step(state, given):
            return train_step(model, recipe, state, hyper, *given)

        state, sums = jax.lax.scan(one_step, state, (batches, weight, elapsed, elapsed / epochs))
        means = jax.tree.map(lambda part: part.sum(axis=0) / n, sums)
        held = jnp.full((), jnp.nan)
        if held_out is not None:
            held = held_out_loss(model, recipe, state, hyper.beta, data, held_out)
        if recipe.patience:
            state = count_stale(recipe, state, means.descended if held_out is None else held, epoch, epochs)
        return state, History(means.loss, means.reconstruction, means.kl_per_dim, means.neighbours, held)

    def no_epoch(state: TrainState, epoch: Int[Array, ""]) -> tuple[TrainState, History]:
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(one_epoch, state, epoch)[1])
        return state, zeros

    def body(state: TrainState, epoch: Int[Array, ""]) -> tuple[TrainState, History]:
        due = epoch < epochs
        if recipe.patience:
            due &= state.stale < recipe.patience
        return jax.lax.cond(due, one_epoch, no_epoch, state, epoch)

    return jax.lax.scan(body, state, first_epoch + jnp.arange(chunk))


def run_part(
    model: Model,
    recipe: Recipe,
    count: int,
    state: TrainState,
    hyper: Hyper,
    batches: Data,
    weight: Float[Array, "k B"],
    order: Int[Array, " k"],
    there: Int[Array, ""] | int,
    first: Int[Array, ""] | int,
    epoch: Int[Array, ""] | int,
    epochs: Int[Array, ""] | int,
    *,
    spread: NamedSharding | None = None,
) -> tuple[TrainState, Sums]:
    """Trains one replica on a part of an epoch, batches that are at hand: `run_epochs` for data that are streamed.

    Args:
      count: batches in an epoch.
      batches: x (k, B, *D) and cond (k, B, C).
      weight: 1 for a track that counts, 0 for one that fills a batch up.
      order: in which the batches are taken; only the first `there` of it are.
      first: batches of the epoch before this part.
      epochs: length of the whole run.
      spread: as in `run_epochs`.

    Returns:
      The state, and the sums over the part's tracks. A replica that has stopped stays as it is, and its sums are zero.
    """
    if spread is not None:
        batches = Data(jax.lax.with_sharding_constraint(batches.x, spread), batches.cond)

    def one_step(state: TrainState, place: Int[Array, ""]) -> tuple[TrainState, Sums]:
        number = order[place]
        batch = jax.tree.map(lambda leaf: leaf[number], batches)
        elapsed = epoch + (first + place) / count
        return train_step(model, recipe, state, hyper, batch, weight[number], elapsed, elapsed / epochs)

    def no_step(state: TrainState, place: Int[Array, ""]) -> tuple[TrainState, Sums]:
        return state, jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(one_step, state, place)[1])

    def body(state: TrainState, place: Int[Array, ""]) -> tuple[TrainState, Sums]:
        due = place < there
        if recipe.patience:
            due &= state.stale < recipe.patience
        return jax.lax.cond(due, one_step, no_step, state, place)

    state, sums = jax.lax.scan(body, state, jnp.arange(len(order)))
    return state, jax.tree.map(lambda part: part.sum(axis=0), sums)


def count_stale(
    recipe: Recipe,
    state: TrainState,
    seen: Float[Array, ""],
    epoch: Int[Array, ""] | int,
    epochs: Int[Array, ""] | int,
) -> TrainState:
    """The state after it was looked whether an epoch was better than those before; see `Recipe.patience`.

    Args:
      seen: what is looked at.
    """
    settled = schedules.BETA_SCHEDULES[recipe.beta_schedule]

    def moves(progress: Float[Array, ""] | float) -> Bool[Array, ""]:
        still = settled(progress) == 1.0
        return ~(still & (schedules.rising_capacity(progress) == 1.0) if recipe.capacity else still)

    moving = moves(epoch / epochs) | moves((epoch + 1) / epochs)
    better = moving | (seen < state.best - _IMPROVEMENT * jnp.abs(state.best))
    best = jnp.where(moving, jnp.inf, jnp.minimum(seen, state.best))
    return state._replace(best=best, stale=jnp.where(better, 0, state.stale + 1))


def held_out_loss(
    model: Model,
    recipe: Recipe,
    state: TrainState,
    beta: Float[Array, ""],
    data: Data,
    held_out: Int[Array, " h"],
) -> Float[Array, ""]:
    """Mean over the rows `held_out` of the negative ELBO at beta, and of the neighbour term if the recipe has one.

    In evaluation mode, one draw a track, the same in each epoch. Free bits and capacity are left out: they are a way to
    train, not what is wanted of the model.
    """
    h = len(held_out)
    count, size = recipe.batches(h)
    # A part smaller than what fills it up has its tracks several times.
    rows = jnp.resize(held_out, (count * size,)).reshape(count, size)
    weight = (jnp.arange(count * size) < h).astype(jnp.float32).reshape(count, size)
    keys = jax.random.split(jax.random.fold_in(state.key, EVALUATE), count)

    def one(args: tuple[Int[Array, " B"], Float[Array, " B"], Key[Array, ""]]) -> Float[Array, ""]:
        rows, weight, key = args
        return _held_out_total(model, recipe, state, beta, jax.tree.map(lambda leaf: leaf[rows], data), weight, key)

    return jax.lax.map(one, (rows, weight, keys)).sum() / h


def held_out_part(
    model: Model,
    recipe: Recipe,
    count: int,
    state: TrainState,
    beta: Float[Array, ""],
    batches: Data,
    weight: Float[Array, "k B"],
    first: Int[Array, ""] | int,
) -> Float[Array, ""]:
    """The sum that `held_out_loss` is the mean of, over the tracks of some of its batches, which are at hand.

    Args:
      count: batches of the held-out tracks. first: those before these.
      batches: x (k, B, *D) and cond (k, B, C); weight: 1 for a track that counts.
    """
    keys = jax.random.split(jax.random.fold_in(state.key, EVALUATE), count)

    def one(args: tuple[Int[Array, ""], Data, Float[Array, " B"]]) -> Float[Array, ""]:
        place, batch, weight = args
        key = keys[jnp.minimum(first + place, count - 1)]
        # A batch that fills the part up has no track that counts, and the neighbour term of no track is not a number.
        total = _held_out_total(model, recipe, state, beta, batch, weight, key)
        return jnp.where(weight.sum() > 0, total, 0.0)

    return jax.lax.map(one, (jnp.arange(len(weight)), batches, weight)).sum()


def _held_out_total(
    model: Model,
    recipe: Recipe,
    state: TrainState,
    beta: Float[Array, ""],
    batch: Data,
    weight: Float[Array, " B"],
    key: Key[Array, ""],
) -> Float[Array, ""]:
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    q, z, reconstruction = nn.apply(_forward, model)(variables, batch, key, False)
    total = weight @ objectives.elbo(reconstruction, batch.x, q, beta)[0]
    if recipe.neighbours:
        flat = batch.x.reshape(len(batch.x), -1)
        affinities = neighbours.neighbour_affinities(flat, weight)
        divergence = neighbours.neighbour_divergence(affinities, z, weight)
        total = total + weight.sum() * recipe.neighbours * flat.shape[1] * divergence
    return total


@partial(jax.jit, static_argnums=0)
def encode(model: Model, state: TrainState, data: Data) -> Posterior:
    """q(z | x) of all N tracks by one replica, in evaluation mode, a batch at a time."""
    variables = {"params": state.params, "batch_stats": state.batch_stats}

    def one(track: Data) -> Posterior:
        batch = jax.tree.map(lambda a: a[None], track)
        q = model.apply(variables, batch.x, batch.cond, False, method="encode")
        return jax.tree.map(lambda a: a[0], q)

    return jax.lax.map(one, data, batch_size=ENCODE_BATCH)


@partial(jax.jit, static_argnums=0)
def reconstruct(model: Model, state: TrainState, data: Data) -> Float[Array, "N *D"]:
    """The decoder's mean at the posterior's mean, in evaluation mode: (N, *D), for a few tracks at a time."""
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    return nn.apply(_forward, model)(variables, data, None, False)[2]


def negative_elbo(model: Model, state: TrainState, data: Data) -> Float[Array, ""]:
    """Mean over tracks of squared error + KL (beta 1) in evaluation mode, one draw a track; lower is better.

    Replicas of different beta can be compared by it, and no class is seen.
    """
    if not streaming.is_streamed(data):
        return _negative_elbo(model, state, data)
    keys = jax.random.split(jax.random.fold_in(state.key, EVALUATE), len(data.x))
    return jnp.asarray(streaming.map_rows(partial(_each_negative_elbo, model, state), data, keys)).mean()


@partial(jax.jit, static_argnums=0)
def _negative_elbo(model: Model, state: TrainState, data: Data) -> Float[Array, ""]:
    keys = jax.random.split(jax.random.fold_in(state.key, EVALUATE), len(data.x))
    return _each_track(model, state, data, keys).mean()


@partial(jax.jit, static_argnums=0)
def _each_negative_elbo(model: Model, state: TrainState, data: Data, keys: Key[Array, " N"]) -> Float[Array, " N"]:
    return _each_track(model, state, data, keys)


def _each_track(model: Model, state: TrainState, data: Data, keys: Key[Array, " N"]) -> Float[Array, " N"]:
    variables = {"params": state.params, "batch_stats": state.batch_stats}

    def one(args: tuple[Data, Key[Array, ""]]) -> Float[Array, ""]:
        track, key = args
        batch = jax.tree.map(lambda a: a[None], track)
        q, _, reconstruction = nn.apply(_forward, model)(variables, batch, key, False)
        return objectives.elbo(reconstruction, batch.x, q, jnp.ones(()))[0][0]

    return jax.lax.map(one, (data, keys), batch_size=ENCODE_BATCH)
