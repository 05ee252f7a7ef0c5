"""A Llama's forward and backward pass, by hand."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crossfeed.learners.language.lean.cache import Cache, LayerCache
from crossfeed.learners.language.lean.head import losses, losses_and_gradients
from crossfeed.learners.language.lean.line import Line
from crossfeed.learners.language.lean.parts import Attention, gate, gate_backward, norm, norm_backward, turn, turns
from crossfeed.learners.language.lean.shape import Shape
from crossfeed.learners.language.lean.weights import Layer, Weights, unfused

__all__ = ["fill", "gradients_of", "losses_of", "next_logits"]


@dataclass(frozen=True)
class _Kept:
    """What a layer's backward pass needs: see `_forward`."""

    read: Tensor
    factors: Tensor
    asked: Tensor
    seen: Tensor
    attended: list[Tensor]
    read_again: Tensor
    factors_again: Tensor
    opened: Tensor
    chances: Tensor
    silu: Tensor
    gated: Tensor


@torch.inference_mode()
def losses_of(shape: Shape, weights: Weights, line: Line) -> Tensor:
    """``(N,)`` losses of the tokens that follow those of a line."""
    x = weights.tokens.index_select(0, line.ids)
    attention, by = Attention(shape, line.lengths), _turns(shape, line)
    for layer in weights.layers:
        _forward(shape, layer, x, attention, by)
    y, _ = norm(x, shape.epsilon)
    return losses(y, weights.head.matrix, line.targets)


def fill(shape: Shape, weights: Weights, line: Line, rows: Tensor, cache: Cache) -> None:
    """Put the keys and values of a line's tokens into a cache.

    Args:
        shape: The model's.
        weights: Its numbers.
        line: Texts before their last tokens.
        rows: ``(N,)`` the cache's row of each token.
        cache: To be filled.
    """
    x = weights.tokens.index_select(0, line.ids)
    attention, by = Attention(shape, line.lengths), _turns(shape, line)
    for number, layer in enumerate(weights.layers[:-1]):
        cache.fill(number, _forward(shape, layer, x, attention, by).asked, rows, line.places)
    asked, _, _ = _asked(shape, weights.layers[-1], x, by)
    cache.fill(shape.layers - 1, asked, rows, line.places)


def next_logits(shape: Shape, weights: Weights, token: Tensor, by: Tensor, cache: Cache) -> Tensor:
    """``(rows, vocabulary)`` logits after one more token of each row, which the cache then holds.

    Args:
        shape: The model's.
        weights: Its numbers.
        token: ``(rows,)`` the tokens.
        by: ``(rows, (H + G) D / 2)`` the turns of their places.
        cache: What comes before them.
    """
    x = weights.tokens.index_select(0, token)
    for layer, seen in zip(weights.layers, cache.layers, strict=True):
        _forward(shape, layer, x, seen, by)
    cache.column += 1
    y, _ = norm(x, shape.epsilon)
    return torch.mm(y, weights.head.matrix.t())


@torch.no_grad()
def gradients_of(shape: Shape, weights: Weights, line: Line, factor: float) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum of a line's losses times a factor, and its gradients by parameter."""
    x = weights.tokens.index_select(0, line.ids)
    attention, by = Attention(shape, line.lengths), _turns(shape, line)
    kept = [_forward(shape, layer, x, attention, by) for layer in weights.layers]
    y, factors = norm(x, shape.epsilon)
    each, of_y, of_head = losses_and_gradients(y, weights.head.matrix, line.targets, factor)
    gradient = torch.zeros_like(x)
    norm_backward(of_y, y, factors, gradient)
    found: dict[str, Tensor] = {}
    by = by.conj_physical()
    for number in reversed(range(shape.layers)):
        found |= _backward(shape, weights.layers[number], number, kept.pop(), gradient, attention, by)
    if shape.padding is not None:
        gradient.masked_fill_((line.ids == shape.padding)[:, None], 0.0)
    of_head, found["model.norm.weight"] = weights.head.split(of_head)
    if shape.tied:
        found["model.embed_tokens.weight"] = of_head.index_add_(0, line.ids, gradient)
    else:
        found["lm_head.weight"] = of_head
        found["model.embed_tokens.weight"] = torch.zeros_like(weights.tokens).index_add_(0, line.ids, gradient)
    return each.sum() * factor, found


def _turns(shape: Shape, line: Line) -> Tensor:
    """``(N, (H + G) D / 2)`` turns of a line's tokens."""
    return turns(shape, max(line.lengths, default=0)).index_select(0, line.places)


def _asked(shape: Shape, layer: Layer, x: Tensor, by: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A layer's turned queries and keys, and its values; and the norm that they are made from."""
    read, factors = norm(x, shape.epsilon)
    asked = torch.mm(read, layer.asked.matrix.t())
    turn(asked, by)
    return asked, read, factors


def _forward(shape: Shape, layer: Layer, x: Tensor, attention: Attention | LayerCache, by: Tensor) -> _Kept:
    """Add a layer's two parts to x."""
    asked, read, factors = _asked(shape, layer, x, by)
    seen, attended = attention.forward(asked)
    x.addmm_(seen, layer.joined.t())
    read_again, factors_again = norm(x, shape.epsilon)
    opened = torch.mm(read_again, layer.opened.matrix.t())
    gated, chances, silu = gate(opened)
    x.addmm_(gated, layer.closed.t())
    return _Kept(read, factors, asked, seen, attended, read_again, factors_again, opened, chances, silu, gated)


def _backward(
    shape: Shape,
    layer: Layer,
    number: int,
    kept: _Kept,
    gradient: Tensor,
    attention: Attention,
    by: Tensor,
) -> dict[str, Tensor]:
    """A layer's gradients by parameter; that of its output becomes that of its input."""
    where = f"model.layers.{number}"
    found: dict[str, Tensor] = {}
    found[f"{where}.mlp.down_proj.weight"] = torch.mm(gradient.t(), kept.gated)
    opened = gate_backward(torch.mm(gradient, layer.closed), kept.opened, kept.chances, kept.silu)
    of_opened, found[f"{where}.post_attention_layernorm.weight"] = layer.opened.split(
        torch.mm(opened.t(), kept.read_again)
    )
    norm_backward(torch.mm(opened, layer.opened.matrix), kept.read_again, kept.factors_again, gradient)
    found[f"{where}.self_attn.o_proj.weight"] = torch.mm(gradient.t(), kept.seen)
    asked = attention.backward(torch.mm(gradient, layer.joined), kept.asked, kept.attended)
    turn(asked, by)
    of_asked, found[f"{where}.input_layernorm.weight"] = layer.asked.split(torch.mm(asked.t(), kept.read))
    norm_backward(torch.mm(asked, layer.asked.matrix), kept.read, kept.factors, gradient)
    return found | unfused(shape, number, of_asked, of_opened)
