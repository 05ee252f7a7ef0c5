r"""Homogenisation by ROUGE-L: how alike texts are word by word, within a model and between models.

With :math:`R(x, y)` the ROUGE-L of two texts (`crossfeed.metrics.longest_common`) and :math:`x_{k,i}` the text of model
k for the i-th of m test prompts,

.. math:: \mathrm{homogenisation}(k) = \frac{1}{m (m - 1)} \sum_{i \ne j} R(x_{k,i}, x_{k,j}), \qquad
          \mathrm{homogenisation\_between}(k, l) = \frac1m \sum_{i=1}^m R(x_{k,i}, x_{l,i}) .

The first is the homogenization score of a set of texts (Shaib et al., 2024): a model whose answers to different prompts
are the same has 1. The second is that of Padmakumar and He (2024), where authors write on the same prompts: the metric
``similarity`` by words in place of embeddings; its model is the pair, ``k+l``.

Outputs without a word are left out, as are prompts for which one of the two has none; without two texts, or one prompt,
there is no number. Words are those of `crossfeed.metrics.completions.words_of`. The package diversity 0.3.1 gives 1
where no two texts have a word in common, as it does for copies; here they have 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from crossfeed.metrics.completions import completion_texts, words_of
from crossfeed.metrics.longest_common import rouge_l
from crossfeed.protocols import Measurement, Snapshot
from crossfeed.settings import TWO_DECIMALS, Measure, MetricSettings

__all__ = ["HomogenisationSettings", "homogenisation"]

Texts = Sequence[Sequence[str]]


class HomogenisationSettings(MetricSettings):
    """Mean ROUGE-L of a model's outputs among themselves, and of two models' outputs for the same prompts.

    Attributes:
        items: Number of test prompts of each data set to complete, at most; the cost grows with its square.
    """

    measures = (
        Measure(
            "homogenisation",
            "Homogenisation within a model",
            TWO_DECIMALS,
            bounded=True,
            section="similarity",
            unit="mean ROUGE-L",
        ),
        Measure(
            "homogenisation_between",
            "Homogenisation between models",
            TWO_DECIMALS,
            bounded=True,
            section="similarity",
            pairs=True,
            unit="mean ROUGE-L",
        ),
    )

    items: Annotated[int, Field(ge=1)] = 200

    def build(self) -> _Homogenisation:
        """Build the metric."""
        return _Homogenisation(self.items)


@dataclass(frozen=True)
class _Homogenisation:
    items: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        numbers = []
        for task in snapshot.tasks:
            found = {
                entity: [words_of(text) for text in written]
                for entity, table in zip(snapshot.entities, snapshot.completions(task, self.items), strict=True)
                if (written := completion_texts(table)) is not None
            }
            for entity, texts in found.items():
                within = homogenisation(texts)
                if within is not None:
                    numbers.append(Measurement(entity, task, "homogenisation", within))
            names, alike = list(found), _between(list(found.values()))
            for k, l in combinations(range(len(names)), 2):  # noqa: E741 - the paper's letter
                if not np.isnan(alike[k, l]):
                    pair = f"{names[k]}+{names[l]}"
                    numbers.append(Measurement(pair, task, "homogenisation_between", float(alike[k, l])))
        return numbers


def homogenisation(texts: Texts) -> float | None:
    """Return the mean ROUGE-L of all pairs of texts.

    Args:
        texts: Texts as words; those without a word are left out.

    Returns:
        Between 0 and 1; None if fewer than two are left.

    Source:
        Shaib et al. (2024), "Standardizing the Measurement of Text Diversity".
    """
    written = [words for words in texts if words]
    if len(written) < 2:
        return None
    alike = rouge_l(written)
    return float((alike.sum() - np.trace(alike)) / (len(written) * (len(written) - 1)))


def _between(authors: Sequence[Texts]) -> NDArray[np.float64]:
    """Return ``(models, models)`` mean ROUGE-L for the same prompts; nan where two have no prompt in common."""
    total = np.zeros((len(authors), len(authors)))
    prompts = np.zeros_like(total)
    for texts in zip(*authors, strict=True):
        there = np.flatnonzero([bool(words) for words in texts])
        if len(there) > 1:
            total[np.ix_(there, there)] += rouge_l([texts[k] for k in there])
            prompts[np.ix_(there, there)] += 1
    return np.divide(total, prompts, out=np.full_like(total, np.nan), where=prompts > 0)
