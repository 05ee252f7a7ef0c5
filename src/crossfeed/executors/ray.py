"""The executor whose workers are actors on a Ray cluster. The one file that imports Ray."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from ipaddress import ip_address
from typing import Any, Final

from crossfeed.errors import CrossfeedError, MissingDependency
from crossfeed.executors.listening import Listening, listening
from crossfeed.executors.messages import decode, encode
from crossfeed.executors.processes import THREADS
from crossfeed.executors.request_handler import error_reply, open_request_handler, setup_message
from crossfeed.running.session import Session

try:
    import ray
    from ray._private import ray_constants
    from ray.exceptions import RayError
except ModuleNotFoundError as error:
    raise MissingDependency("executor ray needs the package 'ray': pip install 'crossfeed[ray]'") from error

__all__ = ["RayExecutor"]

_SEVERAL: Final = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's variable for whether there are clusters of several machines."""

_PATIENCE: Final = 120.0
"""Seconds to wait for a cluster to find room for a worker."""

_END: Final = ("result", "error")


class RayExecutor:
    """An executor of Ray actors. They need to see the run's location and its data, and share nothing else.

    Args:
        workers: The number of workers.
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
        self._joined = False
        self._before: frozenset[Listening] = frozenset()
        self._actors: list[Any] = []
        self._replies: dict[Any, int] = {}

    def open(self, session: Session) -> None:
        """Join the cluster and have it start the workers.

        Args:
            session: The main process's own session.

        Raises:
            InvalidInput: The run is one that other processes cannot see.
            CrossfeedError: There is no such cluster, it has no room for the workers, or one that was started here would
                be open to other machines.
        """
        self._setup = encode(setup_message(session.setup))
        if not ray.is_initialized():
            self._join()
        self._actors = [self._start() for _ in range(self.workers)]
        self._wait_for_room(self._actors)
        if self._joined and self._address is None:
            self._refuse_if_open()

    def submit(self, worker: int, request: Mapping[str, Any]) -> None:
        """Send a request to a worker.

        Args:
            worker: The worker's number.
            request: The request.
        """
        replies = self._actors[worker].handle.options(num_returns="streaming").remote(encode(request))
        self._replies[replies] = worker

    def wait(self) -> tuple[int, dict[str, Any]]:
        """Wait for the next reply of any worker; one that was lost is replaced before that is reported.

        Returns:
            The worker's number, and its reply.

        Raises:
            CrossfeedError: The cluster has no room for another worker.
        """
        replies: Any = ray.wait(list(self._replies), num_returns=1)[0][0]
        worker = self._replies[replies]
        try:
            message = decode(ray.get(next(replies)))
        except (RayError, StopIteration) as error:
            del self._replies[replies]
            ray.kill(self._actors[worker])
            self._actors[worker] = self._start()
            self._wait_for_room([self._actors[worker]])
            lines = str(error).strip().splitlines()
            reason = lines[0] if lines else "it ended"
            return worker, {"reply": "lost", "message": f"its Ray worker was lost ({reason})"}
        if message["reply"] in _END:
            del self._replies[replies]
        return worker, message

    def close(self) -> None:
        """End the workers, and the cluster if it was started for this run."""
        for actor in self._actors:
            ray.kill(actor)
        self._actors, self._replies = [], {}
        if self._joined:
            ray.shutdown()
            self._joined = False

    def _join(self) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        if self._address is None:
            cpus = self.workers * self._threads
            # Not a cluster that happens to run here: that one has to be named.
            options |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}
            options |= {"_node_ip_address": "127.0.0.1"}
        else:
            options["address"] = self._address
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's coming default; else it warns
        os.environ.setdefault("RAY_worker_niceness", "0")  # the user waits for the run
        self._before = listening()
        try:
            with _loopback() if self._address is None else nullcontext():
                ray.init(**options)
        except (RayError, ConnectionError, OSError, ValueError, RuntimeError) as error:
            raise CrossfeedError(f"no Ray cluster at {self._address or 'this machine'} ({error})") from error
        self._joined = True

    def _refuse_if_open(self) -> None:
        """Check that the cluster that was started here waits for connections of this machine alone.

        Raises:
            CrossfeedError: It does not; it is ended.
        """
        opened = sorted(str(each) for each in listening() - self._before if not each.on_loopback)
        node = ray.util.get_node_ip_address()
        if opened or not ip_address(node).is_loopback:  # where sockets cannot be listed, the node's address is known
            self.close()
            raise CrossfeedError(
                f"Ray {ray.__version__} does not keep to this machine: it listens on {', '.join(opened) or node}, "
                "where others could reach it; take another version of Ray, take --executor processes, or start a "
                "cluster that you guard yourself and name it with --address"
            )

    def _start(self) -> Any:
        environment = dict.fromkeys(THREADS, str(self._threads))
        actor = ray.remote(_Actor).options(
            num_cpus=self._threads,
            num_gpus=self._gpus,
            max_concurrency=1,
            runtime_env={"env_vars": environment},
        )
        return actor.remote(self._setup)

    def _wait_for_room(self, actors: Sequence[Any]) -> None:
        """Wait until actors live; replies of others meanwhile are not lost.

        Raises:
            CrossfeedError: The cluster finds no place for one.
        """
        _, missing = ray.wait([actor.ping.remote() for actor in actors], num_returns=len(actors), timeout=_PATIENCE)
        if missing:
            raise CrossfeedError(
                f"the Ray cluster has had no room for {len(missing)} of {self.workers} workers for {_PATIENCE:.0f} s; "
                f"each takes {self._threads} CPUs and {self._gpus} GPUs: give fewer --workers, or fewer --gpus to each"
            )


@contextmanager
def _loopback() -> Iterator[None]:
    """Have a cluster that is started meanwhile keep to loopback.

    On Linux Ray takes the network's address in place of a loopback address that it is given, unless it was told that
    there are no clusters of several machines, as it assumes on macOS and Windows. It reads that when it is imported,
    which may have been before. `RayExecutor._refuse_if_open` checks what came of it.
    """
    before, told = os.environ.get(_SEVERAL), getattr(ray_constants, "ENABLE_RAY_CLUSTER", None)
    os.environ[_SEVERAL] = "0"  # for the processes that Ray starts
    if told is not None:
        ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        os.environ.pop(_SEVERAL)
        if before is not None:
            os.environ[_SEVERAL] = before
        if told is not None:
            ray_constants.ENABLE_RAY_CLUSTER = told


class _Actor:
    """A worker; its requests and replies are the bytes of `crossfeed.executors.messages`."""

    def __init__(self, setup: bytes) -> None:
        self._setup = setup
        self._sent: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self._handler: Any = None

    def ping(self) -> None:
        """Return, which shows that the actor lives."""

    def handle(self, request: bytes) -> Iterator[bytes]:
        """Carry out a request and yield its replies."""
        threading.Thread(target=self._work, args=(decode(request),), daemon=True).start()
        while True:
            message = self._sent.get()
            yield encode(message)
            if message["reply"] in _END:
                return

    def _work(self, request: Mapping[str, Any]) -> None:
        try:
            self._handler = self._handler or open_request_handler(decode(self._setup), self._sent.put)
        except Exception as error:  # raised where the reply is waited for
            self._sent.put(error_reply(error))
        else:
            self._handler.handle(request)
