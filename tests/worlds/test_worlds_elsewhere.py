"""Worlds where they are not followed or only read: forecasts, plans, the explorer, the words of a report."""

from __future__ import annotations

import pytest

from crossfeed import Experiment, compare, open_store, plan, predict, run
from crossfeed.description.reading import read_preset
from crossfeed.errors import InvalidDescription, InvalidInput
from crossfeed.explorer.answer import Answer, Data
from crossfeed.explorer.sliders import Start
from crossfeed.forecasting.probing import check_forecastable
from crossfeed.reporting.data.terms import definitions
from tests.worlds.test_worlds_loop import BASE
from tests.worlds.test_worlds_theory import experiment_of


def language(*changes: str) -> Experiment:
    return Experiment.from_yaml(read_preset("quickstart"), changes)


def linear(*changes: str) -> Experiment:
    return Experiment.from_yaml(read_preset("reading-networks-linear"), changes)


def test_a_forecast_knows_networks():
    check_forecastable(language("ecosystem.reads=ring"))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("ecosystem.every=2", "clocks"),
        ("ecosystem.entities.0.from=1", "clocks"),
        ("ecosystem.order=sequential", "clocks"),
        ("ecosystem.start=base", "start"),
        ("ecosystem.prompts=public", "prompts"),
        ("ecosystem.entities.0.private={facts: 1, math: 1}", "private"),
    ],
)
def test_a_forecast_refuses_what_does_not_enter_by_weights(change, word):
    with pytest.raises(InvalidInput, match=word):
        check_forecastable(language(change))


def test_a_plan_is_of_one_pool():
    with pytest.raises((InvalidInput, InvalidDescription), match="one pool"):
        plan(linear("grid={}", "ecosystem.reads=ring"))


def test_a_prediction_has_no_numbers_of_those_who_are_absent():
    records = predict(experiment_of("ring", "arrivals")).records
    errors = records[records["metric"] == "mse"].set_index(["model", "generation"])["value"]
    there = errors.notna().unstack()
    assert there.loc["p"].tolist() == [True] * 5
    assert there.loc["q"].tolist() == [False] * 2 + [True] * 3
    assert there.loc["r"].tolist() == [True] * 4 + [False]


def test_the_explorer_changes_who_reads_whom():
    start, data = Start.of(linear("grid={}", "ecosystem.reads=ring")), Data()
    assert start.settings.reads == "ring"
    moved = start.describe(start.change({"reads": "pool"}))
    assert moved.ecosystem.network is None
    pooled, ring = Answer.of(moved, data), Answer.of(start.experiment, data)
    assert pooled.eco.limit().mse.mean() < ring.eco.limit().mse.mean()
    assert start.describe(start.change({"reads": "star"})).ecosystem.network[:, 0].all()
    described = Start.of(linear("grid={}", "ecosystem.reads={graph: cliques, count: 2}"))
    assert described.settings.reads == "described"


def test_a_report_says_what_is_other_than_in_the_paper():
    changes = ("ecosystem.reads=ring", "ecosystem.every=3", "ecosystem.entities.1.from=2", "ecosystem.start=base")
    told = dict(definitions([Experiment.from_yaml(BASE, (*changes, "ecosystem.prompts={x: 1, y: 2}"))], []))
    assert "ring" in told["who reads whom"]
    assert "b trains every 3 generations and arrives at t = 2" in told["clocks"]
    assert "the common base" in told["start"]
    assert "prompts of x 1, y 2" in told["prompts"]
    assert (
        not {"who reads whom", "clocks", "start", "prompts"}
        & dict(definitions([Experiment.from_yaml(BASE)], [])).keys()
    )


@pytest.mark.parametrize("change", ["ecosystem.reads=ring", "ecosystem.every=2", "ecosystem.start=base"])
def test_another_world_is_not_laid_beside_the_papers_tables(change, tmp_path):
    tasks = "tasks={facts: {source: fake}, math: {source: fake, seed: 1}}"
    changes = ("learner={kind: fake}", tasks, "public={source: fake}", "generations=1", "n=10", "initial_n=10")
    outcome = run(language(*changes, "metrics={loss: {}}", change), open_store(tmp_path / "run"))
    assert not outcome.failures
    with pytest.raises(InvalidInput, match="one pool in step"):
        compare([tmp_path / "run"])
