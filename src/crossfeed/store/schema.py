"""The layout of a run, its version, and the columns of its records.

A run folder::

    experiment.yaml                                the description, defaults included
    run.json                                       schema version, content id, hashes of the data, the cells
    environment.json                               versions, device, threads, git commit of the latest process
    sittings/001.json                              the same of each start that computed something, without the device
    records.parquet                                every number with its full coordinates
    projection.parquet                             2-D coordinates of output embeddings, if measured
    records/<scope>/generation-000.parquet         the same numbers, generation by generation
    outputs/<scope>/generation-000.parquet         completions of test prompts that metrics were measured on
    losses/<scope>/generation-000.parquet          losses of single test items, if asked for (`metrics.loss.keep_items`)
    pool/<cell>/generation-001.parquet             the published items, with provenance
    checkpoints/<scope>/generation-000/<entity>/   weights and configuration of each entity's model
    packs/<step>/0001-<id>.parquet                 tables or checkpoints of many finished cells
    packs/<step>/0001-<id>.json                    which of them are in it
    evaluation.parquet, evaluation/<scope>/...     benchmark numbers, if requested (`crossfeed evaluate`)
    notes/<hash>.json                              a sentence on the data or the models, for `show` and the report
    models/<hash>.json                             a fingerprint of a model that the run began from
    precision/<precision>.json                     the precision of its computations: never two of them
    status/<cell>.json                             the work in progress
    failures/<cell>.json                           the step at which a cell stopped, and the reason
    curves/<scope>/000.json                        losses on the way through a generation, for forecasts
    forecast.parquet                               the forecast of all cells, if there is one
    known/<cell>.json                              how sure the forecast was of a cell that was left out for it
    added/<cell>.json                              metrics still to be measured of generations that were there before
    forecast.parquet                               every number as it is forecast, if requested (`run --forecast`)

A scope is a cell's name, or ``shared/<id>`` for a generation 0 that several cells share. Checksums are inside the files
(`crossfeed.store.checksum`). Names that begin with a dot are the store's own: ``.lock``, ``.writers`` and ``.claims``
(of processes that share a run), ``.partial-...`` (half-written), ``.damaged-...`` (set aside), ``.checksums.json`` (in
every folder of states).

Versions: 1 had no checksums, and other rules for ids; such runs are read, but not resumed. 2 had no packs; such runs
are resumed. 3 had no runs that grew. What is resumed is of the newest version from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from crossfeed.errors import NewerSchema, StoreError, StoreMismatch

__all__ = [
    "GROWS",
    "PACKS",
    "RECORD_COLUMNS",
    "SCHEMA",
    "STATES",
    "STEPS",
    "TABLES",
    "can_go_on",
    "check_document",
    "is_known",
    "is_same_run",
    "sealed_as",
    "states_path",
    "table_path",
    "within",
]

SCHEMA: Final = 4
"""Version of the layout; a reader refuses newer ones."""

TABLES: Final = ("records", "outputs", "losses", "pool")
"""The folders of the tables of generations."""

STATES: Final = "checkpoints"
"""The folder of states."""

PACKS: Final = "packs"
"""The folder of what was packed."""

GROWS: Final = "grows"
"""The key of ``run.json`` that tells of a growth until everything that it asks for is noted elsewhere."""

STEPS: Final = (*TABLES, STATES, PACKS)
"""The folders of a run's finished steps."""

_RESUMED: Final = 2
"""The oldest version that is gone on with."""

RECORD_COLUMNS: Final = (
    *("cell", "seed", "alpha", "beta", "generation", "model", "task", "metric", "value"),
    *("ecosystem.alpha", "ecosystem.beta"),
)
"""Columns that every ``records.parquet`` has, in this order; other grid fields follow, named by their paths.

``alpha`` and ``beta`` are the weights of the row's entity at the generation; those of the grid's point, as described,
are ``ecosystem.alpha`` and ``ecosystem.beta``. Runs written before entities' own weights were told lack these two.
"""


