"""Tables in the terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from crossfeed.reporting.data.numbers import change
from crossfeed.reporting.terminal.tables import render


def printed(run, width: int = 80, **options) -> str:
    stream = io.StringIO()
    render(run, Console(file=stream, width=width, **options))
    return stream.getvalue()


def test_numbers_and_marks_stand_at_80_columns(seeds):
    text = printed(seeds)
    assert max(map(len, text.splitlines())) <= 80
    table = seeds.change_table("loss")
    (line,) = re.findall(r"^cold on warm .*$", text.split("Similarity")[0], re.MULTILINE)
    (row,) = (row for row in table.rows if row.label == "cold on warm")
    for point in range(3):
        entry = row.entries[point]
        assert f"{entry.initial} → {entry.final} {entry.mark}" in line
        assert entry.change in text
    numbers = change(seeds.records, "loss").query("model == 'cold' and task == 'warm' and point == 2").iloc[0]
    assert f"{numbers['initial']:.2f} → {numbers['final']:.2f} " in line
    assert f"{numbers['percent']:+.1f} ± {numbers['percent_se']:.1f} %" in text
    assert "Means over 3 seeds" in text
    assert "Loss (nats/word), initial to final" in text
    assert "alpha, synthetic share: the part of a training set" in text
    assert "Similarity of outputs (mean cosine), initial to final" in text
    assert "0.1" in text


def test_long_names_fold_before_columns_part(make):
    run = make(
        "ecosystem.entities=[{name: science-model, private: arc_challenge}]",
        "tasks={arc_challenge: {source: fake, test: 4}}",
        "metrics={loss: {}}",
        "seeds=[0,1]",
    )
    text = printed(run)
    assert "continued" not in text
    line = re.findall(r"^science-model on .*$", text, re.MULTILINE)[0]
    assert len(re.findall(r"\d → \S+ (?:better|worse|same|unclear)", line)) == 3
    assert max(map(len, text.splitlines())) <= 80


def test_of_a_very_long_table_own_tasks_and_public_data_are_printed(make):
    names = ", ".join(f"{{name: m{k}, private: t{k}}}" for k in range(7))
    tasks = ", ".join(f"t{k}: {{source: fake, test: 2}}" for k in range(7))
    few = ("metrics={loss: {}, similarity: {items: 2}}", "grid={ecosystem.alpha: [0.5]}", "generations=1", "n=10")
    text = printed(make(f"ecosystem.entities=[{names}]", f"tasks={{{tasks}}}", *few))
    assert text.split("Similarity")[0].count("m3 on ") == 2
    assert "14 of 56 rows; all are in the report's files and in --json." in text
    assert "40 of 168 rows; all are in the report's files and in --json." in text


@pytest.mark.parametrize("width", [30, 50, 80, 200])
def test_every_column_is_shown_at_any_width(grid, width):
    text = printed(grid, width)
    assert max(map(len, text.splitlines())) <= width
    for head in ("alpha = 0", "alpha = 1"):
        assert text.count(head) >= 4  # two groups each of loss and of similarity
    assert "beta = 0.2" in re.sub(r"\s+", " ", text)


def test_marks_do_not_need_colour(seeds):
    marks = r"better|worse|same|unclear"
    plain, coloured = printed(seeds), printed(seeds, force_terminal=True, color_system="standard")
    assert "\x1b[" not in plain
    assert re.findall(marks, plain) == re.findall(marks, re.sub(r"\x1b\[[\d;]*m", "", coloured))
    assert "\x1b[32mbetter" in coloured


def test_no_color_is_respected(seeds, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[(?:\d;)?3\d", printed(seeds, force_terminal=True, color_system="standard"))


def test_a_terminal_without_the_signs_gets_words(seeds):
    class Old(io.StringIO):
        encoding = "ascii"

    stream = Old()
    render(seeds, Console(file=stream, width=80))
    assert stream.getvalue().isascii()
    assert " -> " in stream.getvalue()


def test_failures_and_short_runs_are_said(partly):
    text = printed(partly)
    assert "2 finished, 2 failed" in text
    assert "FAILED alpha-0.5_diverge_at-2_seed-1" in text
    assert "at generation 2, stage update: Diverged" in text
    assert "t=1: measured up to generation 1 of 2 only." in " ".join(text.split())


def test_a_run_without_numbers_says_so(make):
    assert "Nothing has been measured yet." in printed(make("learner.diverge_at=0"))


def test_a_large_grid_is_shown_in_part_with_a_word_on_the_rest(make):
    alphas, betas = ("[" + ",".join(f"{k / 8:g}" for k in range(9)) + "]" for _ in range(2))
    run = make(
        "metrics={loss: {}}", "generations=1", "n=8", f"grid={{ecosystem.alpha: {alphas}, ecosystem.beta: {betas}}}"
    )
    text = printed(run)
    shown = re.findall(r"alpha = (\S+)", text)
    assert len(shown) == 32
    assert set(shown) >= {"0", "1"}
    assert set(re.findall(r"beta = (\S+?)\)", text)) == {"0", "0.375", "0.625", "1"}
    assert "32 of 81 grid points; all are in the report's files and in --json." in text
    assert len(text.splitlines()) < 250
