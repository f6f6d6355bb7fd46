"""gate: what is taken for words; hallucinations: what is not, line by line."""

import csv

import numpy as np
import pytest

from benchmarks.gate_checks import by_genre, judge_all, measure
from musiclust.errors import InputError
from musiclust.preprocess.lyrics import hallucinations
from musiclust.preprocess.lyrics.gate import Gate, judge, measure_overlap, parse, split_words

SONG = "I don't want to waste no more of your precious time. I don't want to say everything will be fine."


def of(text, gate: Gate | None = Gate(), *others):  # noqa: B008 (frozen)
    return judge({"text": text}, gate, [{"text": other} for other in others])


def segment(text, **fields):
    sure = {"start": 0.0, "end": 4.0, "no_speech_prob": 0.1, "avg_logprob": -0.3, "compression_ratio": 1.4}
    return {"text": text, **sure, **fields}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Thanks for watching!", "phantom phrase"),
        ("Music  Music  you", "phantom phrase"),
        ("Thank you. THANK YOU! thank you", "phantom phrase"),
        ("ご視聴ありがとうございました。", "phantom phrase"),
        ("谢谢 观看", "phantom phrase"),
        ("ขอบคุณที่รับชม", "phantom phrase"),
        ("Merci d’avoir regardé cette vidéo !", "phantom phrase"),  # noqa: RUF001
        ("Sous-titres réalisés par la communauté d'Amara.org", "subtitle credit"),
        ("Untertitel im Auftrag des ZDF für funk, 2017", "subtitle credit"),
        ("Untertitelung aufgrund der Amara.org-Community", "subtitle credit"),
        ("Subtítulos realizados por la comunidad", "subtitle credit"),
        ("Субтитры сделал DimaTorzok", "subtitle credit"),
        ("小編字幕由Amara.org社區提供", "subtitle credit"),
        ("[Applause]", "name of a sound"),
        ("**Bell tolls**  **Ambient sounds**", "name of a sound"),
        ("Gentle guitar music playing", "name of a sound"),
        ("♪ ♪ 🎵", "name of a sound"),
        ("the the the the the the", "too few different words"),
        ("Oh", "too few different words"),
        ("(wind) The  Thanks for watching!", "too few different words"),
        ("I'm the one you need " * 12, "repeats itself"),
        ("Địa Ngятся Con Quê And that's where we 어로", "mixed alphabets"),  # noqa: RUF001
        ("...", "no words"),
        ("", "no words"),
    ],
)
def test_what_nobody_sang_is_rejected_with_its_reason(text, reason):
    verdict = of(text)
    assert verdict.words == ""
    assert reason in verdict.reasons


@pytest.mark.parametrize(
    "text",
    [
        SONG,
        "You and the music and me, thanks to the band",  # words of such phrases, but no such phrase as a line
        "I love this music, I love this music tonight",
        "夜空中最亮的星 能否听清",
        "夜に駆ける baby tonight",
        "Around the world, around the world, we go",
        "Bald ist die Nacht vorbei",
    ],
)
def test_words_pass_as_they_are(text):
    assert of(text) == (" ".join(text.split()), (), ("",))


def test_syllables_are_sung_and_said_to_be_syllables():
    assert of("La la la, ooooh, la la") == ("La la la, ooooh, la la", ("syllables only",), ("",))
    assert of("la") == ("", ("too few different words",), ("",))


def test_lines_are_dropped_from_a_text_and_the_rest_is_kept():
    verdict = of(f"♪ {SONG} ♪ (laughs)\nThank you for watching!")
    assert verdict.words == SONG
    assert verdict.reasons == ("phantom phrase",)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"no_speech_prob": 0.61}, "no speech"),
        ({"avg_logprob": -1.01}, "improbable words"),
        ({"compression_ratio": 2.41}, "repeats itself"),
        ({"end": 90.0}, "words too few for its length"),
        ({"end": 0.4}, "words too many for its length"),
        ({"end": 0.0}, "words too many for its length"),
    ],
)
def test_each_threshold_drops_its_segment_and_no_other(fields, reason):
    song = {"text": "", "segments": [segment("I walk the line alone"), segment("down by the river side", **fields)]}
    verdict = judge(song, Gate())
    assert verdict.segments == ("", reason)
    assert verdict.words == "I walk the line alone"
    assert verdict.reasons == (reason,)
    lenient = Gate(no_speech=1.0, logprob=-9.0, compression=9.0, min_rate=0.0, max_rate=1000.0)
    assert judge(song, lenient).words == "I walk the line alone\ndown by the river side"


def test_at_a_threshold_a_segment_passes():
    at = segment("I walk the line", no_speech_prob=0.6, avg_logprob=-1.0, compression_ratio=2.4)
    assert judge({"text": "", "segments": [at]}, Gate()).segments == ("",)


def test_no_gate_trusts_everything():
    assert of("Thanks for  watching!", None) == ("Thanks for watching!", ("gate off",), ("",))


