"""The notebooks that Jupyter opens say what their scripts say, hold outputs, and install what they need."""

from __future__ import annotations

import ast
import base64
import json
import re

import pytest

from tests.notebooks.ipynb import sources
from tests.notebooks.test_notebooks import FOLDER, NAMES

AGAIN = "run: python -m tests.notebooks.ipynb"


@pytest.fixture(params=NAMES)
def opened(request) -> tuple[str, dict]:
    return request.param, json.loads((FOLDER / f"{request.param}.ipynb").read_text(encoding="utf-8"))


def test_a_notebook_is_in_step_with_its_script(opened):
    name, document = opened
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in document["cells"]] == sources(name), AGAIN


def test_there_is_no_other():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES


def test_a_notebook_is_of_the_format(opened):
    _, document = opened
    nbformat = pytest.importorskip("nbformat", reason="the format's own check needs nbformat")
    nbformat.validate(document)


def test_its_first_cell_installs_and_keeps_what_is_there(opened):
    first = "".join(opened[1]["cells"][0]["source"])
    assert "%pip install" in first
    assert 'find_spec("crossfeed") is None' in first
    ast.parse(first.replace("%pip install --quiet {source}", "pass"))


def test_cells_show_what_they_end_in(opened):
    _, document = opened
    for cell in document["cells"][1:]:
        if cell["cell_type"] != "code":
            continue
        last = ast.parse("".join(cell["source"])).body[-1]
        kinds = [each["output_type"] for each in cell["outputs"]]
        assert "error" not in kinds
        if isinstance(last, ast.Expr) and not isinstance(last.value, ast.Call):
            assert "execute_result" in kinds
    images = [
        each["data"]["image/png"]
        for cell in document["cells"]
        for each in cell.get("outputs", ())
        if "image/png" in each.get("data", {})
    ]
    assert images
    assert all(base64.b64decode(image).startswith(b"\x89PNG") for image in images)


def test_nothing_in_it_is_of_the_machine_that_made_it(opened):
    text = json.dumps(opened[1], ensure_ascii=False)
    assert not re.search(r"/(tmp|home|root|work|Users)/|0x[0-9a-f]{8}", re.sub(r'"image/png": "[^"]*"', "", text))
