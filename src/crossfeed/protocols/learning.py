"""What is learned from, and what learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.protocols.items import Reading, Scores, State, TrainingSet
from crossfeed.protocols.running import Progress

__all__ = ["Learner", "LearnerContext", "Task"]


class Task(Protocol):
    """A data set with its splits and a way to grade answers.

    Attributes:
        name: Its name in the experiment; public data is named ``public``.
        train: Items that training sets and prompts are drawn from.
        validation: Items for choosing settings; the loop never reads them.
        test: Items that metrics are measured on; no item is in two splits.
        content: A hash of all the data, so that a changed data set is noticed.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see above

    @property
    def train(self) -> pa.Table: ...  # noqa: D102 - see above

    @property
    def validation(self) -> pa.Table: ...  # noqa: D102 - see above

    @property
    def test(self) -> pa.Table: ...  # noqa: D102 - see above

    @property
    def content(self) -> str: ...  # noqa: D102 - see above

    def reserve(self, generations: int) -> tuple[Task, Sequence[pa.Table]]:
        """Set fresh data aside: the task without it, and one table for each generation t = 1, ..., T.

        No fresh item is left in `train` or appears in two generations.
        """
        ...

    def grade(self, items: pa.Table, completions: Sequence[str]) -> NDArray[np.bool_] | None:
        """Whether each completion gives the right final answer; None where answers cannot be graded."""
        ...


class Learner(Protocol):
    """A kind of generative model.

    Every verb takes all the entities at once, so that a learner may map over them, stack them into one batched
    computation, or send them to a cluster.

    Attributes:
        reads: ``draws``: training sets hold the drawn items, as for models trained by stochastic gradients.
            ``everything``: they hold every item of every source once, to be weighted by `Part.weight`, as for
            exact minimisers of the mixture's loss; then each pool item is the answer to one private item.
    """

    @property
    def reads(self) -> Reading: ...  # noqa: D102 - see above

    def examples_read(self, n: int, generation: int, entity: int) -> int:
        """How many of n drawn items an entity's update really reads (at most n); the others are never generated."""
        ...

    def start(self, entities: Sequence[int]) -> list[State]:
        """The states before generation 0 of the entities of these indices; all that are described alike start alike."""
        ...

    def update(
        self, states: Sequence[State], sets: Sequence[TrainingSet], keys: Sequence[int], generation: int
    ) -> list[State]:
        """Train each state on its set; `keys` (64-bit) seed whatever is random in training.

        Raises:
            Diverged: A loss is no longer finite; it names the entity (by index), the message the step.
        """
        ...

    def generate(
        self, states: Sequence[State], prompts: Sequence[pa.Table], keys: Sequence[NDArray[np.uint64]]
    ) -> list[pa.Table]:
        """Complete prompts: row i of a result depends on its state, prompt i and key i alone.

        Args:
            states: One for each table of prompts.
            prompts: Items of a task; what an item's completion holds is not read, except by a kind that makes prompts
                for completions (captions for images).
            keys: ``(rows,)`` keys for each table of prompts.

        Returns:
            Tables of items in step with the prompts, fit to be trained on.
        """
        ...

    def score(self, states: Sequence[State], tables: Sequence[pa.Table]) -> list[list[Scores]]:
        """Losses of every state (outer list) on every table (inner list)."""
        ...

    def embed(self, tables: Sequence[pa.Table]) -> list[NDArray[np.float32]]:
        """``(rows, dimension)`` unit-norm features of each table of generated items, in which outputs are compared."""
        ...

    def save(self, state: State, folder: Path) -> None:
        """Write a state into an existing empty folder, in formats that carry no code."""
        ...

    def load(self, folder: Path) -> State:
        """Read what `save` wrote."""
        ...

    def describe(self) -> dict[str, str]:
        """What it runs on (device, threads, precision, ...), for the run's environment file."""
        ...


@dataclass(frozen=True)
class LearnerContext:
    """What a learner may use when it is built.

    Attributes:
        tasks: Every task by name, private ones and ``public``.
        seed: The cell's seed.
        cache: A folder for costly things that depend on content alone, shared between runs.
        progress: Where long work is reported.
    """

    tasks: Mapping[str, Task]
    seed: int
    cache: Path
    progress: Progress
