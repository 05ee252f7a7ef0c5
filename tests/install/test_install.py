"""What the scripts of this folder try is what there is, and the files about the package agree with it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from typer.main import get_command

from crossfeed.cli import app
from tests.docs.blocks import ROOT
from tests.install.commands import NEEDS, WORKS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_every_command_is_tried_without_extras():
    tried = {arguments[0] for arguments in (*WORKS, *(each for _, each in NEEDS))}
    assert set(get_command(app).commands) <= tried
    assert {extra for extra, _ in NEEDS} <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "tests" / "install").glob("*.sh")))
def test_a_script_can_be_read(name):
    subprocess.run(["bash", "-n", str(ROOT / "tests" / "install" / name)], check=True)


def test_the_citation_is_of_this_version():
    assert CITATION["version"] == PROJECT["version"]
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["keywords"] == PROJECT["keywords"]
    assert {"cff-version", "message", "title", "authors"} <= CITATION.keys()
    (paper,) = CITATION["references"]
    assert paper["title"] in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


def test_every_python_that_is_named_is_tried():
    named = {each.rpartition(" ")[2] for each in PROJECT["classifiers"] if "Python :: 3." in each}
    script = (ROOT / "tests" / "install" / "matrix.sh").read_text(encoding="utf-8")
    assert named <= set(re.findall(r"3\.\d+", re.search(r"^PYTHONS=.*$", script, re.M)[0]))
    assert f">={min(named, key=lambda version: int(version[2:]))}" == PROJECT["requires-python"]


def test_release_notes_are_a_section_of_the_changelog(capsys):
    script = ROOT / "tests" / "install" / "release_notes.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("### ")
    assert "\n## " not in done.stdout
    refused = subprocess.run([sys.executable, str(script), "9.9.9"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "9.9.9" in refused.stderr
