"""Damage: whatever happens to a file of a store or a run, a command ends in one line, or as if nothing had happened.

A small store and a small run are made on the spot, and another store of songs that are heard. Each damage is done to a
copy, and then the preprocessing stage makes the store anew, or a run reads the store, or the run is evaluated, compared
and organized. Allowed are an error that the commands print in one line, and the very result that the undamaged copy
gives. A traceback, a hang and another result are not.

The commands' functions are called here, in this process. What a run makes of a store follows from what `read_store`
returns, since no later step looks at the store for anything else; so that is compared, and nothing is trained again.
"""

import csv
import io
import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
import xxhash

from experiments.cli.program import tell_failure
from experiments.configs import DEFAULTS
from experiments.study import inputs, run_files
from experiments.study.characters import describe_certainty, describe_songs
from experiments.study.job import carry_out, populations, restore_finished
from experiments.study.kept_names import keep_names, write_record
from experiments.study.plan import Plan, read_plan
from experiments.study.songs import read_songs
from musiclust import checkpoint, store
from musiclust.digests import DIGESTS
from musiclust.errors import InputError
from musiclust.preprocess import pipeline
from musiclust.preprocess.audio import listen
from musiclust.preprocess.corpora.base import Corpus, Request, TableRequest
from musiclust.preprocess.corpora.folder import folder
from musiclust.preprocess.corpora.table import table

SONGS = 24
SECONDS = 120  # from which on a command hangs
LONG = "x" * 5000
QUICK = 60  # damages of the default run

Damage = Callable[[Path, np.random.Generator], None]


class Case(NamedTuple):
    """A damage to a file. sealed: whether the digests are there; without them a figure may change unseen."""

    file: str
    what: str
    damage: Damage
    sealed: bool = True

    def __str__(self) -> str:
        return f"{self.file}, {self.what}{'' if self.sealed else ', without digests'}"


# A store and a run


def _corpus(place: Path) -> Corpus:
    """The corpus of a copy too is that of the whole, or the store would be another corpus's."""
    options = TableRequest(
        Path((place / "songs.txt").read_text()),
        id_column="id",
        class_column=("genre",),
        title_column="title",
        artist_column="artist",
        text_column="words",
    )
    return table(Request(table=options))


def preprocess(place: Path) -> Any:
    pipeline.preprocess(_corpus(place), place / "store", embedder="tfidf")
    return read_store(place)


def read_store(place: Path) -> Any:
    """All that a run knows of its store."""
    root = place / "store"
    config = inputs.complete(_config(), root, keep_features=True)
    given = inputs.load(config, root)
    told = [store.load_lyrics(root).get(track_id, {}).get("words", "") for track_id in given.tracks.track_id.tolist()]
    return config, given._replace(store=Path()), given.reference(), told, describe_songs(root, given.tracks)


def evaluate(place: Path) -> Any:
    """All that a restored run is and says."""
    plan = read_plan(place / "run")
    metrics = run_files.read_metrics(place / "run")
    clusters = checkpoint.restore_arrays(place / "run" / "checkpoints" / "clusters")
    restored = restore_finished(plan, populations(plan.config))
    return plan._replace(run_dir=Path()), restored, clusters, metrics


def organize(place: Path) -> Any:
    """The songs of the run, as they are compared and put into playlists."""
    return keep_names(place / "out", read_songs(place / "run"))


def _config():
    return replace(
        DEFAULTS["autoencoder"],  # which has no second one trained beside it
        features=("table", "lyrics"),
        latent_dim=2,
        epochs=2,
        options=(("hidden", (8,)),),
        baselines=("features",),
    )


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("damage") / "whole"
    place.mkdir()
    rng = np.random.default_rng(0)
    words = ["the sea and the ship", "a hill, a höll ", "rain over the röad", ""]
    (place / "songs.txt").write_text(str(place / "songs.csv"))
    with open(place / "songs.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "genre", "title", "artist", "words", *(f"f{i}" for i in range(5))])
        for i in range(SONGS):
            values = rng.normal(size=5) + 3 * (i % 3)
            about = [
                f"t{i:02d}",
                f"genre {i % 3}",
                f"Sóng, {i}",
                f"Artist {i % 7}",
                f"{words[i % 4]} {i if i % 4 < 3 else ''}",
            ]
            writer.writerow([*about, *(f"{value:.4f}" for value in values)])
    preprocess(place)
    config = inputs.complete(_config(), place / "store", keep_features=True)
    plan = Plan(config, place / "store", place / "run", "python -m experiments.run")
    done = carry_out(plan, lambda stage, done, total: None)
    names = {one["cluster"]: one["name"] for one in done.results["clusters"]}
    agreed, clusters = done.scored.votes.consensus, done.scored.clustering.clusters
    told = describe_songs(place / "store", done.inputs.tracks), describe_certainty(agreed)
    run_files.write_latents(place / "run", done.scored.posterior.mean)
    run_files.write_tracks(place / "run", done.inputs, clusters, agreed, None, names, *told)
    write_record(place / "out", read_songs(place / "run"))
    return place


# Damages


def _flip(path: Path, dice: np.random.Generator) -> None:
    content = bytearray(path.read_bytes())
    bit = int(dice.integers(8 * len(content)))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def _cut(path: Path, dice: np.random.Generator) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: dice.integers(len(content))])


