"""What speech recognition writes where nobody speaks: outros, subtitle credits, names of sounds.

Whisper learnt from subtitled videos, and over music or silence it writes what stands under their silent parts. The list
holds such lines by language, as gathered in discussions 679, 928, 1873 and 2608 of openai/whisper; Baranski et al.,
Investigation of Whisper ASR hallucinations induced by non-speech audio (ICASSP 2025), call it a bag of hallucinations.

Conventions: a line counts only as a whole, for its words alone may well be sung; upper and lower case, punctuation and
spaces make no difference; all languages count at once, since over music the detected language is a guess too. What
stands in brackets or asterisks, [Applause] or *Bell tolls*, is a caption whatever it says.
"""

# ruff: noqa: RUF001 (letters of other alphabets are meant)

import re
import unicodedata

PHRASES: dict[str, tuple[str, ...]] = {
    "ar": ("شكرا على المشاهدة", "شكرا", "ترجمة نانسي قنقر", "اشتركوا في القناة", "موسيقى"),
    "cs": ("děkuji za sledování", "titulky vytvořil johnyx", "hudba"),
    "da": ("tak fordi du så med", "tak for at se med", "musik"),
    "de": (
        "vielen dank fürs zuschauen",
        "vielen dank für's zuschauen",
        "danke fürs zuschauen",
        "vielen dank für die aufmerksamkeit",
        "vielen dank",
        "bis zum nächsten mal",
        "bis zum nächsten video",
        "das war's für heute",
        "musik",
        "musik spielt",
        "applaus",
    ),
    "el": ("ευχαριστώ που παρακολουθήσατε", "υπότιτλοι authorwave", "μουσική"),
    "en": (
        "thanks for watching",
        "thanks for watching guys",
        "thanks for watching everyone",
        "thank you for watching",
        "thank you so much for watching",
        "thank you very much for watching",
        "thank you for watching this video",
        "thank you for watching the video",
        "thanks for watching this video",
        "thank you for your watching",
        "thanks for listening",
        "thank you for listening",
        "thank you for joining us",
        "thank you so much for joining us",
        "please subscribe",
        "please subscribe to my channel",
        "like and subscribe",
        "please like and subscribe",
        "please like share and subscribe",
        "don't forget to like and subscribe",
        "don't forget to subscribe",
        "if you enjoyed this video please like subscribe and comment",
        "if you enjoyed the video please consider subscribing",
        "i hope you enjoyed this video",
        "i hope you enjoyed the video",
        "subscribe to my channel",
        "hello everyone welcome to my channel",
        "welcome to my channel",
        "welcome back to my channel",
        "see you next time",
        "see you in the next video",
        "see you in the next one",
        "i'll see you next time",
        "i'll see you in the next video",
        "i'll see you in the next one",
        "and i'll see you in the next one",
        "and i'll see you in the next video",
        "i'll see you guys in the next one",
        "and i'll see you guys in the next one",
        "we'll see you next time",
        "we'll be right back",
        "i'll be right back",
        "let's get right into it",
        "let's get started",
        "now let's get started",
        "to be continued",
        "the end",
        "thank you",
        "thank you very much",
        "thank you so much",
        "thanks",
        "bye",
        "bye bye",
        "you",
        "music",
        "music playing",
        "music plays",
        "music continues",
        "music fades",
        "music stops",
        "applause",
        "cheering",
        "clapping",
        "laughter",
        "laughing",
        "silence",
        "static",
        "beep",
        "beeping",
        "whistling",
        "humming",
        "instrumental",
        "intro",
        "outro",
        "foreign",
        "inaudible",
        "blank audio",
    ),
    "es": (
        "gracias por ver el video",
        "gracias por ver el vídeo",
        "gracias por ver",
        "muchas gracias por ver el video",
        "suscríbete al canal",
        "suscríbete",
        "no olvides suscribirte",
        "hasta la próxima",
        "nos vemos en el próximo video",
        "gracias",
        "música",
        "aplausos",
    ),
    "fi": ("kiitos kun katsoitte", "kiitos katsomisesta", "musiikkia"),
    "fr": (
        "merci d'avoir regardé cette vidéo",
        "merci d'avoir regardé la vidéo",
        "merci d'avoir regardé",
        "merci d'avoir visionné cette vidéo",
        "abonnez-vous à la chaîne",
        "abonnez-vous",
        "n'oubliez pas de vous abonner",
        "à bientôt pour une nouvelle vidéo",
        "à la prochaine",
        "merci",
        "musique",
        "applaudissements",
    ),
    "hi": ("देखने के लिए धन्यवाद", "धन्यवाद", "संगीत"),
    "hu": ("köszönöm, hogy megnézted", "köszönöm a figyelmet", "zene"),
    "id": ("terima kasih telah menonton", "terima kasih sudah menonton", "terima kasih", "musik"),
    "it": ("grazie per la visione", "grazie per aver guardato il video", "iscrivetevi al canale", "grazie", "musica"),
    "ja": (
        "ご視聴ありがとうございました",
        "ご視聴いただきありがとうございます",
        "ご清聴ありがとうございました",
        "最後までご視聴いただきありがとうございました",
        "見てくれてありがとう",
        "チャンネル登録をお願いします",
        "チャンネル登録よろしくお願いします",
        "ありがとうございました",
        "また次の動画でお会いしましょう",
        "おやすみなさい",
        "音楽",
        "拍手",
    ),
    "ko": (
        "시청해주셔서 감사합니다",
        "시청해 주셔서 감사합니다",
        "끝까지 시청해주셔서 감사합니다",
        "구독과 좋아요 부탁드립니다",
        "구독과 좋아요",
        "감사합니다",
        "다음 영상에서 만나요",
        "음악",
        "박수",
    ),
    "nl": ("bedankt voor het kijken", "dank u voor het kijken", "tot de volgende keer", "bedankt", "muziek"),
    "no": ("takk for at du så på", "takk for at dere så på", "musikk"),
    "pl": (
        "dziękuję za oglądanie",
        "dziękuję za obejrzenie",
        "dziękuję za uwagę",
        "dzięki za obejrzenie",
        "zapraszam do subskrypcji",
        "do zobaczenia w kolejnym odcinku",
        "dziękuję",
        "muzyka",
    ),
    "pt": (
        "obrigado por assistir",
        "obrigado por assistir ao vídeo",
        "obrigada por assistir",
        "inscreva-se no canal",
        "não se esqueça de se inscrever",
        "até a próxima",
        "obrigado",
        "música",
    ),
    "ro": ("mulțumesc pentru vizionare", "vă mulțumim pentru vizionare", "muzică"),
    "ru": (
        "продолжение следует",
        "спасибо за просмотр",
        "спасибо за внимание",
        "подписывайтесь на канал",
        "подписывайтесь на мой канал",
        "до новых встреч",
        "спасибо",
        "музыка",
        "аплодисменты",
    ),
    "sv": ("tack för att ni tittade", "tack för att du tittade", "musik"),
    "th": ("ขอบคุณที่รับชม", "ขอบคุณที่ติดตาม", "ดนตรี"),
    "tr": (
        "izlediğiniz için teşekkürler",
        "izlediğiniz için teşekkür ederim",
        "abone olmayı unutmayın",
        "altyazı m.k.",
        "teşekkürler",
        "müzik",
    ),
    "uk": ("дякую за перегляд", "дякуємо за перегляд", "дякую за увагу", "музика"),
    "vi": (
        "cảm ơn các bạn đã xem video",
        "cảm ơn các bạn đã theo dõi",
        "hẹn gặp lại các bạn trong những video tiếp theo",
        "hãy đăng ký kênh",
        "nhạc",
    ),
    "zh": (
        "谢谢观看",
        "謝謝觀看",
        "感谢观看",
        "谢谢大家",
        "谢谢观看下集再见",
        "请不吝点赞 订阅 转发 打赏支持明镜与点点栏目",
        "請不吝點贊訂閱轉發打賞支持明鏡與點點欄目",
        "请订阅",
        "字幕",
        "音乐",
        "音樂",
        "掌声",
    ),
}

