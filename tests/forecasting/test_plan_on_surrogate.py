"""Plans on the surrogate: against a search of every mix, and as they are printed, written, drawn and refused."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import crossfeed
from crossfeed import Experiment, MemoryStore, open_store
from crossfeed.description.reading import read_description
from crossfeed.errors import InvalidDescription, InvalidInput
from crossfeed.figures import landscape
from crossfeed.forecasting.answer import Cost
from crossfeed.forecasting.identification import identify
from crossfeed.forecasting.mixes import dispersion, entity_losses, judged, mixed
from crossfeed.forecasting.planning import ForecastPlan, _Ground, forecast_plan, plan_known, stored_plan
from crossfeed.reporting.forecasts.plan_figures import forecast_marks, forecast_plan_figure, ground_of
from crossfeed.reporting.forecasts.plan_files import write_forecast_plan
from crossfeed.reporting.forecasts.plan_plain import forecast_plan_data
from crossfeed.reporting.forecasts.plan_tables import objective_words, render_forecast_plan
from tests.faults.cli import check_refused, crossfeed_cli
from tests.figures import save_empty

from .ecologies import Truth, cell
from .small import SMALL, small

GENERATIONS = 3
OBJECTIVES = ("mean", "worst", 0, 1)


@pytest.fixture(scope="module")
def truth():
    return Truth(3, ((1.0, 0.5, 1), (0.0, 1.0, 1)), unowned=False)


@pytest.fixture(scope="module")
def experiment(fake):
    return fake("grid={}", "ecosystem.alpha=0.2", "ecosystem.beta=0.3", f"generations={GENERATIONS}")


@pytest.fixture(scope="module")
def ground(truth, experiment):
    """What a plan is made on, for any objective."""
    identified, ecology = identify(truth.observations), truth.ecology
    like = cell(ecology, 0.2, 0.3, GENERATIONS)
    return lambda objective: _Ground(identified, like, experiment, ecology.own.tolist(), objective)


@pytest.fixture(scope="module")
def plans(ground, experiment):
    """The plan for each objective, by what the objective is called."""
    names = experiment.ecosystem.names
    called = {each: each if isinstance(each, str) else names[each] for each in OBJECTIVES}
    cost = Cost(2.0, 0.0, 12.0, 1.5)
    return {objective: ground(objective).plan(experiment, name, 0, cost) for objective, name in called.items()}


def last_losses(ground, alpha, beta):
    own = ground.own
    weights = (np.broadcast_to(each, len(own)).astype(float) for each in (alpha, beta))
    (losses,) = ground.identified.forecast([mixed(ground.like, ground.experiment, own, *weights)])
    return losses[-1][:, sorted(own)]


def value_of(private, objective):
    """The objective of ``(K, S)`` losses on private tasks, by its definition."""
    means = [float(np.mean(row)) for row in private]
    return {"mean": sum(means) / len(means), "worst": max(means)}.get(objective) or means[objective]


# The search


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_landscape_is_that_of_every_mix_and_the_optimum_beats_it(plans, ground, objective):
    plan, at = plans[objective], ground(objective)
    assert len(plan.landscape) == 21 * 11
    for row in plan.landscape.sample(25, random_state=0).to_dict("records"):
        private = last_losses(at, row["alpha"], row["beta"])
        assert row["value"] == pytest.approx(value_of(private, objective), rel=1e-12)
        spread = sum(np.sqrt(np.mean((column - column.mean()) ** 2)) for column in private.T) / private.shape[1]
        assert row["dispersion"] == pytest.approx(spread, rel=1e-9)
        assert row["price"] == pytest.approx(row["value"] / plan.common.value - 1, abs=1e-12)
        assert row["lower"] * row["upper"] == pytest.approx(row["value"] ** 2)
        assert row["lower"] < row["value"] < row["upper"]
    assert plan.landscape["price"].min() >= -1e-12
    assert plan.landscape["price"].max() > 0.05  # there is something to choose
    unsure = plan.landscape["extrapolated"]
    pd.testing.assert_series_equal(
        unsure, (plan.landscape["alpha"] == 1) | plan.landscape["beta"].isin([0, 1]), check_names=False
    )


def test_the_landscapes_bands_are_those_of_its_mixes_or_near(plans, ground):
    at, landscape = ground("mean"), plans["mean"].landscape
    for place, allowed in (((0.4, 0.6), 1e-9), ((0.4, 0.0), 1e-9), ((1.0, 0.4), 1e-9), ((0.45, 0.5), 0.1)):
        row = landscape[np.isclose(landscape[["alpha", "beta"]], place).all(axis=1)].iloc[0]
        weights = (np.full(len(at.own), each) for each in place)
        (found,) = judged(at.identified, [mixed(at.like, at.experiment, at.own, *weights)], at.own)
        width = np.log(row["upper"] / row["value"])
        assert width == pytest.approx(np.log(found.upper / found.value), rel=allowed)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_both_optima_have_the_values_of_their_weights(plans, ground, objective):
    plan, at = plans[objective], ground(objective)
    for best in (plan.common, plan.own):
        private = last_losses(at, list(best.alpha.values()), list(best.beta.values()))
        assert best.value == pytest.approx(value_of(private, objective), rel=1e-12)
        assert best.described == pytest.approx(value_of(last_losses(at, 0.2, 0.3), objective), rel=1e-12)
    assert plan.own.value <= plan.common.value
    private = last_losses(at, *plan.optimum)
    np.testing.assert_allclose(plan.entities["common"], private.mean(axis=1))
    np.testing.assert_allclose(plan.entities["described"], last_losses(at, 0.2, 0.3).mean(axis=1))
    own = last_losses(at, plan.entities["own_alpha"], plan.entities["own_beta"])
    np.testing.assert_allclose(plan.entities["own"], own.mean(axis=1))
    for where in ("common", "own", "described"):
        assert (plan.entities[f"{where}_lower"] < plan.entities[where]).all()
        assert (plan.entities[where] < plan.entities[f"{where}_upper"]).all()


def test_objectives_differ_and_each_is_best_at_its_own(plans):
    found = {objective: plan.entities["common"].to_numpy() for objective, plan in plans.items()}
    worst = {objective: each.max() for objective, each in found.items()}
    assert min(worst, key=worst.get) == "worst"
    for k in (0, 1):
        assert found[k][k] == min(each[k] for each in found.values())
    assert len({plans[objective].optimum for objective in OBJECTIVES}) > 1


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_weights_are_good_for_the_truth(plans, ground, truth, objective):
    """By the truth's own numbers the mix that a fit calls best costs little, and the described one more."""
    ecology, own = truth.ecology, truth.ecology.own.tolist()

    def true(alpha, beta):
        (losses,) = truth.losses([cell(ecology, alpha, beta, GENERATIONS)])
        return value_of(losses[-1][:, sorted(own)], objective)

    least = min(true(alpha, beta) for alpha in np.linspace(0, 1, 11) for beta in np.linspace(0, 1, 11))
    assert true(*plans[objective].optimum) < 1.05 * least
    assert true(0.2, 0.3) > true(*plans[objective].optimum)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_prices_are_over_the_per_entity_optimum(plans, objective):
    plan = plans[objective]
    prices = plan.prices.set_index("where")
    assert list(prices.index) == ["common optimum", "per-entity optimum", "description"]
    np.testing.assert_allclose(prices["value"], [plan.common.value, plan.own.value, plan.common.described])
    np.testing.assert_allclose(prices["price"], prices["value"] / plan.own.value - 1)
    assert (prices.loc["description", "alpha"], prices.loc["description", "beta"]) == (0.2, 0.3)
    assert (prices.loc["common optimum", "lower"], prices.loc["common optimum", "upper"]) == pytest.approx(
        (plan.common.lower, plan.common.upper)
    )
    assert np.isnan(prices.loc["per-entity optimum", "alpha"]) == (len(set(plan.own.alpha.values())) > 1)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_weights_within_the_band_of_the_best_are_told(plans, ground, objective):
    plan, at = plans[objective], ground(objective)
    alpha, beta = plan.optimum
    for name, (low, high), step in (("alpha", plan.alphas, 0.05), ("beta", plan.betas, 0.1)):
        best = alpha if name == "alpha" else beta
        assert low <= best <= high

        def value(each, name=name):
            return value_of(last_losses(at, *((each, beta) if name == "alpha" else (alpha, each))), objective)

        grid = np.arange(0, 1 + step / 2, step)
        assert all(value(each) <= plan.common.upper for each in grid if low <= each <= high)
        for beyond in (grid[grid < low - 1e-9][-1:], grid[grid > high + 1e-9][:1]):
            assert all(value(each) > plan.common.upper for each in beyond)
        said = " ".join(plan.sureness)
        assert f"Any {name} from {low:.2f} to {high:.2f}" in said or f"No other {name}" in said
    described = "The described weights are within the band" in " ".join(plan.sureness)
    assert described == (plan.common.described <= plan.common.upper)


