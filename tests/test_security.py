"""What comes from somebody else is data: it is never executed or unpickled, and it cannot grow without end.

Stores, runs, tables, wheels and audio files are made here as an attacker would make them. Paths that lead elsewhere are
in tests/experiments/test_trusted_paths.py, lists of files in tests/listening.
"""

import ast
import gzip
import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import make_store

from experiments.study.plan import read_plan
from experiments.study.songs import read_songs
from musiclust import store
from musiclust.errors import InputError
from musiclust.preprocess.audio import listen, sonify
from musiclust.preprocess.audio.decode import Clip, decode
from musiclust.preprocess.audio.tagger.weights import read_wheel
from musiclust.preprocess.corpora import csv_reader, expansion
from musiclust.preprocess.corpora.base import Request, TableRequest
from musiclust.preprocess.corpora.table import table
from musiclust.preprocess.writing import shards

ROOT = Path(__file__).parent.parent
_FOLDERS = ("musiclust", "experiments", "benchmarks", "docs", ".ci")
SOURCES = sorted(path for folder in _FOLDERS for path in (ROOT / folder).rglob("*.py"))

# Modules that make objects, and so run code, of what they read.
_UNPICKLING = {"pickle", "_pickle", "dill", "cloudpickle", "shelve", "marshal", "jsonpickle"}
_NEVER = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "joblib.load", "torch.hub.load"),
    *("pd.read_pickle", "pandas.read_pickle", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("shutil.unpack_archive", "tempfile.mktemp"),
}


# Work goes to the workers of a cluster as functions, pickled: who may speak to its scheduler may run code there anyway.
_TO_WORKERS = {
    "musiclust/preprocess/machines/dispatch.py": ["cloudpickle"],
    "musiclust/preprocess/machines/on_worker.py": ["cloudpickle"],
}


def unsafe(source: str) -> list[str]:
    """What in a source could execute or unpickle what it reads, or write where an archive says."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found += [name for name in names if name.partition(".")[0] in _UNPICKLING]
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        of_numpy, of_torch = called in ("np.load", "numpy.load"), called == "torch.load"
        dangers = (
            called in _NEVER or called.endswith("extractall"),
            any(given.get(name, "False") != "False" for name in ("allow_pickle", "shell", "trust_remote_code")),
            of_numpy and len(node.args) > 2,
            of_torch and given.get("weights_only") != "True",
            bool(re.search("allow_pickle|weights_only|shell", given.get(None, ""))),
        )
        found += [ast.unparse(node)] * any(dangers)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_executes_or_unpickles_what_it_reads(path):
    allowed = _TO_WORKERS.get(path.relative_to(ROOT).as_posix(), [])
    assert unsafe(path.read_text(encoding="utf-8")) == allowed


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import cloudpickle as cp",
        "eval(text)",
        "exec(text)",
        "compile(text, '', 'exec')",
        "__import__(name)",
        "os.system(text)",
        "os.popen(text)",
        "yaml.load(file)",
        "joblib.load(path)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=trusted)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=trusted)",
        "np.load(path, None, True)",
        "np.load(path, **{'allow_pickle': True})",
        "np.lib.format.read_array(file, allow_pickle=True)",
        "subprocess.run(text, shell=True)",
        "subprocess.Popen(text, shell=trusted)",
        "subprocess.getoutput(text)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "archive.extractall(folder)",
        "pd.read_pickle(path)",
    ],
)
def test_the_search_finds(line):
    assert unsafe(line)


@pytest.mark.parametrize(
    "line",
    [
        "np.load(path)",
        "np.load(path, mmap_mode='r', allow_pickle=False)",
        "torch.load(path, weights_only=True)",
        "network.eval()",
        "re.compile(text)",
        "program.lower().compile()",
        "subprocess.run([sys.executable, path])",
        "yaml.safe_load(file)",
        "joblib.Parallel(2)",
    ],
)
def test_the_search_passes_over(line):
    assert unsafe(line) == []


class Payload:
    """An object that makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def objects(mark: Path) -> np.ndarray:
    values = np.empty((2, 2), dtype=object)
    values[:] = Payload(mark)
    return values


def npy(mark: Path) -> bytes:
    file = io.BytesIO()
    np.save(file, objects(mark), allow_pickle=True)
    return file.getvalue()


