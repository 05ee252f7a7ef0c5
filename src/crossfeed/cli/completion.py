"""Completion of values in the shell; to be quick, it imports nothing heavy and reads only names of files."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

__all__ = ["descriptions", "keys", "paper_tables", "presets", "runs", "runs_and_descriptions"]


def presets(incomplete: str) -> list[str]:
    """Return the presets' names that begin with a text."""
    names = (item.name for item in (files("crossfeed") / "presets").iterdir())
    return sorted(name[:-5] for name in names if name.endswith(".yaml") and name.startswith(incomplete))


def descriptions(incomplete: str) -> list[str]:
    """Return presets, and YAML files of the folder that is being typed."""
    named = (place for place in _beside(incomplete) if place.endswith((".yaml", ".yml")))
    return [*presets(incomplete), *sorted(named)]


def runs(incomplete: str) -> list[str]:
    """Return runs in the folder that is being typed, and in ``runs/``, where `crossfeed run` puts them."""
    places = {*_beside(incomplete), *_within("runs/", incomplete)}
    return sorted(place for place in places if (Path(place) / "run.json").is_file())


def runs_and_descriptions(incomplete: str) -> list[str]:
    """Return runs, then presets and YAML files."""
    return [*runs(incomplete), *descriptions(incomplete)]


def keys(incomplete: str) -> list[str]:
    """Return paths of keys of a description, one level at a time."""
    from crossfeed.description.json_schema import description_schema
    from crossfeed.description.key_reference import sections_of

    sections = sections_of(description_schema())
    paths = {path for section in sections for key in section.keys for path in (key.path, key.address)}
    level = incomplete.count(".") + 1
    return sorted({".".join(path.split(".")[:level]) for path in paths if path.startswith(incomplete)})


def paper_tables(incomplete: str) -> list[str]:
    """Return the numbers of the paper's tables of runs."""
    with (files("crossfeed") / "paper" / "data" / "tables.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["file"] == "changes.csv"]
    return [row["table"] for row in rows if row["table"].startswith(incomplete)]


def _beside(incomplete: str) -> Iterator[str]:
    folder, slash, _ = incomplete.rpartition("/")
    return _within(folder + slash, incomplete)


def _within(folder: str, incomplete: str) -> Iterator[str]:
    """Yield the paths in a folder that begin with a text."""
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return
    yield from (place for name in names if (place := f"{folder}{name}").startswith(incomplete))
