"""A report defines its words and symbols, with the values that the description gives them."""

from __future__ import annotations

import pytest

from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import read_preset
from crossfeed.reporting.data.measures import declared
from crossfeed.reporting.data.terms import definitions
from crossfeed.settings import Measure

OWN = (
    "ecosystem.entities=[{name: warm, private: warm, alpha: 0.2, share: 3}, {name: cold, private: cold, alpha: [0, 1]}]"
)


def defined(*changes: str, preset: str = "fake") -> dict[str, str]:
    experiment = Experiment.from_yaml(read_preset(preset), changes)
    measures = [declared(name, [experiment]) for name in ("loss", "similarity")]
    return {term.split(",")[0].split(" (")[0]: text for term, text in definitions([experiment], measures)}


@pytest.mark.parametrize(
    ("changes", "term", "said"),
    [
        ((), "α", "Here, over the grid: 0, 0.5, 1."),
        (("grid={}", "ecosystem.alpha=0.3"), "α", "Here: 0.3."),
        (
            ("grid={}", "ecosystem.alpha=[0.1, 0.3]"),
            "α",
            "0.1, 0.3 at t = 1, 2, ..., of which the last one stays.",
        ),
        (("grid={}", "ecosystem.alpha=proportional"), "α", "Here: t/(t + 1) at generation t."),
        (("grid={}", "ecosystem.update=replace"), "α", "Here: 1."),
        (("grid={}", OWN), "α", "Here: each model's own (warm: 0.2; cold: 0, 1)."),
        (("ecosystem.beta=0.9",), "β", "Here: 0.9."),
        (("n=40", "initial_n=90", "generations=3"), "generation t", "t = 0 to 3"),
        (("n=40", "initial_n=90"), "generation t", "a training set has 40 items, 90 at t = 0."),
        (("ecosystem.initial_beta=0.25",), "generation t", "at t = 0 the private share is β = 0.25;"),
        (("grid={}", "ecosystem.update=accumulate", "n=40"), "generation t", "40 items at t = 0, and 40 more at each"),
        (
            (),
            "published data",
            "of the newest generation alone. Here: every model publishes an equal share.",
        ),
        (("ecosystem.history=accumulate",), "published data", "the outputs of every generation so far."),
        (("grid={}", OWN), "published data", "Here: shares of warm 0.75, cold 0.25."),
        (("ecosystem.fresh_fraction=0.5",), "published data", "(0.5 of each new pool is fresh human data)"),
        (("seeds=[0, 1, 2]",), "seeds", "Here: S = 3."),
        (("seeds=[7]",), "seeds", "There is one, so numbers have no standard error"),
        ((), "Loss", "lower is better."),
        ((), "Loss", "better, worse: the mean changed by more than 0.1; same: by that or less."),
    ],
)
def test_words_are_defined_with_the_descriptions_values(changes, term, said):
    assert said in defined(*changes)[term]


def test_what_the_grid_varies_is_said_of_all_its_points():
    told = defined(preset="curated-pool")["published data"]
    assert told.endswith("Filters of what may be drawn, over the grid: none, exact_answer, loss, detector.")
    assert "0.75" in defined(preset="dominant-provider")["published data"]


def test_of_several_experiments_no_values_are_given():
    both = [Experiment.from_yaml(read_preset("fake"), (f"ecosystem.beta={beta}",)) for beta in (0.1, 0.9)]
    text = " ".join(told for _, told in definitions(both, []))
    assert "Here" not in text
    assert "private share" in " ".join(term for term, _ in definitions(both, []))


def test_marks_of_other_metrics_are_defined_once():
    alike = [Measure(name, name.title(), 0.5) for name in ("one", "two")]
    (*_, last) = definitions([Experiment.from_yaml(read_preset("fake"))], alike)
    assert last == ("One, Two", "down, up: the mean changed by more than 0.5; same: by that or less.")
