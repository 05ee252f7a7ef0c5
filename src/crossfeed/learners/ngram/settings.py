"""The description of n-gram models; nothing heavy is imported here."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from crossfeed.settings import LearnerSettings, NonNegative, Rate

__all__ = ["NgramSettings", "Unit"]

Unit = Literal["words", "characters"]
"""The units of texts: what stands between white space, or every single character."""


class NgramSettings(LearnerSettings):
    """An n-gram model of texts with recursive back-off, on any task with texts.

    The vocabulary is that of all data of the tasks, with one unit for whatever else is read and one for the end of a
    text. Without a prior, what never followed a known context has the probability 0 and an infinite loss; metrics of
    losses, which take that for a fault of training, therefore need a prior.

    Attributes:
        order: m, the length of the n-grams: a unit is drawn given the m - 1 before it.
        unit: ``words`` (between white space) or ``characters``.
        prior: a >= 0, the weight of the back-off: p_m(w|h) = (c(h,w) + a p_(m-1)(w|h')) / (c(h) + a), where h' is h
            without its first unit, and p_0 is uniform; 0 backs off where h was never read, and there alone.
        temperature: tau; units are drawn from p^(1/tau), normalised. Other than 1 only without a prior.
        max_length: The greatest number of units of a completion.
    """

    builder: ClassVar[str] = "crossfeed.learners.ngram.learner:build"
    loss_unit: ClassVar[str] = "nats/unit"
    other_units: ClassVar[str] = "units may be words or characters"

    kind: Literal["ngram"] = "ngram"
    order: Annotated[int, Field(ge=1, le=20)] = 2
    unit: Unit = "words"
    prior: NonNegative = 0.0
    temperature: Rate = 1.0
    max_length: Annotated[int, Field(ge=1, le=100_000)] = 100

    @property
    def finite_losses(self) -> bool:
        """True with a prior."""
        return self.prior > 0

    @model_validator(mode="after")
    def _tempers_counts_alone(self) -> Self:
        if self.temperature != 1 and self.prior > 0:
            raise ValueError(
                f"temperature: with a prior every unit of the vocabulary can follow, and no power of so many "
                f"probabilities is taken at every position; received {self.temperature:g} with prior: {self.prior:g}; "
                "give temperature: 1, or prior: 0"
            )
        return self