def _cut_last(path: Path, dice: np.random.Generator) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: -int(dice.integers(1, 12))])


def _lose_line(path: Path, dice: np.random.Generator) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[int(dice.integers(len(lines)))]
    path.write_bytes(b"".join(lines))


def _double_line(path: Path, dice: np.random.Generator) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    line = int(dice.integers(len(lines)))
    path.write_bytes(b"".join([*lines[: line + 1], *lines[line:]]))


def _empty(path: Path, dice: np.random.Generator) -> None:
    path.write_bytes(b"")


def _zeros(path: Path, dice: np.random.Generator) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _append(path: Path, dice: np.random.Generator) -> None:
    path.write_bytes(path.read_bytes() + dice.bytes(20))


def _encode(encoding: str) -> Damage:
    def damage(path: Path, dice: np.random.Generator) -> None:
        path.write_bytes(path.read_bytes().decode("utf-8").encode(encoding, "replace"))

    return damage


def _remove(path: Path, dice: np.random.Generator) -> None:
    path.unlink()


def _folder(path: Path, dice: np.random.Generator) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path, dice: np.random.Generator) -> None:
    path.unlink()
    os.mkfifo(path)


def _loop(path: Path, dice: np.random.Generator) -> None:
    path.unlink()
    path.symlink_to(path)


def _long_link(path: Path, dice: np.random.Generator) -> None:
    path.unlink()
    path.symlink_to("x" * 300)


def _foreign(path: Path, dice: np.random.Generator) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + dice.bytes(200))


ANY = {
    "cut": _cut,
    "cut near its end": _cut_last,
    "empty": _empty,
    "zeros": _zeros,
    "longer": _append,
    "gone": _remove,
    "a folder": _folder,
    "a pipe": _pipe,
    "a link to itself": _loop,
    "a link to a long name": _long_link,
    "foreign": _foreign,
}
TEXT = {
    "a line lost": _lose_line,
    "a line twice": _double_line,
    "UTF-16": _encode("utf-16"),
    "Latin-1": _encode("latin-1"),
    "UTF-16 without a mark": _encode("utf-16-le"),
}


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container within a value of JSON, with each of its keys or places."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield value, key
            yield from _places(item)


def _change_json(change: Callable[[Any, Any, np.random.Generator], None], *, lines: bool) -> Damage:
    """Damages one value of a file of JSON, or of one of its lines."""

    def damage(path: Path, dice: np.random.Generator) -> None:
        texts = path.read_text(encoding="utf-8").splitlines() if lines else [path.read_text(encoding="utf-8")]
        number = int(dice.integers(len(texts)))
        record = json.loads(texts[number])
        places = list(_places(record))
        container, key = places[int(dice.integers(len(places)))]
        change(container, key, dice)
        texts[number] = json.dumps(record, ensure_ascii=False)
        path.write_text("\n".join(texts) + "\n" * lines, encoding="utf-8")

    return damage


def _swap_type(container: Any, key: Any, dice: np.random.Generator) -> None:
    others = [1, 1.5, "text", None, True, [], {}, [1], {"a": 1}, -1, 2**70, ""]
    old = container[key]
    choices = [other for other in others if type(other) is not type(old)]
    container[key] = choices[int(dice.integers(len(choices)))]


def _swap_value(container: Any, key: Any, dice: np.random.Generator) -> None:
    swapped = {str: LONG, int: -7, float: 1e38, bool: None, list: [[]], dict: {"x": {}}, type(None): 7}
    container[key] = swapped[type(container[key])]


def _drop_key(container: Any, key: Any, dice: np.random.Generator) -> None:
    del container[key]


