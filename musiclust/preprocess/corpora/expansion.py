"""How large a packed table may become: a file of a few bytes can unpack to more than any machine holds."""

from pathlib import Path

from musiclust.errors import InputError

ALWAYS = 2**28  # bytes that any file may unpack to
FOLD = 100  # and as many times its own size. Tables of features are packed 2 to 10 fold; gzip can do 1,030.


def most_unpacked(path: Path) -> int:
    """Returns the bytes that a packed table may have when it is unpacked."""
    return max(ALWAYS, FOLD * path.stat().st_size)


def refuse_unpacked(path: Path) -> InputError:
    """Returns the error for a table that is larger than that."""
    most = most_unpacked(path)
    return InputError(
        f"{path}: unpacks to more than {most / 1e6:,.0f} MB from {path.stat().st_size / 1e6:,.3g}, as no table of "
        "features does: if it is one, unpack it and name the result"
    )
