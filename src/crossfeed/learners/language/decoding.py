"""Completing prompts in batches, with a key-value cache, longest prompts first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from crossfeed.learners.language.captured_decoding import CapturedDecoder
from crossfeed.learners.language.handwritten.decoding import HandwrittenDecoder
from crossfeed.learners.language.handwritten.model import HandwrittenModel
from crossfeed.learners.language.model import CausalModel
from crossfeed.learners.language.request import CompletionRequest
from crossfeed.learners.language.sampling import Sampler, position_keys
from crossfeed.learners.language.tokens import Ids, left_padded

__all__ = ["Completion", "complete"]

_WORTH_SHRINKING = 0.75
"""Finished rows leave the batch once at most this share of its rows goes on: leaving copies the cache."""
_BY_HAND = 96
"""Rows that handwritten models complete at once: the keys and values of more rows of the quickstart's model do not fit
into a processor's last cache."""
_CHECK_EVERY = 8
"""Positions between checks for finished rows, where each check waits for an accelerator."""


@dataclass(frozen=True)
class Completion:
    """New tokens of one text.

    Attributes:
        ids: ``(length,)`` tokens without the end of text.
        finished: True if the text ended.
    """

    ids: Ids
    finished: bool


def complete(model: CausalModel, request: CompletionRequest, advance: Callable[[int], None]) -> list[Completion]:
    """Complete prompts with the loaded weights.

    Args:
        model: The working model.
        request: The prompts and how to complete them.
        advance: Called with the number of prompts completed since the last call.

    Returns:
        One completion for each prompt, in their order.
    """
    prompts, size = request.prompts, request.settings.batch_size
    order = sorted(range(len(prompts)), key=lambda item: (-len(prompts[item]), item))
    completions: dict[int, Completion] = {}
    for first in range(0, len(order), size):
        rows = order[first : first + size]
        with torch.inference_mode():
            tokens = _tokens(model, request.rows(rows))
        completions |= {row: _cut(new, request.ends) for row, new in zip(rows, tokens, strict=True)}
        advance(len(rows))
    return [completions[row] for row in range(len(prompts))]


def _tokens(model: CausalModel, request: CompletionRequest) -> Ids:
    """Return one batch's new tokens; those after the first end of text are arbitrary."""
    if model.handwritten is not None:
        return _by_hand(model.handwritten, request, model.device.torch_device)
    decoder = CapturedDecoder if CapturedDecoder.supports(model) else _Decoder
    return decoder(model, request).run()


def _by_hand(model: HandwrittenModel, request: CompletionRequest, device: torch.device) -> Ids:
    settings, n = request.settings, len(request.prompts)
    sampler = Sampler(settings.temperature, settings.top_p, model.vocabulary, device)
    pieces = (range(first, min(first + _BY_HAND, n)) for first in range(0, n, _BY_HAND))
    weights = model.decoding_weights()
    decoders = (HandwrittenDecoder(model.decoding, weights, request.rows(piece), sampler) for piece in pieces)
    return np.concatenate([decoder.run() for decoder in decoders])


def _cut(new: Ids, ends: frozenset[int]) -> Completion:
    """Cut new tokens at the first end of text."""
    stops = np.flatnonzero(np.isin(new, list(ends)))
    return Completion(new[: stops[0]], True) if len(stops) else Completion(new, False)