def _add_key(container: Any, key: Any, dice: np.random.Generator) -> None:
    if isinstance(container, dict):
        container["surplus"] = 1
    else:
        container.append("surplus")


def _rename_key(container: Any, key: Any, dice: np.random.Generator) -> None:
    if isinstance(container, dict):
        container[f"{key}_"] = container.pop(key)
    else:
        container.reverse()


JSON_CHANGES = {
    "a value of another type": _swap_type,
    "a value that is none": _swap_value,
    "a key lost": _drop_key,
    "a key more": _add_key,
    "a key by another name": _rename_key,
}


def _newer(path: Path, dice: np.random.Generator) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(record | {"format": 99}), encoding="utf-8")


def _change_table(change: Callable[[list[list[str]], int, int], None]) -> Damage:
    def damage(path: Path, dice: np.random.Generator) -> None:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
        change(rows, int(dice.integers(len(rows))), int(dice.integers(len(rows[0]))))
        with open(path, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)

    return damage


def _set_cell(text: str) -> Damage:
    def change(rows: list[list[str]], row: int, column: int) -> None:
        rows[row][column] = text

    return _change_table(change)


def _drop_cell(rows: list[list[str]], row: int, column: int) -> None:
    del rows[row][column]


def _add_cell(rows: list[list[str]], row: int, column: int) -> None:
    rows[row].insert(column, "surplus")


def _drop_column(rows: list[list[str]], row: int, column: int) -> None:
    for cells in rows:
        del cells[column]


def _swap_columns(rows: list[list[str]], row: int, column: int) -> None:
    for cells in rows:
        cells[column], cells[column - 1] = cells[column - 1], cells[column]
    rows[0][column], rows[0][column - 1] = rows[0][column - 1], rows[0][column]


TABLE_CHANGES = {
    "a cell of text": _set_cell("no number"),
    "an empty cell": _set_cell(""),
    "a cell of 5,000 characters": _set_cell(LONG),
    "a cell of 140,000 characters": _set_cell("x" * 140_000),
    "a cell with a line break": _set_cell('a"\r\n,b'),
    "a cell lost": _change_table(_drop_cell),
    "a cell more": _change_table(_add_cell),
    "a column lost": _change_table(_drop_column),
    "two columns swapped": _change_table(_swap_columns),
}


def _save_objects(path: Path, dice: np.random.Generator) -> None:
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(path, digests=objects) if path.suffix == ".npz" else np.save(path, objects, allow_pickle=True)


def _save_other(path: Path, dice: np.random.Generator) -> None:
    other = np.array(["text"])
    np.savez(path, other=other) if path.suffix == ".npz" else np.save(path, other)


