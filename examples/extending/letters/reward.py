"""Rates items by their vowels."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def vowels(items: pa.Table, prompts: pa.Table) -> NDArray[np.float64]:
    """Share of vowels among the letters of a completion."""
    texts = [text.replace(" ", "") for text in items.column("completion").to_pylist()]
    return np.array([sum(letter in "aeiou" for letter in text) / max(len(text), 1) for text in texts])
