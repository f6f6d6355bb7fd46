"""The speech recogniser: which Whisper model is used, on which device, and whether it is there.

Conventions: a model is a name that openai-whisper knows, or a .pt file as it writes them ("dims", "model_state_dict").
Torch is loaded by processes that do nothing else.
"""

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.error import URLError

from musiclust.errors import InputError


@dataclass(frozen=True)
class Settings:
    """How to transcribe.

    Attributes:
      whisper_model: a name that openai-whisper knows (it fetches weights that are not in its cache), or a .pt file.
      language: an ISO 639 code, or None to detect it in each track.
      device: "cpu", "cuda" (half precision) or "cuda:<n>"; None is cuda where torch sees one.
      options: handed on to `whisper.transcribe`.
    """

    whisper_model: str = "base"
    language: str | None = None
    device: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def check(settings: Settings) -> str:
    """Finds out what is wrong with settings before any work is done, and fetches the model if it is not here yet.

    A process of its own does so, for torch must not meet JAX and the other users of OpenMP in this one. What it shows
    of a download goes to standard error.

    Returns:
      The kind of device that will be used: "cpu" or "cuda".

    Raises:
      InputError: if Whisper is not installed, or the model, the language or the device is not there.
    """
    if importlib.util.find_spec("whisper") is None:
        raise InputError("Whisper is not installed: pip install 'musiclust[text]', or choose `lyrics=sidecar`")
    return _check(settings.whisper_model, settings.language, settings.device)


@cache
def _check(model: str, language: str | None, device: str | None) -> str:
    call = f"from {__name__} import _answer; _answer({model!r}, {language!r}, {device!r})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", call], env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode == -signal.SIGINT:
        raise KeyboardInterrupt
    if done.returncode:
        raise InputError(f"Whisper is installed but does not start (status {done.returncode}): choose `lyrics=sidecar`")
    kind, _, error = done.stdout.splitlines()[-1].partition(" ")
    if error:
        raise InputError(error)
    return kind


def _answer(model: str, language: str | None, device: str | None) -> None:
    """Prints the kind of device, or "error" and what is wrong, as the last line."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    settings = Settings(model, language, device)
    try:
        _examine(settings)
        print(load(settings).device.type)
    except InputError as error:
        print("error", " ".join(str(error).splitlines()))


def _examine(settings: Settings) -> None:
    import torch
    import whisper
    from whisper.tokenizer import LANGUAGES

    names = whisper.available_models()
    if settings.whisper_model not in names and not Path(settings.whisper_model).expanduser().is_file():
        raise InputError(f"Whisper model {settings.whisper_model!r}: no such file, and none of {', '.join(names)}")
    if settings.language is not None and settings.language not in LANGUAGES:
        raise InputError(f"language {settings.language!r} is not one of Whisper's: auto, {', '.join(LANGUAGES)}")
    try:
        kind = torch.device(settings.device or "cpu").type
    except RuntimeError as error:
        raise InputError(f"device {settings.device!r} is not known: cpu, cuda or cuda:<number>") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {settings.device!r}: torch sees no GPU here: choose `device=cpu`")


def load(settings: Settings) -> Any:
    """Loads a Whisper model onto its device.

    Raises:
      InputError: if the weights can neither be found nor fetched, or are not Whisper's.
    """
    import torch
    import whisper

    named = settings.whisper_model in whisper.available_models()
    device = settings.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return whisper.load_model(
            settings.whisper_model if named else str(Path(settings.whisper_model).expanduser()), device=device
        )
    except (URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise InputError(
            f"Whisper model {settings.whisper_model!r} is not on this machine and cannot be fetched ({reason}): "
            "give a .pt file as `whisper_model`"
        ) from error
    except Exception as error:  # of a file that is no model, torch.load raises all kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"Whisper model {settings.whisper_model!r} cannot be loaded ({reason}): give another"
        ) from error
