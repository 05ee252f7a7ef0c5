"""Links and files that the pages name are there; a page that the site generates counts as there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT, name_of

#: Made when the site is built (docs/hooks/generated.py, docs/hooks/sources.py).
GENERATED = ("command-line", "experiment", "learners", "tasks", "metrics", "filters", "presets")
MADE = {ROOT / "docs" / "reference" / f"{name}.md" for name in GENERATED}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_links_and_named_files_are_there(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not link.startswith(("http://", "https://")):
            target = Path(page.parent, link).resolve()
            assert target.exists() or target in MADE, f"{name_of(page)}: {link}"
    for named in re.findall(r"\b((?:examples|benchmarks|tests|docs)/[\w./-]+\.(?:py|md|png))", text):
        assert (ROOT / named).exists(), f"{name_of(page)}: {named}"


def test_the_hooks_make_what_is_linked():
    text = (ROOT / "docs" / "hooks" / "generated.py").read_text(encoding="utf-8")
    assert set(GENERATED) == set(re.findall(r'^        "([\w-]+)": _\w+\(', text, re.M))
