"""The commands, in the order in which a newcomer meets them."""

from importlib.util import find_spec

COMMANDS: tuple[str, ...] = (
    *("preprocess", "run", "evaluate", "organize", "compare", "compact"),
    *("reproduce", "study", "traverse", "lessons"),
)


def command_module(name: str) -> str:
    """Returns the module that `python -m experiments.<name>` runs.

    >>> command_module("run"), command_module("study")
    ('experiments.run', 'experiments.study.__main__')
    """
    spec = find_spec(f"experiments.{name}")
    assert spec is not None
    return spec.name + (".__main__" if spec.submodule_search_locations else "")
