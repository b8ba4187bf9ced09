"""What is taken for a secret or for personal data, and what is not.

Nothing here opens anything: every value is made up, and put together so that no scanner of this
repository takes it for real.
"""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank.domain.sensitive import masked, sightings

MIXED = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6a7B8c9D0e1F2g3H4i5J6k7L8m9N0"


def value(*parts: str | int) -> str:
    """Put a credential together: numbers stand for so many letters and digits."""
    return "".join(part if isinstance(part, str) else MIXED[:part] for part in parts)


SECRETS = {
    "memory_bank_key": value("mb_", 43),
    "aws_access_key": "AK" + "IA" + "QYLPMN5HHHFPZAM2",
    "github_token": value("gh", "p_", 36),
    "gitlab_token": value("glp", "at-", 20),
    "slack_token": value("xo", "xb-123456789012-", 24),
    "slack_webhook": value("hooks.slack", ".com/services/T0AB12CD3/B0AB12CD3/", 24),
    "stripe_key": value("sk_", "live_", 24),
    "anthropic_key": value("sk-", "ant-", 40),
    "openai_key": value("sk-", "proj-", 48),
    "google_api_key": value("AI", "za", 35),
    "huggingface_token": value("h", "f_", 34),
    "npm_token": value("np", "m_", 36),
    "pypi_token": value("pyp", "i-AgE", 60),
    "sendgrid_key": value("S", "G.", 22, ".", 43),
    "telegram_token": value("123456789", ":AA", 33),
    "azure_key": value("AccountKey=", 80, "abcdef=="),
    "json_web_token": value("ey", "J", 20, ".ey", "J", 30, ".", 40),
    "password_in_url": "postgres://app:" + "s3cretpw" + "@db.internal/shop",
    "bearer_token": value("Authorization: Bearer ", 40),
    "assigned_secret": value("DB_PASSWORD", " = '", 16, "'"),
    "private_key": "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIE\n-----END " + "RSA PRIVATE KEY-----",
}
PERSONAL = {
    "email": "ada.lovelace+x@mail.example.org",
    "payment_card": "4111 1111 1111 1111",
    "iban": "DE89 3704 0044 0532 0130 00",
    "us_social_security_number": "123-45-6789",
    "phone_number": "+49 30 1234 5678",
}


@pytest.mark.parametrize(("kind", "text"), [*SECRETS.items(), *PERSONAL.items()])
@pytest.mark.parametrize("around", ["{}", "It is {}, they said.", 'x="{}"\n', "({})"])
def test_known_forms_are_found_and_masked(kind: str, text: str, around: str) -> None:
    whole = around.format(text)
    found = sightings(whole)
    assert [each.kind for each in found] == [kind]
    assert (found[0].sensitivity == "secret") == (kind in SECRETS)
    without = masked(whole, found)
    assert f"[{kind} removed]" in without
    assert sightings(without) == []


@pytest.mark.parametrize(
    "text",
    [
        "The password is kept in the vault, ask Ada.",
        "The token expires after 30 minutes.",
        "password = ${DB_PASSWORD}",
        "secret: correct horse battery staple",
        "password_reset_token_expiry_minutes: thirty_minutes_or_so",
        "commit 3f2a9c0d4e5b6a7980c1d2e3f4a5b6c7d8e9f0a1",
        "01a1fcf7-6717-7494-8dc8-963c5470c234",
        "4111 1111 1111 1112",  # its check digit is wrong
        "1234567890123456",
        "0000 0000 0000 0000",
        "DE89 3704 0044 0532 0130 01",
        "2026-11-21 07:54:20",
        "call extension 1234",
        "000-12-3456",
        "user@localhost",
        "pip install foo@1.2.3",
        "https://example.org/path?x=1",
        "mb_short",
        "sk-learn is a library, and scikit-learn-contrib-extensions-for-everybody another",
        "会議は火曜日の午後三時です。",
    ],
)
def test_what_only_looks_a_little_like_it_is_left_alone(text: str) -> None:
    assert sightings(text) == []


def key_of(lines: int, *, ended: bool = True) -> str:
    body = "\n".join([MIXED[:64]] * lines)
    end = "\n-----END " + "RSA PRIVATE KEY-----" if ended else ""
    return f"-----BEGIN {'RSA PRIVATE KEY'}-----\n{body}{end}"


@pytest.mark.parametrize("lines", [1, 25, 500])
@pytest.mark.parametrize("ended", [True, False])
def test_of_a_private_key_nothing_is_left_however_long(lines: int, ended: bool) -> None:
    text = f"before {key_of(lines, ended=ended)}\nand after"
    assert masked(text, sightings(text)) == "before [private_key removed]\nand after"


@pytest.mark.parametrize(
    "number",
    [
        "+46701234567",
        "+46 70 123 45 67",
        "+1 (555) 010-9999",
        "+44.20.7946.0958",
        "+49 30 12345678",
    ],
)
@pytest.mark.parametrize("after", ["", ".", ", then", " 2026-11-21", ". 5 doors"])
def test_phone_numbers_are_found_however_they_are_written(number: str, after: str) -> None:
    [found] = sightings(f"Call {number}{after}")
    assert (found.kind, found.start) == ("phone_number", 5)
    assert found.end >= 5 + len(number)


def test_several_are_told_in_order_and_never_overlap() -> None:
    text = f"{PERSONAL['email']} paid with {PERSONAL['payment_card']}: {SECRETS['github_token']}"
    found = sightings(text)
    assert [each.kind for each in found] == ["email", "payment_card", "github_token"]
    assert masked(text, found) == (
        "[email removed] paid with [payment_card removed]: [github_token removed]"
    )


@given(
    st.lists(
        st.sampled_from([*SECRETS.values(), *PERSONAL.values(), " ", "word", "@", "1", "key="])
    )
)
def test_any_mixture_can_be_masked_at_its_places(parts: list[str]) -> None:
    text = "".join(parts)
    found = sightings(text)
    for one, next_one in pairwise(found):
        assert 0 <= one.start < one.end <= next_one.start < next_one.end <= len(text)
    masked(text, found)


@pytest.mark.parametrize(
    "piece",
    ["a", "4111 ", "a@", "+1 ", "password=", "://x:", "-----BEGIN PRIVATE KEY-----", "eyJ", "sk-",
     "token_", "DE12 3456 ", "AccountKey=", "+12345678901234567890123x ", "+1 (2) (3) (4) (5)x",
     "-----BEGIN PRIVATE KEY-----\n" + "A" * 64 + "\n", "a@a.a.a.a.a.a.a.a.a.1", "eyJaaaaaaaa."],
)  # fmt: skip
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    began = time.process_time()
    sightings(text)
    assert time.process_time() - began < 2  # a tenth of it on a quiet machine
