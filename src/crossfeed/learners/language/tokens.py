"""Items as token ids: prompt, completion, end of text; and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from crossfeed.errors import InvalidInput

__all__ = ["Batch", "Codec", "Example", "Ids", "left_padded", "texts"]

Ids = NDArray[np.int64]
Wanted = tuple[str, int, bool, int]
"""A text, how many of its characters are the prompt, whether it ends, and how many tokens to keep."""

_REMEMBERED: Final = 50_000
"""Examples that are kept tokenised; some 50 MB of short texts."""


@dataclass(frozen=True)
class Example:
    """One item's tokens.

    Attributes:
        ids: ``(length,)`` token ids.
        prompt: How many of them belong to the prompt.
        text_bytes: UTF-8 bytes of the text that follows the first token, as far as it is not cut.
    """

    ids: Ids
    prompt: int
    text_bytes: int


def texts(items: pa.Table, column: str) -> list[str]:
    """A column of strings; null is the empty text.

    Raises:
        InvalidInput: The column is not there.
    """
    if column not in items.column_names:
        raise InvalidInput(f"language items need a column {column!r}; got {', '.join(items.column_names)}")
    return [value or "" for value in items.column(column).to_pylist()]


class Codec:
    """A tokenizer with the conventions of training, scoring and generating.

    Text is tokenised whole, as any reader of a checkpoint would; a token belongs to the prompt if it ends in it.

    Attributes:
        tokenizer: A transformers tokenizer.
        eos: The id of the end of text.
        pad: An id that fills batches; it is never read.
    """

    def __init__(self, tokenizer: Any) -> None:
        if tokenizer.eos_token_id is None:
            raise InvalidInput("the base model's tokenizer has no end-of-text token (eos_token)")
        self.tokenizer = tokenizer
        self.eos: int = tokenizer.eos_token_id
        self.pad: int = self.eos if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        self._coded: dict[Wanted, Example] = {}

    def examples(self, items: pa.Table, max_length: int) -> list[Example]:
        """Tokens of prompt, completion and, where the item is finished, the end of text; cut to a length."""
        prompts, completions = texts(items, "prompt"), texts(items, "completion")
        wanted = [
            (prompt + completion, len(prompt), end, max_length)
            for prompt, completion, end in zip(prompts, completions, _finished(items), strict=True)
        ]
        if len(self._coded) > _REMEMBERED:
            self._coded.clear()
        # Human items come again in every generation and every cell.
        missing = list(dict.fromkeys(each for each in wanted if each not in self._coded))
        if missing:
            whole = [text for text, _, _, _ in missing]
            coded = self.tokenizer(whole, return_offsets_mapping=self._has_offsets, return_attention_mask=False)
            self._coded.update({each: self._example(coded, row, *each) for row, each in enumerate(missing)})
        return [self._coded[each] for each in wanted]

    def prompts(self, items: pa.Table, longest: int) -> list[Ids]:
        """Tokens of prompts; of long ones a start token, if any, and the last tokens."""
        found = texts(items, "prompt")
        if not found:
            return []
        coded = self.tokenizer(found, return_attention_mask=False)["input_ids"]
        return [self._prompt(self._without_end(ids), longest) for ids in coded]

    def documents(self, found: Sequence[str]) -> Ids:
        """Texts one after another, each followed by the end of text."""
        coded = self.tokenizer(list(found), return_attention_mask=False)["input_ids"] if found else []
        return np.concatenate([np.zeros(0, np.int64), *(np.array([*self._without_end(x), self.eos]) for x in coded)])

    def completions(self, prompts: Sequence[Ids], new: Sequence[Ids]) -> list[str]:
        """The text that new tokens add to prompts.

        Tokens are decoded with the prompt's last one before them: some tokenizers drop a leading space.
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
        """The tokens of a text, whose first characters are the prompt."""
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
        found = np.array(ids[:max_length], dtype=np.int64)
        return Example(found, min(boundary, len(ids), max_length), len(predicted.encode()))

    def _prompt(self, ids: list[int], longest: int) -> Ids:
        start = self.tokenizer.bos_token_id
        if not ids:
            ids = [self.eos if start is None else start]
        if len(ids) > longest:
            ids = [start, *ids[len(ids) - longest + 1 :]] if ids[0] == start else ids[-longest:]
        return np.array(ids, dtype=np.int64)

    def _without_end(self, ids: list[int]) -> list[int]:
        """Some tokenizers add the end of text themselves; OPT starts texts with the same token, which stays."""
        return ids[:-1] if len(ids) > 1 and ids[-1] == self.eos else ids

    def _decode(self, ids: Sequence[Ids]) -> list[str]:
        found: list[str] = self.tokenizer.batch_decode(
            [list(map(int, row)) for row in ids], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return found


def _finished(items: pa.Table) -> list[bool]:
    """Whether each item's text ends there; where nothing is said it does."""
    if "finished" not in items.column_names:
        return [True] * items.num_rows
    return [value is not False for value in items.column("finished").to_pylist()]


def left_padded(prompts: Sequence[Ids], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``(rows, width)`` tokens of prompts that end together, and where they are (1) or padding is (0)."""
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

    With causal attention nothing that is read sees the padding, so that no attention mask is needed.

    Attributes:
        ids: ``(rows, width)`` token ids.
        read: ``(N,)`` flat indices of the tokens whose next one is predicted: all but each example's last one.
        targets: ``(N,)`` those next tokens.
        positions: ``(rows, width)`` each token's position in its own example, where a row holds several; else None.
    """

    ids: torch.Tensor
    read: torch.Tensor
    targets: torch.Tensor
    positions: torch.Tensor | None = None

    @classmethod
    def of(cls, examples: Sequence[Ids], pad: int, device: torch.device) -> Batch:
        """Lay examples out in rows."""
        lengths = np.array([len(ids) for ids in examples])
        table = np.full((len(examples), max(1, int(lengths.max(initial=0)))), pad, dtype=np.int64)
        inside = np.arange(table.shape[1]) < lengths[:, None]
        table[inside] = np.concatenate(examples)
        read = np.flatnonzero(np.arange(table.shape[1]) < lengths[:, None] - 1)
        parts = (table, read, table.reshape(-1)[read + 1])
        return cls(*(torch.from_numpy(part).to(device, non_blocking=True) for part in parts))

    @classmethod
    def packed(cls, examples: Sequence[Ids], pad: int, device: torch.device) -> Batch:
        """Lay examples out with several to a row, in as few rows as a first fit finds, longest first.

        Rows are as wide as the longest example.
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
        parts = (table, read, table.reshape(-1)[read + 1], positions)
        return cls(*(torch.from_numpy(part).to(device, non_blocking=True) for part in parts))
