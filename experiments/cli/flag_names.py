"""The library's parameters as the flags that set them.

The library does not know the command line: its messages name a parameter in backticks, "choose `k` of at most 2",
"leave out `lyrics=whisper`". A person who typed a command reads "--k" and "--lyrics=whisper". A parameter that a
message names is called as its flag is; a test holds that.
"""

import re

from absl import flags

# Flags of earlier versions -> what they are called now.
RENAMED = {"label": "classes", "label_column": "class_column"}

_PARAMETER = re.compile(r"`([a-z][a-z0-9_]*)(=[^`]*)?`")


def name_flags(message: str) -> str:
    """Returns the message with each backticked parameter that is a flag of this command as that flag.

    `` `k` `` becomes --k and `` `k=8` `` becomes --k=8. Other backticks stay.
    """
    return _PARAMETER.sub(_name_flag, message)


def _name_flag(found: re.Match[str]) -> str:
    return f"--{found[1]}{found[2] or ''}" if found[1] in flags.FLAGS else found[0]