def npz(mark: Path) -> bytes:
    file = io.BytesIO()
    names = ("digests", "specs", "track_id", "size", "mtime_ns", "duration", "warning")
    np.savez(file, allow_pickle=True, **dict.fromkeys(names, objects(mark)))
    return file.getvalue()


def finished_run(place: Path) -> Path:
    place.mkdir()
    (place / "tracks.csv").write_text("track_id,cluster\na,0\nb,1\n")
    (place / "metrics.json").write_text(json.dumps({"format": 3, "rows": [], "clusters": []}))
    return place


def read_table(path: Path) -> None:
    table(Request(table=TableRequest(path)))


def read_block(place: Path, content: bytes) -> None:
    root = make_store(place / "store", 4)
    for path in [root / "mfcc_mean.npy", *root.glob("mfcc_mean*/*.npy")]:
        path.write_bytes(content)
    store.load_block(root, "mfcc_mean")


def read_text_model(place: Path, content: bytes) -> None:
    (place / "lyrics.model.npz").write_bytes(content)
    store.load_text_model(place)


def read_npy_table(place: Path, content: bytes) -> None:
    (place / "table.npy").write_bytes(content)
    read_table(place / "table.npy")


def read_latents(place: Path, content: bytes) -> None:
    run = finished_run(place / "run")
    (run / "latents.npy").write_bytes(content)
    read_songs(run)


def read_traversals(place: Path, content: bytes) -> None:
    (place / "traversals.npy").write_bytes(content)
    (place / "spec.json").write_text("{}")
    sonify.sonify_folder(place)


READERS: dict[str, tuple[Callable[[Path, bytes], None], Callable[[Path], bytes]]] = {
    "a block of a store": (read_block, npy),
    "the text model of a store": (read_text_model, npz),
    "a table": (read_npy_table, npy),
    "latents of a run": (read_latents, npy),
    "traversals of a run": (read_traversals, npy),
}


@pytest.mark.parametrize("name", READERS)
def test_objects_of_python_are_refused_in_one_line_and_never_made(tmp_path, name):
    read, write = READERS[name]
    mark = tmp_path / "executed"
    for content in (write(mark), pickle.dumps(Payload(mark))):
        place = tmp_path / str(len(content))
        place.mkdir()
        with pytest.raises(InputError) as refused:
            read(place, content)
        assert "\n" not in str(refused.value)
        assert "allow_pickle" not in str(refused.value)  # NumPy's advice is to load it unsafely
    assert not mark.exists()
    pickle.loads(pickle.dumps(Payload(mark)))
    assert mark.exists()  # it would have worked


def test_a_shard_with_objects_of_python_is_torn(tmp_path):
    mark = tmp_path / "executed"
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / "1.npz").write_bytes(npz(mark))
    found = shards.find_finished(tmp_path, listen.list_specs(listen.Settings()))
    assert all(not there for there in found.values())
    assert not mark.exists()


@pytest.mark.slow
def test_a_model_of_whisper_executes_nothing(tmp_path):
    pytest.importorskip("whisper")
    mark = tmp_path / "executed"
    (tmp_path / "model.pt").write_bytes(pickle.dumps({"dims": Payload(mark), "model_state_dict": {}}))
    from musiclust.preprocess.lyrics import whisper_model

    with pytest.raises(InputError):
        whisper_model.check(whisper_model.Settings(str(tmp_path / "model.pt"), device="cpu"))
    import torch

    torch.save({"dims": Payload(mark), "model_state_dict": {}}, tmp_path / "zipped.pt")
    with pytest.raises(InputError):
        whisper_model.check(whisper_model.Settings(str(tmp_path / "zipped.pt"), device="cpu"))
    assert not mark.exists()


def header(shape: tuple[int, ...], descr: str = "<f8") -> bytes:
    file = io.BytesIO()
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    text += " " * (63 - (10 + len(text)) % 64) + "\n"
    file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode())
    return file.getvalue()


@pytest.mark.parametrize(
    "shape",
    [(10**12, 57), (2**62, 8), (2**64, 2), (2**31, 2**33), (-1, 5), (10**300, 1)],
    ids=lambda shape: str(shape[0])[:20],
)
@pytest.mark.parametrize("name", [name for name in READERS if name != "the text model of a store"])
def test_a_header_of_a_billion_rows_costs_nothing(tmp_path, name, shape):
    read, _ = READERS[name]
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as refused:
            read(tmp_path, header(shape) + bytes(64))
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()
    assert "\n" not in str(refused.value)


