"""Training: one replica as pure functions; a population is the same under vmap.

    state = init_state(model, recipe, key, data)
    state, history = run_epochs(model, recipe, epochs, state, hyper, data, first_epoch)

`model`, `recipe` and `epochs` are static, everything else is traced: a sweep over seeds, betas and learning rates is
`population(...)` of stacked states and hypers, one compiled program. Data are the same for all replicas.

Every random draw is a function of (state.key, what it is for, epoch or step), never of what was drawn before: a run
resumed from a checkpoint is the unbroken run, and a replica in a population is the replica alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from musiclust import objectives
from musiclust.models import Model
from musiclust.types import Data, History, Hyper, Posterior, TrainState

_INIT, _SHUFFLE, _SAMPLE, _DROPOUT, _EVALUATE = range(5)
_ENCODE_BATCH = 256


@dataclass(frozen=True)
class Recipe:
    """What of training is fixed for a whole population.

    Attributes:
      epochs: of the whole run; the cosine and the schedules of beta are stretched over them.
      batch_size: tracks in a step, at most. N tracks make ceil(N / batch_size) batches of equal size; where that does
        not come out even, the last one is filled up with tracks that count for BatchNorm only, not for the loss.
      schedule: of the learning rate, one of SCHEDULES.
      beta_schedule: one of objectives.BETA_SCHEDULES.
      neighbours: weight of the stochastic-neighbour term, in multiples of the number of features D; 1 is the weight
        of scvis (Ding et al., Nature Communications 2018) and VAE-SNE, 0 trains without it.
    """

    epochs: int = 100
    batch_size: int = 256
    schedule: str = "step"
    beta_schedule: str = "constant"
    neighbours: float = 0.0

    def batches(self, tracks: int) -> tuple[int, int]:
        """(batches an epoch, tracks a batch)."""
        count = math.ceil(tracks / self.batch_size)
        return count, math.ceil(tracks / count)


class Setting(NamedTuple):
    """What tells one replica of a population from another."""

    seed: int
    beta: float
    learning_rate: float

    def __str__(self) -> str:
        return f"seed {self.seed}, beta {self.beta:g}, learning rate {self.learning_rate:g}"


def step_decay(steps_per_epoch: int, epochs: int) -> optax.Schedule:
    """Halved every 20 epochs, as in the first report."""
    return optax.exponential_decay(1.0, 20 * steps_per_epoch, 0.5, staircase=True)


def cosine(steps_per_epoch: int, epochs: int) -> optax.Schedule:
    """Linear warm-up over the first 5 % of the steps, then a cosine to 0 (Loshchilov and Hutter, ICLR 2017)."""
    steps = steps_per_epoch * epochs
    warmup = math.ceil(0.05 * steps)
    return optax.warmup_cosine_decay_schedule(0.0, 1.0, warmup, max(steps, warmup + 1))


def constant(steps_per_epoch: int, epochs: int) -> optax.Schedule:
    """The learning rate itself throughout."""
    return optax.constant_schedule(1.0)


# name -> (steps an epoch, epochs -> (step -> factor of the learning rate))
SCHEDULES: dict[str, Callable[[int, int], optax.Schedule]] = {
    "step": step_decay,
    "cosine": cosine,
    "constant": constant,
}

_ADAM = optax.scale_by_adam()


def init_state(model: Model, key: Key[Array, ""], data: Data) -> TrainState:
    """Parameters, running statistics and optimiser of one replica before its first step.

    Args:
      key: the replica's own, usually `jax.random.key(seed)`.
      data: gives shapes only.
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
    )


def _forward(
    model: Model, batch: Data, key: Key[Array, ""] | None, train: bool
) -> tuple[Posterior, Float[Array, "B L"], Float[Array, "B *D"]]:
    q = model.encode(batch.x, batch.cond, train)
    z = objectives.sample(q, key) if model.variational and key is not None else q.mean
    return q, z, model.decode(z, batch.cond, train)


def train_step(
    model: Model,
    recipe: Recipe,
    steps_per_epoch: int,
    state: TrainState,
    hyper: Hyper,
    batch: Data,
    weight: Float[Array, " B"],
) -> tuple[TrainState, tuple[Float[Array, ""], Float[Array, ""], Float[Array, " L"]]]:
    """One step of Adam on the weighted mean of the negative ELBO, and of the neighbour term if the recipe has one.

    That term is recipe.neighbours * D * `objectives.neighbour_divergence` of the z that are decoded (drawn from q, as
    in scvis) from the batch's own affinities, x flattened to D features. It moves the parameters and is not part of
    the loss that is returned, which stays squared error + beta * KL.

    Args:
      weight: 1 for a track that counts, 0 for one that fills the batch up.

    Returns:
      The next state, and (loss, squared error, KL per dimension) summed over the tracks that count.
    """
    dropout_key = jax.random.fold_in(jax.random.fold_in(state.key, _DROPOUT), state.step)
    sample_key = jax.random.fold_in(jax.random.fold_in(state.key, _SAMPLE), state.step)
    beta = hyper.beta * objectives.BETA_SCHEDULES[recipe.beta_schedule](recipe.epochs * steps_per_epoch)(state.step)
    apply = nn.apply(_forward, model, mutable=["batch_stats"])

    def objective(params):
        variables = {"params": params, "batch_stats": state.batch_stats}
        (q, z, reconstruction), updated = apply(variables, batch, sample_key, True, rngs={"dropout": dropout_key})
        loss, (error, kl) = objectives.elbo(reconstruction, batch.x, q, beta)
        sums = (weight @ loss, weight @ error, weight @ kl)
        total = sums[0] / weight.sum()
        if recipe.neighbours:
            flat = batch.x.reshape(len(batch.x), -1)
            affinities = objectives.neighbour_affinities(flat, weight)
            divergence = objectives.neighbour_divergence(affinities, z, weight)
            total = total + recipe.neighbours * flat.shape[1] * divergence
        return total, (sums, updated.get("batch_stats", {}))

    gradients, (sums, batch_stats) = jax.grad(objective, has_aux=True)(state.params)
    updates, opt_state = _ADAM.update(gradients, state.opt_state)
    rate = hyper.learning_rate * SCHEDULES[recipe.schedule](steps_per_epoch, recipe.epochs)(state.step)
    params = jax.tree.map(lambda p, u: p - rate * u, state.params, updates)
    return TrainState(state.step + 1, params, batch_stats, opt_state, state.key), sums


