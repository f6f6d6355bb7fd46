"""The benchmarks: how time is taken, their data, their tables, their command lines. No timing is tested."""

import json
import math
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import make_store

from benchmarks import contenders, first_epoch, growing_store, number_of_clusters, rendering, replicas, tables
from benchmarks.measure import in_turn, machine, summary
from benchmarks.number_of_clusters import Case
from musiclust import store
from musiclust.devices import Footprint, Layout
from musiclust.errors import InputError

ROOT = Path(__file__).parents[2]


def test_data_are_standardised_and_the_same_in_every_process():
    job = contenders.job("fma_cvae", 50, 1)
    assert job.beta == 1.0
    assert job.batch_size == 256
    x, cond = contenders.synthetic(job)
    assert x.shape == (50, 20)
    assert cond.shape == (50, 1)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(x.std(axis=0), 1, atol=1e-6)
    np.testing.assert_array_equal(x, contenders.synthetic(job)[0])
    assert contenders.synthetic(contenders.job("gtzan_conv", 9, 1))[0].shape == (9, 128, 431)


def test_pythae_takes_part_only_where_it_can(monkeypatch):
    monkeypatch.setattr(contenders, "find_spec", lambda name: None if name == "pythae" else object())
    assert contenders.contenders(contenders.job("fma_beta", 9, 1))[1] == {"pythae": "not installed"}
    assert "pythae" in contenders.contenders(contenders.job("fma_cvae", 9, 1))[1]
    monkeypatch.setattr(contenders, "find_spec", lambda name: object())
    works = contenders.contenders(contenders.job("fma_vae", 9, 1))[0]
    assert list(works) == ["ours", "ours, bfloat16", "idiomatic", "written", "pythae"]
    assert "pythae" not in contenders.contenders(contenders.job("fma_conv", 9, 1))[0]
    monkeypatch.setattr(contenders, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="PyTorch is not installed"):
        contenders.contenders(contenders.job("fma_vae", 9, 1))


def test_contenders_take_turns_and_the_warm_up_does_not_count():
    order = []

    def contender(name, told):
        def work():
            order.append(name)
            return told[order.count(name) - 1]

        return work

    taken = in_turn({"a": contender("a", [9.0, 1.0, 2.0]), "b": contender("b", [9.0, 3.0, 4.0])}, 2)
    assert "".join(order) == "ababab"
    np.testing.assert_array_equal(taken["a"], [1.0, 2.0])
    np.testing.assert_array_equal(taken["b"], [3.0, 4.0])
    assert summary(np.array([3.0, 1.0, 2.0, 9.0, 0.5])) == {"median": 2.0, "min": 0.5, "max": 9.0}


def test_what_is_too_slow_is_run_once():
    calls = []
    taken = in_turn({"slow": lambda: calls.append("slow") or 5.0, "quick": lambda: 0.1}, 3, most_seconds=5.0)
    assert calls == ["slow"]
    np.testing.assert_array_equal(taken["slow"], [5.0])
    np.testing.assert_array_equal(taken["quick"], [0.1] * 3)
    taken = in_turn({"impossible": lambda: math.inf}, 3)
    np.testing.assert_array_equal(taken["impossible"], [np.inf])


def test_a_contender_that_tells_nothing_is_timed():
    (seconds,) = in_turn({"sum": lambda: None}, 2).values()
    assert seconds.shape == (2,)
    assert (seconds > 0).all()


def test_the_machine_is_named_with_threads_and_date():
    about = machine(["numpy", "no-such-package"])
    assert about["numpy"] == np.__version__
    assert about["no-such-package"] == "not installed"
    assert about["threads"]["usable cores"] >= 1
    assert len(about["date"].split("-")) == 3


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123456, "0.0123"), (1.5, "1.50"), (12.34, "12.3"), (123.4, "123"), (12345.6, "12,346")]
)
def test_numbers_have_three_digits(value, text):
    assert rendering.number(value) == text


def spread(median):
    return {"median": median, "min": 0.9 * median, "max": 1.1 * median}


