"""Words that the messages of several corpora share."""

import difflib
from collections.abc import Sequence


def list_first(names: Sequence[str], most: int = 5) -> str:
    """Writes out the first few names, and how many more there are.

    Example:
      >>> list_first(["blues", "jazz", "rock"], most=2)
      'blues, jazz and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def suggest_names(name: str, names: Sequence[str]) -> str:
    """Says what a person who wrote `name` may have meant, or else what there is.

    Example:
      >>> suggest_names("gnre", ["id", "genre", "title"])
      'did you mean genre?'
    """
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return "did you mean " + " or ".join(close) + "?" if close else "it has " + ", ".join(names[:8]) + ", ..."
