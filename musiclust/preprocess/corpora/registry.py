"""Where tracks come from: each corpus is a function Request -> Corpus.

Conventions: paths are absolute; track_ids are POSIX, NFC-normalised and sorted; "" is an unknown label or tag. What is
here looks at names, tags and tables only. Whether a file holds sound is found out by `pipeline`, which names those that
do not.
"""

from collections.abc import Callable

from musiclust.preprocess.corpora.base import Corpus, Request
from musiclust.preprocess.corpora.fma import fma
from musiclust.preprocess.corpora.folder import folder
from musiclust.preprocess.corpora.gtzan import gtzan
from musiclust.preprocess.corpora.table import table
from musiclust.preprocess.demo import render as demo_corpus


def demo(request: Request) -> Corpus:
    """The demo corpus, rendered first where it is not yet on disk."""
    out_dir = request.audio_dir or demo_corpus.default_dir(request.cache_dir, request.seed)
    if not demo_corpus.is_rendered(out_dir, seed=request.seed):
        demo_corpus.render(out_dir, seed=request.seed, workers=request.workers, progress=request.progress)
    tracks, words = demo_corpus.load(out_dir)
    return Corpus(tracks, words, 0, (), {"corpus": "demo", "audio_dir": str(out_dir), "seed": request.seed})


CORPORA: dict[str, Callable[[Request], Corpus]] = {
    "folder": folder,
    "demo": demo,
    "table": table,
    "gtzan": gtzan,
    "fma": fma,
}
