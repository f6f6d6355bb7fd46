"""The scripts as a person starts them, in processes of their own, on a small store."""

import csv
import json
import math
import os
import shutil
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
from command_line import script, start
from conftest import make_store

from experiments.study.run_files import compare_with_written
from musiclust import store
from musiclust.digests import DIGESTS, forget_digests
from musiclust.errors import InputError


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("scripts")
    make_store(root / "store")
    return root


@pytest.fixture(scope="module")
def finished(place):
    """A finished sweep, that others restore."""
    code, out, err = script(
        place, "run", "--model=cvae", f"--store={place / 'store'}", f"--run_dir={place / 'run'}",
        "--epochs=30", "--seed=0,1", "--beta=0.1,4", "--learning_rate=3e-3",
    )  # fmt: skip
    assert code == 0, err
    return place / "run", out


def test_a_run_writes_what_it_promises(finished):
    run_dir, out = finished
    metrics = json.loads((run_dir / "metrics.json").read_text())
    names = [row["name"] for row in metrics["rows"]]
    baselines = ("features", "unit_features", "pca", "tsne", "autoencoder")
    controls = ("cvae, words shuffled", "cvae, sound only", "mask only")
    assert names == ["cvae + kmeans"] * 4 + [f"{name} + kmeans" for name in (*controls, *baselines) for _ in range(2)]
    # Half of the tracks have words, so that all but the sound alone shows which; none of those is ranked.
    seen = {row["name"] for row in metrics["rows"] if "mask-seen" in row["flags"]}
    assert seen == set(names) - {"cvae, sound only + kmeans"}
    assert [row["kind"] for row in metrics["rows"]] == ["model"] * 4 + ["control"] * 6 + ["baseline"] * 10
    assert metrics["format"] == 3
    trust = metrics["trust"]
    assert trust["evidence"]["how"] == "latents"
    assert trust["k"]["source"] == "classes"
    assert len(trust["controls"]) == 3
    assert trust["mask"]["what"] == "lyrics"
    assert all(math.isfinite(one["jaccard"]) for one in metrics["clusters"])
    assert [(row["seed"], row["beta"]) for row in metrics["rows"][:4]] == [(0, 0.1), (1, 0.1), (0, 4), (1, 4)]
    assert metrics["k"] == 3
    assert metrics["corpus"]["valid"] == {"mfcc_mean": 60, "lyrics": 30}
    # Three well separated classes: every baseline finds them, and so does the replica shown.
    chosen = metrics["rows"][metrics["chosen"]]
    assert chosen["scores"]["ari"] > 0.9
    assert np.load(run_dir / "latents.npy").shape == (60, 32)
    with open(run_dir / "tracks.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert {row["cluster"] for row in rows} == {"0", "1", "2"}
    assert {row["consensus"] for row in rows} == {"0", "1", "2"}
    assert all(0 < float(row["confidence"]) <= 1 and -1 <= int(row["second"]) <= 2 for row in rows)
    # A store without tags, words and descriptors: nothing to make names of, but typical songs all the same.
    assert {row["cluster_name"] for row in rows} == {"no clear character"}
    assert {row["tags"] for row in rows} == {""}
    assert [(one["cluster"], one["size"], len(one["typical"])) for one in metrics["clusters"]] == [
        (0, 20, 8), (1, 20, 8), (2, 20, 8),
    ]  # fmt: skip
    assert "most typical songs" in out
    assert metrics["reading"] in " ".join(out.split())
    assert "95 % interval over n seeds" in " ".join(out.split())
    assert "features: mfcc_mean, lyrics; the store lacks msd, mtt (python -m experiments.preprocess makes them" in out


@pytest.mark.slow
def test_a_run_takes_the_taggers_features_where_they_are(place):
    root = make_store(place / "heard", tagger=True)
    code, out, err = script(
        place, "run", f"--store={root}", f"--run_dir={place / 'heard-run'}", "--epochs=2", "--baselines=unit_features"
    )
    assert code == 0, err
    assert "features: msd, mtt; the words of the store are looked at only by" in out
    config = json.loads((place / "heard-run" / "config.json").read_text())["config"]
    assert (config["model"], config["features"], config["controls"]) == ("vae", ["msd", "mtt"], [])
    metrics = json.loads((place / "heard-run" / "metrics.json").read_text())
    assert metrics["corpus"]["valid"] == {"msd": 60, "mtt": 60}
    assert [row["name"] for row in metrics["rows"]] == [
        f"{name} + kmeans" for name in ("vae", "unit_features", "autoencoder")
    ]


@pytest.mark.slow
def test_evaluate_restores_a_run_on_the_taggers_features(place):
    root = make_store(place / "heard-again", tagger=True)
    where = f"--run_dir={place / 'heard-again-run'}"
    code, _, err = script(place, "run", f"--store={root}", where, "--epochs=2", "--baselines=unit_features")
    assert code == 0, err
    code, out, err = script(place, "evaluate", f"--run={place / 'heard-again-run'}")
    assert code == 0, err
    assert "to the last digit" in out


def test_a_run_shows_figures_and_a_page(finished):
    run_dir, _ = finished
    figures = {path.stem for path in (run_dir / "figures").glob("*.png")}
    assert figures == {
        "training_curves", "map_by_cluster", "map_by_class", "cluster_sizes", "contingency", "kl_per_dim",
        "reconstructions",
    }  # fmt: skip
    page = (run_dir / "report.html").read_text()
    assert "cvae + kmeans" in page
    assert "Song 0" in page


def test_evaluate_restores_the_same_table(place, finished):
    run_dir, out = finished
    code, again, err = script(place, "evaluate", f"--run={run_dir}")
    assert code == 0, err
    assert "figures equal those of metrics.json to the last digit" in again

    def table(text):
        lines = text.splitlines()
        return lines[next(i for i, line in enumerate(lines) if "silhouette" in line) : -3]

    assert set(table(again)) - {""} <= set(out.splitlines())


@pytest.fixture
def moved(place, finished):
    """The run's store, moved to another place; afterwards it is back."""
    shutil.move(place / "store", place / "moved")
    yield place / "moved"
    shutil.move(place / "moved", place / "store")


def test_a_store_that_was_moved_is_asked_for(place, finished, moved):
    asked = (
        f"the store of {finished[0]} is no longer at {place / 'store'}: if it was moved, give --store=<where it is now>"
    )
    for command, *args in (
        ("evaluate", f"--run={finished[0]}"),
        ("traverse", f"--run={finished[0]}"),
        ("run", "--resume", f"--run_dir={finished[0]}"),
    ):
        code, _, err = script(place, command, *args)
        assert code == 1
        assert asked in err


@pytest.mark.slow
def test_a_store_that_was_moved_is_known_by_its_songs(place, finished, moved):
    code, out, err = script(place, "evaluate", f"--run={finished[0]}", f"--store={moved}")
    assert code == 0, err
    assert f"{moved} is the store of the run, moved from {place / 'store'}" in out
    assert "figures equal those of metrics.json to the last digit" in out
    run_dir = shutil.copytree(finished[0], place / "resumed")
    code, _, err = script(place, "run", "--resume", f"--run_dir={run_dir}", f"--store={moved}")
    assert code == 0, err
    assert json.loads((run_dir / "config.json").read_text())["store"] == str(moved)
    code, _, err = script(place, "run", "--resume", f"--run_dir={run_dir}", f"--store={place / 'other'}")
    assert code == 1
    assert "--resume takes the settings from the run: leave out --store" in err


def test_a_store_of_songs_elsewhere_is_refused(place):
    root = make_store(place / "strange", 12)
    tracks = store.load_tracks(root)
    store.save_tracks(
        root, replace(tracks, path=np.array([f"/music/{i}.mp3" for i in range(11)] + ["/etc/secret.mp3"]))
    )
    store.save_corpus(root, {"corpus": "folder", "audio_dir": "/music"})
    code, _, err = script(place, "run", f"--store={root}", f"--run_dir={place / 'strange-run'}", "--epochs=1")
    assert code == 1
    assert f"{root} has the path /etc/secret.mp3, which is not below /music, the folder of its music" in err
    assert "--trust_paths" in err


@pytest.mark.slow
def test_evaluate_on_another_store(place, finished):
    make_store(place / "other", n=24)
    code, out, err = script(place, "evaluate", f"--run={finished[0]}", f"--store={place / 'other'}")
    assert code == 0, err
    assert "24 tracks fall into 3 clusters" in " ".join(out.split())
    make_store(place / "deaf", n=24, lyrics=False)
    code, _, err = script(place, "evaluate", f"--run={finished[0]}", f"--store={place / 'deaf'}")
    assert code == 1
    assert "has no block 'lyrics'" in err


@pytest.mark.slow
def test_evaluate_ends_with_an_error_where_features_changed(place, finished):
    metrics = finished[0] / "metrics.json"
    before, digests = metrics.read_text(), (finished[0] / DIGESTS).read_bytes()
    try:
        record = json.loads(before)
        record["rows"][0]["scores"]["silhouette"] += 1e-9
        metrics.write_text(json.dumps(record))
        changed = script(place, "evaluate", f"--run={finished[0]}")
        forget_digests(finished[0])
        code, _, err = script(place, "evaluate", f"--run={finished[0]}")
        metrics.write_text(json.dumps(record | {"rows": record["rows"][:-1]}))
        fewer = script(place, "evaluate", f"--run={finished[0]}")
    finally:
        metrics.write_text(before)
        (finished[0] / DIGESTS).write_bytes(digests)
    assert changed[0] == 1
    assert "metrics.json is not as it was written" in changed[2]
    assert code == 1
    assert "1 of " in err
    assert fewer[0] == 1
    assert "has 19 rows, the run has 20" in fewer[2]
    assert "silhouette" in err


def test_evaluate_finds_changed_features(finished):
    """A figure that no longer comes out is an error, not a new table."""
    record = json.loads((finished[0] / "metrics.json").read_text())
    rows = record["rows"]
    assert (compare_with_written(finished[0], rows) or 0) > 100
    with pytest.raises(InputError, match="has 20 rows, the run has 19"):
        compare_with_written(finished[0], rows[:-1])
    rows[0]["scores"]["silhouette"] += 1e-9
    with pytest.raises(InputError, match=r"1 of \d+ figures differ from metrics.json, the first is .* silhouette: "):
        compare_with_written(finished[0], rows)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_numbers(place):
    settings = [
        "--model=beta_vae", f"--store={place / 'store'}", "--epochs=500", "--latent_dim=4", "--schedule=constant"
    ]  # fmt: skip
    code, _, err = script(place, "run", *settings, f"--run_dir={place / 'whole'}")
    assert code == 0, err
    killed = start(place, "run", *settings, f"--run_dir={place / 'killed'}", "--checkpoint_seconds=0")
    checkpoints = place / "killed" / "checkpoints" / "model"

    def saved() -> list[int]:
        return [int(path.name) for path in checkpoints.glob("*") if path.name.isdigit()]

    deadline = time.monotonic() + 120
    while not saved() and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (place / "killed" / "metrics.json").exists()
    assert 0 < max(saved()) < 500
    code, _, err = script(place, "evaluate", f"--run={place / 'killed'}")
    assert code == 1
    assert "--resume" in err
    code, _, err = script(place, "run", "--resume", f"--run_dir={place / 'killed'}")
    assert code == 0, err
    whole, resumed = (json.loads((place / name / "metrics.json").read_text()) for name in ("whole", "killed"))
    assert whole["rows"] == resumed["rows"]
    np.testing.assert_array_equal(np.load(place / "whole" / "latents.npy"), np.load(place / "killed" / "latents.npy"))


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_ends_in_one_line_and_the_run_goes_on(place):
    settings = ["--model=vae", f"--store={place / 'store'}", "--latent_dim=4", "--epochs=100000"]
    process = start(place, "run", *settings, f"--run_dir={place / 'stopped'}")
    for line in process.stdout:
        if line.startswith("training model: 0 of"):
            break
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("stopped; what is done is kept: run again with --resume")
    saved = [int(path.name) for path in (place / "stopped" / "checkpoints" / "model").iterdir()]
    assert 0 < max(saved) < 100000


@pytest.mark.slow
def test_classes_that_were_seen_are_marked_and_not_ranked_first(place):
    code, out, err = script(
        place, "run", "--model=cvae", "--condition=genre", f"--store={place / 'store'}", "--epochs=2",
        f"--run_dir={place / 'seen'}",
    )  # fmt: skip
    assert code == 0, err
    metrics = json.loads((place / "seen" / "metrics.json").read_text())
    told = [row for row in metrics["rows"] if row["name"].startswith("cvae")]
    assert [row["kind"] for row in told] == ["model", "control", "control"]  # the controls were told them too
    assert all("class-seen" in row["flags"] for row in told)
    table = [line for line in out.splitlines() if "+ kmeans" in line]
    assert "cvae" in table[-1]


@pytest.mark.parametrize(
    ("name", "args", "code", "message"),
    [
        ("run", ["--modle=vae"], 2, "did you mean --model"),
        ("run", ["--model=vea"], 2, "vae|beta_vae|conv_vae|cvae|autoencoder"),
        ("run", ["--store=/nowhere"], 1, "/nowhere is not a store"),
        ("run", ["--store=/" + 5000 * "x"], 1, "file name too long: /xxx"),
        ("run", ["--resume"], 1, "--resume needs --run_dir"),
        ("run", ["--resume", "--run_dir=/nowhere"], 1, "/nowhere is not a run"),
        ("run", ["--model=vae", "--condition=genre", "--store={store}"], 1, "vae does not look at a condition"),
        ("run", ["--model=cvae", "--condition=none", "--store={store}"], 1, "cvae needs a condition"),
        ("run", ["--model=autoencoder", "--beta=1,2", "--store={store}"], 1, "does not look at --beta: leave that out"),
        ("run", ["--model=autoencoder", "--free_bits=1", "--store={store}"], 1, "does not look at --free_bits"),
        ("run", ["--weights=2", "--store={store}"], 1, "--fusion=concat does not look at --weights: leave them out"),
        ("run", ["--clusterer=dbscan", "--k=7", "--store={store}"], 1, "dbscan does not look at --k: leave it out"),
        ("run", ["--free_bits=nan", "--store={store}"], 2, "--free_bits=nan: give a finite number"),
        ("run", ["--run_dir={store}/tracks.csv", "--store={store}"], 1, "tracks.csv is a file: name a folder"),
        (
            "run",
            ["--k=61", "--model=beta_vae", "--epochs=1", "--store={store}"],
            1,
            "--k=61 is larger than the 60",
        ),
        ("run", ["--label=genre"], 2, "unknown flag --label: it is called --classes now"),
        ("preprocess", ["--label_column=genre"], 2, "unknown flag --label_column: it is called --class_column now"),
        (
            "run",
            ["--model=cvae", "--condition=label:code", "--store={store}"],
            1,
            "--condition=label:code: it is called class:code now",
        ),
        ("run", ["--features=mfcc_mean,colour", "--store={store}"], 1, "no block 'colour'"),
        ("evaluate", [], 1, "name the run to evaluate"),
        ("evaluate", ["--run=/nowhere"], 1, "/nowhere is not a run"),
    ],
)
def test_bad_input_gets_one_line_and_a_status(place, tmp_path, name, args, code, message):
    args = [arg.format(store=place / "store") for arg in args]
    if name == "run" and not any(arg.startswith("--run_dir") for arg in args) and "--resume" not in args:
        args.append(f"--run_dir={tmp_path / 'run'}")
    status, _, err = script(place, name, *args)
    assert status == code
    assert message in err
    assert len([line for line in err.splitlines() if line.startswith("error")]) == 1


def test_a_finished_run_is_not_overwritten(place, finished):
    code, _, err = script(place, "run", f"--store={place / 'store'}", f"--run_dir={finished[0]}")
    assert code == 1
    assert "holds a run already: add --resume" in err


@pytest.mark.slow
@pytest.mark.parametrize("model", ["vae", "conv_vae", "autoencoder"])
def test_every_model_runs(place, model):
    code, _, err = script(
        place, "run", f"--model={model}", f"--store={place / 'store'}", "--epochs=2", f"--run_dir={place / model}"
    )
    assert code == 0, err
    code, out, err = script(place, "evaluate", f"--run={place / model}")
    assert code == 0, err
    assert "to the last digit" in out


@pytest.mark.slow
def test_spectrograms_run(place):
    code, _, err = script(
        place, "run", "--model=conv_vae", "--features=melspec", f"--store={place / 'store'}", "--epochs=2",
        f"--run_dir={place / 'melspec'}",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads((place / "melspec" / "metrics.json").read_text())["corpus"]["input_shape"] == [16, 37]


@pytest.mark.slow
def test_a_run_does_not_go_on_with_another_store(place):
    root = make_store(place / "changing", n=30)
    where = f"--run_dir={place / 'changing-run'}"
    code, _, err = script(place, "run", "--model=vae", f"--store={root}", where, "--epochs=2")
    assert code == 0, err
    code, _, err = script(place, "run", "--resume", where)
    assert code == 0, err
    make_store(root, n=31)
    code, _, err = script(place, "run", "--resume", where)
    assert code == 1
    assert "tracks.csv of " in err
    assert "has changed since the run began" in err


def test_a_run_that_fails_before_its_first_checkpoint_leaves_its_folder_free(place):
    settings = [
        "--model=autoencoder", f"--store={place / 'store'}", f"--run_dir={place / 'failed'}", "--epochs=3",
        "--baselines=features",
    ]  # fmt: skip
    code, _, err = script(place, "run", *settings, "--learning_rate=1e18")
    assert code == 1
    assert "loss is not finite at epoch" in err
    assert len(err.splitlines()) == 1
    code, _, err = script(place, "run", *settings)
    assert code == 0, err


def test_nan_in_a_block_is_called_that(place):
    root = make_store(place / "broken", n=20)
    values = np.load(root / "mfcc_mean.npy")
    values[7, 3] = np.nan
    np.save(root / "mfcc_mean.npy", values)  # as another program may write it, in format 1, which has no digests
    ids = store.load_tracks(root).track_id.tolist()
    record = {"format": 1, "name": "mfcc_mean", "spec": {"columns": []}, "track_id": ids, "invalid": []}
    (root / "mfcc_mean.json").write_text(json.dumps(record))
    code, _, err = script(place, "run", f"--store={root}", f"--run_dir={place / 'broken-run'}", "--epochs=2")
    assert code == 1
    assert "mfcc_mean.npy: 1 tracks hold NaN or infinity, the first is t0007" in err
    assert "learning_rate" not in err
    assert not (place / "broken-run").exists()


@pytest.mark.slow
def test_spectrograms_are_streamed_by_every_command(place):
    """Training with tracks held out and subsamples, the table again, and the traversals."""
    where = f"--run_dir={place / 'streamed'}"
    code, out, err = script(
        place, "run", "--model=conv_vae", "--features=melspec", f"--store={place / 'store'}", "--epochs=2", where,
        "--stream=yes", "--held_out=0.2", "--subsamples=2", "--seed=0,1", "--baselines=features,pca",
    )  # fmt: skip
    assert code == 0, err
    assert "streamed from the disk" in out
    metrics = json.loads((place / "streamed" / "metrics.json").read_text())
    assert len(metrics["rows"]) == 8
    assert metrics["trust"]["information"]["held_out"]["pca_tracks"] == 48
    assert json.loads((place / "streamed" / "config.json").read_text())["config"]["stream"] == "yes"
    code, out, err = script(place, "evaluate", f"--run={place / 'streamed'}")
    assert code == 0, err
    assert "to the last digit" in out
