"""Predictions and plans: the theory's numbers for every field of a description, as tables, figures and commands."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from crossfeed import MemoryStore, run
from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import preset_names, read_description, validate
from crossfeed.errors import CrossfeedError, InvalidDescription
from crossfeed.exact.linear_ecosystem import linear_ecosystem, settled_weights
from crossfeed.exact.planning import plan
from crossfeed.exact.prediction import predict
from crossfeed.reporting.drawing.charts import Chart, Curve, charts, draw_landscape
from crossfeed.reporting.drawing.style import Frame, panels
from crossfeed.reporting.theory.figures import efficiency_figure, plan_figure, trajectory_figure
from crossfeed.reporting.theory.files import write_plan, write_prediction
from crossfeed.reporting.theory.plain import plan_data, prediction_data
from crossfeed.reporting.theory.tables import law_text, render_plan, render_prediction
from crossfeed.theory import LinearEcosystem, objective_value, relative_efficiency
from crossfeed.theory.spectrum import Law
from tests.faults.cli import crossfeed_cli

D = 4
TASK = {"source": "regression", "dimension": D, "rows": 5, "seed": 3, "noise": 0.8}
TRUTHS = {
    "x": [1.0, -2.0, 0.5, 0.0],
    "y": [0.3, 0.8, -1.7, 1.0],
    "z": [0.0, 0.1, 0.2, 2.0],
    "public": [0.9, 1.3, -0.6, 0.4],
}
NAMES = ("x", "y", "z")


def description(**ecosystem):
    """Three entities with data, truths and shares of their own; nothing is symmetric."""
    entities = [{"name": f"owner-{n}", "private": n, "share": k + 1.0} for k, n in enumerate(NAMES)]
    return {
        "ecosystem": {"entities": entities, "alpha": 0.4, "beta": 0.3} | ecosystem,
        "learner": {"kind": "linear", "noise": 0.5},
        "tasks": {n: TASK | {"rank": 2, "entity": k, "truth": TRUTHS[n]} for k, n in enumerate(NAMES)},
        "public": TASK | {"truth": TRUTHS["public"]},
        "generations": 3,
    }


def experiment(changes=None, **ecosystem):
    return validate(Experiment, description(**ecosystem) | (changes or {}))


def twin(given, **options):
    """The same ecosystem, written out for the theory by hand."""
    data = {n: s.build(n, None) for n, s in [*given.tasks.items(), ("public", given.public)]}
    defaults = {"alpha": 0.4, "beta": 0.3, "shares": np.array([1, 2, 3]) / 6, "sigma": 0.8, "sigma_generated": 0.5}
    return LinearEcosystem.from_features(
        [data[n].features for n in NAMES], data["public"].features, truth_public=np.array(TRUTHS["public"]),
        truths=np.array([TRUTHS[n] for n in NAMES]), **defaults | options,
    )  # fmt: skip


def own_weights(**second):
    entities = description()["ecosystem"]["entities"]
    return [entities[0], entities[1] | second, entities[2]]


FIELDS = {
    "as it is": ({}, {}),
    "initial beta": ({"initial_beta": 0.9}, {"initial_beta": 0.9}),
    "alpha by generation": ({"alpha": [0.9, 0.2]}, {"alpha": lambda t: [0.9, 0.2, 0.2][t - 1]}),
    "beta by generation": ({"beta": [0.9, 0.2]}, {"beta": lambda t: [0.9, 0.9, 0.2, 0.2][t]}),
    "proportional": ({"alpha": "proportional"}, {"alpha": lambda t: t / (t + 1)}),
    "own weights": (
        {"entities": own_weights(alpha=0.1, beta=[0.5, 0.6])},
        {"alpha": np.array([0.4, 0.1, 0.4]), "beta": lambda t: [0.3, 0.5 if t < 2 else 0.6, 0.3]},
    ),
    "accumulated": ({"history": "accumulate"}, {"history": "accumulate"}),
    "replace": ({"update": "replace", "alpha": None}, {"alpha": 1.0}),
    "accumulate": (
        {"update": "accumulate", "alpha": None},
        {"alpha": lambda t: t / (t + 1), "history": "accumulate"},
    ),
    "fresh": ({"fresh_fraction": 0.3}, {"fresh_fraction": 0.3, "fresh": "public"}),
}


def value_of(table, **where):
    keep = np.ones(len(table), dtype=bool)
    for column, value in where.items():
        keep &= (table[column] == value).to_numpy()
    return table.loc[keep, "value"].to_numpy()


@pytest.mark.parametrize("field", FIELDS)
def test_records_are_the_theorys_numbers_for_every_field(field):
    changes, options = FIELDS[field]
    given = experiment(**changes)
    if options.get("fresh") == "public":
        options = options | {"fresh": given.public.build("public", None).features}
    eco, records = twin(given, **options), predict(given).records
    moments = eco.moments(range(4))
    for t in range(4):
        for name in ("mse", "bias_squared", "variance"):
            found = value_of(records, metric=name, generation=t)
            assert found == pytest.approx(getattr(moments, name)[t], rel=1e-12, abs=1e-14)
        assert value_of(records, metric="dispersion", generation=t) == pytest.approx([moments.dispersion[t]])


@pytest.mark.parametrize("field", ["as it is", "alpha by generation", "accumulated", "own weights"])
@pytest.mark.parametrize("training", [{"steps": 3, "rate": 0.05}, {"ridge": 0.7}])
def test_steps_and_a_ridge_are_the_learners_own(field, training):
    changes, options = FIELDS[field]
    given = experiment({"learner": {"kind": "linear", "noise": 0.5} | training}, **changes)
    found, eco = predict(given), twin(given, **options | training)
    assert value_of(found.records, metric="mse", generation=3) == pytest.approx(eco.moments([3]).mse[0], rel=1e-12)
    last = (np.broadcast_to(each.at(3), 3) for each in (eco.alpha, eco.beta))
    settled = eco if eco.constant else eco.with_weights(*last)
    assert value_of(found.limit, metric="mse") == pytest.approx(settled.limit().mse, rel=1e-9)


def test_a_limit_that_depends_on_the_first_generations_is_not_told():
    given = experiment({"learner": {"kind": "linear", "noise": 0.0, "steps": 2, "rate": 0.05}}, alpha=1.0)
    assert not len(predict(given).limit)
    assert len(predict(given).records)


def test_prediction_errors_are_those_of_every_entity_on_every_task():
    given = experiment()
    prediction, eco = predict(given), twin(given)
    data = {n: s.build(n, None) for n, s in [*given.tasks.items(), ("public", given.public)]}
    for name, task in data.items():
        gram, truth = task.features.T @ task.features, np.array(TRUTHS[name])
        exact = eco.moments([2]).mspe(gram[None], truth[None])[0, :, 0]
        assert value_of(prediction.records, metric="mspe", task=name, generation=2) == pytest.approx(exact)
        assert value_of(prediction.records, metric="loss", task=name, generation=2) == pytest.approx(exact / 5)
        limit = eco.limit().mspe(gram[None], truth[None])[:, 0]
        assert value_of(prediction.limit, metric="mspe", task=name) == pytest.approx(limit)


def test_the_limit_table_holds_the_limit():
    given = experiment()
    table, eco = predict(given).limit, twin(given)
    limit = eco.limit()
    assert set(table["law"]) == {"limit"}
    for name in ("mse", "bias_squared", "variance"):
        assert value_of(table, metric=name) == pytest.approx(getattr(limit, name))
    assert value_of(table, metric="relative_efficiency") == pytest.approx(relative_efficiency(eco))
    assert value_of(table, metric="spectral_radius") == pytest.approx([limit.spectral_radius])
    assert value_of(table, metric="dispersion") == pytest.approx([limit.dispersion])


def test_where_there_is_no_limit_the_law_and_its_rate_stand():
    table = predict(experiment(alpha=1.0)).limit
    assert set(table["law"]) == {"linear"}
    assert value_of(table, metric="variance_growth") == pytest.approx(
        twin(experiment(), alpha=1.0).limit().variance_growth
    )
    assert value_of(table, metric="rate") == [1.0]
    assert not value_of(table, metric="relative_efficiency").any()
    assert not len(value_of(table, metric="mse"))


def test_a_schedule_that_settles_has_the_limit_of_its_last_weights():
    table = predict(experiment(alpha=[0.9, 0.1, 0.4], beta=[0.8, 0.3])).limit
    assert value_of(table, metric="mse") == pytest.approx(twin(experiment()).limit().mse)
    assert set(table["alpha"]) == {0.4}
    assert set(table["beta"]) == {0.3}


def test_a_schedule_that_never_settles_has_none():
    given = experiment(alpha="proportional")
    assert settled_weights(given.ecosystem) is None
    assert predict(given).limit.empty
    kept = experiment(alpha=[0.5, 1.0], history="accumulate")
    table = predict(kept).limit
    assert set(table["law"]) == {"schedule"}
    assert set(table["metric"]) == {"spectral_radius"}


def test_cells_have_the_columns_of_a_run_and_seeds_have_equal_numbers():
    given = experiment(
        {"seeds": [0, 7], "grid": {"ecosystem.alpha": [0, 0.5], "ecosystem.history": ["latest", "accumulate"]}}
    )
    records = predict(given).records
    ran = run(validate(Experiment, given.model_dump() | {"generations": 1}), MemoryStore())
    assert not ran.failures
    pd.testing.assert_series_equal(records.dtypes, ran.records.to_pandas().dtypes)
    assert sorted(set(records["cell"])) == sorted(cell.name for cell in given.cells())
    first, second = (records[records["seed"] == seed].drop(columns=["cell", "seed"]) for seed in (0, 7))
    pd.testing.assert_frame_equal(first.reset_index(drop=True), second.reset_index(drop=True))


def test_cells_of_a_grid_over_generations_have_each_their_own_last_one():
    given = experiment({"grid": {"generations": [1, 3]}})
    predicted = predict(given)
    assert given.ends == (1, 3)
    for generation, (_, own) in zip((1, 3), predicted.final.groupby("cell", sort=False), strict=True):
        alone = predict(experiment({"generations": generation})).final
        np.testing.assert_array_equal(own["value"], alone["value"])
    assert set(predicted.replicates()["model"]) == set(given.ecosystem.names)
    out = io.StringIO()
    render_prediction(predicted, Console(file=out, width=200))
    assert "generations 0 to 1 or 3" in out.getvalue()
    errors = out.getvalue().partition("MSE at t=0 and t=1 or 3")[2].partition("The error of one replicate")[0]
    assert {line.split()[0] for line in errors.splitlines() if "owner-" in line} == {"1", "3"}


def test_a_run_has_the_loss_that_was_predicted():
    """4,000 replicates; the mean of a quadratic form has a standard error of at most its mean times sqrt(2/4000)."""
    tasks = {n: t | {"replicates": 4000} for n, t in description()["tasks"].items()}
    given = experiment({"tasks": tasks, "public": description()["public"] | {"replicates": 4000}, "generations": 2})
    keys = ["model", "task", "generation"]
    ran = run(given, MemoryStore()).records.to_pandas().query("metric == 'loss'").set_index(keys)["value"]
    exact = predict(given).records.query("metric == 'loss'").set_index(keys)["value"]
    assert len(ran) == len(exact) == 3 * 4 * 3
    assert (ran / exact[ran.index]).to_numpy() == pytest.approx(1.0, abs=6 * np.sqrt(2 / 4000))


def test_features_come_from_files(tmp_path):
    features = np.random.default_rng(0).standard_normal((6, D))
    np.savez(tmp_path / "x.npz", features=features)
    read = {"source": "regression", "features": str(tmp_path / "x.npz"), "noise": 0.8, "truth": TRUTHS["x"]}
    given = experiment({"tasks": description()["tasks"] | {"x": read}})
    assert linear_ecosystem(given).private.all()[0] == pytest.approx(features.T @ features)


def test_without_a_truth_a_biased_limit_is_not_flattered():
    plain = {n: {k: v for k, v in t.items() if k != "truth"} for n, t in description()["tasks"].items()}
    public = {k: v for k, v in description()["public"].items() if k != "truth"}
    given = experiment({"tasks": plain, "public": public}, beta=1.0, alpha=0.0)
    assert not linear_ecosystem(given).truth_given
    assert not value_of(predict(given).limit, metric="relative_efficiency").any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learner": {"kind": "fake"}, "n": 5}, ["'fake'", "kind: linear", "figure-4"]),
        ({"learner": {"kind": "linear", "reads": "draws"}, "n": 5}, ["reads: everything"]),
        ({"learner": {"kind": "linear", "steps": 2, "rate": 9.0}}, ["learner.rate", "lambda_max ="]),
        ({"public": {"source": "math"}}, ["public", "source: math", "regression"]),
        ({"public": TASK | {"family": "poisson"}}, ["family: poisson", "gaussian"]),
        ({"public": TASK | {"dimension": 3}}, ["x: 4", "public: 3"]),
        ({"public": TASK | {"noise": 0.1}}, ["one noise", "public: 0.1"]),
        ({"ecosystem": {"entities": [{"name": n, "private": "x"} for n in "ab"], "alpha": 0.5}}, ["x belongs"]),
    ],
)
def test_what_has_no_linear_theory_is_refused_in_words(changes, words):
    with pytest.raises(InvalidDescription) as refused:
        predict(experiment(changes))
    for word in words:
        assert word in str(refused.value)


# ----- plans


@pytest.fixture(scope="module")
def planned():
    return plan(experiment())


def test_the_optimum_is_no_worse_than_the_landscape_and_its_neighbours(planned):
    best, eco = planned.optimum, linear_ecosystem(planned.experiment)
    assert best.value <= planned.landscape.values.min()
    for step in (0.01, 0.001):
        for alpha, beta in ((step, 0), (-step, 0), (0, step), (0, -step)):
            near = np.clip((best.alpha + alpha, best.beta + beta), 0, 1)
            assert objective_value(eco.with_weights(*near)) >= best.value * (1 - 1e-9)


def test_prices_are_excesses_over_the_per_entity_optimum(planned):
    prices = planned.prices.set_index("where")
    eco = linear_ecosystem(planned.experiment)
    assert list(prices.index) == ["common optimum", "per-entity optimum", "nash", "description", "half and half"]
    for where, weights in {"description": (0.4, 0.3), "half and half": (0.5, 0.5)}.items():
        exact = eco.with_weights(*weights).limit().mse.mean()
        assert prices.loc[where, "value"] == pytest.approx(exact)
        assert prices.loc[where, "price"] == pytest.approx(exact / planned.own.value - 1)


def test_three_optima_stand_side_by_side(planned):
    """The order that no ecosystem escapes: own weights chosen together are best; selfishness has a price."""
    value = planned.prices.set_index("where")["value"]
    assert value["per-entity optimum"] <= min(value["common optimum"], value["nash"])
    own = planned.entities[["own_alpha", "own_beta"]].to_numpy().T
    exact = linear_ecosystem(planned.experiment).with_weights(*own).limit().mse
    assert planned.entities["own_mse"].to_numpy() == pytest.approx(exact)
    assert value["per-entity optimum"] == pytest.approx(exact.mean())


def test_a_plan_of_more_than_alpha_and_beta():
    found = plan(experiment(), free=("alpha", "fresh_fraction"), per_entity=True, held=("owner-y",), fresh_price=0.2)
    assert 0 < found.chosen.weights.fresh_fraction < 1
    assert found.chosen.weights.alpha[1] == 0.4
    assert len(set(found.chosen.weights.alpha)) == 3
    assert (found.chosen.weights.beta == 0.3).all()
    row = found.prices.set_index("where").loc["chosen"]
    assert row["value"] == pytest.approx(found.chosen.mse.mean() + 0.2 * found.chosen.weights.fresh_fraction)
    console = Console(width=80, color_system=None)
    with console.capture() as captured:
        render_plan(found, console)
    assert "fresh fraction =" in captured.get()
    assert plan_data(found)["chosen"]["fresh_fraction"] == found.chosen.weights.fresh_fraction


def test_the_nash_point_stands_beside_the_optimum(planned):
    eco, entities = linear_ecosystem(planned.experiment), planned.entities
    social = eco.with_weights(planned.optimum.alpha, planned.optimum.beta)
    assert entities["mse"].to_numpy() == pytest.approx(social.limit().mse)
    selfish = eco.with_weights(entities["nash_alpha"].to_numpy(), entities["nash_beta"].to_numpy())
    assert entities["nash_mse"].to_numpy() == pytest.approx(selfish.limit().mse)
    assert planned.nash.settled


@pytest.fixture
def nash_known(monkeypatch, planned):
    """What selfish entities would choose is searched for once, which takes most of a plan's time."""
    monkeypatch.setattr("crossfeed.exact.planning.nash_points", lambda _: planned.play)


