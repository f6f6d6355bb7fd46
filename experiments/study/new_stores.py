"""Where the features of songs that came after a run lie: <run>/new_songs/<folder>/, a store for each folder of them."""

from pathlib import Path

NEW_SONGS = "new_songs"


def find_stores(run_dir: Path) -> list[Path]:
    """The stores of new songs of a run, in one order."""
    return sorted(path.parent for path in (run_dir / NEW_SONGS).glob("*/tracks.csv"))
