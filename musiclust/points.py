"""What may be clustered and scored: points are checked here, at the door."""

import numpy as np

from musiclust.errors import InputError
from musiclust.types import AnyArray


def check_points(z: AnyArray, what: str = "the points") -> np.ndarray:
    """z as (N, L) float64, L >= 1, every value finite; else an InputError that says what is wrong and in which row."""
    z = np.asarray(z, dtype=np.float64)
    if z.ndim != 2 or z.shape[1] == 0:
        raise InputError(f"{what} have shape {z.shape}: give two dimensions, tracks x columns")
    bad = np.flatnonzero(~np.isfinite(z).all(axis=1))
    if len(bad):
        raise InputError(
            f"row {bad[0]} of {what} is not finite ({len(bad)} of {len(z)} rows are so): "
            "mend that track's features, or lower `learning_rate` if training diverged"
        )
    return z


def check_rows(values: np.ndarray, what: str) -> None:
    """Raises an InputError that names the first row of values (N, *D) that holds NaN or infinity, if there is one."""
    bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    if len(bad):
        raise InputError(f"row {bad[0]} of {what} holds NaN or infinity ({len(bad)} of {len(values)} rows do): mend it")
