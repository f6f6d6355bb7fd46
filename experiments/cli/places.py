"""Where the commands keep what they can make again: the user's cache folder, and the demo corpus's store in it."""

import os
from pathlib import Path


def cache_root(cache_dir: Path | str | None = None) -> Path:
    """Returns the folder `musiclust` under `cache_dir`, else under XDG_CACHE_HOME, else under ~/.cache.

    The folder is not made.
    """
    # The XDG base directory specification has relative values ignored.
    named = os.environ.get("XDG_CACHE_HOME", "")
    users = Path(named) if os.path.isabs(named) else Path.home() / ".cache"
    return (Path(cache_dir).expanduser() if cache_dir else users) / "musiclust"


def default_store(cache_dir: Path | str | None = None, seed: int = 0) -> Path:
    """Returns the place of the demo corpus's store, which commands use when no store is named."""
    return cache_root(cache_dir) / "stores" / (f"demo-{seed}" if seed else "demo")
