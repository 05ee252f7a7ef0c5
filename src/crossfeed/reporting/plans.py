"""The verb `plan`: the best mix, by exact theory for a description and by the records for a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, overload

from crossfeed.description.experiment import Experiment
from crossfeed.exact.planning import Plan
from crossfeed.exact.planning import plan as plan_exactly
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.measured_mix import MeasuredPlan, best_measured
from crossfeed.reporting.data.opening import RunLike, open_run

__all__ = ["plan"]


@overload
def plan(subject: Experiment, objective: str = "mean", **choices: Any) -> Plan: ...
@overload
def plan(subject: RunLike, objective: str = "mean") -> MeasuredPlan: ...
def plan(subject: Experiment | RunLike, objective: str = "mean", **choices: Any) -> Plan | MeasuredPlan:
    """Find the best mix of own, public and other models' data.

    Args:
        subject: A description: linear models, whose best weights exact theory searches, nothing is run. Or a `Run`, or
            its location: the best mix of those that its grid measured.
        objective: Whose error is made small: ``mean``, ``worst`` or an entity's name.
        choices: Of a description only: the further arguments of `crossfeed.exact.planning.plan`.

    Returns:
        A `crossfeed.Plan` of a description, a `crossfeed.reporting.data.measured_mix.MeasuredPlan` of a run.

    Raises:
        InvalidDescription: The description has no linear theory, or its update scheme fixes alpha.
        InvalidInput: The objective is unknown; no weights give a finite error; or the run has fewer than two mixes.
        StoreError: There is no run at the location.
    """
    if isinstance(subject, Run | str | Path):
        return best_measured(open_run(subject), objective)
    return plan_exactly(subject, objective, **choices)
