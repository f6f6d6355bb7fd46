"""`python -m experiments.compare`: two runs, from their folders alone."""

import csv
import json
import shutil

import numpy as np
import pytest
from command_line import script

A = np.repeat([0, 1, -1], [6, 4, 2])
B = np.repeat([1, 0, -1, 0], [6, 3, 1, 2])


def make_run(folder, clusters, ids, names, store="stores/one"):
    """The files that a finished run leaves."""
    folder.mkdir()
    rows = [
        {"track_id": one, "cluster": cluster, "title": f"Song {one}", "artist": "=Artist", "path": ""}
        for one, cluster in zip(ids, clusters, strict=True)
    ]
    with open(folder / "tracks.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    rng = np.random.default_rng(0)
    np.save(folder / "latents.npy", (clusters[:, None] * 10 + rng.normal(size=(len(ids), 2))).astype(np.float32))
    scores = {"silhouette": 0.5, "ari": 0.3, "reference_silhouette": 0.1, "n_clusters": 2.0, "coverage": 0.8}
    row = {"name": "vae + kmeans", "kind": "model", "flags": [], "scores": scores}
    corpus = {"store": store, "tracks": len(ids), "classes": "genre", "class_names": ["x", "y"]}
    described = [{"cluster": number, "name": name} for number, name in enumerate(names)]
    metrics = {"format": 3, "rows": [row], "chosen": 0, "corpus": corpus, "clusters": described}
    (folder / "metrics.json").write_text(json.dumps(metrics))


@pytest.fixture
def place(tmp_path):
    ids = [f"t{i:02d}" for i in range(12)]
    make_run(tmp_path / "one", A, ids, ["piano", "@harp"])
    # The second run has them in another order, lacks one and has a new one.
    order = np.random.default_rng(1).permutation(12)
    order = order[order != 0]
    others = [*(ids[i] for i in order), "new"]
    make_run(tmp_path / "two", np.append(B[order], 0), others, ["strings", "solo"])
    return tmp_path


def compare(place, *args):
    code, out, err = script(place, "compare", *args)
    return code, " ".join(out.split()), " ".join(err.split())


def test_songs_are_joined_by_their_ids(place):
    code, out, err = compare(place, str(place / "one"), str(place / "two"))
    assert code == 0, err
    assert "Of the 11 songs that both runs have, 3 (27 %) changed their cluster." in out
    assert "Songs that became noise: 1; that are noise no longer: 2." in out
    assert "Songs that only one has: 1 (comparison.csv names them)." in out
    assert "not comparable: the songs are not the same" in out
    assert "Song t09 by =Artist: from 1: @harp to noise" in out
    folder = place / "two" / "compared" / "one"
    with open(folder / "comparison.csv", newline="") as file:
        rows = {row["track_id"]: row for row in csv.DictReader(file)}
    assert len(rows) == 13
    assert {one for one, row in rows.items() if row["moved"] == "yes"} == {"t09", "t10", "t11"}
    assert rows["t01"] == {
        "track_id": "t01",
        "title": "Song t01",
        "artist": "'=Artist",
        "cluster_a": "0",
        "name_a": "piano",
        "matched_in_b": "1",
        "cluster_b": "1",
        "name_b": "solo",
        "moved": "no",
    }
    assert rows["t10"]["cluster_a"] == rows["t10"]["matched_in_b"] == "-1"
    assert rows["t09"]["name_a"] == "'@harp"
    assert (rows["t00"]["moved"], rows["t00"]["cluster_b"]) == ("only in a", "")
    assert (rows["new"]["moved"], rows["new"]["cluster_a"]) == ("only in b", "")
    page = (folder / "comparison.html").read_text()
    assert "Songs that only one has" in page
    assert "Songs that only two has" in page


def test_a_run_is_the_same_as_itself_and_flags_may_stand_anywhere(place):
    run, out_dir = str(place / "one"), place / "out"
    code, out, err = compare(place, run, f"--out={out_dir}", run, "--songs=0")
    assert code == 0, err
    assert "12 songs that both runs have, 0 (0 %) changed" in out
    assert "one (a)" in out
    before = (out_dir / "comparison.csv").read_bytes(), (out_dir / "comparison.html").read_bytes()
    assert compare(place, run, run, f"--out={out_dir}")[0] == 0
    assert before == ((out_dir / "comparison.csv").read_bytes(), (out_dir / "comparison.html").read_bytes())


@pytest.mark.parametrize(
    ("change", "args", "message"),
    [
        (None, ("one",), "give the folders of two finished runs, not 1"),
        (None, ("one", "two", "one"), "give the folders of two finished runs, not 3"),
        (None, ("one", "nowhere"), "nowhere has no tracks.csv: give the folder of a finished run"),
        ("unlink", ("one", "two"), "two has no latents.npy"),
        ("rows", ("one", "two"), "metrics.json is damaged (no chosen row): run anew"),
        ("ids", ("one", "two"), "have no song in common"),
        ("twice", ("one", "two"), "a track_id is there twice"),
    ],
)
def test_bad_input_gets_one_line(place, change, args, message):
    table = place / "two" / "tracks.csv"
    if change == "unlink":
        (place / "two" / "latents.npy").unlink()
    elif change == "rows":
        (place / "two" / "metrics.json").write_text(json.dumps({"format": 3, "rows": [], "clusters": []}))
    elif change == "ids":
        table.write_text(table.read_text().replace("\nt", "\nu").replace("\nnew", "\nold"))
    elif change == "twice":
        table.write_text(table.read_text().replace("\nnew", "\nt05"))
    shutil.rmtree(place / "out", ignore_errors=True)
    code, _, err = compare(place, *(str(place / name) for name in args), f"--out={place / 'out'}")
    assert code == 1
    assert message in err
    assert err.count("error:") == 1
    assert not (place / "out").exists()
