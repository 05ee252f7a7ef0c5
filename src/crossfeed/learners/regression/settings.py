"""Descriptions of regression models; nothing heavy is imported here."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import ConfigDict, Field, model_validator

from crossfeed.protocols import Reading
from crossfeed.schema_rules import all_or_none
from crossfeed.settings import LearnerSettings, NonNegative, Rate

__all__ = ["GlmSettings", "LinearSettings", "RegressionSettings"]


class LinearSettings(LearnerSettings):
    """Linear regression on tasks of ``source: regression`` with gaussian responses.

    Attributes:
        noise: Standard deviation sigma_g of generated responses; 0 answers with the prediction itself.
        reads: ``everything``: all items of every source, weighed (exact theory). ``draws``: n drawn items.
        steps: Gradient steps of each update from generation 1 on, each theta <- theta - rate (G theta - m) with
            G = sum_i c_i X_i'X_i + ridge I and m = sum_i c_i X_i'y_i; default: the minimum itself. Generation 0 is
            always the minimum.
        rate: Size of a step, below 2 over the largest eigenvalue of G; needed with `steps`.
        ridge: lambda >= 0, in units of G: lambda |theta|^2 is added to the weighted sum of squares, at generation 0
            too.
    """

    builder: ClassVar[str] = "crossfeed.learners.regression.learner:build"
    loss_unit: ClassVar[str] = "squared error"

    model_config = ConfigDict(json_schema_extra=all_or_none("steps", "rate"))

    kind: Literal["linear"] = "linear"
    noise: NonNegative = 1.0
    reads: Reading = "everything"
    steps: Annotated[int, Field(ge=1, le=10**9)] | None = None
    rate: Rate | None = None
    ridge: NonNegative = 0.0

    @model_validator(mode="after")
    def _steps_have_a_size(self) -> Self:
        if self.steps is not None and self.rate is None:
            raise ValueError("steps: give rate, the size of a step, too (or leave steps out for the minimum itself)")
        if self.steps is None and self.rate is not None:
            raise ValueError(
                "rate: it is the size of gradient steps, and there are none; give steps too, or leave it out"
            )
        return self

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
