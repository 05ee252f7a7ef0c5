"""Checks that values pair: of two runs the seeds, the tasks and their data; of cells that they did not fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crossfeed.display.formatting import message_line, value_text
from crossfeed.errors import InvalidInput
from crossfeed.protocols import PUBLIC
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import columns_of
from crossfeed.reporting.data.opening import check_distinct
from crossfeed.reporting.differences.pairs import Pairs
from crossfeed.running.described import document_of
from crossfeed.settings import Frozen, identity

__all__ = ["check_comparable", "check_generation", "data_notes", "without_failures"]


def check_comparable(first: Run, second: Run) -> list[str]:
    """Check that two runs have seeds and tasks in common, and the same data under the same name.

    Args:
        first: A run.
        second: Another one.

    Returns:
        Sentences on what is left out, because one of them lacks it, and on what else to know.

    Raises:
        InvalidInput: One run is given twice; no seed, model or task is in both; or a task has other data.
    """
    names = f"{first.store} and {second.store}"
    check_distinct([first, second])
    seeds = [run.experiment.seeds for run in (first, second)]
    models = [run.experiment.ecosystem.names for run in (first, second)]
    tasks = [[*run.experiment.tasks, PUBLIC] for run in (first, second)]
    for what, (ours, theirs) in (("seed", seeds), ("model", models), ("task", tasks)):
        if not set(ours) & set(theirs):
            raise InvalidInput(
                f"{names}: no {what} is in both ({_listed(ours)}; {_listed(theirs)}), so there are no pairs of values; "
                f"give runs that have {what}s of the same {'number' if what == 'seed' else 'name'}"
            )
    other = _other_data(first, second)
    if other:
        raise InvalidInput(
            f"{names}: other data under the same name ({', '.join(other)}), so their losses are not those of the same "
            "items; give runs on the same data"
        )
    learners = [run.experiment.learner for run in (first, second)]
    notes = (
        [f"The learners differ: {learners[0].other_units}."] if learners[0].other_units and _differ(*learners) else []
    )
    return notes + [
        f"Left out, since one run lacks {'it' if len(missing) == 1 else 'them'}: {what}s {_listed(missing)}."
        for what, (ours, theirs) in (("seed", seeds), ("model", models), ("task", tasks))
        if (missing := [each for each in dict.fromkeys([*ours, *theirs]) if (each in ours) != (each in theirs)])
    ]


def check_generation(runs: Sequence[Run], generation: int) -> None:
    """Check that a generation is one that all runs have.

    Args:
        runs: The runs.
        generation: The generation t.

    Raises:
        InvalidInput: It is not.
    """
    last = min(run.experiment.generations for run in runs)
    if not 0 <= generation <= last:
        raise InvalidInput(f"--generation {generation}: give one from 0 to {last}")


def data_notes(run: Run) -> list[str]:
    """Return a sentence if the points of a run's grid may have other data under one name.

    Args:
        run: The run.
    """
    varied = [path for path in run.experiment.grid if path.split(".")[0] in ("tasks", "public")]
    if not varied:
        return []
    return [f"The grid varies data ({', '.join(varied)}): where test items differ, so do losses, whatever the models."]


def without_failures(first: Run, second: Run, pairs: Pairs) -> tuple[Pairs, list[str]]:
    """Return the pairs of points of which no cell failed, and sentences on the others.

    Args:
        first: The run of the points that are subtracted.
        second: The run of the others.
        pairs: The pairs.

    Raises:
        InvalidInput: None is left.
    """
    failed = [_failed(run) for run in (first, second)]
    whole = [pair for pair in pairs if not any(point in bad for point, bad in zip(pair, failed, strict=True))]
    told = [
        (run, point, bad[point])
        for place, (run, bad) in enumerate(zip((first, second), failed, strict=True))
        for point in dict.fromkeys(pair[place] for pair in pairs)
        if point in bad
    ]
    told = list({(str(run.store), point): (run, point, bad) for run, point, bad in told}.values())
    if pairs and not whole:
        run, _, (cell, reached, why) = told[0]
        until = f"--generation {reached}, which it has reached, or " if reached >= 0 else ""
        raise InvalidInput(
            f"{run.store}: cell {cell} failed ({why}), and a mean over the seeds that are left would be one over the "
            f"lucky ones; give {until}other points"
        )
    return whole, [
        f"Left out: {columns_of(run.points).labels[point] or 'a point'}, since cell {cell} failed ({why})."
        for run, point, (cell, _, why) in told
    ]


def _failed(run: Run) -> dict[int, tuple[str, int, str]]:
    """Return by point the first cell that failed, the generation that it reached, and why it failed."""
    if run.failures.empty:
        return {}
    cells = run.cells[run.cells["state"] == "failed"].merge(run.failures, on="cell").to_dict("records")
    found = {int(cell["point"]): (str(cell["cell"]), int(cell["reached"]), _why(cell)) for cell in reversed(cells)}
    return dict(sorted(found.items()))


def _why(failure: Mapping[Any, Any]) -> str:
    where = "" if failure["generation"] is None else f" at generation {int(failure['generation'])}"
    return f"{failure['type']}{where}: {message_line(Exception(failure['message']))}"


def _other_data(first: Run, second: Run) -> list[str]:
    """Return names of tasks that are other data in the two runs: by the hashes of the data, else as described."""
    described = [{**run.experiment.tasks, PUBLIC: run.experiment.public} for run in (first, second)]
    hashes: list[Mapping[str, str]] = [document_of(run.store).get("data", {}) for run in (first, second)]
    other = []
    for name in described[0]:
        if name not in described[1]:
            continue
        contents = {each.get(name) for each in hashes}
        known = None not in contents
        if len(contents) > 1 if known else _differ(described[0][name], described[1][name]):
            other.append(name)
    return other


def _differ(one: Frozen, other: Frozen) -> bool:
    return bool(identity(one) != identity(other))


def _listed(values: Sequence[Any]) -> str:
    shown = [value_text(value) for value in values[:12]]
    return ", ".join(shown) + (f" and {len(values) - 12} more" if len(values) > 12 else "")
