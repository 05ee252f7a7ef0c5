"""Figures whose files are empty: most of a report's time is spent on those, and few tests look at them."""

from __future__ import annotations

from typing import IO, Any

import pytest
from matplotlib.figure import Figure


def save_empty(patch: pytest.MonkeyPatch, *formats: str) -> None:
    """Have figures' files of some formats written without content."""
    save = Figure.savefig

    def savefig(self: Figure, file: IO[Any], *, format: str, **options: Any) -> None:
        if format not in formats:
            save(self, file, format=format, **options)
        elif format == "pdf":
            save(Figure((1, 1)), file, format=format)
        elif format == "svg":
            file.write('<svg xmlns="http://www.w3.org/2000/svg" width="72pt" height="72pt"></svg>')

    patch.setattr(Figure, "savefig", savefig)
