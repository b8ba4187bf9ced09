"""Splitting text into the terms that lexical search compares.

Unicode-aware and language-neutral: words are runs of letters, digits and combining marks of any
script, compared by compatibility form and without case (NFKC, casefold). Scripts written without
spaces give single characters and pairs of neighbours instead, as is usual for Chinese, Japanese and
Korean (Lucene's CJKBigramFilter does the same).

`stem` tells which terms are forms of one word, for languages in Latin letters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

LONGEST_TERM = 64
"""Characters of a word that count. Longer ones are encoded data, told apart by their beginning."""

_SHORTEST_INFLECTED = 4
"""Letters of a word below which its ending is part of it: gas, red, yes."""
_VOWEL = re.compile(r"[aeiouy]")
"""What is left of a verb holds one: string and bring are none with an ending."""

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Myanmar
    "\u1780-\u17ff"  # Khmer
    "\u3040-\u30ff"  # Hiragana, Katakana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\uac00-\ud7af"  # Hangul: spaced, but its particles cling to the words
)


def _combining_marks() -> str:
    """Return the marks (general categories Mn and Mc) of the basic plane as a character class.

    Python's \\w leaves them out, which would cut Devanagari, Arabic and decomposed Latin in pieces.
    """
    marks = (chr(code) for code in range(0x300, 0xFE30))
    return "".join(mark for mark in marks if unicodedata.category(mark) in ("Mn", "Mc"))


ASCII_TERMS = bytes(
    code if code > 0x7F else ord(chr(code).lower()) if chr(code).isalnum() else 0x20
    for code in range(256)
)
"""For `bytes.translate`: leaves of ASCII small letters and digits, and spaces for the rest."""
_WORD = re.compile(rf"\w[\w{_combining_marks()}]*")
_ANY_UNSPACED = re.compile(f"[{_UNSPACED}]")
_RUN = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")


def terms(text: str) -> list[str]:
    """Return the terms of a text in order, repeated ones included."""
    if text.isascii():
        words = text.encode().translate(ASCII_TERMS).decode().split()
    else:
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        words = _WORD.findall(folded.replace("_", " "))
        if _ANY_UNSPACED.search(folded):
            words = [part for word in words for part in _parts(word)]
    return [word[:LONGEST_TERM] for word in words]


@lru_cache(maxsize=4_096)
def stem(term: str) -> str:
    """Return what stands for all forms of a word; never shown to anybody.

    Takes off accents and the endings that nouns and verbs of several languages take without
    changing their meaning. Far lighter than stemmers for one language, as the language is not
    known: two words that differ in meaning seldom become one, not all forms do. Terms with other
    characters than letters, of other scripts, or of three letters are left as they are.
    """
    word = term if term.isascii() else without_accents(term)
    if len(word) < _SHORTEST_INFLECTED or not word.isascii() or not word.isalpha():
        return term
    while (shorter := _without_ending(word)) != word:
        word = shorter
    return word


def _without_ending(word: str) -> str:
    if len(word) < _SHORTEST_INFLECTED:
        return word
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    if word.endswith("y"):  # query, queries
        return word[:-1] + "i"
    for ending in ("ing", "ed"):
        root = word.removesuffix(ending)
        if root != word and len(root) > 2 and _VOWEL.search(root) and root[-1] != "e":
            if root[-1] == root[-2] and root[-1] not in "lsz":  # stopped; but called, missed
                return root[:-1]
            return root
    if len(word) > _SHORTEST_INFLECTED + 1 and word.endswith("en"):
        return word[:-2]
    return word[:-1] if len(word) > _SHORTEST_INFLECTED and word.endswith("e") else word


def words(text: str) -> Iterator[tuple[str, int]]:
    """Yield the words of a text as they are written, and where each begins."""
    for found in _WORD.finditer(text):
        yield found[0], found.start()


def is_unspaced(word: str) -> bool:
    """Tell whether a word holds characters of a script that is written without spaces."""
    return _ANY_UNSPACED.search(word) is not None


def _parts(word: str) -> list[str]:
    """Split a word at changes between spaced and unspaced scripts; cut up the unspaced runs."""
    parts: list[str] = []
    for run in _RUN.findall(word):
        if _ANY_UNSPACED.match(run):
            parts += run
            parts += map("".join, pairwise(run))
        else:
            parts.append(run)
    return parts


def without_accents(term: str) -> str:
    """Return a term with its letters as they are without marks on them."""
    decomposed = unicodedata.normalize("NFD", term)
    return "".join(each for each in decomposed if not unicodedata.combining(each))