class _Decoder:
    """The decoding of one batch: rows padded on the left, fewer as texts end."""

    def __init__(self, model: CausalModel, request: CompletionRequest) -> None:
        prompts = request.prompts
        self._model = model
        self._device = model.device.torch_device
        self._settings = request.settings
        self._longest = request.settings.max_new_tokens
        ids, mask = left_padded(prompts, request.pad)
        self._width = ids.shape[1]
        self._prompt = ids.to(self._device)
        self._mask = functional.pad(mask, (0, self._longest), value=1).to(self._device)  # new tokens are seen
        self._lengths = self._mask.sum(dim=1, keepdim=True) - self._longest
        self._words = position_keys(request.keys, self._longest).to(self._device)
        self._ends = torch.tensor(sorted(request.ends), device=self._device)
        self._rows = torch.arange(len(prompts), device=self._device)
        self._going = torch.ones(len(prompts), dtype=torch.bool, device=self._device)
        self._tokens = torch.full((len(prompts), self._longest), min(request.ends), device=self._device)
        self._cache = _cache(model.module.config, self._width + self._longest)

    def run(self) -> Ids:
        """Return ``(rows, max_new_tokens)`` tokens; those after the first end of text are arbitrary."""
        logits = self._first()
        sampler = Sampler(self._settings.temperature, self._settings.top_p, logits.shape[-1], self._device)
        for position in range(self._longest):
            token = sampler.draw(logits, self._words[:, position])
            self._tokens[self._rows, position] = token
            self._going &= ~torch.isin(token, self._ends)
            if position + 1 == self._longest:
                break
            if self._checks(position):
                token = self._shrink(token)
            if not len(token):
                break
            logits = self._next(token, position)
        return self._tokens.cpu().numpy()

    def _checks(self, position: int) -> bool:
        return self._model.device.on_host or position % _CHECK_EVERY == _CHECK_EVERY - 1

    def _shrink(self, token: Tensor) -> Tensor:
        """Remove finished rows if there are enough of them; returns the tokens of the rows that stay."""
        going = int(self._going.sum())
        if going > _WORTH_SHRINKING * len(self._going):
            return token
        kept = self._going.nonzero()[:, 0]
        self._cache.batch_select_indices(kept)
        self._mask, self._lengths = self._mask[kept], self._lengths[kept]
        self._words, self._rows, self._going = self._words[kept], self._rows[kept], self._going[kept]
        return token[kept]

    def _first(self) -> Tensor:
        mask = self._mask[:, : self._width]
        return self._forward(self._prompt, mask, (mask.cumsum(dim=1) - 1).clamp_(min=0))

    def _next(self, token: Tensor, position: int) -> Tensor:
        mask = self._mask[:, : self._width + position + 1]
        return self._forward(token[:, None], mask, self._lengths + position)

    def _forward(self, ids: Tensor, mask: Tensor, position_ids: Tensor) -> Tensor:
        positions: dict[str, Any] = {"position_ids": position_ids} if self._model.takes_positions else {}
        with self._model.device.autocast():
            output = self._model.module(
                input_ids=ids,
                attention_mask=mask,
                use_cache=True,
                logits_to_keep=1,
                **{self._model.cache_name: self._cache},
                **positions,
            )
        logits: Tensor = output.logits[:, -1]
        return logits


def _cache(config: Any, capacity: int) -> Cache:
    """Return a cache for a model; layers of full attention write into memory allocated beforehand."""
    cache = DynamicCache(config=config)
    cache.layers = [_PreallocatedLayer(capacity) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


class _PreallocatedLayer(DynamicLayer):  # type: ignore[misc, unused-ignore]
    """Keys and values in one block from the start: growing by concatenation copies everything at every token."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity
        self._blocks: tuple[Tensor, Tensor] | None = None
        self._used = 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append keys and values, and return all so far.

        Args:
            key_states: ``(rows, heads, tokens, width)`` new keys.
            value_states: The new values.
            *args: Ignored.
            **kwargs: Ignored.
        """
        if self._blocks is None:
            self.lazy_initialization(key_states, value_states)
            self._blocks = (self._block(key_states), self._block(value_states))
        start, self._used = self._used, self._used + key_states.shape[-2]
        for block, new in zip(self._blocks, (key_states, value_states), strict=True):
            block[:, :, start : self._used] = new
        self._show()
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows.

        Args:
            indices: ``(kept,)`` rows.
        """
        if self._blocks is not None:
            keys, values = self._blocks
            self._blocks = (self._kept(keys, indices), self._kept(values, indices))
            self._show()

    def _show(self) -> None:
        if self._blocks is not None:
            self.keys, self.values = (block[:, :, : self._used] for block in self._blocks)

    def _block(self, like: Tensor) -> Tensor:
        return like.new_empty((*like.shape[:2], self._capacity, like.shape[-1]))

    def _kept(self, block: Tensor, indices: Tensor) -> Tensor:
        kept = block.new_empty((len(indices), *block.shape[1:]))
        kept[:, :, : self._used] = block[:, :, : self._used].index_select(0, indices)
        return kept
