"""What everything else is written against: the protocols and the values that pass between them.

Items (examples, prompts, completions) travel as `pyarrow.Table`: one row an item, whatever the kind of model; a
learner and its tasks agree on the columns, and the loop never looks at them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

if TYPE_CHECKING:
    from crossfeed.session import Session

__all__ = [
    "Executor",
    "Filter",
    "Learner",
    "LearnerContext",
    "Measurement",
    "Metric",
    "Moment",
    "Part",
    "Progress",
    "Scores",
    "Scraped",
    "State",
    "Store",
    "Task",
    "TrainingSet",
]

State = Any
"""One entity's parameters at one generation; only its learner looks inside. A state is never changed in place."""


@dataclass(frozen=True)
class Part:
    """What one source gives to one training set.

    Attributes:
        source: ``private``, ``public``, ``fresh``, or the name of the synthetic items' author.
        born: The generation at which the items were published; 0 for real data.
        weight: The source's weight in the mixture; the weights of a training set's parts sum to 1.
        items: The source's items: all of them if the learner reads everything, the drawn ones otherwise.
        positions: ``(m,)`` places of the items in the training set, in step with `items`.
    """

    source: str
    born: int
    weight: float
    items: pa.Table
    positions: NDArray[np.int64]


@dataclass(frozen=True)
class TrainingSet:
    """One entity's training set of one generation, by source."""

    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """How many items it holds."""
        return sum(part.items.num_rows for part in self.parts)

    @property
    def items(self) -> pa.Table:
        """All items in the order in which they were drawn; columns that a source lacks are null."""
        tables = [part.items for part in self.parts if part.items.num_rows]
        order = np.argsort(np.concatenate([p.positions for p in self.parts if p.items.num_rows]), kind="stable")
        return pa.concat_tables(tables, promote_options="permissive").take(pa.array(order))


@dataclass(frozen=True)
class Scores:
    """Additive losses of n items under one state: a mean loss is ``loss.sum() / size.sum()``.

    Attributes:
        loss: ``(n,)`` summed loss of each item (language: nats over all tokens of prompt and completion).
        size: ``(n,)`` number of terms in each sum (language: tokens predicted).
        completion_loss: ``(n,)`` the same over the completion alone; equal to `loss` where there is no prompt.
        completion_size: ``(n,)`` number of terms in it.
        text_bytes: ``(n,)`` UTF-8 bytes of the text that `loss` is of; None where items are no text.
    """

    loss: NDArray[np.float64]
    size: NDArray[np.float64]
    completion_loss: NDArray[np.float64]
    completion_size: NDArray[np.float64]
    text_bytes: NDArray[np.float64] | None = None


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


class Progress(Protocol):
    """Where long work says how far it is."""

    def stage(
        self, name: str, total: int | None = None, detail: str = ""
    ) -> AbstractContextManager[Callable[[int], None]]:
        """A stage of work as a context manager that gives ``advance(steps)``.

        Args:
            name: ``base``, ``publish``, ``update``, ``measure``, ...
            total: Number of steps, if known.
            detail: What is being worked on.
        """
        ...

    def note(self, text: str) -> None:
        """One line worth keeping in a log."""
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
    def reads(self) -> Literal["draws", "everything"]: ...  # noqa: D102 - see above

    def consumes(self, n: int, generation: int, entity: int) -> int:
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
            prompts: Items of a task; what an item's completion holds is not read.
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
class Measurement:
    """One measured number: whose (an entity, or ``a+b`` for a pair), on which task, what, how much."""

    model: str
    task: str
    metric: str
    value: float


class Moment(Protocol):
    """What metrics see of one generation; everything is computed when first asked for, and then kept.

    Attributes:
        generation: The generation t.
        entities: The entities' names, in the order of the states.
        tasks: Every task by name, private ones first, ``public`` last.
    """

    @property
    def generation(self) -> int: ...  # noqa: D102 - see above

    @property
    def entities(self) -> tuple[str, ...]: ...  # noqa: D102 - see above

    @property
    def tasks(self) -> Mapping[str, Task]: ...  # noqa: D102 - see above

    def scores(self, task: str) -> Sequence[Scores]:
        """Each entity's losses on the task's test items."""
        ...

    def score(self, items: pa.Table) -> Sequence[Scores]:
        """Each entity's losses on other items."""
        ...

    def completions(self, task: str, items: int) -> Sequence[pa.Table]:
        """Each entity's completions of the task's first test prompts (at most `items` of them)."""
        ...

    def embeddings(self, task: str, items: int) -> Sequence[NDArray[np.float32]]:
        """``(items, dimension)`` features of each entity's completions."""
        ...


class Metric(Protocol):
    """Something measured at a generation."""

    def measure(self, moment: Moment) -> list[Measurement]:
        """The numbers."""
        ...


class Scraped(Protocol):
    """What filters see of the pool that is published at one generation.

    Attributes:
        authors: The entities' names.
        weights: ``(K,)`` weight of each author's items in the pool; an author of weight 0 publishes nothing.
    """

    @property
    def authors(self) -> tuple[str, ...]: ...  # noqa: D102 - see above

    @property
    def weights(self) -> NDArray[np.float64]: ...  # noqa: D102 - see above

    def keys(self, author: int) -> NDArray[np.uint64]:
        """``(items,)`` keys for what a filter decides at random about an author's items."""
        ...

    def items(self, author: int) -> pa.Table:
        """What an author wrote; only for filters that read."""
        ...

    def prompts(self, author: int) -> pa.Table:
        """The private training items that an author's items answer, in step with them; only for filters that read."""
        ...

    def losses(self, judge: int, authors: Sequence[int]) -> list[NDArray[np.float64]]:
        """``(items,)`` for each author: mean loss of completions under the state of an entity that was published from.

        Infinite for an item without a single term. Only for filters that read.
        """
        ...


