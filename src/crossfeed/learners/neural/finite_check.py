"""A check that losses, gradients and weights stay finite in training."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from crossfeed.errors import Diverged

__all__ = ["FiniteCheck"]

_CHECK_EVERY = 10
"""Steps between looks at the losses, where each look waits for an accelerator."""


class FiniteCheck:
    """Notices losses and gradients that are not finite, without waiting for an accelerator at every step.

    Args:
        every_step: True if each step is checked at once.
        where: The training that is checked, for messages.
    """

    def __init__(self, every_step: bool, where: str) -> None:
        self._every = 1 if every_step else _CHECK_EVERY
        self._where = where
        self._kept: list[Tensor] = []
        self._first = 0

    def observe(self, step: int, loss: Tensor, norm: Tensor) -> None:
        """Keep a step's loss and gradient norm, and check them now and then.

        Args:
            step: The step's number, from 0.
            loss: Scalar loss.
            norm: Scalar gradient norm.

        Raises:
            Diverged: One that was kept is not finite.
        """
        if not self._kept:
            self._first = step
        self._kept.append(torch.stack([loss, norm.to(loss.dtype)]))
        if len(self._kept) >= self._every:
            self.finish()

    def finish(self) -> None:
        """Check what was kept.

        Raises:
            Diverged: Something is not finite.
        """
        if not self._kept:
            return
        values = torch.stack(self._kept).cpu()
        self._kept.clear()
        bad = (~values.isfinite().all(dim=1)).nonzero()[:, 0]
        if len(bad):
            loss, norm = values[bad[0]].tolist()
            raise Diverged(
                f"{self._where}, step {self._first + int(bad[0])}: loss {loss}, gradient norm {norm}; "
                "a lower learning_rate, a longer warmup or fp32 may help"
            )

    def weights(self, steps: int, parameters: Mapping[str, Tensor]) -> None:
        """Check the weights after the last step.

        Args:
            steps: Number of steps taken, for the message.
            parameters: Parameters by name.

        Raises:
            Diverged: A weight is not finite.
        """
        if not all(bool(torch.isfinite(parameter).all()) for parameter in parameters.values()):
            raise Diverged(f"{self._where}: weights are not finite after step {steps}; lower the learning rate")