def results(folder):
    """A folder with a result of every benchmark but features."""
    about = {"cpu": "A processor", "cores": 2, "threads": {"usable cores": 2}, "date": "2026-11-22", "python": "3.11"}
    contender = {"large_product": spread(1.2e11), "share": spread(0.3), "threads": 2, "device": "cpu", "last_loss": 1.0}
    field = {
        "ours": contender | {"seconds": spread(1.5), "ratio": spread(1.0), "loss_gap": 0.0},
        "ours, bfloat16": contender | {"seconds": spread(1.2), "ratio": spread(0.8), "loss_gap": 0.001},
        "idiomatic": contender | {"seconds": spread(6.0), "ratio": spread(4.0), "loss_gap": -0.004},
    }
    preset = {"tracks": 3081, "epochs": 20, "compilation": 4.2, "contenders": field}
    clustered = {
        "points": 30_000,
        "what": "agglomerative",
        "ours": {"why": "needs 7 GB"},
        "scikit-learn": {"seconds": spread(75.0), "repeats": 1, "answer": "ARI 0.500"},
    }
    form = {"collection": "apart", "what": "hdbscan", "points": 10_000, "ari": {"form": 0.98, "moved": 0.91}}
    form |= {"truth": {"exact": 0.5, "form": 0.51}, "seconds": {"exact": 9.0, "form": 1.5}}
    agreement = {"store": "mine", "features": "msd+mtt", "columns": 400, "shuffled": False, "fusion": "concat"}
    agreement |= {"scaling": "balanced", "ari": [0.1, 0.2, 0.3], "nmi": [0.5, 0.6, 0.7]}
    made = {
        "training": {"machine": about, "models": {"fma_beta": preset | {"left_out": {"pythae": "not installed"}}}},
        "clustering": {"machine": about, "k": 8, "dimensions": 32, "rows": [clustered], "agreement": [form]},
        "scale": {
            "machine": about,
            "tracks": 106_574,
            "columns": 57,
            "rows": [
                {"stage": "hdbscan", "seconds": 61.3, "cores": 92.5, "peak": 3 * 2**29, "note": "approximate"},
                {
                    "stage": "hearing, extrapolated",
                    "seconds": 8100.0,
                    "cores": 16200.0,
                    "peak": None,
                    "note": "2 GB",
                },
            ],
        },
        "population": {
            "machine": {"cpu": "Another"},
            "date": "2026-11-23",
            "rows": [
                {"what": "256 models", "figure": spread(0.55), "target": "0.6 at most"},
                {"what": "MB a replica", "figure": summary(np.array([12.34])), "target": ""},
            ],
        },
        "defaults": {
            "machine": about,
            "stores": {"mine": {"tracks": 1000, "classes": "genre", "k": 4}},
            "rows": [
                agreement | {"what": "features", "neighbours": None, "latent_dim": None},
                agreement | {"what": "vae", "neighbours": 1.0, "latent_dim": 32, "low_information": 2},
                agreement | {"what": "vae", "neighbours": 0.0, "latent_dim": 8, "scaling": "unit", "shuffled": True},
            ],
        },
        "number_of_clusters": {
            "machine": about,
            "points": 200,
            "rows": number_of_clusters.summarise(
                [Case("square", 1, 0.0, seed, 200) for seed in range(4)] + [Case("", 8, 3.0, 0, 300)] * 2,
                [(1, 1, 1)] * 3 + [(4, 4, 4), (8, 8, 9), (1, 1, 1)],
            ),
        },
        "start": {"machine": about, "rows": [{"what": "cold", "figure": spread(11.0), "target": "12 at most"}]},
        "page": {"machine": about, "rows": [{"what": "page, MB", "figure": spread(9.0), "target": "12 at most"}]},
    }
    made["adding"] = {
        "machine": about,
        "frames": 431,
        "rows": [{"what": "ten songs", "seconds": 0.1234, "written": 7_350_000, "peak": 300 * 2**20}],
    }
    heard = {"windows_per_second": spread(9.0), "windows_per_second_core": spread(4.5), "ratio": spread(2.5)}
    made["tagger"] = {
        "machine": about,
        "windows": 48,
        "flop": 5.6e9,
        "contenders": {"ours": contender | heard, "PyTorch": contender | heard},
        "left_out": {"onnxruntime": "not installed: onnx"},
        "memory": {"minutes": 30.0, "peak_mib": 801.2, "seconds": 99.0},
    }
    folder.mkdir()
    for name, result in made.items():
        (folder / f"{name}.json").write_text(json.dumps({"command": f"python -m benchmarks.{name}"} | result))
    return folder


