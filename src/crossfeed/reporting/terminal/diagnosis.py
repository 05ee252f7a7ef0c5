"""A diagnosis in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from crossfeed.display.formatting import clip, plain
from crossfeed.doctor import Diagnosis
from crossfeed.doctor.hardware import Machine
from crossfeed.reporting.terminal.tables import ascii_for, say

__all__ = ["bytes_text", "print_rows", "render_diagnosis"]

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_LONGEST: Final = 400


def render_diagnosis(diagnosis: Diagnosis, console: Console) -> None:
    """Print it, what is broken last.

    Args:
        diagnosis: The diagnosis.
        console: Where to.
    """
    for title, rows in (
        ("Machine", _machine(diagnosis.machine)),
        ("Models compute on", _device(diagnosis)),
        ("Packages", _packages(diagnosis)),
        ("Installed for", _extras(diagnosis)),
        ("Places", _places(diagnosis)),
        ("Data", _data(diagnosis)),
        ("The quickstart", _quickstart(diagnosis)),
    ):
        print_rows(title, list(rows), console)
    for problem in diagnosis.problems:
        say(console, f"BROKEN: {clip(problem, _LONGEST)}", "bold red")
    if not diagnosis.problems:
        say(console, "Nothing is broken.", "bold green")


def print_rows(title: str, rows: list[tuple[str, str]], console: Console) -> None:
    """Print names and values under a title; nothing if there are none.

    Args:
        title: The title.
        rows: Names, which may be empty, and values.
        console: Where to.
    """
    if not rows:
        return
    say(console, title, "bold")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=min(max(len(name) for name, _ in rows), 24), overflow="fold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(*(Text(ascii_for(plain(text), console)) for text in (name, value)))
    console.print(table, highlight=False)
    console.print()


def _machine(here: Machine) -> Iterator[tuple[str, str]]:
    yield "system", here.system
    yield "processor", here.processor
    if here.instructions is not None:
        yield "has", ", ".join(here.instructions) or "no instructions for fast products"
    limits = [f"{here.usable_cores} usable here"] if here.usable_cores != here.cores else []
    limits += [f"time of {here.cpu_quota:g} allowed (container)"] if here.cpu_quota is not None else []
    yield "cores", ", ".join([str(here.cores), *limits])
    if here.threads:
        yield "threads", ", ".join(f"{name}={value}" for name, value in here.threads.items())
    if here.memory is not None:
        free = "" if here.memory_free is None else f", {bytes_text(here.memory_free)} free"
        yield "memory", f"{bytes_text(here.memory)}{free}"
    if here.disk_free is not None:
        yield "disk, this folder", f"{bytes_text(here.disk_free)} free"


def _device(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    about = diagnosis.device
    if about.kind:
        memory = "" if about.memory is None else f", {bytes_text(about.memory)}"
        yield about.kind, f"{about.name}{memory}, {about.precision}; torch {about.torch}, {about.threads} threads"
        if about.instructions:
            yield "instructions used", f"{about.instructions}{_on_bf16(diagnosis)}"
        without = (
            "none that works, or its work cannot be kept in the cache: small models take longer on a CPU; CC names one"
        )
        yield "C compiler", about.compiler or without
    elif about.problem:
        yield "nothing", about.problem
    else:
        yield "numpy alone", "torch is not installed: theory and linear models do without; pip install 'crossfeed[lm]'"


def _on_bf16(diagnosis: Diagnosis) -> str:
    """Return a remark on bf16 on this processor: what it has no products for is emulated."""
    if diagnosis.device.kind != "cpu":
        return ""
    fast = any(name in diagnosis.device.instructions.split(", ") for name in ("bf16", "AMX"))
    fast |= "Arm bf16" in (diagnosis.machine.instructions or ())
    return f"; learner.precision: bf16 is {'fast' if fast else 'slow'} here"


def _packages(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    yield "python", diagnosis.python
    yield "", ", ".join(f"{name} {version}" for name, version in diagnosis.packages.items())


def _extras(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    for each in diagnosis.extras:
        lacks = f"no: pip install 'crossfeed[{each.name}]' (missing: {', '.join(each.missing)})"
        yield each.name or "any run", f"{each.purpose}: {lacks if each.missing else 'yes'}"


def _places(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    hub = diagnosis.hub
    word = {True: "reachable", False: "cannot be reached", None: "not asked"}[hub.reachable]
    yield "model hub", " ".join(part for part in (hub.endpoint, word, f"({hub.why})" if hub.why else "") if part)
    if hub.cache:
        yield "its downloads", f"{hub.cache} ({bytes_text(hub.cache_bytes)})"
    problem = f"; cannot be written: {diagnosis.cache.problem}" if diagnosis.cache.problem else ""
    yield "cache", f"{diagnosis.cache.folder} ({bytes_text(diagnosis.cache.bytes)}){problem}"


def _data(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    if diagnosis.data_root is None:
        return
    if not diagnosis.data:
        yield diagnosis.data_root, "no <data set>/<split>.parquet or .jsonl in it"
    for name in dict.fromkeys(file.data_set for file in diagnosis.data):
        own = [file for file in diagnosis.data if file.data_set == name]
        rows = [f"{file.split} {'damaged' if file.rows is None else f'{file.rows:,} rows'}" for file in own]
        columns = next((file.columns for file in own if file.columns), ())
        yield name, f"{', '.join(rows)}; columns: {clip(', '.join(columns), _LONGEST)}"


def _quickstart(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    about = diagnosis.quickstart
    if about.seconds is None:
        yield "takes", f"not known: {about.how}"
    else:
        minutes = about.seconds / 60
        yield "takes about", f"{minutes:.0f} min" if minutes >= 1.5 else f"{about.seconds:.0f} s"
        yield "estimated from", about.how


def bytes_text(count: int) -> str:
    """Return a number of bytes with three digits and a unit.

    Args:
        count: The number.
    """
    value, place = float(count), 0
    while value >= 1000 and place < len(_UNITS) - 1:
        value, place = value / 1000, place + 1
    return f"{value:.3g} {_UNITS[place]}"
