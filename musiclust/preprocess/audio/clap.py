"""CLAP: a network that learned sound from its descriptions hears the songs, in windows of 10 s.

Conventions: a window is mono at the model's own rate, 48 kHz for LAION's; its embedding has length 1. PyTorch and
transformers are imported inside functions, in the process that is theirs (see network_process.py). Models come from a
folder or, by name, from the hub of Hugging Face, whose client keeps them in its own cache.

Sources: Wu, Chen, Zhang, Hui, Berg-Kirkpatrick and Dubnov, Large-scale contrastive language-audio pretraining with
feature fusion and keyword-to-caption augmentation (ICASSP 2023).
"""

import hashlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from musiclust.errors import InputError
from musiclust.preprocess.audio.windows import decode_windows, specify_blocks
from musiclust.records import read_record

VERSION = 1  # raise it whenever a value changes: stores are checked against it
NAMES = ("clap", "clap_std")  # of the blocks
ROWS_SENT = 8  # windows from which on songs are sent to the process, 15 MB

_CONFIG = "config.json"
_EXTRACTORS = ("preprocessor_config.json", "processor_config.json")  # the second is transformers 5's
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that is there counts
# Of the reader of words, as far as a model has them; its sound is heard without.
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "special_tokens_map.json")
_DIMS = 512  # where the config does not say: transformers leaves defaults out
_BATCH = 4  # windows that the network takes at once on a CPU
_BATCH_ACCELERATOR = 32


class _Config(msgspec.Struct):
    """What is read here of config.json, which transformers wrote."""

    model_type: str | None = None
    projection_dim: int = _DIMS


class _Extractor(msgspec.Struct):
    """What is read here of the extractor's file, where it stands or below `feature_extractor`."""

    sampling_rate: int = 0
    max_length_s: float = 0.0
    feature_extractor: "_Extractor | None" = None


class Model(NamedTuple):
    """A CLAP model on this machine.

    Attributes:
      name: what it was asked for by: a name on the hub, or the name of its folder.
      folder: where its files are.
      weights: what tells it from another: its revision on the hub, or the SHA-256 of its files.
      sample_rate: in Hz.
      seconds: the length of a window.
      dims: the number of columns of an embedding.
    """

    name: str
    folder: Path
    weights: str
    sample_rate: int
    seconds: float
    dims: int


def find_model(embedding: str, tell: Callable[[str], None] = lambda line: None) -> Model | None:
    """Finds a model; one of the hub is fetched where it has never been.

    Args:
      embedding: "none", or "clap:<folder or name on the hub>", as clap:laion/larger_clap_music.
      tell: called with one line before a model is fetched: what, how large, under which licence.

    Raises:
      InputError: if it is neither, transformers is not installed, or the model is no CLAP or cannot be had.
    """
    if embedding == "none":
        return None
    kind, _, name = embedding.partition(":")
    if kind != "clap" or not name:
        raise InputError(
            f"embedding {embedding!r} is not known: write none or clap:<folder or name>, clap:laion/larger_clap_music "
            "for example"
        )
    missing = [package for package in ("torch", "transformers") if importlib.util.find_spec(package) is None]
    if missing:
        raise InputError(f"embedding {embedding!r} needs {' and '.join(missing)}: pip install 'musiclust[text]'")
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _describe(folder.resolve().name, folder, f"sha256:{_hash_files(folder)}")
    if folder.exists() or name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise InputError(f"embedding {embedding!r}: there is no folder {folder}: give one that holds a CLAP model")
    folder = _find_or_fetch(name, tell)
    return _describe(name, folder, f"revision:{folder.name}")


