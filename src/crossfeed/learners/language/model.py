"""The causal language model into which every state is loaded, and the state itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossfeed.learners.language.adapter_settings import AdapterSettings
from crossfeed.learners.language.adapters import Adapters
from crossfeed.learners.language.captured_passes import CapturedPasses
from crossfeed.learners.language.handwritten.model import verified_handwritten
from crossfeed.learners.language.tokens import Batch
from crossfeed.learners.neural.cuda_graphs import CudaGraphs
from crossfeed.learners.neural.device import Device, quiet
from crossfeed.learners.neural.working_model import Tensors, WorkingModel

__all__ = ["CausalModel", "LanguageState"]


@dataclass(frozen=True, eq=False, repr=False)
class LanguageState:
    """One entity's parameters, in host memory; never changed in place.

    Attributes:
        weights: Parameters by name, tied ones once; of a model with adapters those of the adapter alone.
        optimizer: AdamW's moments, ``exp_avg.<parameter>`` and ``exp_avg_sq.<parameter>``, and ``step``; empty
            unless they are carried over.
    """

    weights: Tensors
    optimizer: Tensors = field(default_factory=dict)


class CausalModel(WorkingModel):
    """A causal language model of transformers into which states are loaded.

    Args:
        module: The model, in fp32.
        device: The device that it is moved to.
        adapter: The adapter that is trained; None trains all parameters.

    Attributes:
        adapters: Room for an adapter, or None.
        takes_positions: True if its forward pass takes positions.
        cache_name: The name of the key-value cache in its forward pass; transformers renamed it.
        handwritten: Its handwritten twin, or None; where there is one, the module itself is not called.
    """

    def __init__(self, module: Any, device: Device, adapter: AdapterSettings | None = None) -> None:
        super().__init__(module, device)
        dtype = torch.bfloat16 if device.bf16 else torch.float32
        self.handwritten = verified_handwritten(self.module, dtype) if device.on_host else None
        self.adapters = None if adapter is None else Adapters(self.module, adapter)
        if self.adapters is not None and self.handwritten is not None:
            self.handwritten = self.handwritten.adapted(self.adapters)
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
        """Return the parameters that are trained, by name: all of them (tied ones once), or those of the adapter."""
        return super().parameters() if self.adapters is None else self.adapters.parameters()

    @contextmanager
    def training(self) -> Iterator[dict[str, nn.Parameter]]:
        """Put the module into training mode, see `WorkingModel.training`.

        Yields:
            The parameters by name.
        """
        _ = self.handwritten or self.packs  # determined in evaluation mode
        with super().training() as parameters:
            yield parameters

    @cached_property
    def packs(self) -> bool:
        """True if several examples may share a row: none sees another, and each starts at position 0.

        Transformers masks them apart by their positions where an architecture allows it. The model itself is tested:
        two short examples give the same logits in one row as in two. Only on a CPU; the cost of an explicit mask
        elsewhere has not been measured.
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
    def graphs(self) -> CudaGraphs | None:
        """The capture of repeated work, on a CUDA device."""
        return CudaGraphs(self.device.torch_device) if self.device.torch_device.type == "cuda" else None

    @cached_property
    def captured_passes(self) -> CapturedPasses | None:
        """Passes that are captured once and replayed, on a CUDA device."""
        return None if self.graphs is None else CapturedPasses(self.module, self.device, self.graphs)

    def logits(self, batch: Batch) -> Tensor:
        """Return the logits that a batch predicts from: the head never sees the padding.

        Args:
            batch: Rows of token ids.

        Returns:
            ``(N, vocabulary)`` logits in fp32.
        """
        self._read = batch.read
        positions = {} if batch.positions is None else {"position_ids": batch.positions}
        try:
            with self.device.autocast():
                logits: Tensor = self.module(input_ids=batch.ids, use_cache=False, **positions).logits
        finally:
            self._read = None
        flat = logits.flatten(0, 1)
        return (flat if self._hooked else flat.index_select(0, batch.read)).float()

    def save(self, weights: Tensors, folder: Path) -> None:
        """Write a state as a checkpoint of transformers.

        Args:
            weights: The state's parameters by name.
            folder: An existing folder.
        """
        self.load(weights)
        with quiet():
            self.module.save_pretrained(folder, max_shard_size="1000GB")

    def _only_read(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        """Select the hidden states that logits are read from before the head."""
        if self._read is None:
            return None
        return (inputs[0].flatten(0, 1).index_select(0, self._read)[None], *inputs[1:])