# Whoever the credit names, it begins or goes on like this; tried on the line as `normalise` leaves it.
_CREDIT = re.compile(
    r"\bamara ?org\b|\bdimatorzok\b|\bmooji org\b|\bcastingwords\b|\botter ai\b|\btvsubtitles\b"
    r"|^(?:subtitles|captions|captioned|captioning|transcription|transcribed|translated|closed captions?)\b.*\bby\b"
    r"|^untertitel\w*\b.*\b(?:von|im auftrag|der|aufgrund)\b|^(?:copyright )?(?:wdr|swr|zdf|ndr|mdr) \d{4}$"
    r"|^sous ?titr(?:es|age|eur)\b|^sottotitoli\b|^subt[ií]t?ul\w*\b.*\bpor\b|^subtitulado\b"
    r"|^(?:transcrição e )?legendas?\b.*\b(?:por|pela|de)\b|^ondertitel\w*\b.*\bdoor\b|^napisy\b.*\b(?:by|przez|wykon)"
    r"|^(?:tłumaczenie|zdjęcia)\b.*\bnapisy\b|^teksting\b|^tekstet av\b|^undertexter\b.*\b(?:av|från)\b|^tekstitys\b"
    r"|^(?:субтитры|редактор субтитров|корректор)\b|^altyazı\b|^titulky\b|^(?:phụ đề|vietsub)\b"
    r"|字幕(?:由|志愿者|志願者|製作|制作|by|组|組)|(?:社区|社區|社群)提供(?:的)?字幕"
    r"|자막 ?(?:by|제작|제공)|^mbc 뉴스|^ترجمة\b"
)
_MUSIC = re.compile(
    r"^(?:(?:soft|gentle|calm|slow|fast|upbeat|cheerful|happy|sad|somber|dramatic|tense|ominous|suspenseful|mysterious"
    r"|epic|loud|quiet|dark|light|ambient|electronic|classical|orchestral|rock|pop|jazz|techno|folk|revolutionary|piano"
    r"|guitar|drum|organ|violin|band|theme|intro|outro|opening|closing|ending|background|instrumental|and) ?)+"
    r"(?:music|song|theme)s?(?: (?:playing|plays|continues|fades|stops|fades out|ends))?$"
)
_CAPTION = re.compile(r"\[[^\[\]]*\]|\([^()]*\)|（[^（）]*）|【[^【】]*】|\*+[^*]+\*+|[♩♪♫♬🎵🎶🎼]+")


