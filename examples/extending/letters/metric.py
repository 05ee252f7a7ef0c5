r"""Entropy of the letters that a model writes, in bits.

.. math:: H = -\sum_l p_l \log_2 p_l

with :math:`p_l` the share of the letter l among all letters of a model's completions of a task's test prompts. A model
that writes nothing has no entropy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from crossfeed.protocols import Measurement, Snapshot
from crossfeed.settings import MetricSettings


class LetterEntropySettings(MetricSettings):
    """Entropy of letters; metric ``letter_entropy``.

    Attributes:
        items: How many test prompts of each task are completed, at most.
    """

    items: Annotated[int, Field(ge=1)] = 100

    def build(self) -> LetterEntropy:
        """Make the metric."""
        return LetterEntropy(self.items)


@dataclass(frozen=True)
class LetterEntropy:
    """See the module."""

    items: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        """A number for every model on every task; completions are made once for all metrics."""
        numbers = []
        for task in snapshot.tasks:
            for model, table in zip(snapshot.entities, snapshot.completions(task, self.items), strict=True):
                bits = entropy(table.column("completion").to_pylist())
                if bits is not None:
                    numbers.append(Measurement(model, task, "letter_entropy", bits))
        return numbers


def entropy(texts: Iterable[str]) -> float | None:
    """Bits a letter; None without letters."""
    counts = Counter(letter for text in texts for letter in text if letter.isalpha())
    if not counts:
        return None
    shares = np.array(list(counts.values())) / counts.total()
    return max(float(-(shares * np.log2(shares)).sum()), 0.0)