class Filter(Protocol):
    """What of a pool is kept.

    Attributes:
        reads: Whether it looks at the items: then every item is generated before any is drawn. A filter that does
            not decides by the items' keys alone, and only items that are drawn are generated.
    """

    @property
    def reads(self) -> bool: ...  # noqa: D102 - see above

    def synthetic(self, pool: Scraped) -> Sequence[NDArray[np.bool_]]:
        """For each author ``(K, items)`` truth values: whether entity k keeps an item; ``(1, items)`` if all agree."""
        ...

    def human(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """``(items,)`` whether fresh human items are kept; `keys` are for what is decided at random."""
        ...


class Executor(Protocol):
    """Workers that carry out calls, each one at a time (`crossfeed.executors.calls` lists the calls).

    A call and its replies are mappings of plain data, tables, arrays and bytes. Replies to a call are any number of
    progress messages, and last a ``result``, an ``error``, or ``lost`` if the worker ended.

    Attributes:
        workers: How many there are.
    """

    @property
    def workers(self) -> int: ...  # noqa: D102 - see above

    def open(self, session: Session) -> None:
        """Start the workers on a run.

        Args:
            session: The main process's own (`crossfeed.session.Session`).

        Raises:
            InvalidInput: The workers cannot see the run.
        """
        ...

    def submit(self, worker: int, call: Mapping[str, Any]) -> None:
        """Have a worker begin a call; it has no other."""
        ...

    def wait(self) -> tuple[int, dict[str, Any]]:
        """The next reply of any worker, and whose it is; a worker that was lost is there again when this returns."""
        ...

    def close(self) -> None:
        """End the workers, whatever they are doing."""
        ...


class Store(Protocol):
    """Where a run lives. Writes are atomic: after a kill, each is there whole or not at all.

    A *scope* is a relative path: the cell's name from generation 1 on, ``shared/<id>`` for a generation 0 that
    several cells share.

    Attributes:
        location: What `crossfeed.store.open_store` opens the same run with in another process; None if none can.
        set_aside: A sentence for everything that was found damaged since `begin`, in the order in which it was found.
            It is kept under another name, counts as not there, and is made again.
    """

    @property
    def location(self) -> str | None: ...  # noqa: D102 - see above

    @property
    def set_aside(self) -> list[str]: ...  # noqa: D102 - see above

    def begin(self, description: str, document: Mapping[str, Any]) -> None:
        """Open the run for writing.

        Args:
            description: The experiment as YAML.
            document: Plain data with at least ``schema``, ``id`` and ``data`` (hashes of the tasks' data).

        Raises:
            StoreMismatch: It holds finished steps of another id, or of other data.
            NewerSchema: It was written by a newer crossfeed.
            StoreError: Another process writes to it, it cannot be written, or an older crossfeed began it.
        """
        ...

    def end(self) -> None:
        """Let others write to it."""
        ...

    def writer(self) -> str | None:
        """Which process writes to it, in words; None if none does."""
        ...

    def read_description(self) -> str:
        """The description that the run was begun with.

        Raises:
            StoreError: There is none, or it was changed.
        """
        ...

    def write_document(self, name: str, document: Mapping[str, Any], *, durable: bool = True) -> None:
        """Keep plain data under a name (JSON on disk); what need not survive a loss of power is written faster."""
        ...

    def read_document(self, name: str) -> dict[str, Any] | None:
        """Read plain data back; None if there is none."""
        ...

    def drop_document(self, name: str) -> None:
        """Forget plain data; nothing happens if there is none."""
        ...

    def documents(self, folder: str) -> list[str]:
        """The names of all plain data in a folder such as ``failures``, sorted."""
        ...

    def write_result(self, name: str, table: pa.Table) -> None:
        """Keep a table that sums up the whole run, such as ``records``."""
        ...

    def read_result(self, name: str) -> pa.Table | None:
        """Read such a table back; None if there is none."""
        ...

    def has_table(self, step: str, scope: str, generation: int) -> bool:
        """Whether a table is there whole and undamaged."""
        ...

    def write_table(self, step: str, scope: str, generation: int, table: pa.Table) -> None:
        """Keep a table of one generation: ``pool``, ``records`` or ``outputs``."""
        ...

    def read_table(self, step: str, scope: str, generation: int) -> pa.Table:
        """Read a table of one generation back.

        Raises:
            StoreError: It is not there, or it is damaged.
        """
        ...

    def has_states(self, scope: str, generation: int) -> bool:
        """Whether the states of a generation are there whole and undamaged."""
        ...

    def write_states(
        self, scope: str, generation: int, states: Mapping[str, State], save: Callable[[State, Path], None]
    ) -> None:
        """Keep the states of one generation, by entity."""
        ...

    def read_states(
        self, scope: str, generation: int, entities: Sequence[str], load: Callable[[Path], State]
    ) -> list[State]:
        """Read the states of one generation.

        Raises:
            StoreError: They are not there, or damaged.
        """
        ...

    def drop_states(self, scope: str, generation: int) -> None:
        """Forget the states of a generation; nothing happens if they are not there."""
        ...