@pytest.mark.usefixtures("nash_known")
@pytest.mark.parametrize("objective", ["worst", "owner-y"])
def test_other_objectives(objective):
    found = plan(experiment(), objective)
    mse = linear_ecosystem(found.experiment).with_weights(found.optimum.alpha, found.optimum.beta).limit().mse
    assert found.optimum.value == pytest.approx(mse.max() if objective == "worst" else mse[1])


@pytest.mark.parametrize(
    ("given", "objective", "word"),
    [
        (experiment, "median", "owner-x"),
        (
            lambda: experiment({"grid": {"ecosystem.fresh_fraction": [0, 0.1]}}),
            "mean",
            "--set ecosystem.fresh_fraction",
        ),
        (lambda: experiment(update="replace", alpha=None), "mean", "decides alpha"),
        (lambda: experiment({"learner": {"kind": "linear", "ridge": 1.0}}), "mean", "learner.ridge"),
        (lambda: experiment(order="sequential"), "mean", "one pool .* leave them out"),
        (lambda: experiment({"grid": {"ecosystem.order": ["sequential"]}}), "mean", "one pool .* leave them out"),
        (
            lambda: experiment({"grid": {"ecosystem.order": ["sequential", "together"], "ecosystem.alpha": [0, 0.5]}}),
            "mean",
            "one pool .* choose --set 'ecosystem.order=\"together\"'",
        ),
        (lambda: plan_of_networks({"graph": "ring"}), "mean", "one pool .* leave them out"),
        (lambda: plan_of_networks({"graph": "ring"}, None), "mean", "one pool .* choose --set 'ecosystem.reads=null'"),
    ],
)
def test_what_cannot_be_planned_is_refused(given, objective, word):
    with pytest.raises(CrossfeedError, match=word):
        plan(given(), objective)


