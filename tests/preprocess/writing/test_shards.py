"""shards: finished tracks on their way into the blocks; `test_pipeline` sees them survive a kill and a full disk."""

import numpy as np

from musiclust import store
from musiclust.preprocess.audio import features
from musiclust.preprocess.writing import shards


def test_torn_shards_and_shards_of_other_specs_are_dropped(tmp_path):
    specs = {name: features.spec(name) for name in features.BLOCKS}
    other = {name: {**spec, "hop_length": 1} for name, spec in specs.items()}
    file, values = store.FileRecord(store.Stamp(1, 2), 1.0, "a warning"), _features()
    for track_id, these in (("a", specs), ("b", other), ("c", specs)):
        shards.save_shard(tmp_path, [shards.Computed(track_id, file, values)], these)
    torn = tmp_path / "partial" / "3.npz"
    torn.write_bytes(torn.read_bytes()[:1000])
    finished = shards.find_finished(tmp_path, {"librosa": specs})["librosa"]
    assert list(finished) == ["a"]
    assert finished["a"].file == file
    assert [file.name for file in (tmp_path / "partial").iterdir()] == ["1.npz"]


def _features() -> dict[str, np.ndarray]:
    noise = np.random.default_rng(0).standard_normal(22_050).astype(np.float32)
    return features.extract(noise, sample_rate=22_050)