def test_tables_of_a_folder_of_results(tmp_path):
    text = tables.markdown(results(tmp_path / "results"))
    assert "`python -m benchmarks.training`, 2026-11-22: A processor, cores 2, python 3.11, usable cores 2" in text
    assert "| fma_beta, 3,081 x 20 | ours | 1.50 (1.35 to 1.65) |" in text
    assert "|  | idiomatic | 6.00 (5.40 to 6.60) | 4.00 (3.60 to 4.40) | -0.4 % | 30 % | 2 |" in text
    assert "|  | ours, bfloat16 | 1.20 (1.08 to 1.32) | 0.800 (0.720 to 0.880) | +0.1 % |" in text
    assert "|  | pythae | not installed |" in text
    assert "| compilation of fma_beta, no cache | 4.2 s |" in text
    assert "float32, PyTorch | 120 GFLOP/s |" in text
    assert "| 30,000 | agglomerative | needs 7 GB |  | 75.0, once | ARI 0.500 |  |" in text
    assert "**Forms for many points, at 10,000**" in text
    assert "| apart | hdbscan | 0.980 | 0.910 | 0.500; 0.510 | 9.00; 1.50 |" in text
    assert "| hdbscan | 61.3 | 92.5 | 1.50 | approximate |" in text
    assert "| hearing, extrapolated | 8,100 | 16,200 |  | 2 GB |" in text
    assert "2026-11-23: Another" in text
    assert "| square | 4 | 25 % (0.6 to 80.6) |" in text
    assert "| all | 4 | 25 % (0.6 to 80.6) |" in text
    assert "| 8 | 3 sd | 2 | 50 % (1.3 to 98.7) | 50 % | 50 % | 4.5 |" in text
    assert "| 256 models | 0.550 (0.495 to 0.605) | 0.6 at most |" in text
    assert "| MB a replica | 12.3 |  |" in text
    assert "| cold | 11.0 (9.90 to 12.1) | 12 at most |" in text
    assert "| page, MB | 9.00 (8.10 to 9.90) | 12 at most |" in text
    assert "| ten songs | 0.123 | 7.35 | 300 |" in text
    assert "| PyTorch | 9.00 (8.10 to 9.90) | 4.50 (4.05 to 4.95) | 2.50 (2.25 to 2.75) | 30 % | 2 |" in text
    assert "| onnxruntime | not installed: onnx |" in text
    assert "all processes, a file of 30 min, all of it heard | 801 MiB |" in text
    assert "**mine: 1,000 tracks, 4 classes of genre; ARI and NMI**" in text
    assert "| features (columns) | scaling | features | VAE 32, neighbours 1 | VAE 8 |" in text
    figures = "0.200 ± 0.248, 0.600"
    assert f"| msd+mtt (400) | balanced | {figures} | {figures}, 2 of low information |  |" in text
    assert f"| msd+mtt (400), columns shuffled | unit |  |  | {figures} |" in text
    assert f"features: not measured; python -m benchmarks.features --out={tmp_path}/results/features.json" in text


def test_what_adding_measures_is_a_store_that_grows(tmp_path):
    ids = growing_store.list_ids(70)
    growing_store.add(tmp_path, ids[3:], ids[3:], 4)
    growing_store.add(tmp_path, ids, ids[:3], 4)
    growing_store.add(tmp_path, ids, ids[5:7], 4, version=1)
    growing_store.merge(tmp_path, ids[1:], 4)
    for name, spec in growing_store.specify(4).items():
        outline = store.load_outline(tmp_path, name)
        assert outline.track_id.tolist() == ids[1:]
        assert outline.layout.rows == 72
        assert outline.layout.shape == tuple(spec["shape"])
    for cold in (False, True):
        growing_store.read_blocks(tmp_path, checked=True, cold=cold)
    with open(tmp_path / "msd.npy", "r+b") as file:
        file.seek(-8, 2)
        file.write(b"damaged!")
    growing_store.read_blocks(tmp_path, checked=False, cold=True)
    with pytest.raises(InputError, match="are not as they were written"):
        growing_store.read_blocks(tmp_path, checked=True, cold=True)
    growing_store.add(tmp_path, ids[1:], ids[1:], 4, version=2)
    growing_store.compact(tmp_path)
    assert store.load_outline(tmp_path, "msd").dead_rows == 0


