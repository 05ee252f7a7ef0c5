"""The description of a run in its folder: what is written of it, and how it is read again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from crossfeed.description.experiment import Experiment
from crossfeed.description.growth import obstacles
from crossfeed.description.installed import check_installed
from crossfeed.description.stored import read_stored
from crossfeed.description.strict_yaml import parse_yaml
from crossfeed.environment import absent_packages
from crossfeed.errors import CrossfeedError, InvalidInput, MissingDependency, StoreError
from crossfeed.protocols import Store
from crossfeed.store import open_store
from crossfeed.store.schema import SCHEMA, can_go_on, check_document

__all__ = ["document_for", "document_of", "resumed", "smaller_run", "stored_experiment"]


def document_of(store: Store) -> dict[str, Any]:
    """Read a run's ``run.json``.

    Args:
        store: The store of the run.

    Returns:
        The document.

    Raises:
        StoreError: There is no run.
        NewerSchema: It was written by a newer crossfeed.
    """
    document = store.read_document("run")
    if document is None:
        raise StoreError(f"{store}: not a crossfeed run (no run.json in it); give the folder that `crossfeed run` made")
    check_document(str(store), document)
    return document


def document_for(experiment: Experiment, data: Mapping[str, str]) -> dict[str, Any]:
    """Return the ``run.json`` of a run of an experiment.

    Args:
        experiment: The experiment.
        data: Hashes of each task's data, joined by plus signs where a grid varies them.
    """
    cells = [
        {
            "cell": cell.name,
            "seed": cell.seed,
            "point": cell.point,
            "zero": cell.zero,
            "start": cell.start,
            "generations": cell.experiment.generations,
        }
        for cell in experiment.cells()
    ]
    about = {"schema": SCHEMA, "id": experiment.id, "name": experiment.name}
    return about | {"data": dict(data), "cells": cells}


def stored_experiment(store: Store, document: Mapping[str, Any]) -> Experiment:
    """Read a run's description, whatever packages it names; schema 1 knew models with as many threads as torch chose.

    Args:
        store: The store of the run.
        document: Its ``run.json``.

    Returns:
        The experiment.

    Raises:
        StoreError: The description is not there, or it was changed.
        InvalidDescription: It cannot be understood.
    """
    text = store.read_description()
    learner = parse_yaml(text).get("learner") or {}
    older = document["schema"] == 1 and learner.get("threads", 1) is None
    return read_stored(text, ("learner.threads=1",) if older else (), document)


def smaller_run(folders: Iterable[Path], experiment: Experiment) -> Path | None:
    """Return the folder of the largest run that an experiment goes on from.

    Args:
        folders: Folders that may hold runs.
        experiment: The experiment.

    Returns:
        The folder; None if no folder holds such a run that can be read.
    """
    names = {cell.name for cell in experiment.cells()}
    found: dict[Path, int] = {}
    for folder in folders:
        store = open_store(folder)
        with suppress(CrossfeedError):
            document = document_of(store)
            listed = [entry for entry in document.get("cells", ()) if entry["cell"] in names]
            known = len(listed) == len(document.get("cells", ())) and can_go_on(document)
            if not listed or not known or not store.is_begun():
                continue
            if not obstacles(stored_experiment(store, document), experiment):
                found[folder] = sum(entry["generations"] + 1 for entry in listed)
    return max(found, key=lambda folder: found[folder], default=None)


def resumed(store: Store, overrides: tuple[str, ...] = ()) -> Experiment:
    """Return the experiment to go on with in a run's folder.

    Args:
        store: The store of the run.
        overrides: ``path.to.key=value`` each, of fields that change no result, or with which the run grows.

    Returns:
        The experiment.

    Raises:
        StoreError: There is no run, or its description is damaged.
        MissingDependency: A part of it is of a package that is not installed; the message names it.
        InvalidInput: The overrides make it an experiment that does not go on from the run; or what it needs was taken
            out when it was exported.
    """
    document = document_of(store)
    stored = stored_experiment(store, document)
    removed = document.get("removed")
    if removed:
        raise InvalidInput(
            f"{store}: was exported without the paths of the machine where it was made ({', '.join(removed)}), so it "
            f"can be shown, but not gone on with; to run it anew: crossfeed run {store}/experiment.yaml --out FOLDER, "
            "with --set for each of these fields"
        )
    try:
        check_installed(stored)
    except MissingDependency as error:
        absent = absent_packages(store.read_document("environment") or {})
        install = f" ({', '.join(absent)}, where this run was begun)" if absent else ""
        raise MissingDependency(f"{store}: {error}{install}") from error
    experiment = Experiment.from_yaml(store.read_description(), overrides) if overrides else stored
    reasons = obstacles(stored, experiment) if experiment.id != stored.id else []
    if reasons:
        raise InvalidInput(
            f"--set {' --set '.join(overrides)}: that is another experiment ({experiment.id}) than the run in {store} "
            f"({stored.id}), and does not go on from it ({'; '.join(reasons)}); leave it out to go on, or begin a run "
            f"of its own: crossfeed run {store}/experiment.yaml --set ..."
        )
    return experiment
