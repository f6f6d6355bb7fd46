"""The corpus "demo": excerpts of real scores, rendered on this machine."""

from musiclust.preprocess.corpora.base import Corpus, Request
from musiclust.preprocess.demo import manifest, render


def demo(request: Request) -> Corpus:
    """Takes the demo corpus of `seed`, rendered first where it is not yet on disk.

    Classes are "repertory"; the group is the piece. Words are those of the scores.

    Raises:
      InputError: if a package that renders it is not installed.
    """
    out_dir = request.audio_dir or manifest.default_dir(request.cache_dir, request.seed)
    if not manifest.is_rendered(out_dir, seed=request.seed):
        render.render(out_dir, seed=request.seed, workers=request.workers, progress=request.progress)
    tracks, words = manifest.load(out_dir)
    return Corpus(tracks, words, 0, (), {"corpus": "demo", "audio_dir": str(out_dir), "seed": request.seed})
