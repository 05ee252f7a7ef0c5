"""Pages without a browser: what a question changes, and what a page holds where there are many entities."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from bokeh.document import Document

from crossfeed import Experiment, Run, open_store, run
from crossfeed.exact.prediction import predict
from crossfeed.explorer import run_page, theory_page
from crossfeed.explorer.sliders import Start

from .test_explore_settings import NUMBERED, UNEQUAL

EIGHT = """
ecosystem: {entities: 8, alpha: 0.5}
learner: {kind: fake}
tasks: {each: {source: fake, words: [red, green, blue, grey]}}
public: {source: fake, words: [the, of, and]}
n: 20
generations: 1
seeds: [0, 1]
metrics: {loss: {}}
"""


def opened(site):
    document = Document()
    site.page(document)
    return document


def answer(document):
    """Answer what was asked, as the server does once it has read all messages."""
    for waiting in document.session_callbacks:
        waiting.callback()


def ask(document, turn, **moved):
    state = document.get_model_by_name("state")
    state.asked = json.dumps({"turn": turn, "moved": moved})
    answer(document)
    return json.loads(state.told)


def told(document):
    return json.loads(document.get_model_by_name("state").told)


def held(document, figure, renderer):
    return document.get_model_by_name(figure).renderers[renderer].data_source.data


def test_a_question_that_cannot_be_answered_is_answered_with_a_word_and_changes_nothing():
    page = opened(theory_page.site(Start.of(Experiment.from_yaml(NUMBERED))))
    before = told(page)
    after = ask(page, 1, alpha=7)
    assert after["turn"] == 1
    assert after["html"].pop("error") == "alpha: give a number from 0 to 1; received 7"
    assert after["html"] == before["html"]
    assert ask(page, 2, alpha=0.7)["html"]["error"] == ""


def test_what_breaks_is_said_on_the_page_and_in_the_terminal(monkeypatch):
    page = opened(theory_page.site(Start.of(Experiment.from_yaml(NUMBERED))))

    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(theory_page, "summary", broken)
    with pytest.raises(ZeroDivisionError):
        ask(page, 1, alpha=0.7)
    assert (told(page)["turn"], told(page)["html"]["error"][:29]) == (1, "This could not be computed; t")


def test_of_many_entities_the_mean_the_best_and_the_worst_are_told_apart():
    site = theory_page.site(Start.of(Experiment.from_yaml(NUMBERED)))
    page = opened(site)
    ask(page, 1, entities=9)
    answer = predict(Experiment.from_yaml(site.described({"entities": 9})))
    mse = answer.records[answer.records["metric"] == "mse"].pivot_table("value", index="generation", columns="model")
    mse = mse[[f"e{k}" for k in range(1, 10)]]
    limit = answer.limit[answer.limit["metric"] == "mse"]["value"].to_numpy()
    lines, thin = held(page, "trajectories", 1)["ys"], held(page, "trajectories", 0)["y"]
    np.testing.assert_allclose(lines[0][:5], mse.mean(axis=1))
    np.testing.assert_array_equal(lines[1][:5], mse.iloc[:, limit.argmin()])
    np.testing.assert_array_equal(lines[2][:5], mse.iloc[:, limit.argmax()])
    np.testing.assert_array_equal(thin.reshape(9, -1)[:, :5], mse.to_numpy().T)
    np.testing.assert_array_equal(thin.reshape(9, -1)[:, 6], limit)


def test_the_map_marks_the_weights_that_the_sliders_stand_for():
    page = opened(theory_page.site(Start.of(Experiment.from_yaml(NUMBERED))))

    def marked():
        return [held(page, "map", 3)[axis][0] for axis in "xy"]

    assert marked() == [0.4, 0.7]
    ask(page, 1, alpha=0.1)
    assert marked() == [0.1, 0.7]
    unequal = opened(theory_page.site(Start.of(Experiment.from_yaml(UNEQUAL))))
    assert np.isnan(held(unequal, "map", 3)["x"]).all()


def test_exact_theory_lies_beside_the_losses_of_linear_models_and_runs_ahead(tmp_path):
    place = tmp_path / "run"
    changes = ("grid.ecosystem.alpha=[0.2, 0.7]", "generations=4", "ecosystem.entities=2")
    experiment = Experiment.from_yaml(NUMBERED, changes)
    run(experiment, open_store(place))
    for path in [place / "records.parquet", *place.rglob("generation-00[34].parquet")]:
        path.unlink()
    page, records = opened(run_page.site(str(place))), predict(experiment).records
    losses = records[records["metric"] == "loss"].sort_values("generation").set_index(["alpha", "task", "model"])
    assert "exact theory" in told(page)["html"]["key"]
    for turn, (point, alpha) in enumerate([("1", 0.7), ("0", 0.2)]):
        ask(page, turn + 1, point=point)
        for panel, task in enumerate([*experiment.tasks, "public"]):
            exact, ran = (held(page, f"panel{panel}", place) for place in (3, 1))
            assert [len(line) for line in ran["ys"]] == [3, 3]
            for line, model in zip(exact["ys"], experiment.ecosystem.names, strict=True):
                np.testing.assert_allclose(line, losses.loc[(alpha, task, model), "value"])
    assert page.get_model_by_name("similarity") is None
    fake = opened(run_page.site(str(made(EIGHT, tmp_path / "fake"))))
    assert "exact theory" not in told(fake)["html"]["key"]
    assert held(fake, "panel0", 3)["ys"] == []


def test_a_run_opens_at_a_point_that_shows_something_and_stays_there(tmp_path):
    grid = "grid={ecosystem.beta: [0.2, 0.8], ecosystem.alpha: [0, 0.5, 1]}"
    place = made(EIGHT, tmp_path / "run", grid, "seeds=[0]")
    page = opened(run_page.site(str(place)))
    assert told(page)["controls"]["point"]["value"] == "1"
    assert ask(page, 1, point="3")["controls"]["point"]["value"] == "3"
    assert ask(page, 2, metric="loss")["controls"]["point"]["value"] == "1"


def test_a_run_whose_telling_point_is_not_measured_yet_opens_at_one_that_is(tmp_path):
    place = made(EIGHT, tmp_path / "run", "grid={ecosystem.alpha: [0, 0.5, 1]}", "seeds=[0]")
    (place / "records.parquet").unlink()
    for cell in ("alpha-0_seed-0", "alpha-0.5_seed-0"):
        shutil.rmtree(place / "records" / cell)
    page = opened(run_page.site(str(place)))
    assert told(page)["controls"]["point"]["value"] == "2"


def test_it_is_said_why_there_is_no_theory_of_a_run_of_linear_models(tmp_path):
    place = made(NUMBERED, tmp_path / "run", "tasks.each.noise=2", "generations=1")
    page = told(opened(run_page.site(str(place))))["html"]
    assert "theory has one noise for all human data" in page["theory"]
    assert "exact theory" not in page["key"]


def made(description, place, *overrides):
    run(Experiment.from_yaml(description, overrides), open_store(place))
    return place


def test_one_of_the_metrics_between_models_is_chosen(tmp_path):
    asked = "metrics={loss: {}, similarity: {}, variety: {}}"
    page = opened(run_page.site(str(made(EIGHT, tmp_path / "run", asked))))
    records = Run.load(tmp_path / "run").records
    assert "Variety between models (effective number of models)" in told(page)["html"]["between"]
    assert "Variety between models" not in told(page)["html"]["metric"]
    assert told(page)["controls"]["between"]["value"] == "similarity"
    for turn, metric in enumerate(("variety_between", "similarity")):
        assert ask(page, turn + 1, between=metric)["controls"]["between"]["value"] == metric
        wanted = records[records["metric"] == metric].groupby("generation")["value"].mean()
        (mean,) = held(page, "similarity", 1)["ys"]  # of many tasks, the mean
        np.testing.assert_allclose(mean, wanted)


def test_many_models_are_shown_by_kinds_of_task_with_their_mean(tmp_path):
    run(Experiment.from_yaml(EIGHT), open_store(tmp_path / "run"))
    page = opened(run_page.site(str(tmp_path / "run")))
    records = Run.load(tmp_path / "run").records
    loss = records[records["metric"] == "loss"]
    kinds = [loss["task"] == loss["model"], (loss["task"] != loss["model"]) & (loss["task"] != "public")]
    for panel, kind in enumerate([*kinds, loss["task"] == "public"]):
        wanted = loss[kind].groupby(["model", "generation"])["value"].mean().unstack()
        (mean,) = held(page, f"panel{panel}", 1)["ys"]
        np.testing.assert_allclose(mean, wanted.mean())
        thin = held(page, f"panel{panel}", 0)["y"].reshape(8, 3)
        np.testing.assert_allclose(thin[:, :2], wanted.to_numpy())
    assert "Means over seeds: 2 of 2 so far." in told(page)["html"]["averaged"]
    assert told(page)["html"]["state"].startswith("Of 2 cells: 2 finished. 4 of 4 generations measured; nobody is at")
