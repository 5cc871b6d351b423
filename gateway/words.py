"""The words of a text, as rules compare them."""

import re
import unicodedata

_WORD = re.compile(r"\w+(?:\+\+|#)?")
"""With what makes C++ and C# another word than C."""


def words_in(text: str) -> frozenset[str]:
    """Return the words of a text without regard to case and accents."""
    plain = "".join(mark for mark in unicodedata.normalize("NFKD", text) if not unicodedata.combining(mark))
    return frozenset(_WORD.findall(plain.casefold()))
