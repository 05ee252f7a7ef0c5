"""The beginning of a run: its folder is opened for writing, and what it begins from is kept."""

from __future__ import annotations

from typing import cast

from crossfeed.errors import InvalidInput
from crossfeed.protocols import SharedStore
from crossfeed.running.session import Session
from crossfeed.running.shares import Shares
from crossfeed.store.schema import SCHEMA

__all__ = ["begin_run", "keep_inputs"]


def begin_run(session: Session, share: tuple[int, int] | None = None) -> Shares | None:
    """Open a run for writing, as the one that a session's experiment describes.

    Args:
        session: The session.
        share: This process's share of the cells, if other processes may write to the run at the same time.

    Returns:
        Its part in the run; None if no other process writes to it.

    Raises:
        InvalidInput: Several processes cannot write to the store.
        InvalidDescription: Names differ in upper and lower case alone.
        StoreMismatch: The store holds another run, or the data changed.
        StoreError: The store cannot be written, or another process writes to it.
    """
    experiment, store = session.setup.experiment, session.setup.store
    if store.read_document("run") is None:
        experiment.refuse_alike()
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
    document = {
        "schema": SCHEMA,
        "id": experiment.id,
        "name": experiment.name,
        "data": _contents(session),
        "cells": cells,
    }
    if share is None:
        store.begin(experiment.to_yaml(), document)
        return None
    if not hasattr(store, "claims"):  # see `crossfeed.protocols.SharedStore`
        raise InvalidInput(
            f"cells = {share[0]}/{share[1]}: several processes cannot write to this store; give a folder or a URL "
            "(crossfeed.open_store)"
        )
    sharing = cast(SharedStore, store)
    sharing.begin(experiment.to_yaml(), document, shared=True)
    return Shares(session, sharing.claims, share)


def keep_inputs(session: Session) -> None:
    """Keep what tasks note on their data, and what identifies the models that the run begins from.

    Args:
        session: The session.

    Raises:
        StoreMismatch: A model is no longer what it was when the run was begun.
    """
    cells = session.setup.experiment.cells()
    for position in range(len(cells)):
        for name, task in session.prepared(position).tasks.items():
            sentences = (f"{name}: {sentence}" for sentence in getattr(task, "notes", ()))
            session.journal.note(f"{name} {task.content}", sentences)
    learners = {repr(cell.experiment.combined_learner): cell.experiment.combined_learner for cell in cells}
    for learner in learners.values():
        session.journal.identify(learner.models())


def _contents(session: Session) -> dict[str, str]:
    """Return the hashes of each task's data, in order and each once: a grid may vary the data."""
    contents: dict[str, dict[str, None]] = {}
    for position in range(len(session.setup.experiment.cells())):
        for name, task in session.prepared(position).tasks.items():
            contents.setdefault(name, {})[task.content] = None
    return {name: "+".join(hashes) for name, hashes in contents.items()}
