"""The whole null: structureless collections of the shape of the store's, put through all that the songs went through.

Each surrogate's features are scaled, a replica with the seed and settings of the one that is shown is trained on them,
and its latents are clustered. All of them are replicas of one program.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments.cli.console import print_line
from experiments.configs import Config
from experiments.study.inputs import Inputs
from musiclust import fusion
from musiclust.checkpoint import Checkpoint
from musiclust.fit import fit
from musiclust.metrics.evidence import DRAWS, Evidence, Structure, measure_structure, rows_to_test, weigh
from musiclust.metrics.judge import Judge
from musiclust.metrics.nulls import KINDS, Surrogates
from musiclust.metrics.reference import reference_space
from musiclust.population import encode_replica
from musiclust.sweep import prepare
from musiclust.types import Data

# Bytes of features of the surrogates that are trained on at once.
_BYTES = 2**30

Report = Callable[[str, int, int], None]


def weigh_pipeline(
    config: Config,
    inputs: Inputs,
    model: Checkpoint,
    chosen: int,
    judge: Judge,
    *,
    root: Path,
    report: Report,
    resume: bool = False,
    draws: int = DRAWS,
) -> Evidence:
    """What the clusters of the replica that is shown are worth beside those of structureless collections.

    Args:
      chosen: index of the replica that is shown; its clusters are those of the judge's first clusterer.
      root: folder of the checkpoints of the surrogates' replicas, so that a killed test goes on where it was.
      resume: whether to go on from what is there.
      draws: surrogates of each kind.
    """
    data, setting, group = inputs.data, model.settings[chosen], inputs.tracks.group
    cluster = judge.clusterer(judge.clusterers[0], setting.seed)
    rows = rows_to_test(group, seed=judge.seed)

    def measure(z: np.ndarray, space: np.ndarray) -> Structure:
        return measure_structure(z[rows], space[rows], cluster, group=group[rows], seed=judge.seed)

    observed = measure(encode_replica(model.model, model.states, chosen, data).mean, judge.reference)
    nulls: dict[str, list[Structure]] = {kind: [] for kind in KINDS}
    asked = [(kind, number) for kind in KINDS for number in range(draws)]
    size = max(1, min(len(asked), _BYTES // data.x.nbytes))
    blocks, judged_by = inputs.blocks, inputs.judged_by
    valid = [*(block.valid for block in blocks), *(np.ones(len(group), bool) for _ in judged_by)]
    surrogates = {
        kind: Surrogates([*(block.values for block in blocks), *judged_by], how=kind, group=group, valid=valid)
        for kind in KINDS
    }
    for start in range(0, len(asked), size):
        batch = asked[start : start + size]
        drawn = [surrogates[kind].draw(number) for kind, number in batch]
        features = [_scaled(config, inputs, values[: len(blocks)]) for values in drawn]
        # The last batch is as large as the others, so that it is the same program.
        features += [features[-1]] * (size - len(batch))
        together = Data(np.concatenate(features), np.tile(data.cond, (size, 1)))
        prepared = prepare(
            model.model,
            replace(model.recipe, patience=0),
            together,
            settings=[setting._replace(rows=line) for line in range(size)],
            rows=inputs.stacked_rows(size),
            epochs=model.epoch,
            max_memory=int(config.max_memory * 2**30) or None,
        )
        title = f"training on structureless data x {len(batch)}"
        trained = fit(
            prepared,
            fusion=model.fusion,
            root=root / str(start // size),
            meta={"config": config.to_json()},
            resume=resume,
            on_epochs=lambda done, _, title=title: report(title, done, model.epoch),
            tell=print_line,
        ).checkpoint
        for line, (kind, _) in enumerate(batch):
            z = encode_replica(model.model, trained.states, line, Data(features[line], data.cond)).mean
            nulls[kind].append(measure(z, reference_space(drawn[line][len(blocks) :])))
            report("judging structureless data", start + line + 1, len(asked))
    return weigh(observed, nulls, how="pipeline")


def _scaled(config: Config, inputs: Inputs, values: list[np.ndarray]) -> np.ndarray:
    """The features of a surrogate, scaled by a transform of their own."""
    blocks = [replace(block, values=one) for block, one in zip(inputs.blocks, values, strict=True)]
    return fusion.fuse(blocks, how=config.fusion, scaling=config.scaling, weights=config.weights).x
