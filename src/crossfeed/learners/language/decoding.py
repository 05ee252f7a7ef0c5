"""Completing prompts in batches, with a key-value cache, longest prompts first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossfeed.learners.language.beams import BeamDecoder
from crossfeed.learners.language.cached_rows import CachedRows
from crossfeed.learners.language.captured_decoding import CapturedDecoder
from crossfeed.learners.language.handwritten.decoding import HandwrittenDecoder
from crossfeed.learners.language.handwritten.model import HandwrittenModel
from crossfeed.learners.language.model import CausalModel
from crossfeed.learners.language.request import CompletionRequest
from crossfeed.learners.language.sampling import Sampler, position_keys
from crossfeed.learners.language.tokens import Ids

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
    prompts, settings = request.prompts, request.settings
    size = max(1, settings.batch_size // settings.beams)
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
    if request.settings.beams > 1:
        return BeamDecoder(model, request).run()
    if model.handwritten is not None:
        return _by_hand(model.handwritten, request, model.device.torch_device)
    decoder = CapturedDecoder if CapturedDecoder.supports(model) else _Decoder
    return decoder(model, request).run()


def _by_hand(model: HandwrittenModel, request: CompletionRequest, device: torch.device) -> Ids:
    n, sampler = len(request.prompts), Sampler(request.settings, model.vocabulary, device)
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
        prompts, device = request.prompts, model.device.torch_device
        self._model, self._request = model, request
        self._longest = request.settings.max_new_tokens
        self._cached = CachedRows(model, request)
        self._words = position_keys(request.keys, self._longest).to(device)
        self._ends = torch.tensor(sorted(request.ends), device=device)
        self._rows = torch.arange(len(prompts), device=device)
        self._going = torch.ones(len(prompts), dtype=torch.bool, device=device)
        self._tokens = torch.full((len(prompts), self._longest), min(request.ends), device=device)

    def run(self) -> Ids:
        """Return ``(rows, max_new_tokens)`` tokens; those after the first end of text are arbitrary."""
        logits = self._cached.first()
        sampler = Sampler(self._request.settings, logits.shape[-1], self._model.device.torch_device)
        self._seen = sampler.seen(self._request.prompts)
        for position in range(self._longest):
            token = sampler.draw(logits, self._words[:, position], self._seen)
            self._tokens[self._rows, position] = token
            self._going &= ~torch.isin(token, self._ends)
            if position + 1 == self._longest:
                break
            if self._checks(position):
                token = self._shrink(token)
            if not len(token):
                break
            logits = self._cached.next(token)
        return self._tokens.cpu().numpy()

    def _checks(self, position: int) -> bool:
        return self._model.device.on_host or position % _CHECK_EVERY == _CHECK_EVERY - 1

    def _shrink(self, token: Tensor) -> Tensor:
        """Remove finished rows if there are enough of them; returns the tokens of the rows that stay."""
        going = int(self._going.sum())
        if going > _WORTH_SHRINKING * len(self._going):
            return token
        kept = self._going.nonzero()[:, 0]
        self._cached.select(kept)
        self._words, self._rows, self._going = self._words[kept], self._rows[kept], self._going[kept]
        self._seen = None if self._seen is None else self._seen[kept]
        return token[kept]
