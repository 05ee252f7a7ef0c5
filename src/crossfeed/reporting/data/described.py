"""The description that a run was begun with, read from its folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crossfeed.description.experiment import Experiment
from crossfeed.description.installed import check_installed
from crossfeed.description.stored import read_stored
from crossfeed.description.strict_yaml import parse_yaml
from crossfeed.environment import absent_packages
from crossfeed.errors import InvalidInput, MissingDependency, StoreError
from crossfeed.store.folder import FolderStore
from crossfeed.store.schema import check_document

__all__ = ["document_of", "resumed", "stored_experiment"]


def document_of(store: FolderStore) -> dict[str, Any]:
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


def stored_experiment(store: FolderStore, document: Mapping[str, Any]) -> Experiment:
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


def resumed(store: FolderStore, overrides: tuple[str, ...] = ()) -> Experiment:
    """Return the experiment to go on with in a run's folder.

    Args:
        store: The store of the run.
        overrides: ``path.to.key=value`` each, of fields that change no result.

    Returns:
        The experiment.

    Raises:
        StoreError: There is no run, or its description is damaged.
        MissingDependency: A part of it is of a package that is not installed; the message names it.
        InvalidInput: The overrides make it another experiment; or what it needs was taken out when it was exported.
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
    if experiment.id != stored.id:
        raise InvalidInput(
            f"--set {' --set '.join(overrides)}: that is another experiment ({experiment.id}) than the run in {store} "
            f"({stored.id}), and runs are never mixed; leave it out to go on, or begin a run of its own: crossfeed run "
            f"{store}/experiment.yaml --set ..."
        )
    return experiment
