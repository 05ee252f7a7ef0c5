"""A Llama's forward and backward pass, by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from crossfeed.learners.language.handwritten.config import Shape
from crossfeed.learners.language.handwritten.loss import add_product, losses, losses_and_gradients
from crossfeed.learners.language.handwritten.ops import Attends, Attention, Cache, Kept, Parts, turn, turns
from crossfeed.learners.language.handwritten.packed import Line
from crossfeed.learners.language.handwritten.weights import Layer, Weights, unfused

__all__ = ["Passes"]

_UNIT: Final = 64


@dataclass(frozen=True)
class _Layer:
    """What a layer's backward pass needs: see `Passes._forward`."""

    read: Tensor
    factors: Tensor
    asked: Tensor
    seen: Tensor
    attended: Kept
    read_again: Tensor
    factors_again: Tensor
    opened: Tensor
    gated: Tensor
    gates: Kept


@dataclass(frozen=True)
class Passes:
    """The passes of a model.

    Attributes:
        shape: The model's.
        parts: What lies between its products.
    """

    shape: Shape
    parts: Parts

    @property
    def unit(self) -> int:
        """What the length of a line should be a multiple of.

        Torch prepares products in bf16 for every new shape, which takes as long as many of them: there are few shapes.
        """
        return 1 if self.parts.dtype is torch.float32 else _UNIT

    @torch.inference_mode()
    def losses(self, weights: Weights, line: Line) -> Tensor:
        """``(N,)`` losses of the tokens that follow those of a line."""
        x = self._begun(weights, line)
        attention, by = self.parts.attention(self.shape, line.lengths), self._turns(line)
        for layer in weights.layers:
            self._forward(layer, x, attention, by)
        y, _ = self.parts.norm(x, self.shape.epsilon)
        return losses(self.parts, y, weights.head.matrix, line.targets)[: line.tokens]

    def fill(self, weights: Weights, line: Line, rows: Tensor, cache: Cache) -> None:
        """Put the keys and values of a line's tokens into a cache.

        Args:
            weights: The model's numbers.
            line: Texts before their last tokens.
            rows: ``(N,)`` the cache's row of each token.
            cache: To be filled.
        """
        x = weights.tokens.index_select(0, line.ids)
        attention, by = self.parts.attention(self.shape, line.lengths), self._turns(line)
        for number, layer in enumerate(weights.layers[:-1]):
            cache.fill(number, self._forward(layer, x, attention, by).asked, rows, line.places)
        asked, _, _ = self._asked(weights.layers[-1], x, by)
        cache.fill(self.shape.layers - 1, asked, rows, line.places)

    def next_logits(self, weights: Weights, token: Tensor, by: Tensor, cache: Cache) -> Tensor:
        """``(rows, vocabulary)`` logits after one more token of each row, which the cache then holds.

        Args:
            weights: The model's numbers.
            token: ``(rows,)`` the tokens.
            by: ``(rows, (H + G) D / 2)`` the turns of their places.
            cache: What comes before them.
        """
        x = weights.tokens.index_select(0, token)
        for layer, seen in zip(weights.layers, cache.layers, strict=True):
            self._forward(layer, x, seen, by)
        cache.step()
        y, _ = self.parts.norm(x, self.shape.epsilon)
        return torch.mm(y, weights.head.matrix.t())

    @torch.no_grad()
    def gradients(self, weights: Weights, line: Line, factor: float) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of a line's losses times a factor, and its gradients by parameter."""
        shape, parts = self.shape, self.parts
        x = self._begun(weights, line)
        attention, by = parts.attention(shape, line.lengths), self._turns(line)
        kept = [self._forward(layer, x, attention, by) for layer in weights.layers]
        y, factors = parts.norm(x, shape.epsilon)
        each, of_y, of_head = losses_and_gradients(parts, y, weights.head.matrix, line.targets, line.tokens, factor)
        gradient = torch.zeros_like(x)
        parts.norm_backward(of_y, y, factors, gradient)
        found: dict[str, Tensor] = {}
        by = by.conj_physical()
        for number in reversed(range(shape.layers)):
            found |= self._backward(weights.layers[number], number, kept.pop(), gradient, attention, by)
        if shape.padding is not None:
            gradient.masked_fill_((line.ids == shape.padding)[:, None], 0.0)
        of_head, found["model.norm.weight"] = weights.head.split(of_head)
        if shape.tied:
            found["model.embed_tokens.weight"] = of_head.index_add_(0, line.ids, gradient)
        else:
            found["lm_head.weight"] = of_head
            found["model.embed_tokens.weight"] = torch.zeros_like(weights.tokens).index_add_(0, line.ids, gradient)
        return each[: line.tokens].sum() * factor, found

    def _begun(self, weights: Weights, line: Line) -> Tensor:
        """``(N, width)`` embeddings of a line's tokens, all of whose targets the head has, too."""
        if len(line.targets) and int(line.targets.max()) >= len(weights.tokens):
            raise IndexError(f"token {int(line.targets.max())} of a vocabulary of {len(weights.tokens)}")
        return weights.tokens.index_select(0, line.ids)

    def _turns(self, line: Line) -> Tensor:
        """``(N, (H + G) D / 2)`` turns of a line's tokens."""
        return turns(self.shape, max(line.lengths, default=0)).index_select(0, line.places)

    def _asked(self, layer: Layer, x: Tensor, by: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A layer's turned queries and keys, and its values; and the norm that they are made from."""
        read, factors = self.parts.norm(x, self.shape.epsilon)
        asked = torch.mm(read, layer.asked.matrix.t()).float()
        turn(asked, by)
        return asked, read, factors

    def _forward(self, layer: Layer, x: Tensor, attends: Attends, by: Tensor) -> _Layer:
        """Add a layer's two parts to x."""
        asked, read, factors = self._asked(layer, x, by)
        seen, attended = attends.forward(asked)
        seen = seen.to(self.parts.dtype)
        add_product(x, seen, layer.joined.t())
        read_again, factors_again = self.parts.norm(x, self.shape.epsilon)
        opened = torch.mm(read_again, layer.opened.matrix.t())
        gated, gates = self.parts.gate(opened)
        add_product(x, gated, layer.closed.t())
        return _Layer(read, factors, asked, seen, attended, read_again, factors_again, opened, gated, gates)

    def _backward(
        self, layer: Layer, number: int, kept: _Layer, gradient: Tensor, attention: Attention, by: Tensor
    ) -> dict[str, Tensor]:
        """A layer's gradients by parameter; that of its output becomes that of its input."""
        parts, where = self.parts, f"model.layers.{number}"
        found: dict[str, Tensor] = {}
        given = gradient.to(parts.dtype)
        found[f"{where}.mlp.down_proj.weight"] = torch.mm(kept.gated.t(), given).t().contiguous().float()
        opened = parts.gate_backward(torch.mm(given, layer.closed), kept.opened, kept.gates)
        of_opened, found[f"{where}.post_attention_layernorm.weight"] = layer.opened.split(
            torch.mm(opened.t(), kept.read_again)
        )
        parts.norm_backward(torch.mm(opened, layer.opened.matrix), kept.read_again, kept.factors_again, gradient)
        given = gradient.to(parts.dtype)
        found[f"{where}.self_attn.o_proj.weight"] = torch.mm(given.t(), kept.seen).float()
        asked = attention.backward(torch.mm(given, layer.joined).float(), kept.asked, kept.attended)
        turn(asked, by)
        asked = asked.to(parts.dtype)
        of_asked, found[f"{where}.input_layernorm.weight"] = layer.asked.split(torch.mm(asked.t(), kept.read))
        parts.norm_backward(torch.mm(asked, layer.asked.matrix), kept.read, kept.factors, gradient)
        return found | unfused(self.shape, number, of_asked, of_opened)
