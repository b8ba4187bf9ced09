"""Finding secrets and personal data in texts: well-known forms only, checked where they can be.

A finding names a kind and a place, never what was found. Detectors prefer to miss than to cry wolf:
each is anchored to a form that hardly anything else has, and numbers that carry a check digit must
pass it. So a passphrase in a sentence is not found; this keeps accidents out, not adversaries.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Sensitivity(StrEnum):
    """What kind of harm a leak would do; each has a policy of its own."""

    SECRET = "secret"  # noqa: S105  # a name, not a value
    PERSONAL = "personal"


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something sensitive in a text, by its place in it."""

    sensitivity: Sensitivity
    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Detector:
    kind: str
    hints: tuple[str, ...]
    """One of them is in every text that the pattern matches: looking for them first makes texts
    without anything cost a hundredth. In lower case; a text is searched without case."""
    pattern: re.Pattern[str]
    holds: Callable[[str], bool] = bool
    """Checks what the pattern cannot: the text of the group `it`, or of all."""


def _luhn(text: str) -> bool:
    """ISO/IEC 7812-1 annex B."""
    digits = [int(letter) for letter in text if letter.isdigit()]
    if len(set(digits)) == 1:
        return False
    doubled = (2 * digit - 9 * (digit > 4) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _iban(text: str) -> bool:
    """ISO 13616: the number, country and check digits moved to its end, is 1 modulo 97."""
    compact = text.replace(" ", "").upper()
    if not 15 <= len(compact) <= 34:
        return False
    number = "".join(str(int(letter, 36)) for letter in compact[4:] + compact[:4])
    return int(number) % 97 == 1


def _social_security(text: str) -> bool:
    area, group, serial = text.split("-")
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _random(text: str) -> bool:
    """Say whether a value looks drawn at random: a digit in it, and at least 3 bits per letter.

    Words have 2.5 to 3.5 bits; 20 random hexadecimal digits 3.2, base64 4.
    """
    if len(set(text)) < 8 or not any(letter.isdigit() for letter in text):
        return False
    counts = Counter(text)
    bits = -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())
    return bits >= 3.0


_DIGITS = tuple("0123456789")
_NOT_BEFORE = r"(?<![A-Za-z0-9_-])"
_NOT_AFTER = r"(?![A-Za-z0-9_-])"


def _token(form: str) -> re.Pattern[str]:
    return re.compile(f"{_NOT_BEFORE}(?:{form}){_NOT_AFTER}", re.ASCII)