def test_the_band_of_a_mean_is_as_wide_as_if_all_erred_alike(ground):
    at = ground("mean")
    (found,) = judged(at.identified, [at.like], at.own)
    widths = np.log(found.entities[2] / found.entities[0])
    assert np.log(found.upper / found.value) == pytest.approx(widths.mean())
    (worst,) = judged(at.identified, [at.like], at.own, "worst")
    k = int(np.argmax(found.entities[0]))
    assert (worst.value, worst.upper) == pytest.approx((found.entities[0, k], found.entities[2, k]))


def test_losses_that_are_not_measured_count_for_nobody():
    losses = np.array([[1.0, 2.0, 3.0], [5.0, np.nan, 7.0]])
    np.testing.assert_array_equal(entity_losses(losses, [0, 1]), [1.5, 5.0])
    assert dispersion(losses, [0, 1]) == 2.0
    assert dispersion(np.array([[1.0, 1.0], [1.0, 1.0]]), [0, 1]) == 0.0
    assert np.isnan(dispersion(np.array([[1.0, np.nan], [np.nan, 1.0]]), [0, 1]))


# A small language model


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    """The folder of a forecast's probes, and the plan that is made from them."""
    folder = tmp_path_factory.mktemp("plan") / "run"
    store = open_store(folder)
    made = crossfeed.forecast(small(), store)
    return folder, made, crossfeed.plan(small(), store=open_store(folder))


