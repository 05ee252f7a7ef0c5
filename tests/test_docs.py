"""What README and docs show is what the program takes: descriptions parse, files exist, options are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crossfeed import Experiment
from crossfeed.description import preset_names

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "theory.md"], ids=lambda page: page.name)
def test_descriptions_on_a_page_can_be_read(page):
    blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        experiment = Experiment.from_yaml(block)
        assert Experiment.from_yaml(experiment.to_yaml()) == experiment


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_named_files_exist(page):
    text = page.read_text()
    linked = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("http")]
    named = re.findall(r"\b((?:examples|benchmarks|tests|docs)/[\w./-]+\.(?:py|md|png))", text)
    for target in linked:
        assert (page.parent / target).exists(), target
    for target in named:
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_name_presets_that_there_are(page):
    for name in re.findall(r"crossfeed (?:run|predict|plan) ([a-z0-9-]+)(?![\w./])", page.read_text()):
        assert name in preset_names(), name