def normalise(text: str) -> str:
    """Keeps letters, digits and inner apostrophes, folds upper and lower case, and puts one space between words.

    Letters are in Unicode's compatibility form.

    Example:
      >>> normalise("Don't STOP -- believin'!")
      "don't stop believin"
    """
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    folded = folded.replace("i̇", "i").replace("ı", "i")  # Turkish, whose capitals are other languages' too
    kept = "".join(c if unicodedata.category(c)[0] in "LNM" or c == "'" else " " for c in folded)
    return " ".join(word.strip("'") for word in kept.split() if word.strip("'"))


def _key(text: str) -> str:
    return normalise(text).replace(" ", "").replace("'", "")


_KEYS = sorted({_key(phrase) for phrases in PHRASES.values() for phrase in phrases}, key=len, reverse=True)
_PHRASE = re.compile(f"(?:{'|'.join(map(re.escape, _KEYS))})+")


def remove_captions(text: str) -> str:
    """Replaces by two spaces what stands in brackets or between asterisks, and signs of notes.

    A caption breaks a line: "Oh [Applause] Thank you" is two.
    """
    return _CAPTION.sub("  ", text)


def classify_line(line: str) -> str:
    """Tells what a line is, if nobody sang it. Captions are already taken out of the line.

    Returns:
      "phantom phrase" (one of PHRASES or several in a row), "subtitle credit", "name of a sound", or "" for words.
    """
    words = normalise(line)
    if _PHRASE.fullmatch(_key(line)):
        return "phantom phrase"
    if _CREDIT.search(words):
        return "subtitle credit"
    return "name of a sound" if _MUSIC.match(words) else ""
