"""Sliders and the experiments that they describe: there and back, and what cannot be moved."""

from __future__ import annotations

import numpy as np
import pytest

from crossfeed import Experiment
from crossfeed.description.reading import preset_names, read_preset
from crossfeed.errors import InvalidDescription
from crossfeed.explorer.first_point import first_point
from crossfeed.explorer.short_yaml import short_yaml
from crossfeed.explorer.sliders import GENERATIONS, Start, first_start
from crossfeed.explorer.summary import as_described

NUMBERED = """
ecosystem: {entities: 3, alpha: 0.4, beta: 0.7}
learner: {kind: linear, noise: 0.5}
tasks: {each: {source: regression, dimension: 6, rank: 3, rows: 8, entity: "{k}", truth: {seed: 2, norm: 3}}}
public: {source: regression, dimension: 6, rows: 10, truth: {seed: 2, norm: 3}}
generations: 4
"""
UNEQUAL = """
ecosystem:
  entities: [{name: a, private: p, alpha: 0.2}, {name: b, private: q, share: 3}]
  alpha: 0.6
  beta: [0.5, 0.9]
learner: {kind: linear}
tasks:
  p: {source: regression, dimension: 4, rows: 9, truth: [1, 2, 3, 4]}
  q: {source: regression, dimension: 4, rows: 7, truth: [4, 3, 2, 1]}
public: {source: regression, dimension: 4, rows: 9, truth: [0, 0, 1, 1]}
generations: 3
"""
MOVED = [
    {},
    {"alpha": 0.83},
    {"beta": 0.0},
    {"entities": 7},
    {"entities": 1},
    {"dimension": 11, "rank": 2},
    {"dimension": 3},
    {"rank": 4, "share": 0.9},
    {"entities": 5, "share": 1.0, "fresh_fraction": 0.25},
    {"noise": 0.35, "generated_noise": 0.0, "history": "accumulate"},
]


@pytest.fixture(scope="module")
def numbered():
    return Start.of(Experiment.from_yaml(NUMBERED))


@pytest.mark.parametrize("moved", MOVED, ids=str)
def test_a_page_opened_on_what_sliders_describe_has_the_same_sliders(numbered, moved):
    settings = numbered.change(moved)
    text = short_yaml(numbered.describe(settings))
    again = Start.of(Experiment.from_yaml(text))
    assert again.experiment == numbered.describe(settings)
    wanted = settings.model_dump()
    if wanted["entities"] == 1 or wanted["share"] == 1 / wanted["entities"]:
        wanted["share"] = None
    assert again.settings.model_dump() == wanted


@pytest.mark.parametrize("name", preset_names())
def test_a_short_description_reads_back_equal(name):
    experiment = Experiment.from_yaml(read_preset(name))
    assert Experiment.from_yaml(short_yaml(experiment, comment="two\nlines")) == experiment


def test_many_numbered_entities_are_told_by_their_number(numbered):
    text = short_yaml(numbered.describe(numbered.change({"entities": 50, "dimension": 30})))
    assert "entities: 50" in text
    assert "entity: '{k}'" in text
    assert len(text.splitlines()) < 40


def test_data_of_entities_that_stay_do_not_change_with_their_number(numbered):
    few, many = (numbered.describe(numbered.change({"entities": K})) for K in (2, 9))
    assert [few.tasks[name] for name in few.tasks] == [many.tasks[name] for name in few.tasks]
    assert [task.entity for task in many.tasks.values()] == list(range(1, 10))


def test_rows_grow_only_where_the_rank_needs_them(numbered):
    experiment = numbered.describe(numbered.change({"dimension": 20, "rank": 12}))
    assert {task.rows for task in experiment.tasks.values()} == {12}
    assert (experiment.public.rank, experiment.public.rows) == (None, 20)
    smaller = numbered.describe(numbered.change({"dimension": 5}))
    assert {task.rows for task in smaller.tasks.values()} == {8}
    assert (smaller.public.rank, smaller.public.rows) == (None, 10)


def test_the_rank_follows_the_dimension_down(numbered):
    settings = numbered.change({"rank": 6, "dimension": 4})
    assert (settings.rank, settings.dimension) == (4, 4)


def test_the_first_entitys_share_is_what_it_publishes(numbered):
    ecosystem = numbered.describe(numbered.change({"entities": 5, "share": 0.6})).ecosystem
    np.testing.assert_allclose(ecosystem.shares, [0.6, 0.1, 0.1, 0.1, 0.1])


