r"""Length of a model's outputs, and how often they end by themselves.

Over the m completions of a data set's test prompts, with :math:`n_i` the words of the i-th
(`crossfeed.metrics.completions.words_of`),

.. math:: \mathrm{words} = \frac1m \sum_i n_i, \qquad
          \mathrm{stop\ rate} = \frac1m \sum_i 1[\text{the i-th ends with the end of text}] ;

an output without a word counts with 0 words. A text that does not end by itself was cut at the learner's greatest
number of tokens. Most other numbers of texts change with the length: read them beside these. Items without text have no
number of words, and learners that do not say how a text ended (column ``finished``) no stop rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from crossfeed.metrics.completions import completion_texts, words_of
from crossfeed.protocols import Measurement, Snapshot
from crossfeed.settings import TWO_DECIMALS, Measure, MetricSettings

__all__ = ["LengthSettings"]


class LengthSettings(MetricSettings):
    """Mean number of words of outputs, and the share that ends by itself.

    Attributes:
        items: Number of test prompts of each data set to complete, at most.
    """

    measures = (
        Measure(
            "output_words",
            "Length of outputs",
            TWO_DECIMALS,
            section="quality",
            shown=frozenset({"terminal", "page"}),
            unit="words",
        ),
        Measure(
            "stop_rate",
            "Outputs that end by themselves",
            TWO_DECIMALS,
            bounded=True,
            section="quality",
            shown=frozenset({"page"}),
        ),
    )

    items: Annotated[int, Field(ge=1)] = 200

    def build(self) -> _Length:
        """Build the metric."""
        return _Length(self.items)


@dataclass(frozen=True)
class _Length:
    items: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        numbers = []
        for task in snapshot.tasks:
            for entity, table in zip(snapshot.entities, snapshot.completions(task, self.items), strict=True):
                texts = completion_texts(table)
                if texts:
                    words = sum(len(words_of(text)) for text in texts) / len(texts)
                    numbers.append(Measurement(entity, task, "output_words", words))
                ended = _ended(table)
                if ended is not None:
                    numbers.append(Measurement(entity, task, "stop_rate", ended))
        return numbers


def _ended(items: pa.Table) -> float | None:
    """Return the share of items that are finished; None if that is not known of any."""
    if "finished" not in items.column_names:
        return None
    share: float | None = pc.mean(pc.cast(items.column("finished"), pa.float64())).as_py()
    return share
