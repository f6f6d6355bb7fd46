"""The flow diagram: heights are songs, nothing overlaps, and the page says in a table what the diagram shows."""

import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from test_change import side

from benchmarks.browser import find_chromium, start_chromium
from musiclust.metrics.matching import compare_partitions
from musiclust.report.change import compare_scores
from musiclust.report.flow import MOST_SONGS, MovedSong, lay_out, write_comparison

BEFORE, AFTER = np.repeat([0, 1, 2, -1], [8, 4, 4, 2]), np.repeat([0, 1, 2, -1, 3], [5, 3, 8, 1, 1])
EVIL = '</title><script>alert(1)</script>"&'


class Elements(HTMLParser):
    """The tags of a page, with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_heights_are_songs_and_nothing_overlaps():
    change = compare_partitions(BEFORE, AFTER)
    diagram = lay_out(change, side("a"), side("b"))
    for nodes in (diagram.left, diagram.right):
        assert sum(node.songs for node in nodes) == 18
        assert {round(node.height / node.songs, 6) for node in nodes} == {round(420 / 18, 6)}
        for one, other in pairwise(nodes):
            assert one.top + one.room <= other.top
            assert one.bar + one.height <= other.bar
        assert nodes[-1].top + nodes[-1].room <= diagram.height
        assert nodes[0].top >= 0
    assert [node.title for node in diagram.left] == ["cluster 0", "cluster 1", "cluster 2", "noise"]
    assert sum(int(ribbon.title.split()[0]) for ribbon in diagram.ribbons) == 18
    assert sum(int(ribbon.title.split()[0]) for ribbon in diagram.ribbons if not ribbon.stays) == change.moved.sum()


def test_ribbons_fill_the_bars_on_both_sides():
    diagram = lay_out(compare_partitions(BEFORE, AFTER), side("a"), side("b"))
    starts, stops = [], []
    for ribbon in diagram.ribbons:
        numbers = [float(text) for text in re.findall(r"-?\d+\.?\d*", ribbon.path)]
        starts.append((numbers[1], numbers[-1]))
        stops.append((numbers[7], numbers[8]))
    for spans, nodes in ((sorted(starts), diagram.left), (sorted(stops), diagram.right)):
        for node in nodes:
            inside = [span for span in spans if node.bar - 0.1 <= span[0] < node.bar + node.height - 0.1]
            assert inside[0][0] == pytest.approx(node.bar, abs=0.1)
            assert inside[-1][1] == pytest.approx(node.bar + node.height, abs=0.1)
            for one, other in pairwise(inside):
                assert one[1] == pytest.approx(other[0], abs=0.11)


def test_partners_have_one_colour_and_stand_in_one_order():
    codes = np.repeat(np.arange(6), 5)
    diagram = lay_out(compare_partitions(codes, (codes + 3) % 6), side("a"), side("b"))
    assert [node.colour for node in diagram.left] == [node.colour for node in diagram.right]
    assert [node.title for node in diagram.right] == [f"cluster {one}" for one in (3, 4, 5, 0, 1, 2)]
    assert all(ribbon.stays for ribbon in diagram.ribbons)


def test_the_smallest_of_many_clusters_are_one_node():
    codes = np.concatenate([np.repeat(np.arange(23), 10), np.arange(23, 60)])
    diagram = lay_out(compare_partitions(codes, codes), side("a"), side("b"))
    assert len(diagram.left) == len(diagram.right) == 24
    assert (diagram.left[-1].title, diagram.left[-1].songs) == ("37 smaller clusters", 37)


def write(tmp_path, moved=(), **options):
    change = compare_partitions(BEFORE, AFTER)
    one, other = side(EVIL, names=(EVIL, "harp", "lute")), side("b")
    path = tmp_path / "page.html"
    scores = compare_scores(one, other, same_songs=True)
    write_comparison(path, change, one, other, scores=scores, moved=moved, **options)
    return path.read_text(encoding="utf-8"), change


def test_the_page_says_all_in_tables_and_loads_nothing(tmp_path):
    text, change = write(tmp_path, [MovedSong(EVIL, "\ud800", 0, 1)])
    page = Elements(text)
    assert not {tag for tag, _ in page.tags} & {"script", "img", "link", "iframe"}
    assert not [about for _, about in page.tags if "src" in about or "href" in about]
    assert page.text.count(EVIL) >= 3
    for flow in change.flows:
        assert re.search(rf"<td class=\"number\">{flow.songs}</td><td>(moved|stayed)</td>", text)
    assert text.count("</td><td>stayed</td>") + text.count("</td><td>moved</td>") == len(change.flows)
    assert "not comparable: each belongs to the space that was clustered" in text
    assert 'role="img" aria-label="Where the songs went; the table below says the same"' in text


def test_long_lists_are_cut_and_say_so(tmp_path):
    songs = [MovedSong(f"Song {i}", "", 0, 1) for i in range(MOST_SONGS + 5)]
    text, _ = write(tmp_path, songs, only_after=[(f"New {i}", "") for i in range(MOST_SONGS + 7)])
    assert f"Song {MOST_SONGS - 1}<" in text
    assert f"Song {MOST_SONGS}<" not in text
    assert "comparison.csv has the other 5 too" in text
    assert "comparison.csv has 7 more" in text
    assert "Songs that only b has" in text


@pytest.mark.skipif(find_chromium() is None, reason="needs chromium")
@pytest.mark.parametrize(("wide", "dark"), [(390, False), (1200, True)])
def test_a_browser_shows_the_diagram_as_wide_as_there_is_room(tmp_path, wide, dark):
    write(tmp_path, [MovedSong("Song", "", 0, 1)])
    with start_chromium(find_chromium()) as page:
        page.show_as(wide, 900, dark=dark)
        page.open(tmp_path / "page.html")
        assert page.evaluate("document.documentElement.scrollWidth") == wide
        # Each name stands beside its bar, and no two names overlap.
        boxes = "[...document.querySelectorAll('{}')].map(e => e.getBoundingClientRect()).map(b => [b.top, b.bottom])"
        names, bars = (np.array(page.evaluate(boxes.format(what))) for what in (".flow li", ".flow rect"))
        assert len(names) == len(bars) == 9
        assert np.abs(names.mean(axis=1) - bars.mean(axis=1)).max() < 1
        sizes = "[e.scrollHeight, e.clientHeight, e.scrollWidth, e.clientWidth]"
        text = page.evaluate(f"[...document.querySelectorAll('.flow li')].map(e => {sizes})")
        assert all(high <= place + 1 and broad <= room + 1 for high, place, broad, room in text)
        assert page.evaluate("document.querySelector('.flow svg').getBoundingClientRect().width") > wide / 5
        assert page.addresses() == [(tmp_path / "page.html").as_uri()]
        assert not page.errors()
