"""Which experiments can be forecast, what refusals say, and which cells are probed."""

from __future__ import annotations

import re

import pytest

from crossfeed.errors import InvalidInput
from crossfeed.forecasting import probing
from crossfeed.forecasting.probing import check_forecastable, forecast, probes_of
from crossfeed.forecasting.tracing import traced
from crossfeed.store.memory import MemoryStore
from tests.tiny import GLM, TINY, UNEQUAL


def language(text, *overrides):
    from crossfeed.description.experiment import Experiment

    pytest.importorskip("torch", reason="the language learner needs the lm extra")
    return Experiment.from_yaml(text, overrides)


REFUSED = {
    "no generations": (["generations=0"], "generations: 0: .* give at least 1"),
    "no loss": (["metrics={accuracy: {}, similarity: {}}"], "metrics: accuracy, similarity: .* add loss"),
    "rarely measured": (["metrics.loss.every=2"], "metrics.loss.every: 2: .* leave it out, or give 1"),
    "completions rarely measured": (["metrics.completion_loss.every=3"], "metrics.completion_loss.every: 3: .* give 1"),
    "curation": (
        ["ecosystem.curation={detector: {recall: 0.9, false_alarm: 0.1}}"],
        "ecosystem.curation: detector: .* leave the filters out",
    ),
    "curation of some cells": (
        ["grid={ecosystem.curation: [{}, {detector: {recall: 0.9, false_alarm: 0.1}}]}", "ecosystem.alpha=0.5"],
        "ecosystem.curation: detector: .* leave the filters out",
    ),
    "another learner": (
        ["grid={learner.reads_at_most: [100, 200]}", "ecosystem.alpha=0.5"],
        "grid: learner.reads_at_most: .* fix it with --set",
    ),
    "two other fields": (
        ["grid={pool_size: [100, 200], metrics.loss.every: [1]}", "ecosystem.alpha=0.5"],
        "grid: pool_size, metrics.loss.every: .* fix them with --set",
    ),
    "an entity's learner": (
        ["grid={ecosystem.entities.1.learner.reads_at_most: [100, 200]}", "ecosystem.alpha=0.5"],
        "grid: ecosystem.entities.1.learner.reads_at_most: .* fix it with --set",
    ),
    "other beginnings": (
        ["grid={ecosystem.initial_beta: [0.2, 0.8]}", "ecosystem.alpha=0.5"],
        "grid: ecosystem.initial_beta: .* same generation 0, .* fix what changes it",
    ),
    "other beginnings by beta": (
        ["grid={ecosystem.beta: [0.2, 0.8]}", "ecosystem.alpha=0.5"],
        "grid: ecosystem.beta: .* same generation 0, .* ecosystem.initial_beta",
    ),
    "other beginnings by n": (["grid={n: [50, 100]}", "ecosystem.alpha=0.5"], "grid: n: .* initial_n"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_what_was_received_and_what_to_give(fake, name):
    overrides, message = REFUSED[name]
    with pytest.raises(InvalidInput, match=re.compile(message, re.DOTALL)):
        check_forecastable(fake(*overrides))


def test_learners_with_other_units_are_refused():
    with pytest.raises(InvalidInput, match=r"the entities' learners differ: .*losses in one unit"):
        check_forecastable(language(UNEQUAL))
    check_forecastable(language(TINY))


def test_what_can_be_forecast_is_not_refused(fake):
    check_forecastable(fake())
    check_forecastable(fake("grid={ecosystem.beta: [0, 0.5, 1]}", "ecosystem.alpha=0.5", "ecosystem.initial_beta=0.5"))
    check_forecastable(fake("grid={n: [50, 100], generations: [1, 2]}", "ecosystem.alpha=0.5", "initial_n=80"))
    check_forecastable(fake("seeds=[0, 1]", "ecosystem.history=accumulate"))
    check_forecastable(fake("grid={ecosystem.update: [replace, accumulate]}"))


@pytest.mark.parametrize("text", [GLM.replace("FAMILY", "logistic"), "fake", "collapse-gaussian"])
def test_learners_that_do_not_train_in_steps_are_refused(text, fake, tmp_path):
    from crossfeed.description.experiment import Experiment
    from crossfeed.description.reading import read_description

    experiment = Experiment.from_yaml(text if "\n" in text else read_description(text))
    with pytest.raises(
        InvalidInput, match=rf"learner {experiment.learner.kind}: .* kinds language, images or captions"
    ):
        forecast(experiment, MemoryStore(), cache=tmp_path)


def test_a_learner_by_entity_is_refused_if_one_of_them_does_not_train_in_steps(fake, tmp_path):
    experiment = fake("ecosystem.entities.1.learner={reads_at_most: 90}")
    with pytest.raises(InvalidInput, match=r"learner fake: it does not train in steps"):
        forecast(experiment, MemoryStore(), cache=tmp_path)


def test_a_learner_that_trains_in_steps_is_returned_as_it_is():
    class InSteps:
        def trace(self): ...

    learner = InSteps()
    assert traced(learner, "mine") is learner


@pytest.mark.parametrize("budget", [0, -1, float("nan"), float("inf"), -float("inf"), 0.5, 1.2])
def test_budgets_that_are_too_small_are_refused(fake, budget):
    with pytest.raises(InvalidInput, match=rf"a budget of {budget:g} generations .* give at least 1.25, or 5"):
        probes_of(fake(), budget)


@pytest.mark.parametrize("budget", [1.25, 2.5, 5, 10, 1e9])
def test_probes_cost_no_more_than_their_budget(fake, budget):
    probes = probes_of(fake("grid={}", "ecosystem.alpha=0.3"), budget)
    assert sum(probe.generations for probe in probes) == min(int(0.8 * budget), len(probing._ORDER))
    assert not any(probe.on_grid for probe in probes)
    assert len({probe.cell.name for probe in probes}) == len(probes)


def test_a_larger_budget_goes_on_from_a_smaller_one(fake):
    experiment = fake()
    before = {}
    for budget in (1.25, 2.5, 3.75, 5, 7.5, 10):
        now = {probe.cell.name: probe.generations for probe in probes_of(experiment, budget)}
        assert all(now[name] >= generations for name, generations in before.items())
        before = now


def weights(probe, generation):
    ecosystem = probe.cell.experiment.ecosystem
    return ecosystem.alphas(generation).tolist(), ecosystem.betas(generation).tolist()


def test_probes_are_cells_of_the_grid_where_it_has_their_weights(fake):
    experiment = fake("grid={ecosystem.alpha: [0, 0.5, 1], ecosystem.beta: [0, 0.5, 1]}", "ecosystem.initial_beta=0.5")
    cells = {cell.name: cell for cell in experiment.cells()}
    for probe in probes_of(experiment, 100):
        assert probe.on_grid
        assert probe.cell is cells[probe.cell.name]


def test_probes_that_the_grid_lacks_begin_at_the_same_generation_0(fake):
    experiment = fake(
        "grid={ecosystem.alpha: [0.1, 0.9]}",
        "ecosystem.entities.0.alpha=[0.3, 0.4]",
        "ecosystem.entities.1.beta=0.9",
        "ecosystem.entities.1.share=2",
        "seeds=[7, 8]",
    )
    first, wanted = experiment.cells()[0], {}
    for place in probing._ORDER:
        wanted[place] = min(wanted.get(place, 0) + 1, experiment.generations)
    probes = probes_of(experiment, 100)
    for probe, ((alpha, beta), generations) in zip(probes, wanted.items(), strict=True):
        assert not probe.on_grid
        assert (probe.cell.start, probe.cell.zero, probe.cell.seed) == (first.start, first.zero, 7)
        assert probe.generations == probe.cell.experiment.generations == generations
        for t in range(1, generations + 1):
            alphas, betas = weights(probe, t)
            assert alphas == [alpha, alpha]
            if beta is not None:
                assert betas == [beta, beta]
        assert (probe.cell.experiment.ecosystem.shares == experiment.ecosystem.shares).all()
    names = {probe.cell.name for probe in probes}
    assert len(names) == len(probes)
    assert not names & {cell.name for cell in experiment.cells()}


def test_a_cell_of_the_grid_is_no_probe_if_it_is_too_short(fake):
    """Of two cells with the weights of a probe, the one that is long enough is taken."""
    experiment = fake("grid={ecosystem.alpha: [1, 0.5], generations: [1, 3]}", "ecosystem.beta=0.5")
    for probe in probes_of(experiment, 100):
        cells = [cell for cell in experiment.cells() if cell.experiment.ecosystem.alpha == weights(probe, 1)[0][0] == 1]
        if cells:
            assert probe.on_grid
            assert probe.cell.experiment.generations >= probe.generations


def test_the_update_scheme_replace_is_the_probe_of_alpha_1(fake):
    experiment = fake("grid={}", "ecosystem.update=replace")
    on_grid = [probe for probe in probes_of(experiment, 5) if probe.on_grid]
    assert [probe.cell.name for probe in on_grid] == [experiment.cells()[0].name]
