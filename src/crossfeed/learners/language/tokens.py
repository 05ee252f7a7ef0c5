"""Items as token ids (prompt, completion, end of text), and batches of token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from crossfeed.errors import InvalidInput

__all__ = ["Batch", "Example", "Ids", "ItemTokenizer", "left_padded", "text_column"]

Ids = NDArray[np.int64]
"""Token ids of one text, ``(length,)``."""

Wanted = tuple[str, int, bool, int]
"""A text, the number of its characters in the prompt, True if it ends, and the number of tokens to keep."""

_REMEMBERED: Final = 50_000
"""Examples that stay tokenised in memory; some 50 MB of short texts."""


@dataclass(frozen=True)
class Example:
    """One item's tokens.

    Attributes:
        ids: ``(length,)`` token ids.
        prompt: Number of tokens that belong to the prompt.
        text_bytes: UTF-8 bytes of the text after the first token, without what is cut off.
    """

    ids: Ids
    prompt: int
    text_bytes: int


def text_column(items: pa.Table, column: str) -> list[str]:
    """Return a column of strings; null becomes the empty text.

    Args:
        items: Items.
        column: The column's name.

    Raises:
        InvalidInput: The column is missing.
    """
    if column not in items.column_names:
        raise InvalidInput(f"language items need a column {column!r}; got {', '.join(items.column_names)}")
    return [value or "" for value in items.column(column).to_pylist()]


class ItemTokenizer:
    """A tokenizer with the conventions of training, scoring and generating.

    Text is tokenised whole, as any reader of a checkpoint would; a token belongs to the prompt if it ends there.

    Args:
        tokenizer: A tokenizer of transformers.

    Attributes:
        tokenizer: The tokenizer of transformers.
        eos: The id of the end of text.
        pad: An id that fills batches; no prediction reads it.
    """

    def __init__(self, tokenizer: Any) -> None:
        if tokenizer.eos_token_id is None:
            raise InvalidInput("the base model's tokenizer has no end-of-text token (eos_token)")
        self.tokenizer = tokenizer
        self.eos: int = tokenizer.eos_token_id
        self.pad: int = self.eos if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        self._coded: dict[Wanted, Example] = {}

    def examples(self, items: pa.Table, max_length: int) -> list[Example]:
        """Return the tokens of prompt, completion and, where the item is finished, the end of text; cut to a length.

        Args:
            items: Items with ``prompt``, ``completion`` and perhaps ``finished``.
            max_length: Most tokens of an example.
        """
        prompts, completions = text_column(items, "prompt"), text_column(items, "completion")
        wanted = [
            (prompt + completion, len(prompt), end, max_length)
            for prompt, completion, end in zip(prompts, completions, _finished(items), strict=True)
        ]
        if len(self._coded) > _REMEMBERED:
            self._coded.clear()
        # Human items occur again in every generation and every cell.
        missing = list(dict.fromkeys(each for each in wanted if each not in self._coded))
        if missing:
            whole = [text for text, _, _, _ in missing]
            coded = self.tokenizer(whole, return_offsets_mapping=self._has_offsets, return_attention_mask=False)
            self._coded.update({each: self._example(coded, row, *each) for row, each in enumerate(missing)})
        return [self._coded[each] for each in wanted]

    def prompts(self, items: pa.Table, longest: int) -> list[Ids]:
        """Return the tokens of prompts; of long ones a start token, if any, and the last tokens.

        Args:
            items: Items with a ``prompt``.
            longest: Most tokens of a prompt.
        """
        texts = text_column(items, "prompt")
        if not texts:
            return []
        coded = self.tokenizer(texts, return_attention_mask=False)["input_ids"]
        return [self._prompt(self._without_end(ids), longest) for ids in coded]

    def documents(self, texts: Sequence[str]) -> Ids:
        """Return the tokens of texts one after another, each followed by the end of text.

        Args:
            texts: Texts.
        """
        coded = self.tokenizer(list(texts), return_attention_mask=False)["input_ids"] if texts else []
        return np.concatenate([np.zeros(0, np.int64), *(np.array([*self._without_end(x), self.eos]) for x in coded)])

    def completions(self, prompts: Sequence[Ids], new: Sequence[Ids]) -> list[str]:
        """Return the text that new tokens add to prompts.

        Tokens are decoded with the prompt's last one before them: some tokenizers drop a leading space.

        Args:
            prompts: Token ids of each prompt.
            new: New token ids for each prompt.
        """
        if not prompts:
            return []
        last = [prompt[-1:] for prompt in prompts]
        before = self._decode(last)
        after = self._decode([np.concatenate(pair) for pair in zip(last, new, strict=True)])
        return [text[len(start) :] for start, text in zip(before, after, strict=True)]

    @property
    def _has_offsets(self) -> bool:
        return bool(self.tokenizer.is_fast)

    def _example(self, coded: Any, row: int, text: str, prompt: int, end: bool, max_length: int) -> Example:
        """Return the tokens of a text whose first characters are the prompt."""
        ids = self._without_end(coded["input_ids"][row])
        kept = min(len(ids), max_length)
        if self._has_offsets:
            stops = [stop for _, stop in coded["offset_mapping"][row][: len(ids)]]
            boundary = next((place for place, stop in enumerate(stops) if stop > prompt), len(ids))
            predicted = text[stops[0] : stops[kept - 1]] if ids else ""
        else:
            boundary = len(self._without_end(self.tokenizer(text[:prompt])["input_ids"])) if prompt else 0
            (predicted,) = self._decode([np.array(ids[1:kept], dtype=np.int64)])
        if end and len(ids) < max_length:
            ids = [*ids, self.eos]
        kept_ids = np.array(ids[:max_length], dtype=np.int64)
        return Example(kept_ids, min(boundary, len(ids), max_length), len(predicted.encode()))

    def _prompt(self, ids: list[int], longest: int) -> Ids:
        start = self.tokenizer.bos_token_id
        if not ids:
            ids = [self.eos if start is None else start]
        if len(ids) > longest:
            ids = [start, *ids[len(ids) - longest + 1 :]] if ids[0] == start else ids[-longest:]
        return np.array(ids, dtype=np.int64)

    def _without_end(self, ids: list[int]) -> list[int]:
        """Remove an end of text that the tokenizer added itself; OPT starts texts with the same token, which stays."""
        return ids[:-1] if len(ids) > 1 and ids[-1] == self.eos else ids

    def _decode(self, ids: Sequence[Ids]) -> list[str]:
        texts: list[str] = self.tokenizer.batch_decode(
            [list(map(int, row)) for row in ids], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return texts


def _finished(items: pa.Table) -> list[bool]:
    """Return True for each item whose text ends after the completion, which is the default."""
    if "finished" not in items.column_names:
        return [True] * items.num_rows
    return [value is not False for value in items.column("finished").to_pylist()]


def left_padded(prompts: Sequence[Ids], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad prompts on the left.

    Args:
        prompts: Token ids of each prompt.
        pad: A token that fills rows.

    Returns:
        ``(rows, width)`` tokens, and a mask: 1 for tokens and 0 for padding.
    """
    width = max(len(prompt) for prompt in prompts)
    ids = np.full((len(prompts), width), pad, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = prompt
        mask[row, width - len(prompt) :] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


@dataclass(frozen=True)
class Batch:
    """Examples in rows, padded on the right.

    With causal attention no token that predicts another sees the padding, so that no attention mask is needed.

    Attributes:
        ids: ``(rows, width)`` token ids.
        read: ``(N,)`` flat indices of the tokens whose next one is predicted: all except each example's last one.
        targets: ``(N,)`` those next tokens.
        positions: ``(rows, width)`` each token's position in its own example, where a row holds several; else None.
    """

    ids: torch.Tensor
    read: torch.Tensor
    targets: torch.Tensor
    positions: torch.Tensor | None = None

    @classmethod
    def of(cls, examples: Sequence[Ids], pad: int, device: torch.device) -> Batch:
        """Lay examples out in rows.

        Args:
            examples: Token ids, one array for each row.
            pad: A token that fills rows.
            device: Device of the batch.
        """
        lengths = np.array([len(ids) for ids in examples])
        table = np.full((len(examples), max(1, int(lengths.max(initial=0)))), pad, dtype=np.int64)
        inside = np.arange(table.shape[1]) < lengths[:, None]
        table[inside] = np.concatenate(examples)
        read = np.flatnonzero(np.arange(table.shape[1]) < lengths[:, None] - 1)
        arrays = (table, read, table.reshape(-1)[read + 1])
        return cls(*(torch.from_numpy(array).to(device, non_blocking=True) for array in arrays))

    @classmethod
    def packed(cls, examples: Sequence[Ids], pad: int, device: torch.device) -> Batch:
        """Lay examples out with several to a row, by first fit, longest first.

        Rows are as wide as the longest example.

        Args:
            examples: Token ids.
            pad: A token that fills rows.
            device: Device of the batch.
        """
        width = max(len(ids) for ids in examples)
        rows: list[list[Ids]] = []
        used: list[int] = []
        for ids in sorted(examples, key=len, reverse=True):
            row = next((row for row, taken in enumerate(used) if taken + len(ids) <= width), len(rows))
            if row == len(rows):
                rows.append([])
                used.append(0)
            rows[row].append(ids)
            used[row] += len(ids)
        lengths = np.array([len(ids) for row in rows for ids in row])
        table, positions = np.full((len(rows), width), pad, dtype=np.int64), np.zeros((len(rows), width), np.int64)
        inside = np.arange(width) < np.array(used)[:, None]
        table[inside] = np.concatenate([ids for row in rows for ids in row])
        starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
        positions[inside] = np.arange(len(starts)) - starts
        last = np.zeros(len(starts), dtype=np.bool_)
        last[np.cumsum(lengths)[lengths > 0] - 1] = True
        read = np.flatnonzero(inside)[~last]
        arrays = (table, read, table.reshape(-1)[read + 1], positions)
        return cls(*(torch.from_numpy(array).to(device, non_blocking=True) for array in arrays))
