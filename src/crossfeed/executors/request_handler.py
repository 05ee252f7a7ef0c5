"""The requests to a worker, and how it carries them out.

``advance`` runs cells in the worker's own session: everything stays in the worker and the store. The verbs of a
learner (``start``, ``update``, ``generate``, ``score``, ``embed``, ``save``, ``load``, ...) serve a cell whose
generations are run elsewhere (`crossfeed.executors.distributed`): states stay in the worker under numbers, and only the
numbers travel.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, cast

import pyarrow as pa

from crossfeed import errors
from crossfeed.description.experiment import Experiment
from crossfeed.errors import CrossfeedError, Diverged, InvalidInput, StoreError, WorkerFailure
from crossfeed.executors.messages import pack_scores, read_files, unpack_set, write_files
from crossfeed.executors.relayed_progress import Emit, RelayedProgress
from crossfeed.protocols import Array, CountingLearner, DiscreteLearner, Learner, RestartingLearner, State
from crossfeed.running.growth import addressed
from crossfeed.running.session import Session, Setup
from crossfeed.store import open_store

__all__ = ["RequestHandler", "error_reply", "open_request_handler", "raise_error", "setup_message"]


def setup_message(setup: Setup) -> dict[str, Any]:
    """Convert a setup to plain data, the first message to a worker.

    Args:
        setup: The setup of the main process's session.

    Returns:
        The message for `open_request_handler`.

    Raises:
        InvalidInput: The store is in this process's memory, the experiment has no faithful description in YAML, or
            what makes the forecaster has no name.
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
        "forecaster": None if setup.forecaster is None else _name_of(setup.forecaster),
    }


def _name_of(maker: Any) -> str:
    """Return ``module:name`` of a function or class; no code travels to workers."""
    name = f"{getattr(maker, '__module__', '')}:{getattr(maker, '__qualname__', '')}"
    try:
        found = None if name.startswith("__main__") else resolve_name(name)
    except (AttributeError, ImportError, ValueError):
        found = None
    if found is not maker:
        raise InvalidInput(
            f"forecaster = {maker!r}: workers cannot import it; give a class or function of a module, or run serially"
        )
    return name


def open_request_handler(setup: Mapping[str, Any], emit: Emit) -> RequestHandler:
    """Open the request handler of a worker.

    Args:
        setup: A message of `setup_message`.
        emit: Sends one message back.

    Returns:
        The handler, with a session of its own.

    Raises:
        StoreError: The worker does not see the run.
    """
    with suppress(OSError):  # a machine without that folder has no data there either
        os.chdir(setup["folder"])
    store = open_store(setup["store"], worker=True)
    document = store.read_document("run")
    if document is None or document.get("id") != setup["id"]:
        raise StoreError(
            f"{setup['store']}: this worker sees no such run there; give --out a folder that all workers share, or a "
            "URL such as s3://bucket/run"
        )
    root = setup["data_root"]
    experiment = addressed(Experiment.from_yaml(setup["experiment"]), store)
    progress = RelayedProgress(emit)
    forecaster = setup["forecaster"] and resolve_name(setup["forecaster"])
    session = Session(Setup(experiment, store, root and Path(root), Path(setup["cache"]), progress, forecaster))
    return RequestHandler(session, emit)


@dataclass
class RequestHandler:
    """A worker's side of the requests: its session, and the states that it holds for the main process.

    Attributes:
        session: The worker's session.
        emit: Sends one message back.
    """

    session: Session
    emit: Emit
    _states: dict[int, State] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def handle(self, request: Mapping[str, Any]) -> None:
        """Carry out a request and send its result, or its error.

        Args:
            request: ``verb``; for ``advance`` the ``cells`` and ``only_start``; for a learner's verb its ``arguments``,
                the position of the ``cell``, and the numbers of states to ``forget``.
        """
        try:
            result = self._do(request)
            self.emit({"reply": "result", "value": result})
        except Exception as error:  # raised where the reply is waited for
            self.emit(error_reply(error))

    def _do(self, request: Mapping[str, Any]) -> Any:
        for number in request.get("forget", ()):
            self._states.pop(number, None)
        if request["verb"] == "clear":
            self._states.clear()
            return None
        if request["verb"] == "advance":
            for cell in request["cells"]:
                self.session.advance(cell, only_start=request["only_start"])
            return None
        verb: Callable[..., Any] = getattr(self, f"_{request['verb']}")
        return verb(self.session.learner(request["cell"]), **request["arguments"])

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

    def _anew(self, learner: Learner, entities: list[int], keys: list[int]) -> list[int]:
        return self._keep(cast(RestartingLearner, learner).anew(entities, keys))

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

    def _offers(self, learner: Learner) -> list[str]:
        return [verb for verb in ("probabilities", "unseen") if hasattr(learner, verb)]

    def _probabilities(self, learner: Learner, state: int) -> Array:
        return cast(DiscreteLearner, learner).probabilities(self._states[state])

    def _unseen(self, learner: Learner, state: int, items: pa.Table) -> float:
        return cast(CountingLearner, learner).unseen(self._states[state], items)

    def _save(self, learner: Learner, states: list[int]) -> list[dict[str, bytes]]:
        return [_saved(learner, state) for state in self._held(states)]

    def _load(self, learner: Learner, files: dict[str, bytes]) -> list[int]:
        with tempfile.TemporaryDirectory() as folder:
            write_files(files, Path(folder))
            return self._keep([learner.load(Path(folder))])


def _saved(learner: Learner, state: State) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        learner.save(state, Path(folder))
        return read_files(Path(folder))


def error_reply(error: Exception) -> dict[str, Any]:
    """Convert an error to the reply that `raise_error` raises it from.

    Args:
        error: The error.

    Returns:
        The message.
    """
    diverged = isinstance(error, Diverged)
    return {
        "reply": "error",
        "kind": type(error).__name__,
        "message": error.message if isinstance(error, Diverged) else str(error),
        "entity": error.entity if isinstance(error, Diverged) else None,
        "on_purpose": isinstance(error, CrossfeedError) and not diverged,
        "traceback": traceback.format_exc(),
    }


def raise_error(reply: Mapping[str, Any], entities: tuple[int, ...] = ()) -> None:
    """Raise the error of a worker's ``error`` or ``lost`` reply.

    Args:
        reply: The reply.
        entities: The entities of the request, which the worker numbers from 0.

    Raises:
        CrossfeedError: As the worker raised it, if inputs cannot be used.
        Diverged: An entity did.
        WorkerFailure: Everything else.
    """
    if reply["reply"] == "lost":
        raise WorkerFailure(reply["message"], "WorkerLost", lost=True)
    if reply["on_purpose"]:
        kind = getattr(errors, reply["kind"], CrossfeedError)
        raise kind(reply["message"])
    if reply["kind"] == "Diverged":
        entity = reply["entity"]
        raise Diverged(reply["message"], entities[entity] if isinstance(entity, int) and entities else entity)
    raise WorkerFailure(reply["message"], reply["kind"], reply["traceback"])
