"""`VAECluster`: scaling, a VAE and a clusterer as one scikit-learn estimator.

It does to an array what a run does to a store: the features are scaled, replicas of a model are trained, the best one
is chosen by a rule that sees no class, and its latents are clustered.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from musiclust import fusion, objectives, population, training
from musiclust.cluster import CLUSTERERS, one_cluster
from musiclust.errors import InputError
from musiclust.models import MODELS
from musiclust.sweep import train
from musiclust.training import Recipe
from musiclust.types import Data, Posterior, TrainState

# Rows are encoded so many at a time, the last ones beside rows of zeros. One program then serves every number of rows,
# and the code of a row does not depend on which others it came with.
_ROWS = 256


class VAECluster(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """Clusters the rows of an array in the latent space of a variational autoencoder.

    Args:
      n_clusters: k, at least 1, which puts all rows into one. Clusterers that find their own number (dbscan, hdbscan)
        do not look at it.
      model: a name in `models.MODELS` of a model that needs no condition: "vae", "beta_vae", "conv_vae", "autoencoder".
      model_options: further attributes of the model, such as {"hidden": (64, 32)}; None for its defaults.
      latent_dim: L, latent dimensions.
      beta: weight of the KL term, >= 0 (Higgins et al., ICLR 2017).
      neighbours: weight of the stochastic-neighbour term; 1 is usual, 0 trains without it.
      n_replicas: models trained from different seeds. The one that is kept has the highest bound of the
        log-likelihood (`bounds.comparable_bound`).
      epochs, batch_size, learning_rate: of Adam.
      scaling: a name in `fusion.SCALINGS`; "balanced" standardises columns, "none" leaves them.
      clusterer: a name in `cluster.CLUSTERERS`.
      random_state: an int s trains the seeds s, s + 1, ..., as `train` does with them; a RandomState draws them, and
        None draws them anew at each fit.

    Attributes:
      labels_: (N,) int32, the cluster of each row, -1 for noise.
      cluster_centers_: (clusters, L) the means of the latents of each cluster.
      n_features_in_, feature_names_in_: as everywhere in scikit-learn.
      history_: loss, reconstruction (epochs,) and kl_per_dim (epochs, L) of the replica that is kept.
      seed_: its seed.

    Example:
      >>> from sklearn.datasets import make_blobs
      >>> x, truth = make_blobs(90, n_features=6, centers=3, cluster_std=0.5, random_state=0)
      >>> groups = VAECluster(3, latent_dim=2, model_options={"hidden": (16,)}, epochs=20, random_state=0).fit(x)
      >>> groups.labels_.shape, groups.transform(x).shape
      ((90,), (90, 2))
    """

    # Nothing is checked here, and no type is named: scikit-learn wants parameters kept as given until `fit`.
    def __init__(
        self,
        n_clusters=8,
        *,
        model="vae",
        model_options=None,
        latent_dim=8,
        beta=1.0,
        neighbours=0.0,
        n_replicas=1,
        epochs=100,
        batch_size=256,
        learning_rate=1e-3,
        scaling="balanced",
        clusterer="kmeans",
        random_state=None,
    ) -> None:
        self.n_clusters = n_clusters
        self.model = model
        self.model_options = model_options
        self.latent_dim = latent_dim
        self.beta = beta
        self.neighbours = neighbours
        self.n_replicas = n_replicas
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.scaling = scaling
        self.clusterer = clusterer
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "VAECluster":
        """Trains the replicas on X (N, D) and clusters the latents of the best one; y is not looked at.

        Raises:
          ValueError: if X holds NaN or infinity, or has fewer rows than clusters, or a parameter is out of range.
        """
        x = np.asarray(validate_data(self, X, dtype=np.float64, ensure_min_samples=2))
        self._check_parameters(len(x))
        seeds = self._seeds()
        try:
            fused = fusion.fuse([fusion.whole_block("X", x)], scaling=self.scaling)
            kind = MODELS[self.model]
            model = kind(input_shape=fused.x.shape[1:], latent_dim=self.latent_dim, **(self.model_options or {}))
            recipe = Recipe(batch_size=self.batch_size, neighbours=self.neighbours)
            trained = train(
                model,
                Data(fused.x),
                seeds=seeds,
                betas=(self.beta,),
                learning_rates=(self.learning_rate,),
                epochs=self.epochs,
                recipe=recipe,
            )
            chosen = trained.choose(Data(fused.x))
            self.fusion_, self.model_ = fused.fusion, model
            # In the host's memory, and without the optimiser, so that it can be pickled.
            self.state_ = population.to_host(trained.replica(chosen)._replace(opt_state=()))
            z = self._encode(x).mean
            self.clustering_ = (
                CLUSTERERS[self.clusterer](z, k=self.n_clusters, seed=seeds[chosen])
                if self.n_clusters > 1
                else one_cluster(z)
            )
        except InputError as error:
            raise ValueError(str(error)) from error
        self.seed_ = seeds[chosen]
        self.history_ = jax.tree.map(lambda leaf: leaf[chosen], trained.history)
        self.labels_ = self.clustering_.clusters
        self.cluster_centers_ = self.clustering_.centres
        self._n_features_out = self.latent_dim
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The latents of X (M, D): the means of their posteriors, (M, L) float32."""
        return self._encode(self._validate(X)).mean

    def predict(self, X: Any) -> np.ndarray:
        """The cluster of each row of X (M, D): (M,) int32, -1 for noise. Of the rows that were fitted it is labels_."""
        z = self._encode(self._validate(X)).mean
        return self.clustering_.assign(z)

    def score_samples(self, X: Any) -> np.ndarray:
        """How well the model knows each row of X (M, D): (M,), higher is better.

        It is minus the squared error of the reconstruction from the posterior's mean, summed over the scaled columns,
        minus the KL term: the ELBO at beta 1 up to a constant, but for the noise, which is left out so that a row has
        one score. A row unlike those that were fitted scores low.
        """
        x = self._validate(X)
        state = population.from_host(self.state_)
        parts = []
        for data, rows in self._batches(x):
            q = training.encode(self.model_, state, data)
            reconstruction = training.reconstruct(self.model_, state, data)
            parts.append(-np.asarray(objectives.elbo(reconstruction, jnp.asarray(data.x), q, jnp.ones(()))[0])[:rows])
        return np.concatenate(parts)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples`."""
        return float(self.score_samples(X).mean())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]  # latents are float32, whatever X is
        return tags

    def _check_parameters(self, rows: int) -> None:
        if self.model not in MODELS:
            raise ValueError(f"unknown model {self.model!r}: choose from {', '.join(MODELS)}")
        if getattr(MODELS[self.model], "conditional", False):
            raise ValueError(f"{self.model} needs a condition, which X does not hold: choose model='vae', or use train")
        if self.clusterer not in CLUSTERERS:
            raise ValueError(f"unknown clusterer {self.clusterer!r}: choose from {', '.join(CLUSTERERS)}")
        if not 1 <= self.n_clusters <= rows:
            raise ValueError(f"n_clusters = {self.n_clusters} for n_samples = {rows}: choose 1 to {rows}")
        for name in ("latent_dim", "n_replicas", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: choose at least 1")
        if self.batch_size < 2:
            raise ValueError(f"batch_size = {self.batch_size}: choose at least 2")

    def _seeds(self) -> list[int]:
        if isinstance(self.random_state, int | np.integer):
            return [int(self.random_state) + i for i in range(self.n_replicas)]
        drawn = check_random_state(self.random_state).randint(2**31 - 1, size=self.n_replicas)
        return [int(seed) for seed in drawn]

    def _validate(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=np.float64, reset=False))

    def _batches(self, x: np.ndarray) -> list[tuple[Data, int]]:
        """The scaled rows of x in batches of _ROWS, and how many of each batch are rows of x."""
        scaled = fusion.apply(self.fusion_, [fusion.whole_block("X", x)])
        batches = []
        for start in range(0, len(scaled), _ROWS):
            rows = scaled[start : start + _ROWS]
            padded = np.zeros((_ROWS, *rows.shape[1:]), np.float32)
            padded[: len(rows)] = rows
            batches.append((Data(padded), len(rows)))
        return batches

    def _encode(self, x: np.ndarray) -> Posterior:
        state: TrainState = population.from_host(self.state_)
        parts = []
        for data, rows in self._batches(x):
            q = training.encode(self.model_, state, data)
            parts.append(Posterior(np.asarray(q.mean)[:rows], np.asarray(q.logvar)[:rows]))
        return Posterior(*(np.concatenate(leaves) for leaves in zip(*parts, strict=True)))
