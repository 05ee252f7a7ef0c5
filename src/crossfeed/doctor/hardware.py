"""The hardware that a run may use: cores, a container's share of them, memory, disk."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crossfeed.executors.processes import THREADS

__all__ = ["Machine", "machine"]


_INSTRUCTIONS: Final = {
    "AVX2": "avx2",
    "AVX-512": "avx512f",
    "AVX-512 bf16": "avx512_bf16",
    "AMX bf16": "amx_bf16",
    "SVE": "sve",
    "Arm bf16": "bf16",
}
"""Instructions by the flags that Linux lists for them."""


@dataclass(frozen=True)
class Machine:
    """Cores, memory and disk; sizes in bytes, and None where this system does not report them.

    Attributes:
        system: The operating system.
        processor: Its name.
        instructions: Instructions for fast products that it has, of `_INSTRUCTIONS`; None where this system does not
            list them.
        cores: Logical cores of the machine.
        usable_cores: Cores that this process may run on.
        cpu_quota: Processor time that a container (cgroup) may use, in cores; None without a limit.
        threads: Environment variables that bound the threads of numerical libraries, as they are set.
        memory: Memory of the machine, or of the container, if that has less.
        memory_free: Memory that is still available.
        disk_free: Free space in the current folder.
    """

    system: str
    processor: str
    instructions: tuple[str, ...] | None
    cores: int
    usable_cores: int
    cpu_quota: float | None
    threads: dict[str, str]
    memory: int | None
    memory_free: int | None
    disk_free: int | None

    @property
    def workers(self) -> float:
        """Processor time that is available, in cores."""
        return min(float(self.usable_cores), self.cpu_quota or float("inf"))


def machine() -> Machine:
    """Return the hardware of this machine."""
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    memory, free = _memory()
    try:
        disk: int | None = shutil.disk_usage(".").free
    except OSError:
        disk = None
    return Machine(
        system=platform.platform(),
        processor=_cpu_line("model name") or platform.processor() or platform.machine(),
        instructions=_instructions(),
        cores=cores,
        usable_cores=usable,
        cpu_quota=_quota(),
        threads={name: os.environ[name] for name in THREADS if name in os.environ},
        memory=memory,
        memory_free=free,
        disk_free=disk,
    )


def _cpu_line(field: str) -> str:
    """Return a field of the first processor in Linux's list; empty where there is none."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == field:
                return value.strip()
    return ""


def _instructions() -> tuple[str, ...] | None:
    flags = (_cpu_line("flags") or _cpu_line("Features")).split()
    return tuple(name for name, flag in _INSTRUCTIONS.items() if flag in flags) if flags else None


def _quota() -> float | None:
    """Return the smallest limit on processor time of the control groups of this process, in cores."""
    limits = []
    for group in _groups("cpu"):
        with suppress(OSError, ValueError, ZeroDivisionError):
            if (group / "cpu.max").exists():
                limit, period = (group / "cpu.max").read_text().split()
            else:
                limit, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            if limit != "max" and int(limit) > 0:
                limits.append(int(limit) / int(period))
    return min(limits, default=None)


def _memory() -> tuple[int | None, int | None]:
    total, free = _memory_of_machine()
    for group in _groups("memory"):
        with suppress(OSError, ValueError):
            new = (group / "memory.max").exists()
            limit = int((group / ("memory.max" if new else "memory.limit_in_bytes")).read_text())
            used = int((group / ("memory.current" if new else "memory.usage_in_bytes")).read_text())
            if total is None or limit < total:
                total, free = limit, max(0, min(limit - used, limit if free is None else free))
    return total, free


def _memory_of_machine() -> tuple[int | None, int | None]:
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        total, free = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
        return total, free
    except (OSError, ValueError, KeyError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None
    except (AttributeError, OSError, ValueError):
        return None, None


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups of this process, the innermost first: of version 2, and of version 1."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            root = Path("/sys/fs/cgroup") / (controller if controllers else "")
            inner = root / path.lstrip("/")
            yield from (folder for folder in (inner, *inner.parents) if folder == root or root in folder.parents)
