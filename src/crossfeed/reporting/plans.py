"""The verb `plan`: the best mix, by exact theory or a forecast for a description, and by the records for a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, overload

from crossfeed.description.experiment import Experiment
from crossfeed.errors import InvalidInput
from crossfeed.exact.planning import Plan
from crossfeed.exact.planning import plan as plan_exactly
from crossfeed.forecasting.planning import ForecastPlan, forecast_plan
from crossfeed.protocols import Store
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.measured_mix import MeasuredPlan, best_measured
from crossfeed.reporting.data.opening import RunLike, open_run

__all__ = ["plan"]


@overload
def plan(subject: Experiment, objective: str = "mean", *, store: None = None, **choices: Any) -> Plan: ...
@overload
def plan(subject: Experiment, objective: str = "mean", *, store: Store, **choices: Any) -> ForecastPlan: ...
@overload
def plan(subject: RunLike, objective: str = "mean") -> MeasuredPlan: ...
def plan(
    subject: Experiment | RunLike, objective: str = "mean", *, store: Store | None = None, **choices: Any
) -> Plan | ForecastPlan | MeasuredPlan:
    """Find the best mix of own, public and other models' data.

    Args:
        subject: A description of linear models, whose best weights exact theory searches, and nothing is run. A
            description of other models, whose best weights a surrogate finds: probes are run, and kept in `store`.
            Or a `Run`, or its location: the best mix of those that its grid measured.
        objective: Whose error is made small: ``mean``, ``worst`` or an entity's name.
        store: Where the run of models without exact theory is, or will be (see `crossfeed.open_store`).
        choices: Of a description only: the further arguments of `crossfeed.exact.planning.plan`, or of
            `crossfeed.forecasting.planning.forecast_plan`.

    Returns:
        A `crossfeed.Plan` of linear models, a `crossfeed.forecasting.planning.ForecastPlan` of others, a
        `crossfeed.reporting.data.measured_mix.MeasuredPlan` of a run.

    Raises:
        InvalidDescription: The description has no linear theory, its grid varies more than weights, or its update
            scheme fixes alpha.
        InvalidInput: The objective is unknown; no weights give a finite error; a store is missing or there is nothing
            to keep in it; models cannot be forecast; or the run has fewer than two mixes.
        StoreError: There is no run at the location.
    """
    if isinstance(subject, Run | str | Path):
        return best_measured(open_run(subject), objective)
    kind = subject.learner.kind
    if kind != "linear":
        if store is None:
            raise InvalidInput(
                f"learner: kind: {kind}: there is no exact theory of it (there is of kind: linear), so a plan runs "
                "probes and keeps them; give store=open_store(FOLDER)"
            )
        return forecast_plan(subject, store, objective, **choices)
    if store is not None:
        raise InvalidInput("store: a plan of linear models is exact and runs nothing; leave store out")
    return plan_exactly(subject, objective, **choices)
