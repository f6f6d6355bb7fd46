"""What the lyrics gate lets through: python -m benchmarks.gate --table=tracks.csv [--out=gate.md]

With --store=<store made with the tagger> in place of a table it shows the scores of a voice that the gate goes by, of
each track where there are few, else by class.

The table has a row a track: title, genre, and two columns of transcripts by two models (--one, --other; "" where there
is none). Nothing says which tracks are sung, so four checks stand in for it. Titles that say "instrumental" or "no
vocals" should be rejected. Pairs without a word bigram in common are wrong in one transcript at least, unless one is a
translation; pairs in strong agreement (half of the bigrams) are real, so that what of them is rejected, by one
transcript alone, estimates how many real lyrics are lost. And transcripts of different tracks, held against each other,
say how far agreement comes by chance.

The genre is shown and nothing is fitted to it: the thresholds are those of `musiclust.preprocess.lyrics.gate.Gate`.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags

from benchmarks.gate_checks import VOICE_HEADER, by_genre, judge_all, measure, show_voices
from benchmarks.measure import console
from benchmarks.rendering import markdown_table
from musiclust.preprocess.lyrics import gate

_TABLE = flags.DEFINE_string("table", None, "A CSV file of tracks.")
_ONE = flags.DEFINE_string("one", "whisper_medium", "The column judged.")
_OTHER = flags.DEFINE_string("other", "whisper_small", "The column of second opinions.")
_STORE = flags.DEFINE_string("store", None, "A store with the block tags.")
_GATE = flags.DEFINE_string("gate", "", "Thresholds, as of experiments.preprocess.")
_OUT = flags.DEFINE_string("out", None, "Where the Markdown goes; nowhere by default.")


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    table, root = _TABLE.value, _STORE.value
    if bool(table) == bool(root):
        raise app.UsageError("name one: --table=tracks.csv or --store=<store>")
    thresholds = gate.parse(_GATE.value)
    if thresholds is None:
        raise app.UsageError("--gate=off leaves nothing to measure")
    if root or not table:
        _print(markdown_table(VOICE_HEADER, show_voices(Path(root or ""), thresholds)))
        return
    with open(table, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = _ONE.value, _OTHER.value
    verdicts = judge_all(rows, *columns, thresholds)
    text = markdown_table(("check", "figure"), measure(rows, *columns, thresholds, verdicts))
    text += "\n" + markdown_table(
        ("genre", "tracks", "with a text", "with words, one transcript", "with words, both"),
        by_genre(rows, _ONE.value, verdicts),
    )
    _print(text)


def _print(text: str) -> None:
    console.print(text, soft_wrap=True)
    if _OUT.value:
        Path(_OUT.value).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    app.run(main)
