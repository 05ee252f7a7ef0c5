"""The verbs in Python: they take runs or their locations, and do what the commands of the same names do."""

from __future__ import annotations

import inspect
import json

import pandas as pd
import pytest

import crossfeed
from crossfeed import (
    Comparison,
    Experiment,
    Plan,
    Prediction,
    Run,
    compare,
    evaluate,
    open_store,
    plan,
    predict,
    report,
    run,
)
from crossfeed.description.reading import read_preset
from crossfeed.errors import InvalidInput, StoreError

from .faults.cli import crossfeed_cli
from .paper.conftest import TWO

VERBS = ("check", "compare", "evaluate", "forecast", "plan", "predict", "report", "run")
SMALL = (
    "generations=1",
    "n=20",
    "seeds=[0]",
    "grid={ecosystem.alpha: [0.5]}",
    *(f"{task}.test=4" for task in ("public",)),
)
LINEAR = """
ecosystem: {entities: [{name: a, private: x}, {name: b, private: y}], alpha: 0.5}
learner: {kind: linear, noise: 1.0}
tasks:
  x: {source: regression, dimension: 2, rows: 4, entity: 0}
  y: {source: regression, dimension: 2, rows: 4, entity: 1}
public: {source: regression, dimension: 2, rows: 4}
generations: 2
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small finished run of fake models."""
    folder = tmp_path_factory.mktemp("verbs") / "run"
    run(Experiment.from_yaml(read_preset("fake"), SMALL), open_store(folder))
    return folder


@pytest.fixture
def written(monkeypatch):
    """Pages have tests of their own; here it is noted which are written."""
    noted = []

    def write(runs, folder, figure_width):
        noted.append(([each.id for each in runs] if isinstance(runs, list) else runs.id, folder))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.html").write_text("")
        return folder / "index.html"

    monkeypatch.setattr("crossfeed.reporting.html.write_report", write)
    monkeypatch.setattr("crossfeed.reporting.html.write_side_by_side", write)
    return noted


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_a_function_of_the_package(verb):
    assert verb in crossfeed.__all__
    assert inspect.isfunction(getattr(crossfeed, verb))


@pytest.mark.parametrize("as_given", [Run.load, str, lambda folder: folder, lambda folder: [folder]])
def test_a_report_goes_into_the_runs_folder(finished, written, as_given):
    assert report(as_given(finished)) == finished / "report" / "index.html"
    assert written == [(Run.load(finished).id, finished / "report")]


def test_several_runs_go_onto_one_page(finished, written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opened = Run.load(finished)
    assert str(report([opened, finished])) == f"reports/compare-{opened.id}-{opened.id}/index.html"
    assert report([opened] * 5).parent.name.removeprefix("compare-") != "-".join([opened.id] * 5)
    assert report([finished, opened], tmp_path / "there") == tmp_path / "there" / "index.html"


def test_a_page_that_is_up_to_date_is_kept_where_that_is_wanted(finished, written, tmp_path):
    for rewrite in (False, False, True):
        report(finished, tmp_path, rewrite=rewrite)
    assert len(written) == 2
    (tmp_path / "index.html").unlink()
    report(finished, tmp_path, rewrite=False)
    assert len(written) == 3


def test_what_is_no_run_is_refused(tmp_path):
    for verb in (report, compare, lambda place: evaluate(place, ["sciq"])):
        with pytest.raises((StoreError, crossfeed.CrossfeedError)):
            verb(tmp_path / "nothing")
    for verb in (report, compare):
        with pytest.raises(InvalidInput, match="no run is given"):
            verb([])


def test_a_prediction_and_a_plan_are_those_of_the_commands(tmp_path):
    experiment, file = Experiment.from_yaml(LINEAR), tmp_path / "linear.yaml"
    file.write_text(LINEAR)
    prediction = predict(experiment)
    assert isinstance(prediction, Prediction)
    told = json.loads(crossfeed_cli("predict", str(file), "--json").out)
    pd.testing.assert_frame_equal(pd.DataFrame(told["limit"]), prediction.limit, check_dtype=False)
    best = plan(experiment, "worst")
    assert isinstance(best, Plan)
    told = json.loads(crossfeed_cli("plan", str(file), "--objective", "worst", "--json").out)
    assert (told["optimum"]["alpha"], told["optimum"]["beta"]) == (best.optimum.alpha, best.optimum.beta)


def test_a_comparison_is_that_of_the_command(tmp_path):
    run(
        Experiment.from_yaml(read_preset("fake"), (*TWO, "grid={ecosystem.alpha: [0.5]}")), open_store(tmp_path / "run")
    )
    comparison = compare(tmp_path / "run", "7")
    assert isinstance(comparison, Comparison)
    assert set(comparison.cells["table"]) == {"7"}
    told = json.loads(crossfeed_cli("compare", str(tmp_path / "run"), "--paper", "7", "--json").out)
    assert told["agreement"] == comparison.agreement.to_dict("records")


def test_benchmarks_are_for_language_models(finished, monkeypatch):
    monkeypatch.setattr("crossfeed.evaluation.harness._version", lambda: "0")
    with pytest.raises(InvalidInput, match="of kind 'fake'"):
        evaluate(finished, ["sciq"])
