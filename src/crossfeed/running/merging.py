"""Runs of one experiment in several folders become one run: `merge`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from crossfeed.description.experiment import Cell, Experiment
from crossfeed.description.union import places, union
from crossfeed.display.progress import Silent
from crossfeed.errors import InvalidInput, StoreMismatch
from crossfeed.protocols import Progress, Store
from crossfeed.records import collect, collect_projection, reached, scope_of, state_scope_of
from crossfeed.running.described import document_for, document_of, stored_experiment
from crossfeed.running.growth import ADDED
from crossfeed.running.sittings import refuse_mixture
from crossfeed.store import open_store
from crossfeed.store.packs import TOGETHER
from crossfeed.store.schema import GROWS, TABLES

__all__ = ["Merged", "merge"]

_BY_NAME: Final = ("notes", "models", "precision")
"""Folders of documents whose names say what they are about: what two runs have of one name has to be the same."""

_OF_CELLS: Final = ("failures", "known")
"""Folders of documents on single cells, which are named after them."""


@dataclass(frozen=True)
class Merged:
    """The outcome of a merger.

    Attributes:
        experiment: The experiment of the merged run.
        taken: Numbers of cells that each run gave, by its name.
        missing: Names of cells of the merged grid that no run has finished: `crossfeed run` with the folder runs them.
    """

    experiment: Experiment
    taken: Mapping[str, int]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    name: str
    store: Store
    document: Mapping[str, Any]
    experiment: Experiment
    zeros: Mapping[str, str]


def merge(locations: Sequence[str | Path], out: str | Path, progress: Progress | None = None) -> Merged:
    """Merge runs that differ in seeds, grid values or single fields into one run; they themselves are only read.

    Done again after it was stopped, it ends with the same folder.

    Args:
        locations: Folders or URLs of two or more runs, finished or not.
        out: The folder or URL of the merged run.
        progress: Reports progress; default nothing is reported.

    Returns:
        The merged experiment, what each run gave, and the cells that none has finished.

    Raises:
        InvalidInput: The runs are not of one experiment, or are not to be merged as they are; the message says why.
        StoreMismatch: Numbers, data, models or precision of two runs contradict each other; the message names them.
        StoreError: A run cannot be read, or the merged one cannot be written.
    """
    sources = [_opened(str(location)) for location in locations]
    target = open_store(str(out))
    _refuse_same([*(source.store for source in sources), target], len(sources))
    merged = union({source.name: source.experiment for source in sources})
    _refuse_contradictions(sources, merged)
    cells_of = {source.name: places(source.experiment, merged) for source in sources}
    target.begin(merged.to_yaml(), _document(sources, merged))
    try:
        for source in sources:
            _copy_cells(source, target, cells_of[source.name], progress or Silent())
        _copy_documents(sources, target, cells_of, merged)
        finished = [cell for cell in merged.cells() if reached(target, cell) == cell.experiment.generations]
        if len(merged.cells()) >= TOGETHER:
            target.pack([*sorted({scope_of(cell, 0) for cell in finished}), *(cell.name for cell in finished)])
        target.write_result("records", collect(target, merged, merged.cells()))
        if any(each.projected for each in merged.metrics.values()):
            projection = collect_projection(target, merged.cells())
            if projection is not None:
                target.write_result("projection", projection)
    finally:
        target.end()
    done = {cell.name for cell in finished}
    taken = {name: len(known) for name, known in cells_of.items()}
    return Merged(merged, taken, tuple(cell.name for cell in merged.cells() if cell.name not in done))


def _opened(location: str) -> _Source:
    store = open_store(location)
    document = document_of(store)
    if store.writers():
        raise InvalidInput(f"{store}: {', '.join(store.writers())} is at work on it; merge it when that has ended")
    if GROWS in document or store.documents(ADDED):
        raise InvalidInput(f"{store}: it was extended, and is not finished; go on with it first: crossfeed run {store}")
    zeros = {entry["cell"]: entry["zero"] for entry in document.get("cells", [])}
    return _Source(str(store), store, document, stored_experiment(store, document), zeros)


def _refuse_same(stores: Sequence[Store], sources: int) -> None:
    if sources < 2:
        raise InvalidInput("give two runs or more to merge; one alone is what it is")
    seen: dict[str, None] = {}
    for store in stores:
        if str(store.location) in seen:
            raise InvalidInput(f"{store}: given twice; give different runs, and a folder of its own with --out")
        seen[str(store.location)] = None


def _refuse_contradictions(sources: Sequence[_Source], merged: Experiment) -> None:
    """Refuse runs of other data, models or precision; numbers are compared as they are copied."""
    varies_data = any(path.split(".")[0] in ("tasks", "public") for path in merged.grid)
    first = sources[0]
    for source in sources[1:]:
        for task, content in source.document.get("data", {}).items():
            known = first.document.get("data", {}).get(task, content)
            if known != content and not varies_data:
                raise StoreMismatch(
                    f"the data of {task} are not the same in {first.name} and {source.name}; run both with the same"
                )
        described = (source.store.read_document("environment") or {}).get("learner", {})
        try:
            refuse_mixture(first.store.read_document("environment") or {}, described)
        except StoreMismatch as error:
            raise StoreMismatch(f"{first.name} and {source.name}: {error}") from error
    for folder in _BY_NAME:
        known_of: dict[str, tuple[str, Any]] = {}
        for source in sources:
            for name in source.store.documents(folder):
                content = (source.store.read_document(name) or {}).get("content")
                other, before = known_of.setdefault(name, (source.name, content))
                if before != content:
                    raise StoreMismatch(
                        f"{other} and {source.name} began from different models of one name; merge none"
                    )


def _document(sources: Sequence[_Source], merged: Experiment) -> dict[str, Any]:
    data: dict[str, dict[str, None]] = {}
    for source in sources:
        for task, content in source.document.get("data", {}).items():
            data.setdefault(task, {}).update(dict.fromkeys(content.split("+")))
    described = document_for(merged, {task: "+".join(hashes) for task, hashes in data.items()})
    return described | {"merged": [source.document["id"] for source in sources]}


def _copy_cells(source: _Source, target: Store, known: Mapping[str, Cell], progress: Progress) -> None:
    """Copy the cells of a run to those that they are in the merged one."""
    with progress.stage("merge", len(known), source.name) as advance:
        for cell in source.experiment.cells():
            for generation in range(cell.experiment.generations + 1):
                scope = cell.name if generation else f"shared/{source.zeros[cell.name]}"
                _copy_generation(source, target, (cell, scope), known[cell.name], generation)
            advance(1)


def _copy_generation(source: _Source, target: Store, of: tuple[Cell, str], to: Cell, generation: int) -> None:
    cell, scope = of
    new = scope_of(to, generation)
    for step in TABLES:
        if not source.store.has_table(step, scope, generation):
            continue
        table = source.store.read_table(step, scope, generation)
        if step == "records" and target.has_table(step, new, generation):
            _refuse_other_numbers(source, to, generation, target.read_table(step, new, generation), table)
            continue
        if "cell" in table.column_names:
            at = table.column_names.index("cell")
            table = table.set_column(at, "cell", pa.repeat(pa.scalar(to.name), table.num_rows))
        target.write_table(step, new, generation, table)
    before, after = state_scope_of(cell, generation), state_scope_of(to, generation)
    if source.store.has_states(before, generation) and not target.has_states(after, generation):
        _copy_states(source.store, target, cell, (before, after), generation)


def _refuse_other_numbers(source: _Source, cell: Cell, generation: int, there: pa.Table, here: pa.Table) -> None:
    """Refuse two measurements of one generation that are not the same."""
    values = []
    for table in (there, here):
        rows = table.filter(pc.not_equal(table.column("metric"), "seconds")).to_pylist()
        values.append({(row["model"], row["task"], row["metric"]): row["value"] for row in rows})
    for place in dict.fromkeys([*values[0], *values[1]]):
        one, other = (each.get(place) for each in values)
        if one != other and not (one != one and other != other):  # noqa: PLR0124 - numbers that are none are equal here
            model, task, metric = place
            raise StoreMismatch(
                f"{cell.name}, generation {generation}: {metric} of {model} on {task} is {other} in {source.name}, and "
                f"{one} in another of these runs; runs that contradict each other are not merged"
            )


def _copy_states(source: Store, target: Store, cell: Cell, scopes: tuple[str, str], generation: int) -> None:
    entities = cell.experiment.ecosystem.names
    with tempfile.TemporaryDirectory(prefix="crossfeed-") as folder:

        def take(state: Path) -> Path:
            return Path(shutil.copytree(state, Path(folder) / state.name))

        taken = dict(zip(entities, source.read_states(scopes[0], generation, entities, take), strict=True))

        def save(state: Path, place: Path) -> None:
            shutil.copytree(state, place, dirs_exist_ok=True)

        target.write_states(scopes[1], generation, taken, save)


def _copy_documents(
    sources: Sequence[_Source], target: Store, cells_of: Mapping[str, Mapping[str, Cell]], merged: Experiment
) -> None:
    sittings = 0
    for source in sources:
        known = cells_of[source.name]
        for folder in _BY_NAME:
            for name in source.store.documents(folder):
                target.write_document(name, source.store.read_document(name) or {})
        for folder in _OF_CELLS:
            for name in source.store.documents(folder):
                cell = known.get(name.removeprefix(f"{folder}/"))
                document = source.store.read_document(name)
                if cell is not None and document is not None:
                    renamed = document | ({"cell": cell.name} if "cell" in document else {})
                    target.write_document(f"{folder}/{cell.name}", renamed)
        for name in source.store.documents("sittings"):
            sittings += 1
            sitting = source.store.read_document(name) or {}
            target.write_document(f"sittings/{sittings:03d}", sitting | {"run": source.document["id"]})
        environment = source.store.read_document("environment")
        if environment is not None:
            target.write_document("environment", environment)
    for cell in merged.cells():
        if reached(target, cell) == cell.experiment.generations:  # another run finished what one failed at
            for folder in _OF_CELLS:
                target.drop_document(f"{folder}/{cell.name}")
