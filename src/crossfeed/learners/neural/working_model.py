"""One module into which every state is loaded: K entities need K sets of numbers, not K modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from crossfeed.learners.neural.device import Device

__all__ = ["Tensors", "WorkingModel"]

Tensors = Mapping[str, Tensor]
"""Tensors by name, such as a state's parameters."""


class WorkingModel:
    """A module into which states are loaded.

    Args:
        module: A torch module.
        device: The device that it is moved to.

    Attributes:
        module: The module, on its device, in evaluation mode except while it is trained.
        device: Its device.
    """

    def __init__(self, module: nn.Module, device: Device) -> None:
        self.module: Any = module.to(device.torch_device).eval()
        self.device = device
        self._loaded: Tensors | None = None

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters by name, tied ones once."""
        return dict(self.module.named_parameters())

    def load(self, weights: Tensors) -> None:
        """Copy a state's numbers into the module, unless they are there already.

        Args:
            weights: Every parameter by name.
        """
        if self._loaded is weights:
            return
        with torch.no_grad():
            for name, parameter in self.parameters().items():
                parameter.copy_(weights[name], non_blocking=True)
        self._loaded = weights

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the module's numbers in host memory, by name."""
        return self.device.in_host_memory(self.parameters())

    @contextmanager
    def training(self) -> Iterator[dict[str, nn.Parameter]]:
        """Put the module into training mode; at the end gradients are removed and it is in evaluation mode again.

        From the beginning on the module no longer counts as holding any state's numbers.

        Yields:
            The parameters by name.
        """
        self._loaded = None
        self.module.train()
        try:
            yield self.parameters()
        finally:
            self.module.zero_grad()
            self.module.eval()
