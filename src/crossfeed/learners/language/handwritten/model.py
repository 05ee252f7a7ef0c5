"""The handwritten twin of a causal model's module, and the check that both compute the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from crossfeed.learners.language.adapters import Adapters
from crossfeed.learners.language.handwritten.compiled_ops import CompiledOps
from crossfeed.learners.language.handwritten.config import handwritten_config
from crossfeed.learners.language.handwritten.forward_backward import Passes
from crossfeed.learners.language.handwritten.ops import Ops
from crossfeed.learners.language.handwritten.packed import PackedSequence
from crossfeed.learners.language.handwritten.torch_ops import TorchOps
from crossfeed.learners.language.handwritten.weights import ModelWeights
from crossfeed.learners.language.tokens import Ids
from crossfeed.learners.neural.compiled.kernels import kernels

__all__ = ["HandwrittenModel", "verified_handwritten"]

_FEW_THREADS: Final = 2
"""Compiled operations run on one thread, torch's on all of them: two are still slower than the one."""


class HandwrittenModel:
    """Losses and gradients of a Llama without its module: the same numbers up to the order of floating-point sums.

    Nothing is kept from one call to the next.

    Args:
        passes: The model's passes.
        decoding: Those for generation, in fp32: a token's products are too small to gain by bf16.
        parameters: The module's parameters by name; they may change between calls.
        adapters: Adapters of the parameters, which are then the ones that get gradients; None if there are none.
    """

    def __init__(
        self,
        passes: Passes,
        decoding: Passes,
        parameters: Mapping[str, nn.Parameter],
        adapters: Adapters | None = None,
    ) -> None:
        self.passes, self.decoding, self._parameters, self._adapters = passes, decoding, parameters, adapters

    def adapted(self, adapters: Adapters) -> HandwrittenModel | None:
        """Return the same model with adapters; None if they have dropout, which is not handwritten.

        Args:
            adapters: Adapters of the module's parameters.
        """
        if adapters.dropout:
            return None
        return HandwrittenModel(self.passes, self.decoding, self._parameters, adapters)

    @property
    def vocabulary(self) -> int:
        """The number of tokens."""
        return len(self._parameters["model.embed_tokens.weight"])

    def weights(self) -> ModelWeights:
        """Return a fused copy of the module's present numbers, for `passes`."""
        return self._weights(self.passes)

    def decoding_weights(self) -> ModelWeights:
        """Return a fused copy of the module's present numbers, for `decoding`."""
        return self._weights(self.decoding)

    def _weights(self, passes: Passes) -> ModelWeights:
        numbers = self._parameters if self._adapters is None else self._adapters.merged(self._parameters)
        return ModelWeights(passes.config, numbers, passes.ops.dtype)

    def losses(self, texts: Sequence[Ids]) -> Tensor:
        """Return the ``(N,)`` losses of all tokens except the first of each text.

        Args:
            texts: Token ids.
        """
        return self.passes.losses(self.weights(), PackedSequence.of(texts, self.passes.unit))

    def gradients(self, texts: Sequence[Ids], factor: float, weights: ModelWeights) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sum of the losses times a factor, and its gradients by parameter.

        Args:
            texts: Token ids.
            factor: The factor.
            weights: From `weights`.
        """
        return self.passes.gradients(weights, PackedSequence.of(texts, self.passes.unit), factor)

    def backward(self, texts: Sequence[Ids], factor: float) -> Tensor:
        """Add `gradients` to those of the module's parameters, and return the loss; without tokens there are none.

        Args:
            texts: Token ids.
            factor: What the summed loss is multiplied by.
        """
        if all(len(ids) < 2 for ids in texts):
            return torch.zeros(())
        loss, gradients = self.gradients(texts, factor, self.weights())
        self.add(gradients)
        return loss

    def add(self, gradients: Mapping[str, Tensor]) -> None:
        """Add gradients to those of the module's parameters, or of their adapters.

        Args:
            gradients: By parameter of the module; they may be kept.
        """
        if self._adapters is not None:
            self._adapters.add_gradients(gradients)
            return
        for name, gradient in gradients.items():
            parameter = self._parameters[name]
            parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)


def verified_handwritten(module: Any, dtype: torch.dtype = torch.float32) -> HandwrittenModel | None:
    """Return a module's handwritten twin if it gives the module's own losses and gradients in fp32, else None.

    Its operations are compiled where that is possible, and in torch otherwise.

    Args:
        module: A causal model of transformers, in fp32.
        dtype: The type of the products' inputs. In bf16 all operations are compiled, or there is no twin.
    """
    config = handwritten_config(module)
    if config is None:
        return None
    texts = [np.arange(length) % module.config.vocab_size for length in (7, 2, 4)]
    by_module, parameters = _loss_and_gradients(module, texts), dict(module.named_parameters())
    for exact, ops in _candidates(dtype):
        decoding = Passes(config, exact)
        twin = HandwrittenModel(decoding, decoding, parameters)
        if _agrees(twin, texts, by_module):
            return twin if ops is exact else HandwrittenModel(Passes(config, ops), decoding, parameters)
    return None


def _candidates(dtype: torch.dtype) -> Iterator[tuple[Ops, Ops]]:
    """Yield possible operations, fastest first: in fp32, which are verified, and the same ones in `dtype`."""
    compiled, few = kernels(), torch.get_num_threads() <= _FEW_THREADS
    if compiled is not None and (few or dtype is not torch.float32):
        exact = CompiledOps(compiled, torch.float32)
        yield exact, exact if dtype is torch.float32 else CompiledOps(compiled, dtype)
    if dtype is torch.float32:
        yield (in_torch := TorchOps()), in_torch


def _agrees(twin: HandwrittenModel, texts: Sequence[Ids], by_module: tuple[Tensor, dict[str, Tensor]]) -> bool:
    """Return True if loss and gradients differ from the module's by rounding only."""
    expected_loss, expected_gradients = by_module
    loss, gradients = twin.gradients(texts, 1.0, twin.weights())
    close = [_close(loss, expected_loss)]
    return all(close + [_close(gradients[name], each) for name, each in expected_gradients.items()])


def _loss_and_gradients(module: Any, texts: Sequence[Ids]) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the summed loss of texts and its gradients by parameter, by autograd."""
    parameters = dict(module.named_parameters())
    with torch.enable_grad():
        total = torch.zeros(())
        for ids in texts:
            tokens = torch.from_numpy(ids)
            logits = module(input_ids=tokens[None, :-1], use_cache=False).logits[0]
            total = total + functional.cross_entropy(logits, tokens[1:], reduction="sum")
        gradients = torch.autograd.grad(total, list(parameters.values()))
    return total.detach(), dict(zip(parameters, gradients, strict=True))


def _close(one: Tensor, other: Tensor) -> bool:
    """Return True if two tensors differ by rounding only, relative to their largest number."""
    return bool(torch.dist(one, other, torch.inf) <= 1e-3 * other.abs().max())
