"""Unsupervised music clustering with variational autoencoders, as pure functions in JAX and Flax.

The library in ten lines, on an array in memory (N tracks, D features):

    import musiclust as mc

    x = mc.standardise(np.load("x.npy"))
    data = mc.Data(x)
    model = mc.VAE(input_shape=x.shape[1:], latent_dim=8)
    trained = mc.train(model, data, seeds=range(4), betas=(1, 4), epochs=100)
    best = trained.best(data)                              # by a rule that sees no class
    z = mc.encode(model, best, data).mean
    groups = mc.kmeans(z, k=8, seed=0)
    mc.score(z, groups.clusters, truth)                    # ARI, NMI, purity and their chance levels, silhouette, ...
    mc.silhouette_null(z, k=8, seed=0)                     # what structureless data of this shape gets

`VAECluster` is the same as one scikit-learn estimator. What stands here is loaded when it is first used: importing
musiclust loads neither JAX nor scikit-learn.

Data flows one way: preprocess -> store -> fusion -> models + training -> checkpoint -> cluster -> metrics -> report.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from musiclust.cluster import agglomerative, dbscan, gmm, hdbscan, kmeans
    from musiclust.epochs import Trained
    from musiclust.errors import InputError
    from musiclust.estimator import VAECluster
    from musiclust.fusion import fuse, standardise
    from musiclust.listening.content import find_copies
    from musiclust.listening.odd_one_out import Answers, draw_trials, score_answers
    from musiclust.listening.placing import Placed, Reach, measure_reach, place
    from musiclust.listening.playlists import Song, format_m3u8, format_xspf, write_playlists
    from musiclust.listening.sequencing import find_path, order_smoothly, rank_alike
    from musiclust.metrics.duplicates import near_duplicates
    from musiclust.metrics.evidence import Evidence, weigh_latents
    from musiclust.metrics.judge import Judge, choose_replica, flag_partition
    from musiclust.metrics.latent import active_units, informative_units, kl_per_dim, tells_little, total_kl
    from musiclust.metrics.matching import Change, compare_partitions, match_clusters
    from musiclust.metrics.nulls import Surrogates, draw_surrogate
    from musiclust.metrics.number_of_clusters import choose_k
    from musiclust.metrics.partition import score, silhouette
    from musiclust.metrics.probes import probe
    from musiclust.metrics.reference import reference_silhouette, reference_space, silhouette_null
    from musiclust.metrics.stability import cluster_stability, consensus
    from musiclust.models import CVAE, MODELS, VAE, AttentionVAE, Autoencoder, ConvVAE, PoEVAE
    from musiclust.report.listening_test import write_listening_test
    from musiclust.report.map import MapSongs, write_map_page
    from musiclust.report.names import NamedCluster, Reason, name_clusters
    from musiclust.report.typical import find_examples
    from musiclust.store import load_block, load_tracks
    from musiclust.sweep import train
    from musiclust.training import Recipe, encode, negative_elbo, reconstruct
    from musiclust.types import Block, Clustering, Data, Posterior, Tracks

# module -> what of it is offered here
_DOOR = {
    "cluster": ("agglomerative", "dbscan", "gmm", "hdbscan", "kmeans"),
    "epochs": ("Trained",),
    "errors": ("InputError",),
    "estimator": ("VAECluster",),
    "fusion": ("fuse", "standardise"),
    "listening.content": ("find_copies",),
    "listening.odd_one_out": ("Answers", "draw_trials", "score_answers"),
    "listening.placing": ("Placed", "Reach", "measure_reach", "place"),
    "listening.playlists": ("Song", "format_m3u8", "format_xspf", "write_playlists"),
    "listening.sequencing": ("find_path", "order_smoothly", "rank_alike"),
    "metrics.duplicates": ("near_duplicates",),
    "metrics.evidence": ("Evidence", "weigh_latents"),
    "metrics.judge": ("Judge", "choose_replica", "flag_partition"),
    "metrics.latent": ("active_units", "informative_units", "kl_per_dim", "tells_little", "total_kl"),
    "metrics.matching": ("Change", "compare_partitions", "match_clusters"),
    "metrics.nulls": ("Surrogates", "draw_surrogate"),
    "metrics.number_of_clusters": ("choose_k",),
    "metrics.partition": ("score", "silhouette"),
    "metrics.probes": ("probe",),
    "metrics.reference": ("reference_silhouette", "reference_space", "silhouette_null"),
    "metrics.stability": ("cluster_stability", "consensus"),
    "models": ("CVAE", "MODELS", "VAE", "AttentionVAE", "Autoencoder", "ConvVAE", "PoEVAE"),
    "report.listening_test": ("write_listening_test",),
    "report.map": ("MapSongs", "write_map_page"),
    "report.names": ("NamedCluster", "Reason", "name_clusters"),
    "report.typical": ("find_examples",),
    "store": ("load_block", "load_tracks"),
    "sweep": ("train",),
    "training": ("Recipe", "encode", "negative_elbo", "reconstruct"),
    "types": ("Block", "Clustering", "Data", "Posterior", "Tracks"),
}
_MODULE_OF = {name: module for module, names in _DOOR.items() for name in names}

__all__ = [
    "CVAE",
    "MODELS",
    "VAE",
    "Answers",
    "AttentionVAE",
    "Autoencoder",
    "Block",
    "Change",
    "Clustering",
    "ConvVAE",
    "Data",
    "Evidence",
    "InputError",
    "Judge",
    "MapSongs",
    "NamedCluster",
    "Placed",
    "PoEVAE",
    "Posterior",
    "Reach",
    "Reason",
    "Recipe",
    "Song",
    "Surrogates",
    "Tracks",
    "Trained",
    "VAECluster",
    "active_units",
    "agglomerative",
    "choose_k",
    "choose_replica",
    "cluster_stability",
    "compare_partitions",
    "consensus",
    "dbscan",
    "draw_surrogate",
    "draw_trials",
    "encode",
    "find_copies",
    "find_examples",
    "find_path",
    "flag_partition",
    "format_m3u8",
    "format_xspf",
    "fuse",
    "gmm",
    "hdbscan",
    "informative_units",
    "kl_per_dim",
    "kmeans",
    "load_block",
    "load_tracks",
    "match_clusters",
    "measure_reach",
    "name_clusters",
    "near_duplicates",
    "negative_elbo",
    "order_smoothly",
    "place",
    "probe",
    "rank_alike",
    "reconstruct",
    "reference_silhouette",
    "reference_space",
    "score",
    "score_answers",
    "silhouette",
    "silhouette_null",
    "standardise",
    "tells_little",
    "total_kl",
    "train",
    "weigh_latents",
    "write_listening_test",
    "write_map_page",
    "write_playlists",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'musiclust' has no attribute {name!r}")
    value = getattr(import_module(f"musiclust.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
