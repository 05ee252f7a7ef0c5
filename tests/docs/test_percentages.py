"""Percentages in sentences come from the tables beside them, and numbers beside a link from the linked page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT, name_of

_FENCE = re.compile(r"^ *(`{3,})(\w*)[^\n]*\n(.*?)^ *\1 *$", re.M | re.S)
_NUMBER = r"[+-]?\d[\d,]*(?:\.\d+)?"
_ONE = re.compile(rf"(?<![\w.,/])({_NUMBER})")
_PERCENT = re.compile(rf"(?<![\w.,/-])({_NUMBER}(?:(?:, and |, | and | to | or ){_NUMBER})*)(?: ?%| per cent\b)")
#: "by 47 and 46" has no unit where the sentence names it before.
_BY = re.compile(rf"\bby ({_NUMBER}(?: and {_NUMBER})+)(?! ?%| per cent|\d|[.,]\d|\s*(?:to|of|x)\b)")
_ARROW = re.compile(rf"({_NUMBER}) → ({_NUMBER})")

#: Pages whose percentages are of their tables, and those of them that are not: settings, definitions, other pages.
OF_THEIR_TABLES = {
    "README.md": {"42"},  # of a run elsewhere
    "docs/tutorial.md": {"10"},  # an efficiency of 0.9
    "docs/results.md": {"2.3", "1.1", "6.2"},  # of single seeds and differences of two tables
    "docs/images.md": set(),
    "docs/beyond.md": {"5", "76"},  # of the arithmetic beside it
    "docs/how-to/plan.md": set(),
    "docs/benchmarks.md": {"6"},  # how much times differ from run to run
    "docs/universality.md": {"10"},  # the bound that the second table is about
    "docs/paper.md": {"5", "95", "15"},  # settings, and a share of a measured rate
    "docs/languages.md": set(),
    "docs/literature.md": {"8"},  # 1 less a variance of 0.922
}


@dataclass(frozen=True)
class Table:
    """Numbers of a table or a printed block, and of its changes "a → b" those in per cent that they can stand for."""

    section: int
    numbers: tuple[float, ...]
    changes: tuple[tuple[float, float], ...]


def _value(text: str) -> float:
    return float(text.replace(",", ""))


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _change(initial: str, final: str) -> tuple[float, float]:
    """The least and the largest change in per cent of two numbers that were rounded."""
    (a, off_a), (b, off_b) = ((_value(each), 0.5 * 10 ** -_decimals(each)) for each in (initial, final))
    return tuple(100 * (each - 1) for each in ((b - off_b) / (a + off_a), (b + off_b) / max(a - off_a, 1e-9)))


def tables_of(text: str) -> list[Table]:
    """Every table of a page and every block that shows what was printed, with the number of its section."""
    pieces = [(found.start(), found[3]) for found in _FENCE.finditer(text) if found[2] in {"text", "console"}]
    pieces += [(found.start(), found[0]) for found in re.finditer(r"(?:^\|.*\n)+", text, re.M)]
    return [
        Table(
            text.count("\n## ", 0, at),
            tuple(_value(each) for each in _ONE.findall(piece)),
            tuple(_change(*pair) for pair in _ARROW.findall(piece)),
        )
        for at, piece in pieces
    ]


def percentages(text: str) -> list[tuple[str, int]]:
    """The percentages of a page's sentences as they are written, with the number of their section."""
    prose = re.sub(r"^\|.*$", "", _FENCE.sub(lambda found: "\n" * found[0].count("\n"), text), flags=re.M)
    found = []
    for section, part in enumerate(prose.split("\n## ")):
        line = " ".join(part.split())
        lists = [each[1] for each in _PERCENT.finditer(line)]
        for sentence in re.split(r"(?<=[.:]) ", line):
            if "per cent" in sentence or "%" in sentence:
                lists += [each[1] for each in _BY.finditer(sentence)]
        found += [(number, section) for each in lists for number in _ONE.findall(each)]
    return found


def stands_for(number: str, section: int, tables: list[Table]) -> bool:
    """True if some number of the page's tables rounds to it, or a change in a table of its own section."""
    value, half = abs(_value(number)), 0.5 * 10 ** -_decimals(number) + 1e-9
    exact = (abs(each) for table in tables for each in table.numbers)
    near = (each for table in tables if table.section == section for each in table.changes)
    return any(abs(each - value) <= half for each in exact) or any(
        low - half <= signed <= high + half for low, high in near for signed in (value, -value)
    )


def strays(text: str, known: set[str]) -> list[str]:
    """The percentages that no table has."""
    tables = tables_of(text)
    return [
        number
        for number, section in percentages(text)
        if number.lstrip("+-") not in known and not stands_for(number, section, tables)
    ]


@pytest.mark.parametrize("page", OF_THEIR_TABLES)
def test_percentages_in_sentences_are_those_of_the_tables(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert percentages(text) or page == "docs/languages.md"
    assert strays(text, OF_THEIR_TABLES[page]) == []


def test_the_check_finds_what_no_table_has():
    table = "| | alpha = 1 |\n|---|---|\n| facts | +47.3 |\n| math | +48.9 |\n| loss | 26.2 → 27.5 |\n\n"
    assert strays(f"{table}It rose by 47 and 49 per cent.", set()) == []
    assert strays(f"{table}Here by 47 per cent, where they rose by 47 and 46.", set()) == ["46"]
    assert strays(f"{table}It is 5 % higher, not 6 %.", set()) == ["6"]


def test_the_tutorials_sentence_about_keeping_every_generation_is_of_its_two_tables():
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    blocks = [found[3] for found in _FENCE.finditer(text) if "facts on facts" in found[3]]
    newest, every = ([_last_change(block, row) for row in ("facts on facts", "math on math")] for block in blocks)
    said = "own losses rise by {:.0f} and {:.0f} per cent, where they rose by {:.0f} and {:.0f} per cent"
    assert said.format(*every, *newest) in " ".join(text.split())


def _last_change(block: str, row: str) -> float:
    """The change in the last column of a row, which is printed below its losses."""
    lines = block.splitlines()
    below = lines[next(at for at, line in enumerate(lines) if line.startswith(row)) + 1]
    return _value(_ONE.findall(below)[-1])


# Numbers that come from another page


FROM_OTHER_PAGES = ("docs/explanation/limits.md",)


@pytest.mark.parametrize("page", FROM_OTHER_PAGES)
def test_numbers_beside_a_link_stand_on_the_linked_page(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    seen = 0
    for piece in re.split(r"\n\s*\n|\n(?=- )", text):
        links = re.findall(r"\]\(([^)#]+\.md)", piece)
        linked = " ".join(Path((ROOT / page).parent, each).read_text(encoding="utf-8") for each in links)
        sentence = re.sub(r"\]\([^)]*\)|(?:alpha|beta)(?: = beta)? = [\d.]+", "", piece)
        for number in re.findall(r"(?<![\w.])-?\d+\.\d+", sentence) if links else ():
            seen += 1
            assert re.search(rf"(?<![\d.]){re.escape(number.lstrip('+'))}(?![\d]|\.\d)", linked), (
                f"{page}: {number} is not on {links}"
            )
    assert seen


def test_every_page_that_is_named_is_there():
    names = {name_of(page) for page in PAGES}
    assert names >= {*OF_THEIR_TABLES, *FROM_OTHER_PAGES}
