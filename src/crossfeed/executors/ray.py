"""Workers as actors on a Ray cluster. The one file that imports Ray."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from crossfeed.errors import CrossfeedError, MissingDependency
from crossfeed.executors.calls import open_desk, refusal, wire
from crossfeed.executors.messages import decode, encode
from crossfeed.executors.processes import THREADS
from crossfeed.running.session import Session

try:
    import ray
    from ray.exceptions import RayError
except ModuleNotFoundError as error:
    raise MissingDependency("executor ray needs the package 'ray': pip install 'crossfeed[ray]'") from error

__all__ = ["RayExecutor"]

_PATIENCE: Final = 120.0
"""Seconds to wait for a cluster to find room for a worker."""

_END: Final = ("result", "error")


class RayExecutor:
    """Workers as actors of a Ray cluster. They need to see the run's location and its data, and share nothing else.

    Args:
        workers: How many.
        threads: CPUs that each one takes, and threads that its numerical libraries use.
        address: The cluster; None starts one on this machine, reachable from this machine alone, for the run.
        gpus: GPUs, or a fraction of one, that each worker takes.
    """

    def __init__(self, workers: int, threads: int, address: str | None, gpus: float) -> None:
        self.workers = workers
        self._threads = threads
        self._address = address
        self._gpus = gpus
        self._setup = b""
        self._began = False
        self._crew: list[Any] = []
        self._replies: dict[Any, int] = {}

    def open(self, session: Session) -> None:
        """Join the cluster and have it start the workers.

        Raises:
            InvalidInput: The run is one that other processes cannot see.
            CrossfeedError: There is no such cluster, or it has no room for the workers.
        """
        self._setup = encode(wire(session.setup))
        if not ray.is_initialized():
            self._join()
        self._crew = [self._begin() for _ in range(self.workers)]
        self._wait_for_room(self._crew)

    def submit(self, worker: int, call: Mapping[str, Any]) -> None:
        """Have a worker begin a call."""
        replies = self._crew[worker].answer.options(num_returns="streaming").remote(encode(call))
        self._replies[replies] = worker

    def wait(self) -> tuple[int, dict[str, Any]]:
        """The next reply of any worker; in place of one that was lost another is asked for."""
        replies: Any = ray.wait(list(self._replies), num_returns=1)[0][0]
        worker = self._replies[replies]
        try:
            message = decode(ray.get(next(replies)))
        except (RayError, StopIteration) as error:
            del self._replies[replies]
            ray.kill(self._crew[worker])
            self._crew[worker] = self._begin()
            self._wait_for_room([self._crew[worker]])
            said = str(error).strip().splitlines()
            return worker, {"reply": "lost", "message": f"its Ray worker was lost ({said[0] if said else 'it ended'})"}
        if message["reply"] in _END:
            del self._replies[replies]
        return worker, message

    def close(self) -> None:
        """End the workers, and the cluster if it was started for this run."""
        for actor in self._crew:
            ray.kill(actor)
        self._crew, self._replies = [], {}
        if self._began:
            ray.shutdown()
            self._began = False

    def _join(self) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        if self._address is None:
            cpus = self.workers * self._threads
            # Not one that happens to run here: whoever means that one says so.
            options |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}
            options |= {"_node_ip_address": "127.0.0.1"}
        else:
            options["address"] = self._address
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what it will do; else it warns
        os.environ.setdefault("RAY_worker_niceness", "0")  # a run is what the user waits for
        try:
            ray.init(**options)
        except (RayError, ConnectionError, OSError, ValueError, RuntimeError) as error:
            raise CrossfeedError(f"no Ray cluster at {self._address or 'this machine'} ({error})") from error
        self._began = True

    def _begin(self) -> Any:
        environment = dict.fromkeys(THREADS, str(self._threads))
        actor = ray.remote(_Actor).options(
            num_cpus=self._threads,
            num_gpus=self._gpus,
            max_concurrency=1,
            runtime_env={"env_vars": environment},
        )
        return actor.remote(self._setup)

    def _wait_for_room(self, actors: Sequence[Any]) -> None:
        """Wait until actors live; what others send meanwhile is not lost.

        Raises:
            CrossfeedError: The cluster finds no place for one.
        """
        _, missing = ray.wait([one.ping.remote() for one in actors], num_returns=len(actors), timeout=_PATIENCE)
        if missing:
            raise CrossfeedError(
                f"the Ray cluster has had no room for {len(missing)} of {self.workers} workers for {_PATIENCE:.0f} s; "
                f"each takes {self._threads} CPUs and {self._gpus} GPUs: give fewer --workers, or fewer --gpus to each"
            )


class _Actor:
    """A worker; what it is asked and answers are the bytes of `crossfeed.executors.messages`."""

    def __init__(self, setup: bytes) -> None:
        self._setup = setup
        self._sent: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self._desk: Any = None

    def ping(self) -> None:
        """Show that there is one."""

    def answer(self, call: bytes) -> Iterator[bytes]:
        """Carry out a call; a generator of its messages."""
        threading.Thread(target=self._work, args=(decode(call),), daemon=True).start()
        while True:
            message = self._sent.get()
            yield encode(message)
            if message["reply"] in _END:
                return

    def _work(self, call: Mapping[str, Any]) -> None:
        try:
            self._desk = self._desk or open_desk(decode(self._setup), self._sent.put)
        except Exception as error:  # told where it is waited for
            self._sent.put(refusal(error))
        else:
            self._desk.answer(call)
