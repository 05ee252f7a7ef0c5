"""The example notebooks run from the first cell to the last, show what they say, and hold what they claim."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))


def cells(name: str) -> list[tuple[str, str]]:
    """The cells of a script in percent format: kind and text."""
    parts = re.split(r"^# %%(.*)\n", (FOLDER / f"{name}.py").read_text(), flags=re.MULTILINE)
    assert parts[0] == "", "nothing stands before the first cell"
    return [(kind.strip(), text) for kind, text in zip(parts[1::2], parts[2::2], strict=True)]


def executed(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], list[Any]]:
    """The names that a notebook leaves, and what its cells show."""
    import matplotlib

    monkeypatch.chdir(folder)
    matplotlib.use("agg")
    names: dict[str, Any] = {}
    shown: list[Any] = []
    for kind, text in cells(name):
        if kind == "[markdown]":
            assert all(line.startswith("#") for line in text.strip().splitlines())
            continue
        body = ast.parse(text).body
        last = body.pop() if isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), name, "exec"), names)
        if last is not None:
            shown.append(eval(compile(ast.Expression(last.value), name, "eval"), names))
    return names, [each for each in shown if each is not None]


@pytest.fixture
def run_notebook(tmp_path, monkeypatch):
    from matplotlib import pyplot

    def run(name: str) -> tuple[dict[str, Any], list[Any]]:
        names, shown = executed(name, tmp_path, monkeypatch)
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert all(hasattr(each, "_repr_html_") or isinstance(each, dict) for each in shown)
        return names, shown

    yield run
    pyplot.close("all")


def test_there_are_three_and_each_has_a_test():
    assert NAMES == ["compare", "predict", "run"]


def test_predict(run_notebook):
    names, shown = run_notebook("predict")
    table = shown[1]
    assert list(table.columns) == ["giant", "small"]
    assert (table.loc[0.95] > table.loc[0.25]).all()
    curve, efficiency, matrix = names["axes"]
    drawn = {line.get_label().replace("\u00a0", " "): line.get_ydata()[-1] for line in curve.lines}
    records = names["prediction"].records
    for alpha in (0, 0.25, 0.5, 0.75, 0.95):
        rows = records.query("metric == 'loss' and generation == 12 and beta == 0.8 and alpha == @alpha")
        expected = rows.query("model == 'small' and task == 'giant'")["value"].item()
        assert drawn[f"α = {alpha:g}, β = 0.8"] == pytest.approx(expected, rel=1e-12)
    assert [text.get_text() for text in efficiency.get_legend().get_texts()] == ["model small", "model giant"]
    assert matrix.get_title(loc="left") == "loss, t = 12, α\u00a0=\u00a00.5, β\u00a0=\u00a00.8"


def test_run(run_notebook):
    names, shown = run_notebook("run")
    experiment, failures, measured, table, pool = shown
    assert (failures, len(experiment.cells())) == ({}, len(measured.cells))
    assert table[("mean", "cold")].loc[1.0, "warm"] < table[("mean", "cold")].loc[0.0, "warm"]
    assert set(pool["author"]) <= {"warm", "cold"}
    shares = names["axes"][1, 1]
    heights = {bars.get_label(): bars[-1].get_height() for bars in shares.containers}
    drawn = names["measured"].records.query(
        "metric == 'drawn' and model == 'warm' and generation == 6 and alpha == 0.5"
    )
    assert heights["cold"] == pytest.approx(
        drawn.query("task == 'cold'")["value"].sum() / drawn["value"].sum(), rel=1e-12
    )


def test_compare(run_notebook):
    names, _ = run_notebook("compare")
    beside = names["beside"]
    assert len(beside) == 2 * 11 * 2 * 3
    # Four standard errors of a mean over 1,000 squares of one direction, the worst case.
    assert beside["per cent apart"].abs().max() < 400 * (2 / 1000) ** 0.5
    latest, accumulate = (beside.loc[history, "exact"] for history in ("latest", "accumulate"))
    assert latest.loc[10, "a", "a"] > 2 * accumulate.loc[10, "a", "a"]
