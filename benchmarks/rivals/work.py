"""One generation of a cell as plain token ids: the same draws for everyone who is to do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from crossfeed.generation.cell_context import CellContext

Ids = list[int]
Item = Ids | tuple[int, int]
"""A human text's tokens, or an author's index and the number of what it published."""


@dataclass(frozen=True)
class Work:
    """What a generation asks for.

    Attributes:
        prompts: For each author the prompts of its whole pool, by item.
        drawn: For each author the items that some training set holds.
        sets: For each entity its training set, in the order in which it was drawn.
        tests: Every task's test texts.
    """

    prompts: list[list[Ids]]
    drawn: list[list[int]]
    sets: list[list[Item]]
    tests: dict[str, list[Ids]]


class Reader:
    """Texts to tokens with crossfeed's conventions: whole texts, the end of text behind finished ones, cut to a length.

    Args:
        tokenizer: A tokenizer of transformers.
        longest: Tokens of an example, at most.
        longest_prompt: Tokens of a prompt, at most: its last ones.
    """

    def __init__(self, tokenizer, longest: int, longest_prompt: int) -> None:
        self.tokenizer, self._longest, self._longest_prompt = tokenizer, longest, longest_prompt

    def texts(self, items: pa.Table) -> list[Ids]:
        """Training and test examples."""
        columns = [items.column(name).to_pylist() for name in ("prompt", "completion")]
        found = [(prompt or "") + (completion or "") for prompt, completion in zip(*columns, strict=True)]
        ends = items.column("finished").to_pylist() if "finished" in items.column_names else [True] * len(found)
        coded = self.tokenizer(found)["input_ids"] if found else []
        eos = self.tokenizer.eos_token_id
        return [(ids if end is False else [*ids, eos])[: self._longest] for ids, end in zip(coded, ends, strict=True)]

    def prompts(self, items: pa.Table) -> list[Ids]:
        """Prompts to complete."""
        coded = self.tokenizer(items.column("prompt").to_pylist())["input_ids"]
        return [ids[-self._longest_prompt :] for ids in coded]

    def new_tokens(self, pool: pa.Table) -> int:
        """The length of what was published: tokens of the completions, and the ends of texts."""
        return self._length(pool.column("completion").to_pylist()) + sum(pool.column("finished").to_pylist())

    def new_tokens_of(self, prompts: Sequence[Sequence[Ids]], pool: Mapping[int, Mapping[int, Ids]]) -> int:
        """The same of texts that are token ids, by author and item."""
        new = [text[len(prompts[author][item]) :] for author, texts in pool.items() for item, text in texts.items()]
        finished = sum(line[-1] == self.tokenizer.eos_token_id for line in new)
        return self._length(self.tokenizer.batch_decode(new, skip_special_tokens=True)) + finished

    def _length(self, found: Sequence[str]) -> int:
        return sum(map(len, self.tokenizer(list(found))["input_ids"]))


def work_of(context: CellContext, generation: int, reader: Reader) -> Work:
    """What a generation asks for, known before anything is generated."""
    names, prompts = context.entities, []
    for author, size in enumerate(context.sizes.published(generation)):
        rows = context.prompts.places(generation, author, np.arange(size))[1]
        prompts.append(reader.prompts(context.prompts_of(author).take(pa.array(rows))))
    return Work(
        prompts=prompts,
        drawn=[context.selection.requested(generation, author).tolist() for author in range(len(names))],
        sets=[_set(context, generation, entity, reader) for entity in range(len(names))],
        tests={name: reader.texts(task.test) for name, task in context.tasks.items()},
    )


def _set(context: CellContext, generation: int, entity: int, reader: Reader) -> list[Item]:
    draws = context.selection.draws(generation, entity)
    found: dict[int, Item] = {}
    for source in draws.sources:
        positions, index = draws.of(source)
        if source.name in context.entities:
            items: Sequence[Item] = [(context.entities.index(source.name), item) for item in index.tolist()]
        else:
            table = context.private(entity) if source.name == "private" else context.tasks["public"].train
            items = reader.texts(table.take(pa.array(index)))
        found.update(zip(positions.tolist(), items, strict=True))
    return [found[position] for position in range(len(draws.source))]
