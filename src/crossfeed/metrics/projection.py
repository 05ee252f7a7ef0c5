r"""Two-dimensional projection of the models' outputs (paper, Figure 3).

Principal component analysis of the output embeddings, fitted jointly over all entities, data sets, generations and
cells of one seed, so that panels can be compared: with E the centred embeddings (one row an output) and E = U S V' its
singular value decomposition, the coordinates are the first two columns of U S. Signs are fixed so that each component's
largest loading is positive. `project` runs once, at the end of a run; the metric itself only ensures that the
embeddings exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from crossfeed.protocols import Measurement, Snapshot
from crossfeed.settings import MetricSettings

__all__ = ["ProjectionSettings", "project"]


class ProjectionSettings(MetricSettings):
    """PCA coordinates of output embeddings, in ``projection.parquet``.

    Attributes:
        items: Number of test prompts of each data set to complete, at most.
    """

    projected = True

    items: Annotated[int, Field(ge=1)] = 200

    def build(self) -> _Projection:
        """Build the metric."""
        return _Projection(self.items)


@dataclass(frozen=True)
class _Projection:
    items: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        for task in snapshot.tasks:
            snapshot.embeddings(task, self.items)
        return []


def project(embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return coordinates on the first two principal components.

    Args:
        embeddings: ``(n, dimension)`` with n and dimension at least 2.

    Returns:
        ``(n, 2)`` coordinates of mean zero.
    """
    centred = embeddings.astype(np.float64) - embeddings.mean(axis=0, dtype=np.float64)
    # The eigenvectors of the small covariance matrix are V; n may be much larger than the dimension.
    _, vectors = np.linalg.eigh(centred.T @ centred)
    components = vectors[:, -2:][:, ::-1]
    largest = np.abs(components).argmax(axis=0)
    components = components * np.sign(components[largest, [0, 1]])
    coordinates: NDArray[np.float64] = centred @ components
    return coordinates
