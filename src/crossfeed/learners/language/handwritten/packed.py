"""Packed sequences: texts one after another, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossfeed.learners.language.tokens import Ids

__all__ = ["PackedSequence"]


@dataclass(frozen=True)
class PackedSequence:
    """Tokens of several texts, each with its next token as the target; a text's last token has no target and is absent.

    Attributes:
        ids: ``(N,)`` tokens.
        targets: ``(N,)`` their next tokens.
        positions: ``(N,)`` positions, from 0 in each text.
        lengths: Number of tokens of each text.
        tokens: Number of real tokens; those after them fill the sequence up to a multiple of a unit.
    """

    ids: Tensor
    targets: Tensor
    positions: Tensor
    lengths: tuple[int, ...]
    tokens: int

    @classmethod
    def of(cls, texts: Sequence[Ids], unit: int = 1) -> PackedSequence:
        """Pack texts in their order; those of fewer than two tokens are left out.

        Args:
            texts: Token ids.
            unit: The sequence is filled up to a multiple of this length.
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
        positions = np.arange(lengths.sum()) - np.repeat(starts, lengths)
        read, following, at = (torch.from_numpy(array) for array in (ids, targets, positions))
        return cls(read, following, at, tuple(lengths.tolist()), tokens)
