"""machines: a scheduler of Dask and its workers, each a process on this machine; what dies, hangs or is not there."""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio.tagger.weights_here import weights_or_skip

from musiclust import store
from musiclust.errors import InputError
from musiclust.preprocess import pipeline
from musiclust.preprocess.audio import listen
from musiclust.preprocess.corpora.base import Request
from musiclust.preprocess.corpora.folder import folder
from musiclust.preprocess.machines import dispatch
from musiclust.preprocess.workers import Failed
from musiclust.preprocess.writing import shards

ROOT = Path(__file__).resolve().parents[2]
RATE = 22_050

needs_dask = pytest.mark.skipif(
    dispatch.importlib.util.find_spec("distributed") is None, reason="the extra `cluster` (dask) is not installed"
)


class Dask:
    """A scheduler of Dask and its workers on loopback."""

    def __init__(self, place: Path) -> None:
        self._place, self._processes = place, []
        self._file = place / "scheduler.json"
        self._start("scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard", f"--scheduler-file={self._file}")
        self.address = _wait_until(lambda: self._file.exists() and self._file.read_text() and self._read_address())

    def _read_address(self) -> str:
        try:
            return json.loads(self._file.read_text())["address"]
        except ValueError:  # it is being written
            return ""

    def start_worker(self, *options: str, **env: str) -> subprocess.Popen:
        """A worker of one thread, if nothing else is said."""
        own = [f"--local-directory={self._place}", "--no-dashboard", "--memory-limit=0", "--host=127.0.0.1"]
        return self._start("worker", self.address, *own, *(options or ("--nthreads=1", "--no-nanny")), **env)

    def _start(self, kind: str, *args: str, **env: str) -> subprocess.Popen:
        with open(self._place / f"{kind}-{len(self._processes)}.log", "wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", *args],
                env={**os.environ, "PYTHONPATH": str(ROOT), **env},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def stop(self) -> None:
        for process in reversed(self._processes):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _count_in_shards(root: Path) -> int:
    return sum(len(np.load(path)["track_id"]) for path in (root / "partial").glob("*.npz"))


def _wait_until(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


@pytest.fixture
def dask(tmp_path) -> Iterator[Dask]:
    """Without workers."""
    place = tmp_path / "dask"
    place.mkdir()
    dask = Dask(place)
    yield dask
    dask.stop()


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory) -> Iterator[Dask]:
    """With a worker of two threads, started by a nanny as Dask starts them."""
    dask = Dask(tmp_path_factory.mktemp("dask"))
    dask.start_worker("--nthreads=2")
    yield dask
    dask.stop()


def tones(music: Path, n: int, seconds: float = 1.0) -> Path:
    music.mkdir()
    t = np.arange(round(seconds * RATE)) / RATE
    for i in range(n):
        noise = np.random.default_rng(i).standard_normal(len(t))
        soundfile.write(music / f"{i:03d}.wav", 0.3 * np.sin(2 * np.pi * (200 + 10 * i) * t) + 0.01 * noise, RATE)
    return music


def preprocess(music: Path, root: Path, **options) -> pipeline.Summary:
    return pipeline.preprocess(folder(Request(audio_dir=music)), root, **{"embedder": "tfidf", **options})


def contents(root: Path) -> dict[str, Any]:
    """All that a store gives."""
    blocks = {name: store.load_block(root, name) for name in store.block_names(root)}
    return {
        "tracks": (root / "tracks.csv").read_bytes(),
        "skipped": store.load_skipped(root),
        "lyrics": store.load_lyrics(root),
        **{name: (b.track_id.tolist(), b.values.tobytes(), b.valid.tolist(), b.spec) for name, b in blocks.items()},
    }


# ----- without Dask, or without any


@pytest.mark.parametrize(
    ("jobs", "threads", "most", "size"),
    [
        (100_000, 64, 200, 200),
        (5_000, 16, 200, 79),
        (1_000, 16, 200, 50),
        (60, 3, 200, 20),
        (2, 8, 200, 1),
        (9, 2, 1, 1),
    ],
)
def test_batches_are_long_enough_and_leave_no_thread_idle(jobs, threads, most, size):
    assert dispatch.choose_size(jobs, threads, most) == size


