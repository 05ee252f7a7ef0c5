"""A comparison in the terminal, as files and as figures."""

from __future__ import annotations

import csv
import io
import re

import pytest
from rich.console import Console

from crossfeed.errors import StoreError
from crossfeed.reporting.files import latex, markdown, write_contents
from crossfeed.reporting.paper.agreement import compare_combined
from crossfeed.reporting.paper.figures import changes_figure, generations_figure, outputs_figure
from crossfeed.reporting.paper.files import write_comparison
from crossfeed.reporting.paper.runs import combine
from crossfeed.reporting.paper.tables import render_comparison

from .conftest import GRID, THREE, as_in, tell


@pytest.fixture
def comparison(make):
    """Table 8 as printed, but for one cell that stays and one that turns; two seeds; alpha = 1 at beta = 1 not run."""
    changed = {(0.5, 0.5, "sciq", "gsm8k"): 3.15, (1.0, 0.0, "gsm8k", "gsm8k"): 1.5}
    told = as_in("8", "3")

    def value(row):
        key = (row["alpha"], row["beta"], row["model"], row["task"])
        return changed[key] if row["metric"] == "loss" and row["generation"] and key in changed else told(row)

    runs = [
        tell(make("grid={ecosystem.alpha: [0, 0.5], ecosystem.beta: [0, 0.5, 1]}", "seeds=[0,1]"), value),
        tell(make("grid={ecosystem.beta: [0, 0.5]}", "ecosystem.alpha=1", "seeds=[0,1]"), value),
    ]
    return compare_combined(combine(runs))


def printed(comparison, width: int = 80, **options) -> str:
    stream = io.StringIO()
    render_comparison(comparison, Console(file=stream, width=width, **options))
    return stream.getvalue()


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_every_line_fits_the_terminal(comparison, width):
    assert max(map(len, printed(comparison, width).splitlines())) <= width


def test_both_sides_the_change_and_the_verdict_of_a_cell_are_shown(comparison):
    text = printed(comparison)
    (block,) = re.findall(r"Table 8 \(opt-350m\), loss, beta = 0\n(.*?)\n\nTable", text, flags=re.DOTALL)
    lines = block.splitlines()
    (first,) = (number for number, line in enumerate(lines) if line.startswith("s on sciq"))
    assert re.search(r"3\.3 → 4\.8 worse +3\.3 → 3\.6 worse +3\.3 → 3\.5 worse", lines[first])
    assert re.search(r"3\.30 → 4\.80 worse +3\.30 → 3\.60 worse +3\.30 → 3\.50 worse", lines[first + 1])
    assert lines[first + 2].count("agrees") == 3
    assert "+1.50±0.00 agrees" in lines[first + 2]


def test_totals_and_disagreements_are_listed(comparison):
    text = flat(printed(comparison, 120))
    assert "Table 8 23 of 25 1 1 4" in text
    assert "Losses 61 of 71" in text
    assert "Not the paper's direction (10)" in text  # Llama has g on s at alpha = 0, beta = 0.5 rise, OPT has not
    assert (
        "Table 8, beta = 0.5, alpha = 0.5, s on gsm8k: 3.1 → 1.8 better; ours 3.10 → 3.15 same (+0.05±0.00): too small"
        in text
    )
    assert (
        "Table 8, beta = 0, alpha = 1, g on gsm8k: 1.8 → 2.1 worse; ours 1.80 → 1.50 better (-0.30±0.00): opposite"
        in text
    )
    assert "Of 117 cells: 8 not run; they are not counted." in text
    assert "means over 2 seeds" in text


def test_a_terminal_without_the_signs_gets_words(comparison):
    class Old(io.StringIO):
        encoding = "ascii"

    stream = Old()
    render_comparison(comparison, Console(file=stream, width=80))
    assert stream.getvalue().isascii()
    assert "3.3 -> 4.8 worse" in stream.getvalue()


def test_verdicts_do_not_need_colour(comparison):
    coloured = printed(comparison, force_terminal=True, color_system="standard")
    assert "\x1b[" in coloured
    assert "\x1b[" not in printed(comparison)
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == printed(comparison)


def test_one_seed_is_said_and_has_no_error(whole):
    text = printed(compare_combined(combine([tell(whole, as_in("7"))]), "7"))
    assert "one seed" in text
    assert "±" not in text
    assert "Not the paper's direction" not in text


