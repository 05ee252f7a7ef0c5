"""Figures of one's own: what is drawn is what was measured or predicted, in the axes that were given."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from matplotlib.figure import Figure

from crossfeed import Experiment, Run, figures, open_store, run
from crossfeed.description.reading import read_preset
from crossfeed.errors import InvalidInput
from crossfeed.exact.prediction import predict

from .conftest import ONE


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Run:
    small = ("generations=2", "seeds=[0, 1]", "n=30", "public.test=4", "tasks.warm.test=4", "tasks.cold.test=4")
    folder = tmp_path_factory.mktemp("figures")
    run(Experiment.from_yaml(read_preset("fake"), small), open_store(folder))
    return Run.load(folder)


@pytest.fixture(scope="module")
def predicted():
    return predict(Experiment.from_yaml(ONE))


@pytest.fixture
def ax():
    return Figure(layout="constrained").add_subplot()


def chosen(run, metric, **where):
    """Means over seeds by generation."""
    rows = run.records[run.records["metric"] == metric]
    for name, value in where.items():
        rows = rows[rows[name] == value]
    return rows.groupby("generation")["value"].mean()


def test_every_function_takes_axes_and_returns_them(measured, predicted, planned, ax):
    given = {
        "efficiency_curve": (predicted, {}),
        "landscape": (planned, {}),
        "loss_curve": (measured, {"model": "warm", "task": "cold"}),
        "loss_matrix": (measured, {"where": {"alpha": 0}}),
        "mixture_shares": (measured, {"model": "warm", "where": {"alpha": 0.5}}),
        "outputs_cloud": (measured, {"generation": 2, "where": {"alpha": 0.5}}),
        "similarity_curve": (measured, {"task": "public"}),
    }
    assert sorted(given) == figures.__all__
    for name, (what, arguments) in given.items():
        draw = getattr(figures, name)
        assert inspect.signature(draw).parameters["ax"].kind is inspect.Parameter.KEYWORD_ONLY
        assert draw(what, ax=ax, **arguments) is ax
        ax.get_figure().draw_without_rendering()
        ax.clear()


def test_without_axes_the_current_ones_of_pyplot_are_drawn_into(measured):
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    mine = pyplot.figure().add_subplot()
    settings = dict(matplotlib.rcParams)
    assert figures.loss_curve(measured, model="warm", task="warm") is mine
    assert dict(matplotlib.rcParams) == settings
    pyplot.close("all")


def test_lines_are_the_means_of_the_records(measured, ax):
    figures.loss_curve(measured, model="warm", task="cold", where={"alpha": 0.5}, ax=ax)
    (line,) = ax.lines
    expected = chosen(measured, "loss", model="warm", task="cold", alpha=0.5)
    np.testing.assert_allclose(line.get_ydata(), expected.to_numpy(), rtol=1e-12)
    assert line.get_label().replace("\u00a0", " ") == "α = 0.5"
    assert ax.get_legend() is None
    figures.similarity_curve(measured, task="cold", ax=ax)
    assert len(ax.lines) == 1 + len(measured.points)
    expected = chosen(measured, "similarity", task="cold", alpha=1.0)
    np.testing.assert_allclose(ax.lines[-1].get_ydata(), expected.to_numpy(), rtol=1e-12)


def test_a_prediction_is_drawn_as_a_run_is(predicted, ax):
    figures.loss_curve(predicted, model="a", task="public", where={"alpha": 0.3}, ax=ax)
    rows = predicted.records.query("metric == 'loss' and task == 'public' and alpha == 0.3")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), rows["value"].to_numpy(), rtol=1e-12)
    efficiency = figures.efficiency_curve(predicted, ax=ax).lines[-1]
    expected = predicted.limit.query("metric == 'relative_efficiency'").sort_values("alpha")["value"]
    np.testing.assert_allclose(efficiency.get_ydata(), expected.to_numpy(), rtol=1e-12)


def test_the_matrix_and_the_shares_are_those_of_the_records(measured, ax):
    figures.loss_matrix(measured, where={"alpha": 1}, generation=1, ax=ax)
    assert ax.get_title(loc="left") == "loss, t = 1, α\u00a0=\u00a01"
    (image,) = ax.images
    rows = measured.records.query("metric == 'loss' and generation == 1 and alpha == 1")
    models = [text.get_text() for text in ax.get_yticklabels() if text.get_text()]
    tasks = [text.get_text() for text in ax.get_xticklabels() if text.get_text()]
    wide = rows.pivot_table(index="model", columns="task", values="value").loc[models, tasks]
    np.testing.assert_allclose(np.asarray(image.get_array()), wide.to_numpy(), rtol=1e-12)
    ax.clear()
    figures.mixture_shares(measured, model="cold", where={"alpha": 0.5}, ax=ax)
    assert [bars.get_label() for bars in ax.containers] == ["private", "public", "warm", "cold"]
    assert sum(bars[2].get_height() for bars in ax.containers) == pytest.approx(1)


def test_the_cloud_holds_every_projected_output(measured, ax):
    figures.outputs_cloud(measured, generation=1, where={"alpha": 0.5}, seed=1, ax=ax)
    frame = measured.projection
    point = int(measured.points.index[measured.points["alpha"] == 0.5][0])
    own = frame[(frame["generation"] == 1) & (frame["seed"] == 1) & (frame["point"] == point)]
    labelled = [line for line in ax.lines if not line.get_label().startswith("_")]
    assert sum(len(line.get_xdata()) for line in labelled) == len(own) > 0
    assert next(text.get_text() for text in ax.get_legend().get_texts()) == "warm on warm"


def test_the_landscape_names_its_points(planned, ax):
    figures.landscape(planned, ax=ax)
    best = next(line for line in ax.lines if line.get_label() == "optimum")
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (planned.optimum.alpha, planned.optimum.beta)


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda run, _: figures.loss_curve(run, model="hot", task="cold"), ["'hot'", "warm, cold"]),
        (lambda run, _: figures.loss_curve(run, model="warm", task="hot"), ["'hot'", "public"]),
        (lambda run, _: figures.loss_matrix(run), ["one grid point", "alpha = 0.5"]),
        (lambda run, _: figures.loss_matrix(run, where={"alpha": 0.7}), ["0.7", "alpha = 0.5"]),
        (lambda run, _: figures.loss_matrix(run, where={"alhpa": 0}), ["'alhpa'", "alpha, beta"]),
        (lambda run, _: figures.loss_matrix(run, where={"alpha": 0}, generation=9), ["9", "0, 1, 2"]),
        (lambda run, _: figures.outputs_cloud(run, generation=9, where={"alpha": 0}), ["generation 9", "0, 1, 2"]),
        (lambda run, _: figures.mixture_shares(run, model="hot", where={"alpha": 0}), ["'hot'", "warm, cold"]),
        (lambda _, theory: figures.efficiency_curve(theory, where={"beta": 1}), ["0 panels"]),
    ],
)
def test_what_is_not_there_is_named_with_what_is(measured, predicted, draw, words):
    with pytest.raises(InvalidInput) as refused:
        draw(measured, predicted)
    for word in words:
        assert word in str(refused.value)


def test_one_of_several_pairs_has_to_be_named(tmp_path, ax):
    changes = (
        "ecosystem.entities=[{name: a, private: warm}, {name: b, private: cold}, {name: c, private: warm}]",
        "ecosystem.alpha=0.5", "generations=1", "n=20", "public.test=4", "tasks.warm.test=4", "tasks.cold.test=4",
    )  # fmt: skip
    run(Experiment.from_yaml(read_preset("fake"), changes), open_store(tmp_path))
    three = Run.load(tmp_path)
    with pytest.raises(InvalidInput, match=r"a\+b, a\+c, b\+c"):
        figures.similarity_curve(three, task="warm", ax=ax)
    figures.similarity_curve(three, task="warm", pair="b+c", ax=ax)
    expected = chosen(three, "similarity", model="b+c", task="warm")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), expected.to_numpy(), rtol=1e-12)
