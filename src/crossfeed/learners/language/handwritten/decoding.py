"""Completing prompts by hand: the rows that go on and no others, and no more than a token's work for a token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossfeed.learners.language.handwritten.forward_backward import Passes
from crossfeed.learners.language.handwritten.ops import turns
from crossfeed.learners.language.handwritten.packed import Line
from crossfeed.learners.language.handwritten.weights import Weights
from crossfeed.learners.language.sampling import Sampler, position_keys
from crossfeed.learners.language.tokens import Ids

__all__ = ["LeanDecoder"]

_PROMPTS: Final = 32
"""Prompts that are read at once: their numbers stay in a core's cache."""


class LeanDecoder:
    """One batch of prompts.

    Args:
        passes: The model's passes by hand.
        weights: Its numbers.
        prompts: Token ids of each prompt, at least one.
        keys: ``(n,)`` key of each prompt.
        sampler: Draws tokens.
        longest: Most new tokens.
        ends: Tokens that end a text.
    """

    def __init__(
        self,
        passes: Passes,
        weights: Weights,
        prompts: Sequence[Ids],
        keys: NDArray[np.uint64],
        sampler: Sampler,
        longest: int,
        ends: frozenset[int],
    ) -> None:
        self._passes, self._weights = passes, weights
        self._sampler, self._longest = sampler, longest
        self._ends = torch.tensor(sorted(ends))
        self._found = torch.full((len(prompts), self._longest), min(ends))
        # One row for each prompt that goes on.
        self._rows = torch.arange(len(prompts))
        self._words = position_keys(keys, self._longest)
        self._places = torch.tensor([len(prompt) - 1 for prompt in prompts])
        self._token = torch.tensor([int(prompt[-1]) for prompt in prompts])
        capacity = int(self._places.max()) + self._longest
        self._turns = turns(passes.shape, capacity)
        self._cache = passes.parts.cache(passes.shape, self._places, capacity)
        for first in range(0, len(prompts), _PROMPTS):
            self._read(prompts[first : first + _PROMPTS], first)

    def run(self) -> Ids:
        """``(rows, max_new_tokens)`` tokens; after the first end of text they mean nothing."""
        for position in range(self._longest):
            turned = self._turns[self._places]
            logits = self._passes.next_logits(self._weights, self._token, turned, self._cache)
            self._token = self._sampler.draw(logits, self._words[:, position])
            self._found[self._rows, position] = self._token
            self._places += 1
            self._leave(torch.isin(self._token, self._ends))
            if not len(self._token):
                break
        return self._found.numpy()

    def _read(self, prompts: Sequence[Ids], first: int) -> None:
        """Put prompts into the cache, but for each one's last token, which the first new token's work begins with."""
        line = Line.of(prompts)
        if len(line.ids):
            rows = [first + row for row, prompt in enumerate(prompts) for _ in prompt[1:]]
            self._passes.fill(self._weights, line, torch.tensor(rows), self._cache)

    def _leave(self, ended: Tensor) -> None:
        """Have the last rows that go on take the places of those that have ended."""
        left = len(ended) - int(ended.sum())
        holes, movers = ended[:left].nonzero()[:, 0], left + (~ended[left:]).nonzero()[:, 0]
        if left == len(ended):
            return
        for block in (self._rows, self._words, self._places, self._token):
            block[holes] = block[movers]
        self._rows, self._words = self._rows[:left], self._words[:left]
        self._places, self._token = self._places[:left], self._token[:left]
        self._cache.keep(holes, movers, left)
