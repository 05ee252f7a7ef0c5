"""Probes: a few generations of chosen cells, run and looked at on the way, from which everything else is forecast.

Generation 0 and the cells of the grid among the probes are kept in the run's own folder, where a run goes on from them.
A probe with weights that the grid lacks begins at the same generation 0, and its states are dropped in the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

import numpy as np

from crossfeed.cache import default_cache
from crossfeed.description.ecosystem import Ecosystem
from crossfeed.description.experiment import Cell, Experiment
from crossfeed.description.installed import check_installed
from crossfeed.display.progress import Silent
from crossfeed.errors import InvalidInput
from crossfeed.forecasting.answer import LOSS, METRICS, Cost, Forecast
from crossfeed.forecasting.forecasts import ProbedCells, forecast_of
from crossfeed.forecasting.stored import Known, elsewhere, keep_known, read_known
from crossfeed.forecasting.tracing import TracingLearner, traced
from crossfeed.generation.cell_context import CellContext
from crossfeed.protocols import Learner, Progress, Store, TracedLearner
from crossfeed.records import is_measured, state_scope_of
from crossfeed.running.beginning import begin_run, keep_inputs
from crossfeed.running.growth import addressed
from crossfeed.running.session import Session, Setup
from crossfeed.running.sittings import begin_sitting

__all__ = ["Probe", "check_forecastable", "forecast", "is_done", "probed", "probes_of"]

_ORDER: Final = ((1.0, None), (0.0, 1.0), (1.0, None), (0.0, 1.0), (0.5, 0.0), (0.5, 0.5), (1.0, None), (0.0, 0.0))
"""Weights alpha and beta of one more generation each, in the order in which a budget is spent; repeated ones go on."""

_LOOKING: Final = 0.8
"""The part of a budget that is spent on training; the rest is for the losses on the way."""


@dataclass(frozen=True)
class Probe:
    """The first generations of a cell.

    Attributes:
        cell: The cell.
        generations: How many of its generations are run.
        on_grid: True if it is a cell of the grid.
    """

    cell: Cell
    generations: int
    on_grid: bool


def check_forecastable(experiment: Experiment) -> None:
    """Refuse experiments whose cells are no mixtures of the same models.

    Args:
        experiment: The experiment.

    Raises:
        InvalidInput: The message names what stands in the way and what to change.
    """
    if experiment.generations == 0:
        raise InvalidInput("generations: 0: there is nothing to forecast; give at least 1")
    if LOSS not in experiment.metrics:
        raise InvalidInput(f"metrics: {', '.join(experiment.metrics)}: a forecast is of the loss; add loss to them")
    rare = [name for name in METRICS if name in experiment.metrics and experiment.metrics[name].every > 1]
    if rare:
        raise InvalidInput(
            f"metrics.{rare[0]}.every: {experiment.metrics[rare[0]].every}: a forecast needs the loss after every "
            "generation; leave it out, or give 1"
        )
    filters = dict.fromkeys(name for cell in experiment.cells() for name in cell.experiment.ecosystem.curation)
    if filters:
        raise InvalidInput(
            f"ecosystem.curation: {', '.join(filters)}: a forecast knows of a mixture by its weights alone, not by "
            "which items pass; leave the filters out"
        )
    for ecosystem in (cell.experiment.ecosystem for cell in experiment.cells()):
        _refuse_other_worlds(ecosystem)
    if any(cell.experiment.ecosystem.access is not None for cell in experiment.cells()):
        raise InvalidInput(
            "ecosystem.access: a forecast knows of a mixture by its weights alone, not by what a ranking shows; leave "
            "it out"
        )
    if any(cell.experiment.ecosystem.preferences is not None for cell in experiment.cells()):
        raise InvalidInput(
            "ecosystem.preference: a forecast knows of a mixture by its weights alone, not by what is chosen among "
            "candidates; leave it out"
        )
    own = {str(each) for each in experiment.learners}
    if experiment.learner.other_units and len(own) > 1:
        raise InvalidInput(
            f"the entities' learners differ: {experiment.learner.other_units}; a forecast needs losses in one unit"
        )
    others = [path for path in experiment.grid if not _is_of_mixtures(path)]
    if others:
        raise InvalidInput(
            f"grid: {', '.join(others)}: a forecast goes from one mixture to another, with all else the same; fix "
            f"{'it' if len(others) == 1 else 'them'} with --set, and forecast one value at a time"
        )
    first = experiment.cells()[0]
    if any(cell.start != first.start for cell in experiment.cells() if cell.seed == first.seed):
        raise InvalidInput(
            f"grid: {', '.join(experiment.grid)}: its cells do not begin at the same generation 0, which they are "
            "forecast from; fix what changes it, such as ecosystem.initial_beta or initial_n"
        )


def _refuse_other_worlds(ecosystem: Ecosystem) -> None:
    """Refuse what does not enter by weights alone, or begins elsewhere than the surrogate's models do."""
    reasons = {
        "clocks, arrivals and turns (every, phase, probability, from, until, order)": not ecosystem.in_step,
        "start": any(ecosystem.start_of(entity) != "previous" for entity in ecosystem.entities),
        "prompts": any(ecosystem.prompts_of(entity) != "private" for entity in ecosystem.entities),
        "private with several tasks": any(len(entity.owned) > 1 for entity in ecosystem.entities),
    }
    for reason in (name for name, holds in reasons.items() if holds):
        raise InvalidInput(
            f"ecosystem: a forecast knows of entities that train in step, each from its last weights, on one private "
            f"task whose prompts it answers; it does not know {reason}; leave that out, or run the experiment"
        )


