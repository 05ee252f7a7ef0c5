"""Links, their anchors, and files that the pages name are there, in the repository as on the site."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT, name_of


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_links_and_named_files_are_there(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not link.startswith(("http://", "https://")):
            target = Path(page.parent, link).resolve()
            assert target.exists(), f"{name_of(page)}: {link}"
    for named in re.findall(r"\b((?:examples|benchmarks|tests|docs)/[\w./-]+\.(?:py|md|png))", text):
        assert (ROOT / named).exists(), f"{name_of(page)}: {named}"


#: What the site adds to these is not in the repository (docs/hooks/generated.py); their anchors are the site's.
FILLED = re.findall(r'^        "([\w-]+)": _\w+\(', (ROOT / "docs" / "hooks" / "generated.py").read_text(), re.M)


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as the site makes them, and those that headings give themselves."""
    text = re.sub(r"^ *(`{3,}).*?^ *\1 *$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    found = set()
    for heading in re.findall(r"^#+ (.*?) *$", text, re.M):
        own = re.search(r"\{#([\w-]+)\}$", heading)
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading)
        found.add(own[1] if own else re.sub(r"[-\s]+", "-", re.sub(r"[^\w -]", "", plain.lower()).strip()))
    return found


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_anchors_of_links_are_headings(page):
    for link, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text(encoding="utf-8")):
        target = Path(page.parent, link).resolve() if link else page
        filled = target.parent.name == "reference" and target.stem in FILLED
        if link.startswith("http") or target.suffix != ".md" or filled:
            continue
        assert anchor in anchors_of(target), f"{name_of(page)}: {link}#{anchor}"


def test_what_the_site_fills_stands_in_the_repository():
    assert len(FILLED) == 8
    for name in FILLED:
        text = (ROOT / "docs" / "reference" / f"{name}.md").read_text(encoding="utf-8")
        assert text.startswith("# ")
        assert "\n```\ncrossfeed " in text, "it says which command prints the same"
