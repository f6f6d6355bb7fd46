"""lock: one process at a time writes into a store, however many start together and however they end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from musiclust.errors import InputError
from musiclust.preprocess.writing.lock import lock_store

ROOT = Path(__file__).resolve().parents[3]
PROCESSES, ROUNDS = 6, 20

# In each round processes wait for one signal and then all want the store. One that is let in makes the file "inside",
# which must not be there, and takes it away again when it leaves. Each call of the operating system comes after a short
# wait, of a length drawn by lot, so that the calls of one process fall between those of the others. Prints how many
# were let in, were refused, and met another inside or failed, by round.
TOGETHER = """
import fcntl, os, random, sys, time
from pathlib import Path
from musiclust.errors import InputError
from musiclust.preprocess.writing.lock import lock_store

root, rounds, processes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

def delay(call):
    def delayed(*args, **options):
        time.sleep(random.random() * 0.003)
        return call(*args, **options)
    return delayed

def enter():
    random.seed(os.getpid())
    for module, name in ((os, "open"), (os, "unlink"), (os, "kill"), (os, "stat"), (os, "fstat"), (fcntl, "flock")):
        setattr(module, name, delay(getattr(module, name)))
    try:
        with lock_store(root):
            os.close(os.open(root / "inside", os.O_CREAT | os.O_EXCL))
            time.sleep(0.005)
            os.unlink(root / "inside")
        return 0
    except InputError as error:
        return 1 if "is being written by process" in str(error) else 3
    except FileExistsError:
        return 2

for number in range(rounds):
    if number % 2:
        root.mkdir(exist_ok=True)
        (root / ".lock").write_text("4194311 on a machine of long ago")  # of a process that was killed
    start, go = os.pipe()
    children = []
    for _ in range(processes):
        child = os.fork()
        if not child:
            os.close(go)
            os.read(start, 1)
            os._exit(enter())
        children.append(child)
    os.close(start)
    os.close(go)
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(ended.count(0), ended.count(1), processes - ended.count(0) - ended.count(1))
"""

# Holds the store until it is killed.
HOLD = """
import sys, time
from pathlib import Path
from musiclust.preprocess.writing.lock import lock_store

with lock_store(Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(os.name != "posix", reason="processes are forked")
def test_of_processes_that_start_together_one_at_a_time_is_let_in(tmp_path):
    command = [sys.executable, "-c", TOGETHER, str(tmp_path / "store"), str(ROUNDS), str(PROCESSES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    rounds = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(rounds) == ROUNDS
    assert all(together == 0 for _, _, together in rounds)  # nobody met another inside, and nobody failed otherwise
    assert all(entered >= 1 for entered, _, _ in rounds)
    assert sum(refused for _, refused, _ in rounds) > ROUNDS  # they did start together
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_lock_ends_with_its_process_and_names_it_until_then(tmp_path):
    root = tmp_path / "store"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(root)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as held:
        assert held.stdout
        assert held.stdout.readline() == "in\n"
        (root / f".tracks.csv.{held.pid}.tmp").write_text("half a fi")  # as if it were killed while writing
        with (
            pytest.raises(InputError, match=rf"is being written by process {held.pid} on .*: wait for it"),
            lock_store(root),
        ):
            pass
        held.send_signal(signal.SIGKILL)
    with lock_store(root):
        assert [path.name for path in root.iterdir()] == [".lock"]
        assert (root / ".lock").read_text().startswith(f"{os.getpid()} on ")
        with (
            pytest.raises(InputError, match=f"process {os.getpid()}"),
            lock_store(root),
        ):  # nor a thread of it
            pass
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "link to nothing"])
def test_what_is_no_lock_is_named_and_left(tmp_path, kind):
    root, mine = tmp_path / "store", tmp_path / "mine.txt"
    root.mkdir()
    mine.write_text("keep")
    lock = root / ".lock"
    {
        "folder": lock.mkdir,
        "pipe": lambda: os.mkfifo(lock),
        "link": lambda: lock.symlink_to(mine),
        "link to nothing": lambda: lock.symlink_to(tmp_path / "nothing"),
    }[kind]()
    started = time.monotonic()
    with pytest.raises(InputError, match=r"\.lock is no file: delete it"), lock_store(root):
        pass
    assert time.monotonic() - started < 5
    assert mine.read_text() == "keep"
    assert not (tmp_path / "nothing").exists()
