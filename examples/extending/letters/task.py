"""Pieces of the alphabet: three letters are given, the next ones are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from crossfeed.keys import generator
from crossfeed.protocols import Task
from crossfeed.tasks.splits import Row, TextSettings, assemble

LETTERS = "abcdefghijklmnopqrstuvwxyz"
GIVEN = 3


class AlphabetSettings(TextSettings):
    """Pieces of 6 to 12 letters, such as ``def`` and then ``ghi``; 126 in all.

    A fifth of them is for tests, and another for validation.

    The base class gives a seed and caps on the sizes of the splits; `assemble` cuts splits, none of which shares an
    item with another.

    Attributes:
        direction: Whether letters follow one another forward or backward.
    """

    source: Literal["alphabet"] = "alphabet"
    direction: Literal["forward", "backward"] = "forward"

    def build(self, name: str, data_root: Path | None) -> Task:
        """Cut the pieces; `data_root` is where data sets of a hub are, and is not read here."""
        letters = LETTERS if self.direction == "forward" else LETTERS[::-1]
        places = [(start, size) for size in range(6, 13) for start in range(len(letters) - size + 1)]
        order = generator(self.seed, "letters", "alphabet").permutation(len(places))
        pieces = [letters[start : start + size] for start, size in (places[place] for place in order)]
        rows = [Row(piece[:GIVEN], f" {piece[GIVEN:]}", answer=piece[GIVEN:]) for piece in pieces]
        return assemble(name, {"train": rows}, self, answers="text", percent=20)
