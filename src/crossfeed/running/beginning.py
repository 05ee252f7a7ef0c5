"""The beginning of a run: its folder is opened for writing, and what it begins from is kept."""

from __future__ import annotations

from typing import Any, Final, cast

from crossfeed.description.growth import Growth, growth
from crossfeed.display.formatting import counted
from crossfeed.errors import InvalidInput
from crossfeed.protocols import SharedStore
from crossfeed.running.described import document_for, stored_experiment
from crossfeed.running.growth import begin_growth, refuse_mismatch
from crossfeed.running.session import Session
from crossfeed.running.shares import Shares
from crossfeed.store.schema import GROWS

__all__ = ["begin_run", "keep_inputs"]

_GROWING: Final = "growing"
"""The claim of a process that notes what a growth of the run asks for."""


def begin_run(session: Session, share: tuple[int, int] | None = None) -> Shares | None:
    """Open a run for writing, as the one that a session's experiment describes, or that it grows to.

    Args:
        session: The session; its cells have the addresses of the run (`crossfeed.running.growth.addressed`).
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
    existing = store.read_document("run")
    grows = _growth(session, existing)
    if existing is None or grows:
        experiment.refuse_alike()
    document = document_for(experiment, _contents(session)) | grows
    if share is None:
        store.begin(experiment.to_yaml(), document)
        _grow(session)
        return None
    if not hasattr(store, "claims"):  # see `crossfeed.protocols.SharedStore`
        raise InvalidInput(
            f"cells = {share[0]}/{share[1]}: several processes cannot write to this store; give a folder or a URL "
            "(crossfeed.open_store)"
        )
    sharing = cast(SharedStore, store)
    sharing.begin(experiment.to_yaml(), document, shared=True)
    shares = Shares(session, sharing.claims, share)
    with shares.alone(_GROWING):  # the others wait, and find it done
        _grow(session)
    return shares


def _grow(session: Session) -> None:
    """Note what a growth asks for, if the run has not done so yet, and say what cannot be measured any more."""
    experiment, store = session.setup.experiment, session.setup.store
    sentences = begin_growth(store, experiment)
    if sentences:
        session.journal.note(f"growth to {experiment.id}", sentences)


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


def _growth(session: Session, existing: dict[str, Any] | None) -> dict[str, Any]:
    """Return what a run's document says of how it grew: ids that it had, and what a growth has still to do.

    Raises:
        StoreMismatch: The store holds finished steps of a run that the experiment does not go on from.
    """
    experiment, store = session.setup.experiment, session.setup.store
    if existing is None or "cells" not in existing:
        return {}
    known: dict[str, Any] = {key: existing[key] for key in ("before", "merged", GROWS) if key in existing}
    if existing.get("id") == experiment.id:
        return known
    if not store.is_begun():
        return {}  # nothing is lost with a run that ended before its first step
    before = stored_experiment(store, existing)
    refuse_mismatch(store, existing, before, experiment)
    grown, earlier = growth(before, experiment), existing.get(GROWS, {"ends": {}, "metrics": []})
    asked = {"ends": {**grown.ends, **earlier["ends"]}, "metrics": [*earlier["metrics"], *grown.metrics]}
    session.setup.progress.log(f"{store}: goes on from {existing['id']}, {_words(grown)}")
    return known | {"before": [*existing.get("before", []), existing["id"]], GROWS: asked}


def _words(grown: Growth) -> str:
    """Return the additions of a growth in words."""
    said = []
    if grown.ends:
        said.append(f"{counted(len(grown.ends), 'cell')} with more generations")
    if grown.cells:
        said.append(counted(len(grown.cells), "new cell"))
    if grown.metrics:
        said.append(f"also measured: {', '.join(grown.metrics)}")
    return "; ".join(said)


def _contents(session: Session) -> dict[str, str]:
    """Return the hashes of each task's data, in order and each once: a grid may vary the data."""
    contents: dict[str, dict[str, None]] = {}
    for position in range(len(session.setup.experiment.cells())):
        for name, task in session.prepared(position).tasks.items():
            contents.setdefault(name, {})[task.content] = None
    return {name: "+".join(hashes) for name, hashes in contents.items()}
