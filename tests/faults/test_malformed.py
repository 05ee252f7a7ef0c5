"""Malformed descriptions and command lines: exit code 2 and a word on what is wrong, never a traceback, never a hang.

What is listed as fine is odd and valid: it gives exit code 0.
"""

from __future__ import annotations

import io
import json
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import crossfeed.loop
from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import assign
from crossfeed.store import open_store
from tests.faults.cli import Answer, accept, check_refused, check_tame, crossfeed_cli
from tests.faults.corpus.commands import COMMANDS, FINE_COMMANDS, places
from tests.faults.corpus.fields import BASE, FIELDS, FINE
from tests.faults.corpus.texts import FINE_TEXTS, TEXTS

_MARK = "MARKEDPLACE"
_MOST_MEGABYTES = 1500


@pytest.fixture(scope="module", autouse=True)
def _memory() -> Iterator[None]:
    """None of what follows takes much of it, not even for a moment."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < _MOST_MEGABYTES


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    crossfeed.loop.run(Experiment.from_yaml(BASE), open_store(folder))
    return folder


@pytest.fixture(scope="module")
def ground(tmp_path_factory, finished) -> Path:
    """The files that command lines speak of."""
    folder = tmp_path_factory.mktemp("ground")
    places(folder, finished)
    return folder


@pytest.fixture
def given(tmp_path, monkeypatch) -> Callable[[str | bytes], Answer]:
    """Have a file run, up to where the run itself would begin."""
    monkeypatch.setattr(crossfeed.loop, "run", accept)
    monkeypatch.chdir(tmp_path)

    def answer(content: str | bytes) -> Answer:
        Path("x.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
        return crossfeed_cli("run", "x.yaml")

    return answer


def changed(path: str, value: str) -> str:
    """The valid description with YAML put at a path."""
    return yaml.safe_dump(assign(yaml.safe_load(BASE), path, _MARK), sort_keys=False).replace(_MARK, value)


@pytest.mark.parametrize(
    ("path", "value", "words"), FIELDS, ids=[f"{n}-{path[:30]!a}" for n, (path, *_) in enumerate(FIELDS)]
)
def test_a_wrong_value_is_refused_by_its_name(given, path, value, words):
    check_refused(given(changed(path, value)), words)


@pytest.mark.parametrize(("path", "value"), FINE, ids=[f"{n}-{path}" for n, (path, _) in enumerate(FINE)])
def test_an_odd_value_that_is_allowed_is_taken(given, path, value):
    answer = given(changed(path, value))
    assert answer.code == 0, answer.err[-2000:]


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_that_is_no_description_is_refused(given, name):
    text, words = TEXTS[name]
    check_refused(given(text), words)
    assert {path.name for path in Path().iterdir()} == {"x.yaml"}


@pytest.mark.parametrize("name", FINE_TEXTS)
def test_an_odd_file_that_is_a_description_is_taken(given, name):
    answer = given(FINE_TEXTS[name])
    assert answer.code == 0, answer.err[-2000:]


@pytest.mark.parametrize(
    ("arguments", "words"), COMMANDS, ids=[f"{n}-{' '.join(a)[:40]!a}" for n, (a, _) in enumerate(COMMANDS)]
)
def test_a_command_that_cannot_be_followed_is_refused(ground, monkeypatch, arguments, words):
    monkeypatch.chdir(ground)
    monkeypatch.setenv("COLUMNS", "200")
    before = sorted(ground.rglob("*"))
    check_refused(crossfeed_cli(*arguments), words)
    assert sorted(ground.rglob("*")) == before


@pytest.mark.usefixtures("figures_unsaved")
@pytest.mark.parametrize("arguments", FINE_COMMANDS, ids=" ".join)
def test_an_odd_command_that_can_be_followed_is(finished, tmp_path, monkeypatch, arguments):
    places(tmp_path, finished)
    if "--out" not in arguments:
        monkeypatch.setattr(crossfeed.loop, "run", accept)
    monkeypatch.chdir(tmp_path)
    answer = crossfeed_cli(*arguments)
    assert answer.code == 0, answer.err[-2000:]
    check_tame(answer)


RECORDS = {"prompt": "{q}", "completion": " {a}"}
GRADED = RECORDS | {"answer": "{a}"}
ROWS = [{"q": f"question {n}", "a": f"answer {n}", "n": n} for n in range(60)]


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def picture() -> bytes:
    """Text columns that the file's own metadata calls pictures, to be read from any path."""
    table = pa.table({"q": [{"bytes": None, "path": "/etc/passwd"}] * 60, "a": ["a"] * 60})
    features = {"q": {"_type": "Image"}, "a": {"dtype": "string", "_type": "Value"}}
    info = json.dumps({"info": {"features": features}})
    return parquet(table.replace_schema_metadata({"huggingface": info}))


