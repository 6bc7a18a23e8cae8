"""Which language an answer is scored in: as the caller says, or guessed from the text."""

from __future__ import annotations

import re
from collections import Counter

GUESSED_FROM = 2_000
"""Characters at the beginning of a text that the guess looks at."""

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_KANA_OR_HANGUL = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")
_WORD = re.compile(r"[^\W\d_]+")
_HAN_SHARE = 0.2

# The most frequent small words of each language; a text is taken for the language that it has most of.
_SMALL_WORDS = {
    "en": "the of and to in is that it for as with was on by i not this are be or can which a an about sorry",
    "fi": "ja on ei että se en oli ovat voi tai myös mutta kuin jotka joka olen tämä niin sen kun ole tässä tätä",
    "es": "el la los las de que y en un una es por con para no se lo del al como pero su puedo",
    "fr": "le la les des de que et en un une est pour avec dans pas il du au ce qui sur je vous ne peux",
    "de": "der die das und ist nicht ein eine zu den mit von für auf im ich es sich dem auch kann",
    "it": "il di che e la un una è per non in con sono del della le si questo posso",
    "pt": "o a os as de que e em um uma é por com para não se do da como mas posso",
    "sv": "och att det som en på är av för med den till inte har de jag om ett kan",
}
_LANGUAGES_OF_WORD: dict[str, list[str]] = {}
for _language, _words in _SMALL_WORDS.items():
    for _word in _words.split():
        _LANGUAGES_OF_WORD.setdefault(_word, []).append(_language)


def language_of(tag: str | None, text: str) -> str | None:
    """The primary subtag of `tag` in lower case; without a tag a guess, None where there is no ground for one."""
    stated = re.split(r"[-_]", (tag or "").strip().lower(), maxsplit=1)[0]
    return stated or guess_language(text)


def guess_language(text: str) -> str | None:
    """The language whose script or small words the beginning of `text` shows, or None.

    Only good enough to choose a calibration; a caller that knows the language says it.
    """
    beginning = text[:GUESSED_FROM]
    words = _WORD.findall(beginning.lower())
    letters = sum(map(len, words))
    if letters and len(_HAN.findall(beginning)) >= _HAN_SHARE * letters:
        return None if _KANA_OR_HANGUL.search(beginning) else "zh"
    votes = Counter(language for word in words for language in _LANGUAGES_OF_WORD.get(word, ()))
    ranked = votes.most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]
