"""shards: finished tracks on their way into the blocks; `test_pipeline` sees them survive a kill and a full disk."""

import numpy as np
import pytest
from conftest import make_tracks

from musiclust import store
from musiclust.errors import InputError
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


def test_a_shard_that_was_merged_is_not_merged_again(tmp_path):
    specs = {name: features.spec(name) for name in features.BLOCKS}
    tracks = make_tracks(3)
    files = {i: store.FileRecord(store.Stamp(n, 2), 1.0, "") for n, i in enumerate(tracks.track_id.tolist())}
    shards.save_shard(tmp_path, [shards.Computed(i, file, _features()) for i, file in files.items()], specs)
    kept = (tmp_path / "partial" / "1.npz").read_bytes()
    shards.merge_shards(tmp_path, tracks, shards.find_finished(tmp_path, {"librosa": specs}), {"librosa": specs})
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / "1.npz").write_bytes(kept)  # as if killed before it was removed
    finished = shards.find_finished(tmp_path, {"librosa": specs})
    assert [one.shard for one in finished["librosa"].values()] == [None] * 3
    shards.merge_shards(tmp_path, tracks, finished, {"librosa": specs})
    assert store.load_outline(tmp_path, "melspec").layout.rows == 3
    assert not (tmp_path / "partial").exists()


def test_features_of_files_that_changed_go_before_the_new_files_count(tmp_path, monkeypatch):
    """Beside the stamps of new files those of the old ones would pass for current, if the process was killed then."""
    specs = {name: features.spec(name) for name in features.BLOCKS}
    tracks, heard = make_tracks(2), {"shape": [3], "dtype": "float32", "extractor_version": 1}
    ids = tracks.track_id.tolist()
    store.write_block(tmp_path, "msd", ids, [np.zeros(3, np.float32)] * 2, heard)
    old, new = ({i: store.FileRecord(store.Stamp(1, time), 1.0, "") for i in ids} for time in (2, 3))
    store.save_files(tmp_path, old)
    shards.save_shard(tmp_path, [shards.Computed(i, file, _features()) for i, file in new.items()], specs)
    removed, remove = [], store.remove_block

    def watch(root, name):
        removed.append((name, store.load_files(root) == old))
        remove(root, name)

    monkeypatch.setattr(store, "remove_block", watch)
    shards.merge_shards(tmp_path, tracks, shards.find_finished(tmp_path, {"librosa": specs}), {"librosa": specs})
    assert removed == [("msd", True)]
    assert store.load_files(tmp_path) == new


def test_a_damaged_shard_is_one_line_and_its_tracks_are_made_anew(tmp_path):
    specs = {name: features.spec(name) for name in features.BLOCKS}
    tracks = make_tracks(1)
    file = store.FileRecord(store.Stamp(1, 2), 1.0, "")
    shards.save_shard(tmp_path, [shards.Computed(tracks.track_id[0], file, _features())], specs)
    path = tmp_path / "partial" / "1.npz"
    content = path.read_bytes()
    at = content.index(b"melspec.npy") + 2000
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    finished = shards.find_finished(tmp_path, {"librosa": specs})
    with pytest.raises(InputError, match=r"1\.npz was damaged, and is removed: run the same command again"):
        shards.merge_shards(tmp_path, tracks, finished, {"librosa": specs})
    assert shards.find_finished(tmp_path, {"librosa": specs}) == {"librosa": {}}
    assert store.block_names(tmp_path) == []


def _features() -> dict[str, np.ndarray]:
    noise = np.random.default_rng(0).standard_normal(22_050).astype(np.float32)
    return features.extract(noise, sample_rate=22_050)
