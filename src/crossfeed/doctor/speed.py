"""The device of language models and the expected time of the quickstart, from a second of training."""

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
# Amdahl's law through the two: processor time that workers share, and time in which one works while others wait.
_SHARED: Final = 2 * (_PROCESSOR - _WALL)
_ALONE: Final = _PROCESSOR - _SHARED


@dataclass(frozen=True)
class Device:
    """The device that language models compute on.

    Attributes:
        kind: ``cpu``, ``cuda`` or ``mps``; empty without torch.
        name: The device's name.
        precision: Number format of forward passes.
        memory: Bytes of an accelerator's own memory; None if it has none or does not report it.
        threads: Threads that torch would use by itself; learners set their own (``learner.threads``).
        torch: Torch's version.
        instructions: Instructions that torch uses on this processor: ``AVX512``, and ``bf16`` or ``AMX`` where it has
            products for these; empty if it cannot say.
        compiler: The C compiler's command; empty if there is none that works.
        step: Processor seconds of a training step of the calibration, on the CPU.
        problem: The reason why torch cannot be used; empty if it can, or is not installed.
    """

    kind: str = ""
    name: str = ""
    precision: str = ""
    memory: int | None = None
    threads: int | None = None
    torch: str = ""
    instructions: str = ""
    compiler: str = ""
    step: float | None = None
    problem: str = ""


def device() -> Device:
    """Try torch in a process of its own, so that a broken or hanging one does no harm here."""
    command = [sys.executable, "-P", "-m", "crossfeed.learners.neural.calibration"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        answer = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=_PATIENCE, check=True, env=environment, errors="replace"
        )
        measured: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return Device(problem=f"torch was not ready in {_PATIENCE:g} s")
    except subprocess.CalledProcessError as error:
        how = f"signal {-error.returncode}" if error.returncode < 0 else f"exit code {error.returncode}"
        reason = error.stderr.strip().splitlines()[-1:] or [f"ended with {how}"]
        return Device(problem=f"torch cannot be used: {reason[0]}")
    except (OSError, ValueError, IndexError) as error:
        return Device(problem=f"torch cannot be tried: {error}")
    return Device(
        kind=measured["kind"],
        name=measured["device"],
        precision=measured["precision"],
        memory=measured["memory"],
        threads=measured["threads"],
        torch=measured["torch"],
        instructions=measured["instructions"],
        compiler=measured["compiler"],
        step=measured["step"],
    )


@dataclass(frozen=True)
class Quickstart:
    """The expected time of ``crossfeed run quickstart``.

    Attributes:
        seconds: The estimate; None without one.
        how: The basis of the estimate, or the reason why there is none.
    """

    seconds: float | None
    how: str


def quickstart(device: Device, cores: float, missing: tuple[str, ...]) -> Quickstart:
    """Scale the measured time of the quickstart to this machine.

    Args:
        device: The device of language models.
        cores: Processor time that is available, in cores.
        missing: Requirements of the extra ``lm`` that are not met.

    Returns:
        The expected time.
    """
    if missing:
        return Quickstart(None, f"it needs the extra lm; missing: {', '.join(missing)}")
    if device.problem or device.step is None:
        return Quickstart(None, device.problem or "torch reported nothing")
    if device.kind != "cpu":
        return Quickstart(None, f"it would run on {device.kind}, where it was not measured; give learner.device: cpu")
    workers = min(max(1, round(cores)), _CELLS)
    slower = device.step / _STEP / min(1.0, cores)
    how = (
        f"a training step of the quickstart's size takes {1000 * device.step:.1f} ms of processor time here and "
        f"{1000 * _STEP:.1f} ms where the quickstart took {_WALL:.0f} s on two cores; with {workers} "
        f"worker{'s' * (workers > 1)} here, by Amdahl's law. Expect a third more or less"
    )
    return Quickstart(slower * (_ALONE + _SHARED / workers), how)
