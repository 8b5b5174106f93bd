"""The language of a text: from its script, and from its commonest words where a script serves many languages.

Unknown where the text is short, or where it is not clear: a language library would always name one. Measured against
py3langid, which takes 100 MB and 20 times as long.
"""

import re

# The commonest words of each language. A word of two languages counts for both, so neighbours need more of a text.
_WORDS = {
    "English": "the and of to in is that it for you with are this be as on not have from or was can will your which by"
    " at an if but has they we what when all their there more would one about how so out up them then its also could"
    " some who other than into only these may his her he she our been were do no my had any like",
    "German": "der die und das ist nicht zu den mit ein eine von sich auf für dem es auch als werden ich sie wird oder"
    " sind bei einen einer des im aus wie an nach kann wenn nur noch zum zur aber dass so durch über haben hat war vor"
    " um diese dieser eines einem man ihre sein keine mehr am bis was wir du",
    "French": "le la les des et est une un du que pour dans qui sur avec pas au vous ce il plus sont nous par être"
    " cette ou votre en ne se elle aux son ses mais comme on leur cela peut fait tout si ces été avoir sans aussi même"
    " je ont entre très deux était bien vos",
    "Spanish": "el la los las que de en un una es por con para no se del su como más al lo puede este son pero si sus"
    " esta está también entre cuando muy sin sobre ser hay todo ha fue han desde porque qué nos te ya cada donde"
    " tiene debe eso otro",
    "Portuguese": "os que de em um uma por com para não se do da no na como mais dos das ou são ao seu sua é foi está"
    " você isso pode ser também mas pelo pela já nos nas à muito há sem sobre entre quando esta este tem até ele ela"
    " depois aos",
    "Italian": "il la che di un una per non con del della si le gli sono come più nel alla dei anche questo in da al ha"
    " è ed o ma lo dal delle nella essere questa se ci suo sua può tra sulla degli quando molto cui stato hanno era i"
    " dalla nei",
    "Dutch": "de het een en van is dat niet op te zijn voor met die aan er ook als bij maar je wordt om naar deze of"
    " dit kan door uit heeft over ze hij dan nog worden wat meer in hebben moet zo geen wel uw tot we u kunnen na"
    " tussen onder",
    "Polish": "nie na się to jest że do jak dla są być lub po przez od ale oraz może co który czy za które aby jego"
    " tego tym tak można ich gdy tylko jako przy już ten która ma pod także bardzo był było jej musi",
    "Czech": "se na že to do jsou pro jak nebo ale být jako od po které může by při pokud své je není za tak který ve"
    " ze si až jeho už má jen také co která tím před tento podle jste musí bylo toho aby",
    "Swedish": "och att det är en som för på av med inte till den har om ett kan du från eller vi så var de jag när"
    " men i också måste ska sig han hon där efter än vid mycket eller alla bara måste vara finns inga",
    "Danish or Norwegian": "og det er at en som for på af av med ikke til den har om et kan du fra eller vi så var de"
    " i når men også jeg skal der hvis sig ved efter være kun må denne dette mange blev",
    "Finnish": "ja on ei että se oli hän mutta ovat kun tai voi myös kuin jos sen joka ole niin ovat tämä ne vain"
    " jotka sitä tämän kanssa mukaan jälkeen olla hyvin ovat sekä mitä tässä",
    "Hungarian": "az és hogy nem is egy van meg ez vagy de csak mint lehet már még ha el azt kell nincs lesz volt ezt"
    " amely minden ki fel aki majd mert ne után között",
    "Romanian": "și de la în este că nu cu pe un din pentru mai sau care sunt se ce fi ca prin al ale au o fost acest"
    " această lui dar trebuie poate după vă dacă unei unui lor fără",
    "Turkish": "ve bir bu için ile de da olarak daha çok ne gibi olan veya ama en kadar sonra değil her var olduğu"
    " ancak ya mi ise şu tüm sadece yok lütfen",
    "Indonesian or Malay": "yang dan di untuk dengan ini itu dari dalam tidak adalah pada ke atau akan juga dapat anda"
    " bisa oleh sebagai harus lebih karena telah ada saya kita mereka oleh tersebut boleh bahwa",
    "Vietnamese": "và của là có không được cho một các trong với những này để khi người đã từ bạn hoặc phải đó như sẽ"
    " về trên ra nhiều thì bị",
}
_BY_WORD: dict[str, tuple[str, ...]] = {}
for _language, _words in _WORDS.items():
    for _word in set(_words.split()):
        _BY_WORD[_word] = (*_BY_WORD.get(_word, ()), _language)

# Kana come before Han: Japanese has both.
_SCRIPTS = (
    ("Japanese", re.compile("[\u3040-\u30ff]"), 0.1),
    ("Korean", re.compile("[\uac00-\ud7af]"), 0.3),
    ("Chinese", re.compile("[\u3400-\u9fff]"), 0.3),
    ("Ukrainian", re.compile("[іїєґІЇЄҐ]"), 0.03),
    ("Russian or another in Cyrillic", re.compile("[\u0400-\u052f]"), 0.5),
    ("Arabic, Persian or Urdu", re.compile("[\u0600-\u06ff]"), 0.5),
    ("Hebrew", re.compile("[\u05d0-\u05ea]"), 0.5),
    ("Greek", re.compile("[\u0370-\u03ff]"), 0.5),
    ("Hindi or another in Devanagari", re.compile("[\u0900-\u097f]"), 0.5),
    ("Bengali", re.compile("[\u0980-\u09ff]"), 0.5),
    ("Tamil", re.compile("[\u0b80-\u0bff]"), 0.5),
    ("Thai", re.compile("[\u0e00-\u0e7f]"), 0.5),
)
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
_LETTERS = re.compile(r"[^\W\d_]+")

LOOKED_AT_CHARACTERS = 500
LEAST_WORDS = 12
LEAST_WIDE_LETTERS = 12
LEAST_COMMON = 4
LEAST_SHARE = 0.15
LEAST_LEAD = 1.3


def language_of(text: str) -> str | None:
    """The language a text is written in, in words; None where it is short or not clear. Code does not count."""
    text = text[:LOOKED_AT_CHARACTERS]
    if "`" in text or "://" in text:
        text = _CODE.sub(" ", text)
    words = _LETTERS.findall(text.lower())
    if not text.isascii() and (script := _by_script(words)):
        return script
    if len(words) < LEAST_WORDS:
        return None
    scores: dict[str, int] = {}
    different = set(words)
    for word in different:
        for language in _BY_WORD.get(word, ()):
            scores[language] = scores.get(language, 0) + 1
    best, second, *_ = [*sorted(scores, key=lambda language: -scores[language]), "", ""]
    least = max(LEAST_COMMON, LEAST_SHARE * len(different), LEAST_LEAD * scores.get(second, 0))
    return best if scores.get(best, 0) >= least else None


def _by_script(words: list[str]) -> str | None:
    letters = "".join(words)
    wide = sum(char > "\u036f" for char in letters)
    if wide < LEAST_WIDE_LETTERS or 4 * wide < len(letters):
        return None
    for language, pattern, share in _SCRIPTS:
        if len(pattern.findall(letters)) >= share * len(letters):
            return language
    return None
