"""Predictions of discrete models: beside runs of the same descriptions, in files and tables, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from crossfeed import Experiment, MemoryStore, predict, run
from crossfeed.cli import app
from crossfeed.errors import InvalidDescription
from crossfeed.exact.discrete_ecosystem import discrete_ecosystem
from crossfeed.theory.survival import expected_survivors

TEXT = """
ecosystem:
  entities: [{name: a, private: p}, {name: b, private: q, share: 2}]
  alpha: 0.8
  beta: 0.7
learner: {kind: categorical}
tasks:
  p: {source: categorical, probabilities: [5, 2, 2, 1, 0.3], train: 30, test: 2, replicates: 40}
  q: {source: categorical, probabilities: [1, 1, 3, 6, 0.1], train: 20, test: 2, replicates: 40}
public: {source: categorical, uniform: 5, train: 25, test: 2, replicates: 40}
n: 15
generations: 3
metrics: {heterozygosity: {}, surviving_symbols: {}}
"""
ALONE = """
ecosystem: {entities: [{name: a, private: p}], beta: 1, update: replace}
learner: {kind: categorical}
tasks: {p: {source: categorical, zipf: {symbols: 60, exponent: 1.5}, train: 50, test: 2, replicates: 100}}
public: {source: categorical, uniform: 60, train: 5, test: 2, replicates: 100}
n: 40
pool_size: 30
generations: 5
metrics: {heterozygosity: {}, surviving_symbols: {}}
"""
EQUAL = "[{name: a, private: p}, {name: b, private: q}]"
CASES = {
    "pools": (),
    "accumulate": ("ecosystem.history=accumulate", "pool_size=10"),
    "accumulating sets": ("ecosystem.update=accumulate", "~ecosystem.alpha", "n=12"),
    "own sizes": ("ecosystem.alpha=[0.5,1]", "n=[8,20]", "initial_n=25", "ecosystem.initial_beta=0.2"),
    "fresh": ("ecosystem.fresh_fraction=0.4", "pool_size=9"),
    "prior": ("learner.prior=0.5",),
    "everything": ("learner.reads=everything", "~n"),
    "network": (
        "ecosystem.reads=[[0,1],[0.5,0.5]]",
        "ecosystem.entities=[{name: a, private: p}, {name: b, private: q}]",
    ),
    "parts": (
        "tasks.p={source: categorical, uniform: 5, train: 30, test: 2, replicates: 40, part: 1/3}",
        "tasks.q={source: categorical, uniform: 5, train: 30, test: 2, replicates: 40, part: 2/3}",
    ),
}


def described(text, changes, **fields):
    """An experiment with changes; `~path` leaves a key out."""
    data = yaml.safe_load(text) | fields
    for path in (each[1:] for each in changes if each.startswith("~")):
        *parents, key = path.split(".")
        inner = data
        for parent in parents:
            inner = inner[parent]
        inner.pop(key)
    return Experiment.from_yaml(yaml.safe_dump(data), tuple(each for each in changes if not each.startswith("~")))


def measured(text, changes):
    """Mean and standard error by metric, model and generation, over 30 runs that share no data and no draws."""
    runs = []
    for seed in range(30):
        data = [f"{path}.seed={seed}" for path in ("tasks.p", "tasks.q") if f"{path[-1]}: {{source" in text]
        outcome = run(described(text, (*changes, *data, f"public.seed={seed}"), seeds=[seed]), MemoryStore())
        assert not outcome.failures
        runs.append(outcome.records.to_pandas())
    return pd.concat(runs).groupby(["metric", "model", "generation"])["value"].agg(["mean", "sem"])


def predicted(experiment):
    records = predict(experiment).records
    own = records[records["task"].isin(["p", "q"]) & (records["seed"] == experiment.seeds[0])]
    return own.drop_duplicates(["metric", "model", "generation"]).set_index(["metric", "model", "generation"])["value"]


@pytest.mark.parametrize("case", CASES)
def test_runs_have_the_expected_numbers(case):
    found, exact = measured(TEXT, CASES[case]), predicted(described(TEXT, CASES[case]))
    diversity = found.loc[["heterozygosity"]].join(exact)
    assert len(diversity) == 8
    assert (np.abs(diversity["mean"] - diversity["value"]) < 6 * diversity["sem"]).all()
    survivors = found.loc["surviving_symbols"]
    if case == "prior":
        assert (survivors["mean"] == 5).all()
        assert (exact["surviving_symbols"] == 5).all()
        return
    lower, upper = (exact[f"surviving_symbols_{end}"].loc[survivors.index] for end in ("lower", "upper"))
    assert (lower < survivors["mean"] + 6 * survivors["sem"]).all()
    assert (upper > survivors["mean"] - 6 * survivors["sem"]).all()


@pytest.mark.parametrize("changes", [(), ("ecosystem.update=accumulate-and-subsample", "ecosystem.alpha=0.7")])
def test_survivors_of_one_model_are_exact(changes):
    found, exact = measured(ALONE, changes), predicted(described(ALONE, changes))
    for metric in ("heterozygosity", "surviving_symbols"):
        both = found.loc[[metric]].join(exact)
        assert (np.abs(both["mean"] - both["value"]) < 6 * both["sem"]).all()
    chain = exact["surviving_symbols"].to_numpy()
    assert (exact["surviving_symbols_lower"].to_numpy() <= chain).all()
    assert (chain <= exact["surviving_symbols_upper"].to_numpy()).all()


def test_columns_are_those_of_a_run():
    experiment = described(TEXT, ("grid.ecosystem.alpha=[0,1]", "generations=1"))
    records = run(experiment, MemoryStore()).records.to_pandas()
    assert list(predict(experiment).records.columns) == list(records.columns)


def test_a_prediction_holds_distributions_and_distances():
    experiment = described(TEXT, ("ecosystem.alpha=1",))
    prediction = predict(experiment)
    records = prediction.records
    start = records[(records["generation"] == 0) & (records["model"] == "a")].set_index("metric")["value"]
    # Generation 0 is private data by 0.7 and public data by 0.3.
    p = 0.7 * np.array([5, 2, 2, 1, 0.3]) / 10.3 + 0.3 / 5
    np.testing.assert_allclose([start[f"probability_{i}"] for i in range(5)], p)
    public = records[(records["generation"] == 0) & (records["model"] == "a") & (records["task"] == "public")]
    values = public.set_index("metric")["value"]
    assert values["total_variation_of_mean"] == pytest.approx(np.abs(p - 0.2).sum() / 2)
    assert prediction.limit.empty
    assert "heterozygosity" in prediction._repr_html_()
    many = described(ALONE, ())
    assert not predict(many).records["metric"].str.startswith("probability").any()


def test_the_limit_is_where_many_generations_lead_and_tables_show_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "mine.yaml").write_text(TEXT)
    changes = ["--set", "ecosystem.alpha=[0.2,0.8]", "--set", "generations=1"]
    answer = CliRunner().invoke(app, ["predict", "mine.yaml", *changes, "--out", "there"])
    assert answer.exit_code == 0, answer.output
    limit = predict(described(TEXT, ("ecosystem.alpha=[0.2,0.8]", "generations=1"))).limit
    late = predict(described(TEXT, ("ecosystem.alpha=[0.2,0.8]", "generations=120"))).final
    late = late[(late["metric"] == "heterozygosity")]
    np.testing.assert_allclose(limit["value"], late["value"], rtol=1e-9)
    assert all(f"{value:.4f}" in answer.stdout for value in limit["value"])
    files = {path.name for path in (tmp_path / "there").iterdir()}
    assert {"records.csv", "limit.parquet", "trajectory.pdf"} <= files
    drifting = CliRunner().invoke(app, ["predict", "mine.yaml", "--set", "ecosystem.alpha=1", "--json"])
    told = json.loads(drifting.stdout)
    assert told["limit"] == []
    assert {row["metric"] for row in told["records"]} >= {"heterozygosity", "surviving_symbols_lower"}


def test_large_experiments_have_bounds_alone():
    large = ("n=100000", "pool_size=100000", "tasks.p.train=100000")
    experiment = described(ALONE, (*large, "tasks.p.replicates=1", "public.replicates=1"))
    assert "surviving_symbols" not in set(predict(experiment).records["metric"])
    bounds = expected_survivors(discrete_ecosystem(experiment))
    assert (bounds.upper - bounds.lower < 0.1).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("learner.temperature=0.9",), "learner.temperature: .* received 0.9; give 1"),
        (("learner.prior=1", "learner.reads=everything", "~n"), "learner.prior: received 1 with reads: everything"),
        (("ecosystem.curation={loss: {quantile: 0.5}}", "learner.prior=1"), "ecosystem.curation: .* received loss"),
        (("ecosystem.access={rank: popular, top: 5}",), "ecosystem.access"),
        (("ecosystem.every=2",), "ecosystem: .* leave every"),
        (("tasks.p={source: gaussian, mean: [0]}",), "p: theory of discrete models reads symbols"),
        (("public.uniform=4",), "one number of symbols"),
        (("ecosystem.entities=[{name: a, private: {p: 1, q: 1}}]",), "one task for each entity"),
        (("ecosystem.entities=[{name: a, private: p}, {name: b, private: p}]",), "two entities with the task p"),
        (
            ("ecosystem.entities=[{name: a, private: p, learner: {prior: 1}}]",),
            "entities that all learn alike",
        ),
        (
            (
                "tasks.p={source: categorical, uniform: 5, train: 30, part: 1/2}",
                "tasks.q={source: categorical, uniform: 5, train: 30, part: 2/3}",
            ),
            "p and q hold the same items",
        ),
    ],
)
def test_what_has_no_theory_is_refused(changes, words):
    with pytest.raises(InvalidDescription, match=words):
        predict(described(TEXT, changes))
