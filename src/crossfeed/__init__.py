"""crossfeed: ecosystems of generative models that train on each other's outputs.

Describe an ecosystem once (`Experiment`), then `check` it, `predict` it exactly or `forecast` it from probes, `plan`
its weights, `run` it, `merge` runs of it, `report` the run, `contrast` its points, `compare` it with the paper,
`evaluate` its models, and share it (`export_run`, `import_run`, `push_run`).
These verbs are functions; the command line calls the same ones.
Names are loaded when first used, so that ``import crossfeed`` is quick and never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from crossfeed.description.ecosystem import Ecosystem
    from crossfeed.description.entity import Entity
    from crossfeed.description.experiment import Cell, Experiment
    from crossfeed.doctor.experiment import check
    from crossfeed.errors import CrossfeedError
    from crossfeed.evaluation.benchmarks import evaluate
    from crossfeed.exact.planning import Plan
    from crossfeed.exact.prediction import Prediction, predict
    from crossfeed.executors import open_executor
    from crossfeed.forecasting.answer import Forecast
    from crossfeed.forecasting.probing import forecast
    from crossfeed.loop import Outcome, run
    from crossfeed.reporting.data.frames import Run
    from crossfeed.reporting.differences.contrasts import Contrast, contrast
    from crossfeed.reporting.paper.agreement import Comparison
    from crossfeed.reporting.paper.comparison import compare
    from crossfeed.reporting.plans import plan
    from crossfeed.reporting.reports import report
    from crossfeed.running.merging import merge
    from crossfeed.sharing.exporting import export_run
    from crossfeed.sharing.hub import push_run
    from crossfeed.sharing.importing import import_run
    from crossfeed.store import open_store
    from crossfeed.store.memory import MemoryStore
    from crossfeed.tracking import open_tracker

__all__ = [
    "Cell",
    "Comparison",
    "Contrast",
    "CrossfeedError",
    "Ecosystem",
    "Entity",
    "Experiment",
    "Forecast",
    "MemoryStore",
    "Outcome",
    "Plan",
    "Prediction",
    "Run",
    "check",
    "compare",
    "contrast",
    "evaluate",
    "export_run",
    "forecast",
    "import_run",
    "merge",
    "open_executor",
    "open_store",
    "open_tracker",
    "plan",
    "predict",
    "push_run",
    "report",
    "run",
]

_HOMES: Final = {
    "Cell": "crossfeed.description.experiment",
    "Comparison": "crossfeed.reporting.paper.agreement",
    "Contrast": "crossfeed.reporting.differences.contrasts",
    "CrossfeedError": "crossfeed.errors",
    "Ecosystem": "crossfeed.description.ecosystem",
    "Entity": "crossfeed.description.entity",
    "Experiment": "crossfeed.description.experiment",
    "Forecast": "crossfeed.forecasting.answer",
    "MemoryStore": "crossfeed.store.memory",
    "Outcome": "crossfeed.loop",
    "Plan": "crossfeed.exact.planning",
    "Prediction": "crossfeed.exact.prediction",
    "Run": "crossfeed.reporting.data.frames",
    "check": "crossfeed.doctor.experiment",
    "compare": "crossfeed.reporting.paper.comparison",
    "contrast": "crossfeed.reporting.differences.contrasts",
    "evaluate": "crossfeed.evaluation.benchmarks",
    "export_run": "crossfeed.sharing.exporting",
    "forecast": "crossfeed.forecasting.probing",
    "import_run": "crossfeed.sharing.importing",
    "merge": "crossfeed.running.merging",
    "open_executor": "crossfeed.executors",
    "open_store": "crossfeed.store",
    "open_tracker": "crossfeed.tracking",
    "plan": "crossfeed.reporting.plans",
    "predict": "crossfeed.exact.prediction",
    "push_run": "crossfeed.sharing.hub",
    "report": "crossfeed.reporting.reports",
    "run": "crossfeed.loop",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'crossfeed' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
