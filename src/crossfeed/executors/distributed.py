"""One cell over several workers: entities are dealt out to them, and a generation's verbs are the only barriers."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.errors import StoreMismatch
from crossfeed.executors.calls import raise_error
from crossfeed.executors.messages import pack_set, unpack_scores
from crossfeed.executors.worker_pool import Crew
from crossfeed.protocols import Reading, Scores, TrainingSet

__all__ = ["SpreadLearner"]


@dataclass(frozen=True, eq=False)
class RemoteState:
    """A state that a worker holds, by the number that it has there."""

    worker: int
    number: int


class SpreadLearner:
    """A learner whose entities are trained, sampled and scored by several workers at once.

    Each state stays in the worker that made it. Every item, loss and state is what one worker alone would have made of
    it, so that results depend neither on how many there are nor on who has what.

    Args:
        crew: The workers, all idle.
        cell: The cell's position in the experiment.
        reads: What the learner reads, see `crossfeed.protocols.Learner`.
        owners: The worker of each entity (`crossfeed.executors.assignment.deal`).

    Attributes:
        reads: The same.
    """

    def __init__(self, crew: Crew, cell: int, reads: Reading, owners: Sequence[int]) -> None:
        self.reads: Reading = reads
        self._crew = crew
        self._cell = cell
        self._workers = range(crew.executor.workers)
        self._owners = owners
        self._next = itertools.cycle(owners)
        self._forgotten: dict[int, list[int]] = {worker: [] for worker in self._workers}
        self._examples_read: dict[tuple[int, int, int], int] = {}
        crew.ask({worker: {"call": "clear"} for worker in self._workers})

    def examples_read(self, n: int, generation: int, entity: int) -> int:
        """How many of n drawn items an entity's update really reads."""
        asked = n, generation, entity
        if asked not in self._examples_read:
            self._examples_read[asked] = self._one("examples_read", n=n, generation=generation, entity=entity)
        return self._examples_read[asked]

    def start(self, entities: Sequence[int]) -> list[RemoteState]:
        """The base, on every worker that has an entity."""
        owner = [self._owners[entity] for entity in entities]
        dealt = {w: [entity for entity, own in zip(entities, owner, strict=True) if own == w] for w in set(owner)}
        return self._states(owner, self._ask("start", {w: {"entities": members} for w, members in dealt.items()}))

    def update(
        self, states: Sequence[RemoteState], sets: Sequence[TrainingSet], keys: Sequence[int], generation: int
    ) -> list[RemoteState]:
        """Train each state where it is.

        Raises:
            Diverged: A loss is not finite; it names the entity by index.
            WorkerFailure: A worker failed or was lost.
        """
        groups = self._groups(states)
        calls = {
            worker: {
                "states": [states[k].number for k in members],
                "sets": [pack_set(sets[k]) for k in members],
                "keys": [int(keys[k]) for k in members],
                "generation": generation,
            }
            for worker, members in groups.items()
        }
        return self._states([state.worker for state in states], self._ask("update", calls, groups))

    def generate(
        self, states: Sequence[RemoteState], prompts: Sequence[pa.Table], keys: Sequence[NDArray[np.uint64]]
    ) -> list[pa.Table]:
        """Complete prompts, each table by the worker that holds its state."""
        groups = self._groups(states)
        calls = {
            worker: {
                "states": [states[k].number for k in members],
                "prompts": [prompts[k] for k in members],
                "keys": [keys[k] for k in members],
            }
            for worker, members in groups.items()
        }
        return _in_order(groups, self._ask("generate", calls, groups))

    def score(self, states: Sequence[RemoteState], tables: Sequence[pa.Table]) -> list[list[Scores]]:
        """Losses of every state, each by the worker that holds it."""
        groups = self._groups(states)
        calls = {
            worker: {"states": [states[k].number for k in members], "tables": list(tables)}
            for worker, members in groups.items()
        }
        rows = _in_order(groups, self._ask("score", calls, groups))
        return [[unpack_scores(one) for one in row] for row in rows]

    def embed(self, tables: Sequence[pa.Table]) -> list[NDArray[np.float32]]:
        """Features of tables, dealt out to the workers in turn."""
        groups: dict[int, list[int]] = {}
        for position in range(len(tables)):
            groups.setdefault(position % len(self._workers), []).append(position)
        calls = {worker: {"tables": [tables[i] for i in members]} for worker, members in groups.items()}
        return _in_order(groups, self._ask("embed", calls))

    def save(self, state: RemoteState, folder: Path) -> None:
        """Write a state that a worker holds."""
        (answer,) = self._ask("save", {state.worker: {"states": [state.number]}}).values()
        for name, content in answer[0].items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def load(self, folder: Path) -> RemoteState:
        """Give a state to its entity's worker: entities are read in order."""
        worker = next(self._next)
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        return self._states([worker], self._ask("load", {worker: {"files": files}}))[0]

    def describe(self) -> dict[str, str]:
        """What the workers run on.

        Raises:
            StoreMismatch: They compute in different precisions.
        """
        described: dict[int, dict[str, str]] = self._ask("describe", {worker: {} for worker in self._workers})
        precisions = {each.get("precision") for each in described.values()}
        if len(precisions) > 1:
            raise StoreMismatch(
                f"the workers compute in {' and '.join(sorted(map(str, precisions)))}: numbers of two precisions are "
                "not mixed; set learner.precision, or spread over machines that are alike"
            )
        return described[0]

    def _one(self, verb: str, **given: Any) -> Any:
        return self._ask(verb, {0: given})[0]

    def _ask(
        self, verb: str, given: Mapping[int, Mapping[str, Any]], groups: Mapping[int, Sequence[int]] | None = None
    ) -> dict[int, Any]:
        """Have workers carry out a verb at the same time.

        Args:
            verb: Its name.
            given: What each worker is given.
            groups: Which entities each one's call is about.
        """
        calls = {}
        for worker, arguments in given.items():
            forget, self._forgotten[worker] = self._forgotten[worker], []
            calls[worker] = {"call": verb, "cell": self._cell, "with": arguments, "forget": forget}
        replies = self._crew.ask(calls)
        wrong = {worker: reply for worker, reply in replies.items() if reply["reply"] != "result"}
        for worker, reply in sorted(wrong.items(), key=lambda pair: (pair[1]["reply"] != "lost", pair[0])):
            raise_error(reply, tuple((groups or {}).get(worker, ())))
        return {worker: reply["value"] for worker, reply in replies.items()}

    def _states(self, owner: Sequence[int], numbers: Mapping[int, Sequence[int]]) -> list[RemoteState]:
        """States by entity, from each worker's numbers; a worker forgets what nothing here refers to any more."""
        given = {worker: iter(own) for worker, own in numbers.items()}
        states = [RemoteState(worker, next(given[worker])) for worker in owner]
        for state in states:
            weakref.finalize(state, self._forget, state.worker, state.number).atexit = False
        return states

    def _forget(self, worker: int, number: int) -> None:
        self._forgotten[worker].append(number)

    @staticmethod
    def _groups(states: Sequence[RemoteState]) -> dict[int, list[int]]:
        groups: dict[int, list[int]] = {}
        for k, state in enumerate(states):
            groups.setdefault(state.worker, []).append(k)
        return groups


def _in_order(groups: Mapping[int, Sequence[int]], answers: Mapping[int, Sequence[Any]]) -> list[Any]:
    """What the workers answered, one thing for each member of their groups, in the members' order."""
    found = {k: one for worker, members in groups.items() for k, one in zip(members, answers[worker], strict=True)}
    return [found[k] for k in sorted(found)]
