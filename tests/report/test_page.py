"""The page and the map, read back by an HTML parser: nothing from a network, everything escaped, the same numbers."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from musiclust.report import page, plots
from musiclust.report.names import NO_CHARACTER
from musiclust.report.tables import results_sheet
from musiclust.report.trust import answers
from musiclust.types import Tracks

VILE = '</script><script>alert(1)</script> & "Don\'t" <img src=x onerror=alert(2)>'


class Reader(HTMLParser):
    """Collects elements, and the text of each kind of element."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self._open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "link", "br", "input"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self._open[-1] if self._open else "", data.strip()))

    def of(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    def said(self, tag):
        return [text for name, text in self.texts if name == tag]


def songs(n, folder):
    codes = (np.arange(n) % 3 - 1).astype(np.int32)
    title = np.array(["", VILE, *(f"Song {i}" for i in range(2, n))])
    path = np.array(["", *(str(folder / f'{i} it\'s "é" #1 🎵.wav') for i in range(1, n))])
    meta = {"title": title, "artist": np.array(["<b>Anon</b>"] * n), "album": title, "duration": np.zeros(n)}
    names = {"genre": ("<i>folk</i>", "art")}
    ids = np.array([f"t{i:03d}" for i in range(n)])
    return Tracks(ids, path, meta, {"genre": codes}, names, ids)


def run_results():
    scores = dict.fromkeys(
        ["calinski_harabasz", "davies_bouldin", "ari", "ami", "nmi", "purity", "nmi_chance", "nmi_p", "purity_chance"],
        0.25,
    )
    scores |= {"silhouette": 0.25, "silhouette_null": 0.25, "reference_null": 0.25, "coverage": 0.9, "n_clusters": 2.0}
    rows = [
        {
            "name": name,
            "kind": kind,
            "seed": seed,
            "beta": 1.0,
            "learning_rate": 0.001,
            "flags": flags,
            "loss": 1.0,
            "reconstruction": 1.0,
            "active_units": 4,
            "informative_units": 3,
            "total_kl": 2.5,
            "scores": scores | {"reference_silhouette": reference},
        }
        for name, kind, seed, flags, reference in (
            ("cvae <kmeans>", "model", 0, [], 0.4321),
            ("cvae <kmeans>", "model", 1, ["mask-seen"], 0.9876),
            ("pca + kmeans", "baseline", None, [], 0.1234),
        )
    ]
    corpus = {
        "name": "my <songs>",
        "store": "s",
        "tracks": 40,
        "classes": "genre",
        "class_names": ["<i>folk</i>", "art"],
    }
    corpus |= {"features": ["mfcc"], "input_shape": [20], "valid": {"mfcc": 40}, "condition": None}
    model = {"name": "cvae", "parameters": 759508, "latent_dim": 8, "replicas": 2}
    model |= {"training_seconds": 3.14, "device": "cpu"}
    return {
        "command": "python -m experiments.run --model='<cvae>'",
        "created": "2026-11-22T16:40:00+00:00",
        "corpus": corpus,
        "model": model,
        "clusterer": "kmeans",
        "k": 2,
        "rows": rows,
        "chosen": 0,
    }


REASON = {
    "kind": "tag",
    "here": 0.42,
    "elsewhere": 0.09,
    "effect": 4.7,
    "low": 3.1,
    "high": 7.0,
    "unit": "",
    "against": (),
}


def described(tracks, clusters):
    """Clusters as results have them: the first songs are typical, the last one is odd."""

    def song(row):
        return {"track_id": str(tracks.track_id[row]), "title": "not used"}

    members = {code: np.flatnonzero(clusters == code) for code in np.unique(clusters).tolist() if code >= 0}
    return [
        {
            "cluster": code,
            "name": NO_CHARACTER,
            "size": len(rows),
            "jaccard": None if code else 0.86,
            "reasons": [],
            "typical": [song(row) for row in rows[:8]],
            "oddest": [song(rows[-1]) | {"distance": 2.31}],
        }
        for code, rows in members.items()
    ]


@pytest.fixture
def run(tmp_path):
    tracks = songs(40, tmp_path / "audio")
    clusters = np.r_[-1, np.arange(39) % 2].astype(np.int32)
    results = run_results() | {"clusters": described(tracks, clusters)}
    results["clusters"][1] |= {
        "name": "<b>piano</b>, solo",
        "reasons": [REASON | {"word": f"tag {i}"} for i in range(5)],
    }
    song_tags = ["", "<i>piano</i> 0.78", *[""] * 38]
    figures = {
        "cluster_sizes": plots.png(plots.cluster_sizes(clusters)),
        "my_own": plots.png(plots.kl_per_dim(np.ones(3), np.ones(3, bool))),
    }
    path = tmp_path / "report.html"
    xy = np.random.default_rng(0).normal(size=(40, 2))
    page.write_page(
        path, results, figures=figures, tracks=tracks, clusters=clusters, xy=xy, classes="genre", song_tags=song_tags,
        certainty=["between 0 and 1", "<u>sure</u>", *["sure"] * 38],
    )  # fmt: skip
    return path, tracks, clusters


def song_data(reader):
    return json.loads(next(text for text in reader.said("script") if text.startswith('{"xy"')))


def test_page_loads_nothing_and_is_whole(run):
    path, _, _ = run
    reader = Reader(path.read_text(encoding="utf-8"))  # asserts on the way that every element is closed in order
    for tag, attrs in reader.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert attrs.get(name, "data:image/png;base64,").startswith("data:image/png;base64,")
    assert not any("@import" in text or "url(" in text for text in reader.said("style"))
    assert len(reader.of("img")) == 2
    assert all(attrs["alt"] for attrs in reader.of("img"))
    assert all(attrs["scope"] in ("col", "row") for attrs in reader.of("th"))
    assert reader.of("html")[0]["lang"] == "en"
    assert [item.name for item in path.parent.iterdir()] == ["report.html"]  # no temporary file is left


def test_page_escapes_what_comes_from_files(run):
    path, _, _ = run
    reader = Reader(path.read_text(encoding="utf-8"))
    tags = {tag for tag, _ in reader.elements}
    assert not tags & {"b", "i", "u", "kmeans", "cvae", "songs"}
    assert "Cluster 1: <b>piano</b>, solo" in reader.said("h3")
    assert "<u>sure</u> · <i>piano</i> 0.78" in reader.said("span")
    assert len(reader.of("script")) == 2
    assert not any("onerror" in attrs for _, attrs in reader.elements)
    data = song_data(reader)
    assert data["certainty"]["names"] == ["between 0 and 1", "<u>sure</u>", "sure"]
    assert data["tags"]["names"] == ["<i>piano</i> 0.78"]
    assert data["title"] == ["t000", VILE, *(f"Song {i}" for i in range(2, 40))]
    assert VILE in reader.said("span")
    assert reader.said("code") == ["python -m experiments.run --model='<cvae>'"]
    assert "cvae on my <songs>" in reader.said("h1")


def test_page_shows_the_numbers_of_the_terminal(run):
    path, _, _ = run
    reader = Reader(path.read_text(encoding="utf-8"))
    shown = [text for tag, text in reader.texts if tag in ("td", "th", "strong")]
    for line in results_sheet(run_results()).rows:
        for cell in line:
            assert cell.text in shown
    assert "0.432" in reader.said("strong")  # best without a flag
    assert "0.988" not in reader.said("strong")
    assert "mask-seen" in reader.said("span")
    assert reader.said("h2").count("Scores over seeds") == 1
    text = path.read_text(encoding="utf-8")
    assert "40 tracks fall into 2 clusters" in text
    assert "759,508" in text


def test_the_page_says_how_far_to_trust_it(run):
    """In the words of `report.trust`; a run of an earlier version has no such part."""
    path, tracks, clusters = run
    assert "How far to trust it" not in path.read_text(encoding="utf-8")
    measured = {"value": 0.25, "null": 0.2, "p": 0.05}
    evidence = {"how": "latents", "draws": 19, "structured": True, "silhouette": measured, "stability": measured}
    results = run_results() | {
        "clusters": described(tracks, clusters),
        "trust": {
            "evidence": evidence,
            "duplicates": [{"first": "<b>a</b>", "second": "b", "distance": 0.0}],
            "recovery": {"how": "latents", "partitions": 11, "jaccard": [0.9, None], "sure": 0.8},
        },
    }
    page.write_page(
        path, results, figures={}, tracks=tracks, clusters=clusters, xy=np.zeros((40, 2)), classes="genre",
        song_tags=[""] * 40, certainty=["sure"] * 40,
    )  # fmt: skip
    reader = Reader(path.read_text(encoding="utf-8"))
    assert "How far to trust it" in reader.said("h2")
    told = answers(results)
    assert [one.question for one in told] == [
        "Are there groups at all?", "Would the same groups come back?", "Is a song there twice?"
    ]  # fmt: skip
    for answer in told:
        assert answer.question in reader.said("dt")
        assert answer.verdict in reader.said("span")
        assert answer.text in reader.said("dd")
    verdicts = [attrs["class"] for attrs in reader.of("span") if attrs.get("class", "").startswith("verdict")]
    assert verdicts == ["verdict not", "verdict yes", "verdict yes"]


def test_page_lists_the_clusters(run):
    path, tracks, clusters = run
    reader = Reader(path.read_text(encoding="utf-8"))
    assert reader.said("h3")[:3] == ["Cluster 0: no clear character", "Cluster 1: <b>piano</b>, solo", "Noise"]
    assert reader.said("h4") == ["Most typical", "Oddest", "Most typical", "Oddest", "Why this name", "Some of them"]
    rows = [int(attrs["data-song"]) for attrs in reader.of("button") if "data-song" in attrs]
    zero, one = np.flatnonzero(clusters == 0).tolist(), np.flatnonzero(clusters == 1).tolist()
    assert rows == [*zero[:8], zero[-1], *one[:8], one[-1], 0]  # the one song of the noise comes last
    assert reader.said("li") == [f"tag {i}: 42 % here, 9 % elsewhere, 4.7 times as much (3.1 to 7.0)" for i in range(5)]
    assert reader.said("summary") == ["More of it", "More of it, and why this name"]
    assert reader.said("span").count("2.31 \N{MULTIPLICATION SIGN} as far out") == 2
    assert song_data(reader)["colourings"][0]["names"] == ["cluster 0", "1: <b>piano</b>, solo"]
    codes = tracks.classes["genre"][clusters == 0]
    most = np.bincount(codes[codes >= 0]).max()
    assert any(f"({most} of 20)" in text for text in reader.said("div"))
    assert any("20 songs, most often <i>folk</i> (7 of 20)" in text for text in reader.said("div"))
    assert [text.endswith("; comes back (0.86)") for text in reader.said("div") if " songs" in text] == [True, False]
    assert reader.said("span").count("(no audio file)") == 1  # the one song without
    spoken = [attrs["aria-label"] for attrs in reader.of("button") if "data-song" in attrs]
    assert [text.split()[0] for text in spoken] == ["Play"] * 18 + ["Show"]


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({"folk": 9, "art": 8}, "mostly folk (9 of 17)"),
        ({"folk": 5, "art": 4, "a": 4, "b": 4}, "most often folk (5 of 17)"),
        ({"folk": 9, "art": 9}, ""),  # neither is the commonest
        ({"folk": 3, "a": 2, "b": 2, "c": 2, "d": 2, "e": 2, "f": 2, "g": 2}, ""),  # 3 of 17 say nothing
        ({"folk": 1}, ""),
        ({}, ""),
    ],
)
def test_what_a_cluster_holds(counts, says):
    values = np.repeat(list(counts), list(counts.values())).astype(str)
    assert page._commonest(values, len(values)) == says


