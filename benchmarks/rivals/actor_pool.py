"""Processes that do the entities' work side by side, each of them started from a clean interpreter."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

_actor: Any = None


class ActorPool:
    """An actor in each of some processes; entities are assigned to them in turn.

    Args:
        make: Makes a process's actor from the indices of its entities and what is in `given`; an actor's verbs
            return a mapping by entity.
        processes: How many processes.
        threads: PyTorch's threads in each.
        entities: How many entities there are.
        given: More arguments of `make`.
    """

    def __init__(self, make: Callable, processes: int, threads: int, entities: int, *given: Any) -> None:
        self.name = f"processes: {processes}, threads of each: {threads}"
        self._processes = processes
        context = get_context("spawn")
        self._pools = [
            ProcessPoolExecutor(1, context, _begin, (make, threads, list(range(entities))[number::processes], given))
            for number in range(processes)
        ]
        self.ask("ready")

    def ask(self, verb: str, *given: Any) -> dict:
        """Have all actors do the same, and wait for all of them."""
        waiting = [pool.submit(_do, verb, given) for pool in self._pools]
        answers: dict = {}
        for each in waiting:
            answers |= each.result() or {}
        return answers

    def slowest(self, answers: dict[int, dict], *stages: str) -> dict[str, float]:
        """Seconds of some stages in the process that all wait for."""
        ordered = [answers[entity] for entity in sorted(answers)]
        assigned = [ordered[number :: self._processes] for number in range(self._processes)]
        sums = [{stage: sum(one[stage] for one in own) for stage in stages} for own in assigned]
        return max(sums, key=lambda spent: sum(spent.values()))

    def close(self) -> None:
        """End the processes."""
        for pool in self._pools:
            pool.shutdown()


def _begin(make: Callable, threads: int, entities: list[int], given: tuple) -> None:
    global _actor  # noqa: PLW0603 - a process has one
    import torch

    torch.set_num_threads(threads)
    _actor = make(entities, *given)


def _do(verb: str, given: tuple) -> Any:
    return None if verb == "ready" else getattr(_actor, verb)(*given)
