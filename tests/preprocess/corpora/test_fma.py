"""fma: small tables and folders of the layout in which FMA is distributed."""

from pathlib import Path

import numpy as np
import pytest

from musiclust.errors import InputError
from musiclust.preprocess.corpora import fma as module
from musiclust.preprocess.corpora.base import Request
from musiclust.preprocess.corpora.fma import fma

# FMA's own order: statistics by name, numbers within; before and after it other features
STATISTICS = ("kurtosis", "max", "mean", "median", "min", "skew", "std")
HOUSE = ("mean", "std", "skew", "kurtosis", "median", "min", "max")
COLUMNS = [
    *(("chroma_cens", "kurtosis", f"{i:02d}") for i in range(1, 13)),
    *(("mfcc", statistic, f"{i:02d}") for statistic in STATISTICS for i in range(1, 21)),
    ("zcr", "std", "01"),
]
TRACKS = """,album,album,artist,artist,set,set,track,track,track
,comments,title,id,name,split,subset,genre_top,genres,title
track_id,,,,,,,,,
2,0,"AWOL, a
Way",1,AWOL,training,small,Hip-Hop,[21],Food
10,0,Alb,6,Kurt Vile,validation,medium,Pop,[10],Freeway
5,0,,1,AWOL,training,large,,"[21, 4]",Ha
98565,0,,,Nobody,test,small,Rock,[12],Cut
"""


def write_features(path: Path, rows: dict[str, np.ndarray], first: str = "feature") -> None:
    head = [
        ",".join([name, *(column[i] for column in COLUMNS)]) for i, name in enumerate((first, "statistics", "number"))
    ]
    lines = [",".join([i, *("" if np.isnan(v) else repr(float(v)) for v in values)]) for i, values in rows.items()]
    path.write_text("\n".join([*head, "track_id" + "," * len(COLUMNS), *lines]) + "\n")


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    return {i: rng.normal(size=len(COLUMNS)).astype(np.float32) for i in ("2", "10", "5", "98565")}


@pytest.fixture
def metadata(tmp_path, features):
    root = tmp_path / "fma_metadata"
    root.mkdir()
    (root / "tracks.csv").write_text(TRACKS)
    write_features(root / "features.csv", features)
    return root


@pytest.fixture
def audio(tmp_path):
    root = tmp_path / "fma_small"
    for name in ("000/000002.mp3", "000/000005.mp3", "098/098565.mp3", "000/000777.mp3"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / "checksums").write_text("x")
    (root / "000" / "intro.mp3").write_bytes(b"x")
    return root


def test_metadata_alone(metadata, features):
    features["10"][40] = np.nan
    write_features(metadata / "features.csv", features)
    corpus = fma(Request(metadata_dir=metadata))
    tracks = corpus.tracks
    assert tracks.track_id.tolist() == ["2", "5", "98565"]
    assert tracks.path.tolist() == [""] * 3
    assert tracks.class_names["genre"] == ("Hip-Hop", "Pop", "Rock")[::2]
    assert tracks.classes["genre"].tolist() == [0, -1, 1]
    assert tracks.class_names["split"] == ("test", "training")
    assert tracks.class_names["subset"] == ("large", "small")
    assert tracks.meta["title"].tolist() == ["Food", "Ha", "Cut"]
    assert tracks.meta["album"].tolist() == ["AWOL, a\nWay", "", ""]
    assert tracks.group.tolist() == ["artist 1", "artist 1", "artist Nobody"]
    assert corpus.skipped == [("10", "NaN in the MFCC of features.csv")]
    stats, mean = corpus.blocks
    assert (stats.name, mean.name) == ("mfcc_stats", "mfcc_mean")
    assert stats.values.shape == (3, 20, 7)
    place = {column: i for i, column in enumerate(COLUMNS)}
    for row, track_id in enumerate(tracks.track_id):
        for i in range(20):
            for j, statistic in enumerate(HOUSE):
                assert stats.values[row, i, j] == features[track_id][place["mfcc", statistic, f"{i + 1:02d}"]]
    np.testing.assert_array_equal(mean.values, stats.values[:, :, 0])
    assert stats.spec["columns"] == list(HOUSE)
    assert mean.spec["columns"][:2] == ["mfcc_01", "mfcc_02"]
    assert stats.valid.all()


@pytest.mark.parametrize(
    ("subset", "ids"),
    [("small", ["2", "98565"]), ("medium", ["10", "2", "98565"]), ("large", 4), ("full", 4), (None, 4)],
)
def test_subsets_are_cumulative(metadata, subset, ids):
    tracks = fma(Request(metadata_dir=metadata, subset=subset)).tracks
    assert tracks.track_id.tolist() == ids if isinstance(ids, list) else len(tracks) == ids


def test_audio_alone_takes_ids_from_names(audio):
    (audio / "000002.mp3").write_bytes(b"x")  # flat, and there already
    corpus = fma(Request(audio_dir=audio))
    assert corpus.tracks.track_id.tolist() == ["2", "5", "777", "98565"]
    assert corpus.tracks.path[1] == str(audio / "000" / "000005.mp3")
    assert corpus.tracks.classes == {}
    assert corpus.tracks.group.tolist() == ["2", "5", "777", "98565"]
    assert corpus.others == 2
    [(path, reason)] = corpus.skipped
    assert Path(path).name == "000002.mp3"
    assert "track 2 has another file" in reason
    [(path, reason)] = corpus.warnings
    assert path.endswith("098/098565.mp3")
    assert "cut at the wrong place" in reason


