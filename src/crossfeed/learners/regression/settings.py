"""Descriptions of regression models; nothing heavy is imported here."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from crossfeed.protocols import Reading
from crossfeed.settings import LearnerSettings, NonNegative

__all__ = ["GlmSettings", "LinearSettings", "RegressionSettings"]


class LinearSettings(LearnerSettings):
    """Linear regression on tasks of ``source: regression`` with gaussian responses.

    Attributes:
        noise: Standard deviation sigma_g of generated responses; 0 answers with the prediction itself.
        reads: ``everything``: all items of every source, weighed (exact theory). ``draws``: n drawn items.
    """

    builder: ClassVar[str] = "crossfeed.learners.regression.learner:build"
    loss_unit: ClassVar[str] = "squared error"

    kind: Literal["linear"] = "linear"
    noise: NonNegative = 1.0
    reads: Reading = "everything"

    def reading(self) -> Reading:
        """Return `reads`."""
        return self.reads


class GlmSettings(LearnerSettings):
    """Logistic or Poisson regression on tasks of ``source: regression`` of the same family.

    Attributes:
        family: ``logistic`` (responses 0 and 1) or ``poisson`` (counts).
        ridge: rho >= 0: rho |theta|^2 / 2 is taken off the weighted log-likelihood.
        reads: ``everything``: all items of every source, weighed. ``draws``: n drawn items, see
            `crossfeed.learners.regression.learner`.
    """

    builder: ClassVar[str] = "crossfeed.learners.regression.learner:build"
    loss_unit: ClassVar[str] = "nats/response"

    kind: Literal["glm"] = "glm"
    family: Literal["logistic", "poisson"]
    ridge: NonNegative = 0.0
    reads: Reading = "everything"

    def reading(self) -> Reading:
        """Return `reads`."""
        return self.reads


RegressionSettings: TypeAlias = LinearSettings | GlmSettings
"""The description of any of the regression models."""
