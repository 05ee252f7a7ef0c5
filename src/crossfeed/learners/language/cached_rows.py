"""Rows of tokens that a model of transformers reads one token at a time, with a key-value cache."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from torch import Tensor
from torch.nn import functional
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from crossfeed.learners.language.model import CausalModel
from crossfeed.learners.language.request import CompletionRequest
from crossfeed.learners.language.tokens import left_padded

__all__ = ["CachedRows"]


class CachedRows:
    """One row for each prompt, padded on the left, and room for its new tokens.

    A model that has a handwritten twin is computed in fp32, as the twin decodes.

    Args:
        model: The working model.
        request: The prompts, and how many tokens may follow them.
    """

    def __init__(self, model: CausalModel, request: CompletionRequest) -> None:
        device, longest = model.device.torch_device, request.settings.max_new_tokens
        self._model = model
        ids, mask = left_padded(request.prompts, request.pad)
        self._prompt, self._seen = ids.to(device), ids.shape[1]
        self._mask = functional.pad(mask, (0, longest), value=1).to(device)  # new tokens are seen
        self._positions = self._mask[:, : self._seen].sum(dim=1, keepdim=True)
        self._cache = _cache(model.module.config, self._seen + longest)

    def first(self) -> Tensor:
        """Return the ``(rows, vocabulary)`` logits after the prompts."""
        mask = self._mask[:, : self._seen]
        return self._forward(self._prompt, mask, (mask.cumsum(dim=1) - 1).clamp_(min=0))

    def next(self, token: Tensor) -> Tensor:
        """Return the ``(rows, vocabulary)`` logits after one more token of each row.

        Args:
            token: ``(rows,)`` tokens.
        """
        self._seen += 1
        logits = self._forward(token[:, None], self._mask[:, : self._seen], self._positions)
        self._positions = self._positions + 1
        return logits

    def select(self, rows: Tensor) -> None:
        """Go on with some of the rows, in another order or several times.

        Args:
            rows: ``(kept,)`` indices of rows.
        """
        self._cache.batch_select_indices(rows)
        self._mask, self._positions = self._mask[rows], self._positions[rows]

    def _forward(self, ids: Tensor, mask: Tensor, position_ids: Tensor) -> Tensor:
        model = self._model
        positions: dict[str, Any] = {"position_ids": position_ids} if model.takes_positions else {}
        with model.device.autocast() if model.handwritten is None else nullcontext():
            output = model.module(
                input_ids=ids,
                attention_mask=mask,
                use_cache=True,
                logits_to_keep=1,
                **{model.cache_name: self._cache},
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
