"""The command that writes reports: of one run into its folder, of several into a folder of their own."""

from __future__ import annotations

import pytest
from tests.faults.cli import check_refused, crossfeed_cli


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Pages have tests of their own; here it is asked where they go."""
    made = []

    def write(runs, folder, figure_width):
        made.append(([run.id for run in runs] if isinstance(runs, list) else runs.id, folder))
        folder.mkdir(parents=True, exist_ok=True)
        return folder / "index.html"

    monkeypatch.setattr("crossfeed.reporting.html.write_report", write)
    monkeypatch.setattr("crossfeed.reporting.html.write_side_by_side", write)
    return made


def test_one_run_is_reported_in_its_folder(seeds, quick):
    answer = crossfeed_cli("report", str(seeds.folder))
    assert answer.code == 0
    assert quick == [(seeds.id, seeds.folder / "report")]
    assert answer.out == f"report   {seeds.folder / 'report' / 'index.html'}\n"


@pytest.mark.parametrize("width", ["0", "-3", "200", "wide"])
def test_a_width_that_no_paper_has_is_refused(seeds, width):
    answer = crossfeed_cli("report", str(seeds.folder), "--figure-width", width)
    assert answer.code == 2
    assert "--figure-width" in answer.err


def test_several_go_to_a_folder_named_after_them_or_to_a_given_one(seeds, partly, quick, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = [str(seeds.folder), str(partly.folder)]
    answer = crossfeed_cli("report", *places)
    assert answer.out == f"report   reports/compare-{seeds.id}-{partly.id}/index.html\n"
    assert crossfeed_cli("report", *places, "--out", "there").out == "report   there/index.html\n"
    assert [ids for ids, _ in quick] == [[seeds.id, partly.id]] * 2


@pytest.mark.parametrize(
    ("other", "words"),
    [("nothing-here", ("nothing-here: not a crossfeed run",)), ("", ("name of a folder is missing",))],
)
def test_what_is_no_run_is_refused(seeds, quick, other, words):
    check_refused(crossfeed_cli("report", str(seeds.folder), other), words)
    assert not quick


def test_helps_tell_the_two_comparisons_apart():
    assert "crossfeed compare" in crossfeed_cli("report", "--help").out
