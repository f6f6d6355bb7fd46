"""Audio files to a store. The only room that knows librosa, Whisper, SBERT and torch, imported inside functions."""
