"""program: how commands end, each seen as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def script(tmp_path, body, *args):
    """Runs a script whose main is `body`."""
    path = tmp_path / "script.py"
    path.write_text(
        "import errno, sys\nfrom absl import flags\nfrom experiments.cli.program import run\n"
        "from musiclust.errors import InputError\n"
        "MODEL = flags.DEFINE_enum('model', 'vae', ['vae', 'cvae'], 'Which one.')\n"
        "flags.DEFINE_string('store', None, 'A folder.')\n"
        "flags.DEFINE_multi_string('audio_dir', None, 'Folders.')\n"
        "flags.DEFINE_list('listening', [], 'Files.')\n"
        "flags.DEFINE_string('gate', '', 'Thresholds.')\n"
        "FLAGS = flags.FLAGS\n"
        f"def main(argv):\n    {body}\n"
        "if __name__ == '__main__':\n    run(main, takes_arguments='runs/a' in sys.argv)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, str(path), *args], capture_output=True, text=True, env=env, check=False)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("raise InputError('no such\\nstore: make one')", 1, "error: no such store: make one\n"),
        (
            "raise FileNotFoundError(errno.ENOENT, 'No such file or directory', 'a.npy')",
            1,
            "error: no such file or directory: a.npy: put it back, or if another command was writing there, run the "
            "same command again to go on\n",
        ),
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


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--store="], "--store="),
        (["--store", ""], "--store="),
        (["--store=  "], "--store="),
        (["--audio_dir=music", "--audio_dir="], "--audio_dir="),
        (["--listening="], "--listening="),
        (["--listening=a.json,"], "--listening="),
        (["runs/a", ""], "an argument"),
    ],
)
def test_what_an_unset_variable_makes_of_a_flag_is_refused(tmp_path, given, told):
    result = script(tmp_path, "raise InputError('main was called')", *given)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"error: {told} is empty: give it a value, or leave it out (is a variable of the shell not set?)\n"
    )


def test_a_flag_that_is_empty_by_default_may_be_given_so(tmp_path):
    result = script(tmp_path, "print([FLAGS.gate, FLAGS.store, FLAGS.listening])", "--gate=", "--store=stores/a")
    assert (result.stdout, result.stderr) == ("['', 'stores/a', []]\n", "")


def test_help_lists_the_flags_and_is_no_failure(tmp_path):
    result = script(tmp_path, "raise InputError('main was called')", "--help")
    assert result.returncode == 0
    assert "  --model=NAME\n      Which one. One of: vae, cvae. Default: vae." in result.stdout


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
