"""Completing prompts on a CUDA device: the work of a token is captured once and replayed (`neural.cuda_graphs`)."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from crossfeed.learners.language.model import CausalModel
from crossfeed.learners.language.request import CompletionRequest
from crossfeed.learners.language.sampling import Sampler, position_keys
from crossfeed.learners.language.tokens import Ids, left_padded
from crossfeed.learners.neural.cuda_graphs import CudaGraphs, Replay

__all__ = ["CapturedDecoder"]

_LENGTHS: Final = 128
"""Keys and values are read up to a multiple of this; a captured graph serves as many tokens."""
_CHECK_EVERY: Final = 16
"""Tokens between checks for finished rows, where each check waits for the device."""
_WORTH_SHRINKING: Final = 0.5
"""Finished rows leave the batch once at most this share of its rows goes on: fewer rows need new graphs."""


class CapturedDecoder:
    """The decoding of one batch of prompts, padded on the left.

    Args:
        model: The working model, see `supports`.
        request: The prompts and how to complete them.
    """

    def __init__(self, model: CausalModel, request: CompletionRequest) -> None:
        prompts = self._prompts = request.prompts
        self._model = model
        self._device = model.device.torch_device
        self._settings = request.settings
        self._longest = request.settings.max_new_tokens
        self._graphs = model.graphs or CudaGraphs(self._device)
        ids, seen = (table.to(self._device) for table in left_padded(prompts, request.pad))
        self._width = ids.shape[1]
        self._prompt, self._seen = ids, seen
        self._ends = torch.tensor(sorted(request.ends), device=self._device)
        self._completed = torch.full((len(prompts), self._longest), min(request.ends), device=self._device)
        capacity = _rounded(self._width + self._longest)
        self._columns = torch.arange(capacity, device=self._device)
        self._step = torch.zeros(1, dtype=torch.int64, device=self._device)  # the newest token's number
        self._column = torch.zeros(1, dtype=torch.int64, device=self._device)  # where its keys and values are stored
        self._layers = [_PlacedLayer(capacity, self._column) for _ in _layers(model)]
        self._cache = DynamicCache(config=model.module.config)
        self._cache.layers = list(self._layers)
        # One row for each prompt that goes on.
        self._rows = torch.arange(len(prompts), device=self._device)
        self._words = position_keys(request.keys, self._longest).to(self._device)
        self._tokens = self._completed.clone()
        self._going = torch.ones(len(prompts), dtype=torch.bool, device=self._device)
        self._lengths = seen.sum(dim=1, keepdim=True)
        self._visible = torch.ones(len(prompts), capacity, dtype=torch.bool, device=self._device)
        self._visible[:, : self._width] = seen.bool()

    @staticmethod
    def supports(model: CausalModel) -> bool:
        """Return True if a model can be decoded in this way: on CUDA, given positions, full attention in every layer.

        Args:
            model: The working model.
        """
        if model.graphs is None or not model.takes_positions:
            return False
        return all(type(layer) is DynamicLayer for layer in _layers(model))

    def run(self) -> Ids:
        """Return ``(rows, max_new_tokens)`` tokens; those after the first end of text are arbitrary."""
        with self._model.device.autocast():  # one for all tokens: weights are converted once
            logits = self._forward(self._prompt, self._seen, (self._seen.cumsum(dim=1) - 1).clamp_(min=0))
            self._sampler = Sampler(self._settings, logits.shape[-1], self._device)
            self._repeated = self._sampler.seen(self._prompts)
            self._draw(logits)
            step: Replay | None = None
            for number in range(1, self._longest):
                if number % _CHECK_EVERY == 0 and self._leave():
                    step = None
                if not len(self._rows):
                    break
                step = self._next(number, step)
        self._completed[self._rows] = self._tokens
        return self._completed.cpu().numpy()

    def _next(self, number: int, step: Replay | None) -> Replay | None:
        """Draw token `number` of every row, by replay if there is a graph; returns a graph for the next token."""
        keys = self._width + number
        if step is not None and (keys - 1) % _LENGTHS:
            step()
            return step
        self._shown = _rounded(keys)
        for layer in self._layers:
            layer.show(self._shown)
        self._graphs.warm_up(self._work)
        return self._graphs.capture(self._work)

    def _work(self) -> None:
        torch.add(self._step, self._width, out=self._column)
        seen = self._visible[:, : self._shown] & (self._columns[: self._shown] <= self._column)
        mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)[:, None, None]
        token = self._tokens.index_select(1, self._step)
        logits = self._forward(token, mask, self._lengths + self._step)
        self._step += 1
        self._draw(logits)

    def _draw(self, logits: Tensor) -> None:
        token = self._sampler.draw(logits, self._words.index_select(1, self._step)[:, 0], self._repeated)
        self._tokens.index_copy_(1, self._step, token[:, None])
        self._going &= ~(token[:, None] == self._ends).any(dim=1)

    def _leave(self) -> bool:
        """Remove finished rows if there are enough of them; returns True if they were removed."""
        going = int(self._going.sum())
        if going > _WORTH_SHRINKING * len(self._going):
            return False
        self._completed[self._rows] = self._tokens
        kept = self._going.nonzero()[:, 0]
        for layer in self._layers:
            layer.batch_select_indices(kept)
        self._rows, self._words, self._tokens = self._rows[kept], self._words[kept], self._tokens[kept]
        self._going, self._lengths, self._visible = self._going[kept], self._lengths[kept], self._visible[kept]
        self._repeated = None if self._repeated is None else self._repeated[kept]
        return True

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        cache = {self._model.cache_name: self._cache}
        output = self._model.module(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1, **cache
        )
        logits: Tensor = output.logits[:, -1]
        return logits


def _layers(model: CausalModel) -> list[Any]:
    return list(DynamicCache(config=model.module.config).layers)


def _rounded(length: int) -> int:
    return -(-length // _LENGTHS) * _LENGTHS


class _PlacedLayer(DynamicLayer):  # type: ignore[misc, unused-ignore]
    """Keys and values in one block: those of the prompts, then one token at a time, at a column held on the device."""

    def __init__(self, capacity: int, column: Tensor) -> None:
        super().__init__()
        self._capacity = capacity
        self._column = column
        self._blocks: list[Tensor] = []

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Store keys and values, and return those that are shown.

        Args:
            key_states: ``(rows, heads, tokens, width)`` new keys.
            value_states: The new values.
            *args: Ignored.
            **kwargs: Ignored.
        """
        if not self._blocks:
            self.lazy_initialization(key_states, value_states)
            self._blocks = [self._block(new) for new in (key_states, value_states)]
            self.show(key_states.shape[-2])
        else:
            for block, new in zip(self._blocks, (key_states, value_states), strict=True):
                block.index_copy_(2, self._column, new)
        return self.keys, self.values

    def show(self, length: int) -> None:
        """Show the first columns from now on.

        Args:
            length: Number of columns.
        """
        self.keys, self.values = (block[:, :, :length] for block in self._blocks)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows.

        Args:
            indices: ``(kept,)`` rows.
        """
        shown = self.keys.shape[2]
        self._blocks = [block.index_select(0, indices) for block in self._blocks]
        self.show(shown)

    def _block(self, first: Tensor) -> Tensor:
        block = first.new_zeros((*first.shape[:2], self._capacity, first.shape[-1]))
        block[:, :, : first.shape[2]] = first
        return block
