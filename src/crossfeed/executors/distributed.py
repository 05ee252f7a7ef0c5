"""One cell over several workers: entities are assigned to them, and a generation's verbs are the only barriers."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.errors import StoreMismatch
from crossfeed.executors.messages import pack_set, read_files, unpack_scores, write_files
from crossfeed.executors.request_handler import raise_error
from crossfeed.executors.worker_pool import WorkerPool
from crossfeed.protocols import Array, Reading, Scores, TrainingSet

__all__ = ["DistributedLearner"]


@dataclass(frozen=True, eq=False)
class RemoteState:
    """A state that a worker holds.

    Attributes:
        worker: The worker's number.
        number: The state's number in that worker.
    """

    worker: int
    number: int


class DistributedLearner:
    """A learner whose entities are trained, sampled and scored by several workers at once.

    Each state stays in the worker that created it. Every item, loss and state is the same as on one worker alone, so
    that results depend neither on the number of workers nor on the assignment. Verbs: see
    `crossfeed.protocols.Learner`.

    Args:
        workers: The workers, all idle.
        cell: The cell's position in the experiment.
        reads: The contents of training sets, see `crossfeed.protocols.Learner.reads`.
        owners: ``(K,)`` the worker of each entity (`crossfeed.executors.assignment.assign`).

    Attributes:
        reads: The same.
    """

    def __init__(self, workers: WorkerPool, cell: int, reads: Reading, owners: Sequence[int]) -> None:
        self.reads: Reading = reads
        self._workers = workers
        self._cell = cell
        self._numbers = range(workers.executor.workers)
        self._owners = owners
        self._next_owner = itertools.cycle(owners)
        self._forgotten: dict[int, list[int]] = {worker: [] for worker in self._numbers}
        self._examples_read: dict[tuple[int, int, int], int] = {}
        workers.request({worker: {"verb": "clear"} for worker in self._numbers})

    def examples_read(self, n: int, generation: int, entity: int) -> int:
        """Return how many of n drawn items an entity's update really reads; each answer is remembered."""
        key = n, generation, entity
        if key not in self._examples_read:
            arguments = {"n": n, "generation": generation, "entity": entity}
            self._examples_read[key] = self._request("examples_read", {0: arguments})[0]
        return self._examples_read[key]

    def start(self, entities: Sequence[int]) -> list[RemoteState]:
        """Create the states before generation 0, each on its entity's worker."""
        owners = [self._owners[entity] for entity in entities]
        members = {w: [entity for entity, own in zip(entities, owners, strict=True) if own == w] for w in set(owners)}
        return self._states(owners, self._request("start", {w: {"entities": own} for w, own in members.items()}))

    def anew(self, entities: Sequence[int], keys: Sequence[int]) -> list[RemoteState]:
        """Create new models, each on its entity's worker."""
        owners = [self._owners[entity] for entity in entities]
        groups: dict[int, list[int]] = {}
        for place, worker in enumerate(owners):
            groups.setdefault(worker, []).append(place)
        arguments = {
            worker: {"entities": [entities[place] for place in own], "keys": [int(keys[place]) for place in own]}
            for worker, own in groups.items()
        }
        return self._states(owners, self._request("anew", arguments))

    def update(
        self, states: Sequence[RemoteState], sets: Sequence[TrainingSet], keys: Sequence[int], generation: int
    ) -> list[RemoteState]:
        """Train each state on the worker that holds it.

        Raises:
            Diverged: A loss is not finite; it names the entity by index.
            WorkerFailure: A worker failed or was lost.
        """
        groups = _by_worker(states)
        arguments = {
            worker: {
                "states": [states[k].number for k in members],
                "sets": [pack_set(sets[k]) for k in members],
                "keys": [int(keys[k]) for k in members],
                "generation": generation,
            }
            for worker, members in groups.items()
        }
        return self._states([state.worker for state in states], self._request("update", arguments, groups))

    def generate(
        self, states: Sequence[RemoteState], prompts: Sequence[pa.Table], keys: Sequence[NDArray[np.uint64]]
    ) -> list[pa.Table]:
        """Complete prompts, each table on the worker that holds its state."""
        groups = _by_worker(states)
        arguments = {
            worker: {
                "states": [states[k].number for k in members],
                "prompts": [prompts[k] for k in members],
                "keys": [keys[k] for k in members],
            }
            for worker, members in groups.items()
        }
        return _in_order(groups, self._request("generate", arguments, groups))

    def score(self, states: Sequence[RemoteState], tables: Sequence[pa.Table]) -> list[list[Scores]]:
        """Compute the losses of every state on the worker that holds it."""
        groups = _by_worker(states)
        arguments = {
            worker: {"states": [states[k].number for k in members], "tables": list(tables)}
            for worker, members in groups.items()
        }
        rows = _in_order(groups, self._request("score", arguments, groups))
        return [[unpack_scores(one) for one in row] for row in rows]

    def embed(self, tables: Sequence[pa.Table]) -> list[NDArray[np.float32]]:
        """Compute the features of tables, assigned to the workers in turn."""
        groups: dict[int, list[int]] = {}
        for position in range(len(tables)):
            groups.setdefault(position % len(self._numbers), []).append(position)
        arguments = {worker: {"tables": [tables[i] for i in members]} for worker, members in groups.items()}
        return _in_order(groups, self._request("embed", arguments))

    def save(self, state: RemoteState, folder: Path) -> None:
        """Write a state that a worker holds."""
        (saved,) = self._request("save", {state.worker: {"states": [state.number]}}).values()
        write_files(saved[0], folder)

    def load(self, folder: Path) -> RemoteState:
        """Read a state on its entity's worker: entities are read in order."""
        worker = next(self._next_owner)
        return self._states([worker], self._request("load", {worker: {"files": read_files(folder)}}))[0]

    @property
    def probabilities(self) -> Callable[[RemoteState], Array]:
        """Distributions over symbols of states: `crossfeed.protocols.DiscreteLearner.probabilities`.

        Raises:
            AttributeError: The learner fits none.
        """
        self._check_offered("probabilities")
        return lambda state: self._of_state("probabilities", state)

    @property
    def unseen(self) -> Callable[[RemoteState, pa.Table], float]:
        """Shares of unseen n-grams: `crossfeed.protocols.CountingLearner.unseen`.

        Raises:
            AttributeError: The learner counts none.
        """
        self._check_offered("unseen")
        return lambda state, items: self._of_state("unseen", state, items=items)

    @cached_property
    def _offered(self) -> frozenset[str]:
        """The optional verbs that the learner has."""
        return frozenset(self._request("offers", {0: {}})[0])

    def _check_offered(self, verb: str) -> None:
        if verb not in self._offered:
            raise AttributeError(f"{verb}: the learner has no such verb")

    def _of_state(self, verb: str, state: RemoteState, **arguments: Any) -> Any:
        """Have the worker that holds a state say something of it."""
        request = {state.worker: {"state": state.number, **arguments}}
        return self._request(verb, request)[state.worker]

    def describe(self) -> dict[str, str]:
        """Describe what the workers run on.

        Raises:
            StoreMismatch: They compute in different precisions.
        """
        described: dict[int, dict[str, str]] = self._request("describe", {worker: {} for worker in self._numbers})
        precisions = {each.get("precision") for each in described.values()}
        if len(precisions) > 1:
            raise StoreMismatch(
                f"the workers compute in {' and '.join(sorted(map(str, precisions)))}: numbers of two precisions are "
                "not mixed; set learner.precision, or distribute over machines that are alike"
            )
        return described[0]

    def _request(
        self, verb: str, arguments: Mapping[int, Mapping[str, Any]], groups: Mapping[int, Sequence[int]] | None = None
    ) -> dict[int, Any]:
        """Have workers carry out a verb at the same time.

        Args:
            verb: Its name.
            arguments: Its arguments for each worker.
            groups: The entities of each worker's request.
        """
        requests = {}
        for worker, given in arguments.items():
            forget, self._forgotten[worker] = self._forgotten[worker], []
            requests[worker] = {"verb": verb, "cell": self._cell, "arguments": given, "forget": forget}
        replies = self._workers.request(requests)
        wrong = {worker: reply for worker, reply in replies.items() if reply["reply"] != "result"}
        for worker, reply in sorted(wrong.items(), key=lambda pair: (pair[1]["reply"] != "lost", pair[0])):
            raise_error(reply, tuple((groups or {}).get(worker, ())))
        return {worker: reply["value"] for worker, reply in replies.items()}

    def _states(self, owners: Sequence[int], numbers: Mapping[int, Sequence[int]]) -> list[RemoteState]:
        """Return states by entity, from each worker's numbers; a worker forgets a state once nothing refers to it."""
        remaining = {worker: iter(own) for worker, own in numbers.items()}
        states = [RemoteState(worker, next(remaining[worker])) for worker in owners]
        for state in states:
            weakref.finalize(state, self._forget, state.worker, state.number).atexit = False
        return states

    def _forget(self, worker: int, number: int) -> None:
        self._forgotten[worker].append(number)


def _by_worker(states: Sequence[RemoteState]) -> dict[int, list[int]]:
    groups: dict[int, list[int]] = {}
    for k, state in enumerate(states):
        groups.setdefault(state.worker, []).append(k)
    return groups


def _in_order(groups: Mapping[int, Sequence[int]], values: Mapping[int, Sequence[Any]]) -> list[Any]:
    """Return one value for each member of the workers' groups, in the members' order."""
    by_member = {k: one for worker, members in groups.items() for k, one in zip(members, values[worker], strict=True)}
    return [by_member[k] for k in sorted(by_member)]
