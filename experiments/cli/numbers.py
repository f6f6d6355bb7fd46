"""Lists of numbers on a command line."""

from typing import Any

from musiclust.errors import InputError

MOST = 100_000  # numbers of one list


def parse_numbers(flag: str, given: list[str], kind: type) -> tuple[Any, ...]:
    """Returns the numbers of "0,1,2", of "0-9" (whole numbers only) or of the flag repeated.

    Each number stands once, but for weights.

    Raises:
      InputError: for a value that is not a number, or out of the flag's range, or for more than 100,000 of them.
    """
    values: list[Any] = []
    for text in ",".join(given).split(","):
        first, dash, last = text.partition("-")
        try:
            some = range(int(first), int(last) + 1) if kind is int and dash and first else [kind(text)]
        except ValueError as error:
            raise InputError(f"--{flag}: {text!r} is not a number; write --{flag}=0,1,2") from error
        if not some:
            raise InputError(f"--{flag}: {text!r} has no number in it: write the lower one first, as in 0-9")
        if len(values) + len(some) > MOST:
            raise InputError(f"--{flag}: {text} makes more than {MOST:,} numbers: take fewer, in several runs")
        values += some
    if kind is int and any(not 0 <= value < 2**31 for value in values):
        raise InputError(f"--{flag}: a {flag} is a whole number from 0 to 2147483647")
    if flag == "beta" and any(not 0 <= value < float("inf") for value in values):
        raise InputError("--beta: a weight of the KL term is a number from 0 up")
    if flag == "learning_rate" and any(not 0 < value < float("inf") for value in values):
        raise InputError("--learning_rate: a step size is a number above 0")
    return tuple(values) if flag == "weights" else tuple(dict.fromkeys(values))
