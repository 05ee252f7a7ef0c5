"""How density models are described; nothing heavy is imported here.

All of them learn the density of the points of their training sets (tasks of `crossfeed.tasks.samples`), and generate
points of their own from it. With ``reads: draws`` a training set is n drawn points, as for models of any other kind.
With ``reads: everything`` every point of every source is used once, each source with its weight in the mixture: then
"replace" and "accumulate" are what the literature studies, without the ties of drawing with replacement.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from crossfeed.errors import MissingDependency
from crossfeed.protocols import Learner, LearnerContext, Reading
from crossfeed.settings import LearnerSettings, Number

__all__ = ["GaussianSettings", "GmmSettings", "KdeSettings"]


class GaussianSettings(LearnerSettings):
    """A Gaussian with the mean and the covariance of the training set.

    Attributes:
        covariance: ``maximum-likelihood`` (divided by n) or ``unbiased`` (by n - 1).
        reads: ``draws``: n drawn points. ``everything``: all points of every source, weighed.
    """

    kind: Literal["gaussian"] = "gaussian"
    covariance: Literal["maximum-likelihood", "unbiased"] = "maximum-likelihood"
    reads: Reading = "draws"

    def reading(self) -> Reading:
        """As described."""
        return self.reads

    def build(self, context: LearnerContext) -> Learner:
        """Make the learner.

        Raises:
            InvalidInput: A task has no points, or points of another dimension.
        """
        from crossfeed.learners.density.gaussian import Gaussian
        from crossfeed.learners.density.learner import DensityLearner

        return DensityLearner.make(Gaussian(self.covariance == "unbiased"), self.kind, self.reads, context)


class GmmSettings(LearnerSettings):
    """A mixture of Gaussians, fitted by expectation-maximisation (scikit-learn's ``GaussianMixture``).

    Generation 0 starts from k-means, every later one from the parameters before it.

    Attributes:
        components: How many Gaussians.
        iterations: At most so many steps of expectation-maximisation an update.
        ridge: Added to the diagonal of each covariance, so that none becomes singular.
    """

    kind: Literal["gmm"] = "gmm"
    components: Annotated[int, Field(ge=1, le=1000)] = 2
    iterations: Annotated[int, Field(ge=1, le=100_000)] = 100
    ridge: Annotated[Number, Field(ge=0.0)] = 1e-6

    def build(self, context: LearnerContext) -> Learner:
        """Make the learner.

        Raises:
            MissingDependency: scikit-learn is not installed.
            InvalidInput: A task has no points, or points of another dimension.
        """
        try:
            from crossfeed.learners.density.gmm import Mixture
        except ModuleNotFoundError as error:
            raise MissingDependency("the learner 'gmm' needs scikit-learn: pip install 'crossfeed[density]'") from error
        from crossfeed.learners.density.learner import DensityLearner

        return DensityLearner.make(Mixture(self.components, self.iterations, self.ridge), self.kind, "draws", context)


class KdeSettings(LearnerSettings):
    """A kernel density estimate with Gaussian kernels.

    Attributes:
        bandwidth: The kernels' standard deviation h, or ``scott`` (m^(-1/(d+4)) for m points) or ``silverman``
            ((m (d+2)/4)^(-1/(d+4))); the rules suppose data of unit scale.
        reads: ``draws``: n drawn points. ``everything``: all points of every source, weighed.
    """

    kind: Literal["kde"] = "kde"
    bandwidth: Annotated[Number, Field(gt=0.0)] | Literal["scott", "silverman"] = "scott"
    reads: Reading = "draws"

    def reading(self) -> Reading:
        """As described."""
        return self.reads

    def build(self, context: LearnerContext) -> Learner:
        """Make the learner.

        Raises:
            InvalidInput: A task has no points, or points of another dimension.
        """
        from crossfeed.learners.density.kde import Kernels
        from crossfeed.learners.density.learner import DensityLearner

        return DensityLearner.make(Kernels(self.bandwidth), self.kind, self.reads, context)