def plan_of_networks(*networks):
    entities = [{"name": f"owner-{n}", "private": n} for n in NAMES]
    return experiment({"grid": {"ecosystem.reads": list(networks)}}, entities=entities)


# ----- figures, tables, files


def test_charts_draw_the_data_they_are_given():
    x, y = np.array([1.0, 2.0, 3.0]), np.array([2.0, np.nan, 5.0])
    figure = charts([Chart("t", "x", "y", [Curve("one", x, y), Curve("two", x, 2 * x)], {"level": 1.5}, log="y")])
    (axes,) = figure.axes
    one, two, level = axes.lines
    assert np.array_equal(one.get_ydata(), y, equal_nan=True)
    assert np.array_equal(two.get_xdata(), x)
    assert np.array_equal(two.get_ydata(), 2 * x)
    assert set(level.get_ydata()) == {1.5}
    assert axes.get_yscale() == "log"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "two"]
    for look in ("color", "linestyle", "marker"):  # never colour alone
        assert getattr(one, f"get_{look}")() != getattr(two, f"get_{look}")()


def test_the_efficiency_figure_has_a_panel_for_each_beta_and_a_line_for_each_model():
    alphas = [0, 0.1, 0.3, 0.5, 0.9]
    prediction = predict(experiment({"grid": {"ecosystem.beta": [0.2, 0.6], "ecosystem.alpha": alphas}}))
    figure = efficiency_figure(prediction)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["β = 0.2", "β = 0.6"]
    for axes, beta in zip(figure.axes, (0.2, 0.6), strict=True):
        for line, name in zip(axes.lines, NAMES, strict=True):
            wanted = value_of(prediction.limit, beta=beta, metric="relative_efficiency", model=f"owner-{name}")
            assert np.array_equal(line.get_xdata(), alphas)
            assert np.array_equal(line.get_ydata(), wanted)