def test_an_archive_that_tells_of_more_than_any_is_refused(tmp_path):
    """Two arrays that unpack to 3 GiB each, by what the archive says of them."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("digests.npy", "values.npy"):
            archive.writestr(name, header((3 * 2**27,)) + bytes(2**16))
    content = bytearray(file.getvalue())
    for found in re.finditer(b"PK\x01\x02", bytes(content)):
        content[found.start() + 24 : found.start() + 28] = struct.pack("<I", 3 * 2**30)
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            read_text_model(tmp_path, bytes(content))
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


def pack(rows: int) -> bytes:
    return gzip.compress(b"id,a,b\n" + b"".join(b"t%d,0,0\n" % i for i in range(rows)))


def test_a_packed_table_may_not_unpack_to_more_than_any_table(tmp_path, monkeypatch):
    monkeypatch.setattr(expansion, "ALWAYS", 2**20)
    bomb = gzip.compress(b"id,a,b\n" + b"t,0,0\n" * 2**20)
    (tmp_path / "bomb.csv.gz").write_bytes(bomb)
    assert expansion.FOLD * len(bomb) < 6 * 2**20
    with pytest.raises(InputError, match=r"bomb\.csv\.gz: unpacks to more than .* MB"):
        read_table(tmp_path / "bomb.csv.gz")
    monkeypatch.setattr(expansion, "ALWAYS", 0)
    (tmp_path / "honest.csv.gz").write_bytes(pack(3000))  # some 10 fold
    read_table(tmp_path / "honest.csv.gz")


def test_a_parquet_table_may_not_unpack_to_more_than_any_table(tmp_path, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    monkeypatch.setattr(expansion, "ALWAYS", 2**16)
    rows = 2**20
    parquet.write_table(pyarrow.table({"a": np.zeros(rows), "b": np.ones(rows)}), tmp_path / "bomb.parquet")
    assert 8 * rows > expansion.FOLD * (tmp_path / "bomb.parquet").stat().st_size
    with pytest.raises(InputError, match=r"bomb\.parquet: unpacks to more than"):
        read_table(tmp_path / "bomb.parquet")
    values = np.random.default_rng(0).normal(size=(2000, 2))
    parquet.write_table(pyarrow.table({"a": values[:, 0], "b": values[:, 1]}), tmp_path / "honest.parquet")
    read_table(tmp_path / "honest.parquet")


def test_no_line_and_no_cell_of_a_table_is_endless(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_reader, "_LONGEST", 2**16)
    for name, end in (("line.csv", b"1"), ("zeros.csv", b"")):
        (tmp_path / name).write_bytes(b"id,a\nx," + end)
        with open(tmp_path / name, "r+b") as file:
            file.truncate(2**40)  # a terabyte, none of it on the disk
        with pytest.raises(InputError, match="has a line of 65,536 characters or more, so it is no table"):
            read_table(tmp_path / name)
    (tmp_path / "cell.csv").write_text('id,a\nx,"1\n' + "2\n" * 2**16)
    with pytest.raises(InputError, match="field larger than field limit"):
        read_table(tmp_path / "cell.csv")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="devices of POSIX")
def test_an_endless_stream_in_the_place_of_a_file_is_refused(tmp_path):
    endless = Path("/dev/zero")
    run, root = finished_run(tmp_path / "run"), make_store(tmp_path / "store", 4)
    (run / "config.json").symlink_to(endless)
    (run / "latents.npy").symlink_to(endless)
    (root / "corpus.json").symlink_to(endless)
    readers: dict[str, Callable[[], object]] = {
        "config.json": lambda: read_plan(run),
        "latents.npy": lambda: read_songs(run),
        "corpus.json": lambda: store.load_corpus(root),
        "the wheel": lambda: read_wheel(endless),
        "a table": lambda: read_table(endless),
    }
    for read in readers.values():
        started = time.monotonic()
        with pytest.raises(InputError, match="pipe, socket or device, not a file") as refused:
            read()
        assert time.monotonic() - started < 5
        assert "\n" not in str(refused.value)


def sound(kind: str, **how: str) -> bytearray:
    """A second of noise."""
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).normal(size=22_050) * 0.1, 22_050, format=kind, **how)
    return bytearray(file.getvalue())


def flac(rate: int, channels: int, frames: int) -> bytes:
    """A FLAC file whose header tells of that rate (Hz), and so many channels and frames."""
    content = sound("FLAC")
    bits = rate << 44 | (channels - 1) << 41 | 15 << 36 | frames
    content[18:26] = bits.to_bytes(8, "big")
    return bytes(content)


def wav(channels: int, rate: int, length: int) -> bytes:
    content = sound("WAV")
    data = content.index(b"data")
    content[22:28] = struct.pack("<HI", channels, rate)
    content[data + 4 : data + 8] = struct.pack("<I", length)
    return bytes(content)


def mp3(frames: int, tag: int) -> bytes:
    """An mp3 file with a Xing header of that many frames, after an ID3 tag that tells of so many bytes and has none."""
    content = sound("MP3", subtype="MPEG_LAYER_III")
    place = max(content.find(b"Xing"), content.find(b"Info"))
    if place >= 0:
        content[place + 8 : place + 12] = struct.pack(">I", frames)
    size = bytes(tag >> shift & 0x7F for shift in (21, 14, 7, 0))
    return (b"ID3\x03\x00\x00" + size if tag else b"") + bytes(content)


ABSURD = {
    "FLAC of 2^36 frames": lambda: flac(22_050, 1, 2**36 - 1),
    "FLAC of 8 channels at a megahertz": lambda: flac(2**20 - 1, 8, 2**36 - 1),
    "FLAC at no rate": lambda: flac(0, 1, 22_050),
    "wav of 65,535 channels": lambda: wav(65_535, 22_050, 2**32 - 1),
    "wav of 1,024 channels": lambda: wav(1024, 22_050, 2**32 - 1),
    "wav at four gigahertz": lambda: wav(1, 2**32 - 1, 2**32 - 1),
    "wav at no rate": lambda: wav(1, 0, 2**32 - 1),
    "mp3 of 2^32 frames": lambda: mp3(2**32 - 1, 0),
    "mp3 with a tag of 256 MB": lambda: mp3(40, 2**28 - 1),
}


@pytest.mark.parametrize("name", ABSURD)
def test_absurd_headers_of_audio_cost_no_memory_and_no_time(tmp_path, name):
    path = tmp_path / f"song.{name.split()[0].lower()}"
    path.write_bytes(ABSURD[name]())
    decode(path_of_good_file(tmp_path))  # what is imported at the first use is not counted
    tracemalloc.start()
    started, refused = time.process_time(), ""
    try:
        heard = decode(path)
        assert isinstance(heard, Clip)
        assert np.isfinite(heard.samples).all()
    except InputError as error:
        refused = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert "\n" not in refused
    assert peak < 2**28
    assert time.process_time() - started < 10


def path_of_good_file(folder: Path) -> Path:
    path = folder / "good.wav"
    path.write_bytes(bytes(sound("WAV")))
    return path


def test_every_requirement_is_in_the_notice_with_its_licence():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(one for extra in extras for one in extra)]
    names = {re.split(r"[\[<>=! ;]", one)[0].lower() for one in wanted} - {"musiclust"}
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    # A line begins with one or more names, perhaps a version, and then the licence.
    told = {
        name.strip().lower().replace("_", "-")
        for line in notice.splitlines()
        if (match := re.match(r"([\w\-]+(?:, [\w\-]+)*)(?:\[\w+\])?(?: [\d.]+ +| {2,})\S", line))
        for name in match[1].split(",")
    }
    assert {name.replace("_", "-") for name in names} <= told


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="a shell")
def test_the_audit_of_ci_never_fails_for_want_of_a_network(tmp_path):
    """The registry is one that refuses: the audit is skipped, aloud, and the step ends well."""
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_NO_INDEX": "", "PIP_CONFIG_FILE": os.devnull}
    command = ["bash", str(ROOT / ".ci" / "audit"), sys.executable, str(tmp_path)]
    done = subprocess.run(command, env=os.environ | nowhere, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "SKIPPED: the audit for known vulnerabilities" in done.stdout
    assert "numpy" in done.stdout  # the licences need no network