def test_a_plan_reuses_the_probes_of_a_forecast(probed):
    _, made, plan = probed
    assert isinstance(plan, ForecastPlan)
    assert (plan.common, plan.own) == (made.best_common, made.best_own)
    assert plan.cost.seconds == 0.0 < made.cost.seconds
    assert plan.fit.misfit == made.fits[0].misfit
    assert list(plan.prices["where"])[-1] == "first of the grid"
    assert (plan.experiment, plan.seed) == (made.experiment, made.seed)


def test_a_run_with_curves_is_told_the_surrogates_best(probed, monkeypatch, tmp_path):
    folder, _, plan = probed
    monkeypatch.chdir(tmp_path)
    assert stored_plan(small(), open_store(folder)).common == plan.common
    assert stored_plan(small(), MemoryStore()) is None
    with pytest.raises(InvalidDescription, match="n varies"):
        plan_known(small("grid.n=[16, 32]"), None, MemoryStore(), "mean", (), None)
    crossfeed.run(small(), open_store(folder))
    answer = crossfeed_cli("plan", str(folder))
    assert answer.code == 0, answer.err
    alpha, beta = stored_plan(small(), open_store(folder)).optimum
    assert f"Best common weights: α = {alpha:.2f}, β = {beta:.2f}, with" in answer.out
    assert "80 % band" in answer.out
    check_refused(crossfeed_cli("plan", str(folder), "--budget", "3"), ("--budget 3", "is a run"))