def test_a_result_of_another_version_is_named(tmp_path):
    path = results(tmp_path / "results") / "training.json"
    path.write_text('{"command": "", "machine": {"cpu": ""}, "models": {"fma_vae": {"ratio": 1}}}')
    with pytest.raises(InputError, match=r"training\.json: not a result of this version .* make it anew"):
        tables.markdown(path.parent)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("tables", "--results=/nowhere"), "--results=/nowhere: no such folder"),
        (("training", "--models=fma_beta,nonsense"), "--models=fma_beta,nonsense: choose from fma_vae"),
        (("training", "--repeats=2"), "flag --repeats=2"),
        (("population", "--replicas=0"), "flag --replicas=0"),
        (("start", "--cold=0"), "flag --cold=0"),
        (("page", "--songs=0"), "flag --songs=0"),
        (("scale", "--audio_dir=/nowhere"), "--audio_dir=/nowhere: there is no such folder"),
        (("scale", "--only=map"), "--only goes on in the --folder of an earlier call"),
        (("defaults",), "name the stores to measure on"),
        (("defaults", "--store=x", "--scaling=half"), "--scaling=half: choose from balanced, unit"),
        (("defaults", "--store=x", "--neighbours=-1"), "--neighbours are weights from 0 up"),
    ],
)
def test_a_bad_flag_is_one_line(command, says):
    name, *arguments = command
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode in (1, 2)
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def run(name, out, *arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", f"benchmarks.{name}", f"--out={out / name}.json", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("shape", number_of_clusters.SHAPES)
def test_shapes_are_points_of_the_number_asked_for(shape):
    z = number_of_clusters.SHAPES[shape](np.random.default_rng(0), 50)
    assert len(z) == 50
    assert np.isfinite(z).all()


def test_clustering_from_points_to_table(tmp_path):
    done = run("clustering", tmp_path, "--points=100,200", "--most_seconds=0.000001", "--agreement=300")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "clustering.json").read_text())
    assert result["command"].startswith("python -m benchmarks.clustering --out=")
    first = {row["what"]: row for row in result["rows"] if row["points"] == 100}
    assert set(first) >= {"kmeans", "gmm", "agglomerative", "dbscan", "hdbscan", "six scores"}
    assert all(row[who]["repeats"] == 1 for row in first.values() for who in ("ours", "scikit-learn"))
    for scores in ("six scores", "of them the silhouette", "reference space and silhouette"):
        assert first[scores]["ours"]["answer"] == first[scores]["scikit-learn"]["answer"]
    assert {row["ours"]["why"] for row in result["rows"] if row["points"] == 200} == {"not run: 0 s at 100 points"}
    assert "| 100 | kmeans |" in tables.markdown(tmp_path)
    told = {(row["collection"], row["what"]): row for row in result["agreement"]}
    assert len(told) == 6
    assert told["apart", "agglomerative"]["ari"]["form"] > 0.99
    assert 0 <= told["one cloud", "hdbscan"]["ari"]["moved"] <= 1


def study(models, epochs, alone_epochs=2):
    job = contenders.job("fma_beta", 30, epochs)._replace(input_shape=(4,), latent_dim=2, options={"hidden": (8,)})
    return replicas.Study(job, models, alone_epochs)


def test_a_population_trains_its_chunks_and_each_replica_as_alone(monkeypatch):
    """Ten replicas on the eight devices of the tests in two groups, 12 epochs in chunks of ten."""
    toy = study(10, 12)
    settings = toy.settings()
    assert [(one.seed, one.beta) for one in settings[:5]] == [(0, 1.0), (0, 2.0), (0, 4.0), (0, 8.0), (1, 1.0)]
    alone = replicas.Trainer(toy, settings[:1])
    assert alone.told().layout == Layout(1, 1, 1, 1)
    each = alone.told().each
    monkeypatch.setattr(
        "musiclust.devices.memory", lambda devices: devices * (each.shared + 3 * each.state + each.step)
    )
    together = replicas.Trainer(toy, settings)
    assert together.told().layout == Layout(8, 1, 1, 2)
    assert together.told().planned > each.state
    together.begin(settings)
    parts = [together.train(1)[1] for _ in range(3)]
    assert [part.shape for part in parts] == [(10, 10), (10, 2), (10, 10)]  # the third begins to count again
    whole = np.concatenate(parts[:2], axis=1)
    for turn in range(2):
        alone.begin([settings[toy.alone(turn)]])
        seconds, losses = alone.train(12)
        assert seconds > 0
        np.testing.assert_array_equal(losses[0], whole[toy.alone(turn)])