def test_what_one_slider_cannot_show_stays_as_described_until_it_is_moved():
    start = Start.of(Experiment.from_yaml(UNEQUAL))
    assert (start.settings.alpha, start.settings.beta, start.settings.share) == (None, None, 0.25)
    noisier = start.describe(start.change({"noise": 2.0})).ecosystem
    assert noisier == start.experiment.ecosystem
    common = start.describe(start.change({"alpha": 0.3, "beta": 0.8})).ecosystem
    assert common.alphas(1).tolist() == [0.3, 0.3]
    assert common.betas(7).tolist() == [0.8, 0.8]
    assert as_described(noisier, "alpha") == "0.2 to 0.6, as described"
    assert as_described(noisier, "beta") == "0.5 at t = 1, then as described"
    assert set(start.locked) == {"entities", "dimension", "rank"}


@pytest.mark.parametrize("update", ["replace", "accumulate"])
def test_a_scheme_that_decides_alpha_gives_way_to_the_sliders(update):
    start = Start.of(Experiment.from_yaml(read_preset("collapse-linear"), (f"ecosystem.update={update}",)))
    assert start.settings.alpha is None
    moved = start.describe(start.change({"alpha": 0.5})).ecosystem
    assert (moved.alphas(3).tolist(), moved.accumulates) == ([0.5], update == "accumulate")
    other = "latest" if update == "accumulate" else "accumulate"
    kept = start.describe(start.change({"history": other})).ecosystem
    assert kept.alphas(3).tolist() == start.experiment.ecosystem.alphas(3).tolist()
    assert kept.accumulates == (other == "accumulate")


def test_a_truth_given_number_by_number_decides_the_dimension():
    start = Start.of(Experiment.from_yaml(read_preset("collapse-linear")))
    assert set(start.locked) == {"dimension"}
    with pytest.raises(InvalidDescription, match=r"^dimension: the description gives theta\* number by number"):
        start.change({"dimension": 5})
    assert len(start.describe(start.change({"entities": 3})).tasks) == 3


@pytest.mark.parametrize(
    ("grid", "position"),
    [
        ({}, 0),
        ({"ecosystem.alpha": [0, 0.5, 1]}, 1),
        ({"ecosystem.alpha": [0, 0.5]}, 1),
        ({"ecosystem.alpha": [0.5, 1]}, 0),
        ({"ecosystem.alpha": [0, 1]}, 1),
        ({"ecosystem.alpha": [0]}, 0),
        ({"ecosystem.alpha": [0.9, 0.1, 0.5]}, 2),
        ({"ecosystem.alpha": ["proportional", 0.5]}, 0),
        ({"ecosystem.beta": [0, 0.5, 1], "ecosystem.alpha": [0, 0.5, 1]}, 4),
        ({"ecosystem.beta": [0, 0.9], "ecosystem.history": ["latest", "accumulate"], "n": [10, 20, 30]}, 7),
    ],
    ids=str,
)
def test_of_a_grid_a_page_opens_at_a_point_that_shows_something(grid, position):
    assert first_point(grid) == position


@pytest.mark.parametrize(("name", "alpha", "beta"), [("figure-2", 0.5, 0.5), ("figure-4", 0.5, 0.5)])
def test_a_page_starts_inside_the_grid_and_shows_generations(name, alpha, beta):
    start = Start.of(Experiment.from_yaml(read_preset(name)))
    assert (start.settings.alpha, start.settings.beta) == (alpha, beta)
    assert (start.experiment.grid, start.experiment.generations) == ({}, GENERATIONS)


def test_a_description_without_a_grid_opens_as_it_is():
    flat = Start.of(Experiment.from_yaml(NUMBERED, ("ecosystem.alpha=0", "ecosystem.beta=0")))
    assert (flat.settings.alpha, flat.settings.beta) == (0.0, 0.0)
    assert (first_start().settings.alpha, first_start().settings.beta) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("moved", "said"),
    [
        ({"alpha": 1.01}, "alpha: give a number from 0 to 1; received 1.01"),
        ({"entities": 61}, "entities: give a number from 1 to 60; received 61"),
        ({"rank": 0}, "rank: give a number from 1 to 50; received 0"),
        ({"alpha": "much"}, "alpha: "),
        ({"entities": 2.5}, "entities: "),
        ({"history": "some"}, "history: "),
        ({"temperature": 1.0}, "temperature: unknown key"),
    ],
)
def test_what_no_slider_says_is_refused(numbered, moved, said):
    with pytest.raises(InvalidDescription) as error:
        numbered.change(moved)
    assert str(error.value).startswith(said)


def test_what_has_no_linear_theory_is_refused_with_what_has():
    with pytest.raises(InvalidDescription, match=r"kind 'fake'.*figure-2, figure-4.*the folder of any run"):
        Start.of(Experiment.from_yaml(read_preset("fake")))
