"""The commands, in the order in which a newcomer meets them."""

COMMANDS = ("preprocess", "run", "evaluate", "reproduce", "lessons")
