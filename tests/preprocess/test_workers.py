"""workers: what becomes of a file, whatever it does to its process."""

import os
import signal

import numpy as np
import soundfile

from musiclust.preprocess import workers
from musiclust.preprocess.audio import features, listen


def test_a_file_that_kills_its_process_costs_only_itself():
    def hear(path):  # in a worker process: a decoder that some files kill
        if "killer" in path:
            os.kill(os.getpid(), signal.SIGKILL)
        return path.upper()

    paths = ["a", "b", "killer c", "d", "e", "killer f", "g"]
    results = list(workers.hear_all(paths, workers=2, hear=hear))
    assert sorted(i for i, _ in results) == list(range(7))
    died = workers.Failed("the process that read it died (SIGKILL(-9)): damaged, or too large for the memory")
    assert [result for _, result in sorted(results)] == ["A", "B", died, "D", "E", died, "G"]
    assert list(workers.hear_all([], workers=2, hear=hear)) == []


def test_hear_turns_any_error_into_a_reason(tmp_path, monkeypatch):
    job = listen.Job(str(tmp_path / "noise.wav"), ("librosa",))
    soundfile.write(job.path, np.random.default_rng(0).uniform(-0.1, 0.1, 22_050), 22_050)

    def explode(y, *, sample_rate, pieces):
        raise ZeroDivisionError("by the extractor")

    monkeypatch.setattr(features, "extract", explode)
    assert listen.hear(job, listen.Settings()) == workers.Failed("ZeroDivisionError: by the extractor")
    monkeypatch.setattr(features, "extract", lambda y, *, sample_rate, pieces: {"chroma": np.array([np.nan])})
    assert listen.hear(job, listen.Settings()) == workers.Failed("its chroma came out as NaN or infinity")
