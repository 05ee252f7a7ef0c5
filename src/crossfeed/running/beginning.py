"""The beginning of a run: its folder is opened for writing, and what it begins from is kept."""

from __future__ import annotations

from crossfeed.running.session import Session
from crossfeed.store.schema import SCHEMA

__all__ = ["begin_run", "keep_inputs"]


def begin_run(session: Session) -> None:
    """Open a run for writing, as the one that a session's experiment describes.

    Args:
        session: The session.

    Raises:
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
    store.begin(experiment.to_yaml(), document)


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
