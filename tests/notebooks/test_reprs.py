"""What things look like in a notebook and a console: short, escaped, and never an error."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser

import pandas as pd
import pytest

from crossfeed import Ecosystem, Experiment, Run, open_store, run
from crossfeed.description.reading import preset_names, read_preset
from crossfeed.exact.prediction import predict

from .conftest import ONE

HOSTILE = "<script>alert(1)</script>\u202e&amp;\x1b[2J"
SMALL = ("generations=1", "n=20", "public.test=4", "tasks.warm.test=4", "tasks.cold.test=4", "ecosystem.beta=0.25")


class Text(HTMLParser):
    """Tags, and the text between them; tags that are not closed are an error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("reprs")
    failing = ("ecosystem.alpha=0.5", "grid.learner.diverge_at=[null, 1]")
    run(Experiment.from_yaml(read_preset("fake"), (*SMALL, *failing)), open_store(folder))
    return Run.load(folder)


def test_a_run_shows_its_losses_and_what_failed(ran):
    shown = Text(ran._repr_html_())
    finished = ran.cells.loc[ran.cells["state"] == "finished", "cell"].item()
    loss = ran.records[ran.records["cell"] == finished].query("metric == 'loss' and model == 'warm' and task == 'cold'")
    first, last = loss.sort_values("generation")["value"]
    assert f"{first:.2f} → {last:.2f}" in shown.text
    assert "the loss is nan" in shown.text
    assert repr(ran) == f"Run('{ran.folder}', 'fake', cells: 1 finished, 1 failed, {len(ran.records)} records)"


def test_a_run_of_which_nothing_is_measured_is_shown(ran, tmp_path):
    for name in ("run.json", "experiment.yaml"):
        (tmp_path / name).write_bytes((ran.folder / name).read_bytes())
    assert "2 unfinished" in Text(Run.load(tmp_path)._repr_html_()).text


def test_nothing_that_is_shown_is_markup(ran):
    hostile = Experiment.from_yaml(
        read_preset("fake"),
        (*SMALL, f"description={json.dumps(HOSTILE)}", f"grid.tasks.warm.words=[[{json.dumps(HOSTILE)}, a]]"),
    )
    failures = ran.failures.assign(message=HOSTILE)
    changed = replace(ran, experiment=hostile, failures=failures, points=pd.DataFrame({"alpha": ["<b>"] * 2}))
    for thing in (hostile, changed):
        shown = Text(thing._repr_html_())
        assert set(shown.tags) <= {"div", "strong", "em", "table", "thead", "tbody", "tr", "th", "td"}
        assert "<script>alert(1)</script>⟨U+202E⟩&amp;⟨U+001B⟩[2J" in shown.text
        assert len(repr(thing)) < 200


@pytest.mark.parametrize("name", preset_names())
def test_descriptions_are_short_in_a_console_and_tables_in_a_notebook(name):
    experiment = Experiment.from_yaml(read_preset(name))
    cells = len(experiment.cells())
    assert repr(experiment).endswith(f"entities: {len(experiment.ecosystem.entities)}, cells: {cells})")
    assert len(repr(experiment)) < 120
    assert len(repr(experiment.ecosystem)) < 200
    shown = Text(experiment._repr_html_())
    assert f"cells: {cells}" in shown.text
    for path in experiment.grid:
        assert path in shown.text
    assert len(shown.tags) < 2_000


def test_an_ecosystem_shows_who_differs():
    entities = [{"name": "a", "private": "x", "alpha": 0.25, "share": 3}, {"name": "b", "private": "y"}]
    shown = Text(Ecosystem.model_validate({"entities": entities, "alpha": 0.5})._repr_html_()).text
    assert "a x 0.75 0.25 b y 0.25" in shown
    assert "own beta" not in shown
    many = Ecosystem.model_validate(
        {"entities": [{"name": f"e{k}", "private": "x"} for k in range(1000)], "alpha": 0.5}
    )
    assert "and 976 more rows" in Text(many._repr_html_()).text
    assert repr(many) == "Ecosystem(1000 entities: e0, e1, e2, e3, ...; alpha: 0.5, beta: 0.5)"


def test_a_description_that_cannot_be_run_is_still_shown():
    experiment = Experiment.from_yaml(read_preset("fake"), ("grid.ecosystem.beta=[0.5, 7]",))
    assert "0.50" in experiment._repr_html_() or "0.5, 7" in experiment._repr_html_()
    assert "cells: 6" in repr(experiment)


def test_theory_shows_its_limits_and_its_best_weights(planned):
    experiment = Experiment.from_yaml(ONE)
    prediction = predict(experiment)
    shown = Text(prediction._repr_html_())
    assert "limit" in shown.text
    assert shown.tags.count("tr") == 1 + 5
    assert repr(prediction) == "Prediction('experiment', cells: 5, generations: 2)"
    diverging = predict(Experiment.from_yaml(ONE, ("ecosystem.alpha=1",)))
    assert "linear" in Text(diverging._repr_html_()).text
    schedule = predict(Experiment.from_yaml(ONE, ("ecosystem.alpha=proportional", "ecosystem.history=accumulate")))
    Text(schedule._repr_html_())
    assert f"best alpha: {planned.optimum.alpha:.3f}" in Text(planned._repr_html_()).text
    assert repr(planned).startswith("Plan('experiment', mean, alpha: ")
