"""The description of categorical models; nothing heavy is imported here."""

from __future__ import annotations

from typing import ClassVar, Literal

from crossfeed.protocols import Reading
from crossfeed.settings import LearnerSettings, NonNegative, Rate

__all__ = ["CategoricalSettings"]


class CategoricalSettings(LearnerSettings):
    """A distribution over symbols, fitted to counts, on tasks of ``source: categorical``.

    Without a prior a symbol that is in no training set has the probability 0 and is lost to its model: the loss of an
    item with it is infinite. Metrics of losses, which take that for a fault of training, therefore need a prior.

    Attributes:
        prior: a >= 0, the count that each symbol has before anything is read (a Dirichlet prior):
            p = (counts + a) / (n + d a); 0 is maximum likelihood.
        temperature: tau; items are drawn from p^(1/tau), normalised.
        reads: ``draws``: n drawn items. ``everything``: all items of every source; the counts are n times the weighted
            mean of the sources' frequencies, with n the number of all items.
    """

    builder: ClassVar[str] = "crossfeed.learners.categorical.learner:build"
    loss_unit: ClassVar[str] = "nats/symbol"

    kind: Literal["categorical"] = "categorical"
    prior: NonNegative = 0.0
    temperature: Rate = 1.0
    reads: Reading = "draws"

    @property
    def finite_losses(self) -> bool:
        """True with a prior."""
        return self.prior > 0

    def reading(self) -> Reading:
        """Return `reads`."""
        return self.reads
