"""What counts as a version, and where it is read from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_operator.reconcile.versions import Version, parse, refusal, tag_of

numbers = st.integers(0, 99)
known = st.builds(Version, numbers, numbers, numbers)


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("memorybank-app:0.1.0", "0.1.0"),
        ("registry.example:5000/team/app:2", "2"),
        ("registry.example:5000/team/app", ""),
        ("app:0.1.0@sha256:" + "0" * 64, "0.1.0"),
        ("app@sha256:" + "0" * 64, ""),
    ],
)
def test_the_tag_of_an_image_is_found(image: str, tag: str) -> None:
    assert tag_of(image) == tag


@pytest.mark.parametrize("text", ["", "dev", "2", "1.2", "latest", "1.2.3.4", "٣.1.1"])
def test_what_is_no_version_is_not_judged(text: str) -> None:
    assert parse(text) is None
    assert refusal("9.9.9", text) is None


@given(known, known)
def test_of_two_versions_at_least_one_order_is_refused_unless_only_the_patch_differs(
    one: Version, other: Version
) -> None:
    texts = [".".join(map(str, each)) for each in (one, other)]
    there, back = refusal(*texts), refusal(*reversed(texts))
    if one[:2] == other[:2]:
        assert there is back is None
    else:
        assert there or back


@given(known)
def test_the_way_that_a_refusal_names_may_be_gone(version: Version) -> None:
    present = f"{version.major}.{version.minor}.{version.patch}"
    far = refusal(present, f"{version.major + 2}.0.0")
    assert far is not None
    assert refusal(present, f"{version.major + 1}.0.0") is None
    assert f"go to {version.major + 1}.0 first" in far