def check_document(where: str, document: Mapping[str, Any], resumed: Mapping[str, Any] | None = None) -> None:
    """Check that a stored run can be read, and that it is the one to resume, if there is one.

    Args:
        where: The store's name, for messages.
        document: Its ``run.json``.
        resumed: The document of the run that is about to write there.

    Raises:
        StoreError: It is not a run's document; or it is that of an older schema, and a run is about to write there.
        NewerSchema: It was written by a newer crossfeed.
        StoreMismatch: It holds another run, or the data changed.
    """
    schema = document.get("schema")
    if not isinstance(schema, int):
        raise StoreError(f"{where}: run.json has no schema number; this is not a crossfeed run, or it is damaged")
    if schema > SCHEMA:
        raise NewerSchema(
            f"{where}: written with schema {schema}, this crossfeed reads up to {SCHEMA}; upgrade crossfeed"
        )
    if resumed is None:
        return
    if not can_go_on(document):
        raise StoreError(
            f"{where}: written with schema {schema}, which kept no checksums and had other ids; it can be shown and "
            "reported, but not gone on with: choose another folder with --out"
        )
    if not is_same_run(document, resumed):
        raise StoreMismatch(
            f"{where}: holds the run {document.get('id')} (run.json), but this description is {resumed['id']}; "
            "runs are never mixed: choose another folder with --out"
        )
    known = document.get("data", {})
    changed = sorted(name for name, content in resumed["data"].items() if not _has_all(content, known.get(name)))
    if changed:
        raise StoreMismatch(
            f"{where}: the data of {', '.join(changed)} changed since this run was begun (another Python version or "
            "data folder?); go on with the same data, or choose another folder with --out"
        )


def can_go_on(document: Mapping[str, Any]) -> bool:
    """Return True if a run is of a version that is gone on with.

    Args:
        document: Its ``run.json``, which `check_document` accepts.
    """
    return int(document["schema"]) >= _RESUMED


def is_same_run(document: Mapping[str, Any], resumed: Mapping[str, Any]) -> bool:
    """Return True if a run may go on as another one: it has its id, or the other one has grown from it.

    Args:
        document: The ``run.json`` that is there.
        resumed: That of the run that is about to be written.
    """
    return document.get("id") in (resumed["id"], *resumed.get("before", ()))


def sealed_as(document: Mapping[str, Any]) -> str:
    """Return the id over which a run's checksums are: the one that it was begun with, also after it grew.

    Args:
        document: Its ``run.json``.
    """
    return str([*document.get("before", ()), document.get("id")][0])


def _has_all(content: str, known: str | None) -> bool:
    """Return True if the hashes of a task's data are among others; a grid that varies the data has several."""
    return known is None or {*known.split("+")} <= {*content.split("+")}


def table_path(step: str, scope: str, generation: int) -> str:
    """Return the path of a table of one generation.

    Args:
        step: One of `STEPS`.
        scope: The scope.
        generation: The generation t.

    Returns:
        The path within the run.

    Raises:
        StoreError: It would leave the run.
    """
    return within(f"{step}/{scope}/generation-{generation:03d}.parquet")


def states_path(scope: str, generation: int) -> str:
    """Return the path of the states after one generation.

    Args:
        scope: The scope.
        generation: The generation t.

    Returns:
        The path within the run.

    Raises:
        StoreError: It would leave the run.
    """
    return within(f"{STATES}/{scope}/generation-{generation:03d}")


def within(path: str) -> str:
    """Check that a path stays within the run.

    Args:
        path: The path, with slashes.

    Returns:
        The same path.

    Raises:
        StoreError: It does not.
    """
    if any(part in ("", ".", "..") for part in path.split("/")) or "\\" in path or "\0" in path:
        raise StoreError(f"{path!r} is not a path within a run")
    return path


def is_known(document: Mapping[str, Any]) -> bool:
    """Return True if a ``run.json`` has a checksum that this version can verify: those of schema 1 had none.

    Args:
        document: Its data, checksum included.

    Returns:
        False for documents of schema 1 and of newer schemas.
    """
    schema = document.get("schema")
    return isinstance(schema, int) and schema <= SCHEMA and (schema > 1 or "checksum" in document)
