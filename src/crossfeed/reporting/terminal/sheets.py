"""A plain table in the terminal: heads, and rows of text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crossfeed.display.formatting import plain
from crossfeed.reporting.terminal.tables import ascii_for

__all__ = ["print_sheet"]


def print_sheet(
    console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]], words: Collection[str] = ()
) -> None:
    """Print a table: numbers to the right, words to the left.

    Args:
        console: Where to.
        heads: The columns' heads.
        rows: Rows of cells as text.
        words: Heads of columns of words.
    """
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for head in heads:
        side: Literal["left", "right"] = "left" if head in words else "right"
        table.add_column(Text(ascii_for(plain(head), console)), justify=side, overflow="fold")
    for row in rows:
        table.add_row(*(Text(ascii_for(plain(value), console)) for value in row))
    console.print(table)
