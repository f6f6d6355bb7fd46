"""Writing into a store: one corpus and one process at a time, finished tracks in shards, files replaced together."""
