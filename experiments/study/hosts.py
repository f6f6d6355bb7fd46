"""Several hosts that train one run together: each is a process of the same command, started with its own number.

Each batch is split over the devices of all hosts. Each host reads the store by itself, the first one writes the run and
scores it. The others do nothing more when training is over, and end with it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.errors import JaxRuntimeError

from musiclust.devices import are_several_hosts
from musiclust.digests import digest_bytes
from musiclust.errors import InputError

CLUSTER = "auto"  # a coordinator that SLURM, Open MPI, Kubernetes or a TPU pod tells JAX of
_ADDRESS = re.compile(r".+:[0-9]{1,5}")
_LONGEST_SCORING = 24 * 3600  # seconds
_NUMBERS = "--processes and --process"


def join_hosts(coordinator: str, processes: int | None, process: int | None) -> None:
    """Makes this process one of several that train together. To be called before JAX is used.

    Args:
      coordinator: host:port of the first process, or CLUSTER.
      processes: how many there are; process: which this is, from 0. None where the cluster tells both.

    Raises:
      InputError: if an argument is wrong, or the others do not come.
    """
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    if coordinator == CLUSTER:
        if processes is not None or process is not None:
            raise InputError(f"--coordinator={CLUSTER} asks the cluster: leave out {_NUMBERS}")
        arguments: dict[str, Any] = {}
    else:
        if not _ADDRESS.fullmatch(coordinator) or not 0 < int(coordinator.rpartition(":")[2]) < 2**16:
            raise InputError(f"--coordinator={coordinator}: give host:port of the first process, or {CLUSTER}")
        if processes is None or process is None or not 0 <= process < processes:
            raise InputError(f"--coordinator needs {_NUMBERS}: how many there are, and which this is, counted from 0")
        arguments = {"coordinator_address": coordinator, "num_processes": processes, "process_id": process}
    try:
        # At its end each process waits for all others, and the first one still has to score.
        jax.distributed.initialize(**arguments, shutdown_timeout_seconds=_LONGEST_SCORING)
    except (JaxRuntimeError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise InputError(
            f"--coordinator={coordinator}: the processes did not come together ({reason}): start all of them with the "
            "same address, each with a number of its own"
        ) from error


def check_alike(told: Mapping[str, Any]) -> None:
    """Refuses to train together where the hosts were not told the same, or have other features.

    Args:
      told: JSON-able, by names that a person knows.

    Raises:
      InputError: on every host.
    """
    from jax.experimental import multihost_utils

    for name, value in told.items():
        digest = bytes.fromhex(digest_bytes(json.dumps(value, sort_keys=True).encode()).xxh3_128)
        every = np.asarray(multihost_utils.process_allgather(np.frombuffer(digest, np.uint8)))
        if different := np.flatnonzero((every != every[:1]).any(axis=1)).tolist():
            raise InputError(f"process {different[0]} has another {name} than process 0: start all with the same")


@contextmanager
def together() -> Iterator[None]:
    """Frames what all hosts do together; with one host it is nothing.

    Raises:
      InputError: if another host has ended before.
    """
    if not are_several_hosts():
        yield
        return
    try:
        yield
    except JaxRuntimeError as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise InputError(
            f"another process has ended or cannot be reached ({reason}): start all of them again with --resume"
        ) from error
