"""The one exception that a user can mend."""


class InputError(Exception):
    """Something from outside is wrong: a path, a file, a value, a checkpoint.

    The message is one line. It names the thing and the remedy; a parameter stands in backticks. The commands print the
    message and exit with status 1. Any other exception that reaches a user is a bug.
    """
