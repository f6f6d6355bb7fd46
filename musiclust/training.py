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
from jaxtyping import Array, Float, Int, Key, PyTree

from musiclust import neighbours, objectives, schedules
from musiclust.models import Model
from musiclust.types import Data, History, Hyper, Posterior, TrainState

_INIT, _SHUFFLE, _SAMPLE, _DROPOUT, _EVALUATE = range(5)
_ENCODE_BATCH = 256
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
      patience: a replica stops after so many epochs in a row whose loss was not lower than the best one by a
        thousandth of it; epochs in which beta's schedule moves do not count. 0: it never stops.
      precision: name in PRECISIONS of the type that the factors of the layers' products have in training. Parameters,
        norms, losses and evaluation are float32 always, and so are sums of products, but for an accelerator's
        convolutions.
    """

    batch_size: int = 256
    schedule: str = "step"
    beta_schedule: str = "constant"
    neighbours: float = 0.0
    patience: int = 0
    precision: str = "float32"

    def batches(self, tracks: int) -> tuple[int, int]:
        """(batches an epoch, tracks a batch)."""
        count = math.ceil(tracks / self.batch_size)
        return count, math.ceil(tracks / count)


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
    batch: Data,
    weight: Float[Array, " B"],
    params: PyTree,
) -> tuple[Float[Array, ""], tuple[tuple[Float[Array, ""], Float[Array, ""], Float[Array, " L"]], PyTree]]:
    """The loss that a step descends, as a function of `params`, with (sums, batch statistics); see `train_step`."""
    sample_key, dropout_key = (
        jax.random.fold_in(jax.random.fold_in(state.key, use), state.step) for use in (_SAMPLE, _DROPOUT)
    )
    variables = {"params": params, "batch_stats": state.batch_stats}
    (q, z, reconstruction), updated = nn.apply(_forward, model, mutable=["batch_stats"])(
        variables, batch, sample_key, True, rngs={"dropout": dropout_key}
    )
    loss, (error, kl) = objectives.elbo(reconstruction, batch.x, q, beta)
    sums = (weight @ loss, weight @ error, weight @ kl)
    total = sums[0] / weight.sum()
    if recipe.neighbours:
        flat = batch.x.reshape(len(batch.x), -1)
        affinities = neighbours.neighbour_affinities(flat, weight)
        divergence = neighbours.neighbour_divergence(affinities, z, weight)
        total = total + recipe.neighbours * flat.shape[1] * divergence
    return total, (sums, updated.get("batch_stats", {}))


def train_step(
    model: Model,
    recipe: Recipe,
    state: TrainState,
    hyper: Hyper,
    batch: Data,
    weight: Float[Array, " B"],
    epoch: Float[Array, ""] | float,
    progress: Float[Array, ""] | float,
) -> tuple[TrainState, tuple[Float[Array, ""], Float[Array, ""], Float[Array, " L"]]]:
    """One step of Adam on the weighted mean of the negative ELBO, and of the neighbour term if the recipe has one.

    That term is recipe.neighbours * D * `neighbours.neighbour_divergence` of the z that are decoded (drawn from q, as
    in scvis) from the batch's own affinities, x flattened to D features. It moves the parameters and is not part of
    the loss that is returned, which stays squared error + beta * KL.

    Args:
      weight: 1 for a track that counts, 0 for one that fills the batch up.
      epoch: epochs done before this step, with a fraction; progress: what share of the run they are.

    Returns:
      The next state, and (loss, squared error, KL per dimension) summed over the tracks that count.
    """
    beta = hyper.beta * schedules.BETA_SCHEDULES[recipe.beta_schedule](progress)
    with jax.default_matmul_precision(recipe.precision):
        descended = partial(objective, model, recipe, state, beta, batch, weight)
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
) -> tuple[TrainState, History]:
    """Trains one replica from `first_epoch` on for `chunk` epochs, each over its tracks in an order of its own.

    Its tracks are the rows of `data` that stand in line `hyper.rows` of the table `rows`. A track that stands there
    twice counts twice.

    Epochs past `epochs`, the length of the whole run, and those of a replica that has stopped (`Recipe.patience`) leave
    the state as it is; their History rows are zero.
    """
    n = rows.shape[1]
    count, size = recipe.batches(n)
    weight = jnp.concatenate([jnp.ones(n), jnp.zeros(count * size - n)]).reshape(count, size)
    mine = rows[hyper.rows]
    settled = schedules.BETA_SCHEDULES[recipe.beta_schedule]

    def one_epoch(state: TrainState, epoch: Int[Array, ""]) -> tuple[TrainState, History]:
        order = jax.random.permutation(jax.random.fold_in(jax.random.fold_in(state.key, _SHUFFLE), epoch), n)
        drawn = mine[jnp.concatenate([order, order[: count * size - n]])]
        # Gathered once: a gather a step costs as much as a layer.
        batches = jax.tree.map(lambda leaf: leaf[drawn].reshape(count, size, *leaf.shape[1:]), data)
        elapsed = epoch + jnp.arange(count) / count

        def one_step(state, given):
            return train_step(model, recipe, state, hyper, *given)

        state, sums = jax.lax.scan(one_step, state, (batches, weight, elapsed, elapsed / epochs))
        loss, error, kl = (part.sum(axis=0) / n for part in sums)
        if recipe.patience:
            moves = (settled(epoch / epochs) != 1.0) | (settled((epoch + 1) / epochs) != 1.0)
            better = moves | (loss < state.best - _IMPROVEMENT * jnp.abs(state.best))
            best = jnp.where(moves, jnp.inf, jnp.minimum(loss, state.best))
            state = state._replace(best=best, stale=jnp.where(better, 0, state.stale + 1))
        return state, History(loss, error, kl)

    def no_epoch(state: TrainState, epoch: Int[Array, ""]) -> tuple[TrainState, History]:
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(one_epoch, state, epoch)[1])
        return state, zeros

    def body(state: TrainState, epoch: Int[Array, ""]) -> tuple[TrainState, History]:
        due = epoch < epochs
        if recipe.patience:
            due &= state.stale < recipe.patience
        return jax.lax.cond(due, one_epoch, no_epoch, state, epoch)

    return jax.lax.scan(body, state, first_epoch + jnp.arange(chunk))


@partial(jax.jit, static_argnums=0)
def encode(model: Model, state: TrainState, data: Data) -> Posterior:
    """q(z | x) of all N tracks by one replica, in evaluation mode, a batch at a time."""
    variables = {"params": state.params, "batch_stats": state.batch_stats}

    def one(track: Data) -> Posterior:
        batch = jax.tree.map(lambda a: a[None], track)
        q = model.apply(variables, batch.x, batch.cond, False, method="encode")
        return jax.tree.map(lambda a: a[0], q)

    return jax.lax.map(one, data, batch_size=_ENCODE_BATCH)


@partial(jax.jit, static_argnums=0)
def reconstruct(model: Model, state: TrainState, data: Data) -> Float[Array, "N *D"]:
    """The decoder's mean at the posterior's mean, in evaluation mode: (N, *D), for a few tracks at a time."""
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    return nn.apply(_forward, model)(variables, data, None, False)[2]


@partial(jax.jit, static_argnums=0)
def negative_elbo(model: Model, state: TrainState, data: Data) -> Float[Array, ""]:
    """Mean over tracks of squared error + KL (beta 1) in evaluation mode, one draw a track; lower is better.

    Replicas of different beta can be compared by it, and no class is seen.
    """
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    keys = jax.random.split(jax.random.fold_in(state.key, _EVALUATE), len(data.x))

    def one(args: tuple[Data, Key[Array, ""]]) -> Float[Array, ""]:
        track, key = args
        batch = jax.tree.map(lambda a: a[None], track)
        q, _, reconstruction = nn.apply(_forward, model)(variables, batch, key, False)
        return objectives.elbo(reconstruction, batch.x, q, jnp.ones(()))[0][0]

    return jax.lax.map(one, (data, keys), batch_size=_ENCODE_BATCH).mean()
