"""The commands `compare` and `evidence`: what they print and write, and how they refuse."""

from __future__ import annotations

import json

import pytest

from crossfeed import cli

from .conftest import GRID


def call(monkeypatch, capsys, *words: str) -> tuple[int, str, str]:
    """Run the command line: exit code, output, errors."""
    monkeypatch.setattr("sys.argv", ["crossfeed", *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    output, errors = capsys.readouterr()
    return int(left.value.code or 0), output, errors


def test_compare_prints_tables_and_writes_beside_the_run(make, monkeypatch, capsys):
    run = make(GRID)
    code, output, _ = call(monkeypatch, capsys, "compare", str(run.folder), "--paper", "7")
    assert code == 0
    assert "Table 7 (llama-3.2-1b), loss, beta = 0.5" in output
    assert (run.folder / "report" / "compare" / "cells.csv").is_file()


def test_compare_as_json_writes_only_where_it_is_told_to(make, monkeypatch, capsys, tmp_path):
    runs = [str(make(GRID, "seeds=[3]").folder), str(make(GRID, "seeds=[4]").folder)]
    code, output, _ = call(monkeypatch, capsys, "compare", *runs, "--json")
    assert code == 0
    assert json.loads(output)["seeds"] == 2
    assert not (make(GRID, "seeds=[3]").folder / "report" / "compare").exists()
    call(monkeypatch, capsys, "compare", *runs, "--paper", "2a", "--json", "--out", str(tmp_path / "out"))
    assert (tmp_path / "out" / "comparison.md").is_file()


def test_compare_refuses_in_one_paragraph(make, monkeypatch, capsys, tmp_path):
    code, _, errors = call(monkeypatch, capsys, "compare", str(make(GRID).folder), "--paper", "4a")
    assert code == 2
    assert "Table 4a is about" in errors
    code, _, errors = call(monkeypatch, capsys, "compare", str(tmp_path))
    assert code == 2
    assert "Traceback" not in errors


def test_evidence_prints_and_writes(monkeypatch, capsys, tmp_path):
    code, output, _ = call(monkeypatch, capsys, "evidence", "--out", str(tmp_path / "survey"))
    assert code == 0
    assert "survey of statements" in " ".join(output.split())
    assert (tmp_path / "survey" / "evidence.png").is_file()
    code, output, _ = call(monkeypatch, capsys, "evidence", "--json")
    assert len(json.loads(output)["overlap"]) == 21
