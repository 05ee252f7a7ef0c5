"""Beam search, as ``generate(num_beams=...)`` of transformers does it: for each prompt the same tokens.

A beam's score is the sum of the log-probabilities of its tokens; that of a completion which has ended is divided by its
number of tokens, the end of text included. A prompt is done once as many completions have ended as there are beams and
the best beam's score, divided by its present length, is below theirs: a heuristic of transformers (``early_stopping:
False``, ``length_penalty: 1``), since a longer text might still do better.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from crossfeed.learners.language.cached_rows import CachedRows
from crossfeed.learners.language.model import CausalModel
from crossfeed.learners.language.request import CompletionRequest
from crossfeed.learners.language.tokens import Ids
from crossfeed.learners.language.truncation import penalised, tokens_seen

__all__ = ["BeamDecoder"]

_NONE: Final = -1e9
"""The score of a beam that is none."""


class BeamDecoder:
    """The beam search of one batch of prompts; prompts that are done leave it.

    Args:
        model: The working model; its module is called, also where there is a handwritten twin.
        request: The prompts and how to complete them.
    """

    def __init__(self, model: CausalModel, request: CompletionRequest) -> None:
        device, n = model.device.torch_device, len(request.prompts)
        settings = request.settings
        self._beams, self._longest, self._penalty = settings.beams, settings.max_new_tokens, settings.repetition_penalty
        self._prompts, self._device = request.prompts, device
        self._cached = CachedRows(model, request)
        self._ends = torch.tensor(sorted(request.ends), device=device)
        self._candidates = max(2, 1 + len(request.ends)) * self._beams
        self._completed = torch.full((n, self._longest), min(request.ends), device=device)
        # Of each prompt that goes on: its number, its beams, and the completions that have ended.
        self._rows = torch.arange(n, device=device)
        self._going = self._ended = self._completed[:, None].repeat(1, self._beams, 1)
        self._scores = torch.tensor([0.0] + [_NONE] * (self._beams - 1), device=device).repeat(n, 1)
        self._ended_scores = torch.full((n, self._beams), _NONE, device=device)

    def run(self) -> Ids:
        """Return ``(rows, max_new_tokens)`` tokens; those after the first end of text are arbitrary."""
        logits = self._cached.first().repeat_interleave(self._beams, dim=0)
        self._cached.select(torch.arange(len(self._rows), device=self._device).repeat_interleave(self._beams))
        self._seen = self._tokens_seen(logits.shape[-1])
        for position in range(self._longest):
            sources = self._advance(logits, position)
            done = self._done(position)
            self._completed[self._rows] = self._ended[:, 0]
            if bool(done.all()) or position + 1 == self._longest:
                break
            kept = (~done).nonzero()[:, 0]
            self._leave(kept)
            chosen = (kept[:, None] * self._beams + sources[kept]).flatten()
            self._cached.select(chosen)
            token = self._going[:, :, position].flatten()
            if self._seen is not None:
                self._seen = self._seen[chosen].scatter_(1, token[:, None], True)
            logits = self._cached.next(token)
        return self._completed.cpu().numpy()

    def _tokens_seen(self, vocabulary: int) -> Tensor | None:
        if self._penalty == 1.0:
            return None
        return tokens_seen(self._prompts, vocabulary, self._device).repeat_interleave(self._beams, dim=0)

    def _advance(self, logits: Tensor, position: int) -> Tensor:
        """Add a token to the beams, and keep the completions that end with it; returns each new beam's old one."""
        added = logits.float().log_softmax(dim=-1)
        if self._seen is not None:
            added = penalised(added, self._seen, self._penalty)
        vocabulary = added.shape[-1]
        totals = (added.view(len(self._rows), self._beams, vocabulary) + self._scores[:, :, None]).flatten(1)
        scores, places = totals.topk(min(self._candidates, totals.shape[1]), dim=1)
        sources, tokens = places // vocabulary, places % vocabulary
        texts = _taken(self._going, sources)
        texts[:, :, position] = tokens
        ends = torch.isin(tokens, self._ends) | (position + 1 == self._longest)
        self._end(texts, scores / (position + 1), ends)
        self._scores, best = (scores + ends * _NONE).topk(self._beams, dim=1)
        self._going = _taken(texts, best)
        return sources.gather(1, best)

    def _end(self, texts: Tensor, scores: Tensor, ends: Tensor) -> None:
        """Keep the best completions of those that had ended before and those that end now, among the best beams."""
        ends = ends & (torch.arange(ends.shape[1], device=self._device) < self._beams)
        scores = torch.cat([self._ended_scores, scores + ~ends * _NONE], dim=1)
        self._ended_scores, best = scores.topk(self._beams, dim=1)
        self._ended = _taken(torch.cat([self._ended, texts], dim=1), best)

    def _done(self, position: int) -> Tensor:
        """Return ``(prompts,)`` true where no beam is likely to end better than what has ended."""
        worst = self._ended_scores[:, -1]
        return (worst > _NONE / 2) & (self._scores[:, 0] / (position + 1) <= worst)

    def _leave(self, kept: Tensor) -> None:
        self._rows, self._going, self._scores = self._rows[kept], self._going[kept], self._scores[kept]
        self._ended, self._ended_scores = self._ended[kept], self._ended_scores[kept]


def _taken(texts: Tensor, beams: Tensor) -> Tensor:
    """Return ``(prompts, chosen, length)`` some beams' texts.

    Args:
        texts: ``(prompts, beams, length)`` tokens.
        beams: ``(prompts, chosen)`` beams.
    """
    return texts.take_along_dim(beams[:, :, None], dim=1)
