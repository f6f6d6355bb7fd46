"""How JAX is set up before a command trains or scores."""

import jax

from experiments.cli.cores import count_usable_cores
from experiments.cli.places import cache_root


def set_up_jax(cache_dir: str | None) -> None:
    """Makes each core of a CPU a device and keeps compiled programs in the user's cache.

    Replicas train side by side on the devices. Compiling takes longer than training. JAX_COMPILATION_CACHE_DIR, JAX's
    own variable, names another place for the programs. To be called before anything else of JAX.
    """
    jax.config.update("jax_num_cpu_devices", count_usable_cores())
    if not jax.config.jax_compilation_cache_dir:  # pyright: ignore[reportAttributeAccessIssue]
        jax.config.update("jax_compilation_cache_dir", str(cache_root(cache_dir) / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