def test_entities_that_do_better_than_least_squares_on_all_data_stay_in_the_figure():
    """Truths differ, and the private data alone are without bias."""
    tasks = {n: TASK | {"rows": 40, "entity": k, "truth": TRUTHS[n]} for k, n in enumerate(NAMES)}
    changes = {"tasks": tasks, "grid": {"ecosystem.alpha": [0, 0.1, 0.3, 0.5, 0.9]}}
    figure = efficiency_figure(predict(experiment(changes, beta=1.0)))
    shown = np.concatenate([line.get_ydata() for line in figure.axes[0].lines])
    assert shown.max() > 2
    assert figure.axes[0].get_ylim()[1] > shown.max()


def test_figures_of_a_large_grid_say_which_part_they_show():
    alphas, betas = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9], [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1]
    prediction = predict(experiment({"grid": {"ecosystem.beta": betas, "ecosystem.alpha": alphas}}))
    figure = trajectory_figure(prediction)
    assert [axes.get_title(loc="left") for axes in figure.axes[:4]] == ["β = 0", "β = 0.3", "β = 0.6", "β = 1"]
    assert [text.get_text().strip() for text in figure.texts] == [
        "24 of 70 grid points, evenly chosen; all are in records.csv"
    ]
    (note,) = efficiency_figure(prediction).texts
    assert note.get_text().strip() == "9 of 10 panels, evenly chosen; all are in limit.csv"


