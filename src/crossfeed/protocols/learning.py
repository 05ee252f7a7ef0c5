"""The protocols of tasks, the data that models learn from, and of learners."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from crossfeed.protocols.items import Array, Reading, Scores, State, TrainingSet
from crossfeed.protocols.running import Progress

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = [
    "CountingLearner",
    "DiscreteLearner",
    "DivisibleTask",
    "Examination",
    "Journal",
    "Learner",
    "LearnerContext",
    "Observer",
    "OutsideModel",
    "RestartingLearner",
    "Task",
    "TracedLearner",
]


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
        """Set fresh data aside.

        Args:
            generations: The last generation T.

        Returns:
            The task without the fresh items, and T tables of them, for generations t = 1, ..., T. No fresh item is left
            in `train` or appears in two tables.

        Raises:
            InvalidInput: There are too few items, or a task of this kind has no fresh ones.
        """
        ...

    def grade(self, items: pa.Table, completions: Sequence[str]) -> NDArray[np.bool_] | None:
        """Grade the final answers of completions.

        Args:
            items: Items of the task, one for each completion.
            completions: The completions, as text.

        Returns:
            ``(items,)`` mask, true where the final answer is right; None where answers cannot be graded.

        Raises:
            InvalidInput: The numbers of items and completions differ.
        """
        ...


class DivisibleTask(Task, Protocol):
    """A task whose training items can be divided into parts (`crossfeed.tasks.partition`)."""

    def restricted(self, rows: NDArray[np.int64]) -> Task:
        """Return the task with some of its training items alone; validation and test stay.

        Args:
            rows: ``(m,)`` rows of `train`, ascending.

        Returns:
            The task, with another `content`.
        """
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
        """Return how many of the drawn items an entity's update really reads; the others are never generated.

        Args:
            n: The number of drawn items.
            generation: The generation t.
            entity: The entity's index k.

        Returns:
            A number of items between 1 and n.
        """
        ...

    def start(self, entities: Sequence[int]) -> list[State]:
        """Create the states before generation 0; entities that are described alike start alike.

        Args:
            entities: The entities' indices k.

        Returns:
            One state for each of them, in order.
        """
        ...

    def update(
        self, states: Sequence[State], sets: Sequence[TrainingSet], keys: Sequence[int], generation: int
    ) -> list[State]:
        """Train each state on its training set; the given states are not changed.

        Args:
            states: The states to train, one for each entity.
            sets: Their training sets, in the same order.
            keys: Their 64-bit keys, which seed whatever is random in training.
            generation: The generation t.

        Returns:
            The trained states, in the same order; each depends on its own state, set and key alone.

        Raises:
            Diverged: A loss is no longer finite; it names the entity (by its position in `states`), the message the
                step.
        """
        ...

    def generate(
        self, states: Sequence[State], prompts: Sequence[pa.Table], keys: Sequence[NDArray[np.uint64]]
    ) -> list[pa.Table]:
        """Complete prompts.

        Args:
            states: One state for each table of prompts.
            prompts: Items of a task; an item's completion is not read, except by a kind that generates prompts for
                completions (captions for images).
            keys: ``(rows,)`` 64-bit keys for each table of prompts, which seed whatever is random in generation.

        Returns:
            Tables of items in step with the prompts, fit to be trained on; row i of a table depends on its state,
            prompt i and key i alone.
        """
        ...

    def score(self, states: Sequence[State], tables: Sequence[pa.Table]) -> list[list[Scores]]:
        """Compute the losses of every state on every table.

        Args:
            states: The states.
            tables: Tables of items; each has at least one row.

        Returns:
            Losses by state (outer list) and table (inner list), in order.
        """
        ...

    def embed(self, tables: Sequence[pa.Table]) -> list[NDArray[np.float32]]:
        """Compute the features in which generated items are compared.

        Args:
            tables: Tables of items.

        Returns:
            ``(rows, dimension)`` features of unit norm for each table.
        """
        ...

    def save(self, state: State, folder: Path) -> None:
        """Write a state to files, in formats that carry no code.

        Args:
            state: The state.
            folder: An existing empty folder.
        """
        ...

    def load(self, folder: Path) -> State:
        """Read a state.

        Args:
            folder: A folder that `save` wrote; states are read in the order of the entities.

        Returns:
            The state.
        """
        ...

    def describe(self) -> dict[str, str]:
        """Describe what the learner runs on, for the run's environment file.

        Returns:
            ``device``, and where they apply ``threads``, ``precision``, ...
        """
        ...


class Observer(Protocol):
    """A reader of learning curves: it says at which steps of an update it wants to see a state."""

    def marks(self, entity: int, steps: int) -> Collection[int]:
        """Return the steps after which a state is shown.

        Args:
            entity: The position among the trained states.
            steps: The number of steps that its update takes.

        Returns:
            Numbers of finished steps, from 1 to `steps`.
        """
        ...

    def show(self, entity: int, step: int, state: State) -> None:
        """Take a state from within an update; called after the update of its entity, in the order of the steps.

        Args:
            entity: The position among the trained states.
            step: The number of steps that it was trained for.
            state: The state.
        """
        ...


class RestartingLearner(Learner, Protocol):
    """A learner whose models can begin anew (``start: scratch``; its settings say so, `LearnerSettings.restarts`)."""

    def anew(self, entities: Sequence[int], keys: Sequence[int]) -> list[State]:
        """Create new models as the common base is made, each from weights of its own.

        Args:
            entities: The entities' indices k.
            keys: One 64-bit key for each, which seeds its weights.

        Returns:
            One state for each of them, in order; it depends on its key alone.
        """
        ...


class DiscreteLearner(Learner, Protocol):
    """A learner of distributions over symbols, which metrics read as they are, without any sampling."""

    def probabilities(self, state: State) -> Array:
        """Return the fitted distribution.

        Args:
            state: The state.

        Returns:
            ``(R, d)`` probabilities of d symbols in R replicates; each row sums to 1.
        """
        ...


class CountingLearner(Learner, Protocol):
    """A learner that counts the n-grams of texts."""

    def unseen(self, state: State, items: pa.Table) -> float:
        """Return the share of the different n-grams of texts that a model has no count of.

        Args:
            state: The state.
            items: Texts.

        Returns:
            A number from 0 to 1; the n-grams are those of the model's order.
        """
        ...


class TracedLearner(Learner, Protocol):
    """A learner that trains in steps, and whose states can be seen on the way: what forecasts are identified from.

    Attributes:
        guess: The loss of a uniform guess (language: the logarithm of the number of tokens); None if there is none.
    """

    @property
    def guess(self) -> float | None: ...  # noqa: D102 - see above

    def training_steps(self, n: int, generation: int, entity: int) -> int:
        """Return the steps that an update takes.

        Args:
            n: The number of drawn items.
            generation: The generation t.
            entity: The entity's index k.

        Returns:
            A number of training steps.
        """
        ...

    def trace(
        self,
        states: Sequence[State],
        sets: Sequence[TrainingSet],
        keys: Sequence[int],
        generation: int,
        observer: Observer,
    ) -> list[State]:
        """Train as `Learner.update` does, to the same bits, and show states from within.

        Args:
            states: The states to train, one for each entity.
            sets: Their training sets, in the same order.
            keys: Their 64-bit keys.
            generation: The generation t.
            observer: Is shown the states that it asks for.

        Returns:
            The trained states, in the same order.

        Raises:
            Diverged: A loss is no longer finite; it names the entity by its position in `states`.
        """
        ...


@dataclass(frozen=True)
class OutsideModel:
    """A model that a run begins from but does not keep: a pretrained base, a sentence encoder.

    Attributes:
        name: The words for it in messages, such as ``the base model 'models/llama'``.
        stamp: Something that can be read at once and changes whenever the model may have changed, such as sizes and
            times of its files.
        content: Returns a hash of its content.
    """

    name: str
    stamp: str
    content: Callable[[], str]


@dataclass
class Examination:
    """The findings on a model's folder before a run uses it.

    Attributes:
        facts: Its architecture, sizes and special tokens, and what some texts are to it, by name.
        notes: Sentences on what may surprise.
        samples: Some items as the model reads them.
        problems: The reasons why a run with it would fail; empty if it would not.
    """

    facts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Journal(Protocol):
    """A record of a run's inputs, for those who read the run and for those who go on with it."""

    def note(self, about: str, sentences: Iterable[str]) -> None:
        """Keep sentences on data or models that whoever reads the run should know.

        Args:
            about: Names what they follow from, such as the hash of a data set. They are asked for once in a process: a
                learner may give an iterator that looks at all items, each time that it starts.
            sentences: The sentences, each of which begins with the name of what it is about.
        """
        ...

    def identify(self, models: Iterable[OutsideModel]) -> None:
        """Keep what identifies the models that a run begins from, or compare them with what is kept.

        Args:
            models: The models.

        Raises:
            StoreMismatch: One of them is no longer what it was when the run was begun.
        """
        ...


class _NoJournal:
    """The journal of a learner that belongs to no run."""

    def note(self, about: str, sentences: Iterable[str]) -> None:
        pass

    def identify(self, models: Iterable[OutsideModel]) -> None:
        pass


@dataclass(frozen=True)
class LearnerContext:
    """The context that a learner is built in.

    Attributes:
        tasks: Every task by name, private ones and ``public``.
        seed: The cell's seed.
        cache: A folder for costly things that depend on content alone, shared between runs.
        progress: Reports progress.
        journal: Keeps what the learner says of its inputs; by default nothing is kept.
    """

    tasks: Mapping[str, Task]
    seed: int
    cache: Path
    progress: Progress
    journal: Journal = field(default_factory=_NoJournal)
