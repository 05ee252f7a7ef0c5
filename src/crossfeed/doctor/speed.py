"""What models compute on here, and how long the quickstart should take: a second of training, and a measured run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Device", "Quickstart", "device", "quickstart"]

_PATIENCE: Final = 120.0
"""Seconds that importing torch and a second of training may take."""

# Measured on the same two cores (x86, AVX-512): a step of `crossfeed.learners.neural.calibration`, and the processor
# time and the whole time of the quickstart with an empty cache (docs/benchmarks.md).
_STEP: Final = 0.022
_PROCESSOR: Final = 190.0
_WALL: Final = 112.0
_CELLS: Final = 3  # workers of the quickstart, at most
# Amdahl's law through the two: what several workers share out, and what one of them does while the others wait.
_SHARED: Final = 2 * (_PROCESSOR - _WALL)
_ALONE: Final = _PROCESSOR - _SHARED


@dataclass(frozen=True)
class Device:
    """What language models would compute on.

    Attributes:
        kind: ``cpu``, ``cuda`` or ``mps``; empty without torch.
        name: The device in words.
        precision: What forward passes compute in.
        memory: Bytes of an accelerator's own memory; None if it has none or does not say.
        threads: Threads that torch would use by itself; learners set their own (``learner.threads``).
        torch: Torch's version.
        compiler: The C compiler's command; empty if there is none that works.
        step: Processor seconds of a training step of the calibration, on the CPU.
        problem: Why torch cannot be used; empty if it can, or is not installed.
    """

    kind: str = ""
    name: str = ""
    precision: str = ""
    memory: int | None = None
    threads: int | None = None
    torch: str = ""
    compiler: str = ""
    step: float | None = None
    problem: str = ""


def device() -> Device:
    """Try torch in a process of its own, so that one that is broken, or hangs, does no harm here."""
    command = [sys.executable, "-P", "-m", "crossfeed.learners.neural.calibration"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        answer = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=_PATIENCE, check=True, env=environment, errors="replace"
        )
        found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return Device(problem=f"torch was not ready in {_PATIENCE:g} s")
    except subprocess.CalledProcessError as error:
        how = f"signal {-error.returncode}" if error.returncode < 0 else f"exit code {error.returncode}"
        said = error.stderr.strip().splitlines()[-1:] or [f"ended with {how}"]
        return Device(problem=f"torch cannot be used: {said[0]}")
    except (OSError, ValueError, IndexError) as error:
        return Device(problem=f"torch cannot be tried: {error}")
    return Device(
        kind=found["kind"],
        name=found["device"],
        precision=found["precision"],
        memory=found["memory"],
        threads=found["threads"],
        torch=found["torch"],
        compiler=found["compiler"],
        step=found["step"],
    )


@dataclass(frozen=True)
class Quickstart:
    """How long ``crossfeed run quickstart`` should take.

    Attributes:
        seconds: About; None if it cannot be said.
        how: How that is known, or why it is not.
    """

    seconds: float | None
    how: str


def quickstart(found: Device, cores: float, missing: tuple[str, ...]) -> Quickstart:
    """Scale the measured quickstart to this machine.

    Args:
        found: What torch computes on.
        cores: Cores' worth of time that can be had.
        missing: What of the extra ``lm`` is not there.
    """
    if missing:
        return Quickstart(None, f"it needs the extra lm; missing: {', '.join(missing)}")
    if found.problem or found.step is None:
        return Quickstart(None, found.problem or "torch said nothing")
    if found.kind != "cpu":
        return Quickstart(None, f"it would run on {found.kind}, where it was not measured; give learner.device: cpu")
    workers = min(max(1, round(cores)), _CELLS)
    slower = found.step / _STEP / min(1.0, cores)
    how = (
        f"a training step of the quickstart's size takes {1000 * found.step:.1f} ms of processor time here and "
        f"{1000 * _STEP:.1f} ms where the quickstart took {_WALL:.0f} s on two cores; with {workers} "
        f"worker{'s' * (workers > 1)} here, by Amdahl's law. Expect a third more or less"
    )
    return Quickstart(slower * (_ALONE + _SHARED / workers), how)