def test_both_join(metadata, audio, features):
    del features["5"]
    write_features(metadata / "features.csv", features)
    corpus = fma(Request(metadata_dir=metadata, audio_dir=audio))
    assert corpus.tracks.track_id.tolist() == ["2", "5", "777", "98565"]
    assert corpus.tracks.classes["genre"].tolist() == [0, -1, -1, 1]
    assert corpus.tracks.group.tolist() == ["artist 1", "artist 1", "777", "artist Nobody"]
    [block] = corpus.blocks
    assert block.name == "fma_mfcc_stats"
    assert block.valid.tolist() == [True, False, False, True]
    assert not block.values[1:3].any()
    assert [Path(path).name for path, _ in corpus.warnings] == ["000777.mp3", "098565.mp3"]
    small = fma(Request(metadata_dir=metadata, audio_dir=audio, subset="medium"))
    assert small.tracks.track_id.tolist() == ["2", "98565"]
    assert small.skipped == [("10", f"no such file below {audio}")]
    (metadata / "features.csv").unlink()
    assert list(fma(Request(metadata_dir=metadata, audio_dir=audio)).blocks) == []


def test_features_of_none_of_the_tracks_are_no_block(metadata, audio, features):
    write_features(metadata / "features.csv", {"10": features["10"]})
    corpus = fma(Request(metadata_dir=metadata, audio_dir=audio))
    assert list(corpus.blocks) == []
    assert ("features.csv", "has whole rows for none of these tracks: no block fma_mfcc_stats") in corpus.warnings


def test_the_reduced_tables_of_the_course(tmp_path, features):
    (tmp_path / "fma_tracks.csv").write_text("track_id,genre\n2,0\n5,45\n10,12\n98565,999\n")
    (tmp_path / "genres.csv").write_text(
        "genre_id,#tracks,parent,title,top_level\n12,32923,0,Rock,12\n45,12730,12,Loud-Rock,12\n21,8389,0,Hip-Hop,21\n"
    )
    features["2"][:] = np.nan
    write_features(tmp_path / "fma_features.csv", features, first="features")
    corpus = fma(Request(metadata_dir=tmp_path))
    assert corpus.tracks.track_id.tolist() == ["10", "5", "98565"]
    assert corpus.tracks.class_names == {"genre": ("Rock",)}
    assert corpus.tracks.classes["genre"].tolist() == [0, 0, -1]
    assert corpus.tracks.group.tolist() == ["10", "5", "98565"]
    with pytest.raises(InputError, match="names no subsets"):
        fma(Request(metadata_dir=tmp_path, subset="small"))
    (tmp_path / "genres.csv").unlink()
    with pytest.raises(InputError, match=r"neither genres.csv nor fma_genres.csv"):
        fma(Request(metadata_dir=tmp_path))


def test_wrong_metadata_is_one_line(tmp_path, metadata):
    def error(**request) -> str:
        with pytest.raises(InputError) as raised:
            fma(Request(**request))
        assert "\n" not in str(raised.value)
        return str(raised.value)

    assert "add `metadata_dir" in error()
    assert "add `metadata_dir" in error(audio_dir=tmp_path, subset="small")
    assert "does not exist" in error(metadata_dir=tmp_path / "no")
    assert "neither tracks.csv nor fma_tracks.csv" in error(metadata_dir=tmp_path)
    (metadata / "features.csv").write_text("feature,a\nstatistics,b\nnumber,01\n2,1\n")
    assert "lacks 140 of FMA's columns, the first is mfcc_mean_01" in error(metadata_dir=metadata)
    (metadata / "features.csv").write_text("")
    assert "features.csv: empty file" in error(metadata_dir=metadata)
    (metadata / "features.csv").unlink()
    assert "neither features.csv nor fma_features.csv" in error(metadata_dir=metadata)
    (metadata / "tracks.csv").write_text("\n".join(TRACKS.splitlines()[1:]))
    assert "several columns are named 'title'" in error(metadata_dir=metadata)
    (metadata / "tracks.csv").write_text(TRACKS.replace("genre_top", "genre"))
    assert "lacks 1 of FMA's columns, the first is track_genre_top (did you mean track_genre" in error(
        metadata_dir=metadata
    )
    (metadata / "tracks.csv").write_text("")
    assert "tracks.csv: empty file" in error(metadata_dir=metadata)


def test_no_track_in_common(metadata, tmp_path):
    lone = tmp_path / "lone" / "000" / "000003.mp3"
    lone.parent.mkdir(parents=True)
    lone.write_bytes(b"x")
    with pytest.raises(InputError, match="no track in common"):
        fma(Request(metadata_dir=metadata, audio_dir=tmp_path / "lone", subset="small"))
    lone.rename(lone.with_name("song.mp3"))
    with pytest.raises(InputError, match="named by an FMA id"):
        fma(Request(audio_dir=tmp_path / "lone"))


def test_the_six_tracks_of_fma_small_that_are_known_to_be_short():
    assert {"98565", "98567", "98569", "99134", "108925", "133297"} < module.MISCUT
