"""Forecasts of a run's cells while it goes on."""

from __future__ import annotations

import pytest

from crossfeed import open_store
from crossfeed.display.progress import Silent
from crossfeed.errors import InvalidInput
from crossfeed.forecasting.live import LiveForecast
from crossfeed.forecasting.tracing import read_curve
from crossfeed.running.beginning import begin_run
from crossfeed.running.session import Session, Setup
from tests.forecasting.small import small

pytest.importorskip("torch", reason="the language learner needs the lm extra")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def session(tmp_path, cache):
    def make(*overrides):
        return Session(Setup(small(*overrides), open_store(tmp_path / "run"), None, cache, Silent()))

    return make


def test_a_cell_is_known_better_once_others_are_measured(session):
    """Of three cells one is a probe, one is a mixture, and one never sees real data."""
    own = session("grid={ecosystem.alpha: [0.25, 0.75, 1]}", "generations=2")
    experiment, store, live = own.setup.experiment, own.setup.store, LiveForecast(own)
    names, tasks = [cell.name for cell in experiment.cells()], [*experiment.tasks, "public"]
    begin_run(own)
    try:
        live.refresh()
        assert [live.known(name) for name in names] == [None, None, None]  # nothing is measured
        own.advance(0, only_start=True, learner=live.traced(own.learner(0), 0))
        live.refresh()
        assert [live.known(name) for name in names] == [None, None, None]  # generation 0 alone tells no cell apart
        own.advance(0, only_start=False, learner=live.traced(own.learner(0), 0))
        live.refresh()
        assert live.known(names[0]) is None  # it is measured
        assert live.known(names[1]) > 0
        assert live.known(names[2]) is None  # where no task gets real data, all is extrapolated
        assert live.known("no cell") is None
        assert store.read_result("forecast").num_rows == 3 * 3 * 2 * 3
    finally:
        store.end()
    curves = {(cell.name, t) for cell in experiment.cells() for t in range(3) if read_curve(store, cell, t, tasks)}
    assert curves == {(name, 0) for name in names}  # the first cell is no probe: it is not looked at on the way


def test_probes_are_looked_at_for_one_generation(session):
    own = session("grid={ecosystem.alpha: [0.25, 1]}", "generations=2")
    experiment, store, live = own.setup.experiment, own.setup.store, LiveForecast(own)
    tasks = [*experiment.tasks, "public"]
    begin_run(own)
    try:
        own.advance(1, only_start=False, learner=live.traced(own.learner(1), 1))
    finally:
        store.end()
    cell = experiment.cells()[1]
    assert [read_curve(store, cell, t, tasks) is not None for t in range(3)] == [True, True, False]


def test_cells_of_other_seeds_are_not_looked_at(session):
    own = session("seeds=[0, 1]", "grid={ecosystem.alpha: [0.25]}")
    live = LiveForecast(own)
    begin_run(own)
    try:
        learner = own.learner(1)
        assert live.traced(learner, 1) is learner
        learner = own.learner(0)
        assert live.traced(learner, 0) is not learner
    finally:
        own.setup.store.end()


def test_what_cannot_be_forecast_is_refused_at_once(session):
    with pytest.raises(InvalidInput, match=r"metrics: accuracy: .* add loss"):
        LiveForecast(session("metrics={accuracy: {}}"))
