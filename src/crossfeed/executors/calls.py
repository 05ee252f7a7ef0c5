"""What a worker can be asked, and how it answers.

``advance`` carries a cell on by the worker's own session: everything stays in the worker and the store. The verbs of
a learner (``start``, ``update``, ``generate``, ``score``, ``embed``, ``save``, ``load``, ...) serve a cell whose turns
are taken elsewhere (`crossfeed.executors.distributed`): states stay in the worker under numbers, and only numbers
travel.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from crossfeed import errors
from crossfeed.description.experiment import Experiment
from crossfeed.errors import CrossfeedError, Diverged, InvalidInput, StoreError, WorkerFailure
from crossfeed.executors.messages import pack_scores, unpack_set
from crossfeed.protocols import Learner, State
from crossfeed.running.session import Session, Setup
from crossfeed.store import open_store

__all__ = ["Desk", "Emit", "open_desk", "raise_error", "refusal", "wire"]

Emit = Callable[[Mapping[str, Any]], None]
"""Sends one message back."""

_EVERY: Final = 0.2
"""Seconds between two messages of one stage of work."""


def wire(setup: Setup) -> dict[str, Any]:
    """A setup as plain data.

    Raises:
        InvalidInput: The store is in this process's memory, or the experiment holds what no description can say.
    """
    location = setup.store.location
    if location is None:
        raise InvalidInput("a run in memory has no other workers than its own process; give it a folder (open_store)")
    text = setup.experiment.to_yaml()
    if Experiment.from_yaml(text).id != setup.experiment.id:
        raise InvalidInput("this experiment cannot be written as YAML and read back, which workers do; run it serially")
    return {
        "experiment": text,
        "id": setup.experiment.id,
        "store": location,
        "data_root": None if setup.data_root is None else str(setup.data_root.resolve()),
        "cache": str(setup.cache.resolve()),
        "folder": str(Path.cwd()),
    }


def open_desk(setup: Mapping[str, Any], emit: Emit) -> Desk:
    """A worker's desk for what `wire` wrote.

    Raises:
        StoreError: The worker does not see the run.
    """
    with suppress(OSError):  # a machine without that folder has no data there either
        os.chdir(setup["folder"])
    store = open_store(setup["store"], worker=True)
    found = store.read_document("run")
    if found is None or found.get("id") != setup["id"]:
        raise StoreError(
            f"{setup['store']}: this worker sees no such run there; give --out a folder that all workers share, or a "
            "URL such as s3://bucket/run"
        )
    root = setup["data_root"]
    experiment = Experiment.from_yaml(setup["experiment"])
    progress = _Relay(emit)
    return Desk(Session(Setup(experiment, store, root and Path(root), Path(setup["cache"]), progress)), emit)


@dataclass
class Desk:
    """A worker's side: its session, and the states it holds for others."""

    session: Session
    emit: Emit
    _states: dict[int, State] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def answer(self, call: Mapping[str, Any]) -> None:
        """Carry out a call and send its result, or what went wrong."""
        try:
            result = self._do(call)
            self.emit({"reply": "result", "value": result})
        except Exception as error:  # told where it is waited for
            self.emit(refusal(error))

    def _do(self, call: Mapping[str, Any]) -> Any:
        for number in call.get("forget", ()):
            self._states.pop(number, None)
        if call["call"] == "clear":
            self._states.clear()
            return None
        if call["call"] == "advance":
            for cell in call["cells"]:
                self.session.advance(cell, only_start=call["only_start"])
            return None
        verb: Callable[..., Any] = getattr(self, f"_{call['call']}")
        return verb(self.session.learner(call["cell"]), **call["with"])

    def _keep(self, states: list[State]) -> list[int]:
        numbers = [next(self._numbers) for _ in states]
        self._states.update(zip(numbers, states, strict=True))
        return numbers

    def _held(self, numbers: list[int]) -> list[State]:
        return [self._states[number] for number in numbers]

    def _examples_read(self, learner: Learner, n: int, generation: int, entity: int) -> int:
        return learner.examples_read(n, generation, entity)

    def _describe(self, learner: Learner) -> dict[str, str]:
        return learner.describe()

    def _start(self, learner: Learner, entities: list[int]) -> list[int]:
        return self._keep(learner.start(entities))

    def _update(
        self, learner: Learner, states: list[int], sets: list[Any], keys: list[int], generation: int
    ) -> list[int]:
        return self._keep(learner.update(self._held(states), [unpack_set(one) for one in sets], keys, generation))

    def _generate(self, learner: Learner, states: list[int], prompts: list[Any], keys: list[Any]) -> list[Any]:
        return learner.generate(self._held(states), prompts, keys)

    def _score(self, learner: Learner, states: list[int], tables: list[Any]) -> list[list[Any]]:
        return [[pack_scores(one) for one in row] for row in learner.score(self._held(states), tables)]

    def _embed(self, learner: Learner, tables: list[Any]) -> list[Any]:
        return list(learner.embed(tables))

    def _save(self, learner: Learner, states: list[int]) -> list[dict[str, bytes]]:
        return [_files_of(learner, state) for state in self._held(states)]

    def _load(self, learner: Learner, files: dict[str, bytes]) -> list[int]:
        with tempfile.TemporaryDirectory() as made:
            for name, content in files.items():
                path = Path(made, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            return self._keep([learner.load(Path(made))])


def _files_of(learner: Learner, state: State) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        learner.save(state, folder)
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def refusal(error: Exception) -> dict[str, Any]:
    """The message that says what went wrong."""
    diverged = isinstance(error, Diverged)
    return {
        "reply": "error",
        "kind": type(error).__name__,
        "message": error.message if isinstance(error, Diverged) else str(error),
        "entity": error.entity if isinstance(error, Diverged) else None,
        "given": isinstance(error, CrossfeedError) and not diverged,
        "traceback": traceback.format_exc(),
    }


def raise_error(reply: Mapping[str, Any], entities: tuple[int, ...] = ()) -> None:
    """Raise what a worker's ``error`` or ``lost`` says.

    Args:
        reply: It.
        entities: Which entities the call was about: the worker numbers them from 0.

    Raises:
        CrossfeedError: As the worker raised it, if what was given cannot be used.
        Diverged: An entity did.
        WorkerFailure: Everything else.
    """
    if reply["reply"] == "lost":
        raise WorkerFailure(reply["message"], "WorkerLost", lost=True)
    if reply["given"]:
        known = getattr(errors, reply["kind"], CrossfeedError)
        raise known(reply["message"])
    if reply["kind"] == "Diverged":
        entity = reply["entity"]
        raise Diverged(reply["message"], entities[entity] if isinstance(entity, int) and entities else entity)
    raise WorkerFailure(reply["message"], reply["kind"], reply["traceback"])


class _Relay:
    """Progress that is shown where the run was started."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._numbers = itertools.count()

    @contextmanager
    def stage(self, name: str, total: int | None = None, detail: str = "") -> Iterator[Callable[[int], None]]:
        """A stage that is shown elsewhere."""
        number, waiting, said = next(self._numbers), 0, time.monotonic()

        def advance(steps: int) -> None:
            nonlocal waiting, said
            waiting += steps
            if time.monotonic() - said >= _EVERY:
                self._emit({"reply": "steps", "number": number, "steps": waiting})
                waiting, said = 0, time.monotonic()

        self._emit({"reply": "stage", "number": number, "name": name, "total": total, "detail": detail})
        try:
            yield advance
        finally:
            if waiting:
                self._emit({"reply": "steps", "number": number, "steps": waiting})
            self._emit({"reply": "end", "number": number})

    def note(self, text: str) -> None:
        """A line that is written elsewhere."""
        self._emit({"reply": "note", "text": text})
