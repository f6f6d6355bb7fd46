"""console: text is printed as it is, and nothing in it steers the terminal."""

import io
import re

import pytest
from command_line import script
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from experiments.cli.console import PlainConsole, escape_controls

UNSAFE = "a\x1b[31mb\x07c\rd\u202ee\u2066f\x9bg\x00h\x7fi\udcffj"
ESCAPED = r"a\x1b[31mb\x07c\x0dd\u202ee\u2066f\x9bg\x00h\x7fi\udcffj"


@pytest.fixture
def console():
    return PlainConsole(file=io.StringIO(), width=100)


def printed(console) -> str:
    return console.file.getvalue()


def test_characters_that_steer_a_terminal_are_shown_as_escapes():
    assert escape_controls(UNSAFE) == ESCAPED.replace(r"\x0d", r"\r")
    assert escape_controls("Ærø\tnaïve\n日本") == "Ærø\tnaïve\n日本"


@pytest.mark.parametrize("text", ["pip install 'musiclust[text]'", "[red]x", "a [/] b", ":smile:", "[bold]"])
def test_text_is_not_markup(console, text):
    console.print(text)
    table = Table("[i]head", title="[t]itle", caption="[c]aption")
    table.add_row(text)
    console.print(table)
    lines = printed(console)
    assert lines.count(text) == 2
    for shown in ("[i]head", "[t]itle", "[c]aption"):
        assert shown in lines


def test_no_renderable_lets_a_control_character_through(console):
    table = Table("name", title=UNSAFE, caption=UNSAFE)
    table.add_column(Text(UNSAFE))
    table.add_row(UNSAFE, Text.assemble(("x" + UNSAFE, "bold"), UNSAFE))
    console.print(UNSAFE, Text(UNSAFE), soft_wrap=True)
    console.print(table)
    with Progress(TextColumn("{task.description}", markup=False), console=console) as bars:
        bars.add_task(UNSAFE + "[/]")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", printed(console))
    assert r"a\x1b[31mb" in printed(console)


def test_a_styled_text_keeps_its_style_where_it_is_escaped():
    console = PlainConsole(file=io.StringIO(), width=100, force_terminal=True, color_system="standard")
    console.print(Text.assemble(("one\x1b", "bold"), "two"))
    assert printed(console) == "\x1b[1mone\x1b[0m\\x1btwo\n"


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory):
    """A table of songs with hostile titles, preprocessed by the command, and what that printed."""
    root = tmp_path_factory.mktemp("hostile")
    titles = ["[red]x", "[/]", "\x1b[2Jgone", "a\x07b", "\u202ereversed", ":smile:", "plain", "\x9b31m"] * 2
    numbers = [",".join(str((i * j) % 7) for j in range(1, 5)) for i in range(len(titles))]
    lines = [f"{title}{i},{title},class{i % 2},{numbers[i]}" for i, title in enumerate(titles)]
    (root / "songs.csv").write_text("id,title,genre,a,b,c,d\n" + "\n".join(lines) + "\n" + "[/b]\x1b,t,class0,,,,\n")
    return root, script(
        root, "preprocess", f"--table={root / 'songs.csv'}", "--id_column=id", "--title_column=title",
        "--class_column=genre", f"--store={root / '[sto/re]'}",
    )  # fmt: skip


def assert_harmless(*texts: str) -> None:
    for text in texts:
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text), text


def test_hostile_names_pass_through_preprocessing(preprocessed):
    root, (code, out, err) = preprocessed
    assert_harmless(out, err)
    assert code == 0, err
    assert f"store: {root / '[sto/re]'}\n" in out
    assert "[/b]\\x1b" in out  # the song without numbers is skipped, by its name


def test_hostile_names_pass_through_a_run(preprocessed):
    root, _ = preprocessed
    code, out, err = script(
        root, "run", "--model=autoencoder", "--features=table", f"--store={root / '[sto/re]'}", "--epochs=1", "--k=2",
        "--latent_dim=2", f"--run_dir={root / '[bold]run[/]'}",
    )  # fmt: skip
    assert_harmless(out, err)
    assert code == 0, err
    assert f"run: {root / '[bold]run[/]'}\n" in out


def test_a_hostile_flag_passes_through_an_error(tmp_path):
    code, out, err = script(tmp_path, "run", "--store=a\x1b[31m[/]b")
    assert_harmless(out, err)
    assert code == 1
    assert "a\\x1b[31m[/]b is not a store" in err