def _save_huge(path: Path, dice: np.random.Generator) -> None:
    with open(path, "wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**10, 10**3)}
        np.lib.format.write_array_header_1_0(file, header)


ARRAY_CHANGES = {"pickled objects": _save_objects, "another array": _save_other, "a header of 10^13": _save_huge}


def _kinds(file: str) -> dict[str, Damage]:
    if file.endswith(".csv"):
        return {**ANY, **TEXT, **TABLE_CHANGES}
    if file.endswith((".json", ".jsonl")):
        lines = file.endswith(".jsonl")
        changes = {what: _change_json(change, lines=lines) for what, change in JSON_CHANGES.items()}
        return {**ANY, **TEXT, **changes, **({} if lines else {"newer": _newer})}
    return {**ANY, **ARRAY_CHANGES} if file.endswith((".npy", ".npz")) else ANY


# Which damages there are

BLOCKS = ("store/table.json", "store/table.npy", "store/lyrics.json", "store/lyrics.npy")
STORE = (
    *("store/tracks.csv", "store/corpus.json", "store/lyrics.jsonl", "store/lyrics.model.npz", "store/skipped.csv"),
    *BLOCKS,
)
RUN = ("run/config.json", "run/metrics.json", "run/tracks.csv", "run/latents.npy")
NAMES = "out/clusters.json"  # people may edit it, so that it has no digest
FLIPS = 8


def _cases(place: Path) -> list[Case]:
    """Every damage, the same ones in the same order each time."""
    cases = []
    for file in (*STORE, *RUN):
        cases += [Case(file, f"flip {number}", _flip) for number in range(FLIPS)]
        for what, damage in _kinds(file).items():
            cases += [Case(file, what, damage)] + [Case(file, what, damage, sealed=False)] * (file not in BLOCKS)
    for file in (f"store/{DIGESTS}", f"run/{DIGESTS}"):
        cases += [Case(file, what, damage) for what, damage in _kinds(file).items()]
    cases += [Case(NAMES, what, damage, sealed=False) for what, damage in _kinds(NAMES).items()]
    names = sorted(path.relative_to(place).as_posix() for path in (place / "run" / "checkpoints").rglob("*"))
    files = [name for name in names if (place / name).is_file() and (place / name).stat().st_size]
    dice = np.random.default_rng(0)
    cases += [Case(str(name), f"flip {number}", _flip) for number, name in enumerate(dice.choice(files, 50))]
    for number, (what, damage) in enumerate(2 * list(ANY.items())):
        name = files[int(dice.integers(len(files)))]
        cases.append(Case(name, what, damage, sealed=number < len(ANY)))
    return cases


def _copy(whole: Path, case: Case, seed: int, place: Path) -> Path:
    shutil.copytree(whole, place, symlinks=True)
    if not case.sealed:
        for path in list(place.rglob(DIGESTS)):
            path.unlink()
    case.damage(place / case.file, np.random.default_rng(seed))
    return place


# What becomes of them


class Hang(Exception):
    """A command has not ended."""


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def hang(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _digest(value: Any) -> str:
    """A digest of whatever a command returns, to the last bit."""
    state = xxhash.xxh3_128()

    def add(value: Any) -> None:
        if isinstance(value, jax.Array) and jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
            value = jax.random.key_data(value)
        if isinstance(value, np.ndarray | jax.Array | np.generic):
            array = np.asarray(value)
            state.update(f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        elif isinstance(value, Mapping):
            for key in value:
                add(key)
                add(value[key])
        elif is_dataclass(value) and not isinstance(value, type):
            add({name: getattr(value, name) for name in value.__dataclass_fields__ if name not in ("parent", "name")})
        elif isinstance(value, list | tuple):
            state.update(f"{len(value)}:".encode())
            for one in value:
                add(one)
        else:
            state.update(repr(value).encode("utf-8", "surrogatepass") + b";")

    add(value)
    return state.hexdigest()


def _outcome(command: Callable[[Path], Any], place: Path, expected: str) -> str:
    try:
        with _at_most(SECONDS):
            return "equal" if _digest(command(place)) == expected else "different"
    except Hang:
        return "hang"
    except (InputError, OSError) as error:
        line = tell_failure(error, "go on")
        if line is None:
            return f"traceback: {error!r}"
        return "refused" if "\n" not in line and len(line) < 6000 else f"not one line: {line[:100]}"
    except Exception as error:  # what the commands would print with a traceback
        return f"traceback: {type(error).__name__}: {error}"


def _commands(case: Case) -> Sequence[Callable[[Path], Any]]:
    if case.file.startswith("store/"):
        return read_store, preprocess
    if case.file.startswith("run/checkpoints/"):
        return (evaluate,)
    songs = case.file in ("run/tracks.csv", "run/latents.npy", NAMES)
    return (organize,) if songs else (evaluate, organize)


def _try_all(whole: Path, tmp_path: Path, cases: Sequence[tuple[int, Case]]) -> Counter[str]:
    expected: dict[Any, str] = {command: _digest(command(whole)) for command in (read_store, evaluate, organize)}
    expected[preprocess] = expected[read_store]
    counts, wrong = Counter(), []
    for seed, case in cases:
        for command in _commands(case):
            place = _copy(whole, case, seed, tmp_path / "place")
            found = _outcome(command, place, expected[command])
            shutil.rmtree(place)
            kind = found.partition(":")[0]
            counts[kind if case.sealed else f"{kind}, without digests"] += 1
            if kind not in ("refused", "equal") and (case.sealed or kind != "different"):
                wrong.append(f"{command.__name__} after {case}: {found}")
    print(f"{len(cases)} damages, {sum(counts.values())} commands: {dict(counts)}")
    assert not wrong, "\n".join(wrong)
    return counts


def test_some_damages_are_one_line_or_harmless(whole, tmp_path):
    cases = list(enumerate(_cases(whole)))
    chosen = np.random.default_rng(0).choice(len(cases), QUICK, replace=False)
    counts = _try_all(whole, tmp_path, [cases[number] for number in sorted(chosen.tolist())])
    assert counts["refused"] > QUICK / 2


@pytest.mark.slow
def test_all_damages_are_one_line_or_harmless(whole, tmp_path):
    cases = list(enumerate(_cases(whole)))
    assert len(cases) >= 400
    counts = _try_all(whole, tmp_path, cases)
    assert counts["refused"] > len(cases) / 2


def test_an_undamaged_copy_gives_the_same(whole, tmp_path):
    """What the others are held against, and that a copy can be told from another."""
    copy = shutil.copytree(whole, tmp_path / "place")
    for command in (read_store, evaluate, organize, preprocess):
        assert _digest(command(copy)) == _digest((read_store if command is preprocess else command)(whole))
    values = np.load(copy / "store" / "table.npy")
    values[3, 1] += 1e-3
    np.save(copy / "store" / "table.npy", values)
    assert _outcome(read_store, copy, _digest(read_store(whole))) in ("different", "refused")
    assert _outcome(partial(_raise, ValueError("a")), copy, "").startswith("traceback: ValueError")
    assert _outcome(partial(_raise, InputError("a\nb")), copy, "").startswith("not one line")
    assert _outcome(partial(_raise, OSError(9, "no", "x")), copy, "").startswith("traceback: OSError")


def _raise(error: Exception, place: Path) -> None:
    raise error


# Songs that are heard


def _hear_here(jobs: Sequence[Any], *, workers: int, hear: Callable[[Any], Any]) -> Iterator[tuple[int, Any]]:
    """hear_all in this process."""
    yield from enumerate(map(hear, jobs))


def _hear_some(jobs: Sequence[Any], *, workers: int, hear: Callable[[Any], Any]) -> Iterator[tuple[int, Any]]:
    """The same, stopped after three songs."""
    yield from enumerate(map(hear, jobs[:3]))
    raise KeyboardInterrupt


def hear(place: Path) -> Any:
    music = Path((place / "music.txt").read_text())
    pipeline.preprocess(folder(Request(audio_dir=music)), place / "store", embedder="tfidf")
    root = place / "store"
    blocks = [store.load_block(root, name) for name in store.block_names(root)]
    return (
        store.load_tracks(root),
        store.load_files(root),
        [replace(one, values=np.array(one.values)) for one in blocks],
    )


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """(whole, begun): a store of five songs, and one in which three are on their way into blocks."""
    soundfile = pytest.importorskip("soundfile")
    pytest.importorskip("librosa")
    place = tmp_path_factory.mktemp("heard")
    for number in range(5):
        t = np.arange(22_050) / 22_050
        sound = 0.3 * np.sin(2 * np.pi * (200 + 50 * number) * t) + 0.01 * np.random.default_rng(0).normal(size=len(t))
        (place / "music").mkdir(exist_ok=True)
        soundfile.write(place / "music" / f"{number}.wav", sound, 22_050)
    for name in ("whole", "begun"):
        (place / name).mkdir()
        (place / name / "music.txt").write_text(str(place / "music"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listen, "hear_all", _hear_here)
        hear(place / "whole")
        patch.setattr(listen, "hear_all", _hear_some)
        with pytest.raises(KeyboardInterrupt):
            hear(place / "begun")
    return place / "whole", place / "begun"


@pytest.mark.slow
def test_damages_of_what_was_heard_are_one_line_or_harmless(heard, tmp_path, monkeypatch):
    monkeypatch.setattr(listen, "hear_all", _hear_here)
    whole, begun = heard
    expected, counts, wrong = _digest(hear(whole)), Counter(), []
    cases = [(whole, Case("store/files.csv", what, damage)) for what, damage in _kinds("files.csv").items()]
    cases += [(whole, Case("store/files.csv", f"flip {number}", _flip)) for number in range(8)]
    cases += [(begun, Case("store/partial/1.npz", what, damage)) for what, damage in _kinds("1.npz").items()]
    cases += [(begun, Case("store/partial/1.npz", f"flip {number}", _flip)) for number in range(12)]
    for seed, (source, case) in enumerate(cases):
        place = _copy(source, case, seed, tmp_path / "place")
        for _ in range(2):  # a shard that turns out to be damaged on its way is removed, and the same command goes on
            found = _outcome(hear, place, expected)
            if source == whole or found != "refused":
                break
        shutil.rmtree(place)
        counts[found.partition(":")[0]] += 1
        # A link that leads nowhere is not taken for damage, because what it led to may come back.
        may_refuse = source == whole or case.what.startswith("a link")
        if found != "equal" and not (may_refuse and found == "refused"):
            wrong.append(f"after {case}: {found}")
    print(f"{len(cases)} damages: {dict(counts)}")
    assert not wrong, "\n".join(wrong)