def test_the_trajectory_figure_has_a_row_for_each_measure():
    prediction = predict(experiment({"grid": {"ecosystem.beta": [0.2, 0.6], "ecosystem.alpha": [0, 0.5]}}))
    figure = trajectory_figure(prediction)
    assert len(figure.axes) == 3 * 2
    (first, *_), records = figure.axes, prediction.records
    for line, (alpha, name) in zip(first.lines, [(a, n) for a in (0, 0.5) for n in NAMES], strict=True):
        wanted = value_of(records, beta=0.2, alpha=alpha, metric="mse", model=f"owner-{name}")
        assert np.array_equal(line.get_ydata(), wanted)
    other = figure.axes[4].lines[0].get_ydata()
    tasks = [value_of(records, beta=0.2, alpha=0.0, metric="mspe", model="owner-x", task=n) for n in ("y", "z")]
    assert other == pytest.approx(np.mean(tasks, axis=0))


def test_figures_that_would_be_empty_are_none():
    prediction = predict(experiment({"generations": 0}))
    assert efficiency_figure(prediction) is None
    assert trajectory_figure(prediction) is None


def test_the_landscape_shows_its_points(planned):
    marks = {tuple(line.get_xydata()[0]) for line in plan_figure(planned).axes[0].lines}
    assert (planned.optimum.alpha, planned.optimum.beta) in marks
    assert (0.4, 0.3) in marks
    assert (0.5, 0.5) in marks
    _, (axes,) = panels(Frame(3, 3, 1), 1)
    assert not draw_landscape(axes, planned.landscape, planned.optimum.value, []).lines


