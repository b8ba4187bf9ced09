"""Writes the pages of the documentation's site from docs/, and builds the site from them.

python -m scripts.site              build dist/site; fails on any warning of the builder

docs/ is written for people who read it in a forge. The site gets the same pages, and what they
link to outside of docs/ (examples, charts, ...) as pages below `source/`, so that every link leads
somewhere inside the site and no address of a forge is needed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCS = PurePosixPath("docs")
HOME = DOCS / "README.md"
OUTSIDE = PurePosixPath("source")
PAGES = Path(".build/pages")
CONFIGURATION = Path("mkdocs.yml")
COMPLETE = Path(".build/mkdocs.yml")
SITE = Path("dist/site")
SECTIONS: dict[str, str] = {
    "Overview": "docs/overview",
    "A day": "docs/day.md",
    "Banks": "docs/banks",
    "Memory service": "docs/service",
    "Runbooks": "docs/runbooks",
    "Reference": "docs/reference",
    "Architecture": "docs/architecture.md",
    "Benchmarks": "docs/benchmarks.md",
    "Development": "docs/development",
    "Decisions": "docs/adr",
}
"""What the navigation holds, in its order; a folder stands for all of its pages."""

_LINK = re.compile(r"(?P<before>\]\()(?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?(?P<after>\))")
_CODE = re.compile(r"`[^`]*`")
_FENCE = re.compile(r"\s*(```+|~~~+)")
_ITEM = re.compile(r"\s*([-*]|\d+\.) ")
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".sh": "sh", ".toml": "toml"}


def main() -> int:
    """Entry point; returns the exit code."""
    return build(ROOT)


def build(root: Path) -> int:
    """Write the pages of a repository and make its site; returns the builder's exit code."""
    try:
        pages = site(root)
    except NowhereError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    shutil.rmtree(root / PAGES, ignore_errors=True)
    for name, text in pages.items():
        path = root / PAGES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    # A file of its own: the one in the checkout holds no list of pages that could be out of date.
    base = f"INHERIT: {root / CONFIGURATION}\n"
    made = {"docs_dir": str(root / PAGES), "site_dir": str(root / SITE), "nav": navigation(root)}
    (root / COMPLETE).write_text(base + yaml.safe_dump(made, sort_keys=False, width=1000))
    # Not --quiet: warnings that are not shown do not count as warnings.
    command = [sys.executable, "-m", "mkdocs", "build", "--clean", "--config-file", str(COMPLETE)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=root, env=environment, check=False).returncode


class NowhereError(Exception):
    """A link of a page leads nowhere, or out of the repository."""


def site(root: Path) -> dict[str, str]:
    """Return the text of each page of the site by its path in the site.

    Raises NowhereError for a link to what is not there.
    """
    waiting = [PurePosixPath(each.relative_to(root)) for each in sorted((root / DOCS).rglob("*"))]
    waiting = [each for each in waiting if each.suffix == ".md" or (root / each).is_dir()]
    waiting.append(DOCS)
    pages: dict[str, str] = {}
    while waiting:
        source = waiting.pop()
        place = page(root, source)
        if place in pages:
            continue
        text = markdown(root, source)
        waiting.extend(meant(root, source, target) for target in links(text))
        pages[place] = with_links_of_the_site(root, source, text)
    return pages


def navigation(root: Path) -> list[dict[str, str | list[str]]]:
    """Return the navigation as MkDocs reads it."""
    found: list[dict[str, str | list[str]]] = [{"Home": page(root, HOME)}]
    for title, name in SECTIONS.items():
        source = PurePosixPath(name)
        if not (root / source).is_dir():
            found.append({title: page(root, source)})
            continue
        below = sorted(PurePosixPath(each.relative_to(root)) for each in pages_of(root, source))
        folders = {each.parent for each in below} | {source}
        places = {page(root, each) for each in (*folders, *below)}
        found.append({title: sorted(places, key=_first_the_folder)})
    return found


def _first_the_folder(place: str) -> tuple[str, bool, str]:
    path = PurePosixPath(place)
    return (str(path.parent), path.name != "index.md", path.name)


def pages_of(root: Path, folder: PurePosixPath) -> list[Path]:
    """Return the Markdown files in a folder and below."""
    return sorted((root / folder).rglob("*.md"))


