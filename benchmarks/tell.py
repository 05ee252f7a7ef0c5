"""Progress on stderr, results on stdout as Markdown below the command that made them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def show(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A Markdown table below the command that made it."""
    print(f"\n`python {' '.join(sys.argv)}`\n")
    for row in (columns, ["---"] * len(columns), *rows):
        print(f"| {' | '.join(f'{cell:.2f}' if isinstance(cell, float) else str(cell) for cell in row)} |")
    print(flush=True)


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
