"""Changes of logits before a token is chosen: a penalty on tokens that a text holds already, and truncations.

They are those of transformers, in its order: the penalty, the temperature, then `largest`, `nucleus` and `relative`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from crossfeed.learners.language.settings import GenerationSettings
from crossfeed.learners.language.tokens import Ids

__all__ = ["largest", "nucleus", "penalised", "relative", "tokens_seen", "truncated"]


def tokens_seen(texts: Sequence[Ids], vocabulary: int, device: torch.device) -> Tensor:
    """Return ``(n, V)`` true where a text holds a token.

    Args:
        texts: Token ids of each text.
        vocabulary: Size of the vocabulary (V).
        device: Device of the result.
    """
    seen = torch.zeros((len(texts), vocabulary), dtype=torch.bool)
    for row, ids in enumerate(texts):
        seen[row, torch.from_numpy(ids)] = True
    return seen.to(device)


def penalised(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Return logits in which those of tokens seen are divided by a penalty, or multiplied where they are negative.

    Args:
        logits: ``(n, V)``.
        seen: ``(n, V)`` truth values.
        penalty: The penalty; above 1 it makes repetitions less likely.

    Source: Keskar et al. (2019), CTRL.
    """
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def truncated(logits: Tensor, settings: GenerationSettings) -> Tensor:
    """Set the logits of tokens that may not be drawn to minus infinity.

    Args:
        logits: ``(n, V)``, divided by the temperature.
        settings: How tokens are sampled.
    """
    if settings.top_k is not None:
        logits = largest(logits, settings.top_k)
    if settings.top_p < 1.0:
        logits = nucleus(logits, settings.top_p)
    return relative(logits, settings.min_p) if settings.min_p > 0.0 else logits


def largest(logits: Tensor, top_k: int) -> Tensor:
    """Set logits below the `top_k` largest to minus infinity; of equal ones all are kept.

    Args:
        logits: ``(n, V)``.
        top_k: Number of tokens.

    Source: Fan, Lewis and Dauphin (2018).
    """
    smallest = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[:, -1:]
    return logits.masked_fill(logits < smallest, -torch.inf)


def nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Set logits outside the smallest set of tokens that has probability `top_p` to minus infinity.

    Args:
        logits: ``(n, V)``.
        top_p: The probability, in (0, 1].

    Returns:
        ``(n, V)`` logits.

    Source: nucleus sampling, Holtzman et al. (2020).
    """
    ordered, places = logits.sort(dim=-1, descending=True, stable=True)
    probs = ordered.softmax(dim=-1)
    ordered = ordered.masked_fill(probs.cumsum(dim=-1) - probs >= top_p, -torch.inf)
    return torch.empty_like(logits).scatter_(-1, places, ordered)


def relative(logits: Tensor, min_p: float) -> Tensor:
    """Set the logits of tokens that are less likely than `min_p` times the likeliest to minus infinity.

    Args:
        logits: ``(n, V)``.
        min_p: The share of the likeliest token's probability, in (0, 1].

    Source: Nguyen et al. (2024), min-p sampling.
    """
    least = logits.amax(dim=-1, keepdim=True) + math.log(min_p)
    return logits.masked_fill(logits < least, -torch.inf)
