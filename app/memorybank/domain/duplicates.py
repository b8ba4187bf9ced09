"""When two memories say the same: the rule by which a store answers with what it has.

Two texts are taken for the same when they hold the same words in the same order, apart from case,
articles and the punctuation around words. Code must be equal letter by letter. And a memory is
superfluous only where the other one holds all that it brings along: tags, session, times, typed
fields. So nothing is ever lost by this rule; what merely means the same in other words is kept, and
search ranks it.

Vectors have no say: with the built-in model "We moved from Lund to Malmo" and "We moved from Malmo
to Lund" have a cosine of .99, two orders of one sentence .98. See
docs/adr/0020-the-same-words-are-the-same-memory.md.
"""

from __future__ import annotations

import hashlib
import unicodedata

from memorybank.domain.memory import Memory, MemoryType, searchable_text

_ARTICLES = frozenset(["a", "an", "the"])
"""Words that may come and go. Any other, even "is" against "was", may be what the memory is about;
and other languages have their own, which stay."""

_AROUND_WORDS = ".,;:!\"'()[]\u2018\u2019\u201c\u201d\u00ab\u00bb\u2026\u3002\u3001"
"""Punctuation that may come and go at the ends of words; not the question mark, and nothing that
means something in front of or behind a word, as in -1 or C++."""

_DIGEST_BYTES = 16


def fingerprint(text: str) -> bytes:
    """Return 16 bytes that texts of the same words in the same order share."""
    said = "\x00".join(words(text)) or text.strip()
    return hashlib.blake2b(said.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).digest()


def says_the_same(new: Memory, old: Memory) -> bool:
    """Say whether `old`, which has the fingerprint of `new`, makes `new` superfluous."""
    if (new.project, new.type) != (old.project, old.type) or _brings_more(new, old):
        return False
    if new.type is not MemoryType.CODE:
        return True
    return searchable_text(new).strip() == searchable_text(old).strip()


def _brings_more(new: Memory, old: Memory) -> bool:
    """Say whether the new memory holds anything beside its text that the old one does not."""
    told = (
        (new.details or None, old.details),
        (new.metadata or None, old.metadata),
        (new.session, old.session),
        (new.occurred_at, old.occurred_at),
        (new.valid_from, old.valid_from),
        (new.valid_to, old.valid_to),
    )
    if any(said is not None and said != known for said, known in told):
        return True
    return not set(new.tags) <= set(old.tags) or new.pinned > old.pinned


def words(text: str) -> list[str]:
    """Return the words of a text, without what may come and go."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [
        stripped
        for word in folded.split()
        if (stripped := word.strip(_AROUND_WORDS)) and stripped not in _ARTICLES
    ]
