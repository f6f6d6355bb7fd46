"""The verdict on a transcript that a machine made: which of its words were sung, if any.

Conventions: a transcript is a mapping with "text" and, where Whisper made it, "segments" and "language"; a text without
segments counts as one segment whose times and probabilities are unknown. Whatever is unknown is not held against it.
A word of Chinese, Japanese, Thai, Lao, Khmer or Burmese is a letter, for these write no spaces. Nothing is deleted: a
verdict stands beside the transcript, and is made again from it when a threshold changes.

Sources: Radford et al., Robust speech recognition via large-scale weak supervision (2022), section 4.5, and
`whisper.transcribe` for its three thresholds; Zhuo et al., LyricWhiz (ISMIR 2023), for lyrics by Whisper; Baranski et
al. (ICASSP 2025) for loops and phantom phrases.
"""

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from musiclust.errors import InputError
from musiclust.preprocess.lyrics import hallucinations


@dataclass(frozen=True)
class Gate:
    """Thresholds: what lies beyond one of them is not taken for words.

    Attributes:
      no_speech: highest probability of no speech in a segment. Whisper's 0.6, but by itself: Whisper drops a window
        only where the next one fails too, and over music it is often sure of what it invents. It loses more
        songs than the 0.9 of LyricWhiz's code, which has a second judge.
      logprob: lowest mean log-probability of a segment's tokens, in nats; Whisper's -1.0, below which it calls a
        decoding failed.
      compression: highest ratio of the length of a window's text to its zlib-compressed length; Whisper's 2.4.
      repetition: highest share of a transcript's word trigrams that were there before; 0.8 is each of them five times.
      min_rate, max_rate: words a second of a segment. One in ten seconds is a phrase over a silence; ten a second are
        more than the fastest rap on record (9.6, over 16 s).
      min_words: fewest different words of a transcript; fewer are a phrase, not a text. Sung syllables (la, oh, hey)
        need not differ.
      max_scripts: most alphabets in a segment; Japanese with English has two, babble often three.
      agreement: lowest share of word bigrams in common with another transcript of the track, of the shorter one's.
        Of pairs of transcripts of different songs, 1 in 100 has 0.1 or more (`python -m benchmarks.gate`).
      voice: score of a voice (voice.py), where one is known, below which doubt is enough: a segment is dropped that is
        half the way to `no_speech` or `logprob`. Below half of it nobody is heard, and nothing is taken for words.
    """

    no_speech: float = 0.6
    logprob: float = -1.0
    compression: float = 2.4
    repetition: float = 0.8
    min_rate: float = 0.1
    max_rate: float = 10.0
    min_words: int = 3
    max_scripts: int = 2
    agreement: float = 0.1
    voice: float = 0.4


class Verdict(NamedTuple):
    """What a gate makes of a transcript.

    Attributes:
      words: what is taken for sung, a line for each segment; "" for an instrumental.
      reasons: why parts of the transcript were dropped, and what should be known of the rest, in alphabetical order.
      segments: for each segment why it was dropped, "" where it was not.
    """

    words: str
    reasons: tuple[str, ...]
    segments: tuple[str, ...]


def parse(thresholds: str) -> Gate | None:
    """Reads thresholds: "" are the defaults, "off" is no gate (None), "name=value,..." are other thresholds.

    Raises:
      InputError: if a name is not a field of `Gate`, or a value not a number.

    Example:
      >>> parse("min_words=5").min_words
      5
    """
    if thresholds.strip() == "off":
        return None
    names = {field.name: type(field.default) for field in fields(Gate)}
    values = {}
    for part in filter(None, (part.strip() for part in thresholds.split(","))):
        name, _, value = (word.strip() for word in part.partition("="))
        if name not in names:
            raise InputError(f"gate {part!r} is not known: write off, or name=value with {', '.join(names)}")
        try:
            values[name] = names[name](value)
        except ValueError as error:
            raise InputError(f"gate {part!r}: {value!r} is not a number ({names[name].__name__})") from error
        if not math.isfinite(values[name]):
            raise InputError(f"gate {part!r}: {value!r} is not a finite number")
    return replace(Gate(), **values)


def judge(
    transcript: Mapping[str, Any],
    gate: Gate | None,
    others: Sequence[Mapping[str, Any]] = (),
    voice: float | None = None,
) -> Verdict:
    """Judges a transcript.

    Args:
      gate: the thresholds; with None everything is trusted.
      others: other transcripts of the same track, made by other models for example. One that agrees is enough. One in
        another language (as far as both are known) or with fewer than `min_words` words says nothing, for models
        translate, and skip what they are unsure of.
      voice: score of a voice in the track, see `voice.score_voice`; None where nobody has listened for one.

    Example:
      >>> judge({"text": "Thanks for watching!"}, Gate())
      Verdict(words='', reasons=('phantom phrase',), segments=('phantom phrase',))
    """
    segments = transcript.get("segments") or [{"text": transcript["text"]}]
    if gate is None:
        lines = (" ".join(segment["text"].split()) for segment in segments)
        return Verdict("\n".join(filter(None, lines)), ("gate off",), ("",) * len(segments))
    doubtful = replace(gate, no_speech=gate.no_speech / 2, logprob=gate.logprob / 2)
    kept, dropped, reasons = [], set(), []
    for segment in segments:
        sung, why = _keep_sung(segment["text"])
        beyond = _find_threshold(segment, sung, gate) if sung else ""
        if sung and not beyond and voice is not None and voice < gate.voice:
            beyond = "doubtful words, hardly a voice" if _find_threshold(segment, sung, doubtful) else ""
        dropped |= {*why, beyond} - {""}
        reasons.append(beyond or ("" if sung else ", ".join(sorted(why)) or "no words"))
        if sung and not beyond:
            kept.append(sung)
    words = "\n".join(kept)
    against, notes = _judge_whole(words, gate) if words else ("", set())
    against = against or (_judge_against(words, transcript, others, gate) if words else "")
    if words and voice is not None and voice < gate.voice / 2:
        against = against or "no voice is heard"
    found = dropped | notes | ({against} - {""})
    return Verdict("" if against else words, tuple(sorted(found)) or (() if words else ("no words",)), tuple(reasons))


