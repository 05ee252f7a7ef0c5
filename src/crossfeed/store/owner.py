"""The process that writes to a run, in a form that distinguishes processes of the same number."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Owner"]


@dataclass(frozen=True)
class Owner:
    """A process.

    Attributes:
        process: Its number.
        host: The machine's name.
        machine: The boot of the machine and the namespace of process numbers; processes that agree in it can see each
            other. Empty where the system does not state it.
        started: Its start, in ticks of its machine, so that a reused number is not taken for it. Empty where the system
            does not state it.
        since: The time at which it took the lock, for messages alone.
    """

    process: int
    host: str
    machine: str
    started: str
    since: str

    def __str__(self) -> str:
        return f"process {self.process} on {self.host} since {self.since}"

    @classmethod
    def this_process(cls) -> Owner:
        """Return this process.

        Returns:
            The owner that a lock of this process names.
        """
        pid = os.getpid()
        return cls(pid, platform.node(), _machine(), _started(pid), time.strftime("%Y-%m-%d %H:%M:%S"))

    def is_alive(self) -> bool | None:
        """Return True if the process still runs.

        Returns:
            False if it has ended; None if it cannot be seen from here.
        """
        if not self.machine or not self.started or self.machine != _machine():
            return None
        return _started(self.process) == self.started


@cache
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(process: int) -> str:
    """Read field 22 of ``/proc/<pid>/stat``; the name before it may hold any characters. Empty if it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
