"""What tells of a machine is taken out of texts and documents, and nothing else is."""

from __future__ import annotations

import getpass
import platform
from pathlib import Path

import pyarrow as pa
import pytest

from crossfeed.sharing.traces import REMOVED, Traces

TRACES = Traces(["/home/zelda", "/home/zelda/my work"], ["zelda", "hyrule-9", "root"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('File "/home/zelda/env/lib/x.py", line 3', f'File "{REMOVED}/x.py", line 3'),
        ("in /home/zelda: full", f"in {REMOVED}: full"),
        ("'/home/zelda/my work/a b/m.gguf'", f"'{REMOVED}/a b/m.gguf'"),
        ("/opt/data/set.parquet: damaged", f"{REMOVED}/set.parquet: damaged"),
        ("file:///srv/data/x.json", f"{REMOVED}/x.json"),
        (r"C:\Users\Zelda\models\m.gguf is gone", f"{REMOVED}/m.gguf is gone"),
        ("on hyrule-9 by Zelda (zelda@hyrule-9)", f"on {REMOVED} by {REMOVED} ({REMOVED}@{REMOVED})"),
        ("https://zelda:secret@host.example/x?token=1", "https://***@host.example/x?token=***"),
    ],
)
def test_traces_are_taken_out(before, after):
    assert TRACES.text(before) == after


@pytest.mark.parametrize(
    "text",
    [
        "3.1 nats/token, and/or 1/2",
        "the square root of 2",
        "</td><td>",
        "zeldas and hyrule-90",
        "at https://host.example/home/zeldaesque",
        "tasks/a.yaml: 3 of 4 / 5",
    ],
)
def test_other_text_stays(text):
    assert TRACES.text(text) == text


def test_of_a_description_paths_go_and_names_stay():
    described = {
        "name": "zelda",
        "description": "by zelda, in /home/zelda/x",
        "learner": {"base": {"model": "/home/zelda/my models/llama"}},
        "tasks": {"zelda": {"path": "~/prose", "fields": {"text": "{a}/{b}"}}, "b": {"path": "../zelda/q"}},
        "grid": {"learner.base.model": ["/data/a/b", "facebook/opt-350m"]},
        "public": {"path": "https://u:hunter2@host.example/x.csv"},
        "n": 3,
    }
    cleaned, changed = TRACES.description(described)
    assert cleaned == {
        "name": "zelda",
        "description": f"by {REMOVED}, in {REMOVED}/x",
        "learner": {"base": {"model": f"{REMOVED}/llama"}},
        "tasks": {"zelda": {"path": "~/prose", "fields": {"text": "{a}/{b}"}}, "b": {"path": f"../{REMOVED}/q"}},
        "grid": {"learner.base.model": [f"{REMOVED}/b", "facebook/opt-350m"]},
        "public": {"path": "https://***@host.example/x.csv"},
        "n": 3,
    }
    assert changed == ["learner.base.model", "tasks.b.path", "grid.learner.base.model", "public.path"]


def test_of_a_table_folders_go_and_words_stay():
    nested = pa.array([["/home/zelda/a"], ["b"], None], pa.list_(pa.string()))
    table = pa.table({"text": ["by zelda", "see /home/zelda/x", None], "list": nested, "number": [1, 2, 3]})
    cleaned, changed = TRACES.table(table)
    assert changed == 2
    assert cleaned.schema == table.schema
    assert cleaned.to_pydict() == {
        "text": ["by zelda", f"see {REMOVED}/x", None],
        "list": [[f"{REMOVED}/a"], ["b"], None],
        "number": [1, 2, 3],
    }
    assert TRACES.named(table) == 2
    assert TRACES.named(cleaned) == 1


def test_this_machine_is_known(monkeypatch, tmp_path):
    home = tmp_path / "home" / "ganondorf"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USER", "ganon")
    monkeypatch.setattr(getpass, "getuser", lambda: "gerudo")
    monkeypatch.setattr(platform, "node", lambda: "castle.hyrule.example")
    traces = Traces.of_this_machine(tmp_path / "place")
    assert {str(home), str(tmp_path / "place"), str(Path.cwd())} <= {*traces.folders}
    assert {"ganon", "ganondorf", "gerudo", "castle", "castle.hyrule.example"} <= {*traces.names}


def test_names_that_say_nothing_are_no_traces():
    assert Traces([], ["root", "ubuntu", "localhost", "x"]).names == []
