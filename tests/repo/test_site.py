"""The documentation's site: every link leads somewhere in it, and what is wrong fails its build."""

from __future__ import annotations

import re
import shutil
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import site
from tests.repo.checkout import ROOT

SECTIONS = [each for each in site.SECTIONS.values() if not each.endswith(".md")]
ELSEWHERE = re.compile(
    r"""<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*>"""
)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A repository with a page in each section."""
    for folder in SECTIONS:
        write(tmp_path, f"{folder}/page.md", "# A page\n\n## A part of it\n")
    for name in ("architecture", "benchmarks", "day"):
        write(tmp_path, f"docs/{name}.md", f"# {name}\n")
    write(tmp_path, "docs/README.md", "# Home\n")
    shutil.copy(ROOT / site.CONFIGURATION, tmp_path)
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_each_page_of_the_documentation_is_in_the_navigation() -> None:
    found: set[str] = set()
    for entry in site.navigation(ROOT):
        for places in entry.values():
            found.update([places] if isinstance(places, str) else places)
    pages = [PurePosixPath(each.relative_to(ROOT)) for each in (ROOT / "docs").rglob("*.md")]
    assert {site.page(ROOT, each) for each in pages} - found == set()


def test_a_link_out_of_the_documentation_leads_to_a_page_that_shows_the_file(small: Path) -> None:
    write(small, "examples/bank.yaml", "kind: MemoryBank\n")
    write(small, "docs/banks/page.md", "# A page\n\n[the bank](../../examples/bank.yaml)\n")
    pages = site.site(small)
    assert "[the bank](../source/examples/bank.yaml.md)" in pages["banks/page.md"]
    assert "````yaml\nkind: MemoryBank\n````" in pages["source/examples/bank.yaml.md"]


def test_a_page_outside_of_the_documentation_brings_what_it_links_to(small: Path) -> None:
    write(
        small,
        "app/README.md",
        "# App\n\n[back](../docs/banks/page.md#a-part-of-it) [run](run.sh)\n",
    )
    write(small, "app/run.sh", "true\n")
    write(small, "docs/README.md", "# Home\n\n[app](../app/README.md)\n")
    pages = site.site(small)
    assert "[app](source/app/index.md)" in pages["index.md"]
    assert (
        "[back](../../banks/page.md#a-part-of-it) [run](run.sh.md)" in pages["source/app/index.md"]
    )
    assert "source/app/run.sh.md" in pages


def test_a_link_to_a_folder_leads_to_a_list_of_what_is_in_it(small: Path) -> None:
    write(small, "docs/README.md", "# Home\n\n[banks](banks/)\n")
    pages = site.site(small)
    assert "[banks](banks/index.md)" in pages["index.md"]
    assert pages["banks/index.md"] == "# Banks\n\n- [A page](page.md)\n"


def test_a_link_to_nothing_is_named_with_its_page(small: Path) -> None:
    write(small, "docs/banks/page.md", "# A page\n\n[gone](gone.md)\n")
    with pytest.raises(site.NowhereError, match=r"docs/banks/page\.md: .*gone\.md"):
        site.site(small)


def test_a_link_does_not_leave_the_repository(small: Path) -> None:
    write(small.parent, "outside.md", "# Outside\n")
    write(small, "docs/README.md", "# Home\n\n[out](../../outside.md)\n")
    with pytest.raises(site.NowhereError, match=r"outside\.md"):
        site.site(small)


@pytest.mark.parametrize(
    "code", ["`[a](b.md)`", "```\n[a](b.md)\n```", "~~~~\n```\n[a](b.md)\n~~~~"]
)
def test_what_is_shown_as_code_is_no_link(small: Path, code: str) -> None:
    write(small, "docs/README.md", f"# Home\n\n{code}\n")
    assert code in site.site(small)["index.md"]


def test_a_list_below_a_sentence_is_a_list_in_the_site_too() -> None:
    text = "Either:\n- this\n- that\n```\nNot:\n- a list\n```\n"
    assert site.with_lists_apart(text) == "Either:\n\n- this\n- that\n```\nNot:\n- a list\n```\n"


@given(st.text(alphabet="ab `~-\n.1[]()#", max_size=60))
def test_setting_lists_apart_adds_empty_lines_alone(text: str) -> None:
    apart = site.with_lists_apart(text)
    assert [each for each in apart.splitlines() if each] == [
        each for each in text.splitlines() if each
    ]
    assert site.with_lists_apart(apart) == apart


@pytest.mark.slow
def test_a_site_asks_no_other_host_for_anything(small: Path) -> None:
    assert site.build(small) == 0
    pages = list((small / site.SITE).rglob("*.html"))
    assert pages
    assert [tag for each in pages for tag in ELSEWHERE.findall(each.read_text())] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("docs/banks/page.md", "# A\n\n[b](../service/page.md#gone)\n", "#gone"),
        ("docs/lost.md", "# A page of no section\n", "lost.md"),
        ("docs/banks/page.md", "# A\n\n[b](gone.md)\n", "gone.md"),
    ],
    ids=["an anchor that is not there", "a page without a place", "a page that is not there"],
)
def test_what_is_wrong_fails_the_build_and_is_named(
    small: Path, name: str, text: str, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write(small, name, text)
    assert site.build(small) == 1
    assert told in capfd.readouterr().err
