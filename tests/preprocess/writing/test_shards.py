"""shards: finished tracks on their way into the blocks; `test_pipeline` sees them survive a kill and a full disk."""

import numpy as np

from musiclust.preprocess.audio import features, listen
from musiclust.preprocess.writing import shards


def test_torn_shards_and_shards_of_other_specs_are_dropped(tmp_path):
    specs = {name: features.spec(name) for name in features.BLOCKS}
    other = {name: {**spec, "hop_length": 1} for name, spec in specs.items()}
    stamp, heard = shards.Stamp(1, 2), _heard()
    for track_id, these in (("a", specs), ("b", other), ("c", specs)):
        shards.save_shard(tmp_path, [(track_id, stamp, heard)], these)
    torn = tmp_path / "partial" / "3.npz"
    torn.write_bytes(torn.read_bytes()[:1000])
    done = shards.finished(tmp_path, specs)
    assert list(done) == ["a"]
    assert done["a"].stamp == stamp
    assert [file.name for file in (tmp_path / "partial").iterdir()] == ["1.npz"]


def _heard() -> listen.Heard:
    noise = np.random.default_rng(0).standard_normal(22_050).astype(np.float32)
    return listen.Heard(features.extract(noise, sample_rate=22_050), 1.0, "a warning")
