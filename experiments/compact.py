"""Checks a store, and takes out of it what no song needs.

Examples:
  python -m experiments.compact --store=stores/mine
  python -m experiments.compact --store=stores/mine --check    # writes nothing
  python -m experiments.compact    # the store of the demo

Preprocessing appends the features of new songs to a store, and leaves in their
place those of songs that are gone or have changed. This command reads every
block, checks it by its digests, and writes it anew where it has such features,
one block after the other: there must be room for a second copy of the largest.
Features that are damaged are dropped, and preprocessing makes them anew.
"""

from pathlib import Path

from absl import flags
from rich.table import Table

from experiments.cli.console import console, print_line
from experiments.cli.places import default_store
from experiments.cli.program import run
from experiments.cli.progress import show_progress
from musiclust.preprocess.writing.compact import Compacted, compact_store

_STORE = flags.DEFINE_string("store", None, "Folder of features; by default that of the demo corpus.")
_CHECK = flags.DEFINE_bool("check", False, "Only reads the store; the exit status is 1 where something is damaged.")
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Folder used in place of the user's cache folder (XDG_CACHE_HOME, ~/.cache)."
)
FLAG_GROUPS = {"Input": ("store",), "Work": ("check",), "Files": ("cache_dir",)}

_MOST_LISTED = 3


def main(argv: list[str]) -> int:
    root = Path(_STORE.value).expanduser() if _STORE.value else default_store(_CACHE_DIR.value)
    with show_progress() as report:
        blocks = compact_store(root, report, check=_CHECK.value)
    _print_blocks(blocks)
    return 1 if _CHECK.value and any(one.damaged for one in blocks) else 0


def _print_blocks(blocks: list[Compacted]) -> None:
    table = Table("block", "rows", "rows before", "MB", "MB before")
    for one in blocks:
        sizes = (f"{size / 1e6:,.1f}" for size in (one.size, one.size_before))
        table.add_row(one.name, f"{one.rows:,}", f"{one.rows_before:,}", *sizes)
    console.print(table)
    for one in blocks:
        if one.damaged:
            listed = ", ".join(map(repr, one.damaged[:_MOST_LISTED]))
            more = ", ..." if len(one.damaged) > _MOST_LISTED else ""
            what = "are damaged" if _CHECK.value else "were damaged, and are dropped"
            table = f" with --table={one.joined} --block='{one.name}:...'" if one.joined else ""
            print_line(
                f"{one.name}: the features of {len(one.damaged)} tracks {what} ({listed}{more}): preprocess the store "
                f"again{table}"
            )


if __name__ == "__main__":
    run(main, groups=FLAG_GROUPS)