def test_figures_of_a_population():
    """By hand: 4 models x 10 epochs; an epoch of all takes 2 s, 2 epochs of one alone 3 s."""
    toy = study(4, 10)
    assert [toy.alone(turn) for turn in range(3)] == [0, 1, 2]
    told = replicas.Told(1.0, "cpu", Layout(2, 1, 2, 1), 1, Footprint(3_000_000, 5_000_000), 16_000_000, 4e9)
    company = [np.full((4, 1), 100.0), np.full((4, 1), 90.0), np.full((4, 1), 80.0)]
    single = [np.array([[100.0, 90.0]]), np.array([[100.0, 90.9]]), np.array([[100.0, 90.0]])]
    found = replicas.figures(
        toy,
        {"alone": told, "together": told},
        {"alone": np.array([3.0, 3.0]), "together": np.array([2.0, 2.0])},
        {"alone": single, "together": company},
        np.array([16e9, 32e9]),
    )
    medians = [row["figure"]["median"] for row in found["rows"]]
    # 20 s for four; 15 s; 5 / 15; 4e9 x 10 / 5; half and a quarter; 2 x 3 + 5 / 2; 16 / 2.
    np.testing.assert_allclose(medians[:-1], [5.0, 15.0, 1 / 3, 8.0, 0.375, 8.5, 8.0])
    np.testing.assert_allclose(found["rows"][-1]["figure"]["max"], 1 - 90 / 90.9)
    assert found["rows"][2]["target"] == "0.6 at most"
    assert found["layout"] == {"devices": 2, "width": 1, "rounds": 2, "groups": 1, "split": 1}
    assert found["scaled"] == "from 1 epochs of the population and 2 of the one alone in each repeat to 10"


def test_the_clock_stops_at_the_line_and_a_failure_is_told():
    says = "import time; print('training model: 0 of 10'); print('training model: 10 of 10'); time.sleep(0.5)"
    began = time.perf_counter()
    seconds = first_epoch.seconds_until(first_epoch.TRAINED, [sys.executable, "-c", says])
    assert 0 < seconds <= time.perf_counter() - began - 0.5
    with pytest.raises(InputError, match=r"exit status 3 of a run that should print 'training model: .*: no more"):
        first_epoch.seconds_until(first_epoch.TRAINED, [sys.executable, "-c", "print('no more'); raise SystemExit(3)"])
    with pytest.raises(InputError, match=r"exit status 0 .* of 10"):
        first_epoch.seconds_until(first_epoch.TRAINED, [sys.executable, "-c", "print('training model: 0 of 10')"])


def test_the_store_to_start_with_can_be_read(tmp_path):
    root = first_epoch.make_store(tmp_path / "store")
    assert len(store.load_tracks(root)) == first_epoch.TRACKS
    assert store.load_block(root, "mfcc_mean").values.shape == (first_epoch.TRACKS, first_epoch.COLUMNS)


@pytest.mark.slow
def test_populations_and_starts_from_nothing_to_table(tmp_path):
    done = run("population", tmp_path, "--replicas=3", "--epochs=3", "--tracks=60", "--columns=4")
    assert done.returncode == 0, done.stderr
    done = run("start", tmp_path, "--warm=1", "--cold=1")
    assert done.returncode == 0, done.stderr
    text = tables.markdown(tmp_path)
    assert "| 3 models x 3 epochs of 60 x 4, s a model |" in text
    assert "| largest difference of a loss from the one alone | 0.00 | 0 |" in text
    assert "| warm cache, s |" in text


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
def test_training_and_features_from_nothing_to_table(tmp_path):
    done = run(
        "training", tmp_path, "--models=fma_cvae,gtzan_conv", "--epochs=3", "--conv_epochs=1", "--spectrograms=8"
    )
    assert "not the same training" in done.stderr or done.returncode == 0, done.stderr  # too short to be the same
    done = run("features", tmp_path, "--clips=1", "--seconds=2")
    assert done.returncode == 0, done.stderr
    text = tables.markdown(tmp_path)
    assert "| gtzan_conv, 8 x 1 | ours |" in text
    assert "| tuning and chroma |" in text
    assert "| decode + ours / the limit |" in text


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
def test_the_tagger_and_its_peers_say_the_same(tmp_path):
    done = run("tagger", tmp_path, "--windows=8", "--minutes=0.5")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "tagger.json").read_text())
    assert {"ours", "ours, a process a core", "PyTorch"} <= set(result["contenders"])
    assert result["flop"] == pytest.approx(5.6e9, rel=0.01)
    assert 100 < result["memory"]["peak_mib"] < 4000
    assert "| ours |" in tables.markdown(tmp_path)