@pytest.mark.parametrize("width", [80, 40])
def test_tables_fit_their_width(planned, width):
    for render, what in ((render_prediction, predict(experiment())), (render_plan, planned)):
        console = Console(width=width, color_system=None)
        with console.capture() as captured:
            render(what, console)
        text = captured.get()
        assert max(map(len, text.splitlines())) <= width
        assert "beta, private share: the part of its real data" in " ".join(text.split())


def test_many_cells_and_many_models_are_summed_up():
    names = [f"m{k}" for k in range(8)]
    many = {
        "ecosystem": {"entities": [{"name": n, "private": n} for n in names], "beta": 0.5},
        "learner": {"kind": "linear"},
        "tasks": {n: TASK | {"entity": k} for k, n in enumerate(names)},
        "public": TASK,
        "generations": 1,
        "grid": {"ecosystem.alpha": [k / 40 for k in range(40)]},
    }
    prediction = predict(validate(Experiment, many))
    console = Console(width=100, color_system=None)
    with console.capture() as captured:
        render_prediction(prediction, console)
    text = captured.get()
    assert "Of 40 cells" in text
    assert "mean of 8" in text
    assert "the worst" in text
    best = prediction.limit.query("metric == 'relative_efficiency'").groupby("alpha")["value"].mean().idxmax()
    assert f"{best:g}" in text
    assert len(efficiency_figure(prediction).axes[0].lines) == 2


