"""Installed packages, the extras of crossfeed that they make up, and missing requirements."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import Final

from packaging.requirements import Requirement

__all__ = ["FOR", "Extra", "extras", "versions"]

FOR: Final = {
    "": "theory, linear models, reports",
    "lm": "language models, such as the quickstart",
    "adapters": "low-rank adapters of language models",
    "smollm": "a pretrained language model without a hub (presets smollm2-...), and bases in GGUF",
    "images": "image generators",
    "density": "mixtures of Gaussians",
    "measure": "the metric mauve",
    "pool": "near-duplicates in a pool, rankings by BM25",
    "explore": "the explorer in the browser",
    "ray": "work on a Ray cluster",
    "remote": "runs at a URL such as s3://bucket/run",
    "eval": "lm-evaluation-harness on checkpoints",
    "track": "TensorBoard and Weights & Biases",
    "hub": "crossfeed push",
}
"""The extras that a run may need, and their purposes; the empty name stands for crossfeed's own requirements."""


@dataclass(frozen=True)
class Extra:
    """An extra and its missing requirements.

    Attributes:
        name: Its name; empty for crossfeed's own requirements.
        purpose: Its purpose.
        missing: Requirements that are not met, each with the version that is installed instead, if any.
    """

    name: str
    purpose: str
    missing: tuple[str, ...]


def extras() -> tuple[Extra, ...]:
    """Return all extras of `FOR` that this version of crossfeed has."""
    needed = [Requirement(text) for text in metadata.requires("crossfeed") or ()]
    known = set(metadata.metadata("crossfeed").get_all("Provides-Extra") or ())
    known_extras = []
    for name, purpose in FOR.items():
        own = [each for each in needed if _belongs(each, name)]
        if not name or name in known:
            missing = tuple(lack for each in own if (lack := _lack(each)) is not None)
            known_extras.append(Extra(name, purpose, missing))
    return tuple(known_extras)


def versions() -> dict[str, str]:
    """Return the versions of installed packages that crossfeed or one of its extras requires, by name."""
    needed = [Requirement(text) for text in metadata.requires("crossfeed") or ()]
    names = ["crossfeed", *(each.name for name in FOR for each in needed if _belongs(each, name))]
    return {name: version for name in dict.fromkeys(names) if (version := _version(name)) is not None}


def _belongs(needed: Requirement, extra: str) -> bool:
    """Return True if a requirement comes with an extra on this system, and not without it."""
    marker = needed.marker
    if not extra:
        return marker is None or marker.evaluate({"extra": ""})
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _lack(needed: Requirement) -> str | None:
    """Return a requirement that is not met, with the version installed instead; None if it is met."""
    wanted, there = f"{needed.name}{needed.specifier}", _version(needed.name)
    if there is None:
        return wanted
    return None if needed.specifier.contains(there, prereleases=True) else f"{wanted} (there is {there})"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