def split_words(text: str) -> list[str]:
    """Splits a text into words as `hallucinations.normalise` leaves them, and scripts without spaces into letters.

    Example:
      >>> split_words("Don't stop!")
      ["don't", 'stop']
    """
    found = _TOKEN.findall(hallucinations.normalise(text))
    return [token for token in found if any(map(str.isalnum, token))]


_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(f"[{_SPACELESS}\U00020000-\U0003ffff]|[^ {_SPACELESS}\U00020000-\U0003ffff]+")
_LINE_END = re.compile(r"(?<=[.!?…。！？])\s*(?=\s|[^\x00-\x7f])|\s{2,}|\n")  # noqa: RUF001
# Letters written twice or more are one: "ooooh" is "oh".
_SYLLABLE = re.compile(r"(la|na|da|ba|sha|dum|oh|o|ah|uh|eh|ha|ho|he|hey|ay|yea|yeah|wo|woah|whoa|m|hm)\1*")


def _keep_sung(text: str) -> tuple[str, set[str]]:
    """Returns the lines of a segment that are words, joined by spaces, and what the others are."""
    lines = _LINE_END.split(hallucinations.remove_captions(text))
    what = {line: hallucinations.classify_line(line) for line in lines if any(map(str.isalnum, line))}
    without = " ".join(" ".join(line.split()) for line in lines if what.get(line) == "")
    why = {reason for reason in what.values() if reason}
    if hallucinations.remove_captions(text) != text and not what:
        why.add("name of a sound")
    return without, why


def _find_threshold(segment: Mapping[str, Any], sung: str, gate: Gate) -> str:
    """Returns the threshold that a segment with words lies beyond, "" for none."""
    rate = len(split_words(sung)) / max(segment["end"] - segment["start"], 0.02) if "end" in segment else math.nan
    checks = {
        "no speech": segment.get("no_speech_prob", 0.0) > gate.no_speech,
        "improbable words": segment.get("avg_logprob", 0.0) < gate.logprob,
        "repeats itself": segment.get("compression_ratio", 0.0) > gate.compression,
        "words too few for its length": rate < gate.min_rate,
        "words too many for its length": rate > gate.max_rate,
        "mixed alphabets": len(_list_scripts(sung)) > gate.max_scripts or "\ufffd" in sung,
    }
    return next((reason for reason, beyond in checks.items() if beyond), "")


def _list_scripts(text: str) -> set[str]:
    """Returns the alphabets of a text, by the first words of Unicode's names; Chinese and Japanese are one."""
    names = (unicodedata.name(c, "").partition(" ")[0] for c in set(text) if c.isalpha())
    return {"CJK" if name in ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA") else name for name in names if name}


def _judge_whole(words: str, gate: Gate) -> tuple[str, set[str]]:
    """Returns what speaks against a transcript as a whole, "" for nothing, and what should be known of it."""
    sung = split_words(words)
    syllables = [token for token in sung if _SYLLABLE.fullmatch(re.sub(r"(.)\1+", r"\1", token))]
    if len({*sung} - {*syllables}) < gate.min_words:
        if len(syllables) < gate.min_words:
            return "too few different words", set()
        return "", {"syllables only"}
    trigrams = _list_ngrams(sung, 3)
    if trigrams and 1 - len({*trigrams}) / len(trigrams) > gate.repetition:
        return "repeats itself", set()
    return "", set()


def _judge_against(words: str, transcript: Mapping[str, Any], others: Sequence[Mapping[str, Any]], gate: Gate) -> str:
    """Returns "other transcripts disagree" where others say something and none agrees, else ""."""
    shares = list(_compare_all(words, transcript.get("language"), others, gate))
    return "other transcripts disagree" if shares and max(shares) < gate.agreement else ""


def _compare_all(words: str, language: str | None, others: Sequence[Mapping[str, Any]], gate: Gate) -> Iterator[float]:
    for other in others:
        same = None in (language, other.get("language")) or language == other["language"]
        heard, _ = _keep_sung(other["text"])
        if same and len({*split_words(heard)}) >= gate.min_words:
            yield measure_overlap(words, heard)


def measure_overlap(one: str, other: str) -> float:
    """Measures the share of word bigrams that two texts have in common, of those of the shorter text; in [0, 1].

    Example:
      >>> measure_overlap("a b c d", "a b c")
      1.0
    """
    pairs = [{*_list_ngrams(split_words(text), 2)} for text in (one, other)]
    fewest = min(map(len, pairs))
    return len(pairs[0] & pairs[1]) / fewest if fewest else 0.0


def _list_ngrams(sung: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(sung[i:] for i in range(n)), strict=False))
