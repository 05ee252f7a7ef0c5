"""The executor whose workers are processes of this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import IO, Any, Final

from crossfeed.environment import WORKER_NUMBER
from crossfeed.errors import CrossfeedError, InvalidInput
from crossfeed.executors.messages import decode, encode
from crossfeed.executors.request_handler import setup_message
from crossfeed.running.session import Session

__all__ = ["SILENT", "THREADS", "ProcessExecutor"]

THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Environment variables that bound the threads of numerical libraries."""

SILENT: Final = 5
"""Workers in a row that may be killed before their first message."""


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    connection: Connection
    output: IO[bytes]
    spoke: bool = False


class ProcessExecutor:
    """An executor of processes, each started from a clean interpreter and reached over a socket pair.

    Args:
        workers: The number of workers.
        threads: CPU threads that the numerical libraries of each one may use.
    """

    def __init__(self, workers: int, threads: int) -> None:
        self.workers = workers
        self._threads = threads
        self._setup = b""
        self._workers: list[_Worker] = []
        self._silent = 0

    def open(self, session: Session) -> None:
        """Start the workers; they import what they need in parallel.

        Args:
            session: The main process's own session.

        Raises:
            InvalidInput: The run is one that other processes cannot see, or there are too many workers.
        """
        self._setup = encode(setup_message(session.setup))
        for number in range(self.workers):
            try:
                self._workers.append(self._start(number))
            except OSError as error:
                raise InvalidInput(
                    f"worker {number + 1} of {self.workers} cannot be started ({error.strerror}); "
                    "give fewer --workers, or raise the limits of open files and processes (ulimit -n, ulimit -u)"
                ) from error

    def submit(self, worker: int, request: Mapping[str, Any]) -> None:
        """Send a request to a worker.

        Args:
            worker: The worker's number.
            request: The request.
        """
        with suppress(OSError):  # it is gone, which `wait` will see and report
            self._workers[worker].connection.send_bytes(encode(request))

    def wait(self) -> tuple[int, dict[str, Any]]:
        """Wait for the next reply of any worker; one that was lost is replaced before that is reported.

        Returns:
            The worker's number, and its reply.

        Raises:
            CrossfeedError: A worker ended before its first message.
        """
        numbers = {worker.connection: number for number, worker in enumerate(self._workers)}
        connection = wait(list(numbers))[0]
        number = numbers[connection]  # type: ignore[index]
        worker = self._workers[number]
        try:
            message = decode(worker.connection.recv_bytes())
        except (EOFError, OSError):
            return number, {"reply": "lost", "message": self._replace(number)}
        worker.spoke = True
        return number, message

    def close(self) -> None:
        """End the workers at once: the step that each is writing is whole or absent in the store."""
        for worker in self._workers:
            self._end(worker)
        self._workers.clear()

    def _replace(self, number: int) -> str:
        """Start a worker in place of one that ended; return how it ended."""
        worker = self._workers[number]
        ending = _ending(worker)
        self._silent = 0 if worker.spoke else self._silent + 1
        by_itself = worker.process.returncode >= 0
        if self._silent > SILENT or (self._silent and by_itself):  # another one would end as it did
            raise CrossfeedError(
                f"worker {number + 1} ended before its first word: {ending}; give fewer --workers, or --executor serial"
            ) from None
        self._end(worker)
        self._workers[number] = self._start(number)
        return ending

    def _start(self, number: int) -> _Worker:
        ours, theirs = socket.socketpair()
        output = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the worker
        variables = dict.fromkeys(THREADS, str(self._threads))
        variables |= {WORKER_NUMBER: str(number), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", "crossfeed.executors.worker", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | variables,
        )
        theirs.close()
        connection = Connection(ours.detach())
        worker = _Worker(process, connection, output)
        with suppress(OSError):  # it ended at once, which `wait` will see and report
            connection.send_bytes(self._setup)
        return worker

    @staticmethod
    def _end(worker: _Worker) -> None:
        worker.process.kill()
        worker.process.wait()
        worker.connection.close()
        worker.output.close()


def _ending(worker: _Worker) -> str:
    """Describe how a worker ended, with its last output."""
    code = worker.process.wait()
    ending = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    if code == -9:
        ending += " (killed: by someone, or by the system when memory ran out)"
    worker.output.seek(0)
    output = worker.output.read().decode(errors="replace").strip()[-600:]
    return f"its worker process {ending}" + (f"; it said: {output}" if output else "")
