"""Runs of one experiment, combined and renamed to the paper's names.

One run may hold one seed and another the next, or each a part of the grid: what may differ is seeds, alpha and beta. A
cell that several folders hold counts once. Entities and tasks get the names of the paper's: an entity is called after
the task that it owns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import pandas as pd

from crossfeed.description.experiment import Experiment
from crossfeed.display.formatting import shown
from crossfeed.errors import InvalidInput
from crossfeed.protocols import PUBLIC
from crossfeed.reporting.data.frames import Run, shares
from crossfeed.settings import identity

__all__ = ["Combined", "combine"]

_TASKS: Final = ("sciq", "gsm8k", "arc_challenge")
_SETS: Final = {frozenset(_TASKS[:2]), frozenset(_TASKS)}
_CALLED: Final = {name: name for name in _TASKS} | {"arc": "arc_challenge"}
#: Built-in tasks that are to a small model what the paper's are to a large one: facts, word problems, reasoning.
_STAND_INS: Final = {"facts": "sciq", "math": "gsm8k", "reason": "arc_challenge"}
_NOTHING: Final = object()


@dataclass(frozen=True)
class Combined:
    """Runs of one experiment.

    Attributes:
        runs: The runs.
        owners: The entities by their task's name in the paper, in the paper's order: what the runs call ``(entity,
            task)``.
        stand_ins: Tasks of the runs that are not the paper's, and which of the paper's each stands for.
        records: Records of all finished cells, each once, with the paper's names and ``point`` of `points`.
        points: ``alpha, beta``, indexed by ``point``.
        cells: ``alpha, beta, seed, state`` of all cells, each once: ``finished`` if any run finished it.
    """

    runs: tuple[Run, ...]
    owners: Mapping[str, tuple[str, str]]
    stand_ins: Mapping[str, str]
    records: pd.DataFrame
    points: pd.DataFrame
    cells: pd.DataFrame

    @property
    def experiment(self) -> Experiment:
        """The first run's experiment."""
        return self.runs[0].experiment

    @property
    def seeds(self) -> int:
        """The number of seeds with a finished cell."""
        return int(self.cells.loc[self.cells["state"] == "finished", "seed"].nunique())

    def state(self, alpha: float, beta: float) -> str:
        """Return the state of a cell over all seeds.

        It is ``finished`` if any seed finished it, ``forecast`` if all were left out because their losses are forecast
        well enough, ``unfinished`` if one was to be run, else ``not run``.

        Args:
            alpha: Synthetic share of the cell.
            beta: Private share of the cell.
        """
        states = self.cells[(self.cells["alpha"] == alpha) & (self.cells["beta"] == beta)]["state"]
        if states.empty:
            return "not run"
        if (states == "finished").any():
            return "finished"
        return "forecast" if (states == "forecast").all() else "unfinished"

    def label(self, entity: str, task: str) -> str:
        """Return a row's name in the runs' own words.

        Args:
            entity: The entity's name in the paper.
            task: The task's name in the paper.
        """
        name = task if task == PUBLIC else self.owners[task][1]
        return f"{self.owners[entity][0]} on {name}" if entity in self.owners else name


def combine(runs: Sequence[Run]) -> Combined:
    """Combine runs of one experiment.

    Args:
        runs: One run or several; they may be unfinished.

    Raises:
        InvalidInput: They are not one experiment, or not about the paper's tasks.
    """
    _check_one_experiment(runs)
    experiment = runs[0].experiment
    owners, stand_ins = _owners(experiment)
    every = pd.concat([_placed(number, run) for number, run in enumerate(runs)], ignore_index=True)
    # Finished ones first; a cell that two folders hold is one cell.
    every["open"] = every["state"] != "finished"
    cells = every.sort_values("open", kind="stable").drop_duplicates(["alpha", "beta", "seed"])
    points = cells[["alpha", "beta"]].drop_duplicates().sort_values(["beta", "alpha"]).reset_index(drop=True)
    points.index.name = "point"
    done = cells[cells["state"] == "finished"].merge(points.reset_index(), on=["alpha", "beta"])
    models = _models(experiment, owners)
    tasks = {task: name for name, (_, task) in owners.items()} | {PUBLIC: PUBLIC}
    pieces = [_records(run, done[done["run"] == number], models, tasks) for number, run in enumerate(runs)]
    return Combined(
        runs=tuple(runs),
        owners=owners,
        stand_ins=stand_ins,
        records=pd.concat(pieces, ignore_index=True),
        points=points,
        cells=cells[["alpha", "beta", "seed", "state"]].reset_index(drop=True),
    )


