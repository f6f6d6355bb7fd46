"""Where tracks come from: each corpus is a function Request -> Corpus.

A corpus looks at names, tags and tables only. Whether a file holds sound is found out by `pipeline`, which names those
that do not.
"""

from collections.abc import Callable

from musiclust.preprocess.corpora.base import Corpus, Request
from musiclust.preprocess.corpora.demo import demo
from musiclust.preprocess.corpora.fma import fma
from musiclust.preprocess.corpora.folder import folder
from musiclust.preprocess.corpora.gtzan import gtzan
from musiclust.preprocess.corpora.table import table

CORPORA: dict[str, Callable[[Request], Corpus]] = {
    "folder": folder,
    "demo": demo,
    "table": table,
    "gtzan": gtzan,
    "fma": fma,
}