def _is_of_mixtures(path: str) -> bool:
    """Return True if a field of the grid changes weights, sizes or lengths, but no learner."""
    parts = path.split(".")
    return path in ("n", "generations") or (parts[0] == "ecosystem" and "learner" not in parts)


def probes_of(experiment: Experiment, budget: float) -> list[Probe]:
    """Choose the probes of an experiment.

    Args:
        experiment: The experiment.
        budget: What they may cost, in generations of one cell.

    Returns:
        Probes of the first seed.

    Raises:
        InvalidInput: The budget is not positive, or too small for one generation.
    """
    count = int(_LOOKING * budget) if np.isfinite(budget) and budget > 0 else 0
    if count < 1:
        raise InvalidInput(f"a budget of {budget:g} generations is too small to learn from; give at least 1.25, or 5")
    wanted: dict[tuple[float, float | None], int] = {}
    for place in _ORDER[:count]:
        wanted[place] = wanted.get(place, 0) + 1
    cells = [cell for cell in experiment.cells() if cell.seed == experiment.seeds[0]]
    probes = []
    longest = max(cell.experiment.generations for cell in cells)
    for (alpha, beta), count_here in wanted.items():
        generations = min(count_here, longest)
        long = [cell for cell in cells if cell.experiment.generations >= generations]
        same = [cell for cell in long if _has_weights(cell.experiment, alpha, beta)]
        if same:
            probes.append(Probe(same[0], generations, on_grid=True))
        else:
            probes.append(Probe(_off_grid(cells[0], alpha, beta, generations), generations, on_grid=False))
    return probes


def _has_weights(experiment: Experiment, alpha: float, beta: float | None) -> bool:
    """Return True if all entities have some weights at all generations; at alpha = 1 beta has no effect."""
    ecosystem = experiment.ecosystem
    return all(
        (ecosystem.alphas(t) == alpha).all() and (beta is None or (ecosystem.betas(t) == beta).all())
        for t in range(1, experiment.generations + 1)
    )


def _off_grid(cell: Cell, alpha: float, beta: float | None, generations: int) -> Cell:
    """Return a cell as another one, with common weights of its own."""
    ecosystem = cell.experiment.ecosystem
    beta = float(ecosystem.betas(1).mean()) if beta is None else beta
    entities = tuple(each.model_copy(update={"alpha": None, "beta": None}) for each in ecosystem.entities)
    weights = {"entities": entities, "alpha": alpha, "beta": beta, "update": "accumulate-and-subsample"}
    other = ecosystem.model_copy(update=weights)
    experiment = cell.experiment.model_copy(update={"ecosystem": other, "generations": generations})
    return elsewhere(cell, f"probe_alpha-{alpha:g}_beta-{beta:g}_seed-{cell.seed}", experiment)


