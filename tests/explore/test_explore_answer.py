"""What the page shows is what `crossfeed predict` says of the YAML that the page gives."""

from __future__ import annotations

import numpy as np
import pytest

from crossfeed import Experiment
from crossfeed.description.reading import read_preset
from crossfeed.exact.linear_ecosystem import linear_ecosystem
from crossfeed.exact.prediction import predict
from crossfeed.explorer.answer import Answer, Data
from crossfeed.explorer.short_yaml import short_yaml
from crossfeed.explorer.sliders import Start
from crossfeed.explorer.summary import influence_words, summary, undetermined
from crossfeed.theory.influence import influence_shares

from .test_explore_settings import MOVED, NUMBERED, UNEQUAL

COLLAPSE = read_preset("collapse-linear")
ALONE = NUMBERED.replace("entities: 3", "entities: 1")


def start_of(text, *overrides):
    return Start.of(Experiment.from_yaml(text, overrides))


CASES = [
    *((start_of(NUMBERED), moved) for moved in MOVED),
    (start_of(UNEQUAL), {}),
    (start_of(UNEQUAL), {"alpha": 0.9}),
    (start_of(COLLAPSE), {}),
    (start_of(COLLAPSE), {"alpha": 0.3, "entities": 2}),
    (start_of(COLLAPSE, "ecosystem.update=accumulate"), {}),
    (start_of(NUMBERED, "ecosystem.alpha=1"), {"generated_noise": 0.0}),
    (start_of(NUMBERED, "ecosystem.alpha=1"), {"rank": 2, "beta": 1.0}),
    (start_of(NUMBERED, "ecosystem.alpha=0", "ecosystem.beta=1"), {}),
]


def values(table, metric, **place):
    chosen = table[table["metric"] == metric]
    for name, value in place.items():
        chosen = chosen[chosen[name] == value]
    return chosen["value"].to_numpy()


@pytest.mark.parametrize(("start", "moved"), CASES, ids=[f"{n}" for n in range(len(CASES))])
def test_the_numbers_are_those_of_predict_for_the_pages_yaml(start, moved):
    experiment = start.describe(start.change(moved))
    answer, predicted = Answer.of(experiment, Data()), predict(Experiment.from_yaml(short_yaml(experiment)))
    for index, t in enumerate(answer.generations):
        np.testing.assert_array_equal(answer.mse[index], values(predicted.records, "mse", generation=t))
    limit = predicted.limit
    if len(limit):
        assert set(limit["law"]) == {answer.law}
        assert values(limit, "spectral_radius") == [answer.spectral_radius]
    else:
        assert answer.law == "schedule"
    assert (answer.law == "limit") == ("mse" in set(limit["metric"]))
    if answer.law == "limit":
        np.testing.assert_array_equal(answer.limit, values(limit, "mse"))
        np.testing.assert_array_equal(answer.bias_squared, values(limit, "bias_squared"))
        assert values(limit, "dispersion") == [answer.dispersion]
    else:
        assert np.isnan(answer.limit).all()
        assert np.isinf(answer.objective)
    if answer.law != "schedule":
        np.testing.assert_array_equal(answer.efficiency, values(limit, "relative_efficiency"))


@pytest.mark.parametrize("moved", [{}, {"alpha": 1.0, "generated_noise": 1.0}], ids=["limit", "none"])
def test_influence_is_of_the_limit_or_of_the_last_generation(moved):
    start = start_of(NUMBERED)
    answer = Answer.of(start.describe(start.change(moved)), Data())
    eco = linear_ecosystem(answer.experiment)
    assert answer.influence_at == (4 if moved else None)
    np.testing.assert_array_equal(answer.influence, influence_shares(eco, answer.influence_at))
    own = np.trace(answer.influence[:, :3]) / 3
    assert f"{100 * own:.0f} % from its own data" in influence_words(answer)


def test_data_are_drawn_once_while_weights_move():
    start, data = start_of(NUMBERED), Data()
    first = data.ecosystem(start.describe(start.change({"alpha": 0.1})))
    again = data.ecosystem(start.describe(start.change({"alpha": 0.2, "history": "accumulate"})))
    other = data.ecosystem(start.describe(start.change({"rank": 2})))
    assert np.array_equal(first.public, again.public)
    assert len(data._source._drawn) == 4 + 3  # the public data stay when the private rank moves
    assert not np.array_equal(first.private.all(), other.private.all())


def test_long_trajectories_are_read_at_some_generations_with_both_ends():
    start = start_of(NUMBERED, "generations=5000")
    answer = Answer.of(start.experiment, Data())
    assert len(answer.generations) <= 60
    assert answer.generations[:3].tolist() == [0, 1, 2]
    assert answer.generations[-1] == 5000
    np.testing.assert_array_equal(answer.mse[-1], answer.eco.moments([5000]).mse[0])


@pytest.mark.parametrize(
    ("text", "moved", "said"),
    [
        (NUMBERED, {}, "The estimates settle (spectral radius"),
        (ALONE, {"alpha": 1.0}, "There is no limit (spectral radius 1): each generation adds the same variance."),
        (COLLAPSE, {}, "There is no limit (spectral radius 1): each generation adds the same variance."),
        (UNEQUAL.replace("alpha: 0.6", "alpha: proportional"), {}, "No limit is computed"),
    ],
)
def test_a_sentence_says_whether_there_is_a_limit(text, moved, said):
    start = start_of(text)
    assert summary(Answer.of(start.describe(start.change(moved)), Data())).startswith(said)


def test_a_sentence_names_whose_estimate_is_not_determined():
    start = start_of(NUMBERED.replace("rows: 10", "rows: 10, rank: 2"))
    lone = Answer.of(start.describe(start.change({"alpha": 0.0})), Data())
    assert undetermined(lone).startswith("What each entity trains on spans fewer than d = 6 directions")
    assert undetermined(Answer.of(start.experiment, Data())) == ""
