"""Benchmark numbers of a run's checkpoints, one table beside its records.

The evaluator is an argument (`crossfeed.evaluation.harness`). Numbers are kept checkpoint by checkpoint, under
``evaluation/`` of the run, as soon as they are measured: an evaluation that stopped continues where it stopped, and a
task is not evaluated again on a checkpoint with the same options. Beside them are the evaluator's own documents,
``evaluation/<scope>/generation-000/<entity>/results_<date>.json``, for what reads those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from crossfeed.description.experiment import Experiment
from crossfeed.display.progress import Silent
from crossfeed.errors import InvalidInput, StoreError
from crossfeed.protocols import Progress, Store
from crossfeed.records import state_scope_of, with_coordinates
from crossfeed.settings import LearnerSettings
from crossfeed.store.schema import states_path

__all__ = ["Evaluated", "Evaluator", "Score", "evaluate_checkpoints", "results_of"]

_STEP: Final = "evaluation"
_SCHEMA: Final = pa.schema(
    [
        ("generation", pa.int64()),
        ("model", pa.string()),
        ("task", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("stderr", pa.float64()),
        ("items", pa.int64()),
        ("shots", pa.int64()),
        ("warning", pa.string()),
        ("options", pa.string()),
    ]
)


@dataclass(frozen=True)
class Score:
    """One benchmark number of one model.

    Attributes:
        task: The benchmark's name.
        metric: The metric's name, such as ``acc``.
        value: The metric's value.
        stderr: Its standard error over the items; NaN where none is known.
        items: Number of items answered.
        shots: Worked examples in each prompt.
        warning: The evaluator's first warning, such as of prompts that had to be cut; empty without one.
    """

    task: str
    metric: str
    value: float
    stderr: float
    items: int
    shots: int
    warning: str


class Evaluated(NamedTuple):
    """The answer of an evaluator on one checkpoint.

    Attributes:
        scores: The numbers, one score for each metric of each task.
        results: Its own document, plain data; empty if it writes none.
    """

    scores: list[Score]
    results: Mapping[str, Any] = {}


class Evaluator(Protocol):
    """An evaluator of checkpoints on benchmarks.

    Attributes:
        tasks: The benchmarks' names.
        options: The options that affect their numbers, as text.
    """

    @property
    def tasks(self) -> tuple[str, ...]: ...  # noqa: D102 - see above

    @property
    def options(self) -> str: ...  # noqa: D102 - see above

    def evaluate(self, folder: Path, tasks: Sequence[str], name: str) -> Evaluated:
        """Evaluate the model in a folder.

        Args:
            folder: A transformers folder: weights, configuration and tokenizer.
            tasks: Some of the evaluator's tasks.
            name: The model's name in the evaluator's own document: its path within the run.
        """
        ...


def results_of(scope: str, generation: int, entity: str) -> str:
    """Return the folder of a checkpoint's documents within a run.

    Args:
        scope: The checkpoint's scope.
        generation: The generation t.
        entity: The entity.
    """
    return f"{_STEP}/{scope}/generation-{generation:03d}/{entity}"


def evaluate_checkpoints(
    experiment: Experiment, store: Store, evaluator: Evaluator, progress: Progress | None = None
) -> pa.Table:
    """Evaluate every checkpoint that a run keeps.

    Args:
        experiment: The experiment that was run.
        store: The store that keeps the run.
        evaluator: Evaluates one checkpoint.
        progress: Receives the progress; default: none is reported.

    Returns:
        The table kept as ``evaluation.parquet``: the columns of the records, then ``stderr``, ``items``, ``shots``,
        ``warning`` and ``options``. Other tasks' numbers of earlier calls are included; a shared generation 0 is
        listed under every cell that begins with it.

    Raises:
        InvalidInput: The models are no language models.
        StoreError: There is no run, it keeps no checkpoints, or one cannot be read.
    """
    if experiment.learner.kind != "language":
        raise InvalidInput(
            f"benchmarks are put to language models; the models of {experiment.name} are of kind "
            f"{experiment.learner.kind!r}"
        )
    document = store.read_document("run")
    if document is None:
        raise StoreError("there is no run here to evaluate; give the folder that `crossfeed run` created")
    store.begin(experiment.to_yaml(), document)
    try:
        _evaluate_all(experiment, store, evaluator, Silent() if progress is None else progress)
        table = _collect(experiment, store)
        store.write_result(_STEP, table)
    finally:
        store.end()
    return table


def _evaluate_all(experiment: Experiment, store: Store, evaluator: Evaluator, progress: Progress) -> None:
    kept = [place for place in _places(experiment) if store.has_states(*place)]
    if not kept:
        raise StoreError(
            f"{experiment.name} keeps no checkpoints (yet): there is none of a finished generation; run it, with "
            "checkpoints: last or all in its description"
        )
    names = experiment.ecosystem.names
    with progress.stage("evaluate", total=len(kept) * len(names), detail="checkpoints") as advance:
        for scope, generation in kept:
            for name in names:
                _evaluate_one(experiment.learner, store, scope, generation, name, evaluator, progress)
                advance(1)


def _evaluate_one(
    settings: LearnerSettings,
    store: Store,
    scope: str,
    generation: int,
    entity: str,
    evaluator: Evaluator,
    progress: Progress,
) -> None:
    """Evaluate one checkpoint on the tasks that have no numbers yet, and keep the numbers."""
    table = _SCHEMA.empty_table()
    if store.has_table(_STEP, scope, generation):
        table = store.read_table(_STEP, scope, generation)
    own = pc.equal(table.column("model"), entity)
    known = table.filter(pc.and_(own, pc.equal(table.column("options"), evaluator.options))).column("task")
    missing = [task for task in evaluator.tasks if task not in set(known.to_pylist())]
    if not missing:
        return
    name = f"{states_path(scope, generation)}/{entity}"
    ((scores, results),) = store.read_states(
        scope, generation, [entity], lambda folder: _evaluated(settings, folder, evaluator, missing, name)
    )
    if results:
        date = datetime.now().isoformat().replace(":", "-")  # as the harness names its files
        store.write_document(f"{results_of(scope, generation, entity)}/results_{date}", results)
    rows = [asdict(s) | {"generation": generation, "model": entity, "options": evaluator.options} for s in scores]
    old = pc.and_(own, pc.is_in(table.column("task"), pa.array(missing, pa.string())))
    table = pa.concat_tables([table.filter(pc.invert(old)), pa.Table.from_pylist(rows, schema=_SCHEMA)])
    store.write_table(_STEP, scope, generation, table)
    summary = ", ".join(f"{s.task} {s.metric} {s.value:.3f}" for s in scores)
    progress.log(f"{scope} t={generation} {entity}: {summary}")
    for task, warning in {s.task: s.warning for s in scores if s.warning}.items():
        progress.log(f"  warning on {task}: {warning}")


def _evaluated(
    settings: LearnerSettings, checkpoint: Path, evaluator: Evaluator, tasks: Sequence[str], name: str
) -> Evaluated:
    with settings.standalone(checkpoint) as folder:
        return evaluator.evaluate(folder, tasks, name)


def _collect(experiment: Experiment, store: Store) -> pa.Table:
    cells = experiment.cells()
    tables = [with_coordinates(_SCHEMA.empty_table(), cells[0], experiment)]
    for cell in cells:
        for generation in range(cell.experiment.generations + 1):
            scope = state_scope_of(cell, generation)
            if store.has_table(_STEP, scope, generation):
                tables.append(with_coordinates(store.read_table(_STEP, scope, generation), cell, experiment))
    return pa.concat_tables(tables)


def _places(experiment: Experiment) -> list[tuple[str, int]]:
    """Return scope and generation of every state that may be kept, each once."""
    cells = experiment.cells()
    places = [(state_scope_of(c, t), t) for c in cells for t in range(c.experiment.generations + 1)]
    return list(dict.fromkeys(places))
