"""Where the store of a run is: at the place that the run notes or, once it was moved, at one that a person names."""

from pathlib import Path

from experiments.study.plan import Plan
from experiments.study.songs import read_songs
from musiclust import store
from musiclust.errors import InputError


def find_store(plan: Plan, named: str | None) -> Path:
    """Returns where the store of a run is.

    Args:
      named: the folder that a person names, None for the place that the run notes.

    Raises:
      InputError: if there is no store any more, and no other place is named.
    """
    if named is not None:
        return Path(named).expanduser().absolute()
    if not holds_tracks(plan.store):
        raise InputError(
            f"the store of {plan.run_dir} is no longer at {plan.store}: if it was moved, give --store=<where it is now>"
        )
    return plan.store


def is_own_store(plan: Plan, root: Path) -> bool:
    """Whether a store is the one that a finished run was trained on: at its place, or, once that is empty, elsewhere.

    Elsewhere it is known by its songs. Figures that are held against the run's tell whether all else is the same.
    """
    if root == plan.store:
        return True
    if holds_tracks(plan.store) or not holds_tracks(root) or not holds_tracks(plan.run_dir):
        return False
    return read_songs(plan.run_dir).track_id.tolist() == store.load_tracks(root).track_id.tolist()


def holds_tracks(folder: Path) -> bool:
    """Whether there is a table of tracks, as every store and every finished run has one."""
    return (folder / "tracks.csv").exists()
