"""Whether training goes well: losses, gradients and weights that are no longer finite numbers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from crossfeed.errors import Diverged

__all__ = ["Watch"]

_CHECK_EVERY = 10
"""Steps between looks at the losses, where each look waits for an accelerator."""


class Watch:
    """Notices losses and gradients that are not finite, without waiting for an accelerator at every step."""

    def __init__(self, every_step: bool, where: str) -> None:
        self._every = 1 if every_step else _CHECK_EVERY
        self._where = where
        self._seen: list[Tensor] = []
        self._first = 0

    def see(self, step: int, loss: Tensor, norm: Tensor) -> None:
        """Keep a step's loss and gradient norm, and look at them now and then."""
        if not self._seen:
            self._first = step
        self._seen.append(torch.stack([loss, norm.to(loss.dtype)]))
        if len(self._seen) >= self._every:
            self.check()

    def check(self) -> None:
        """Look at what was kept.

        Raises:
            Diverged: Something is not finite.
        """
        if not self._seen:
            return
        values = torch.stack(self._seen).cpu()
        self._seen.clear()
        bad = (~values.isfinite().all(dim=1)).nonzero()[:, 0]
        if len(bad):
            loss, norm = values[bad[0]].tolist()
            raise Diverged(
                f"{self._where}, step {self._first + int(bad[0])}: loss {loss}, gradient norm {norm}; "
                "a lower learning_rate, a longer warmup or fp32 may help"
            )

    def end(self, steps: int, parameters: Mapping[str, Tensor]) -> None:
        """Look at what is left, and at the weights after the last step.

        Raises:
            Diverged: Something is not finite.
        """
        self.check()
        if not all(bool(torch.isfinite(parameter).all()) for parameter in parameters.values()):
            raise Diverged(f"{self._where}: weights are not finite after step {steps}; lower the learning rate")
