"""Completing prompts by hand: only the rows that go on are computed, one token's work for each token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from crossfeed.learners.language.handwritten.forward_backward import Passes
from crossfeed.learners.language.handwritten.ops import rotary_table
from crossfeed.learners.language.handwritten.packed import PackedSequence
from crossfeed.learners.language.handwritten.weights import ModelWeights
from crossfeed.learners.language.request import CompletionRequest
from crossfeed.learners.language.sampling import Sampler, position_keys
from crossfeed.learners.language.tokens import Ids

__all__ = ["HandwrittenDecoder"]

_PROMPTS: Final = 32
"""Prompts that are read at once: their numbers stay in a core's cache."""


class HandwrittenDecoder:
    """The decoding of one batch of prompts.

    Args:
        passes: The model's handwritten passes.
        weights: Its numbers.
        request: The prompts and how to complete them.
        sampler: Draws tokens.
    """

    def __init__(self, passes: Passes, weights: ModelWeights, request: CompletionRequest, sampler: Sampler) -> None:
        prompts, ends = request.prompts, request.ends
        self._passes, self._weights, self._sampler = passes, weights, sampler
        self._longest = request.settings.max_new_tokens
        self._ends = torch.tensor(sorted(ends))
        self._completed = torch.full((len(prompts), self._longest), min(ends))
        # One row for each prompt that goes on.
        self._rows = torch.arange(len(prompts))
        self._words = position_keys(request.keys, self._longest)
        self._seen = sampler.seen(prompts)
        self._positions = torch.tensor([len(prompt) - 1 for prompt in prompts])
        self._token = torch.tensor([int(prompt[-1]) for prompt in prompts])
        capacity = int(self._positions.max()) + self._longest
        self._rotations = rotary_table(passes.config, capacity)
        self._cache = passes.ops.cache(passes.config, self._positions, capacity)
        for first in range(0, len(prompts), _PROMPTS):
            self._read(prompts[first : first + _PROMPTS], first)

    def run(self) -> Ids:
        """Return ``(rows, max_new_tokens)`` tokens; those after the first end of text are arbitrary."""
        for number in range(self._longest):
            rotations = self._rotations[self._positions]
            logits = self._passes.next_logits(self._weights, self._token, rotations, self._cache)
            self._token = self._sampler.draw(logits, self._words[:, number], self._seen)
            self._completed[self._rows, number] = self._token
            self._positions += 1
            self._leave(torch.isin(self._token, self._ends))
            if not len(self._token):
                break
        return self._completed.numpy()

    def _read(self, prompts: Sequence[Ids], first: int) -> None:
        """Put prompts into the cache, except each one's last token, with which the first new token's work begins."""
        packed = PackedSequence.of(prompts)
        if len(packed.ids):
            rows = [first + row for row, prompt in enumerate(prompts) for _ in prompt[1:]]
            self._passes.fill(self._weights, packed, torch.tensor(rows), self._cache)

    def _leave(self, ended: Tensor) -> None:
        """Move the last rows that go on into the places of those that have ended."""
        left = len(ended) - int(ended.sum())
        holes, movers = ended[:left].nonzero()[:, 0], left + (~ended[left:]).nonzero()[:, 0]
        if left == len(ended):
            return
        seen = [] if self._seen is None else [self._seen]
        for block in (self._rows, self._words, self._positions, self._token, *seen):
            block[holes] = block[movers]
        self._seen = None if self._seen is None else self._seen[:left]
        self._rows, self._words = self._rows[:left], self._words[:left]
        self._positions, self._token = self._positions[:left], self._token[:left]
        self._cache.keep(holes, movers, left)
