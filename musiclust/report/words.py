"""The words that tell the songs of one cluster from the rest: class-based TF-IDF (c-TF-IDF, Grootendorst, 2022).

The texts of a cluster count as one document. The weight of a word in it is its share of the words there, times
log(1 + A / f), where f is how often the word stands in all texts and A the mean number of words of a cluster. Words
are what stands between spaces and punctuation, in small letters, of three letters at least, without function words
(articles, pronouns, prepositions), for those tell the language and not the song.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import csr_matrix

_APOSTROPHE = "\N{RIGHT SINGLE QUOTATION MARK}"
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_SHORTEST = 3
# The commonest function words of the languages that most songs are in; those under three letters go anyway.
_FUNCTION_WORDS = {
    "English": (
        "the and you that was for are with his they this have from one had but not what all were when your can there "
        "use each which she how their will other about out many then them these her would make like him into has look "
        "more could did who been its now than may our just don't i'm it's you're i'll i've can't won't let's that's "
        "we're there's ain't cause gonna wanna gotta some any only off too very where why while over under down"
    ),
    "German": (
        "und der die das den dem des ein eine einen einem einer eines ich dich mich sich mir dir ihr ihm ihn uns euch "
        "wir sie ist bin bist sind seid war waren hat hab habe haben nicht mit auf aus bei von vor vom beim ins zum "
        "zur für als auch noch nur wie was wer wenn weil dass daß doch aber oder sein seine seinen seiner seinem mein "
        "meine meinen meiner meinem dein deine deinen deiner deinem unser unsre unsere all alle alles nun schon wird "
        "werd werden kann soll will man hier dort wohl denn hin her durch ohne über unter nach ach"
    ),
    "French": (
        "les des une est que qui pas pour dans sur avec son ses mon mes ton tes nous vous ils elle elles lui leur "
        "mais comme tout tous plus moi toi aux par sont suis ont fait bien sans cette ces quand c'est j'ai qu'il"
    ),
    "Italian": (
        "che non per con una del della dei delle dello degli dal dalla dalle nel nella nelle sul sulla gli mio mia "
        "mie miei tuo tua tue tuoi suo sua sue suoi noi voi lor loro quel quella quello questo questa come più piu "
        "poi sia son sono era hai han chi cui dove quando anco ancor pur"
    ),
    "Spanish and Portuguese": (
        "los las unos del por para con sin una más mas pero como cuando donde este esta esto ese esa tus sus mis les "
        "nos soy eres son fue muy todo toda que não nao uma dos das meu minha seu sua você voce quem"
    ),
    "Latin": (
        "est sunt non cum qui quae quod sed per pro nos vos mihi tibi tua tuum tuus meum mea meus ejus eius sicut"
    ),
}
_LEFT_OUT = frozenset(word for words in _FUNCTION_WORDS.values() for word in words.split())


def split_words(text: str) -> list[str]:
    """Returns the words of a text that can tell something, in small letters, in their order.

    >>> split_words("Wenn ich ein Vöglein wär' und auch zwei Flüglein hätt'")
    ['vöglein', 'wär', 'zwei', 'flüglein', 'hätt']
    """
    words = _WORD.findall(text.lower().replace(_APOSTROPHE, "'"))
    return [word for word in words if len(word) >= _SHORTEST and word not in _LEFT_OUT]


def count_words(texts: Sequence[str]) -> tuple[csr_matrix, tuple[str, ...]]:
    """Counts the words of N texts.

    Returns:
      counts (N, V) sparse; the V words, in alphabetical order.

    Example:
      >>> counts, words = count_words(["Morgenrot, Morgenrot", "leuchtest mir"])
      >>> counts.toarray().tolist(), words
      ([[0, 2], [1, 0]], ('leuchtest', 'morgenrot'))
    """
    split = [split_words(text) for text in texts]
    words = tuple(sorted({word for text in split for word in text}))
    code = {word: index for index, word in enumerate(words)}
    rows = np.repeat(np.arange(len(split)), [len(text) for text in split])
    columns = np.fromiter(_codes(split, code), dtype=int, count=len(rows))
    counts = csr_matrix((np.ones(len(rows), dtype=int), (rows, columns)), shape=(len(split), len(words)))
    counts.sum_duplicates()
    return counts, words


def weigh_words(counts: csr_matrix, clusters: np.ndarray) -> np.ndarray:
    """Weighs each word in each cluster by c-TF-IDF.

    Args:
      counts: (N, V) of words in songs.
      clusters: (N,) clusters; noise (-1) has no row in what is returned.

    Returns:
      (k, V) weights, 0 where a cluster lacks a word.

    Example:
      >>> counts, words = count_words(["sun sun rain", "rain"])
      >>> weigh_words(counts, np.array([0, 1])).round(2).tolist()
      [[0.23, 0.46], [0.69, 0.0]]
    """
    kept = np.flatnonzero(clusters >= 0)
    k = int(clusters.max(initial=-1)) + 1
    member = csr_matrix((np.ones(len(kept)), (clusters[kept], np.arange(len(kept)))), shape=(k, len(kept)))
    of_cluster = np.asarray((member @ counts[kept]).todense(), dtype=float)
    total, everywhere = of_cluster.sum(axis=1, keepdims=True), of_cluster.sum(axis=0)
    mean = of_cluster.sum() / max(k, 1)
    return of_cluster / np.maximum(total, 1) * np.log1p(mean / np.maximum(everywhere, 1))


def _codes(split: Sequence[Sequence[str]], code: dict[str, int]) -> Iterator[int]:
    return (code[word] for text in split for word in text)
