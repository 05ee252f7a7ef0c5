r"""MAUVE, the closeness of a model's outputs to human ones (Pillutla et al., 2021).

The features of m completions and of the m test items' own completions are quantised together: rows of unit norm,
principal components that explain 90 % of the variance, and k-means with m/10 clusters (the best of 5 runs). With p and
q the shares of completions and of human texts in the clusters, and :math:`r_w = w p + (1 - w) q`, the divergence curve
is

.. math:: \big(e^{-c \, \mathrm{KL}(q \| r_w)}, \; e^{-c \, \mathrm{KL}(p \| r_w)}\big), \qquad 0 < w < 1, \quad c = 5 ,

and MAUVE the area under it: 1 if p = q, near 0 if completions and human texts share no cluster. These are the constants
of the authors' package ``mauve-text``; only the k-means is another one (scikit-learn's, by one thread and from fixed
keys, so that a number is the same to the last bit when a run is continued). The features are the learner's, sentence
embeddings for text, and not those of GPT-2 large: numbers of papers cannot be compared with these.

The number depends on m, and says nothing of few texts: in six trials two samples of one normal density in 16 dimensions
had between .75 and 1.00 with 10 points each, and between .94 and .98 with 200. Fewer than 200 texts therefore give no
number, and ``mauve_texts`` records m beside it. Compare numbers of equally many texts alone; the authors recommend some
thousands. The scale of features is not seen, since they are normalised. An output without text counts as any other:
empty texts make a cluster in which no human text is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from crossfeed.errors import MissingDependency
from crossfeed.keys import address
from crossfeed.protocols import Array, Measurement, Snapshot
from crossfeed.settings import TWO_DECIMALS, Measure, MetricSettings

__all__ = ["MauveSettings", "area_under_divergences", "shares_of_clusters"]

_FEWEST: Final = 200
"""Texts below which there is no number."""

_EXPLAINED: Final = 0.9
_RUNS: Final = 5
_ITERATIONS: Final = 500
_SCALING: Final = 5.0
_WEIGHTS: Final = np.linspace(1e-6, 1 - 1e-6, 25)


class MauveSettings(MetricSettings):
    """MAUVE of completions against the test items' own; metric ``mauve``, from 0 to 1.

    Attributes:
        items: Number of test prompts of each data set to complete, at most; at least 200.
    """

    measures = (
        Measure(
            "mauve",
            "Closeness to human texts (MAUVE)",
            TWO_DECIMALS,
            bounded=True,
            section="quality",
            shown=frozenset({"page"}),
        ),
        Measure("mauve_texts", "Texts that MAUVE compares", section="quality", shown=frozenset()),
    )

    items: Annotated[int, Field(ge=_FEWEST)] = 1000

    def build(self) -> _Mauve:
        """Build the metric.

        Raises:
            MissingDependency: scikit-learn is not installed.
        """
        try:
            import sklearn  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingDependency("the metric mauve needs scikit-learn: pip install 'crossfeed[measure]'") from error
        return _Mauve(self.items)


@dataclass(frozen=True)
class _Mauve:
    items: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        numbers = []
        for name, task in snapshot.tasks.items():
            texts = min(task.test.num_rows, self.items)
            if texts >= _FEWEST:
                human = snapshot.reference_embeddings(name, self.items)
                for entity, made in zip(snapshot.entities, snapshot.embeddings(name, self.items), strict=True):
                    closeness = area_under_divergences(*shares_of_clusters(made, human))
                    numbers.append(Measurement(entity, name, "mauve", closeness))
                    numbers.append(Measurement(entity, name, "mauve_texts", float(texts)))
        return numbers


def shares_of_clusters(made: NDArray[np.floating], human: NDArray[np.floating]) -> tuple[Array, Array]:
    """Return p and q, the shares of two sets of features in clusters of both together.

    Args:
        made: ``(m, dimension)`` features.
        human: ``(n, dimension)`` features.

    Returns:
        ``(clusters,)`` shares each, of min(m, n) / 10 clusters.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    both = np.concatenate([human, made]).astype(np.float64)
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    pca = PCA(svd_solver="covariance_eigh").fit(both)
    kept = int(np.argmax(np.cumsum(pca.explained_variance_ratio_) >= _EXPLAINED)) + 1
    clusters = max(2, round(min(len(made), len(human)) / 10))
    means = KMeans(clusters, n_init=_RUNS, max_iter=_ITERATIONS, random_state=address("mauve") % 2**32)
    with threadpool_limits(1, "openmp"):  # threads add their sums in the order in which they finish
        label = means.fit_predict(pca.transform(both)[:, :kept])
    p, q = (np.bincount(own, minlength=clusters) / len(own) for own in (label[len(human) :], label[: len(human)]))
    return p, q


def area_under_divergences(p: Array, q: Array) -> float:
    """Return the area under the divergence curve of two discrete distributions.

    Args:
        p: ``(clusters,)`` shares.
        q: ``(clusters,)`` shares.

    Returns:
        A number between 0 and 1; 1 if p equals q.

    Source:
        Pillutla et al. (2021), "MAUVE: Measuring the Gap Between Neural Text and Human Text using Divergence
        Frontiers"; mean of the areas seen from both axes, as in their package.
    """
    from scipy.special import rel_entr

    mixed = _WEIGHTS[:, None] * p + (1 - _WEIGHTS[:, None]) * q
    of_q, of_p = (np.exp(-_SCALING * rel_entr(each, mixed).sum(axis=1)) for each in (q, p))
    x, y = np.concatenate([[1.0], of_q, [0.0]]), np.concatenate([[0.0], of_p, [1.0]])
    # x falls and y rises with w, up to rounding where both are flat.
    return float((np.trapezoid(y[np.argsort(x)], np.sort(x)) + np.trapezoid(x[np.argsort(y)], np.sort(y))) / 2)
