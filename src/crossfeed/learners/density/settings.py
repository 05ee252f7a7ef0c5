"""Descriptions of density models; nothing heavy is imported here.

All of them learn the density of the points of their training sets (tasks of `crossfeed.tasks.samples`), and generate
points of their own from it. With ``reads: draws`` a training set is n drawn points, as for models of any other kind.
With ``reads: everything`` every point of every source is used once, each source with its weight in the mixture: then
"replace" and "accumulate" are what the literature studies, without the ties of drawing with replacement.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from crossfeed.protocols import Reading
from crossfeed.settings import LearnerSettings, Number

__all__ = ["DensitySettings", "GaussianSettings", "GmmSettings", "KdeSettings"]


class GaussianSettings(LearnerSettings):
    """A Gaussian with the mean and the covariance of the training set.

    Attributes:
        covariance: ``maximum-likelihood`` (divided by n) or ``unbiased`` (by n - 1).
        reads: ``draws``: n drawn points. ``everything``: all points of every source, weighed.
    """

    builder: ClassVar[str] = "crossfeed.learners.density.gaussian:build"
    loss_unit: ClassVar[str] = "nats/point"

    kind: Literal["gaussian"] = "gaussian"
    covariance: Literal["maximum-likelihood", "unbiased"] = "maximum-likelihood"
    reads: Reading = "draws"

    def reading(self) -> Reading:
        """Return `reads`."""
        return self.reads


class GmmSettings(LearnerSettings):
    """A mixture of Gaussians, fitted by expectation-maximisation (scikit-learn's ``GaussianMixture``).

    Generation 0 starts from k-means, every later one from the parameters before it.

    Attributes:
        components: Number of Gaussians.
        iterations: Most steps of expectation-maximisation in an update.
        ridge: Added to the diagonal of each covariance, so that none becomes singular.
    """

    builder: ClassVar[str] = "crossfeed.learners.density.gmm:build"
    missing: ClassVar[str] = "the learner 'gmm' needs scikit-learn: pip install 'crossfeed[density]'"
    loss_unit: ClassVar[str] = "nats/point"

    kind: Literal["gmm"] = "gmm"
    components: Annotated[int, Field(ge=1, le=1000)] = 2
    iterations: Annotated[int, Field(ge=1, le=100_000)] = 100
    ridge: Annotated[Number, Field(ge=0.0)] = 1e-6


class KdeSettings(LearnerSettings):
    """A kernel density estimate with Gaussian kernels.

    Attributes:
        bandwidth: The kernels' standard deviation h, or ``scott`` (m^(-1/(d+4)) for m points) or ``silverman``
            ((m (d+2)/4)^(-1/(d+4))); the rules suppose data of unit scale.
        reads: ``draws``: n drawn points. ``everything``: all points of every source, weighed.
    """

    builder: ClassVar[str] = "crossfeed.learners.density.kde:build"
    loss_unit: ClassVar[str] = "nats/point"

    kind: Literal["kde"] = "kde"
    bandwidth: Annotated[Number, Field(gt=0.0)] | Literal["scott", "silverman"] = "scott"
    reads: Reading = "draws"

    def reading(self) -> Reading:
        """Return `reads`."""
        return self.reads


DensitySettings: TypeAlias = GaussianSettings | GmmSettings | KdeSettings
"""The description of any of the density models."""