def test_a_run_without_curves_is_told_its_own_best_alone(tmp_path, monkeypatch, fake):
    monkeypatch.chdir(tmp_path)
    overrides = ("generations=1", "n=20", "public.test=4", "tasks.warm.test=4", "tasks.cold.test=4")
    crossfeed.run(fake(*overrides), open_store("mine"))
    answer = crossfeed_cli("plan", "mine")
    assert answer.code == 0, answer.err
    assert "surrogate" not in answer.out


# What is shown


def printed(plan, width=80) -> str:
    console = Console(width=width, record=True, force_terminal=False, file=io.StringIO())
    render_forecast_plan(plan, console)
    return console.export_text()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_tables_and_json_have_the_same_numbers(plans, objective):
    plan = plans[objective]
    told = json.loads(json.dumps(forecast_plan_data(plan), allow_nan=False))
    for name in ("landscape", "prices", "entities"):
        pd.testing.assert_frame_equal(
            pd.DataFrame(told[name]).astype(getattr(plan, name).dtypes), getattr(plan, name), check_exact=True
        )
    assert (told["best_common"]["value"], told["best_own"]["value"]) == (plan.common.value, plan.own.value)
    assert (tuple(told["alphas"]), tuple(told["sureness"])) == (plan.alphas, plan.sureness)
    shown = printed(plan)
    assert max(map(len, shown.splitlines())) <= 80
    words = " ".join(shown.split())
    alpha, beta = plan.optimum
    assert f"α = {alpha:.2f}, β = {beta:.2f}, with {plan.common.value:.2f}, 80 % band {plan.common.lower:.2f}" in words
    assert objective_words(plan) in words
    for row in plan.prices.to_dict("records"):
        assert f"{row['value']:.2f} {row['lower']:.2f} to {row['upper']:.2f}" in words
    for row in plan.entities.to_dict("records"):
        assert f"{row['own_alpha']:.2f} {row['own_beta']:.2f} {row['own']:.2f}" in words
    assert all(line in words for line in plan.sureness)


