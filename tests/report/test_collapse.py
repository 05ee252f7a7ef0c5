"""Each definition of collapse on curves of which it is known, and on runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats
from tests.faults.cli import crossfeed_cli

from crossfeed import Run, open_store, run
from crossfeed.description.experiment import Experiment
from crossfeed.reporting.collapse import definitions
from crossfeed.reporting.collapse.definitions import TITLES, Curve
from crossfeed.reporting.collapse.divergence import fit_of
from crossfeed.reporting.collapse.survey import _separation, _variances, collapses
from crossfeed.reporting.collapse.tables import when
from crossfeed.reporting.data.exact import theory_of

DESCRIBED = """
ecosystem: {entities: [{name: a, private: warm}, {name: b, private: cold}], beta: 0.5}
learner: {kind: fake}
tasks: {warm: {source: fake, test: 20}, cold: {source: fake, test: 20}}
public: {source: fake, test: 20}
n: 40
generations: 7
seeds: [0, 1, 2]
metrics: {loss: {}, tail_loss: {}, similarity: {}, variety: {}, distinct: {}}
grid: {ecosystem.alpha: [0.5, 1]}
"""
LINEAR = """
ecosystem: {entities: 3, beta: 0.5}
learner: {kind: linear}
tasks: {each: {source: regression, dimension: 3, rows: 4, replicates: 50, seed: "{k}"}}
public: {source: regression, dimension: 3, rows: 4, replicates: 50, seed: 9}
generations: 2
grid: {ecosystem.alpha: [0.5, 1]}
"""


def curve(*seeds):
    values = np.array(seeds, dtype=float)
    return Curve(tuple(range(values.shape[1])), values)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("collapse") / "run"
    run(Experiment.from_yaml(DESCRIBED), open_store(folder))
    return Run.load(folder)


def test_a_loss_that_doubles_is_a_catastrophe_while_it_is_doubled():
    verdict = definitions.catastrophic(curve([2, 3, 4, 5, 3.9]))
    assert (verdict.met, verdict.number, verdict.generations) == (False, pytest.approx(1.95), (2, 3))
    assert definitions.catastrophic(curve([2, 3, 4])).met is True


def test_a_loss_that_begins_at_nothing_cannot_double():
    verdict = definitions.catastrophic(curve([-1, 0, 4]))
    assert verdict.met is None
    assert "not positive" in verdict.reason


def test_any_rise_of_several_seeds_is_one_whose_interval_leaves_out_zero():
    rng = np.random.default_rng()
    values = rng.normal(0, 1, (6, 9)) + np.linspace(0, 2, 9)
    verdict = definitions.any_rise(curve(*values), band=99.0)
    expected = [
        t for t in range(1, 9) if stats.ttest_1samp(values[:, t] - values[:, 0], 0).confidence_interval(0.95).low > 0
    ]
    assert list(verdict.generations) == expected
    assert verdict.met == (8 in expected)


def test_any_rise_of_one_seed_is_one_beyond_the_dead_band():
    assert definitions.any_rise(curve([1, 1.1, 1.2]), band=0.15).generations == (2,)
    assert "one seed" in definitions.any_rise(curve([1, 1.1]), band=0.15).threshold


@pytest.mark.parametrize(
    ("values", "met"),
    [
        (5 - 3 * 0.6 ** np.arange(12), False),  # tends to 5
        (2 + 0.3 * np.arange(12.0), True),  # grows linearly
        (2 + 0.1 * 1.3 ** np.arange(12.0), True),  # grows geometrically
        (2 + 3 * 0.5 ** np.arange(12), False),  # falls to 2
        (np.full(12, 2.0), False),
    ],
)
def test_curves_without_noise_are_told_apart(values, met):
    assert definitions.diverges(curve(values), None).met is met


def test_what_a_curve_tends_to_is_found():
    fit = fit_of(np.arange(15.0), 5 - 3 * 0.6 ** np.arange(15))
    assert fit.rate == pytest.approx(0.6)
    assert fit.limit == pytest.approx(5)
    assert fit.lower <= 0.6 <= fit.upper


def test_a_run_that_is_too_short_is_not_judged():
    verdict = definitions.diverges(curve([1, 2, 3, 4, 5]), None)
    assert verdict.met is None
    assert "at least 6" in verdict.reason


def test_a_noisy_short_curve_is_left_open():
    verdict = definitions.diverges(curve([1, 1.9, 1.2, 2.3, 1.4, 2.6, 1.8]), None)
    assert verdict.met is None
    assert "more generations" in verdict.reason


def test_the_interval_of_the_rate_covers_it():
    rng = np.random.default_rng()
    times, trials = np.arange(20.0), 300
    covered = 0
    for _ in range(trials):
        fit = fit_of(times, 4 - 2 * 0.7**times + rng.normal(0, 0.1, 20))
        covered += fit.lower <= 0.7 <= fit.upper
    # 95 % by the law of a linear model, which this is not quite; any seed passes.
    assert stats.binom.ppf(1e-7, trials, 0.92) <= covered


def test_the_law_of_the_errors_decides_where_it_is_known():
    limit = definitions.diverges(curve([1, 2, 9]), ("limit", 0.8))
    growth = definitions.diverges(curve([1, 1, 1]), ("linear", 1.0))
    assert (limit.met, limit.number) == (False, 0.8)
    assert (growth.met, growth.reason) == (True, "linear growth")


def test_variance_collapses_below_half():
    verdict = definitions.variance(curve([1, 0.6, 0.4, 0.3], [1, 0.6, 0.5, 0.3]))
    assert verdict.generations == (2, 3)
    assert verdict.met is True


def test_scaling_compares_exponents_of_the_same_seeds():
    sizes = [100, 400, 1600]
    first = np.array([[c * n**-0.5 for n in sizes] for c in (1.0, 1.1, 0.9)])
    last = np.array([[c * n**-0.2 for n in sizes] for c in (1.0, 1.2, 0.8)])
    verdict = definitions.scaling(sizes, first, last)
    assert verdict.met is True
    assert verdict.number == pytest.approx(0.3)
    assert definitions.scaling(sizes, first, first).met is False
    assert definitions.scaling(sizes, first[:1], last[:1]).met is None
    assert definitions.scaling(sizes, -first, last).met is None


def test_separation_is_that_of_a_plain_loop():
    rng = np.random.default_rng()
    written = {("a", "x"): rng.normal(0, 1, (9, 4)), ("b", "y"): rng.normal(0.5, 1, (7, 4))}
    own = list(written.values())
    shares = []
    for place, rows in enumerate(own):
        right = 0
        for i, row in enumerate(rows):
            means = [
                np.delete(each, i, axis=0).mean(axis=0) if other == place else each.mean(axis=0)
                for other, each in enumerate(own)
            ]
            right += int(np.argmin([np.linalg.norm(row - mean) for mean in means]) == place)
        shares.append(right / len(rows))
    assert _separation(written) == pytest.approx(np.mean(shares))
    assert _variances(written) == pytest.approx(np.mean([np.trace(np.cov(rows.T)) for rows in own]))


def test_generations_are_told_in_spans():
    assert when(definitions.any_rise(curve([0, 1, 1, 0, 1]), band=0.5)) == "1-2, 4"


def test_a_run_is_judged_point_by_point(finished):
    judged = collapses(finished, theory_of(finished))
    assert [each.label for each in judged] == ["alpha = 0.5", "alpha = 1"]
    for each in judged:
        assert [verdict.definition for verdict in each.verdicts] == list(TITLES)
        by_name = {verdict.definition: verdict for verdict in each.verdicts}
        assert by_name["scaling"].met is None
        assert all(by_name[name].number is not None for name in TITLES if name != "scaling")
    loss = finished.records[(finished.records["metric"] == "loss") & (finished.records["point"] == 1)]
    own = loss[[(m, t) in {("a", "warm"), ("b", "cold")} for m, t in zip(loss["model"], loss["task"], strict=True)]]
    means = own.groupby("generation")["value"].mean()
    assert judged[1].verdicts[0].number == pytest.approx(means[7] / means[0])


def test_what_was_not_measured_is_left_open(tmp_path):
    run(Experiment.from_yaml(DESCRIBED, ("metrics={loss: {}}",)), open_store(tmp_path / "run"))
    loaded = Run.load(tmp_path / "run")
    by_name = {verdict.definition: verdict for verdict in collapses(loaded, theory_of(loaded))[0].verdicts}
    assert "add tail_loss" in by_name["tails"].reason
    assert "add similarity" in by_name["variance"].reason
    assert by_name["any-rise"].met is not None


def test_linear_models_are_judged_by_their_law(tmp_path):
    run(Experiment.from_yaml(LINEAR), open_store(tmp_path / "run"))
    loaded = Run.load(tmp_path / "run")
    half, one = collapses(loaded, theory_of(loaded))
    assert [each.verdicts[2].reason for each in (half, one)] == ["the errors have a limit", "linear growth"]
    assert [each.verdicts[2].met for each in (half, one)] == [False, True]


def test_more_data_is_judged_by_the_exponent(tmp_path):
    described = ("grid={n: [20, 80, 320]}", "ecosystem.alpha=0.8", "metrics={loss: {}}")
    run(Experiment.from_yaml(DESCRIBED, described), open_store(tmp_path / "run"))
    loaded = Run.load(tmp_path / "run")
    scaling = {each.verdicts[-1] for each in collapses(loaded, theory_of(loaded))}
    assert len(scaling) == 1  # the same sizes, seen from each of them
    assert scaling.pop().met is not None


def test_the_command_prints_and_gives_data(finished):
    printed = crossfeed_cli("collapse", str(finished.folder))
    assert printed.code == 0
    assert "Tails are forgotten" in " ".join(printed.out.split())
    given = json.loads(crossfeed_cli("collapse", str(finished.folder), "--json").out)
    assert [each["point"] for each in given["points"]] == [0, 1]
    assert given["definitions"] == TITLES


def test_a_run_of_one_generation_has_nothing_to_judge(tmp_path):
    run(Experiment.from_yaml(DESCRIBED, ("generations=0",)), open_store(tmp_path / "run"))
    printed = crossfeed_cli("collapse", str(tmp_path / "run"))
    assert printed.code == 0
    assert "nothing can have collapsed" in printed.out