def forecast(
    experiment: Experiment,
    store: Store,
    *,
    budget: float = 5.0,
    data_root: Path | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Forecast:
    """Forecast every cell of an experiment from a few generations' work.

    Runs generation 0 and the probes of the first seed, as far as they are not in the store; with everything else that
    the store has measured of that seed, they identify the surrogate (`crossfeed.forecasting.surrogate`).

    Args:
        experiment: The experiment.
        store: The store of its run, which goes on from there.
        budget: What the probes may cost, in generations of one cell; not counting generation 0, which a run makes too.
        data_root: A folder laid out ``<data set>/<split>.parquet`` to read instead of a hub; default none.
        cache: The folder in which base models are shared between runs; default `crossfeed.cache.default_cache`.
        progress: Reports progress; default nothing is reported.

    Returns:
        The forecast of the cells of the first seed; its table is the result ``forecast`` of the store as well.

    Raises:
        DataUnavailable: A data set cannot be reached.
        InvalidInput: The experiment cannot be forecast, or the budget is too small.
        MissingDependency: A part of the experiment is of a package that is not installed.
        StoreMismatch: The store holds another run, or the data changed.
        StoreError: The store cannot be written, or another process writes to it.
    """
    with probed(experiment, store, budget=budget, data_root=data_root, cache=cache, progress=progress) as (
        known,
        cells,
        cost,
    ):
        made = forecast_of(experiment, known, store, cells, cost)
        store.write_result("forecast", made.table)
        return made


@contextmanager
def probed(
    experiment: Experiment,
    store: Store,
    *,
    budget: float = 5.0,
    data_root: Path | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[Known, ProbedCells, Cost]]:
    """Run generation 0 and the probes of the first seed, as far as they are not stored, and hold the store.

    Args:
        experiment: See `forecast`, also for what is raised.
        store: The store of its run.
        budget: What the probes may cost, in generations of one cell.
        data_root: A folder of data sets to read instead of a hub.
        cache: The folder of shared base models.
        progress: Reports progress.

    Yields:
        What is known of the cells, the probes and their cost; the store is let go afterwards.
    """
    check_installed(experiment)
    check_forecastable(experiment)
    probes = probes_of(experiment, budget)
    setup = Setup(addressed(experiment, store), store, data_root, cache or default_cache(), progress or Silent())
    session = Session(setup)
    # The first cell is of the first seed. Its learner is asked for now, so that one that cannot be forecast leaves no
    # folder behind.
    learner = traced(session.learner(0), experiment.learner.kind)
    begin_run(session)
    try:
        keep_inputs(session)
        work = _Probing(session, learner)
        work.run(probes)
        known = read_known(store, experiment, experiment.seeds[0])
        assert known is not None  # noqa: S101 - for the type checker; it was kept above
        cells = [cell for cell in experiment.cells() if cell.seed == experiment.seeds[0]]
        cost = Cost(
            generations=float(sum(probe.generations for probe in probes)),
            reused=float(sum(probe.generations for probe in probes if probe.on_grid)),
            grid=float(sum(cell.experiment.generations for cell in cells)),
            seconds=work.seconds,
        )
        yield known, [(probe.cell, probe.generations) for probe in probes], cost
    finally:
        store.end()


@dataclass
class _Probing:
    """Runs probes, each learner looked at on the way.

    Attributes:
        session: The session.
        learner: The learner of the cells of the first seed.
        seconds: The time that it took; 0 if everything was there.
    """

    session: Session
    learner: TracedLearner
    seconds: float = 0.0

    def run(self, probes: Sequence[Probe]) -> None:
        """Run generation 0 and the probes, as far as they are not stored.

        Args:
            probes: The probes, all of the first seed.
        """
        begun, session, learner, store = time.monotonic(), self.session, self.learner, self.session.setup.store
        prepared, cells = session.prepared(0), session.setup.experiment.cells()
        context = CellContext(prepared.cell, learner, prepared.tasks, prepared.fresh)
        keep_known(context, learner, [cell for cell in cells if cell.seed == prepared.cell.seed], store)
        left = [probe for probe in probes if not is_done(store, probe)]
        if left:
            begin_sitting(store)
        for probe in probes:
            if probe in left:
                tracing = TracingLearner(learner, probe.cell, prepared.tasks, store)
                runner = session.runner(replace(prepared, cell=probe.cell), cast(Learner, tracing))
                runner.run(until=probe.generations)
                store.drop_document(f"status/{probe.cell.name}")
            if not probe.on_grid:  # also those of a probe that was stopped once all of it was measured
                for generation in range(1, probe.generations + 1):
                    store.drop_states(state_scope_of(probe.cell, generation), generation)
        session.log_damage()
        self.seconds = time.monotonic() - begun if left else 0.0


def is_done(store: Store, probe: Probe) -> bool:
    """Return True if nothing of a probe is left to run.

    Args:
        store: The store of the run.
        probe: The probe.
    """
    return all(is_measured(store, probe.cell, t) for t in range(probe.generations + 1))
