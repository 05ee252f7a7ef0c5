"""Items as token ids (prompt, completion, end of text), and batches of token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from crossfeed.errors import InvalidInput
from crossfeed.learners.language.chat import chat_frame

__all__ = ["Batch", "Example", "Ids", "ItemTokenizer", "left_padded", "text_column"]

Ids = NDArray[np.int64]
"""Token ids of one text, ``(length,)``."""

Wanted = tuple[str, str, bool, int]
"""A prompt, its completion, True if the text ends there, and the number of tokens to keep."""

_REMEMBERED: Final = 50_000
"""Examples that stay tokenised in memory; some 50 MB of short texts."""

_FIRST: Final = ("", "\n", ".")
"""Texts that a completion is tokenised behind, until one gives tokens that read as the completion."""

Join = Literal["whole", "apart", "spanned"]


class _Tokens(NamedTuple):
    """Tokens of one text, and the characters at which they stop where the tokenizer knows them."""

    ids: list[int]
    stops: list[int] | None


@dataclass(frozen=True)
class Example:
    """One item's tokens.

    Attributes:
        ids: ``(length,)`` token ids.
        prompt: Number of tokens that belong to the prompt.
        text_bytes: UTF-8 bytes of the text after the first token, without what is cut off.
        cut: Number of tokens at the end that were cut off.
        join: ``whole``: the text was tokenised whole, and begins with the tokens of the prompt alone. ``apart``: it
            would not, so prompt and completion were tokenised apart. ``spanned``: nor can these be tokenised apart; a
            token belongs to the prompt if it ends there.
    """

    ids: Ids
    prompt: int
    text_bytes: int
    cut: int
    join: Join

    @property
    def lost(self) -> bool:
        """True if nothing is left of the completion: all of it was cut off."""
        return self.cut > 0 and self.prompt >= len(self.ids)


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

    A text is tokenised whole, as any reader of a checkpoint would, if its first tokens are then those of the prompt
    alone, which is what a model is given to complete. Where they are not, since a token would span the end of the
    prompt, prompt and completion are tokenised apart, so that models are trained and scored on what they complete.

    Args:
        tokenizer: A tokenizer of transformers.
        chat: True if a prompt is given as a user's message in the tokenizer's chat template, and a completion is the
            assistant's answer. The template writes the special tokens; the tokenizer adds none.

    Raises:
        InvalidInput: The tokenizer has no end of text, or no chat template that takes a user's message.

    Attributes:
        tokenizer: The tokenizer of transformers.
        eos: The id of the end of text.
        pad: An id that fills batches; no prediction reads it.
    """

    def __init__(self, tokenizer: Any, chat: bool = False) -> None:
        if tokenizer.eos_token_id is None:
            raise InvalidInput("the base model's tokenizer has no end-of-text token (eos_token)")
        self._frame = chat_frame(tokenizer) if chat else None
        self.tokenizer = tokenizer
        self.eos: int = tokenizer.eos_token_id
        self.pad: int = self.eos if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        self._examples: dict[Wanted, Example] = {}
        self._prompts: dict[str, list[int]] = {}

    def examples(self, items: pa.Table, max_length: int) -> list[Example]:
        """Return the tokens of prompt, completion and, where the item is finished, the end of text; cut to a length.

        Args:
            items: Items with ``prompt``, ``completion`` and perhaps ``finished``.
            max_length: Most tokens of an example.
        """
        prompts, completions = text_column(items, "prompt"), text_column(items, "completion")
        wanted = [
            (self._given(prompt), completion, end, max_length)
            for prompt, completion, end in zip(prompts, completions, _finished(items), strict=True)
        ]
        if len(self._examples) > _REMEMBERED:
            self._examples.clear()
        # Human items occur again in every generation and every cell.
        missing = list(dict.fromkeys(each for each in wanted if each not in self._examples))
        if missing:
            self._examples.update(zip(missing, self._coded(missing), strict=True))
        return [self._examples[each] for each in wanted]

    def prompts(self, items: pa.Table, longest: int) -> list[Ids]:
        """Return the tokens of prompts; of long ones a start token, if any, and the last tokens.

        Args:
            items: Items with a ``prompt``.
            longest: Most tokens of a prompt.
        """
        tokens = self._prompt_tokens(self._givens(items))
        return [self._shortened(ids, longest) for ids in tokens]

    def prompt_lengths(self, items: pa.Table) -> NDArray[np.int64]:
        """Return the numbers of tokens of prompts, ``(items,)``.

        Args:
            items: Items with a ``prompt``.
        """
        return np.array([len(ids) for ids in self._prompt_tokens(self._givens(items))], dtype=np.int64)

    def documents(self, texts: Sequence[str]) -> Ids:
        """Return the tokens of texts one after another, each followed by the end of text.

        Args:
            texts: Texts.
        """
        coded = self._tokens(texts)
        return np.concatenate([np.zeros(0, np.int64), *(np.array([*ids, self.eos]) for ids, _ in coded)])

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

    def spelled(self, example: Example) -> str:
        """Return an example token by token: a dot between two tokens, a double bar after the prompt.

        Args:
            example: The example.
        """
        words = [self.tokenizer.decode([token]) for token in example.ids.tolist()]
        parts = ["·".join(words[: example.prompt]), "·".join(words[example.prompt :])]
        return "‖".join(parts) + (f" [{example.cut} more tokens are cut]" if example.cut else "")

    def _givens(self, items: pa.Table) -> list[str]:
        return [self._given(prompt) for prompt in text_column(items, "prompt")]

    def _given(self, prompt: str) -> str:
        """Return the text that a model is given for a prompt."""
        return prompt if self._frame is None else prompt.join(self._frame)

    def _coded(self, wanted: Sequence[Wanted]) -> list[Example]:
        wholes = self._tokens([prompt + completion for prompt, completion, _, _ in wanted])
        starts = self._prompt_tokens([prompt for prompt, _, _, _ in wanted])
        unlike = [row for row, start in enumerate(starts) if wholes[row].ids[: len(start)] != start]
        after = self._apart([starts[row] for row in unlike], [wanted[row][1] for row in unlike])
        apart = dict(zip(unlike, after, strict=True))
        return [
            self._example(whole, start, apart.get(row), *wanted[row])
            for row, (whole, start) in enumerate(zip(wholes, starts, strict=True))
        ]

    def _example(
        self,
        whole: _Tokens,
        start: list[int],
        apart: list[int] | None,
        prompt: str,
        completion: str,
        end: bool,
        max_length: int,
    ) -> Example:
        ids = whole.ids if apart is None else [*start, *apart]
        kept = ids[:max_length]
        if apart is None and whole.stops is not None:
            predicted = (prompt + completion)[whole.stops[0] : whole.stops[len(kept) - 1]] if ids else ""
        else:
            (predicted,) = self._decode([np.array(kept[1:], dtype=np.int64)])
        cut, ended = len(ids) - len(kept), [self.eos] if end and len(ids) < max_length else []
        join: Join = "apart" if apart is not None else "whole"
        boundary = len(start)
        if apart is None and ids[: len(start)] != start:
            join, boundary = "spanned", self._boundary(whole, prompt, start)
        boundary = min(boundary, len(kept) + len(ended))
        return Example(np.array([*kept, *ended], dtype=np.int64), boundary, len(predicted.encode()), cut, join)

    def _apart(self, starts: Sequence[list[int]], completions: Sequence[str]) -> list[list[int] | None]:
        """Return the tokens of completions behind those of their prompts; None where they would read as another text.

        Tokenizers that put a space before a text's first word are given another text first, which is taken off again.
        """
        found: list[list[int] | None] = [None] * len(starts)
        left = list(range(len(starts)))
        for first in _FIRST:
            if not left:
                break
            new = self._behind(first, [completions[row] for row in left])
            read = self.completions(
                [np.array(starts[row], dtype=np.int64) for row in left], [np.array(ids, dtype=np.int64) for ids in new]
            )
            for row, ids, text in zip(left, new, read, strict=True):
                found[row] = ids if text == completions[row] else None
            left = [row for row in left if found[row] is None]
        return found

    def _behind(self, first: str, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of texts behind another one, and none where a token would span the end of that."""
        whole = [first, *(first + text for text in texts)]
        start, *begun = self.tokenizer(whole, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        return [ids[len(start) :] if ids[: len(start)] == start else [] for ids in begun]

    def _boundary(self, whole: _Tokens, prompt: str, start: list[int]) -> int:
        """Return the number of tokens that end within the prompt, where one spans its end."""
        if whole.stops is None:
            return min(len(start), len(whole.ids))
        return next((place for place, stop in enumerate(whole.stops) if stop > len(prompt)), len(whole.ids))

    def _tokens(self, texts: Sequence[str]) -> list[_Tokens]:
        """Return the tokens of texts, without an end of text that the tokenizer added itself."""
        if not texts:
            return []
        has_offsets = bool(self.tokenizer.is_fast)
        coded = self.tokenizer(
            list(texts),
            return_offsets_mapping=has_offsets,
            return_attention_mask=False,
            add_special_tokens=self._frame is None,
        )
        rows = [self._without_end(ids) for ids in coded["input_ids"]]
        if not has_offsets:
            return [_Tokens(ids, None) for ids in rows]
        offsets = coded["offset_mapping"]
        return [_Tokens(ids, [stop for _, stop in own[: len(ids)]]) for ids, own in zip(rows, offsets, strict=True)]

    def _prompt_tokens(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of prompts; those that were given before are remembered, since most occur often."""
        if len(self._prompts) > _REMEMBERED:
            self._prompts.clear()
        missing = list(dict.fromkeys(prompt for prompt in prompts if prompt not in self._prompts))
        self._prompts.update((prompt, each.ids) for prompt, each in zip(missing, self._tokens(missing), strict=True))
        return [self._prompts[prompt] for prompt in prompts]

    def _shortened(self, ids: list[int], longest: int) -> Ids:
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
