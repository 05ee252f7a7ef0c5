r"""Sampling by keyed Gumbel noise: what comes out for an item depends on its key, not on its batch.

A token is drawn from :math:`\operatorname{softmax}(\ell / T)` as :math:`\arg\max_v (\ell_v / T + G_v)` with
independent standard Gumbel noise (Gumbel, 1954; Maddison, Tarlow and Minka, 2014). The noise of vocabulary index v
at position t of the item with key k is a fixed function of (k, t, v):

1. 64 bits for (k, t), by SplitMix64 (`crossfeed.keys.item_keys`), as two 32-bit words :math:`k_1` (low), :math:`k_2`;
2. 32 bits for v, once: :math:`x = \operatorname{lowbias32}(v)` (Wellons, 2018), that is ``x ^= x >> 16``,
   ``x *= 0x7feb352d``, ``x ^= x >> 15``, ``x *= 0x846ca68b``, ``x ^= x >> 16``;
3. the same mixing again with both words put in: ``x ^= k1``, ``x *= 0x7feb352d``, ``x ^= x >> 15``, ``x += k2``,
   ``x *= 0x846ca68b``, ``x ^= x >> 16``, all modulo :math:`2^{32}`; the low 31 bits are kept;
4. :math:`w = (x + 1/2)\,2^{-31}`, :math:`E = -\log(1 - w)` by ``log1p``, :math:`G = -\log E`, in fp32.

The likeliest winners have small w, where fp32 is finest: G reaches 22. w is kept below 1, so that G is finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossfeed.keys import item_keys
from crossfeed.learners.language.settings import GenerationSettings
from crossfeed.learners.language.tokens import Ids
from crossfeed.learners.language.truncation import penalised, tokens_seen, truncated
from crossfeed.learners.neural.compiled.kernels import kernels

__all__ = ["Sampler", "gumbel", "position_keys", "vocabulary_bits"]

_M1: Final = 0x7FEB352D
_M2: Final = 0x846CA68B - (1 << 32)
_MAX_BELOW_ONE: Final = 1.0 - 2.0**-24
_IN_CACHE: Final = 1 << 16
"""Numbers that fit into a core's cache several times: noise is drawn in pieces of this size, twice as fast."""


def position_keys(keys: NDArray[np.uint64], positions: int) -> Tensor:
    """Return ``(n, positions, 2)`` 32-bit words for each item's positions.

    Args:
        keys: ``(n,)`` keys of items.
        positions: Number of positions.
    """
    places = np.arange(positions)
    table = np.stack([item_keys(int(key), places) for key in keys])
    return torch.from_numpy(table.astype("<u8").view(np.int32).reshape(len(keys), positions, 2))


def vocabulary_bits(size: int, device: torch.device) -> Tensor:
    """Return ``(size,)`` mixed bits of each vocabulary index.

    Args:
        size: Size of the vocabulary.
        device: Device of the result.
    """
    x = torch.arange(size, dtype=torch.int32, device=device)
    x = (x ^ _shift(x, 16)) * _M1
    x = (x ^ _shift(x, 15)) * _M2
    return x ^ _shift(x, 16)


def gumbel(words: Tensor, vocabulary: Tensor) -> Tensor:
    """Return the noise of one position of each item.

    Args:
        words: ``(n, 2)`` from `position_keys`.
        vocabulary: ``(V,)`` from `vocabulary_bits`.

    Returns:
        ``(n, V)`` standard Gumbel numbers in fp32.
    """
    x = vocabulary[None] ^ words[:, :1]
    x.mul_(_M1)
    x.bitwise_xor_(_shift(x, 15))
    x.add_(words[:, 1:]).mul_(_M2)
    x.bitwise_xor_(_shift(x, 16)).bitwise_and_(0x7FFFFFFF)
    w = x.to(torch.float32).add_(0.5).mul_(2.0**-31).clamp_(max=_MAX_BELOW_ONE)
    return w.neg_().log1p_().neg_().log_().neg_()


class Sampler:
    """Draws the next token of every row; compiled on a CPU, where nothing is truncated and there is a compiler.

    Args:
        settings: How tokens are sampled.
        vocabulary: Size of the vocabulary (V).
        device: Device of the logits.
    """

    def __init__(self, settings: GenerationSettings, vocabulary: int, device: torch.device) -> None:
        self._settings, self._device = settings, device
        self._bits = vocabulary_bits(vocabulary, device)
        self._rows = max(1, _IN_CACHE // vocabulary) if device.type == "cpu" else None
        self._compiled = kernels() if device.type == "cpu" and settings.draws_from_all else None

    def seen(self, prompts: Sequence[Ids]) -> Tensor | None:
        """Return ``(n, V)`` the tokens that prompts hold; None if repeated tokens are not penalised.

        Args:
            prompts: Token ids of each prompt.
        """
        if self._settings.repetition_penalty == 1.0:
            return None
        return tokens_seen(prompts, len(self._bits), self._device)

    def draw(self, logits: Tensor, words: Tensor, seen: Tensor | None = None) -> Tensor:
        """Draw ``(n,)`` tokens.

        Args:
            logits: ``(n, V)``.
            words: ``(n, 2)`` from `position_keys`.
            seen: From `seen`; the tokens that are drawn are added to it.
        """
        logits = logits.float()
        if seen is None:
            return self._drawn(logits, words)
        token = self._drawn(penalised(logits, seen, self._settings.repetition_penalty), words)
        seen.scatter_(1, token[:, None], True)
        return token

    def _drawn(self, logits: Tensor, words: Tensor) -> Tensor:
        if self._compiled is not None:
            return self._compiled.draw(logits.contiguous(), words, self._bits, self._settings.temperature)
        if self._rows is None or len(logits) <= self._rows:
            return self._draw(logits, words)
        pieces = [slice(first, first + self._rows) for first in range(0, len(logits), self._rows)]
        return torch.cat([self._draw(logits[piece], words[piece]) for piece in pieces])

    def _draw(self, logits: Tensor, words: Tensor) -> Tensor:
        if self._settings.temperature == 0.0:
            return _likeliest(logits)
        logits = truncated(logits / self._settings.temperature, self._settings)
        return _likeliest(gumbel(words, self._bits).add_(logits))


def _likeliest(scores: Tensor) -> Tensor:
    """Return the ``(n,)`` first index of each row's maximum; on a CPU numpy is ten times as fast as torch."""
    return torch.from_numpy(scores.numpy().argmax(axis=-1)) if scores.device.type == "cpu" else scores.argmax(dim=-1)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Shift 32-bit words to the right, filling with zeros."""
    return (x >> bits).bitwise_and_((1 << (32 - bits)) - 1)
