"""The commands, in the order in which a newcomer meets them."""

COMMANDS: tuple[str, ...] = ("preprocess", "run", "evaluate", "reproduce", "traverse", "lessons")