def test_dask_is_not_loaded_until_it_is_asked_for(monkeypatch):
    code = "import musiclust.preprocess.pipeline, musiclust.preprocess.machines.dispatch, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"dask", "distributed", "tornado"} & set(done.stdout.split())
    monkeypatch.setitem(sys.modules, "distributed", None)  # as if it were not installed
    with pytest.raises(InputError, match=r"`scheduler` needs dask: pip install 'musiclust\[cluster\]'"):
        dispatch.connect("tcp://127.0.0.1:8786").__enter__()


@needs_dask
def test_an_address_that_is_no_scheduler_is_one_line(monkeypatch):
    monkeypatch.setattr(dispatch, "_CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:  # it takes connections and says nothing
        port = mute.getsockname()[1]
        for address, message in (
            ("", "is no address: write tcp://host:8786"),
            ("127.0.0.1:8786", "is no address"),
            (f"tcp://127.0.0.1:{port}", "no scheduler of Dask answers there"),
            ("tcp://127.0.0.1:9", "no scheduler of Dask answers there"),
        ):
            started = time.monotonic()
            with pytest.raises(InputError, match=message) as caught, dispatch.connect(address):
                pass
            assert "\n" not in str(caught.value)
            assert time.monotonic() - started < 10


@needs_dask
def test_versions_are_compared_and_both_are_named():
    from distributed.versions import get_versions

    found = get_versions(packages=["musiclust"])
    dispatch.compare_versions(found, "a worker")
    packages = found["packages"]
    for other, message in (
        ({"python": "3.9.1.final.0"}, r"a worker has Python 3\.9 and this machine Python 3\.1\d: install the same on"),
        ({"musiclust": "0.0.1"}, r"a worker has musiclust 0\.0\.1 and this machine musiclust \d"),
        ({"musiclust": None}, r"a worker has no musiclust and this machine musiclust \d"),
    ):
        with pytest.raises(InputError, match=message):
            dispatch.compare_versions({"packages": {**packages, **other}}, "a worker")


# ----- with a worker


def _work(jobs: Sequence[str], place) -> list:
    """Each word in capitals, but for those that kill their process or take too long."""

    def hear(job: str) -> str:  # in a process of the worker
        import os
        import signal
        import time

        if job == "killer":
            os.kill(os.getpid(), signal.SIGKILL)
        if job == "sleeper":
            time.sleep(600)
        return job.upper()

    return [heard for _, heard in place.hear_all(jobs, hear=hear, seconds=30.0)]


@pytest.fixture
def work() -> Callable:
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # which workers cannot import
    return _work


@needs_dask
def test_a_file_costs_itself_and_not_its_worker(one_worker, work, monkeypatch):
    told = []
    with dispatch.connect(one_worker.address, lambda *args: told.append(args)) as workers:
        found = list(workers.work_all(["a", "killer", "b"], files=[""] * 3, work=work, stage="shouting"))
        assert list(workers.work_all([], files=[], work=work, stage="shouting")) == []
        [address] = workers._workers
    died = Failed("the process that read it died (SIGKILL(-9)): damaged, or too large for the memory")
    assert sorted(i for i, _ in found) == [0, 1, 2]
    assert [result for _, result in sorted(found)] == ["A", died, "B"]
    assert ("shouting", 3, 3) in told
    monkeypatch.setattr(dispatch, "_CONNECT_SECONDS", 5.0)
    with pytest.raises(InputError, match="is a worker of Dask: give the address of its"), dispatch.connect(address):
        pass


@needs_dask
@pytest.mark.slow
def test_a_file_that_takes_too_long_has_failed(one_worker, work):
    with dispatch.connect(one_worker.address) as workers:
        found = list(workers.work_all(["a", "b", "sleeper", "c"], files=[""] * 4, work=work, stage="shouting"))
    late = Failed("it took longer than 0.5 minutes: damaged, or too long")
    assert [result for _, result in sorted(found)] == ["A", "B", late, "C"]


@needs_dask
def test_files_that_a_worker_does_not_see_are_one_line(one_worker, work, tmp_path):
    with open(tmp_path / "here", "w") as file, dispatch.connect(one_worker.address) as workers:
        mine = f"/proc/self/fd/{fcntl.fcntl(file, fcntl.F_DUPFD, 900)}"  # the worker has no such file
        with pytest.raises(InputError, match=rf"the worker tcp\S+ does not see {mine}.*1 of the .*shared file system"):
            list(workers.work_all(["a", "b", "c"], files=["", mine, ""], work=work, stage="shouting"))
        gone = list(workers.work_all(["a", "b", "c"], files=["", "/nowhere", ""], work=work, stage="shouting"))
    assert sorted(gone) == [(0, "A"), (1, Failed("cannot be read: it is there no more")), (2, "C")]


def _refuse(jobs: Sequence[str], place) -> list:
    raise InputError("no weights")


@needs_dask
def test_what_a_batch_raises_names_the_worker(one_worker, work):
    with (
        dispatch.connect(one_worker.address) as workers,
        pytest.raises(InputError, match=r"^the worker tcp://127\.0\.0\.1:\d+: no weights$"),
    ):
        list(workers.work_all(["a"], files=[""], work=_refuse, stage="shouting"))


@needs_dask
@pytest.mark.slow
def test_a_scheduler_needs_workers_of_the_same_versions(dask, work, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(dispatch, "_WAIT_SECONDS", 2.0)
    with dispatch.connect(dask.address, lambda *args: told.append(args)) as workers:
        with pytest.raises(InputError, match=r"there is no worker at tcp://.*, after waiting for 2 s: start some"):
            list(workers.work_all(["a"], files=[""], work=work, stage="shouting"))
        assert told[-1][0].startswith("waiting for workers at tcp://127.0.0.1:")
        other = tmp_path / "other" / "musiclust-0.0.1.dist-info"
        other.mkdir(parents=True)
        (other / "METADATA").write_text("Metadata-Version: 2.1\nName: musiclust\nVersion: 0.0.1\n")
        dask.start_worker(PYTHONPATH=f"{other.parent}{os.pathsep}{ROOT}")
        monkeypatch.setattr(dispatch, "_WAIT_SECONDS", 60.0)
        with pytest.raises(InputError, match=r"the worker tcp\S+ has musiclust 0\.0\.1 and this machine musiclust \d"):
            list(workers.work_all(["a"], files=[""], work=work, stage="shouting"))


# ----- with workers that die or fall silent


def _kill_workers(jobs: Sequence[str], place) -> list:
    import os
    import signal

    if "killer" in jobs:
        os.kill(os.getpid(), signal.SIGKILL)  # the worker itself, as a machine without memory does
    return [job.upper() for job in jobs]


@needs_dask
@pytest.mark.slow
def test_a_file_that_kills_workers_costs_itself(dask, work):
    for _ in range(2):
        dask.start_worker("--nthreads=1")  # with a nanny, which starts it again
    jobs = ["a", "b", "killer", "c", "d", "e", "f"]
    with dispatch.connect(dask.address) as workers:
        found = list(workers.work_all(jobs, files=[""] * 7, work=_kill_workers, stage="shouting"))
    assert sorted(i for i, _ in found) == list(range(7))
    died = Failed(
        "2 workers died over it or fell silent, each with nothing else to do: damaged, or too large for the memory"
    )
    assert [result for _, result in sorted(found)] == ["A", "B", died, "C", "D", "E", "F"]


@needs_dask
@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_the_store_is_the_local_one_though_one_worker_dies_and_one_falls_silent(dask, tmp_path, monkeypatch):
    monkeypatch.setattr(dispatch, "_SILENT_SECONDS", 8.0)
    songs = 240  # so many that a fast machine gives signs of life, one in two seconds, before it is done
    music = tones(tmp_path / "music", songs, seconds=4.0)
    (music / "text.mp3").write_text("not music at all\n" * 50)
    (music / "000.txt").write_text("Early one morning\njust as the sun was rising\n")
    processes = [dask.start_worker() for _ in range(3)]
    lost = []

    def disturb(stage: str, done: int, total: int) -> None:
        if stage == "hearing on workers" and 6 <= done < total - 20 and not lost:
            os.kill(processes[0].pid, signal.SIGKILL)
            os.kill(processes[1].pid, signal.SIGSTOP)
            lost.append(done)

    with dispatch.connect(dask.address, disturb) as workers:
        _wait_until(lambda: workers._look_at_workers() or sum(one.usable for one in workers._workers.values()) == 3)
        progress = []
        report = lambda *args: progress.append(args)  # noqa: E731
        summary = preprocess(music, tmp_path / "far", workers=workers, progress=report)
    assert lost
    assert (summary.found, summary.used, summary.computed, len(summary.skipped)) == (songs + 1, songs, songs, 1)
    assert [args for args in progress if args[0] == "features"] == [
        ("features", i, songs + 1) for i in range(songs + 2)
    ]
    preprocess(music, tmp_path / "near", workers=2)
    assert contents(tmp_path / "far") == contents(tmp_path / "near")


@needs_dask
@pytest.mark.slow
def test_the_blocks_of_a_network_are_the_local_ones(one_worker, tmp_path):
    audio, music = listen.Settings(tagger_weights=weights_or_skip()), tones(tmp_path / "music", 12, seconds=4.0)
    with dispatch.connect(one_worker.address) as workers:
        assert preprocess(music, tmp_path / "far", audio=audio, workers=workers).blocks["msd"][0] == (12, 200)
    preprocess(music, tmp_path / "near", audio=audio, workers=2)
    for name in store.block_names(tmp_path / "near"):
        far, near = (store.load_block(tmp_path / place, name) for place in ("far", "near"))
        assert far.spec == near.spec
        # The place of a patch among those that the network takes at once moves its last bits, here and there.
        np.testing.assert_allclose(far.values, near.values, rtol=0, atol=1e-5 if "weights" in far.spec else 0)


@needs_dask
@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_keeps_what_came_back_and_goes_on(dask, tmp_path, how):
    music, root = tones(tmp_path / "music", 110, seconds=0.5), tmp_path / "store"
    dask.start_worker()
    command = [sys.executable, "-m", "experiments.preprocess", f"--audio_dir={music}", f"--store={root}"]
    process = subprocess.Popen(
        [*command, "--tagger=none", "--lyrics=none", f"--scheduler={dask.address}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    specs = listen.list_specs(listen.Settings())
    # A slow machine saves by the clock, before a shard is full.
    _wait_until(lambda: process.poll() is not None or _count_in_shards(root) >= 32, 300.0)
    assert process.poll() is None, process.stderr.read()
    process.send_signal(how)
    _, errors = process.communicate(timeout=300)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert errors.endswith("stopped; what is done is kept: run the same command again to go on\n")
        assert "Traceback" not in errors
    kept = len(shards.find_finished(root, specs)["librosa"])
    assert 32 <= kept < 110
    with dispatch.connect(dask.address) as workers:
        assert preprocess(music, root, lyrics="none", workers=workers).computed == 110 - kept


@needs_dask
@pytest.mark.slow
def test_a_scheduler_that_goes_away_is_one_line(dask, work, tmp_path):
    dask.start_worker()

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "shouting":
            dask.stop()

    with (
        dispatch.connect(dask.address, stop) as workers,
        pytest.raises(InputError, match=r"scheduler at tcp\S+ has gone or does not answer.*what came back is kept"),
    ):
        list(workers.work_all(["sleeper"], files=[""], work=work, stage="shouting"))


@needs_dask
@pytest.mark.slow
def test_workers_transcribe(dask, tmp_path):
    pytest.importorskip("whisper")
    import torch
    from whisper.model import ModelDimensions, Whisper

    from musiclust.preprocess.lyrics.whisper_model import Settings

    torch.manual_seed(0)
    model = Whisper(ModelDimensions(80, 1500, 16, 2, 1, 51865, 448, 16, 2, 1))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    torch.save({"dims": vars(model.dims), "model_state_dict": model.state_dict()}, tmp_path / "babble.pt")
    music = tones(tmp_path / "music", 3)
    options = {"sample_len": 5, "temperature": 0.0}
    whisper = Settings(str(tmp_path / "babble.pt"), "en", "cpu", options)
    dask.start_worker("--nthreads=2")
    with dispatch.connect(dask.address) as workers:
        preprocess(music, tmp_path / "far", lyrics="whisper", whisper=whisper, gate=None, workers=workers)
        with pytest.raises(InputError, match=r"the worker tcp\S+: Whisper model 'huge': no such file"):
            preprocess(music, tmp_path / "none", lyrics="whisper", whisper=Settings("huge"), workers=workers)
    shutil.copytree(tmp_path / "far", tmp_path / "near")
    (tmp_path / "near" / "lyrics.jsonl").unlink()
    preprocess(music, tmp_path / "near", lyrics="whisper", whisper=whisper, gate=None, workers=2)
    far, near = (
        {i: {**record, "seconds": 0} for i, record in store.load_lyrics(tmp_path / place).items()}
        for place in ("far", "near")
    )
    assert [record["source"] for record in far.values()] == ["whisper"] * 3
    assert far == near
