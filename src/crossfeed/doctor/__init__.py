"""Diagnosis of the machine that crossfeed is to run on.

It covers the hardware, the installed packages, and the places that runs read and write.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from crossfeed.doctor.hardware import Machine, machine
from crossfeed.doctor.packages import Extra, extras, versions
from crossfeed.doctor.places import Cache, DataFile, Hub, cache, data_files, hub
from crossfeed.doctor.speed import Device, Quickstart, device, quickstart

__all__ = ["Diagnosis", "diagnose"]


@dataclass(frozen=True)
class Diagnosis:
    """The state of a machine.

    Attributes:
        python: Python's version.
        machine: Cores, memory and disk.
        device: The device that language models compute on.
        packages: Versions of packages, by name.
        extras: Extras of crossfeed, each with the requirements that are missing.
        hub: The model hub.
        cache: The folder that runs share.
        data_root: The folder of data sets, if one was given.
        data: The data sets in it.
        quickstart: The expected time of the quickstart.
    """

    python: str
    machine: Machine
    device: Device
    packages: dict[str, str]
    extras: tuple[Extra, ...]
    hub: Hub
    cache: Cache
    data_root: str | None
    data: tuple[DataFile, ...]
    quickstart: Quickstart

    @property
    def problems(self) -> tuple[str, ...]:
        """Problems with their remedies; an optional package that is not installed is no problem."""
        return tuple(self._problems())

    def _problems(self) -> Iterator[str]:
        for lack in self.extras[0].missing if self.extras else ():
            yield f"{lack} is missing, which crossfeed cannot do without; install crossfeed again with pip"
        if self.device.problem:
            yield f"{self.device.problem}; install it again: pip install --force-reinstall torch"
        if self.cache.problem:
            place = f"{self.cache.folder} cannot be written ({self.cache.problem})"
            yield f"{place}; name another folder in CROSSFEED_CACHE"
        for file in self.data:
            if file.problem:
                yield f"{file.data_set}/{file.split}: {file.problem}; download it again"

    def as_data(self) -> dict[str, Any]:
        """Return the diagnosis as plain data."""
        return asdict(self) | {"problems": list(self.problems)}


def diagnose(data_root: Path | None = None) -> Diagnosis:
    """Examine this machine; a problem raises no error, and no step takes longer than two minutes.

    Args:
        data_root: A folder laid out ``<data set>/<split>.parquet``, whose data sets are listed.

    Returns:
        The diagnosis.
    """
    here, known = machine(), extras()
    calculator = device() if find_spec("torch") else Device()
    language = next((each.missing for each in known if each.name == "lm"), ())
    return Diagnosis(
        python=platform.python_version(),
        machine=here,
        device=calculator,
        packages=versions(),
        extras=known,
        hub=hub(),
        cache=cache(),
        data_root=None if data_root is None else str(data_root),
        data=() if data_root is None else data_files(data_root),
        quickstart=quickstart(calculator, here.workers, language),
    )
