"""The frame of every command: its flags, its errors in one line, its exit status.

Exit status: 0 done, 1 something from outside is wrong (one line says what and what to do), 2 the command line is
wrong, 130 interrupted. Results and progress go to standard output, errors to standard error.
"""

import difflib
import errno
import math
import os
import sys
from collections.abc import Callable

from absl import app, flags, logging

from experiments.cli.console import escape_controls
from experiments.cli.flag_names import RENAMED, name_flags
from experiments.cli.help import NO_GROUPS, Groups, describe_program, format_help
from experiments.cli.interrupt import handle_interrupts
from musiclust.errors import InputError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_SUCH_PLACE = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENXIO, errno.EIO)
_MOST_OF_A_NAME = 200  # characters


def run(
    main: Callable[[list[str]], int | None],
    *,
    groups: Groups = NO_GROUPS,
    go_on: str = "run the same command again to go on",
    takes_arguments: bool = False,
) -> None:
    """Runs `main(argv)` of a command under absl and ends the process.

    Every failure that a person can mend ends in one line without a traceback.

    Args:
      groups: the headings of the help and the flags under each.
      go_on: tells how to continue after an interruption.
      takes_arguments: whether the command takes arguments beside its flags, before them or after. `main` checks them.
    """
    flags.FLAGS.set_gnu_getopt(takes_arguments)  # else absl takes what follows the first argument for arguments too

    def run_guarded(argv: list[str]) -> int:
        handle_interrupts()
        try:
            if len(argv) > 1 and not takes_arguments:
                return _fail(f"unexpected argument {argv[1]!r}: flags are written --name=value, see --help", 2)
            return main(argv) or 0
        except BrokenPipeError:
            # The reader (head, less) is gone; nor may the interpreter complain when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + 13
        except KeyboardInterrupt:
            return _fail(f"stopped; what is done is kept: {go_on}", 130, prefix="")
        except (InputError, OSError) as error:
            if line := tell_failure(error, go_on):
                return _fail(line)
            raise

    app.run(run_guarded, flags_parser=lambda argv: _parse(argv, groups))


def tell_failure(error: InputError | OSError, go_on: str) -> str | None:
    """The line that a person reads of a failure; None for one that nobody can mend but us.

    Args:
      go_on: tells how to continue where the disk was full.
    """
    if isinstance(error, InputError):
        return name_flags(str(error))
    name = str(error.filename or "")
    place, why = (f": {name[:_MOST_OF_A_NAME]}" if name else ""), (error.strerror or "").lower()
    if error.errno in _DISK_FULL:
        return f"no space left on the disk{place}: free some, then {go_on}"
    if error.errno in _DENIED:
        return f"{why or 'permission denied'}{place}: change its permissions"
    if error.errno == errno.ENOENT:
        return f"{why or 'no such file'}{place}: put it back, or if another command was writing there, {go_on}"
    if error.errno in _NO_SUCH_PLACE:
        return f"{why or 'no such place'}{place}: give another, or move away what is there"
    return None


def _fail(message: str, status: int = 1, *, prefix: str = "error: ") -> int:
    """Prints one line to standard error, whatever line breaks and control characters a path or a value may hold."""
    print(prefix + escape_controls(" ".join(message.splitlines())), file=sys.stderr)
    return status


def _parse(argv: list[str], groups: Groups) -> list[str]:
    """Flags of a command line -> what is left over; leaves the process on --help (0) and on a wrong flag (2)."""
    if {"-h", "--help", "-help"} & set(argv):
        print(format_help(describe_program(groups)))
        sys.exit(0)
    try:
        left_over = flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        sys.exit(_fail(f"unknown flag --{error.flagname}: {_advise(error.flagname)}", 2))
    except flags.Error as error:
        sys.exit(_fail(str(error), 2))
    if endless := _find_endless():
        sys.exit(_fail(f"{endless}: give a finite number", 2))
    if empty := _find_empty(left_over):
        sys.exit(_fail(f"{empty} is empty: give it a value, or leave it out (is a variable of the shell not set?)", 2))
    if flags.FLAGS["verbosity"].using_default_value:
        logging.set_verbosity(logging.ERROR)
        logging.get_absl_handler().setLevel("ERROR")  # for libraries that set the level of loggers of their own
    return left_over


def _find_endless() -> str:
    """What was given NaN or infinity, which pass for numbers within any bounds; "" for nothing."""
    for name in flags.FLAGS:
        flag = flags.FLAGS[name]
        if flag.present and isinstance(flag.value, float) and not math.isfinite(flag.value):
            return f"--{name}={flag.value}"
    return ""


def _find_empty(left_over: list[str]) -> str:
    """What was given an empty value, as `--store="$STORE"` is where the variable is not set; "" for nothing.

    An empty path would be taken for none, and a command would make what nobody asked for. Only a flag that is empty by
    default may be given so.
    """
    for name in flags.FLAGS:
        flag = flags.FLAGS[name]
        values = flag.value if isinstance(flag.value, list) else [flag.value]
        texts = [value for value in values if isinstance(value, str)]
        if flag.present and flag.default != "" and (not values or any(not text.strip() for text in texts)):
            return f"--{name}="
    return "an argument" if any(not text.strip() for text in left_over[1:]) else ""


def _advise(unknown: str) -> str:
    """What to write in place of a flag that does not exist."""
    now = RENAMED.get(unknown, "")
    if now in flags.FLAGS:
        return f"it is called --{now} now"
    near = difflib.get_close_matches(unknown, list(flags.FLAGS))
    return "did you mean " + " or ".join(f"--{name}" for name in near) + "?" if near else "see --help"