def test_files_hold_every_cell(comparison, tmp_path):
    written = write_comparison(comparison, tmp_path / "out")
    assert {file.name for file in written} == {
        "cells.csv",
        "agreement.csv",
        "comparison.md",
        "comparison.tex",
        *(f"{name}.{kind}" for name in ("changes", "figure-3", "figures-5-6") for kind in ("pdf", "png", "svg")),
    }
    with (tmp_path / "out" / "cells.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 117
    assert {row["result"] for row in rows if row["state"] == "not run"} == {""}
    page = (tmp_path / "out" / "comparison.md").read_text()
    assert "alpha, synthetic share: the part of a training set" in page
    assert len(re.findall(r"^\| 0", page, re.MULTILINE)) + len(re.findall(r"^\| 1", page, re.MULTILINE)) == 117
    source = (tmp_path / "out" / "comparison.tex").read_text()
    assert source.count(r"\begin{tabular}") == source.count(r"\end{tabular}") == 7
    assert r"$\to$" in source
    assert "→" not in source
    for name in ("changes.png", "figure-3.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="give a folder with --out"):
        write_contents(tmp_path / "file", {"cells.csv": b""})


def test_text_in_a_table_is_text():
    hostile = ["a|b", r"\input{x} $y$ 5 % & # _ ~ ^", "<script>", "two\nlines", "\x1b[31m"]
    page = markdown(["h"] * 5, [hostile])
    assert page.count("\n") == 3
    assert "a\\|b" in page
    assert "<script>" not in page
    assert "\x1b" not in page
    source = latex(["h"] * 5, [hostile])
    row = source.splitlines()[4]
    assert row.endswith(r" \\")
    assert re.sub(r"\\(text\w+\{\}|[&%$#_{}])", "", row).count("&") == 4
    assert not re.search(r"(?<!\\)[%$#_^~]", re.sub(r"\\text\w+\{\}", "", row))
    assert r"\textbackslash{}input\{x\}" in row


def test_the_figure_of_changes_has_a_mark_for_each_finished_cell(comparison):
    figure = changes_figure(comparison)
    assert [axis.get_title(loc="left") for axis in figure.axes] == [
        "Table 2a: loss, 6 of 7",
        "Table 2b: loss, 6 of 8",
        "Table 2c: loss, 6 of 8",
        "Table 3: similarity, 9 of 9",
        "Table 7: loss, 20 of 23",
        "Table 8: loss, 23 of 25",
    ]
    for axis, cells in zip(figure.axes, (12, 12, 12, 9, 32, 32), strict=True):
        drawn = [line for line in axis.containers if len(line)]
        assert sum(len(container[0].get_xdata()) for container in drawn) == cells
        looks = {(line[0].get_marker(), line[0].get_color()) for line in drawn}
        assert len({marker for marker, _ in looks}) == len({colour for _, colour in looks}) == 3


def test_losses_over_generations_have_beta_down_and_alpha_across(comparison):
    figure = generations_figure(comparison.runs)
    titles = [f"α = {alpha:g}, β = {beta:g}" for beta in (0, 0.5, 1) for alpha in (0, 0.5, 1)]
    titles[-1] += " (not run)"
    assert [axis.get_title(loc="left") for axis in figure.axes] == titles
    for axis in figure.axes:
        assert [line.get_label() for line in axis.lines] == ["s on sciq", "s on gsm8k", "g on sciq", "g on gsm8k"]
        looks = {(line.get_marker(), line.get_linestyle(), line.get_fillstyle()) for line in axis.lines}
        assert len(looks) == 4
    first = figure.axes[0].lines[0]
    assert first.get_ydata().tolist() == [3.3, 4.8]
    assert len({axis.get_ylim() for axis in figure.axes}) == 1


def test_three_entities_have_nine_lines_in_a_panel(make):
    run = tell(make("grid={ecosystem.alpha: [0, 0.5, 1]}", base=THREE), as_in("4a"))
    figure = generations_figure(combine([run]))
    assert [len(axis.lines) for axis in figure.axes] == [9, 9, 9]
    looks = {(line.get_color(), line.get_linestyle(), line.get_fillstyle()) for line in figure.axes[0].lines}
    assert len(looks) == 9


def test_outputs_show_generation_0_and_each_alpha(make, whole):
    figure = outputs_figure(combine([whole]))
    assert [axis.get_title(loc="left") for axis in figure.axes] == [
        "t = 0",
        "t = 1, α = 0",
        "t = 1, α = 0.5",
        "t = 1, α = 1",
    ]
    assert outputs_figure(combine([whole]), beta=0.25) is None
    assert outputs_figure(combine([make(GRID, "metrics={loss: {}}")])) is None
