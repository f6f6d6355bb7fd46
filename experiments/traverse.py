"""Moves one latent dimension of a song at a time and draws what is decoded.

Examples:
  python -m experiments.traverse --run=runs/...
  python -m experiments.traverse --run=runs/... --track=bach-003
  python -m experiments.traverse --run=runs/... --out=figures/traversals

Of spectrograms it makes sound too, by Griffin-Lim. disentanglement.json says
whether a dimension stands for a factor that the store knows (its classes), by
MIG, SAP and DCI, and whether other seeds found the same dimensions, by UDR.
"""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments.cli.console import console, print_line
from experiments.cli.interrupt import check_stop
from experiments.cli.program import run
from experiments.study import disentangled, inputs
from experiments.study.jax_setup import set_up_jax
from experiments.study.job import restore_finished
from experiments.study.plan import read_plan
from experiments.study.run_files import read_chosen, replace_nan
from experiments.study.run_store import find_store
from musiclust import streaming
from musiclust.errors import InputError
from musiclust.metrics.latent import kl_per_dim
from musiclust.population import encode_replica, select_replica

_RUN = flags.DEFINE_string("run", None, "Folder of the finished run, under runs/.")
_TRACK = flags.DEFINE_string(
    "track", None, "Song to start from, by its track_id; by default the one nearest to the middle of all."
)
_STORE = flags.DEFINE_string("store", None, "Folder in which the run's store is now, if it is no longer where it was.")
_OUT = flags.DEFINE_string("out", None, "Folder to write; by default traversals/ in the run's.")
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Folder used in place of the user's cache folder (XDG_CACHE_HOME, ~/.cache)."
)
FLAG_GROUPS = {"Input": ("run", "store", "track"), "Files": ("out", "cache_dir")}

STEPS = (-3, -2, -1, 0, 1, 2, 3)  # standard deviations of the aggregate posterior
_MOST = 8  # dimensions, the most informative ones


def main(argv: list[str]) -> int:
    if not _RUN.value:
        raise InputError("name the run to traverse: --run=runs/...")
    set_up_jax(_CACHE_DIR.value)
    plan = read_plan(Path(_RUN.value).expanduser())
    root = find_store(plan, _STORE.value)
    model = restore_finished(plan)["model"]
    if not (plan.run_dir / "metrics.json").exists():
        raise InputError(
            f"{plan.run_dir} is not finished (no metrics.json): finish it with "
            f"python -m experiments.run --resume --run_dir={plan.run_dir}"
        )
    shown = read_chosen(plan.run_dir, len(model.settings))
    state = select_replica(model.states, shown)
    data = inputs.load(plan.config, root, model.fusion)
    given = streaming.place_on_device(data.data)
    q = encode_replica(model.model, model.states, shown, given)
    variational = model.model.variational
    spread = np.sqrt(q.mean.var(axis=0) + (np.exp(q.logvar).mean(axis=0) if variational else 0))
    row = _find_row(data, q.mean)
    told = kl_per_dim(q.mean, q.logvar) if variational else q.mean.var(axis=0)
    dimensions = np.argsort(-told, kind="stable")[:_MOST]
    z = np.tile(q.mean[row], (len(dimensions), len(STEPS), 1))
    for number, dimension in enumerate(dimensions):
        z[number, :, dimension] = q.mean[:, dimension].mean() + np.array(STEPS) * spread[dimension]
    flat = jnp.asarray(z.reshape(-1, z.shape[-1]))
    cond = jnp.tile(jnp.asarray(given.cond[row]), (len(flat), 1))
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    decoded = np.asarray(model.model.apply(variables, flat, cond, False, method="decode"))
    decoded = decoded.reshape(len(dimensions), len(STEPS), *decoded.shape[1:])
    image = decoded.ndim == 4
    values = _in_block_units(decoded, model.fusion) if image else decoded
    spec = {
        "run": str(plan.run_dir),
        "track_id": str(data.tracks.track_id[row]),
        "dimensions": dimensions.tolist(),
        "steps": list(STEPS),
        "kl" if variational else "variance": told[dimensions].tolist(),
        "units": data.blocks[0].spec.get("units", "") if image else "standard deviations, as the model sees them",
    }
    heard = ("sample_rate", "n_fft", "hop_length")
    spec |= {name: data.blocks[0].spec[name] for name in heard if image and name in data.blocks[0].spec}
    out = Path(_OUT.value).expanduser() if _OUT.value else plan.run_dir / "traversals"
    _write(out, values, spec, [] if image or "basis" in model.fusion.arrays[0] else _block_of_each_column(data))
    found = disentangled.measure_disentanglement(model, data, given, shown)
    (out / "disentanglement.json").write_text(json.dumps(replace_nan(found), indent=1), encoding="utf-8")
    if found["classes"]:
        console.print(disentangled.disentanglement_table(found))
    print_line(disentangled.tell_udr(found["udr"]))
    print_line(f"{len(dimensions)} dimensions from {spec['track_id']} in {out}")
    return _make_sound(out) if image else 0


def _find_row(data: inputs.Inputs, means: np.ndarray) -> int:
    """The row of the track asked for, or else of the one nearest to the mean of all."""
    if _TRACK.value is None:
        return int(np.argmin(((means - means.mean(axis=0)) ** 2).sum(axis=1)))
    found = np.flatnonzero(data.tracks.track_id == _TRACK.value)
    if not len(found):
        raise InputError(f"--track={_TRACK.value}: the store has no such track, its first is {data.tracks.track_id[0]}")
    return int(found[0])


def _in_block_units(decoded: np.ndarray, fusion: Any) -> np.ndarray:
    """Spectrograms (K, S, mel, frame) as they are in the store: the scaling of each mel band is undone."""
    (arrays,) = fusion.arrays
    if "length" in arrays:
        raise InputError(
            "--scaling=unit takes from a spectrogram how far it is from the mean: train with --scaling=balanced"
        )
    factor = np.asarray(arrays["factor"], np.float64)[:, None]
    undone = np.divide(decoded, factor, out=np.zeros(decoded.shape), where=factor != 0)
    return (undone + np.asarray(arrays["mean"])[:, None]).astype(np.float32)


def _block_of_each_column(data: inputs.Inputs) -> list[str]:
    return [block.name for block in data.blocks for _ in range(math.prod(block.values.shape[1:]))]


def _write(out: Path, values: np.ndarray, spec: dict[str, Any], blocks: list[str]) -> None:
    """Writes traversals.npy, spec.json and a figure for each dimension."""
    from musiclust.report.plots import save_figures
    from musiclust.report.traversals import traversal

    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "traversals.npy", values)
    (out / "spec.json").write_text(json.dumps(spec, indent=1, ensure_ascii=False), encoding="utf-8")
    name = "kl" if "kl" in spec else "variance"
    unit = " nats" if name == "kl" else ""
    figures = {}
    for number, dimension in enumerate(spec["dimensions"]):
        title = f"Dimension {dimension}, {'KL' if name == 'kl' else name} {spec[name][number]:.2f}{unit}"
        figures[f"dim_{dimension:02d}"] = traversal(values[number], STEPS, title, blocks)
    save_figures(out, figures)


def _make_sound(out: Path) -> int:
    """Lets the preprocessing stage make sound of the spectrograms, in a process of its own."""
    print_line("making sound of them, by Griffin-Lim")
    done = subprocess.run([sys.executable, "-m", "musiclust.preprocess.audio.sonify", str(out)], check=False)
    check_stop()
    return done.returncode


if __name__ == "__main__":
    run(main, groups=FLAG_GROUPS)