_SECRETS = (
    _Detector(
        "private_key",
        ("private key",),
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            # To the end mark, however far; without one, the lines that look like a key's.
            r"(?:[^-]*+(?:-(?!----)[^-]*+)*+-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            r"|(?:\s{1,4}[A-Za-z0-9+/=]{16,100})*+)",
        ),
    ),
    _Detector("memory_bank_key", ("mb_",), _token(r"mb_[A-Za-z0-9_-]{43}")),
    _Detector("aws_access_key", ("akia", "asia"), _token(r"(?:AKIA|ASIA)[A-Z2-7]{16}")),
    _Detector(
        "github_token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        _token(r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{82}"),
    ),
    _Detector(
        "gitlab_token",
        ("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-"),
        _token(r"gl(?:pat|dt|rt|cbt|ptt|ft)-[A-Za-z0-9_-]{20,64}"),
    ),
    _Detector("slack_token", ("xox",), _token(r"xox[abeoprs]-[A-Za-z0-9-]{10,250}")),
    _Detector(
        "slack_webhook",
        ("hooks.slack.com",),
        re.compile(r"hooks\.slack\.com/services/T[A-Z0-9]+/B[A-Z0-9]+/\w{20,}"),
    ),
    _Detector(
        "stripe_key", ("_live_", "_test_"), _token(r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,247}")
    ),
    _Detector("anthropic_key", ("sk-ant-",), _token(r"sk-ant-[A-Za-z0-9_-]{20,200}")),
    _Detector(
        "openai_key",
        ("sk-",),
        _token(r"sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{32,200}"),
        _random,
    ),
    _Detector("google_api_key", ("aiza",), _token(r"AIza[A-Za-z0-9_-]{35}")),
    _Detector("google_oauth_token", ("ya29.",), _token(r"ya29\.[A-Za-z0-9_-]{20,500}")),
    _Detector("huggingface_token", ("hf_",), _token(r"hf_[A-Za-z0-9]{30,50}")),
    _Detector("npm_token", ("npm_",), _token(r"npm_[A-Za-z0-9]{36}")),
    _Detector("pypi_token", ("pypi-age",), _token(r"pypi-AgE[A-Za-z0-9_-]{50,500}")),
    _Detector("sendgrid_key", ("sg.",), _token(r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}")),
    _Detector("telegram_token", (":aa",), _token(r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}")),
    _Detector("azure_key", ("accountkey=",), re.compile(r"AccountKey=(?P<it>[A-Za-z0-9+/]{86}==)")),
    _Detector(
        "json_web_token",
        ("eyj",),
        _token(r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}"),
    ),
    _Detector(
        "password_in_url",
        ("://",),
        re.compile(
            r"[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{1,100}:(?P<it>[^\s:/@]{3,200})@", re.IGNORECASE
        ),
        lambda text: not text.startswith(("$", "{", "<", "*")),
    ),
    _Detector(
        "bearer_token",
        ("bearer",),
        re.compile(r"\bBearer\s+(?P<it>[A-Za-z0-9._~+/-]{20,2000}=*)"),
        _random,
    ),
    _Detector(
        "assigned_secret",
        ("passw", "passphrase", "secret", "key", "token"),
        re.compile(
            r"\b\w{0,40}(?:passw(?:or)?d|passphrase|secret|api[_-]?key|access[_-]?key|auth[_-]?token|token)"
            r"\w{0,20}[\"']?\s{0,3}(?:[:=]|=>)\s{0,3}[\"']?(?P<it>[^\s\"'`,;<>{}$]{8,200})",
            re.IGNORECASE,
        ),
        _random,
    ),
)
_PERSONAL = (
    _Detector(
        "email",
        ("@",),
        re.compile(
            r"(?<![\w.+-])[A-Za-z0-9_][\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])",
            re.ASCII,
        ),
    ),
    _Detector(
        "payment_card",
        _DIGITS,
        re.compile(r"(?<![\w.-])[2-6][0-9]{3}(?:[ -]?[0-9]{4}){2}[ -]?[0-9]{1,7}(?![\w-]|\.[0-9])"),
        lambda text: 13 <= sum(map(str.isdigit, text)) <= 19 and _luhn(text),
    ),
    _Detector(
        "iban",
        _DIGITS,
        re.compile(r"(?<!\w)[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)"),
        _iban,
    ),
    _Detector(
        "us_social_security_number",
        ("-",),
        re.compile(r"(?<![\w-])[0-9]{3}-[0-9]{2}-[0-9]{4}(?![\w-])"),
        _social_security,
    ),
    _Detector(
        "phone_number",
        ("+",),
        re.compile(r"(?<![\w+.-])\+[1-9](?:[ ().-]{0,2}[0-9]){8,14}(?![\w-])"),
    ),
)


def sightings(text: str) -> list[Sighting]:
    """Return what is sensitive in a text, in order, without overlaps; secrets come first."""
    found: list[Sighting] = []
    folded = text.lower()
    for sensitivity, detectors in (
        (Sensitivity.SECRET, _SECRETS),
        (Sensitivity.PERSONAL, _PERSONAL),
    ):
        for detector in detectors:
            if any(hint in folded for hint in detector.hints):
                spans = _matches(detector, text)
                fresh = [Sighting(sensitivity, detector.kind, *span) for span in spans]
                found = _without_overlaps([*found, *fresh])
    return found


def _without_overlaps(found: list[Sighting]) -> list[Sighting]:
    """Return the sightings by their places; of two that overlap, the one that was found first."""
    kept: list[Sighting] = []
    ranked = sorted(enumerate(found), key=lambda each: each[1].start)
    rank_of_last = -1
    for rank, each in ranked:
        if kept and each.start < kept[-1].end:
            if rank < rank_of_last:
                kept[-1], rank_of_last = each, rank
        else:
            kept.append(each)
            rank_of_last = rank
    return kept


def masked(text: str, what: list[Sighting]) -> str:
    """Return a text with these places replaced by what kind of thing was there."""
    parts = []
    position = 0
    for each in what:
        parts += [text[position : each.start], f"[{each.kind} removed]"]
        position = each.end
    return "".join([*parts, text[position:]])


def _matches(detector: _Detector, text: str) -> Iterator[tuple[int, int]]:
    for match in detector.pattern.finditer(text):
        group = "it" if "it" in detector.pattern.groupindex else 0
        if detector.holds(match.group(group)):
            yield match.span(group)