def test_files_are_the_tables_and_the_landscape_is_drawn(plans, tmp_path, monkeypatch):
    save_empty(monkeypatch, "pdf", "svg")
    plan = plans["mean"]
    names = {file.name for file in write_forecast_plan(plan, tmp_path)}
    assert names == {
        "experiment.yaml",
        *(f"{table}.{kind}" for table in ("landscape", "prices", "entities") for kind in ("csv", "parquet")),
        *(f"landscape.{kind}" for kind in ("pdf", "png", "svg")),
    }
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "landscape.parquet"), plan.landscape)
    ground, unsure = ground_of(plan)
    assert ground.values.shape == unsure.shape == (21, 11)
    row = plan.landscape.iloc[37]
    assert ground.values[list(ground.alphas).index(row["alpha"]), list(ground.betas).index(row["beta"])] == row["value"]
    marks = {mark.label: (mark.alpha, mark.beta) for mark in forecast_marks(plan)}
    assert marks["optimum"] == plan.optimum
    assert marks["as described"] == (0.2, 0.3)
    assert {"own, warm", "own, cold"} <= set(marks)
    figure = forecast_plan_figure(plan, 4.1)
    assert figure.get_figwidth() <= 4.1
    assert "extrapolated" in [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    axes = landscape(plan, ax=figure.add_subplot())
    assert "optimum" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_notebook_shows_the_plan(plans):
    assert repr(plans["mean"]).startswith("ForecastPlan('fake', mean, alpha: ")
    shown = plans["mean"]._repr_html_()
    assert "per-entity optimum" in shown
    assert "as good as can be told" in shown or "No other" in shown


# The command


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_empty(monkeypatch, "pdf", "svg", "png")
    return tmp_path


@pytest.fixture
def asked(monkeypatch, plans):
    """What was asked to be planned; the plan of fake models stands for the real one."""
    noted = []

    def planned(experiment, store, objective="mean", *, progress=None, **options):
        noted.append((experiment, store, objective, options))
        progress.log("probing")
        return plans["mean"]

    monkeypatch.setattr("crossfeed.forecasting.planning.forecast_plan", planned)
    return noted


def test_probes_go_into_the_runs_folder_and_files_with_those_of_plans(asked, here):
    answer = crossfeed_cli("plan", "quickstart", "--objective", "worst", "--budget", "8")
    assert answer.code == 0, answer.err
    ((experiment, store, objective, options),) = asked
    assert store.folder.resolve() == (here / "runs" / f"quickstart-{experiment.id}").resolve()
    assert (objective, options) == ("worst", {"budget": 8.0, "data_root": None})
    assert (here / "plans" / f"quickstart-{experiment.id}" / "landscape.png").is_file()
    assert "probing" in answer.err
    assert "How sure it is" in answer.out
    assert crossfeed_cli("plan", "quickstart", "--out", "there").code == 0
    assert (here / "there" / "landscape.csv").is_file()
    assert asked[1][3]["budget"] == 5.0


def test_json_is_the_plan_and_writes_nothing(asked, here, plans):
    answer = crossfeed_cli("plan", "quickstart", "--json")
    assert json.loads(answer.out) == json.loads(json.dumps(forecast_plan_data(plans["mean"])))
    assert not list(here.glob("plans"))


def test_ctrl_c_says_what_is_kept(here, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("crossfeed.forecasting.planning.forecast_plan", stop)
    answer = crossfeed_cli("plan", "quickstart")
    assert answer.code == 130
    assert "finished probes are kept in runs/quickstart-" in answer.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["quickstart", "--free", "alpha"], ("--free alpha", "--set")),
        (["quickstart", "--free", "alpha,beta,shares"], ("--free alpha,beta,shares",)),
        (["quickstart", "--hold", "math"], ("--hold math", "prices")),
        (["quickstart", "--horizon", "5"], ("--horizon 5", "--set generations=T")),
        (["quickstart", "--over", "mean"], ("--over mean",)),
        (["quickstart", "--front"], ("--front", "exact theory")),
        (["quickstart", "--fresh-price", "0.5"], ("--fresh-price 0.5", "exact theory")),
        (["quickstart", "--dispersion-price", "-1"], ("--dispersion-price -1", "dispersion of every mix")),
        (["quickstart", "--data-root", "nowhere"], ("--data-root nowhere",)),
        (["figure-4", "--budget", "5"], ("--budget 5", "needs no probes")),
        (["figure-4", "--data-root", "."], ("--data-root", "needs no probes")),
    ],
)
def test_options_of_the_other_theory_are_refused(asked, here, arguments, words):
    check_refused(crossfeed_cli("plan", *arguments), words)
    assert asked == []
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--objective", "nobody"], ("--objective nobody", "mean, worst or an entity")),
        (["--budget", "0"], ("budget of 0",)),
        (["--set", "ecosystem.update=replace"], ("update",)),
        (["--set", "grid.n=[100, 200]"], ("n varies",)),
    ],
)
def test_what_cannot_be_planned_is_refused_before_anything_is_run(here, arguments, words):
    check_refused(crossfeed_cli("plan", "quickstart", *arguments), words)
    assert not list(here.iterdir())


def test_in_python_a_store_is_needed_where_probes_are_run():
    with pytest.raises(InvalidInput, match=r"give store=open_store\(FOLDER\)"):
        crossfeed.plan(small())
    with pytest.raises(InvalidInput, match="runs nothing; leave store out"):
        crossfeed.plan(Experiment.from_yaml(read_description("figure-4")), store=MemoryStore())
    with pytest.raises(InvalidInput, match="--objective nobody"):
        forecast_plan(small(), MemoryStore(), "nobody")
    with pytest.raises(InvalidDescription, match="update"):
        forecast_plan(Experiment.from_yaml(SMALL, ("ecosystem.update=replace",)), MemoryStore())
