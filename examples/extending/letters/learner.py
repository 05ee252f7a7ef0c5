r"""A model of letters: each letter is drawn given the one before it.

Its state is a table of counts C over pairs of letters, 27 by 27 with the end of a text as a letter. It writes by
:math:`p(b \mid a) = (C_{ab} + s) / \sum_c (C_{ac} + s)`; its loss is :math:`-\log p` of every letter and of the end. An
update takes the mean of the old counts and those of the training set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from crossfeed.keys import uniforms
from crossfeed.protocols import Learner, LearnerContext, Scores, TrainingSet
from crossfeed.settings import LearnerSettings, Number

LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
END: Final = len(LETTERS)  # also what stands before the first letter
LONGEST: Final = 24

Counts = NDArray[np.float64]


class LettersSettings(LearnerSettings):
    """A model of letters.

    Attributes:
        smoothing: s, what is added to every count.
    """

    kind: Literal["letters"] = "letters"
    smoothing: Annotated[Number, Field(gt=0)] = 0.01

    def build(self, context: LearnerContext) -> Learner:
        """Make the learner."""
        return Letters(self.smoothing)


@dataclass(frozen=True)
class Letters:
    """See the module."""

    smoothing: float
    reads: Literal["draws", "everything"] = "draws"

    def examples_read(self, n: int, generation: int, entity: int) -> int:
        """All items that are drawn."""
        return n

    def start(self, entities: Sequence[int]) -> list[Counts]:
        """Nothing is known yet."""
        return [np.zeros((END + 1, END + 1)) for _ in entities]

    def update(
        self, states: Sequence[Counts], sets: Sequence[TrainingSet], keys: Sequence[int], generation: int
    ) -> list[Counts]:
        """The mean of the old counts and the new ones, a new array: states are never changed in place."""
        return [(state + _counted(training.items)) / 2 for state, training in zip(states, sets, strict=True)]

    def generate(
        self, states: Sequence[Counts], prompts: Sequence[pa.Table], keys: Sequence[NDArray[np.uint64]]
    ) -> list[pa.Table]:
        """Texts that go on from the prompts' last letters."""
        return [
            self._written(self._probabilities(state), table, own)
            for state, table, own in zip(states, prompts, keys, strict=True)
        ]

    def score(self, states: Sequence[Counts], tables: Sequence[pa.Table]) -> list[list[Scores]]:
        """Minus log probabilities."""
        return [[_scored(-np.log(self._probabilities(state)), table) for table in tables] for state in states]

    def embed(self, tables: Sequence[pa.Table]) -> list[NDArray[np.float32]]:
        """How often each pair of letters comes, with unit norm."""
        return [_features(table) for table in tables]

    def save(self, state: Counts, folder: Path) -> None:
        """One array."""
        np.save(folder / "counts.npy", state, allow_pickle=False)

    def load(self, folder: Path) -> Counts:
        """Read it back."""
        counts: Counts = np.load(folder / "counts.npy", allow_pickle=False)
        return counts

    def describe(self) -> dict[str, str]:
        """It needs nothing special."""
        return {"device": "cpu"}

    def _probabilities(self, state: Counts) -> Counts:
        smoothed = state + self.smoothing
        shares: Counts = smoothed / smoothed.sum(axis=1, keepdims=True)
        return shares

    def _written(self, probabilities: Counts, prompts: pa.Table, keys: NDArray[np.uint64]) -> pa.Table:
        edges = np.cumsum(probabilities, axis=1)[:, :-1]
        texts = prompts.column("prompt").to_pylist()
        last = np.array([codes[-2] for codes in map(_codes, texts)])  # before the end
        written = np.full((len(texts), LONGEST), END)
        running = np.ones(len(texts), dtype=bool)
        for place in range(LONGEST):
            # The draw hangs on the item's key and the place alone: not on which items are asked for together.
            drawn = uniforms(keys, place + 1)
            last = (edges[last] <= drawn[:, None]).sum(axis=1)
            running &= last != END
            written[running, place] = last[running]
            last = np.where(running, last, END)
        completions = [" " + "".join(LETTERS[code] for code in row if code != END) for row in written]
        return pa.table({"prompt": prompts.column("prompt"), "completion": pa.array(completions, pa.string())})


def _codes(text: str) -> list[int]:
    """The letters of a text between two ends; other characters are passed over."""
    return [END, *(LETTERS.index(letter) for letter in text if letter in LETTERS), END]


def _pairs(text: str) -> tuple[list[int], list[int]]:
    codes = _codes(text)
    return codes[:-1], codes[1:]


def _counted(items: pa.Table) -> Counts:
    counts = np.zeros((END + 1, END + 1))
    for text in _texts(items):
        np.add.at(counts, _pairs(text), 1 / items.num_rows)
    return counts


def _scored(surprise: Counts, items: pa.Table) -> Scores:
    losses = [surprise[_pairs(text)] for text in _texts(items)]
    answers = [sum(letter in LETTERS for letter in text) + 1 for text in items.column("completion").to_pylist()]
    return Scores(
        loss=np.array([loss.sum() for loss in losses]),
        size=np.array([len(loss) for loss in losses], dtype=np.float64),
        completion_loss=np.array([loss[-size:].sum() for loss, size in zip(losses, answers, strict=True)]),
        completion_size=np.array(answers, dtype=np.float64),
    )


def _features(items: pa.Table) -> NDArray[np.float32]:
    rows = np.zeros((items.num_rows, END + 1, END + 1), dtype=np.float32)
    for row, text in zip(rows, items.column("completion").to_pylist(), strict=True):
        np.add.at(row, _pairs(text), 1)
    flat = rows.reshape(items.num_rows, -1)
    features: NDArray[np.float32] = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    return features


def _texts(items: pa.Table) -> list[str]:
    pairs = zip(items.column("prompt").to_pylist(), items.column("completion").to_pylist(), strict=True)
    return [prompt + completion for prompt, completion in pairs]
