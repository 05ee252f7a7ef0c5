"""A working model's passes by hand, and the proof that they are the module's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from crossfeed.learners.language.handwritten.compiled_ops import CompiledParts
from crossfeed.learners.language.handwritten.config import shape_of
from crossfeed.learners.language.handwritten.forward_backward import Passes
from crossfeed.learners.language.handwritten.ops import Parts
from crossfeed.learners.language.handwritten.packed import Line
from crossfeed.learners.language.handwritten.torch_ops import TorchParts
from crossfeed.learners.language.handwritten.weights import Weights
from crossfeed.learners.language.tokens import Ids
from crossfeed.learners.neural.compiled.kernels import kernels

__all__ = ["Lean", "proven"]

_FEW_THREADS: Final = 2
"""What is compiled runs on one thread, torch's parts on all of them: two are still slower than the one."""


class Lean:
    """Losses and gradients of a Llama without its module: the same numbers up to the order of floating-point sums.

    Nothing is kept from one call to the next.

    Args:
        passes: The model's.
        writing: Those by which texts are written, in fp32: a token's products are too small to gain by bf16.
        parameters: The module's, by name; they may change between calls.
    """

    def __init__(self, passes: Passes, writing: Passes, parameters: Mapping[str, nn.Parameter]) -> None:
        self.passes, self.writing, self._parameters = passes, writing, parameters

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return len(self._parameters["model.embed_tokens.weight"])

    def weights(self) -> Weights:
        """The module's numbers as they are now."""
        return self._weights(self.passes)

    def weights_for_writing(self) -> Weights:
        """The same, for `writing`."""
        return self._weights(self.writing)

    def _weights(self, passes: Passes) -> Weights:
        return Weights(passes.shape, self._parameters, passes.parts.dtype)

    def losses(self, texts: Sequence[Ids]) -> Tensor:
        """``(N,)`` losses of all tokens but the first of each text."""
        return self.passes.losses(self.weights(), Line.of(texts, self.passes.unit))

    def gradients(self, texts: Sequence[Ids], factor: float, weights: Weights) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of the losses times a factor, and its gradients by parameter."""
        return self.passes.gradients(weights, Line.of(texts, self.passes.unit), factor)

    def backward(self, texts: Sequence[Ids], factor: float) -> Tensor:
        """Add `gradients` to those of the module's parameters, and give the loss; without tokens there are none."""
        if all(len(ids) < 2 for ids in texts):
            return torch.zeros(())
        loss, found = self.gradients(texts, factor, self.weights())
        self.add(found)
        return loss

    def add(self, gradients: Mapping[str, Tensor]) -> None:
        """Add gradients to those of the module's parameters."""
        for name, gradient in gradients.items():
            parameter = self._parameters[name]
            parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)


def proven(module: Any, dtype: torch.dtype = torch.float32) -> Lean | None:
    """A module's passes by hand, if they give the same losses and gradients as the module itself does in fp32.

    Compiled, where that can be had, and in torch otherwise.

    Args:
        module: The module, in fp32.
        dtype: Of what is multiplied. In bf16 all is compiled, or nothing is by hand.
    """
    shape = shape_of(module)
    if shape is None:
        return None
    texts = [np.arange(length) % module.config.vocab_size for length in (7, 2, 4)]
    by_module, parameters = _by_the_module(module, texts), dict(module.named_parameters())
    for exact, parts in _parts(dtype):
        writing = Passes(shape, exact)
        lean = Lean(writing, writing, parameters)
        if _same(lean, texts, by_module):
            return lean if parts is exact else Lean(Passes(shape, parts), writing, parameters)
    return None


def _parts(dtype: torch.dtype) -> Iterator[tuple[Parts, Parts]]:
    """What could be used, and its like in fp32, by which it is known."""
    compiled, few = kernels(), torch.get_num_threads() <= _FEW_THREADS
    if compiled is not None and (few or dtype is not torch.float32):
        exact = CompiledParts(compiled, torch.float32)
        yield exact, exact if dtype is torch.float32 else CompiledParts(compiled, dtype)
    if dtype is torch.float32:
        yield (in_torch := TorchParts()), in_torch


def _same(lean: Lean, texts: Sequence[Ids], by_module: tuple[Tensor, dict[str, Tensor]]) -> bool:
    """Whether losses and gradients differ from the module's by rounding only."""
    losses, gradients = by_module
    found, by_hand = lean.gradients(texts, 1.0, lean.weights())
    alike = [_alike(found, losses)]
    return all(alike + [_alike(by_hand[name], each) for name, each in gradients.items()])


def _by_the_module(module: Any, texts: Sequence[Ids]) -> tuple[Tensor, dict[str, Tensor]]:
    parameters = dict(module.named_parameters())
    with torch.enable_grad():
        total = torch.zeros(())
        for ids in texts:
            tokens = torch.from_numpy(ids)
            logits = module(input_ids=tokens[None, :-1], use_cache=False).logits[0]
            total = total + functional.cross_entropy(logits, tokens[1:], reduction="sum")
        gradients = torch.autograd.grad(total, list(parameters.values()))
    return total.detach(), dict(zip(parameters, gradients, strict=True))


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors differ by rounding only, measured by their largest number."""
    return bool(torch.dist(one, other, torch.inf) <= 1e-3 * other.abs().max())
