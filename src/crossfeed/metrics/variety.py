r"""Variety of outputs (Vendi score), and its partition into variety within and between models.

With :math:`x_1, \dots, x_n` the unit-norm features of n outputs, :math:`\lambda_i` are the eigenvalues of their cosine
kernel over n, or, what is the same without zeros, of :math:`\rho = \frac1n \sum_i x_i x_i'`. They sum to 1, and the
Vendi score of order q is their Hill number: the effective number of different outputs, from 1 (all alike) to n (all
orthogonal),

.. math:: D_q(\rho) = \Big(\sum_i \lambda_i^q\Big)^{1/(1-q)}, \qquad
          D_1 = \exp\Big(-\sum_i \lambda_i \log \lambda_i\Big), \qquad D_\infty = 1 / \max_i \lambda_i

(Friedman and Dieng, 2023, for order 1; Pasarkar and Dieng, 2024, for all). ``variety`` is that of each model's outputs.
The variety of K models together is partitioned as ecologists do it with Hill numbers (Jost, 2007), with eigenvalues in
the place of frequencies and the same weight for every model:

.. math:: \gamma = D_q\Big(\frac1K \sum_k \rho_k\Big), \qquad
          \alpha = \Big(\frac1K \sum_k \operatorname{tr} \rho_k^q\Big)^{1/(1-q)}, \qquad \beta = \gamma / \alpha ;

for order 1, :math:`\log \alpha` is the mean of the models' entropies, and for order infinity :math:`\alpha` is the
smallest of their scores. ``variety_within`` is alpha, ``variety_total`` gamma and ``variety_between`` beta, the
effective number of distinct models: 1 if all :math:`\rho_k` are equal, K if no output of one model has anything in
common with one of another, and between these for every order: traces of powers are convex and superadditive above order
1, concave and subadditive below. For order 1, :math:`\log \beta` is the Holevo quantity of the :math:`\rho_k`, a
quantum Jensen-Shannon divergence. Reeve et al. (2016) partition the diversity of Leinster and Cobbold (2012) in the
same way; that one is made of the kernel's row means instead of its spectrum.

All of them depend on n, and two samples of one model have a ``variety_between`` above 1: compare numbers of equally
many outputs alone, and over generations. Outputs without text are left out, and models without any text; what is left
of a model has the weight 1/K whatever its number. Outputs that are no text are compared through the learner's features:
images by the classifier's, points by their angles (`crossfeed.learners.numeric`), not by a Gaussian kernel, whose width
would be a choice without a source. Eigenvalues of at most 1e-10 are zero: features are rounded to single precision, and
without a tolerance copies of one output count as several at order 0. (Where the sentence encoder computes in bf16, the
same text in the outputs of two models can differ by more than that; order 0 then counts it twice.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from crossfeed.metrics.completions import has_text
from crossfeed.protocols import ALL_MODELS, Array, Measurement, Snapshot
from crossfeed.settings import TWO_DECIMALS, Measure, MetricSettings, NonNegative

__all__ = ["VarietySettings", "effective_number", "spectrum"]

_ZERO: Final = 1e-10


def _known_order(value: Any) -> Any:
    """Return a number, or infinity as a word: content ids and files are JSON, which has none."""
    if value in ("inf", math.inf):
        return "inf"
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    raise ValueError("give a number of at least 0, or inf")


Order = Annotated[
    float | Literal["inf"], BeforeValidator(_known_order, json_schema_input_type=NonNegative | Literal["inf"])
]
"""Order q of a Hill number."""


class VarietySettings(MetricSettings):
    """Effective numbers of different outputs and of distinct models; metrics ``variety`` and ``variety_between``.

    Attributes:
        items: Number of test prompts of each data set to complete, at most.
        order: q, 0 or more, or ``inf``: the greater, the less do rare outputs count. 0 counts dimensions, 1 is the
            Vendi score, ``inf`` sees the most frequent direction alone.
    """

    measures = (
        Measure(
            "variety",
            "Variety of outputs",
            0.5,
            section="quality",
            unit="Vendi score",
        ),
        Measure(
            "variety_within",
            "Variety within models",
            0.5,
            section="quality",
            shown=frozenset({"page"}),
            pairs=True,
            unit="Vendi score",
        ),
        Measure(
            "variety_total",
            "Variety of all models together",
            0.5,
            section="quality",
            shown=frozenset({"page"}),
            pairs=True,
            unit="Vendi score",
        ),
        Measure(
            "variety_between",
            "Variety between models",
            TWO_DECIMALS,
            section="similarity",
            shown=frozenset({"terminal", "page", "curves"}),
            pairs=True,
            unit="effective number of models",
        ),
    )

    items: Annotated[int, Field(ge=1, le=10_000)] = 200
    order: Order = 1.0

    def build(self) -> _Variety:
        """Build the metric."""
        return _Variety(self.items, self.order)


@dataclass(frozen=True)
class _Variety:
    items: int
    order: float | Literal["inf"]

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        numbers = []
        for task in snapshot.tasks:
            completed = zip(
                snapshot.entities,
                snapshot.embeddings(task, self.items),
                snapshot.completions(task, self.items),
                strict=True,
            )
            written = {entity: made[has_text(table)] for entity, made, table in completed}
            outputs = {entity: made for entity, made in written.items() if len(made)}
            spectra = [spectrum([made]) for made in outputs.values()]
            for entity, own in zip(outputs, spectra, strict=True):
                numbers.append(Measurement(entity, task, "variety", effective_number([own], self.order)))
            if len(outputs) > 1:
                within = effective_number(spectra, self.order)
                total = effective_number([spectrum(list(outputs.values()))], self.order)
                parts = {"variety_within": within, "variety_total": total, "variety_between": total / within}
                numbers += [Measurement(ALL_MODELS, task, name, value) for name, value in parts.items()]
        return numbers


def spectrum(samples: Sequence[NDArray[np.floating]]) -> Array:
    r"""Return the eigenvalues of :math:`\frac1K \sum_k \rho_k` that are not zero.

    Args:
        samples: K samples of features, ``(n_k, d)`` each, without zero rows; rows are scaled to unit norm.

    Returns:
        Positive eigenvalues, whose sum is 1.
    """
    rows = []
    for each in samples:
        row = each.astype(np.float64)
        rows.append(row / (np.linalg.norm(row, axis=1, keepdims=True) * math.sqrt(len(samples) * len(row))))
    joined = np.concatenate(rows)
    # The smaller of both Gram matrices: they have the same eigenvalues but for zeros.
    gram = joined @ joined.T if len(joined) < joined.shape[1] else joined.T @ joined
    values: Array = np.linalg.eigvalsh(gram)
    return values[values > _ZERO]


def effective_number(spectra: Sequence[Array], order: float | Literal["inf"]) -> float:
    r"""Return the Hill number of spectra of equal weight: :math:`\alpha` of several, the Vendi score of one alone.

    Args:
        spectra: Eigenvalues from `spectrum`.
        order: q, or ``inf``.

    Source:
        Jost (2007), Partitioning diversity into independent alpha and beta components, for equal weights.
    """
    from scipy.special import logsumexp  # scipy's functions take long to import

    if order == "inf":
        return float(1 / max(values.max() for values in spectra))
    if order == 1:
        return math.exp(-np.mean([(values * np.log(values)).sum() for values in spectra]))
    # In logarithms: powers of a large order are smaller than any float.
    log_sum = logsumexp(order * np.log(np.concatenate(spectra))) - math.log(len(spectra))
    return math.exp(log_sum / (1 - order))
