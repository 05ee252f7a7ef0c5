"""Reports of discrete models: measured numbers beside exact theory, in curves, on the page and in the files."""

from __future__ import annotations

import numpy as np
import pytest

from crossfeed import Experiment, Run, run
from crossfeed.exact.prediction import predict
from crossfeed.reporting.data.exact import theory_of
from crossfeed.reporting.page.blocks import Picture, Sheet
from crossfeed.reporting.page.discrete import discrete_beside
from crossfeed.reporting.page.sections import sections
from crossfeed.reporting.page.sheets import sheets
from crossfeed.store import open_store

TEXT = """
ecosystem: {entities: [{name: a, private: p}], alpha: 1, beta: 1}
learner: {kind: categorical}
tasks: {p: {source: categorical, zipf: {symbols: 20}, train: 50, test: 2, replicates: 30}}
public: {source: categorical, uniform: 20, train: 5, test: 2, replicates: 30}
grid: {n: [20, 40]}
pool_size: 30
generations: 3
metrics: {heterozygosity: {}, surviving_symbols: {}}
"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    def of(*changes):
        folder = tmp_path_factory.mktemp("run") / "run"
        run(Experiment.from_yaml(TEXT, changes), open_store(folder))
        return Run.load(folder)

    return of


def test_measured_numbers_stand_beside_the_predicted_ones(opened):
    shown = opened()
    table = theory_of(shown).discrete.beside
    records = predict(shown.experiment).records
    for metric in ("heterozygosity", "surviving_symbols"):
        own = table[table["metric"] == metric]
        exact = records[records["metric"] == metric]
        assert len(own) == len(exact) == 8
        np.testing.assert_allclose(own["exact"], exact["value"])
        np.testing.assert_allclose(own["measured"], shown.records[shown.records["metric"] == metric]["value"])
    survivors = table[table["metric"] == "surviving_symbols"]
    assert (survivors["lower"] <= survivors["exact"]).all()
    assert set(sheets(shown, theory_of(shown))["exact"]["n"]) == {20, 40}


def test_curves_have_thin_lines_where_expectations_are_exact(opened):
    shown = opened()
    (section,) = [each for each in sections(shown, theory_of(shown)) if each.name == "similarity"]
    pictures = [block for block in section.blocks if isinstance(block, Picture)]
    assert len(pictures) == 2
    assert all("exact theory" in each.caption for each in pictures)
    texts = [text.get_text() for legend in pictures[0].draw(8.0).legends for text in legend.get_texts()]
    assert "exact theory" in texts
    large = opened("learner.reads=everything", "n=null", "grid={}", "pool_size=null")
    assert theory_of(large).discrete.metrics == {"heterozygosity"}
    (_, sheet) = discrete_beside(large, theory_of(large))
    assert isinstance(sheet, Sheet)
    assert sum(" to " in row[2] for row in sheet.rows) == 1


def test_a_reason_stands_where_there_is_no_theory(opened):
    shown = opened("learner.temperature=0.9")
    theory = theory_of(shown)
    assert theory.discrete is None
    (words,) = discrete_beside(shown, theory)
    assert "learner.temperature" in str(words)
    assert "exact" not in sheets(shown, theory)
