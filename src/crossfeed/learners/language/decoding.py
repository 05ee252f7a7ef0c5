"""Completing prompts in batches, with a key-value cache, longest prompts first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from crossfeed.learners.language.captured_decoding import RecordedDecoder
from crossfeed.learners.language.handwritten.decoding import LeanDecoder
from crossfeed.learners.language.model import WorkingModel
from crossfeed.learners.language.sampling import Sampler, position_keys
from crossfeed.learners.language.settings import GenerationSettings
from crossfeed.learners.language.tokens import Ids, left_padded

__all__ = ["Completion", "complete"]

_WORTH_SHRINKING = 0.75
"""Finished rows leave the batch once at most this share of its rows goes on: leaving copies the cache."""
_BY_HAND = 96
"""Rows that passes by hand write at once: of the quickstart's model more have keys and values that a processor's last
cache does not hold."""
_CHECK_EVERY = 8
"""Positions between looks at what is finished, where each look waits for an accelerator."""


@dataclass(frozen=True)
class Completion:
    """New tokens without the end of text, and whether the text ended."""

    ids: Ids
    finished: bool


def complete(
    model: WorkingModel,
    prompts: Sequence[Ids],
    keys: NDArray[np.uint64],
    settings: GenerationSettings,
    ends: frozenset[int],
    pad: int,
    advance: Callable[[int], None],
) -> list[Completion]:
    """Complete prompts under the loaded weights.

    Args:
        model: The working model.
        prompts: Token ids of each prompt, at least one.
        keys: ``(n,)`` key of each prompt.
        settings: How to sample.
        ends: Tokens that end a text.
        pad: A token that fills rows.
        advance: Told how many prompts were completed.
    """
    order = sorted(range(len(prompts)), key=lambda item: (-len(prompts[item]), item))
    found: dict[int, Completion] = {}
    for first in range(0, len(order), settings.batch_size):
        rows = order[first : first + settings.batch_size]
        with torch.inference_mode():
            tokens = _tokens(model, [prompts[row] for row in rows], keys[rows], settings, ends, pad)
        found |= {row: _cut(line, ends) for row, line in zip(rows, tokens, strict=True)}
        advance(len(rows))
    return [found[row] for row in range(len(prompts))]


def _tokens(
    model: WorkingModel,
    prompts: Sequence[Ids],
    keys: NDArray[np.uint64],
    settings: GenerationSettings,
    ends: frozenset[int],
    pad: int,
) -> Ids:
    """One batch's new tokens; after the first end of text they mean nothing."""
    if model.lean is not None:
        sampler = Sampler(settings.temperature, settings.top_p, model.lean.vocabulary, model.device.torch_device)
        pieces = [slice(first, first + _BY_HAND) for first in range(0, len(prompts), _BY_HAND)]
        passes, weights, longest = model.lean.writing, model.lean.weights_for_writing(), settings.max_new_tokens
        decoders = (LeanDecoder(passes, weights, prompts[p], keys[p], sampler, longest, ends) for p in pieces)
        return np.concatenate([decoder.run() for decoder in decoders])
    decoder = RecordedDecoder if RecordedDecoder.takes(model) else _Decoder
    return decoder(model, prompts, keys, settings, ends, pad).run()


def _cut(line: Ids, ends: frozenset[int]) -> Completion:
    stops = np.flatnonzero(np.isin(line, list(ends)))
    return Completion(line[: stops[0]], True) if len(stops) else Completion(line, False)


class _Decoder:
    """One batch: rows padded on the left, shrinking as texts end."""

    def __init__(
        self,
        model: WorkingModel,
        prompts: Sequence[Ids],
        keys: NDArray[np.uint64],
        settings: GenerationSettings,
        ends: frozenset[int],
        pad: int,
    ) -> None:
        self._model = model
        self._device = model.device.torch_device
        self._longest = settings.max_new_tokens
        ids, mask = left_padded(prompts, pad)
        self._width = ids.shape[1]
        self._prompt = ids.to(self._device)
        self._mask = functional.pad(mask, (0, self._longest), value=1).to(self._device)  # new tokens are seen
        self._lengths = self._mask.sum(dim=1, keepdim=True) - self._longest
        self._words = position_keys(keys, self._longest).to(self._device)
        self._ends = torch.tensor(sorted(ends), device=self._device)
        self._settings = settings
        self._rows = torch.arange(len(prompts), device=self._device)
        self._going = torch.ones(len(prompts), dtype=torch.bool, device=self._device)
        self._tokens = torch.full((len(prompts), self._longest), min(ends), device=self._device)
        self._cache = _cache(model.module.config, self._width + self._longest)

    def run(self) -> Ids:
        """``(rows, max_new_tokens)`` tokens; after the first end of text they mean nothing."""
        logits = self._first()
        sampler = Sampler(self._settings.temperature, self._settings.top_p, logits.shape[-1], self._device)
        for position in range(self._longest):
            token = sampler.draw(logits, self._words[:, position])
            self._tokens[self._rows, position] = token
            self._going &= ~torch.isin(token, self._ends)
            if position + 1 == self._longest:
                break
            if self._look(position):
                token = self._shrink(token)
            if not len(token):
                break
            logits = self._next(token, position)
        return self._tokens.cpu().numpy()

    def _look(self, position: int) -> bool:
        return self._model.device.on_host or position % _CHECK_EVERY == _CHECK_EVERY - 1

    def _shrink(self, token: Tensor) -> Tensor:
        """The tokens of the rows that stay in the batch."""
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

    def _forward(self, ids: Tensor, mask: Tensor, places: Tensor) -> Tensor:
        positions: dict[str, Any] = {"position_ids": places} if self._model.takes_positions else {}
        with self._model.device.autocast():
            found = self._model.module(
                input_ids=ids,
                attention_mask=mask,
                use_cache=True,
                logits_to_keep=1,
                **{self._model.cache_name: self._cache},
                **positions,
            )
        logits: Tensor = found.logits[:, -1]
        return logits


def _cache(config: Any, capacity: int) -> Cache:
    """A cache for a model; layers of full attention write into room made beforehand."""
    cache = DynamicCache(config=config)
    cache.layers = [_RoomyLayer(capacity) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


class _RoomyLayer(DynamicLayer):  # type: ignore[misc, unused-ignore]
    """Keys and values in one block from the start: growing by concatenation copies everything at every token."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity
        self._room: tuple[Tensor, Tensor] | None = None
        self._used = 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append and give everything so far."""
        if self._room is None:
            self.lazy_initialization(key_states, value_states)
            self._room = (self._block(key_states), self._block(value_states))
        start, self._used = self._used, self._used + key_states.shape[-2]
        for block, new in zip(self._room, (key_states, value_states), strict=True):
            block[:, :, start : self._used] = new
        self._show()
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows."""
        if self._room is not None:
            keys, values = self._room
            self._room = (self._kept(keys, indices), self._kept(values, indices))
            self._show()

    def _show(self) -> None:
        if self._room is not None:
            self.keys, self.values = (block[:, :, : self._used] for block in self._room)

    def _block(self, like: Tensor) -> Tensor:
        return like.new_empty((*like.shape[:2], self._capacity, like.shape[-1]))

    def _kept(self, block: Tensor, indices: Tensor) -> Tensor:
        kept = block.new_empty((len(indices), *block.shape[1:]))
        kept[:, :, : self._used] = block[:, :, : self._used].index_select(0, indices)
        return kept
