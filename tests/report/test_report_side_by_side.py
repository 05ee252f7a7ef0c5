"""Runs side by side: their own numbers, what differs, and what only looks alike."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from crossfeed.errors import InvalidInput
from crossfeed.learners.fake import FakeSettings
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.numbers import change
from crossfeed.reporting.html import write_side_by_side
from crossfeed.reporting.side_by_side.runs import lay_side_by_side
from crossfeed.reporting.side_by_side.sections import side_by_side_sections

THREE = (
    "ecosystem.entities=[{name: a, private: warm}, {name: b, private: cold}, {name: c, private: wild}]",
    "tasks.wild={source: fake, words: [fox, owl], test: 4}",
)


@pytest.fixture(scope="module")
def other(make) -> Run:
    """As `seeds`, but for beta, and with one more point."""
    return make("seeds=[0,1]", "ecosystem.beta=0.9", "grid={ecosystem.alpha: [0, 0.3, 0.5, 1]}")


@pytest.fixture(scope="module")
def three(make) -> Run:
    """Three models, other data under the name cold, and a metric less."""
    metrics = "metrics={loss: {}, accuracy: {}}"
    return make(*THREE, metrics, "tasks.cold.words=[ice, snow]", "grid={ecosystem.alpha: [0.5]}", "generations=1")


def blocks(beside, kind):
    found = {}
    for section in side_by_side_sections(beside):
        for block in section.blocks:
            if block.kind == kind:
                found.setdefault(section.name, []).append(block)
    return found


def test_every_run_keeps_its_own_numbers(seeds, other, three):
    beside = lay_side_by_side([seeds, other, three])
    assert beside.names == ("A: fake", "B: fake", "C: fake")
    table = beside.table(next(each for each in beside.measures if each.metric == "loss"))
    first = 0
    for run, group in zip((seeds, other, three), table.columns.groups, strict=True):
        own = run.change_table("loss", greek=True)
        labels = {row.label: row for row in table.rows}
        for row in own.rows:
            for point, entry in row.entries.items():
                assert labels[row.label].entries[first + point] == entry
                assert table.columns.labels[first + point] == own.columns.labels[point]
        assert group.points == tuple(first + point for point in own.columns.points)
        first += len(run.points)
    wild = next(row for row in table.rows if row.label == "c on wild")
    assert set(wild.entries) == {7}
    assert {row.label for row in table.rows} >= {"warm on warm", "a on warm", "c on wild"}


def test_points_that_are_called_alike_are_found(seeds, other, three):
    alike = lay_side_by_side([seeds, other, three]).alike()
    equals = "α\u00a0=\u00a0"
    assert alike == {f"{equals}0": [0, 3], f"{equals}0.5": [1, 5, 7], f"{equals}1": [2, 6]}


def test_fields_that_differ_are_listed_and_no_others(seeds, other):
    found = lay_side_by_side([seeds, other]).differences().set_index("field")
    assert found.to_dict("index") == {
        "ecosystem.beta": {"A: fake": "0.5", "B: fake": "0.9"},
        "seeds": {"A: fake": "[0, 1, 2]", "B: fake": "[0, 1]"},
        "grid: ecosystem.alpha": {"A: fake": "[0, 0.5, 1]", "B: fake": "[0, 0.3, 0.5, 1]"},
    }


def test_what_only_looks_alike_is_said(seeds, three):
    beside = lay_side_by_side([seeds, three])
    shared = beside.shared()
    assert shared.models == ()
    assert shared.tasks == ("warm", "cold", "public")
    assert shared.other_data == ("cold",)
    assert "similarity" in shared.some_metrics
    assert shared.metrics == ("loss", "accuracy")
    (words, *_) = blocks(beside, "words")["differences"]
    text = " ".join(words.paragraphs)
    assert "Not comparable: the runs have different data under the same name: cold." in text
    assert "models a, b, c; data sets wild" in text
    statements = dict(blocks(beside, "statements")["summary"][0].items)
    assert statements["Loss"].startswith("No model on any data set was measured to the end in all runs")


def test_the_summary_is_computed_from_the_shared_numbers(seeds, other):
    beside = lay_side_by_side([seeds, other])
    statements = dict(blocks(beside, "statements")["summary"][0].items)
    lows = []
    for letter, run in zip("AB", (seeds, other), strict=True):
        final = change(run.records, "loss").query("task != 'public'").groupby("point")["final"].mean()
        alpha = run.points.loc[final.idxmin(), "alpha"]
        assert f"{letter} ended lowest at α\u00a0=\u00a0{alpha:g} ({final.min():.2f};" in statements["Loss"]
        lows.append(final.min())
    assert statements["Loss"].endswith(f"Lowest of all: {'AB'[int(np.argmin(lows))]}.")
    row = change(other.records, "loss").query("point == 3 and model == 'warm' and task == 'cold'").iloc[0]
    word = "gained" if row["percent"] < 0 else "lost"
    told = f"{word} {abs(row['percent']):.1f} ± {row['percent_se']:.1f}\u00a0% in B"
    assert told in statements["warm"].split("At α\u00a0=\u00a01:")[1]


def test_differences_of_last_losses_are_paired_by_seed(seeds, other):
    (sheet,) = (each for each in blocks(lay_side_by_side([seeds, other]), "sheet")["loss"])
    assert len(sheet.rows) == 3 * 2 * 3  # points in common, models, data sets
    (cells,) = (row[1:] for row in sheet.rows if row[0] == "cold on warm, α\u00a0=\u00a01")
    place = "metric == 'loss' and generation == 2 and alpha == 1 and model == 'cold' and task == 'warm'"
    a, b = (run.records.query(place).set_index("seed")["value"] for run in (seeds, other))
    gaps = (b - a).dropna()
    assert len(gaps) == 2
    assert cells == [f"{a.mean():.2f}", f"{b.mean():.2f} ({gaps.mean():+.2f} ± {gaps.sem():.2f})"]


def test_without_seeds_in_common_errors_are_independent(make, seeds):
    apart = make("seeds=[5,6]")
    (sheet,) = (each for each in blocks(lay_side_by_side([seeds, apart]), "sheet")["loss"])
    (cells,) = (row[1:] for row in sheet.rows if row[0] == "cold on warm, α\u00a0=\u00a01")
    place = "point == 2 and model == 'cold' and task == 'warm'"
    a, b = (change(run.records, "loss").query(place).iloc[0] for run in (seeds, apart))
    error = math.hypot(a["final_se"], b["final_se"])
    assert cells[1] == f"{b['final']:.2f} ({b['final'] - a['final']:+.2f} ± {error:.2f})"


def test_curves_lie_in_the_same_axes(seeds, other):
    pictures = blocks(lay_side_by_side([seeds, other]), "picture")["loss"]
    assert [picture.name for picture in pictures] == ["loss-1", "loss-2", "loss-3"]
    axes = pictures[1].draw(10.4).axes[0]
    assert axes.get_title(loc="left") == "warm on warm"
    for line, run, point in zip(axes.get_lines(), (seeds, other), (1, 2), strict=True):
        own = run.records.query(f"metric == 'loss' and model == 'warm' and task == 'warm' and point == {point}")
        np.testing.assert_allclose(line.get_ydata(), own.groupby("generation")["value"].mean())
    only = blocks(lay_side_by_side([seeds, other]), "changes")
    assert {block.name for block in only["metrics"]} == {"accuracy", "similarity", "distinct_1", "distinct_2"}


@pytest.mark.usefixtures("figures_unsaved")
def test_a_page_is_written_with_its_files(seeds, other, tmp_path):
    page = write_side_by_side([seeds, other], tmp_path / "here")
    text = page.read_text(encoding="utf-8")
    assert "2 runs side by side" in text
    assert seeds.id in text
    assert other.id in text
    for link in ("loss-1.pdf", "loss-1.png", "similarity-1.svg"):
        assert (tmp_path / "here" / "figures" / link).is_file()
    with (tmp_path / "here" / "tables" / "change.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "loss" and row["run"] == "B: fake"]
    wanted = change(other.records, "loss")
    assert sorted(float(row["final"]) for row in rows) == pytest.approx(sorted(wanted["final"]))
    assert r"\multicolumn{4}{c}{B: fake}" in (tmp_path / "here" / "tables" / "loss.tex").read_text()


def test_learners_of_other_units_are_not_compared_in_silence(make, monkeypatch):
    runs = [make("seeds=[0]"), make("seeds=[0]", "learner.reads_at_most=20")]
    (words, *_) = blocks(lay_side_by_side(runs), "words")["differences"]
    assert "The learners differ" not in " ".join(words.paragraphs)
    monkeypatch.setattr(FakeSettings, "other_units", "their words have other lengths")
    (words, *_) = blocks(lay_side_by_side(runs), "words")["differences"]
    assert "The learners differ: their words have other lengths." in words.paragraphs
    (words, *_) = blocks(lay_side_by_side([runs[0], make("seeds=[1]")]), "words")["differences"]
    assert "The learners differ" not in " ".join(words.paragraphs)


def test_one_run_or_one_twice_is_refused(seeds, tmp_path):
    with pytest.raises(InvalidInput, match="received 1; give two or more"):
        lay_side_by_side([seeds])
    (tmp_path / "link").symlink_to(seeds.folder)
    with pytest.raises(InvalidInput, match="given more than once"):
        lay_side_by_side([seeds, Run.load(Path(tmp_path / "link"))])
