"""The devices there are, what memory they have, and how replicas are laid out on them.

    layout = arrange(R, count_devices(), footprint, max_memory)

Replicas are sharded over the devices, side by side under vmap where these are accelerators, and in groups that fit the
memory. Where there are more devices than replicas, each batch may be split over all of them instead.
"""

import math
import os
from typing import Any, NamedTuple

import jax

from musiclust.errors import InputError

# Features that are read into memory are there so many times over while their scaling is fitted, in float64.
_FITTED_TIMES = 5


class Footprint(NamedTuple):
    """Bytes that one replica takes: its state, and what a step holds beside it. Each device has what is shared once."""

    state: int
    step: int
    shared: int = 0


class Layout(NamedTuple):
    """How R replicas are laid out: `groups` of `devices` * `rounds` * `width` places, one group after the other.

    In a group each device has `rounds` times `width` replicas side by side. Places beyond R repeat the last replica.
    Where `split` is more than 1, `devices` is 1 and stands for so many, over which each batch is split.
    """

    devices: int
    width: int
    rounds: int
    groups: int
    split: int = 1

    @property
    def places(self) -> int:
        """Replicas in a group."""
        return self.devices * self.rounds * self.width


def arrange(
    replicas: int, devices: int, each: Footprint, max_memory: int | None = None, *, split: bool = False
) -> Layout:
    """The layout on most devices, then with the fewest groups, then the widest, that keeps within memory.

    Args:
      max_memory: bytes that training may take, of all devices together; None for `memory`.
      split: each batch is split over all devices, which have all else in common.

    Raises:
      InputError: if not even one replica fits.
    """
    if split:
        limit = memory(devices) if max_memory is None else max_memory
        part = each._replace(step=math.ceil(each.step / devices))
        return arrange(replicas, 1, part, limit // devices)._replace(split=devices)
    limit = 0
    for used in range(min(devices, replicas), 0, -1):
        limit = memory(used) if max_memory is None else max_memory
        share = math.ceil(replicas / used)
        for groups in range(1, share + 1):
            each_device = math.ceil(share / groups)
            # A group's states are there twice: those that a chunk begins with and those it ends with.
            left = limit // used - each.shared - 2 * each_device * each.state
            width = min(each_device, left // each.step) if side_by_side() else int(left >= each.step)
            if width >= 1:
                rounds = math.ceil(each_device / width)
                return Layout(used, math.ceil(each_device / rounds), rounds, groups)
    needed = each.shared + 2 * each.state + each.step
    raise InputError(
        f"training takes {needed / 2**30:.2g} GiB, {limit / 2**30:.2g} are allowed: raise `max_memory`, or lower "
        "`batch_size`"
    )


def side_by_side() -> bool:
    """Whether replicas of one device train under vmap: not on a CPU."""
    return jax.default_backend() != "cpu"


def splits_batches(replicas: int, wanted: bool | None = None) -> bool:
    """Whether each batch is split over the devices: as wanted, and always over several hosts.

    If None, where there are more devices than replicas; on a CPU never, for there a replica alone is to the last bit
    the replica in a sweep.
    """
    if are_several_hosts():
        return True
    return side_by_side() and count_devices() > replicas if wanted is None else wanted and count_devices() > 1


def count_devices() -> int:
    """Devices there are: those of all hosts, where there are several."""
    return len(list_devices())


def list_devices() -> list[Any]:
    """The devices of this host, or of all hosts where there are several."""
    return jax.devices() if are_several_hosts() else jax.local_devices()


def are_several_hosts() -> bool:
    """Whether several hosts train together (`jax.distributed`)."""
    return jax.process_count() > 1


def is_first_host() -> bool:
    """Whether this is the host that writes what is trained: the only one, or the first of several."""
    return jax.process_index() == 0


def fits(values: int, max_memory: int | None = None) -> bool:
    """Whether so many features can be trained on in memory; else they have to be streamed.

    A device has them, and once more those of an epoch in their order. The machine has them in float64 too, while the
    scaling is fitted.

    Args:
      values: numbers in all rows together.
      max_memory: bytes that training may take; None for `memory` of one device.
    """
    limit = memory(1) if max_memory is None else max_memory
    return 4 * values * _FITTED_TIMES <= machine_memory() and 2 * 4 * values <= limit


def memory(devices: int) -> int:
    """Bytes that training may take by default: half of the machine's memory, or four fifths of that many
    accelerators'."""
    if side_by_side():
        limits = [(device.memory_stats() or {}).get("bytes_limit", 2**33) for device in jax.local_devices()]
        return int(0.8 * min(limits)) * devices
    return machine_memory() // 2


def machine_memory() -> int:
    """Bytes of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_room(replicas: int, state: int, max_memory: int | None = None) -> None:
    """Raises InputError where the machine cannot hold the states of all replicas, whatever the layout.

    They are there twice when a checkpoint is written: as they are, and as they are saved. They may take half of the
    machine's memory, or `max_memory` where that is more.

    Args:
      state: bytes of one replica's state and History.
    """
    limit = max(machine_memory() // 2, max_memory or 0)
    if 2 * replicas * state > limit:
        raise InputError(
            f"{replicas:,} replicas take {2 * replicas * state / 2**30:,.3g} GiB of memory, {limit / 2**30:,.3g} are "
            f"allowed: train {max(1, limit // (2 * state)):,} of them at a time (name fewer of `seed`, `beta` or "
            "`learning_rate`), or raise `max_memory`"
        )
