"""crossfeed: ecosystems of generative models that train on each other's outputs.

Describe an ecosystem once (`Ecosystem`, `Experiment`), predict it exactly (`crossfeed.theory`), run it for real
(`run`), and lay the two side by side. Names are loaded when first used, so that ``import crossfeed`` costs
next to nothing and never pulls in torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from crossfeed.description.ecosystem import Ecosystem, Entity
    from crossfeed.description.experiment import Cell, Experiment
    from crossfeed.errors import CrossfeedError
    from crossfeed.executors import open_executor
    from crossfeed.loop import Outcome, run
    from crossfeed.reporting.data.frames import Run
    from crossfeed.store import open_store
    from crossfeed.store.memory import MemoryStore
    from crossfeed.tracking import open_tracker

__all__ = [
    "Cell",
    "CrossfeedError",
    "Ecosystem",
    "Entity",
    "Experiment",
    "MemoryStore",
    "Outcome",
    "Run",
    "open_executor",
    "open_store",
    "open_tracker",
    "run",
]

_HOMES: Final = {
    "Cell": "crossfeed.description.experiment",
    "CrossfeedError": "crossfeed.errors",
    "Ecosystem": "crossfeed.description.ecosystem",
    "Entity": "crossfeed.description.ecosystem",
    "Experiment": "crossfeed.description.experiment",
    "MemoryStore": "crossfeed.store.memory",
    "Outcome": "crossfeed.loop",
    "Run": "crossfeed.reporting.data.frames",
    "open_executor": "crossfeed.executors",
    "open_store": "crossfeed.store",
    "open_tracker": "crossfeed.tracking",
    "run": "crossfeed.loop",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'crossfeed' has no attribute {name!r}")
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names."""
    return __all__
