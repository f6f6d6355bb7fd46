"""Commands as a person starts them, each in a process of its own.

Most of the time of a short command is the import of JAX and scikit-learn. `script` starts its processes from one that
has imported them, by a fork; `start` starts an interpreter, as a person does.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

# A line of JSON in: the module, its arguments, the environment, files for its output. Lines out: the process that
# carries it out, then its exit status.
_SERVER = """
import json, os, runpy, sys, traceback
import experiments.study.job, experiments.study.results, experiments.study.report_files, experiments.study.scoring

def run(module, args, environment, out, err):
    os.environ.clear()
    os.environ.update(environment)
    for path, number in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv[1:] = args
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as error:
        status = error.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)

for line in sys.stdin:
    child = os.fork()
    if not child:
        run(**json.loads(line))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def environment(place: Path) -> dict[str, str]:
    """Of a command whose cache is under `place`: its programs are compiled fast, not well."""
    own = {"XDG_CACHE_HOME": str(place / "cache"), "COLUMNS": "120", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    return os.environ | own


def free_address() -> str:
    """host:port on this machine that nobody listens at."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


def start(place: Path, name: str, *args: str) -> subprocess.Popen:
    """Starts `python -m experiments.<name>` and does not wait for it."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-m", f"experiments.{name}", *args]
    return subprocess.Popen(command, cwd=ROOT, env=environment(place), text=True, **pipes)


def script(place: Path, name: str, *args: str, kill_after: float | None = None) -> tuple[int, str, str]:
    """(exit status, standard output, standard error) of a command that has ended; it may not end in a traceback.

    Args:
      kill_after: seconds after which it is killed with SIGKILL, if it has not ended by then.
    """
    server = _server()
    assert server.stdin
    assert server.stdout
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        request = {"module": f"experiments.{name}", "args": args, "environment": environment(place)}
        server.stdin.write(json.dumps(request | {"out": str(out), "err": str(err)}) + "\n")
        server.stdin.flush()
        process = int(server.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        code = int(server.stdout.readline())
        said, complained = (path.read_text(encoding="utf-8") if path.exists() else "" for path in (out, err))
    assert "Traceback" not in complained, complained
    return code, said, complained


@cache
def _server() -> subprocess.Popen:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER], cwd=ROOT, env=environment(Path(tempfile.gettempdir())), text=True, **pipes
    )
    atexit.register(server.kill)
    return server
