r"""Agreement of captions and images, of which a model generates one: an image model the image, a writer the caption.

With :math:`c_i` the caption and :math:`x_i` the image of a model's output for the i-th of m test items,

.. math:: \mathrm{caption\ match} = \frac1m \sum_i 1[\operatorname{class}(x_i) = c_i] ,

where the class is what the task's fixed classifier reads (`crossfeed.tasks.images_classifier`). For a generator of
images this is the metric ``accuracy``; a writer, whose images are the real ones, is judged by its captions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from crossfeed.protocols import Measurement, Snapshot
from crossfeed.settings import TWO_DECIMALS, Measure, MetricSettings

__all__ = ["CaptionMatchSettings"]


class CaptionMatchSettings(MetricSettings):
    """Share of outputs whose caption names the class of their image; metric ``caption_match``, from 0 to 1.

    Attributes:
        items: Number of test items of each data set to complete, at most.
    """

    measures = (
        Measure(
            "caption_match",
            "Captions that name what the image shows",
            TWO_DECIMALS,
            bounded=True,
            section="quality",
            shown=frozenset(),
        ),
    )

    items: Annotated[int, Field(ge=1)] = 100

    def build(self) -> _CaptionMatch:
        """Build the metric."""
        return _CaptionMatch(self.items)


@dataclass(frozen=True)
class _CaptionMatch:
    items: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        numbers = []
        for name, task in snapshot.tasks.items():
            for entity, made in zip(snapshot.entities, snapshot.completions(name, self.items), strict=True):
                claimed = made.select(["prompt"]).rename_columns(["answer"])
                agree = task.grade(claimed, made.column("completion").to_pylist())
                if agree is not None:
                    numbers.append(Measurement(entity, name, "caption_match", float(agree.mean())))
        return numbers
