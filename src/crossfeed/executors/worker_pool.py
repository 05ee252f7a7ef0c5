"""The workers of an executor as those who wait for them see them: replies in, progress shown."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from crossfeed.executors.executor import Executor
from crossfeed.protocols import Progress

__all__ = ["Crew"]


@dataclass
class Crew:
    """Workers, and where their progress is shown."""

    executor: Executor
    progress: Progress
    _stages: dict[tuple[int, int], tuple[ExitStack, Any]] = field(default_factory=dict)

    def reply(self) -> tuple[int, dict[str, Any]]:
        """The next ``result``, ``error`` or ``lost`` of any worker; what comes before it is shown."""
        while True:
            worker, message = self.executor.wait()
            if message["reply"] in ("result", "error", "lost"):
                self._end_all(worker)
                return worker, message
            if message["reply"] != "ready":
                self._show(worker, message)

    def ask(self, calls: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
        """Submit one call to each of some workers, and wait for all their last replies.

        Returns:
            The replies, and that of any other worker that was lost meanwhile, with all that it held.
        """
        for worker, call in calls.items():
            self.executor.submit(worker, call)
        replies: dict[int, dict[str, Any]] = {}
        while not calls.keys() <= replies.keys():
            worker, reply = self.reply()
            replies[worker] = reply
        return replies

    def _show(self, worker: int, message: Mapping[str, Any]) -> None:
        if message["reply"] == "note":
            self.progress.note(message["text"])
            return
        place = (worker, message["number"])
        if message["reply"] == "stage":
            shown = ExitStack()
            stage = self.progress.stage(message["name"], message["total"], message["detail"])
            self._stages[place] = shown, shown.enter_context(stage)
        elif message["reply"] == "steps":
            self._stages[place][1](message["steps"])
        else:
            self._stages.pop(place)[0].close()

    def _end_all(self, worker: int) -> None:
        """A worker that failed or was lost ends no stage itself."""
        for place in [place for place in self._stages if place[0] == worker]:
            self._stages.pop(place)[0].close()
