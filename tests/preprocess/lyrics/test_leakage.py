"""leakage: texts that are the class or the title."""

from dataclasses import replace

import numpy as np
from conftest import make_tracks

from musiclust.preprocess.lyrics.leakage import find_leaks

LINES = "the sea is wide and I cannot get over|early one morning as the sun was rising|all in a garden green"


def songs(n, seed=0):
    """n different texts of ten words."""
    rng = np.random.default_rng(seed)
    return [" ".join(f"word{j}" for j in rng.choice(200, 10, replace=False)) for _ in range(n)]


def reasons(tracks, texts):
    return find_leaks(tracks, dict(zip(tracks.track_id.tolist(), texts, strict=True)))


def test_real_words_pass():
    tracks = make_tracks(30)
    assert reasons(tracks, songs(30)) == {}
    assert reasons(tracks, [""] * 30) == {}


def test_a_text_made_of_names_is_refused():
    tracks = make_tracks(12)
    texts = songs(12)
    texts[0] = "Song 0, by Artist 0"  # "by" alone is not nine in ten
    texts[1] = "Artist 1: Song 1"
    texts[2] = "genre 2 genre 2"
    texts[3] = "song"
    texts[4] = "Song 4 of the sea, and of the hill, and of the sea"
    found = reasons(tracks, texts)
    assert set(found) == {"t0001", "t0002", "t0003"}
    assert set(found.values()) == {"made of its title, artist, file name or class, not lyrics"}


def test_a_template_around_the_names_is_seen_through():
    tracks = make_tracks(12)
    titles = [f"Title{i}" for i in range(12)]
    tracks = replace(tracks, meta={**tracks.meta, "title": np.array(titles)})
    template = [f"This lovely tune is called {title} and it is great" for title in titles]
    assert len(reasons(tracks, template)) == 12


def test_a_file_name_is_a_name():
    tracks = replace(make_tracks(1), path=np.array(["/music/pop/crimson_harbour-take.two.mp3"]))
    assert reasons(tracks, ["Crimson harbour: take two"])


def test_one_text_a_class_is_the_class():
    tracks = make_tracks(30, classes=3)
    texts = [LINES.split("|")[i % 3] for i in range(30)]
    found = reasons(tracks, texts)
    assert len(found) == 30
    assert set(found.values()) == {"the same in each genre: the class, not lyrics"}
    nearly = [*texts[:24], *songs(6)]
    assert set(reasons(tracks, nearly)) == set(tracks.track_id[:24])
    renamed = [f"{text} Song {i}" for i, text in enumerate(texts)]  # the title in it makes it no other text
    assert len(reasons(tracks, renamed)) == 30


def test_shared_texts_that_say_nothing_of_the_class_pass():
    tracks = make_tracks(30, classes=3)
    carols = [LINES.split("|")[i // 10] for i in range(30)]  # each in all classes
    assert reasons(tracks, carols) == {}
    versions = songs(30)
    for i in (0, 3, 6, 9):  # a song and its versions, in one class
        versions[i] = LINES
    assert reasons(tracks, versions) == {}
    excerpts = [LINES.split("|")[i % 3] for i in range(30)]
    pieces = replace(tracks, group=np.array([f"piece {i % 3}" for i in range(30)]))
    assert reasons(pieces, excerpts) == {}
