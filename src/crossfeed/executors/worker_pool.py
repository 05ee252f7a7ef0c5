"""The workers of an executor for those who wait for them: requests out, replies in, progress shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from crossfeed.executors.executor import Executor
from crossfeed.protocols import Progress

__all__ = ["WorkerPool"]


@dataclass
class WorkerPool:
    """The workers of an executor, and the progress that shows their work.

    Attributes:
        executor: The executor, open.
        progress: Shows the workers' progress.
    """

    executor: Executor
    progress: Progress
    _stages: dict[tuple[int, int], tuple[ExitStack, Callable[[int], None]]] = field(default_factory=dict)

    def reply(self) -> tuple[int, dict[str, Any]]:
        """Wait for the last reply of any worker to its request; progress that comes before it is shown.

        Returns:
            The worker's number, and its ``result``, ``error`` or ``lost``.
        """
        while True:
            worker, message = self.executor.wait()
            if message["reply"] in ("result", "error", "lost"):
                self._end_all(worker)
                return worker, message
            if message["reply"] != "ready":
                self._show(worker, message)

    def request(self, requests: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
        """Send one request to each of some workers, and wait for all their last replies.

        Args:
            requests: The requests by worker.

        Returns:
            The replies by worker, and that of any other worker that was lost meanwhile, with all that it held.
        """
        for worker, request in requests.items():
            self.executor.submit(worker, request)
        replies: dict[int, dict[str, Any]] = {}
        while not requests.keys() <= replies.keys():
            worker, reply = self.reply()
            replies[worker] = reply
        return replies

    def _show(self, worker: int, message: Mapping[str, Any]) -> None:
        if message["reply"] == "log":
            self.progress.log(message["text"])
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
        """End the stages of a worker: one that failed or was lost ends none itself."""
        for place in [place for place in self._stages if place[0] == worker]:
            self._stages.pop(place)[0].close()