@pytest.mark.parametrize("law", ["limit", "schedule", *Law.__args__])
def test_every_law_has_words(law):
    assert law_text(law, 1.5)


def test_files_and_plain_data_hold_the_tables(tmp_path, planned):
    prediction = predict(experiment(alpha=1.0))
    files = write_prediction(prediction, tmp_path / "p")
    assert {file.name for file in files} >= {"records.csv", "limit.parquet"} | {
        f"trajectory.{kind}" for kind in ("pdf", "png", "svg")
    }
    assert pq.read_table(tmp_path / "p" / "records.parquet").num_rows == len(prediction.records)
    pd.testing.assert_series_equal(pd.read_csv(tmp_path / "p" / "limit.csv")["value"], prediction.limit["value"])
    assert Experiment.from_yaml((tmp_path / "p" / "experiment.yaml").read_text()) == prediction.experiment
    write_plan(planned, tmp_path / "p")
    assert len(pd.read_csv(tmp_path / "p" / "landscape.csv")) == planned.landscape.values.size
    for data in (prediction_data(prediction), plan_data(planned)):
        assert json.loads(json.dumps(data, allow_nan=False)) == data


@pytest.mark.parametrize("width", [3.25, 5.5])
def test_figures_for_a_paper_are_as_wide_at_most_and_have_all_panels(tmp_path, planned, width):
    grid = {"ecosystem.beta": [0.2, 0.5, 0.8], "ecosystem.alpha": [0.0, 0.25, 0.5, 0.75, 1.0]}
    prediction = predict(Experiment.model_validate(experiment().model_dump() | {"grid": grid}))
    write_prediction(prediction, tmp_path, width)
    write_plan(planned, tmp_path, width)
    wide = len(efficiency_figure(prediction).axes), len(trajectory_figure(prediction).axes)
    narrow = [draw(prediction, width / 0.79) for draw in (efficiency_figure, trajectory_figure)]
    assert tuple(len(figure.axes) for figure in narrow) == wide
    for name in ("efficiency", "trajectory", "landscape"):
        (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) [\d.]+ \]", (tmp_path / f"{name}.pdf").read_bytes())
        assert 0.7 * 72 * min(width, 4) < float(box) <= 72 * width + 1e-3


# ----- commands and presets


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Commands in this process, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    return crossfeed_cli


def test_predict_prints_writes_and_speaks_json(command, tmp_path):
    short = ["--set", "generations=2"]
    answer = command("predict", "figure-4", *short)
    assert answer.code == 0, answer.err
    assert "variance grows linearly" in answer.out
    assert max(len(line) for line in answer.out.splitlines() if not line.startswith("files")) <= 80
    (folder,) = (tmp_path / "predictions").iterdir()
    assert (folder / "trajectory.png").is_file()
    plain = command("predict", "figure-4", *short, "--json")
    data = json.loads(plain.out)
    assert len(data["records"]) == pq.read_table(folder / "records.parquet").num_rows
    assert {row["law"] for row in data["limit"]} == {"limit", "linear"}


