"""The one exception that a user can mend."""


class InputError(Exception):
    """Something from outside is wrong: a path, a file, a flag value, a checkpoint.

    The message is one line that names the thing and the remedy. The scripts in `experiments/` print it and
    exit with status 1; any other exception that reaches a user is a bug.
    """