def run_epochs(
    model: Model,
    recipe: Recipe,
    epochs: int,
    state: TrainState,
    hyper: Hyper,
    data: Data,
    first_epoch: Int[Array, ""] | int = 0,
) -> tuple[TrainState, History]:
    """Trains one replica from `first_epoch` on for `epochs`, each over all tracks in an order of its own.

    Epochs past `recipe.epochs` leave the state as it is, so that a run is chunks of one length and compiles once;
    their History rows are zero.
    """
    n = len(data.x)
    count, size = recipe.batches(n)
    weight = jnp.concatenate([jnp.ones(n), jnp.zeros(count * size - n)]).reshape(count, size)

    def one_epoch(state: TrainState, epoch: Int[Array, ""]) -> tuple[TrainState, History]:
        order = jax.random.permutation(jax.random.fold_in(jax.random.fold_in(state.key, _SHUFFLE), epoch), n)
        order = jnp.concatenate([order, order[: count * size - n]]).reshape(count, size)

        def one_step(state, rows_and_weight):
            rows, weight = rows_and_weight
            return train_step(model, recipe, count, state, hyper, Data(data.x[rows], data.cond[rows]), weight)

        state, sums = jax.lax.scan(one_step, state, (order, weight))
        loss, error, kl = (part.sum(axis=0) / n for part in sums)
        return state, History(loss, error, kl)

    def no_epoch(state: TrainState, epoch: Int[Array, ""]) -> tuple[TrainState, History]:
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(one_epoch, state, epoch)[1])
        return state, zeros

    def body(state: TrainState, epoch: Int[Array, ""]) -> tuple[TrainState, History]:
        return jax.lax.cond(epoch < recipe.epochs, one_epoch, no_epoch, state, epoch)

    return jax.lax.scan(body, state, first_epoch + jnp.arange(epochs))


@partial(jax.jit, static_argnums=(0, 1, 2, 3), donate_argnums=(4,))
def population(
    model: Model,
    recipe: Recipe,
    epochs: int,
    width: int,
    states: TrainState,
    hypers: Hyper,
    data: Data,
    first_epoch: Int[Array, ""] | int,
) -> tuple[TrainState, History]:
    """`run_epochs` of R replicas as one program: states and hypers have a leading axis R, data are shared.

    Args:
      width: how many replicas run side by side under vmap; the groups of that size follow each other. See
        `population_width`.
    """

    def one(replica: tuple[TrainState, Hyper]) -> tuple[TrainState, History]:
        return run_epochs(model, recipe, epochs, *replica, data, first_epoch)

    return jax.lax.map(one, (states, hypers), batch_size=width if width > 1 else None)


def population_width(replicas: int) -> int:
    """All replicas side by side on an accelerator, which one small model leaves idle; one by one on a CPU.

    On a CPU vmap gains no time, and batched matrix products round differently from single ones: Adam's first steps
    are nearly the sign of the gradient and turn such a difference of 1e-7 into 1e-3 within ten steps. One by one, a
    replica's numbers are to the last bit those of the same run alone.
    """
    return 1 if jax.default_backend() == "cpu" else replicas


@partial(jax.jit, static_argnums=0)
def init_population(model: Model, seeds: Int[Array, " R"], data: Data) -> TrainState:
    """The states of R replicas, each that of its own seed; only the shapes of `data` matter."""
    return jax.vmap(lambda seed: init_state(model, jax.random.key(seed), data))(seeds)


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

    What replicas of different beta can be compared by, without a label.
    """
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    keys = jax.random.split(jax.random.fold_in(state.key, _EVALUATE), len(data.x))

    def one(args: tuple[Data, Key[Array, ""]]) -> Float[Array, ""]:
        track, key = args
        batch = jax.tree.map(lambda a: a[None], track)
        q, _, reconstruction = nn.apply(_forward, model)(variables, batch, key, False)
        return objectives.elbo(reconstruction, batch.x, q, jnp.ones(()))[0][0]

    return jax.lax.map(one, (data, keys), batch_size=_ENCODE_BATCH).mean()
