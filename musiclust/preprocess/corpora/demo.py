"""The corpus "demo": excerpts of real scores, rendered on this machine."""

from musiclust.preprocess.corpora.base import Corpus, Request
from musiclust.preprocess.demo import render


def demo(request: Request) -> Corpus:
    """Takes the demo corpus of `seed`, rendered first where it is not yet on disk.

    Classes are "repertory" and, of the notes, "instrument", "voices", "tempo", "register" and "mode"; the group is the
    piece. Words are those of the scores.

    Raises:
      InputError: if a package that renders it is not installed.
    """
    place, tracks, words = render.load_or_render(
        request.audio_dir,
        cache_dir=request.cache_dir,
        seed=request.seed,
        workers=request.workers,
        progress=request.progress,
    )
    return Corpus(tracks, words, 0, (), {"corpus": "demo", "audio_dir": str(place), "seed": request.seed})
