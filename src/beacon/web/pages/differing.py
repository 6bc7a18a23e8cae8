"""Two texts side by side, with the words marked that only one of them has."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from markupsafe import Markup

from beacon.web.text import visible

MOST_WORDS = 1_500
"""Longer texts are shown unmarked: comparing them takes quadratic time."""
# A word of a script without spaces is one character.
_TOKENS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+|\s+|.", re.DOTALL)


def marked(left: str, right: str) -> tuple[Markup, Markup, bool]:
    """Both as markup, escaped, and whether they were compared."""
    a, b = _TOKENS.findall(left), _TOKENS.findall(right)
    if max(len(a), len(b)) > 2 * MOST_WORDS:
        return visible(left), visible(right), False
    told: tuple[list[Markup], list[Markup]] = ([], [])
    for same, a1, a2, b1, b2 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        for side, words in ((told[0], a[a1:a2]), (told[1], b[b1:b2])):
            if words:
                text = visible("".join(words))
                side.append(text if same == "equal" else Markup('<mark class="here">{}</mark>').format(text))
    return Markup("").join(told[0]), Markup("").join(told[1]), True