@pytest.mark.slow
def test_defaults_from_stores_to_table(tmp_path):
    root = make_store(tmp_path / "mine", tagger=True)
    small = (f"--store={root}", "--epochs=2", "--seeds=2", "--scaling=unit", "--neighbours=0")
    done = run("defaults", tmp_path, *small, "--features=msd+mtt", "--features=tags", "--latent_dim=2,3")
    assert done.returncode == 0, done.stderr
    path = tmp_path / "defaults.json"
    result = json.loads(path.read_text())
    assert result["stores"] == {"mine": {"tracks": 60, "classes": "genre", "k": 3}}
    assert [(row["what"], row["latent_dim"]) for row in result["rows"]] == [
        *(("features", None), ("pca", 2), ("pca", 3), ("tsne", None), ("vae", 2), ("vae", 3))
    ]
    assert {row["features"] for row in result["rows"]} == {"msd+mtt"}  # the store has no tags
    assert all(len(row["ari"]) == 2 and row["columns"] == 16 for row in result["rows"])
    assert min(result["rows"][0]["ari"]) > 0.9
    # Another command adds to it, and what is there is not measured again.
    done = run("defaults", tmp_path, *small, "--features=msd", "--shuffled", "--latent_dim=2")
    assert done.returncode == 0, done.stderr
    rows = json.loads(path.read_text())["rows"]
    assert rows[:6] == result["rows"]
    assert [row["what"] for row in rows[6:]] == ["features", "pca", "tsne", "vae"]
    assert all(abs(value) < 0.2 for row in rows[6:] for value in row["ari"])
    assert "| msd+mtt (16) | unit | " in tables.markdown(tmp_path)
    other = run("defaults", tmp_path, f"--store={root}", "--epochs=3", "--seeds=2")
    assert other.returncode == 1
    assert "was made with --epochs=2, not 3: name another --out" in other.stderr


@pytest.mark.slow
def test_scale_from_a_store_to_table(tmp_path):
    sound = tmp_path / "music"
    sound.mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).normal(0, 0.1, 22_050 * 6).astype(np.float32)
        soundfile.write(sound / f"{number}.wav", noise, 22_050)
    sizes = ("--tracks=1000", "--columns=12", "--epochs=2", f"--folder={tmp_path / 'made'}")
    done = run("scale", tmp_path, *sizes, f"--audio_dir={sound}", "--files=2", "--preprocess=--tagger=none")
    assert done.returncode == 0, done.stderr
    rows = {row["stage"]: row for row in json.loads((tmp_path / "scale.json").read_text())["rows"]}
    assert {"store", "run: train, cluster, score, draw", "kmeans", "hdbscan", "score", "map", "organize"} <= set(rows)
    assert rows["hearing 1,000 files, extrapolated"]["seconds"] == 500 * rows["hearing 2 files"]["seconds"]
    assert rows["kmeans"]["peak"] > 50e6
    assert len(list((tmp_path / "made" / "run" / "playlists").glob("*.m3u8"))) == 8
    again = run("scale", tmp_path, *sizes, "--only=kmeans")
    assert again.returncode == 0, again.stderr
    assert "| kmeans |" in tables.markdown(tmp_path)


@pytest.mark.slow
def test_streaming_from_a_store_to_its_figures(tmp_path):
    """The last piece of the tracks is filled up, and epochs in memory come several together."""
    sizes = ("--tracks=300", "--peer=64", "--repeats=1", f"--place={tmp_path}")
    done = run("streaming", tmp_path, *sizes)
    assert done.returncode == 0, done.stderr
    figures = {
        row["what"]: row["figure"]["median"] for row in json.loads((tmp_path / "streaming.json").read_text())["rows"]
    }
    in_memory, streamed = (figures[f"an epoch of few tracks, {name}, s"] for name in ("in memory", "streamed"))
    assert figures["streamed / in memory"] == pytest.approx(streamed / in_memory)
    assert {"an epoch, s", "encoding all tracks, s", "GiB of resident memory at most"} <= set(figures)