def test_few_digits_are_a_note_beside_the_numbers(command, tmp_path):
    """Said once, on stderr: the numbers stay what a program can read."""
    rng = np.random.default_rng(0)
    for name in "abp":
        rows = rng.standard_normal((8, 3))
        rows[:, 2] = rows[:, 1] + 1e-11 * rows[:, 2]
        np.savez(tmp_path / f"{name}.npz", features=rows)
    (tmp_path / "x.yaml").write_text(
        "name: near\necosystem: {entities: [{name: a, private: a}, {name: b, private: b}], alpha: 0.5, beta: 0.5}\n"
        "learner: {kind: linear}\ntasks:\n  a: {source: regression, features: a.npz}\n"
        "  b: {source: regression, features: b.npz}\npublic: {source: regression, features: p.npz}\n"
        "grid: {ecosystem.alpha: [0.2, 0.5]}\ngenerations: 1\n"
    )
    answer = command("predict", "x.yaml", "--json")
    assert answer.code == 0, answer.err
    assert answer.err.count("Note: ") == 1
    assert "4 digits of the errors; leave columns out" in answer.err
    found = {row["metric"]: row["value"] for row in json.loads(answer.out)["limit"]}
    assert found["spectral_radius"] < 1


@pytest.mark.usefixtures("nash_known")
def test_plan_speaks_json_and_writes_where_it_is_told(command, tmp_path):
    (tmp_path / "x.yaml").write_text(experiment().to_yaml())
    answer = command("plan", "x.yaml", "--objective", "owner-z", "--json", "--out", "here")
    assert answer.code == 0, answer.err
    data = json.loads(answer.out)
    assert data["objective"] == "owner-z"
    assert (tmp_path / "here" / "landscape.svg").is_file()
    assert not (tmp_path / "plans").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["predict", "fake"], "kind: linear"),
        (["plan", "fake"], "does not train in steps"),
        (["plan", "figure-4", "--objective", "nobody"], "nobody"),
        (["plan", "figure-4", "--free", "gamma"], "fresh_fraction"),
        (["plan", "figure-4", "--free", "fresh_fraction"], "--set ecosystem."),
        (["plan", "figure-4", "--hold", "nobody"], "--hold nobody"),
        (["plan", "figure-4", "--dispersion-price", "inf"], "finite"),
        (["predict", "nothing"], "neither a preset"),
        (["predict", "figure-4", "--set", "tasks.a.rank=99"], "rank"),
        (["predict", "figure-4", "--set", "generations=1", "--out", "/dev/null/x"], "--out"),
    ],
)
def test_bad_input_is_one_paragraph_and_exit_code_2(command, arguments, word):
    answer = command(*arguments)
    assert answer.code == 2
    assert word in answer.err
    assert "Traceback" not in answer.err


def test_the_presets_of_the_papers_figures_say_what_the_paper_says():
    """Figure 2: beta = 0.5 peaks near alpha = 0.5, beta = 0.9 at a small alpha. Figure 4: exchange helps on others."""
    assert {"figure-2", "figure-4"} <= set(preset_names())
    limit = predict(Experiment.from_yaml(read_description("figure-2"))).limit
    mean = limit[limit["metric"] == "relative_efficiency"].groupby(["beta", "alpha"])["value"].mean()
    peaks = {beta: mean[beta].idxmax() for beta in (0.1, 0.5, 0.9)}
    assert 0.4 <= peaks[0.5] <= 0.5
    assert peaks[0.9] <= 0.3
    assert mean[0.5].max() > max(mean[0.1].max(), mean[0.9].max())
    four = predict(Experiment.from_yaml(read_description("figure-4")))
    others = four.records[
        (four.records["metric"] == "mspe") & (four.records["model"] == "a") & (four.records["task"] == "b")
    ]
    ended = others[others["generation"] == 15].set_index(["beta", "alpha"])["value"]
    for beta in (0.5, 1.0):
        assert ended[beta, 0.5] < ended[beta, 0.0] < ended[beta, 1.0]


def test_weights_that_never_settle_are_told_and_written(tmp_path):
    prediction = predict(experiment(update="accumulate", alpha=None))
    console = Console(width=80, color_system=None)
    with console.capture() as captured:
        render_prediction(prediction, console)
    assert "weights change" in captured.get()
    write_prediction(prediction, tmp_path)
    assert pq.read_table(tmp_path / "limit.parquet").num_rows == 0
