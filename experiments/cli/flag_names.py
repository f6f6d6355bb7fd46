"""The library's parameters as the flags that set them.

The library does not know the command line: its messages name a parameter in backticks, "choose `k` of at most 2",
"leave out `lyrics=whisper`". A person who typed a command reads "--k" and "--lyrics=whisper".
"""

import re

from absl import flags

# Flags of earlier versions -> what they are called now.
RENAMED = {"label": "classes", "label_column": "class_column"}

# Parameters of the library whose flag has another name.
FLAG_OF_PARAMETER = {
    "root": "store",
    "split_files": "split_file",
    "class_columns": "class_column",
    "transcript_columns": "transcript_column",
    "blocks": "block",
}

_PARAMETER = re.compile(r"`([a-z][a-z0-9_]*)(=[^`]*)?`")


def name_flags(message: str) -> str:
    """Returns the message with each backticked parameter that is a flag of this command as that flag.

    `` `k` `` becomes --k and `` `k=8` `` becomes --k=8. Other backticks stay.
    """
    return _PARAMETER.sub(_name_flag, message)


def _name_flag(found: re.Match[str]) -> str:
    name = FLAG_OF_PARAMETER.get(found[1], found[1])
    return f"--{name}{found[2] or ''}" if name in flags.FLAGS else found[0]
