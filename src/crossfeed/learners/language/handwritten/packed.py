"""Examples one after another in one line, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossfeed.learners.language.tokens import Ids

__all__ = ["Line"]


@dataclass(frozen=True)
class Line:
    """Tokens of several texts that are read, each with the token after it: a text's last one predicts nothing.

    Attributes:
        ids: ``(N,)`` tokens.
        targets: ``(N,)`` the tokens after them.
        places: ``(N,)`` positions, from 0 in each text.
        lengths: Tokens of each text.
        tokens: How many are read; those after them fill the line up, a text that means nothing.
    """

    ids: Tensor
    targets: Tensor
    places: Tensor
    lengths: tuple[int, ...]
    tokens: int

    @classmethod
    def of(cls, texts: Sequence[Ids], unit: int = 1) -> Line:
        """Lay texts out, in their order; those of fewer than two tokens are left out.

        Args:
            texts: Token ids.
            unit: What the line's length is a multiple of.
        """
        kept = [ids for ids in texts if len(ids) > 1]
        tokens = sum(len(ids) - 1 for ids in kept)
        if tokens % unit:
            kept.append(np.zeros(unit - tokens % unit + 1, dtype=np.int64))
        lengths = np.array([len(ids) - 1 for ids in kept], dtype=np.int64)
        starts = np.cumsum(lengths) - lengths
        empty = np.zeros(0, dtype=np.int64)
        ids = np.concatenate([empty, *(ids[:-1] for ids in kept)])
        targets = np.concatenate([empty, *(ids[1:] for ids in kept)])
        places = np.arange(lengths.sum()) - np.repeat(starts, lengths)
        read, after, at = (torch.from_numpy(part) for part in (ids, targets, places))
        return cls(read, after, at, tuple(lengths.tolist()), tokens)
