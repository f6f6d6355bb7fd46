"""The page of a listening test: what it holds, and that it can be answered, in a real browser where there is one."""

import json
import wave

import numpy as np
import pytest

from benchmarks.browser import find_chromium, start_chromium
from musiclust.errors import InputError
from musiclust.listening.odd_one_out import Answers, draw_trials, read_answers, read_key, score_answers
from musiclust.report.listening_test import (
    heard_clusters_table,
    listeners_table,
    read_scores,
    write_listening_test,
)

N = 18
NAMES = {0: "secret piano", 1: "secret metal"}
CLUSTERS = np.repeat([0, 1], 9)
IDS = [f"genre/secret-{i:02d}" for i in range(N)]


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """18 songs of a quarter of a second, with names that an address must escape."""
    folder = tmp_path_factory.mktemp("music")
    for i in range(N):
        with wave.open(str(folder / f'{i:02d} a:b #1 100% "é" <b>.wav'), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            tone = 8000 * np.sin(np.arange(2000) / (4 + i))
            file.writeframes(tone.astype("<i2").tobytes())
    return folder


def write(music, folder, **options):
    paths = sorted(map(str, music.glob("*.wav")))
    given = {"path": paths, "clusters": CLUSTERS, "track_id": IDS, "seconds": np.full(N, 0.25), "names": NAMES}
    return write_listening_test(folder, **{**given, "trials": 5, **options})


def data_of(page):
    text = page.read_text(encoding="utf-8")
    return json.loads(text.partition('id="data">')[2].partition("</script>")[0]), text


def test_the_page_holds_no_solution(music, tmp_path):
    page = write(music, tmp_path / "test")
    data, text = data_of(page)
    key = read_key(page.parent / "key.json")
    assert sorted(data) == ["test", "trials"]
    assert all(sorted(one) == ["clips", "trial"] and len(one["clips"]) == 3 for one in data["trials"])
    assert "secret" not in text
    assert data["test"] == key.test
    assert len(key.trials) == 5
    assert sum(one.check for one in key.trials) == 1
    assert key.names == NAMES
    # The key tells which file stands where.
    paths = sorted(path.name for path in music.glob("*.wav"))
    for shown, trial in zip(data["trials"], key.trials, strict=True):
        assert shown["trial"] == trial.trial
        assert [clip.split("/")[-1][:2] for clip in shown["clips"]] == [paths[row][:2] for row in trial.songs]
    assert all(clip.startswith("../") and "%22" in clip and " " not in clip for clip in data["trials"][0]["clips"])


def test_the_same_test_comes_again_and_another_is_not_written_over(music, tmp_path):
    page = write(music, tmp_path)
    before = page.read_bytes(), (tmp_path / "key.json").read_bytes()
    write(music, tmp_path)
    assert (page.read_bytes(), (tmp_path / "key.json").read_bytes()) == before
    with pytest.raises(InputError, match="another listening test lies in"):
        write(music, tmp_path, seed=1)
    assert (page.read_bytes(), (tmp_path / "key.json").read_bytes()) == before
    write(music, tmp_path, seed=1, force=True)
    assert page.read_bytes() != before[0]


def test_long_songs_are_heard_from_their_middle(music, tmp_path):
    paths = sorted(map(str, music.glob("*.wav")))
    seconds = np.full(N, 200.0)
    seconds[1], seconds[2] = np.nan, 30.0
    paths[3] += "#t=10,20"
    paths[4] += "#t=100,220.5"
    data, _ = data_of(write(music, tmp_path, path=paths, seconds=seconds, trials=60))
    ends = {clip.split("/")[-1][:2]: clip.partition("#")[2] for one in data["trials"] for clip in one["clips"]}
    assert len(ends) == N
    assert (ends["00"], ends["01"], ends["02"]) == ("t=85,115", "", "")
    assert (ends["03"], ends["04"]) == ("t=10,20", "t=145.25,175.25")


def test_songs_without_a_file_and_of_one_file_or_artist_never_meet(music, tmp_path):
    paths = sorted(map(str, music.glob("*.wav")))
    paths[0], paths[1] = "", str(music / "gone.wav")
    paths[3] = paths[4] = paths[5] + "#t=0,0.1"
    artist = ["", "", *["Ada"] * 1, *[""] * 15]
    artist[6] = artist[17] = "Ada"
    page = write(music, tmp_path, path=paths, group=artist, trials=60)
    met = [set(one.songs) for one in read_key(page.parent / "key.json").trials]
    assert not [songs for songs in met if songs & {0, 1}]
    assert not [songs for songs in met if len(songs & {3, 4, 5}) > 1 or len(songs & {2, 6, 17}) > 1]
    with pytest.raises(InputError, match="no listening test can be made"):
        write(music, tmp_path / "none", path=[""] * N)
    assert not (tmp_path / "none").exists()


def test_sentences_and_tables_say_what_was_heard():
    trials = draw_trials(CLUSTERS, seed=0, trials=60)
    right = Answers("Ada", {one.trial: one.odd for one in trials if not one.check}, {})
    wrong = Answers("Bob", {one.trial: (one.odd + 1) % 3 for one in trials}, {})
    (text,) = read_scores(score_answers(trials, [right]))
    assert text.startswith("One listener found the song of the other cluster in 100 % of the trials (48 answers; 95 %")
    assert text.endswith("93 to 100 %); guessing finds it in 33 %. So the clusters can be heard.")
    assert read_scores(score_answers(trials, [wrong]))[0].endswith("heard something else than the clusters.")
    both = score_answers(trials, [right, wrong])
    assert "95 % interval for another listener 0 to 100 %" in read_scores(both)[0]
    assert read_scores(both)[0].endswith("(40 to 60 % for them); that another one would is not shown.")
    half = Answers("Cy", {one.trial: (one.odd + i % 3) % 3 for i, one in enumerate(trials)}, {})
    assert read_scores(score_answers(trials, [half]))[0].endswith("it is not shown that the clusters can be heard.")
    thief = Answers("Eve", {one.trial: one.odd for one in trials}, {})
    assert read_scores(score_answers(trials, [thief]))[1] == (
        "Eve found 12 of 12 odd songs that nobody can hear: has Eve seen the key?"
    )
    assert [list(column.cells) for column in listeners_table(both).columns][:3] == [
        ["Ada", "Bob"],
        ["48", "48"],
        ["100 %", "0 %"],
    ]
    columns = [list(column.cells) for column in heard_clusters_table(both, {0: "piano"}).columns]
    assert sorted(columns[0]) == ["0: piano", "cluster 1"]
    assert columns[1] == ["48", "48"]


@pytest.fixture(scope="module")
def browser():
    program = find_chromium()
    if program is None:
        pytest.skip("needs chromium")
    with start_chromium(program) as page:
        yield page


def hear(page):
    """Hears all three songs by the keyboard."""
    for key, letter in zip("123", "ABC", strict=True):
        page.press(key)
        page.wait_until(f"document.querySelectorAll('audio')[{'ABC'.index(letter)}].currentTime > 0")


def hidden(page, name):
    return page.evaluate(f"document.getElementById('{name}').hidden")


def test_a_listener_answers_stops_goes_on_and_saves(music, tmp_path, browser):
    path = write(music, tmp_path)
    key = read_key(tmp_path / "key.json")
    browser.show_as(390, 800)
    browser.open(path)
    assert not hidden(browser, "begin")
    browser.evaluate("document.getElementById('listener').focus()")
    browser.write("Ada <b>")
    browser.press("Enter")
    browser.wait_until("!document.getElementById('trial').hidden")
    browser.press("Enter")  # on the first song's button: it plays
    browser.wait_until("document.querySelectorAll('audio')[0].played.length > 0")
    browser.press("b")
    browser.press("Enter")
    assert browser.evaluate("document.getElementById('said').textContent") == "Listen to B and C first."
    hear(browser)
    for number, trial in enumerate(key.trials[:2], start=1):
        assert f"Ada <b>, trial {number} of 5" in browser.evaluate("document.getElementById('count').textContent")
        hear(browser)
        browser.press("abc"[trial.odd])
        browser.press("Enter")
        browser.wait_until(f"document.getElementById('count').textContent.includes('trial {number + 1} ')")
    assert browser.evaluate("document.documentElement.scrollWidth") == 390
    browser.open(path)  # closed, and opened again
    assert "trial 3 of 5" in browser.evaluate("document.getElementById('count').textContent")
    hear(browser)
    browser.evaluate("document.getElementById('answer-form').requestSubmit()")
    said = browser.evaluate("document.getElementById('said').textContent")
    assert said == "Choose the song that does not belong."
    for number, trial in enumerate(key.trials[2:], start=3):
        browser.wait_until(f"document.getElementById('count').textContent.includes('trial {number} ')")
        hear(browser)
        browser.press("abc"[trial.odd])
        browser.press("Enter")
    browser.wait_until("!document.getElementById('end').hidden")
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.evaluate("document.getElementById('download').click()")
    saved = tmp_path / "answers-Ada-b-.json"
    browser.wait_until("new Promise(done => setTimeout(() => done(true), 300))")
    answers = read_answers(saved, key)
    assert answers.listener == "Ada <b>"
    assert answers.places == {one.trial: one.odd for one in key.trials}
    assert all(seconds > 0 for seconds in answers.seconds.values())
    assert not browser.errors()
    assert all(address.startswith(("file:", "blob:")) for address in browser.addresses())


def test_a_song_that_cannot_be_played_is_gone_past(music, tmp_path, browser):
    copies = tmp_path / "music"
    copies.mkdir()
    for path in music.glob("*.wav"):
        (copies / path.name).write_bytes(b"no sound")
    path = write(copies, tmp_path)
    browser.open(path)
    browser.evaluate("document.getElementById('listener').value = 'Bob'")
    browser.evaluate("document.getElementById('start-form').requestSubmit()")
    browser.wait_until("!document.getElementById('skip').hidden")
    assert "cannot be played here" in browser.evaluate("document.getElementById('said').textContent")
    browser.evaluate("document.getElementById('skip').click()")
    assert "Bob, trial 2 of 5" in browser.evaluate("document.getElementById('count').textContent")
    assert json.loads(browser.evaluate("localStorage.getItem(localStorage.key(0))"))["answers"] == []
    assert not browser.errors()


def test_an_audio_clip_plays_its_middle(tmp_path, browser):
    folder = tmp_path / "music"
    folder.mkdir()
    for i in range(N):
        with wave.open(str(folder / f"{i:02d}.wav"), "wb") as file:
            file.setparams((1, 1, 4000, 0, "NONE", ""))
            file.writeframes(bytes(4000 * 40))
    path = write(folder, tmp_path, seconds=np.full(N, 40.0))
    browser.open(path)
    browser.evaluate("document.getElementById('listener').value = 'Ada'")
    browser.evaluate("document.getElementById('start-form').requestSubmit()")
    browser.press("2")
    browser.wait_until("document.querySelectorAll('audio')[1].played.length > 0")
    assert browser.evaluate("document.querySelectorAll('audio')[1].currentTime") >= 5
    browser.evaluate("document.querySelectorAll('audio')[1].currentTime = 34.9")
    browser.wait_until("document.querySelectorAll('audio')[1].paused")
    assert browser.evaluate("document.querySelectorAll('audio')[1].currentTime") == pytest.approx(35, abs=0.3)
    browser.press("2")
    browser.wait_until("!document.querySelectorAll('audio')[1].paused")
    assert browser.evaluate("document.querySelectorAll('audio')[1].currentTime") == pytest.approx(5, abs=0.5)
    assert not browser.errors()