def _placed(number: int, run: Run) -> pd.DataFrame:
    """Return a run's cells with their shares."""
    return run.cells.merge(shares(run), left_on="point", right_index=True)[
        ["cell", "alpha", "beta", "seed", "state"]
    ].assign(run=number)


def _records(run: Run, done: pd.DataFrame, models: Mapping[str, str], tasks: Mapping[str, str]) -> pd.DataFrame:
    """Return records of a run's own finished cells, with the paper's names; what has none is left out."""
    records = run.records.drop(columns="point").merge(done[["cell", "point"]], on="cell")
    records = records.assign(model=records["model"].map(models), task=records["task"].map(tasks))
    return records.dropna(subset=["model", "task"])[["point", "seed", "generation", "model", "task", "metric", "value"]]


def _models(experiment: Experiment, owners: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Return the paper's names of entities and of pairs of them, by the runs' names."""
    words = {entity: name for name, (entity, _) in owners.items()}
    order = list(owners)
    for k, l in combinations(experiment.ecosystem.names, 2):  # noqa: E741 - the paper's letter
        words[f"{k}+{l}"] = "+".join(sorted((words[k], words[l]), key=order.index))
    return words


def _owners(experiment: Experiment) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    owners, stand_ins = {}, {}
    for entity in experiment.ecosystem.entities:
        private = next(iter(entity.owned))
        source = str(getattr(experiment.tasks[private], "source", ""))
        name = _CALLED.get(source) or _CALLED.get(private) or _STAND_INS.get(source)
        if name is not None:
            owners[name] = (entity.name, private)
            if source in _STAND_INS and name == _STAND_INS[source]:
                stand_ins[private] = name
    entities = experiment.ecosystem.entities
    if frozenset(owners) not in _SETS or len(owners) < len(entities):
        owned = ", ".join(f"{entity.name} owns {' and '.join(entity.owned)}" for entity in entities[:6])
        raise InvalidInput(
            f"{experiment.name}: the paper has no table of these entities ({owned}); its tables are about entities "
            "that own sciq and gsm8k (K = 2: Tables 2a, 2b, 2c, 3, 7, 8) or sciq, gsm8k and arc_challenge (K = 3: "
            "Tables 4a, 4b); the built-in facts, math and reason may stand for them"
        )
    return {name: owners[name] for name in _TASKS if name in owners}, stand_ins


def _check_one_experiment(runs: Sequence[Run]) -> None:
    """Raise unless runs differ only in seeds, alpha, beta and fields that change no result."""
    cells = [cell.experiment for run in runs for cell in run.experiment.cells()]
    described = [_flat(_common(each)) for each in cells]
    for path in dict.fromkeys(path for each in described for path in each):
        if len({repr(each.get(path, _NOTHING)) for each in described}) > 1:
            where, values = _spelled_out(cells, path)
            raise InvalidInput(
                f"{', '.join(str(run.store) for run in runs)}: not one experiment, {where} differs "
                f"({', '.join(values[:4])}); give runs that differ in seeds, alpha and beta alone"
            )
    for entity in runs[0].experiment.ecosystem.entities:
        if entity.alpha is not None or entity.beta is not None or entity.n is not None:
            raise InvalidInput(
                f"entity {entity.name!r} has an alpha, beta or n of its own; in the paper all entities share them"
            )
    eco = runs[0].experiment.ecosystem
    others = {
        "reads": eco.network is not None,
        "access": eco.access is not None,
        "clocks": not eco.in_step,
        "start": any(eco.start_of(entity) != "previous" for entity in eco.entities),
        "prompts": any(eco.prompts_of(entity) != "private" for entity in eco.entities),
    }
    for field in (name for name, other in others.items() if other):
        raise InvalidInput(
            f"ecosystem: {field}: in the paper everybody reads all of one pool in step, goes on from its last weights "
            "and answers private prompts; give a run like that"
        )


def _spelled_out(experiments: Sequence[Experiment], path: str) -> tuple[str, list[str]]:
    """Return a path, or as much of it as leads somewhere in all descriptions, and the values there, defaults too."""
    keys, described = path.split("."), [each.model_dump(mode="json") for each in experiments]
    while any(_at(each, keys) is _NOTHING for each in described):
        keys.pop()
    return ".".join(keys), list(dict.fromkeys(shown(_at(each, keys)) for each in described))


def _at(content: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        content = content.get(key, _NOTHING) if isinstance(content, dict) else _NOTHING
    return content


def _common(experiment: Experiment) -> dict[str, Any]:
    content: dict[str, Any] = dict(identity(experiment))
    content["ecosystem"] = {k: v for k, v in content["ecosystem"].items() if k not in ("alpha", "beta")}
    return {key: value for key, value in content.items() if key not in ("seeds", "grid")}


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    return dict(_leaves(content, prefix))


def _leaves(content: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, content
