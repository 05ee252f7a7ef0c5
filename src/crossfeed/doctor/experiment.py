"""The check of an experiment before it is run: its data, its model, how items will be read, and what it will take."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from crossfeed.cache import default_cache
from crossfeed.description.experiment import Experiment
from crossfeed.display.progress import Silent
from crossfeed.doctor.cost import Cost, Trial, expect
from crossfeed.errors import CrossfeedError
from crossfeed.executors import executor_for
from crossfeed.protocols import PUBLIC, OutsideModel, Progress, Task
from crossfeed.running.session import Prepared, Session, Setup
from crossfeed.store.memory import MemoryStore

__all__ = ["Checked", "CheckedTask", "check"]

_SAMPLES: Final = 2


@dataclass(frozen=True)
class CheckedTask:
    """A data set as it will be used.

    Attributes:
        name: Its name in the experiment.
        items: The number of items by split.
        samples: The first training items as the model reads them, as far as its kind can show that.
    """

    name: str
    items: dict[str, int]
    samples: list[str]


@dataclass(frozen=True)
class Checked:
    """The findings of a check of an experiment.

    Attributes:
        name: The experiment's name.
        id: Its content id.
        cells: The number of cells.
        entities: The entities' names.
        generations: Number of generations T after generation 0.
        seeds: The seeds.
        tasks: The data sets that can be used.
        notes: Sentences on data and models, such as how many items are cut.
        problems: The reasons why it cannot be run, all at once; empty if it can.
        cost: The expected time and disk; None where there are problems.
    """

    name: str
    id: str
    cells: int
    entities: tuple[str, ...]
    generations: int
    seeds: tuple[int, ...]
    tasks: tuple[CheckedTask, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]
    cost: Cost | None

    def as_data(self) -> dict[str, Any]:
        """Return everything as plain data."""
        cost = None if self.cost is None else asdict(self.cost) | {"total": self.cost.total}
        return asdict(self) | {"cost": cost}


def check(experiment: Experiment, *, data_root: Path | None = None, progress: Progress | None = None) -> Checked:
    """Read an experiment's data, try a little of it, and say what a run would do; nothing of it is kept.

    Args:
        experiment: The experiment.
        data_root: A folder laid out ``<data set>/<split>.parquet`` to read instead of a hub; default none.
        progress: Reports progress; default nothing is reported.

    Returns:
        What is known of it, with all problems of its data at once.
    """
    experiment.refuse_alike()
    session = Session(Setup(experiment, MemoryStore(), data_root, default_cache(), progress or Silent()))
    found = _Findings()
    prepared = _prepare(session, found)
    tasks: list[CheckedTask] = []
    if prepared and not found.problems:
        with session.setup.progress.stage("trial", detail="a few steps of"), found.catching(), _folder() as folder:
            trial = Trial(prepared[len(prepared) // 2], folder, found)  # the first cell's alpha is often 0
            found.cost = expect(prepared, trial, executor_for(experiment).workers)
            tasks = [_checked(task, trial) for task in prepared[0].tasks.values()]
    return Checked(
        name=experiment.name,
        id=experiment.id,
        cells=len(experiment.cells()),
        entities=experiment.ecosystem.names,
        generations=experiment.generations,
        seeds=experiment.seeds,
        tasks=tuple(tasks),
        notes=tuple(found.notes),
        problems=tuple(found.problems),
        cost=found.cost,
    )


@dataclass
class _Findings:
    """Everything that is found; a journal that keeps notes here."""

    notes: dict[str, None] = field(default_factory=dict)
    problems: dict[str, None] = field(default_factory=dict)
    cost: Cost | None = None

    def note(self, about: str, sentences: Iterable[str]) -> None:
        self.notes |= dict.fromkeys(sentences)

    def identify(self, models: Iterable[OutsideModel]) -> None:
        """Keep nothing: there is no run that could be gone on with."""

    @contextmanager
    def catching(self) -> Iterator[None]:
        """Keep what raises an error on purpose as a problem."""
        try:
            yield
        except CrossfeedError as error:
            self.problems[str(error)] = None


def _prepare(session: Session, found: _Findings) -> list[Prepared]:
    """Load the data of every cell; what cannot be loaded is a problem, and the rest is loaded all the same."""
    prepared = []
    for position, cell in enumerate(session.setup.experiment.cells()):
        before = len(found.problems)
        for name, settings in {**cell.experiment.tasks, PUBLIC: cell.experiment.public}.items():
            with found.catching():
                task = session.task(name, settings)
                found.note(name, (f"{name}: {sentence}" for sentence in getattr(task, "notes", ())))
        if len(found.problems) == before:
            with found.catching():
                prepared.append(session.prepared(position))
    return prepared


def _checked(task: Task, trial: Trial) -> CheckedTask:
    items = {split: getattr(task, split).num_rows for split in ("train", "validation", "test")}
    return CheckedTask(task.name, items, trial.spelled(task.name, _SAMPLES))


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)