def _find_or_fetch(name: str, tell: Callable[[str], None]) -> Path:
    """Returns the folder of a model of the hub in the hub's cache."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # read when huggingface_hub is imported
    from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache

    try:
        cached = try_to_load_from_cache(name, _CONFIG)
    except ValueError as error:
        raise InputError(f"{name!r} is neither a folder nor a name on the hub, owner/model: check it") from error
    if isinstance(cached, str) and _list_files(Path(cached).parent):
        return Path(cached).parent
    try:
        found = HfApi().model_info(name, files_metadata=True, timeout=15)
        sizes = {file.rfilename: file.size or 0 for file in found.siblings or ()}
        weights = next((one for one in _WEIGHTS if one in sizes), _WEIGHTS[0])
        wanted = [one for one in (_CONFIG, *_EXTRACTORS, weights, *_TOKENIZER) if one in sizes]
        licence = found.card_data.get("license") if found.card_data else None
        megabytes = round(sum(sizes[one] for one in wanted) / 1e6)
        tell(f"fetching the CLAP model {name}, once: {megabytes} MB, licence: {licence or 'not told, ask its authors'}")
        return Path(snapshot_download(name, allow_patterns=wanted))
    except Exception as error:  # the hub's client raises what its HTTP library does, and these change
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(
            f"the CLAP model {name!r} is no folder here and could not be fetched ({reason[:120]}): check the name and "
            "the network, or give `embedding` clap:<folder>"
        ) from error


def _list_files(folder: Path) -> list[Path]:
    """Lists the files of a model by which it is known; none where one is lacking."""
    kinds = ((_CONFIG,), _EXTRACTORS, _WEIGHTS)
    found = [next((folder / name for name in names if (folder / name).is_file()), None) for names in kinds]
    return [path for path in found if path] if all(found) else []


def _hash_files(folder: Path) -> str:
    files = _list_files(folder)
    if not files:
        needed = f"{_CONFIG}, {_EXTRACTORS[0]} and {' or '.join(_WEIGHTS)}"
        raise InputError(f"{folder} holds no CLAP model as transformers saves it: {needed} are needed")
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _describe(name: str, folder: Path, weights: str) -> Model:
    """Reads what windows a model hears and how many columns it makes of them."""
    remedy = "save or fetch it anew"
    try:
        config = read_record(folder / _CONFIG, _Config, lenient=True, remedy=remedy)
        extractor = read_record(_list_files(folder)[1], _Extractor, lenient=True, remedy=remedy)
    except InputError as error:
        raise InputError(f"{folder} holds no CLAP model that can be read ({error})") from error
    if config.model_type != "clap":
        raise InputError(f"{folder} holds a model of the type {config.model_type}, not clap: name a CLAP model")
    heard = extractor.feature_extractor or extractor
    if not heard.sampling_rate or not heard.max_length_s:
        raise InputError(f"{folder} holds no CLAP model that can be read (it does not tell what it hears): {remedy}")
    return Model(name, folder, weights, heard.sampling_rate, heard.max_length_s, config.projection_dim)


def specify(model: Model, windows: int) -> dict[str, dict[str, Any]]:
    """Describes the blocks: name -> how their values come about, JSON-able.

    Args:
      windows: how many there are of a song at most; 0 for all.
    """
    how = {
        "sample_rate": model.sample_rate,
        "window_seconds": model.seconds,
        "windows": windows,
        "model": model.name,
        "weights": model.weights,
        "extractor_version": VERSION,
    }
    columns = [f"clap_{i:03d}" for i in range(model.dims)]
    return specify_blocks({NAMES[0]: ("CLAP's embedding of sound", columns)}, how)


def cut_windows(path: str, duration: float, model: Model, windows: int) -> np.ndarray:
    """Decodes the windows of a song that CLAP is to hear.

    Args:
      path, duration: see `windows.decode_windows`.
      windows: how many are spread over the song; 0 for all of it.

    Returns:
      (windows, n) float32, n = seconds * sample_rate. What a song shorter than a window lacks is NaN, for each model
      fills it up in its own way.

    Raises:
      InputError: as `windows.decode_windows`.
    """
    found = decode_windows(path, duration, sample_rate=model.sample_rate, seconds=model.seconds, count=windows)
    length = round(model.seconds * model.sample_rate)
    return np.stack([np.pad(piece, (0, length - len(piece)), constant_values=np.nan) for piece in found])


def prepare(model: Model) -> None:
    """Loads the network, so that `embed` finds it ready.

    Raises:
      InputError: if it cannot be loaded, or the files lack weights of it.
    """
    _load(model)


def embed(model: Model, windows: np.ndarray) -> dict[str, np.ndarray]:
    """Runs the network, a batch at a time.

    Args:
      windows: (M, n) float32, see `cut_windows`.

    Returns:
      "clap" (M, dims) float32, rows of length 1.

    Raises:
      InputError: as `prepare`.
    """
    apply, batch = _load(model)
    parts = [apply(windows[start : start + batch]) for start in range(0, len(windows), batch)]
    return {NAMES[0]: np.concatenate(parts)}


def embed_words(model: Model, texts: Sequence[str]) -> np.ndarray:
    """Embeds words in the space of sound, so that songs can be ranked by how well they fit a description.

    Args:
      texts: T descriptions, in English for LAION's models.

    Returns:
      (T, dims) float32, rows of length 1.

    Raises:
      InputError: if the network cannot be loaded, or the files lack weights or the reader of words.
    """
    import torch

    network, device = _load_network(model, "text_")
    try:
        from transformers import AutoTokenizer

        read = AutoTokenizer.from_pretrained(model.folder)(list(texts), padding=True, truncation=True)
    except Exception as error:  # transformers and tokenizers have errors of their own
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(
            f"{model.folder} has no tokenizer that can be read ({reason}): fetch the model anew"
        ) from error
    tokens = {name: torch.tensor(read[name], device=device) for name in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        found: Any = network.get_text_features(**tokens)
    rows = getattr(found, "pooler_output", found).cpu().numpy()  # transformers 4 returns the tensor itself
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@lru_cache(1)
def _load(model: Model) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
    """Loads the network.

    Returns:
      A function of a batch of windows; how many windows a batch has.
    """
    import torch
    from transformers import ClapFeatureExtractor

    network, device = _load_network(model, "audio_")
    extractor = ClapFeatureExtractor.from_pretrained(model.folder)

    def apply(windows: np.ndarray) -> np.ndarray:
        heard = [window[~np.isnan(window)] for window in windows]
        inputs = extractor(heard, sampling_rate=model.sample_rate, return_tensors="pt")
        features = inputs["input_features"].float().to(device)
        # No window is longer than the model hears. Of a batch without a longer one transformers marks one by lot.
        longer = torch.zeros((len(heard), 1), dtype=torch.bool, device=device)
        with torch.inference_mode():
            found: Any = network.get_audio_features(input_features=features, is_longer=longer)
        return getattr(found, "pooler_output", found).cpu().numpy()  # transformers 4 returns the tensor itself

    return apply, _BATCH if device == "cpu" else _BATCH_ACCELERATOR


def _load_network(model: Model, half: str) -> tuple[Any, str]:
    """The network and the device that it is on.

    Args:
      half: how the weights begin that must be there, those of sound or of text.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported: the files are here
    try:
        import torch
        from transformers import ClapModel

        loaded: Any = ClapModel.from_pretrained(model.folder, output_loading_info=True)
    except Exception as error:  # transformers, PyTorch and safetensors each have errors of their own
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"the CLAP model {model.name} cannot be loaded ({reason}): save or fetch it anew") from error
    network, told = loaded
    lacking = sorted(name for name in told["missing_keys"] if name.startswith(half))
    if lacking:  # transformers would go on with random numbers
        raise InputError(f"the CLAP model {model.name} lacks {len(lacking)} of its weights, the first is {lacking[0]}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return network.float().to(device).eval(), device
