"""How well one replica knows tracks: bounds of log p(x) in nats, by which models of different beta can be compared.

The likelihood is the one that the loss implies: a Gaussian of variance 1/2 for each feature, its constant included.
Everything is in evaluation mode, and its draws are a function of the replica's key. Data may be streamed: they are then
looked at a piece at a time, to the same draws.
"""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from musiclust import objectives, streaming
from musiclust.errors import InputError
from musiclust.models import Model
from musiclust.noise import counter_normal
from musiclust.training import ENCODE_BATCH, EVALUATE
from musiclust.types import Data, Posterior, TrainState


def elbo_nats(model: Model, state: TrainState, data: Data, *, samples: int = 50) -> Float[Array, " N"]:
    """The evidence lower bound of log p(x) of each track in nats, its likelihood's constant included.

    The likelihood is the one that the loss implies: a Gaussian of variance 1/2 for each feature. Beta plays no part, so
    that models trained at different ones can be compared. Evaluation mode.

    Args:
      samples: draws of z, over which the likelihood is averaged.

    Raises:
      InputError: if the model is not variational: then it has no bound.
    """
    likelihood, _, kl = _bounded(model, state, data, samples)
    return likelihood.mean(axis=1) - kl


def iwae(model: Model, state: TrainState, data: Data, *, samples: int = 50) -> Float[Array, " N"]:
    """The importance-weighted bound of log p(x) of each track in nats (Burda et al., ICLR 2016, equation 8).

    The likelihood is that of `elbo_nats`. On average the bound is at least the ELBO, rises with `samples` and is at
    most log p(x).

    Args:
      samples: draws of z that are weighed against each other; with one it is an ELBO.

    Raises:
      InputError: if the model is not variational: then it has no bound.
    """
    likelihood, ratio, _ = _bounded(model, state, data, samples)
    return _weigh_draws(likelihood, ratio)


def comparable_bound(model: Model, state: TrainState, data: Data) -> float:
    """What replicas of one model are chosen by, also those of different beta: nats a track, higher is better.

    It is the mean of `iwae`, which tends to log p(x) whatever posterior beta has led to. Vectors get 50 draws,
    spectrograms 5. A model that is not variational has minus its squared error instead. On tracks that were not trained
    on it is fair; on those that were, a replica may be chosen for what it has learnt by heart.
    """
    if not model.variational:
        return -float(_errors(model, state, data).mean())
    return float(iwae(model, state, data, samples=50 if data.x.ndim == 2 else 5).mean())


def held_out_scores(model: Model, state: TrainState, data: Data) -> dict[str, float]:
    """How well a model knows tracks that it was not trained on, as means over them.

    Returns:
      "elbo" and "iwae" (50 draws) in nats, higher is better, NaN where the model is not variational; "reconstruction",
      the squared error at the posterior's mean, lower is better, which `baselines.pca_reconstruction` compares with.
    """
    bounds = {"elbo": math.nan, "iwae": math.nan}
    if model.variational:
        likelihood, ratio, kl = _bounded(model, state, data, 50)
        weighted = _weigh_draws(likelihood, ratio)
        bounds = {"elbo": float((likelihood.mean(axis=1) - kl).mean()), "iwae": float(weighted.mean())}
    return bounds | {"reconstruction": float(_errors(model, state, data).mean())}


def _weigh_draws(likelihood: Float[Array, "N K"], ratio: Float[Array, "N K"]) -> Float[Array, " N"]:
    return jax.nn.logsumexp(likelihood + ratio, axis=1) - math.log(likelihood.shape[1])


def _bounded(
    model: Model, state: TrainState, data: Data, samples: int
) -> tuple[Float[Array, "N K"], Float[Array, "N K"], Float[Array, " N"]]:
    if not model.variational:
        raise InputError(f"a model of the kind {type(model).__name__} has no posterior, and so no bound of log p(x)")
    if samples < 1:
        raise InputError(f"samples = {samples}: choose at least 1")
    if not streaming.is_streamed(data):
        return _draw_terms(model, samples, state, data)
    keys = jax.random.split(jax.random.fold_in(state.key, EVALUATE), len(data.x))
    found = streaming.map_rows(partial(_draw_terms_with, model, samples, state), data, keys)
    return jax.tree.map(jnp.asarray, found)


def _encode(model: Model, batch: Data) -> Posterior:
    return model.encode(batch.x, batch.cond, False)


def _decode(model: Model, z: Float[Array, "B L"], cond: Float[Array, "B C"]) -> Float[Array, "B *D"]:
    return model.decode(z, cond, False)


def _at_mean(model: Model, batch: Data) -> Float[Array, "B *D"]:
    return _decode(model, _encode(model, batch).mean, batch.cond)


@partial(jax.jit, static_argnums=(0, 1))
def _draw_terms(
    model: Model, samples: int, state: TrainState, data: Data
) -> tuple[Float[Array, "N K"], Float[Array, "N K"], Float[Array, " N"]]:
    """(log p(x | z), log p(z) - log q(z | x)) of K draws of z for each track, and its KL."""
    keys = jax.random.split(jax.random.fold_in(state.key, EVALUATE), len(data.x))
    return _each_track(model, samples, state, data, keys)


@partial(jax.jit, static_argnums=(0, 1))
def _draw_terms_with(
    model: Model, samples: int, state: TrainState, data: Data, keys: Key[Array, " N"]
) -> tuple[Float[Array, "N K"], Float[Array, "N K"], Float[Array, " N"]]:
    return _each_track(model, samples, state, data, keys)


def _each_track(
    model: Model, samples: int, state: TrainState, data: Data, keys: Key[Array, " N"]
) -> tuple[Float[Array, "N K"], Float[Array, "N K"], Float[Array, " N"]]:
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    constant = 0.5 * math.log(math.pi) * math.prod(data.x.shape[1:])

    def one(args: tuple[Data, Key[Array, ""]]) -> tuple[Float[Array, " K"], Float[Array, " K"], Float[Array, ""]]:
        track, key = args
        batch = jax.tree.map(lambda a: a[None], track)
        q = nn.apply(_encode, model)(variables, batch)
        noise = counter_normal(key, (samples, q.mean.shape[1]))
        z = q.mean + jnp.exp(0.5 * q.logvar) * noise
        cond = jnp.broadcast_to(batch.cond, (samples, batch.cond.shape[1]))
        x = jnp.broadcast_to(batch.x, (samples, *batch.x.shape[1:]))
        decoded = nn.apply(_decode, model)(variables, z, cond)
        ratio = 0.5 * (jnp.square(noise) + q.logvar - jnp.square(z)).sum(axis=1)
        return -objectives.squared_error(decoded, x) - constant, ratio, objectives.gaussian_kl(q)[0].sum()

    return jax.lax.map(one, (data, keys))


def _errors(model: Model, state: TrainState, data: Data) -> Float[Array, " N"]:
    """The squared error of each track at the mean of its posterior."""
    if streaming.is_streamed(data):
        return jnp.asarray(streaming.map_rows(partial(_errors_in_memory, model, state), data))
    return _errors_in_memory(model, state, data)


@partial(jax.jit, static_argnums=0)
def _errors_in_memory(model: Model, state: TrainState, data: Data) -> Float[Array, " N"]:
    variables = {"params": state.params, "batch_stats": state.batch_stats}

    def one(track: Data) -> Float[Array, ""]:
        batch = jax.tree.map(lambda a: a[None], track)
        return objectives.squared_error(nn.apply(_at_mean, model)(variables, batch), batch.x)[0]

    return jax.lax.map(one, data, batch_size=ENCODE_BATCH)
