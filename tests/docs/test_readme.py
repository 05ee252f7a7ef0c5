"""README is what a stranger reads first: short, plain words before any symbol, few commands, few links."""

from __future__ import annotations

import re

from tests.docs.blocks import ROOT, blocks, commands

README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
FIRST_SCREEN = TEXT.splitlines()[:25]


def test_it_is_two_screens():
    assert len(TEXT.splitlines()) <= 120
    assert max(map(len, (line for line in TEXT.splitlines() if not line.startswith("![")))) <= 140


def test_it_has_at_most_eight_commands_and_five_links():
    assert {str(each) for each in commands(README)} >= {"make demo", "make test"}
    assert len(commands(README)) <= 8
    assert len(re.findall(r"(?<!!)\[[^\]]+\]\([^)]+\)", re.sub(r"^!\[.*$", "", TEXT, flags=re.M))) <= 5


def test_it_has_one_description_and_one_program():
    assert len(blocks(README, "yaml")) == len(blocks(README, "python")) == 1


def test_the_first_screen_has_a_figure_and_says_what_alpha_and_beta_are():
    (figure,) = [line for line in FIRST_SCREEN if line.startswith("![")]
    assert (ROOT / re.search(r"\]\((.*?)\)", figure)[1]).is_file()
    for name, words in (("alpha", "the synthetic share"), ("beta", "the private share")):
        explained = TEXT.index(f"**{name}**, {words}")
        assert not re.search(rf"\b{name}\b", TEXT[:explained])
        assert explained < TEXT.index(figure)


def test_its_table_says_that_another_machine_rounds_otherwise():
    table, after = TEXT.partition("```text\n")[2].split("```\n", 1)
    assert "+48.9 %" in table
    paragraph = after.strip().partition("\n\n")[0]
    assert "Another machine rounds otherwise" in paragraph
    assert "+42 % where this table has +48.9 %" in " ".join(paragraph.split())
