"""One working module that every state is loaded into: K entities need K sets of numbers, not K modules."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossfeed.learners.language.captured_passes import RecordedPasses
from crossfeed.learners.language.handwritten.model import proven
from crossfeed.learners.language.tokens import Batch
from crossfeed.learners.neural.cuda_graphs import Recorder
from crossfeed.learners.neural.device import Device, quiet

__all__ = ["LanguageState", "WorkingModel"]

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False, repr=False)
class LanguageState:
    """One entity's parameters, in host memory; never changed in place.

    Attributes:
        weights: Parameters by name; tied ones are there once.
        optimizer: AdamW's moments, ``exp_avg.<parameter>`` and ``exp_avg_sq.<parameter>``, and ``step``; empty
            unless they are carried over.
    """

    weights: Tensors
    optimizer: Tensors = field(default_factory=dict)


class WorkingModel:
    """A causal language model of transformers into which states are loaded.

    Attributes:
        module: The model, on its device.
        device: Where it is.
        takes_positions: Whether its forward pass is given positions.
        cache_name: What its forward pass calls the key-value cache; transformers renamed it.
        lean: Its passes by hand, where there are such; then the module itself is not called.
    """

    def __init__(self, module: Any, device: Device) -> None:
        self.module = module.to(device.torch_device).eval()
        self.device = device
        self.lean = proven(self.module, torch.bfloat16 if device.bf16 else torch.float32) if device.on_host else None
        self._loaded: Tensors | None = None
        self._read: Tensor | None = None
        head = module.get_output_embeddings()
        self._hooked = isinstance(head, nn.Module)
        if self._hooked:
            head.register_forward_pre_hook(self._only_read)
        taken = inspect.signature(module.forward).parameters
        self.takes_positions = "position_ids" in taken
        # Transformers 5.24 gave it the shorter name, and warns of the older one.
        self.cache_name = "cache" if "cache" in taken else "past_key_values"

    def parameters(self) -> dict[str, nn.Parameter]:
        """Parameters by name, tied ones once."""
        return dict(self.module.named_parameters())

    def load(self, weights: Tensors) -> None:
        """Give the module a state's numbers."""
        if self._loaded is weights:
            return
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                parameter.copy_(weights[name], non_blocking=True)
        self._loaded = weights

    def weights(self) -> dict[str, Tensor]:
        """A copy of the module's numbers in host memory."""
        return self.device.in_host_memory(self.parameters())

    def training(self) -> None:
        """Make ready to be changed: the module no longer holds any state's numbers."""
        _ = self.lean or self.packs  # found out while the module is at rest
        self._loaded = None
        self.module.train()

    @cached_property
    def packs(self) -> bool:
        """Whether several examples may share a row: none sees another, and each starts at position 0.

        Transformers masks them apart by their positions where an architecture lets it. This one is asked: two short
        examples give the same logits in one row as in two. Only on a CPU; what an explicit mask costs elsewhere has not
        been measured.
        """
        if not (self.device.on_host and self.takes_positions):
            return False
        examples = [np.arange(1, 9), np.arange(3, 6), np.arange(2, 6)]  # the last two share a row
        batches = [Batch.of([ids], 0, self.device.torch_device) for ids in examples]
        with torch.inference_mode():
            apart = torch.cat([self.logits(batch) for batch in (batches[0], batches[2], batches[1])])
            packed = self.logits(Batch.packed(examples, 0, self.device.torch_device))
        return torch.allclose(packed, apart, rtol=1e-3, atol=1e-3)

    @cached_property
    def recorder(self) -> Recorder | None:
        """Records work that is done again and again, on a CUDA device."""
        return Recorder(self.device.torch_device) if self.device.torch_device.type == "cuda" else None

    @cached_property
    def recorded(self) -> RecordedPasses | None:
        """Passes that are recorded once and replayed, on a CUDA device."""
        return None if self.recorder is None else RecordedPasses(self.module, self.device, self.recorder)

    def logits(self, batch: Batch) -> Tensor:
        """Logits where a batch reads them only: the head never sees the padding.

        Returns:
            ``(N, vocabulary)`` logits in fp32.
        """
        self._read = batch.read
        positions = {} if batch.positions is None else {"position_ids": batch.positions}
        try:
            with self.device.autocast():
                found: Tensor = self.module(input_ids=batch.ids, use_cache=False, **positions).logits
        finally:
            self._read = None
        flat = found.flatten(0, 1)
        return (flat if self._hooked else flat.index_select(0, batch.read)).float()

    def save(self, weights: Tensors, folder: Path) -> None:
        """Write a state as a checkpoint of transformers."""
        self.load(weights)
        with quiet():
            self.module.save_pretrained(folder, max_shard_size="1000GB")

    def _only_read(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if self._read is None:
            return None
        return (inputs[0].flatten(0, 1).index_select(0, self._read)[None], *inputs[1:])