SCIQ = {"question": "q", "correct_answer": "a", "distractor1": "b", "distractor2": "c", "distractor3": "d"}
ARC = {"question": "q", "answerKey": "A", "choices": {"text": ["x", "y"], "label": ["A", "B"]}}
DATA: list[tuple[str, dict[str, bytes], dict, tuple[str, ...]]] = [
    # What the case is, the files, the task, and words.
    ("no folder", {}, {"fields": RECORDS}, ("no folder",)),
    ("no split", {"other.md": lines(*ROWS)}, {"fields": RECORDS}, ("train.parquet", "other.md")),
    ("empty parquet", {"train.parquet": b""}, {"fields": RECORDS}, ("train.parquet", "empty")),
    ("no parquet", {"train.parquet": b"PAR1" * 9}, {"fields": RECORDS}, ("train.parquet", "can be read")),
    (
        "cut parquet",
        {"train.parquet": parquet(pa.Table.from_pylist(ROWS))[:-30]},
        {"fields": RECORDS},
        ("train.parquet", "no Parquet that can be read"),
    ),
    (
        "no rows",
        {"train.parquet": parquet(pa.table({"q": ["x"], "a": ["y"]}).slice(0, 0))},
        {"fields": RECORDS},
        ("warm",),
    ),
    ("empty lines", {"train.jsonl": b""}, {"fields": RECORDS}, ("warm",)),
    ("no json", {"train.jsonl": b"hello\n"}, {"fields": RECORDS}, ("train.jsonl, line 1", "no JSON")),
    ("numbers", {"train.jsonl": b"1\n2\n"}, {"fields": RECORDS}, ("warm",)),
    ("binary", {"train.jsonl": bytes(range(256))}, {"fields": RECORDS}, ("train.jsonl, line 1", "no JSON")),
    ("half a character", {"train.jsonl": b'{"q": "\\ud800", "a": "x"}\n'}, {"fields": RECORDS}, ("warm",)),
    ("both", {"train.jsonl": lines(*ROWS), "train.parquet": b""}, {"fields": RECORDS}, ("both",)),
    ("no column", {"train.jsonl": lines(*ROWS)}, {"fields": {"text": "{t}"}}, ("no column 't'", "q")),
    ("a list", {"train.jsonl": lines({"q": ["x"], "a": "y"})}, {"fields": RECORDS}, ("'q'", "list")),
    ("one row", {"train.jsonl": lines({"q": True, "a": "y"})}, {"fields": RECORDS}, ("warm", "no usable train")),
    ("bytes", {"train.parquet": parquet(pa.table({"q": [b"x"], "a": ["y"]}))}, {"fields": RECORDS}, ("'q'", "bytes")),
    ("nothing but nulls", {"train.jsonl": lines({"q": None, "a": "y"})}, {"fields": RECORDS}, ("warm", "train")),
    ("a picture", {"train.parquet": picture()}, {"fields": RECORDS}, ("warm",)),
    (
        "no number",
        {"train.jsonl": lines(*[{"q": f"q{n}", "a": "word" * 90} for n in range(60)])},
        {"fields": GRADED, "grading": "number"},
        ("holds no number",),
    ),
    (
        "no such choice",
        {"train.jsonl": lines({"q": "x", "a": "y", "c": ["a", "b"]})},
        {"fields": GRADED | {"choices": "{c}"}},
        ("not among the choices",),
    ),
    (
        "sciq of numbers",
        {"sciq/train.jsonl": lines(SCIQ | {"support": 5})},
        {"source": "sciq"},
        ("warm", "no usable train"),
    ),
    ("sciq without support", {"sciq/train.jsonl": lines(SCIQ)}, {"source": "sciq"}, ("no column 'support'",)),
    (
        "gsm8k of numbers",
        {"gsm8k/train.jsonl": lines({"question": "q", "answer": [5]})},
        {"source": "gsm8k"},
        ("row 0",),
    ),
    ("gsm8k of nulls", {"gsm8k/train.jsonl": lines({"question": "q", "answer": None})}, {"source": "gsm8k"}, ("warm",)),
    ("arc of words", {"arc_easy/train.jsonl": lines(ARC | {"choices": "A"})}, {"source": "arc_easy"}, ("row 0",)),
    (
        "arc of two lengths",
        {"arc_easy/train.jsonl": lines(ARC | {"choices": {"text": ["x"], "label": ["A", "B"]}})},
        {"source": "arc_easy"},
        ("row 0",),
    ),
    (
        "arc without labels",
        {"arc_easy/train.jsonl": lines(ARC | {"choices": {"text": ["x"]}})},
        {"source": "arc_easy"},
        ("row 0",),
    ),
]


@pytest.mark.parametrize(("files", "task", "words"), [case[1:] for case in DATA], ids=[case[0] for case in DATA])
def test_data_that_cannot_be_used_are_named(tmp_path, monkeypatch, files, task, words):
    pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)
    for name, content in files.items():
        path = Path("data") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    own = task if "source" in task else {"source": "files", "path": "data"} | task
    Path("x.yaml").write_text(changed("tasks.warm", json.dumps(own)))
    answer = crossfeed_cli("run", "x.yaml", *(("--data-root", "data") if "source" in task else ()))
    check_refused(answer, words)


def test_there_are_three_hundred_of_them():
    assert len(FIELDS) + len(TEXTS) + len(COMMANDS) >= 300
