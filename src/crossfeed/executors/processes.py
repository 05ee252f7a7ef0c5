"""Workers as processes of this machine."""

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
from crossfeed.executors.calls import wire
from crossfeed.executors.messages import decode, encode
from crossfeed.running.session import Session

__all__ = ["SILENT", "THREADS", "ProcessExecutor"]

THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Environment variables that bound the threads of numerical libraries."""


SILENT: Final = 5
"""Workers in a row that may be killed before their first word."""


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    connection: Connection
    complaints: IO[bytes]
    spoke: bool = False


class ProcessExecutor:
    """Workers as processes of this machine, begun from a clean interpreter and talked to over a socket pair.

    Args:
        workers: How many.
        threads: CPU threads that each one's numerical libraries may use.
    """

    def __init__(self, workers: int, threads: int) -> None:
        self.workers = workers
        self._threads = threads
        self._setup = b""
        self._crew: list[_Worker] = []
        self._silent = 0

    def open(self, session: Session) -> None:
        """Start the workers; they import what they need in parallel.

        Raises:
            InvalidInput: The run is one that other processes cannot see, or there are too many workers.
        """
        self._setup = encode(wire(session.setup))
        for number in range(self.workers):
            try:
                self._crew.append(self._begin(number))
            except OSError as error:
                raise InvalidInput(
                    f"worker {number + 1} of {self.workers} cannot be started ({error.strerror}); "
                    "give fewer --workers, or raise the limits of open files and processes (ulimit -n, ulimit -u)"
                ) from error

    def submit(self, worker: int, call: Mapping[str, Any]) -> None:
        """Have a worker begin a call."""
        with suppress(OSError):  # it is gone: `wait` will notice and say so
            self._crew[worker].connection.send_bytes(encode(call))

    def wait(self) -> tuple[int, dict[str, Any]]:
        """The next reply of any worker; one that was lost is begun anew before that is told.

        Raises:
            CrossfeedError: A worker ended before its first word.
        """
        numbers = {worker.connection: number for number, worker in enumerate(self._crew)}
        connection = wait(list(numbers))[0]
        number = numbers[connection]  # type: ignore[index]
        worker = self._crew[number]
        try:
            message = decode(worker.connection.recv_bytes())
        except (EOFError, OSError):
            how = _obituary(worker)
            self._silent = 0 if worker.spoke else self._silent + 1
            by_itself = worker.process.returncode >= 0
            if self._silent > SILENT or (self._silent and by_itself):  # another one would end as it did
                raise CrossfeedError(
                    f"worker {number + 1} ended before its first word: {how}; give fewer --workers, or "
                    "--executor serial"
                ) from None
            self._end(worker)
            self._crew[number] = self._begin(number)
            return number, {"reply": "lost", "message": how}
        worker.spoke = True
        return number, message

    def close(self) -> None:
        """End the workers at once: what they have in hand is whole or absent in the store."""
        for worker in self._crew:
            self._end(worker)
        self._crew.clear()

    def _begin(self, number: int) -> _Worker:
        ours, theirs = socket.socketpair()
        complaints = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the worker
        given = dict.fromkeys(THREADS, str(self._threads))
        given |= {WORKER_NUMBER: str(number), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", "crossfeed.executors.worker", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=complaints,
            stderr=complaints,
            env=os.environ | given,
        )
        theirs.close()
        connection = Connection(ours.detach())
        worker = _Worker(process, connection, complaints)
        with suppress(OSError):  # it died at once: `wait` will notice and say so
            connection.send_bytes(self._setup)
        return worker

    @staticmethod
    def _end(worker: _Worker) -> None:
        worker.process.kill()
        worker.process.wait()
        worker.connection.close()
        worker.complaints.close()


def _obituary(worker: _Worker) -> str:
    """How a worker ended, in words, with the last that it said."""
    code = worker.process.wait()
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    if code == -9:
        how += " (killed: by someone, or by the system when memory ran out)"
    worker.complaints.seek(0)
    said = worker.complaints.read().decode(errors="replace").strip()[-600:]
    return f"its worker process {how}" + (f"; it said: {said}" if said else "")
