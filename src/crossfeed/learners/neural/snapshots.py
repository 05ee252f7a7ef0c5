"""States from within an update: copies of a working model's weights after the steps that an observer asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from crossfeed.protocols import Observer, State

__all__ = ["Snapshots", "Unobserved"]

S = TypeVar("S")


class Unobserved:
    """An observer that asks for nothing."""

    def marks(self, entity: int, steps: int) -> Sequence[int]:
        """Return no steps.

        Args:
            entity: The position among the trained states.
            steps: The number of steps that its update takes.
        """
        return ()

    def show(self, entity: int, step: int, state: State) -> None:
        """Take a state, which nothing was asked for.

        Args:
            entity: The position among the trained states.
            step: The number of steps that it was trained for.
            state: The state.
        """


class Snapshots:
    """The states of one update that an observer asks for, kept until it is over: the working model is busy before.

    Args:
        observer: The observer.
        entity: The position among the trained states.
        steps: The number of steps that the update takes.
    """

    def __init__(self, observer: Observer, entity: int, steps: int) -> None:
        self._observer, self._entity = observer, entity
        self._wanted = frozenset(observer.marks(entity, steps))
        self._kept: dict[int, State] = {}
        self._done = 0

    def after(self, advance: Callable[[int], None], copy: Callable[[], S]) -> Callable[[int], None]:
        """Return a function to call after every step in place of another.

        Args:
            advance: The other one, which is called as well.
            copy: Copies the state as it is now.
        """

        def step(steps: int) -> None:
            self._done += steps
            if self._done in self._wanted:
                self._kept[self._done] = copy()
            advance(steps)

        return step

    def show(self) -> None:
        """Show what was kept, and let go of it."""
        while self._kept:
            step = min(self._kept)
            self._observer.show(self._entity, step, self._kept.pop(step))
