"""What a report says in words is what the numbers are, entity by entity."""

from __future__ import annotations

import re

import pytest

from crossfeed.reporting.data.numbers import change
from crossfeed.reporting.page.findings import findings, gained


def changes(run):
    return change(run.records, "loss").set_index(["point", "model", "task"])


def test_every_entity_is_told_by_name_with_its_numbers(seeds):
    said, numbers = dict(findings(seeds)), changes(seeds)
    for model, other in (("warm", "cold"), ("cold", "warm")):
        for point, alpha in enumerate(("0", "0.5", "1")):
            (sentence,) = re.findall(rf"At α\u00a0=\u00a0{re.escape(alpha)} it (.*?)\.(?: At|$)", said[model])
            parts = {f"on {other}": other, "on its own task": model, "on public data": "public"}
            for where, task in parts.items():
                row = numbers.loc[(point, model, task)]
                (told,) = re.findall(rf"((?:gained|lost) [\d.]+ ± [\d.]+)\u00a0% {where}", sentence)
                word = "gained" if row["percent"] < 0 else "lost"
                assert told == f"{word} {abs(row['percent']):.1f} ± {row['percent_se']:.1f}"


def test_of_many_points_an_entitys_best_and_worst_are_told(make):
    run = make("metrics={loss: {}}", "grid={ecosystem.alpha: [0, 0.3, 0.5, 0.7, 1]}")
    text = dict(findings(run))["warm"]
    means = changes(run).drop(index="public", level="task").loc[(slice(None), "warm"), "percent"]
    means = means.groupby("point").mean()
    alphas = (0, 0.3, 0.5, 0.7, 1)
    best, worst = (f"α\u00a0=\u00a0{alphas[point]:g}" for point in (means.idxmin(), means.idxmax()))
    assert text.startswith(f"At its best, at {best}, it ")
    assert f"At its worst, at {worst}, it " in text


def test_of_many_models_the_extremes_are_told(make):
    names = ", ".join(f"{{name: m{k}, private: warm}}" for k in range(10))
    run = make(f"ecosystem.entities=[{names}]", "metrics={loss: {}}", "grid={ecosystem.alpha: [0.5]}")
    told = [about for about, _ in findings(run) if about.startswith("m")]
    private = change(run.records, "loss").query("task != 'public'").groupby("model")["percent"].mean()
    assert told == [private.idxmin(), private.idxmax()]


@pytest.mark.parametrize(
    ("percent", "error", "words"),
    [
        (-23.04, float("nan"), "gained 23.0 %"),
        (1.26, 0.31, "lost 1.3 ± 0.3 %"),
        (0.04, float("nan"), "did not change"),
        (-0.04, 0.2, "gained 0.0 ± 0.2 %"),
    ],
)
def test_a_loss_that_falls_is_a_gain(percent, error, words):
    assert gained({"percent": percent, "percent_se": error}) == words
