"""console: how scripts end, each seen as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.cli import console

ROOT = Path(__file__).resolve().parent.parent


def script(tmp_path, body, *args):
    """Runs a script whose main is `body`."""
    path = tmp_path / "script.py"
    path.write_text(
        "import errno, sys\nfrom absl import flags\nfrom experiments.console import console, progress, run\n"
        "from musiclust.errors import InputError\n"
        "MODEL = flags.DEFINE_enum('model', 'vae', ['vae', 'cvae'], 'which')\n"
        f"def main(argv):\n    {body}\n"
        "if __name__ == '__main__':\n    run(main)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, str(path), *args], capture_output=True, text=True, env=env, check=False)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("raise InputError('no such\\nstore: make one')", 1, "error: no such store: make one\n"),
        (
            "raise OSError(errno.ENOSPC, 'No space left', 'a.npy')",
            1,
            "error: no space left on the disk: a.npy: free some, then run the same command again to go on\n",
        ),
        (
            "raise PermissionError(errno.EACCES, 'Permission denied', 'a.npy')",
            1,
            "error: permission denied: a.npy: change its permissions\n",
        ),
        ("raise KeyboardInterrupt", 130, "stopped; what is done is kept: run the same command again to go on\n"),
        ("raise BrokenPipeError", 141, ""),
        ("return 3", 3, ""),
        ("pass", 0, ""),
    ],
)
def test_ends_in_one_line(tmp_path, body, status, message):
    result = script(tmp_path, body)
    assert (result.returncode, result.stderr) == (status, message)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--modle=vae", "error: unknown flag --modle: did you mean --model?\n"),
        ("--qqqqqq", "error: unknown flag --qqqqqq: see --help\n"),
        ("--model=gan", "error: flag --model=gan: value should be one of <vae|cvae>\n"),
        ("vae", "error: unexpected argument 'vae': flags are written --name=value, see --help\n"),
    ],
)
def test_wrong_command_lines_name_what_is_near(tmp_path, flag, message):
    result = script(tmp_path, "pass", flag)
    assert (result.returncode, result.stderr) == (2, message)


def test_help_lists_the_flags_and_is_no_failure(tmp_path):
    result = script(tmp_path, "raise InputError('main was called')", "--help")
    assert result.returncode == 0
    assert "--model: <vae|cvae>: which" in result.stdout


def test_a_bug_keeps_its_traceback(tmp_path):
    result = script(tmp_path, "raise ZeroDivisionError('by me')")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_libraries_are_quiet(tmp_path):
    body = (
        "import logging; from absl import logging as absl_logging; logging.getLogger('other').setLevel('INFO');"
        " logging.getLogger('other').info('noise'); absl_logging.info('noise'); absl_logging.warning('noise')"
    )
    assert script(tmp_path, body).stderr == ""


def test_progress_without_a_terminal_is_a_few_plain_lines(capsys):
    with console.progress() as report:
        for done in range(1001):
            report("features [x]", done, 1000)
        report("nothing", 0, 0)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["features [x]: 0 of 1000, 0 s", "features [x]: 1000 of 1000, 0 s", "nothing: 0 of 0, 0 s"]


def test_slow_progress_has_a_line_a_quarter(capsys, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    with console.progress() as report:
        for done in range(9):
            report("features", done, 8)
    lines = [line.split(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == [f"features: {done} of 8" for done in (0, 2, 4, 6, 8)]


def test_the_cache_honours_the_flag_then_xdg_then_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert console.cache_root() == tmp_path / "xdg" / "musiclust"
    assert console.cache_root(tmp_path / "flag") == tmp_path / "flag" / "musiclust"
    assert console.default_store() == tmp_path / "xdg" / "musiclust" / "stores" / "demo"
    assert console.default_store(seed=3).name == "demo-3"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the specification
    assert console.cache_root() == tmp_path / ".cache" / "musiclust"
