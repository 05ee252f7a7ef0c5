"""Tables for manuscripts: the paper's layout, the tables' own numbers, and names that are no commands."""

from __future__ import annotations

import csv
import io
import re

import pytest

from crossfeed.reporting.page.table_files import file_stem, table_files


@pytest.fixture(scope="module")
def nested(make):
    """Two alphas within two betas."""
    return make("metrics={loss: {}}", "grid={ecosystem.beta: [0.2, 0.8], ecosystem.alpha: [0, 1]}", "seeds=[0, 1]")


def test_latex_has_a_line_for_each_row_and_a_cell_for_each_point(nested):
    table = nested.change_table("loss", greek=True)
    text = table_files(table)["loss.tex"].decode()
    lines = text.splitlines()
    assert lines[:3] == [r"% \usepackage{booktabs}", "% Loss (nats/word)", r"\begin{tabular}{@{}lrrrr@{}}"]
    assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]
    assert r" & \multicolumn{2}{c}{$\beta$ = 0.2} & \multicolumn{2}{c}{$\beta$ = 0.8} \\" in lines
    assert r"\cmidrule(lr){2-3} \cmidrule(lr){4-5}" in lines
    assert r" & $\alpha$ = 0 & $\alpha$ = 1 & $\alpha$ = 0 & $\alpha$ = 1 \\" in lines
    assert lines.count(r"\addlinespace") == 2  # own, other, public
    body = lines[lines.index(r"\midrule") + 1 : -2]
    rows = [line for line in body if line != r"\addlinespace"]
    assert len(rows) == len(table.rows)
    for line, row in zip(rows, table.rows, strict=True):
        cells = line.removesuffix(r" \\").split(" & ")
        assert cells[0] == row.label
        for cell, point in zip(cells[1:], table.columns.points, strict=True):
            entry = row.entries[point]
            assert cell == rf"{entry.initial} $\to$ {entry.final} {entry.mark}"


def test_changes_have_their_standard_errors(nested):
    table = nested.change_table("loss", greek=True)
    text = table_files(table)["loss_change.tex"].decode()
    (line,) = re.findall(r"^warm on cold & (.*) \\\\$", text, re.MULTILINE)
    (row,) = (row for row in table.rows if row.label == "warm on cold")
    for cell, point in zip(line.split(" & "), table.columns.points, strict=True):
        shown = row.entries[point].change
        assert re.fullmatch(r"[+-]?[\d.]+ ± [\d.]+ %", shown)
        assert cell == shown.replace("-", "$-$").replace("±", r"$\pm$").replace("%", r"\%")


def test_csv_holds_the_same_cells(nested):
    table = nested.change_table("loss", greek=True)
    head, *rows = csv.reader(io.StringIO(table_files(table)["loss.csv"].decode()))
    assert head[1] == "α\u00a0=\u00a00, β\u00a0=\u00a00.2"
    assert [row[0] for row in rows] == [row.label for row in table.rows]
    entry = table.rows[2].entries[table.columns.points[3]]
    assert rows[2][4] == f"{entry.initial} → {entry.final} {entry.mark}"


def test_names_are_no_commands_and_no_paths(make):
    run = make(
        "metrics={loss: {}}",
        "ecosystem.entities=[{name: a_b-1, private: x_y}]",
        "tasks={x_y: {source: fake, test: 4}}",
        "grid={ecosystem.alpha: [0.5]}",
    )
    text = table_files(run.change_table("loss"))["loss.tex"].decode()
    assert r"a\_b-1 on x\_y & " in text
    assert not re.search(r"(?<!\\)_", text)
    assert file_stem("../my metric") == "___my_metric"
    assert file_stem("distinct_1") == "distinct_1"
