"""A run of linear models beside its exact theory: the numbers that `crossfeed predict` gives, and their errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import read_description
from crossfeed.display.formatting import number
from crossfeed.exact.linear_ecosystem import linear_ecosystem
from crossfeed.exact.prediction import predict
from crossfeed.loop import run
from crossfeed.reporting.data.exact import Exact, theory_of
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.numbers import change
from crossfeed.reporting.page.landscapes import landscape, landscapes
from crossfeed.reporting.page.matrices import gains, loss_matrices
from crossfeed.reporting.page.measured import measured
from crossfeed.store import open_store
from crossfeed.theory.influence import influence_shares

SMALL = (
    "grid={ecosystem.alpha: [0, 0.5], ecosystem.beta: [0.2, 0.8]}",
    "generations=2",
    "metrics={loss: {}}",
    "tasks.a.replicates=400",
    "tasks.b.replicates=400",
    "public.replicates=400",
    "tasks.a.dimension=5",
    "tasks.b.dimension=5",
    "public.dimension=5",
    "tasks.a.rank=2",
    "tasks.b.rank=2",
    "public.rank=5",
)


@pytest.fixture(scope="module")
def linear(tmp_path_factory) -> Run:
    """Two linear models at two alphas and two betas."""
    folder = tmp_path_factory.mktemp("linear") / "run"
    run(Experiment.from_yaml(read_description("fine-grid"), SMALL), open_store(folder))
    return Run.load(folder)


@pytest.fixture(scope="module")
def exact(linear) -> Exact:
    found = theory_of(linear).exact
    assert found is not None
    return found


def predicted(run: Run) -> pd.DataFrame:
    records = predict(run.experiment).records
    points = run.points.reset_index().astype({"alpha": float, "beta": float})
    return records[records["metric"] == "loss"].merge(points, on=["alpha", "beta"])


def test_expected_losses_are_those_that_predict_gives(linear, exact):
    wanted = predicted(linear).set_index(["point", "model", "task", "generation"])["value"]
    for point in linear.points.index:
        for row in exact.losses({point: [0, 1, 2]}).to_dict("records"):
            place = (point, row["model"], row["task"], row["generation"])
            assert row["exact"] == pytest.approx(wanted[place], rel=1e-10)
        alone = exact.expected(point, [0, 1, 2]).set_index(["model", "task", "generation"])["exact"]
        both = exact.losses({point: [0, 1, 2]}).set_index(["model", "task", "generation"])["exact"]
        pd.testing.assert_series_equal(alone.sort_index(), both.sort_index())


def test_curves_of_losses_have_the_theory_beside_them(linear, exact):
    (_, picture, _) = measured(linear, linear.measures[:1], theory_of(linear))
    first = picture.draw(10.4).axes[1]  # a on b
    assert first.get_title(loc="left") == "a on b"
    wanted = predicted(linear).query("model == 'a' and task == 'b'").sort_values("generation")
    shown = [line.get_ydata() for line in first.get_lines()]
    points = linear.points.query("beta == 0.2").index
    for ran, theory, point in zip(shown[::2], shown[1::2], points, strict=True):
        np.testing.assert_allclose(theory, wanted[wanted["point"] == point]["value"], rtol=1e-10)
        assert not np.array_equal(ran, theory)
    assert "exact theory" in picture.caption


def test_standard_errors_are_those_of_normal_estimates(linear, exact):
    """Against draws from the estimates' law: the variance of a quadratic form is not its own formula's twin."""
    eco = linear_ecosystem(linear.experiment.cells()[1].experiment)
    law = eco.moments([2])
    random = np.random.default_rng(0)
    table = exact.losses({1: [2]}).set_index(["model", "task"])
    task = linear.experiment.tasks["b"].build("b", None)
    draws = random.multivariate_normal(law.mean[0, 0], law.covariance[0, 0], 200_000)
    losses = ((draws - task.truth) @ task.features.T) ** 2
    error = losses.mean(axis=1).std(ddof=1) / np.sqrt(400)
    assert table.loc[("a", "b"), "exact_se"] == pytest.approx(error, rel=0.03)


def test_a_run_lies_within_its_standard_errors(exact):
    table = exact.beside
    assert len(table) == 4 * 2 * 3
    # One in a million exceeds this for normal errors; means of 400 are nearly normal.
    assert table["errors"].abs().max() < 6
    assert (table["exact_se"] > 0).all()


def test_measured_columns_are_those_of_change(linear, exact):
    measured = change(linear.records, "loss")
    pd.testing.assert_frame_equal(exact.beside[measured.columns], measured)
    both = exact.beside
    again = 100 * (both["exact_final"] / both["exact_initial"] - 1)
    np.testing.assert_allclose(both["exact_percent"], again, atol=1e-9)


def test_influence_is_the_theorys(linear, exact):
    eco = linear_ecosystem(linear.experiment.cells()[3].experiment)
    np.testing.assert_allclose(exact.influence(3, 2), influence_shares(eco, 2), rtol=1e-12)


def test_landscapes_average_over_models_and_tasks(linear, exact):
    found = landscape(linear, change(linear.records, "loss"), "final").set_index("point")
    for point in linear.points.index:
        last = linear.records.query("point == @point and metric == 'loss' and generation == 2 and task != 'public'")
        own = [row["value"] for row in last.to_dict("records") if row["model"] == row["task"]]
        other = [row["value"] for row in last.to_dict("records") if row["model"] != row["task"]]
        wanted = [np.mean([*own, *other]), np.mean(own), np.mean(other)]
        assert found.loc[point, ["private", "own", "other"]].tolist() == pytest.approx(wanted)
    statements, picture = landscapes(linear, theory_of(linear))
    low = found["private"].idxmin()
    alpha, beta = linear.points.loc[low, ["alpha", "beta"]]
    (said,) = (text for about, text in statements.items if about == "all private tasks, measured")
    assert said.startswith(
        f"lowest at α\u00a0=\u00a0{alpha:g}, β\u00a0=\u00a0{beta:g} ({number(found['private'].min())})"
    )
    axes = picture.draw(10.4).axes
    assert len(axes) == 7  # three kinds, measured and exact, and the scale
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["0.8", "0.2"]
    shown = {tuple(text.get_position()): text.get_text() for text in axes[0].texts}
    for point, (alpha, beta) in linear.points[["alpha", "beta"]].iterrows():
        assert shown[[0, 0.5].index(alpha), [0.8, 0.2].index(beta)] == number(found.loc[point, "private"])


def test_theory_stands_beside_what_was_measured(linear, exact):
    picture, words, sheet, sources = gains(linear, theory_of(linear))
    axes = picture.draw(10.4).axes
    titles = [axis.get_title(loc="left").replace("\n", " ") for axis in axes[:-1]]
    assert titles[:2] == ["α\u00a0=\u00a00, β\u00a0=\u00a00.2, measured", "α\u00a0=\u00a00, β\u00a0=\u00a00.2, exact"]
    table = exact.beside.query("point == 0 and model == 'b' and task == 'a'").iloc[0]
    for axis, column in zip(axes, ("percent", "exact_percent"), strict=False):
        (shown,) = (text.get_text() for text in axis.texts if text.get_position() == (0, 1))
        assert int(shown) == round(table[column])
    assert len(sheet.rows) == 24
    assert "Of 24 last losses" in words.paragraphs[0]
    assert len(sources.draw(10.4).axes) == 5
    (matrices,) = loss_matrices(linear)
    assert len(matrices.draw(10.4).axes) == 4 * 3 + 1


def test_a_grid_may_vary_the_entities(tmp_path):
    entities = [{"name": name, "private": name} for name in ("a", "b")]
    values = f"grid={{ecosystem.entities: [[{entities[0]}], {entities}]}}"
    changes = (*SMALL, values, "ecosystem.alpha=0.5", "tasks.a.replicates=20", "tasks.b.replicates=20")
    run(Experiment.from_yaml(read_description("fine-grid"), (*changes, "public.replicates=20")), open_store(tmp_path))
    found = Run.load(tmp_path)
    theory = theory_of(found)
    assert theory.exact is not None
    assert set(theory.exact.beside.query("point == 0")["model"]) == {"a"}
    *_, sources = gains(found, theory)
    alone, both, _ = sources.draw(10.4).axes
    assert [label.get_text() for label in alone.get_yticklabels()] == ["a"]
    assert [label.get_text() for label in both.get_xticklabels()] == ["a", "b", "public"]


def test_schedules_and_updates_have_no_place_on_a_landscape(make):
    """Their points have no number for alpha; the others' have."""
    values = "grid={ecosystem.alpha: [[0, 1], 0.5], ecosystem.beta: [0.2, 0.8]}"
    run = make("metrics={loss: {}}", "generations=1", values)
    assert landscapes(run, theory_of(run)) == []


def test_what_theory_does_not_cover_is_said(make, tmp_path):
    assert theory_of(make()) == theory_of(make("seeds=[0,1,2]"))
    changes = (*SMALL, "learner.reads=draws", "n=20", "pool_size=20", "grid={ecosystem.alpha: [0.5]}")
    run(Experiment.from_yaml(read_description("fine-grid"), changes), open_store(tmp_path))
    found = Run.load(tmp_path)
    theory = theory_of(found)
    assert theory.exact is None
    assert "give reads: everything" in gains(found, theory)[-1].paragraphs[0]