def test_other_transcripts_must_agree_unless_they_say_nothing():
    assert of(SONG, Gate(), "I don't wanna waste no more of your precious time").words == SONG
    apart = of(SONG, Gate(), "Captain crane on this video the cops ordered them")
    assert apart.words == ""
    assert apart.reasons == ("other transcripts disagree",)
    assert of(SONG, Gate(), "Captain crane on this video", "waste no more of your time").words == SONG
    assert of(SONG, Gate(), "", "Thank you.", "oh oh oh").words == SONG
    assert of(SONG, Gate(agreement=0.0), "Captain crane on this video").words == SONG
    translated = [{"text": "Ich will nicht noch mehr Zeit verlieren", "language": "de"}]
    assert judge({"text": SONG, "language": "en"}, Gate(), translated).words == SONG
    assert judge({"text": SONG}, Gate(), translated).words == ""


def test_overlap_is_the_share_of_bigrams_of_the_shorter():
    assert measure_overlap("a b c d", "x b c y") == pytest.approx(1 / 3)
    assert measure_overlap("a b c", "a b c d e f") == 1
    assert measure_overlap("我爱你", "我爱她") == 0.5
    assert measure_overlap("a", "a") == 0


def test_tokens_are_words_and_of_scripts_without_spaces_letters():
    assert split_words("Don’t STOP—believin'!") == ["don't", "stop", "believin"]  # noqa: RUF001
    assert split_words("我爱rock music") == ["我", "爱", "rock", "music"]
    assert split_words("ฉันรัก") == ["ฉ", "น", "ร", "ก"]
    assert split_words("नमस्ते दुनिया") == ["नमस्ते", "दुनिया"]


def test_thresholds_are_read_from_a_line():
    assert parse("") == Gate()
    assert parse("off") is None
    assert parse("no_speech=0.9, min_words=5") == Gate(no_speech=0.9, min_words=5)
    for line, message in {
        "nospeech=1": "'nospeech=1' is not known: write off, or name=value with no_speech, logprob",
        "logprob": r"'' is not a number \(float\)",
        "min_words=2.5": r"'2.5' is not a number \(int\)",
        "logprob=nan": "'nan' is not a finite number",
    }.items():
        with pytest.raises(InputError, match=message):
            parse(line)


def test_every_phrase_is_found_however_it_is_written():
    for phrases in hallucinations.PHRASES.values():
        for phrase in phrases:
            assert hallucinations.classify_line(f" {phrase.upper()}!  "), phrase


def test_the_benchmark_counts_what_it_says(tmp_path):
    rows = [
        ("Pop", "One", SONG, SONG.replace("fine", "good")),
        ("Pop", "Two", "The sea is calling me home tonight", "Captain crane on this very video"),
        ("Rock", "Three (Instrumental)", "Music playing", ""),
        ("Rock", "Four (No Vocals)", "", ""),
    ]
    names = ("genre", "title", "whisper_medium", "whisper_small")
    with open(tmp_path / "t.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows])
    with open(tmp_path / "t.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    verdicts = judge_all(table, *names[2:], Gate())
    found = dict(measure(table, *names[2:], Gate(), verdicts))
    assert found["rejected, one transcript"] == "2 of 4 (50.0 %)"
    assert found["rejected, both"] == "3 of 4 (75.0 %)"
    assert found["title says unsung: no text at all"] == "1 of 2 (50.0 %)"
    assert found["title says unsung: rejected, both"] == "2 of 2 (100.0 %)"
    assert found["no bigram in common: rejected, one transcript"] == "0 of 1 (0.0 %)"
    assert found["no bigram in common: rejected, both"] == "1 of 1 (100.0 %)"
    assert found["half of the bigrams in common: wrongly rejected, both"] == "0 of 1 (0.0 %)"
    np.testing.assert_equal(by_genre(table, names[2], verdicts), [("Pop", 2, 2, 2, 1), ("Rock", 2, 1, 0, 0)])


def test_a_voice_that_nobody_hears_speaks_against_words():
    sure, doubtful = segment("I walk the line alone"), segment("down by the river side", no_speech_prob=0.4)
    song = {"text": "", "segments": [sure, doubtful]}
    alone = judge(song, Gate())
    assert alone.words == "I walk the line alone\ndown by the river side"
    for voice in (0.4, 0.9):  # evidence for a voice changes nothing
        assert judge(song, Gate(), voice=voice) == alone
    hardly = judge(song, Gate(), voice=0.3)
    assert hardly.words == "I walk the line alone"
    assert hardly.reasons == ("doubtful words, hardly a voice",)
    improbable = {"text": "", "segments": [sure, segment("down by the river side", avg_logprob=-0.6)]}
    assert judge(improbable, Gate(), voice=0.3).segments == ("", "doubtful words, hardly a voice")
    nobody = judge({"text": "", "segments": [sure]}, Gate(), voice=0.19)
    assert (nobody.words, nobody.reasons) == ("", ("no voice is heard",))
    assert judge(song, Gate(voice=0.0), voice=0.0) == alone
    assert judge(song, None, voice=0.0).reasons == ("gate off",)