def test_songs_of_unknown_class_count_as_songs():
    assert page._commonest(np.array(["folk", "folk"]), 5) == "most often folk (2 of 5)"
    assert page._commonest(np.array(["folk", "folk"]), 9) == ""


def test_a_page_without_audio_does_not_speak_of_listening(tmp_path):
    tracks = replace(songs(6, tmp_path), path=np.array([""] * 6))
    clusters, xy, path = np.arange(6) % 2, np.arange(12.0).reshape(6, 2), tmp_path / "report.html"
    results = run_results() | {"clusters": described(tracks, clusters)}
    page.write_page(
        path, results, figures={}, tracks=tracks, clusters=clusters, xy=xy, classes="genre", song_tags=[""] * 6,
        certainty=["sure"] * 6,
    )  # fmt: skip
    reader = Reader(path.read_text(encoding="utf-8"))
    assert not reader.of("audio")
    assert not [attrs for attrs in reader.of("button") if "data-song" in attrs]
    assert not {"song-now", "song-audio"} & {attrs.get("id") for _, attrs in reader.elements}
    said = " ".join(text for tag, text in reader.texts if tag not in ("script", "style"))
    assert "Hover to read." in said
    for word in ("listen", "hear", "Click", "click", "audio"):
        assert word not in said
    assert song_data(reader)["title"][2] == "Song 2"


def test_a_failure_leaves_the_old_page(run, monkeypatch):
    path, tracks, clusters = run
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("musiclust.files.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        page.write_page(
            path, run_results() | {"clusters": []}, figures={}, tracks=tracks, clusters=clusters, xy=np.zeros((40, 2)),
            classes=None, song_tags=[""] * 40, certainty=["sure"] * 40,
        )  # fmt: skip
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_name_that_is_not_utf8_does_not_stop_the_page(tmp_path):
    tracks = songs(3, tmp_path)
    tracks.meta["artist"][2] = "caf\udce9"
    page.write_page(
        tmp_path / "r.html",
        run_results() | {"clusters": described(tracks, np.zeros(3, int))},
        figures={},
        tracks=tracks,
        clusters=np.zeros(3, int),
        xy=np.zeros((3, 2)),
        classes=None,
        song_tags=[""] * 3,
        certainty=["sure"] * 3,
    )
    assert "caf?" in (tmp_path / "r.html").read_text(encoding="utf-8")
