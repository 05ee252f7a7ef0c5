"""The log begins with an index of all its entries, and each entry with its outcome."""

from __future__ import annotations

import re

from markdown.extensions.toc import slugify

from tests.docs.blocks import ROOT

TEXT = (ROOT / "docs" / "log.md").read_text(encoding="utf-8")
ENTRIES = {
    entry.partition("\n")[0]: entry.partition("\n")[2].strip() for entry in re.split(r"^## ", TEXT, flags=re.M)[1:]
}


def test_the_index_has_every_entry_in_its_order():
    lines = re.findall(r"^- \[(.*)\]\(#(.*)\): (.+)$", TEXT.partition("\n## ")[0], re.M)
    assert [title for title, _, _ in lines] == list(ENTRIES)
    assert [anchor for _, anchor, _ in lines] == [slugify(title, "-") for title in ENTRIES]


def test_every_entry_is_dated_and_begins_with_its_outcome():
    for title, entry in ENTRIES.items():
        assert re.match(r"\d{4}-\d{2}-\d{2}: ", title), title
        outcome, _, rest = entry.partition("\n\n")
        assert re.match(r"\*\*Outcome:\*\* \w", outcome), title
        assert len(outcome) < 320, title
        assert rest, title


def test_entries_are_in_the_order_of_their_days():
    days = [title[:10] for title in ENTRIES]
    assert days == sorted(days)
