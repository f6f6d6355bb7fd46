"""Songs asked for in words: CLAP reads a description, and songs are ranked by how well what it heard fits."""

from collections.abc import Callable

import numpy as np

from musiclust.errors import InputError
from musiclust.preprocess.audio import clap
from musiclust.preprocess.audio.network_process import ENVIRONMENT
from musiclust.preprocess.workers import open_processes
from musiclust.types import Block


def rank_by_words(
    heard: Block,
    words: str,
    *,
    embedding: str = "",
    tell: Callable[[str], None] = lambda line: None,
) -> np.ndarray:
    """Ranks songs by the cosine between what CLAP heard and what it reads.

    PyTorch is loaded in a process of its own.

    Args:
      heard: the block `clap` of N songs, valid where it has heard the song.
      words: a description, "calm piano" say. What a song shall not have, "no drums", CLAP hardly understands.
      embedding: the model, as for `clap.find_model`; "" for the one that the spec names.
      tell: called with one line before a model is fetched.

    Returns:
      The rows of songs that were heard, those first that fit best.

    Raises:
      InputError: if the model cannot be had, or is another than the one that heard the songs.
    """
    spec = heard.spec
    model = clap.find_model(embedding or f"clap:{spec['model']}", tell)
    if model is None or model.weights != spec["weights"]:
        raise InputError(
            f"`embedding={embedding}` is not the CLAP model that heard the songs, {spec['model']} ({spec['weights']}): "
            "name the folder of that one"
        )
    with open_processes(1, ENVIRONMENT) as pool:
        (read,) = pool.submit(clap.embed_words, model, [words]).result()
    length = np.maximum(np.linalg.norm(heard.values, axis=1), np.finfo(np.float32).tiny)
    order = np.argsort(-(heard.values @ read) / length, kind="stable")
    return order[heard.valid[order]]