def page(root: Path, source: PurePosixPath) -> str:
    """Return where in the site a file or folder of the repository is shown."""
    if (root / source).is_dir():
        source = source / "README.md"
    elif source.suffix != ".md":
        source = source.with_name(f"{source.name}.md")
    if source.name == "README.md":
        source = source.with_name("index.md")
    inside = source.is_relative_to(DOCS)
    return str(source.relative_to(DOCS) if inside else OUTSIDE / source)


def markdown(root: Path, source: PurePosixPath) -> str:
    """Return a page's text: that of a Markdown file, else one that shows the file or folder."""
    path = root / source
    if path.is_dir() and not (path / "README.md").exists():
        return listing(path, source)
    if path.is_dir():
        path = path / "README.md"
    text = path.read_text()
    if path.suffix == ".md":
        return with_lists_apart(text)
    language = _LANGUAGES.get(path.suffix, "text")
    fence = "`" * max(4, *(len(each) + 1 for each in re.findall(r"`+", text) or [""]))
    return f"---\nsearch:\n  exclude: true\n---\n# {source}\n\n{fence}{language}\n{text}{fence}\n"


def listing(path: Path, source: PurePosixPath) -> str:
    """Return a page that lists what is in a folder."""
    lines = [f"- [{title(each)}]({each.name})" for each in sorted(path.iterdir()) if shown(each)]
    heading = {name: key for key, name in SECTIONS.items()}.get(str(source), str(source))
    return f"# {heading}\n\n" + "\n".join(lines) + "\n"


def shown(path: Path) -> bool:
    """Whether a folder's listing names it."""
    return not path.name.startswith((".", "__"))


def title(path: Path) -> str:
    """Return what a listing calls a file or folder."""
    found = re.search(r"^# (.+)$", path.read_text(), re.M) if path.suffix == ".md" else None
    return found[1] if found else path.name


def with_lists_apart(text: str) -> str:
    """Return a text with an empty line before each list, which forges do not need."""
    lines: list[str] = []
    for line, code in _lines(text):
        before = lines[-1] if lines else ""
        glued = before.strip() and not _ITEM.match(before) and not before.startswith(" ")
        if not code and _ITEM.match(line) and not line.startswith(" ") and glued:
            lines.append("")
        lines.append(line)
    return "\n".join(lines) + "\n"


def links(text: str) -> Iterator[str]:
    """Yield the targets of a text's relative links, without their anchors."""
    for line, code in _lines(text):
        if code:
            continue
        for found in _LINK.finditer(_CODE.sub("", line)):
            if _is_relative(found["target"]):
                yield found["target"]


def _is_relative(target: str) -> bool:
    return "://" not in target and not target.startswith("mailto:")


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each line and whether it belongs to a block of code."""
    closing = ""
    for line in text.splitlines():
        fence = _FENCE.match(line)
        if closing:
            yield line, True
            if fence and fence[1].startswith(closing):
                closing = ""
        else:
            closing = fence[1] if fence else ""
            yield line, bool(fence)


def meant(root: Path, source: PurePosixPath, target: str) -> PurePosixPath:
    """Return what of the repository a link of `source` leads to. Raises NowhereError."""
    folder = source if (root / source).is_dir() else source.parent
    path = PurePosixPath(os.path.normpath(folder / target))
    if path.parts[:1] == ("..",) or path.is_absolute() or not (root / path).exists():
        raise NowhereError(f"{source}: the link to {target} leads nowhere; mend it")
    return path


def with_links_of_the_site(root: Path, source: PurePosixPath, text: str) -> str:
    """Return a text whose relative links lead to pages of the site."""
    here = PurePosixPath(page(root, source)).parent

    def replaced(found: re.Match[str]) -> str:
        if not _is_relative(found["target"]):
            return found[0]
        there = os.path.relpath(page(root, meant(root, source, found["target"])), here)
        return f"{found['before']}{there}{found['anchor'] or ''}{found['after']}"

    lines: list[str] = []
    for line, code in _lines(text):
        lines.append(line if code else _outside_code(line, replaced))
    return "\n".join(lines) + "\n"


def _outside_code(line: str, replaced: Callable[[re.Match[str]], str]) -> str:
    """Return a line with its links replaced, but for those that are shown as code.

    The text of a link may hold code itself: only its target decides.
    """
    code = [(each.start(), each.end()) for each in _CODE.finditer(line)]

    def one(found: re.Match[str]) -> str:
        inside = any(start < found.start() < end for start, end in code)
        return found[0] if inside else replaced(found)

    return _LINK.sub(one, line)


if __name__ == "__main__":
    raise SystemExit(main())
