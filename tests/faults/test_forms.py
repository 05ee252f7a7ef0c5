"""Documents that are sealed as they should be and hold what they should not: refused by name, in one paragraph."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from crossfeed.description.experiment import Experiment
from crossfeed.display.formatting import plain
from crossfeed.loop import run
from crossfeed.store import open_store
from crossfeed.store.checksum import seal_document
from crossfeed.store.shapes import form_fault
from tests.faults.cli import check_refused, check_tame, crossfeed_cli
from tests.faults.test_links import TEXT
from tests.runs import numbers

MOVES = "\x1b[31mred\u202e"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("finished") / "run"
    run(Experiment.from_yaml(TEXT), open_store(place))
    return place


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def reseal(folder: Path, name: str, /, **changes: object) -> None:
    """Change a document as somebody would who knows how it is sealed; None removes a key."""
    path = folder / name
    document = json.loads(path.read_text()) if path.exists() else {}
    document = {key: value for key, value in (document | changes).items() if value is not None and key != "checksum"}
    run_id = json.loads((folder / "run.json").read_text())["id"]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(seal_document(document, name if name == "run.json" else f"{run_id}/{name}"))


CELL = {"cell": "a", "seed": 0, "point": {}, "zero": "b", "generations": 1}
RUNS = [
    *({"schema": value} for value in (True, "2", [2], -1)),
    *({"id": value} for value in (["x"], MOVES, {}, 5, "../x")),
    *({"name": value} for value in (["x"], MOVES, 5, "a/b")),
    *({"data": value} for value in ([], "x", {"p": 5}, {"p": None})),
    *({"cells": value} for value in ({}, "x", 5, ["x"], [None], [[]])),
    *({"cells": [CELL | {key: value}]} for key in ("cell", "zero") for value in (None, 5, "../x", MOVES, ["x"])),
    *({"cells": [CELL | {"generations": value}]} for value in (-1, "x", 1.5, [1], True, 10**400)),
    *({"cells": [CELL | {"point": value}]} for value in ([], "x", 5)),
    {"description": 5},
]


@pytest.mark.parametrize("changes", RUNS, ids=lambda changes: ascii(changes)[:60])
def test_a_run_document_of_another_form_is_refused(copied, tmp_path, changes):
    reseal(copied, "run.json", **changes)
    (tmp_path / "linked.yaml").write_text(TEXT)
    for words in (["show"], ["status"], ["report"], ["run", str(tmp_path / "linked.yaml"), "-q", "--out"]):
        check_refused(crossfeed_cli(*words, str(copied)), ("run.json",))


@pytest.mark.parametrize("key", ["id", "cells", "name", "schema"])
def test_a_run_document_that_lacks_something_is_refused(copied, key):
    reseal(copied, "run.json", **{key: None})
    check_refused(crossfeed_cli("status", str(copied)), ("run.json",))


OTHERS = [
    ("failures/{cell}.json", {"stage": 5, "type": "x", "message": "x"}),
    ("failures/{cell}.json", {"stage": "x", "type": "x", "message": ["x"]}),
    ("notes/x.json", {"text": 5}),
    ("environment.json", {"packages": ["x"]}),
    ("environment.json", {"learner": "x"}),
]


@pytest.mark.parametrize(("name", "changes"), OTHERS, ids=lambda value: ascii(value)[:40])
def test_other_documents_of_another_form_are_refused_and_made_anew(copied, name, changes):
    experiment = Experiment.from_yaml(TEXT)
    name = name.format(cell=experiment.cells()[0].name)
    before = numbers(open_store(copied).read_result("records"))
    reseal(copied, name, **changes)
    check_refused(crossfeed_cli("report", str(copied)), (name,))
    shutil.rmtree(copied / "records")  # so that there is something to do
    assert numbers(run(experiment, open_store(copied))) == before


@pytest.mark.parametrize("changes", [{"stage": 5}, {"stage": "update"}, {}])
def test_a_status_of_another_form_is_left_out(copied, changes):
    cell = Experiment.from_yaml(TEXT).cells()[0].name
    reseal(copied, f"status/{cell}.json", **changes)
    assert crossfeed_cli("status", str(copied)).code == 0


def test_documents_that_say_nothing_are_shown_as_such(copied):
    cell = Experiment.from_yaml(TEXT).cells()[0].name
    shutil.rmtree(copied / "records")
    reseal(copied, f"failures/{cell}.json")
    reseal(copied, "notes/x.json")
    for command in ("show", "status", "report"):
        answer = crossfeed_cli(command, str(copied))
        assert answer.code == 0, answer.err
    assert "failed at stage unknown" in crossfeed_cli("status", str(copied)).out


def test_no_text_of_a_document_moves_the_cursor(copied):
    """What may be any text is shown as all text of strangers is."""
    cell = Experiment.from_yaml(TEXT).cells()[0].name
    shutil.rmtree(copied / "records")
    reseal(copied, f"failures/{cell}.json", stage=MOVES, type=MOVES, message=MOVES, entity=MOVES, generation=1)
    reseal(copied, "notes/x.json", text=MOVES)
    for words in (["show"], ["status"], ["report"], ["status", "--json"], ["show", "--json"]):
        answer = crossfeed_cli(*words, str(copied))
        assert answer.code == 0, answer.err
        check_tame(answer)
    assert plain(MOVES) in crossfeed_cli("status", str(copied)).out.replace("\n", "")
    page = (copied / "report" / "index.html").read_text()
    assert plain(MOVES) in page
    assert "\x1b" not in page


def test_what_runs_write_has_the_form(finished):
    documents = [path for path in finished.rglob("*.json") if not path.name.startswith(".")]
    assert {"run.json", "environment.json"} <= {path.name for path in documents}
    for path in documents:
        assert form_fault(path.relative_to(finished).as_posix(), json.loads(path.read_text())) is None


@pytest.mark.parametrize("name", [".made-from", "index.html", "tables/cells.csv"])
def test_a_folder_in_place_of_a_reports_file_is_named(copied, name):
    (copied / "report" / name).mkdir(parents=True)
    check_refused(crossfeed_cli("report", str(copied)), (f"report/{name}",))
