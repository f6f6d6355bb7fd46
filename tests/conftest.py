"""For all tests: shapes and types of every annotated function are checked, and silent broadcasting is an error."""

import os
from pathlib import Path

from jaxtyping import install_import_hook

install_import_hook("musiclust", "beartype.beartype")

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

from musiclust import store  # noqa: E402
from musiclust.types import Block, Tracks  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 8)  # so that populations are sharded
# Most of the time of a test is compilation; tests that need the program as users run it ask for `optimised`.
jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="session", autouse=True)
def _compilation_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Programs compiled once a session, by whichever worker needs them first, and also by the scripts that tests
    start."""
    own = tmp_path_factory.getbasetemp()
    session = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    place = os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(session / "xla"))
    jax.config.update("jax_compilation_cache_dir", place)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.fixture
def optimised():
    """Programs compiled as for users."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


def make_tracks(n: int, classes: int = 3) -> Tracks:
    """n tracks without audio, in `classes` equal classes of the label "genre"."""
    track_id = np.array([f"t{i:04d}" for i in range(n)])
    return Tracks(
        track_id=track_id,
        path=np.array([""] * n),
        meta={
            "title": np.array([f"Song {i}" for i in range(n)]),
            "artist": np.array([f"Artist {i % 7}" for i in range(n)]),
            "album": np.array([""] * n),
            "duration": np.full(n, 10.0),
        },
        classes={"genre": (np.arange(n) % classes).astype(np.int32)},
        class_names={"genre": tuple(f"genre {c}" for c in range(classes))},
        group=track_id,
    )


def make_store(root: Path, n: int = 60, classes: int = 3, *, lyrics: bool = True, tagger: bool = False) -> Path:
    """A store with three well separated classes in mfcc_mean, in the tagger's blocks where it has them, and lyrics of
    half of the tracks."""
    rng = np.random.default_rng(0)
    tracks = make_tracks(n, classes)
    codes = tracks.classes["genre"]
    store.save_tracks(root, tracks)
    centres = rng.normal(size=(classes, 20)) * 3
    everywhere = np.ones(n, bool)
    mfcc = (centres[codes] + rng.normal(size=(n, 20))).astype(np.float32)
    columns = {"columns": [f"mfcc_{i:02d}" for i in range(20)]}
    store.save_block(root, Block("mfcc_mean", tracks.track_id, mfcc, everywhere, columns))
    stats = (mfcc[:, :, None] + rng.normal(size=(n, 20, 7))).astype(np.float32)
    store.save_block(root, Block("mfcc_stats", tracks.track_id, stats, everywhere, {"columns": list("abcdefg")}))
    image = (mfcc[:, :16, None] + rng.normal(size=(n, 16, 37))).astype(np.float16)
    store.save_block(root, Block("melspec", tracks.track_id, image, everywhere, {"columns": []}))
    for name in ("msd", "mtt") if tagger else ():
        heard = (rng.normal(size=(classes, 8))[codes] * 3 + rng.normal(size=(n, 8))).astype(np.float32)
        store.save_block(root, Block(name, tracks.track_id, heard, everywhere, {}))
    if lyrics:
        sung = np.arange(n) % 2 == 0
        words = np.where(sung[:, None], rng.normal(size=(n, 12)), 0.0).astype(np.float32)
        store.save_block(root, Block("lyrics", tracks.track_id, words, sung, {}))
    return root
