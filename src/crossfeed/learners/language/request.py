"""A batch of prompts and how to complete them: what every decoder is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crossfeed.learners.language.settings import GenerationSettings
from crossfeed.learners.language.tokens import Ids

__all__ = ["CompletionRequest"]


@dataclass(frozen=True)
class CompletionRequest:
    """Prompts to complete.

    Attributes:
        prompts: Token ids of each prompt, at least one.
        keys: ``(n,)`` key of each prompt.
        settings: How tokens are sampled.
        ends: Tokens that end a text.
        pad: A token that fills rows.
    """

    prompts: Sequence[Ids]
    keys: NDArray[np.uint64]
    settings: GenerationSettings
    ends: frozenset[int]
    pad: int

    def rows(self, chosen: Sequence[int]) -> CompletionRequest:
        """Return the request for some of the prompts, in the given order.

        Args:
            chosen: Indices of prompts.
        """
        return replace(self, prompts=[self.prompts[row] for row in chosen], keys=self.keys[list(chosen)])
