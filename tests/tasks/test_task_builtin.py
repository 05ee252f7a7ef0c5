import ast
import operator
import os
import re
import subprocess
import sys
from functools import lru_cache

import pytest
from pydantic import ValidationError

from crossfeed.description.registry import task_settings
from crossfeed.errors import DataUnavailable, InvalidInput
from crossfeed.tasks import docs
from crossfeed.tasks.text import SCHEMA

SOURCES = ("stdlib-docs", "facts", "math", "reason")
SPLITS = ("train", "validation", "test")


@lru_cache
def build(source, **fields):
    return task_settings(source)(source=source, **fields).build("mine", None)


def rows(task, split):
    return getattr(task, split).to_pylist()


def every(task):
    return [row for split in SPLITS for row in rows(task, split)]


@pytest.mark.parametrize("seed", [0, 1, 12345])
@pytest.mark.parametrize("source", SOURCES)
def test_splits_share_no_item(source, seed):
    task = build(source, seed=seed)
    texts = {split: {row["prompt"] + row["completion"] for row in rows(task, split)} for split in SPLITS}
    assert not texts["train"] & texts["test"]
    assert not texts["train"] & texts["validation"]
    assert not texts["validation"] & texts["test"]
    prompts = [row["prompt"] for row in every(task)]
    if source != "stdlib-docs":  # two passages may begin alike
        assert len(set(prompts)) == len(prompts)
        assert [getattr(task, split).num_rows for split in SPLITS] == [2000, 200, 200]


@pytest.mark.parametrize("source", SOURCES)
def test_items_are_well_formed(source):
    task = build(source)
    assert task.name == "mine"
    for split in SPLITS:
        assert getattr(task, split).schema.equals(SCHEMA)
        assert getattr(task, split).num_rows >= 150
    for row in every(task):
        assert row["completion"].startswith(" ")
        assert "{" not in row["prompt"] + row["completion"]
        assert "  " not in row["prompt"] + row["completion"]


@pytest.mark.parametrize("source", SOURCES)
def test_seeds_differ(source):
    first, second = build(source, seed=0), build(source, seed=1)
    assert first.content == build.__wrapped__(source, seed=0).content
    assert first.content != second.content


def test_the_same_data_in_every_process():
    code = (
        "from crossfeed.description.registry import task_settings\n"
        "for source in ('facts', 'math', 'reason', 'stdlib-docs'):\n"
        "    task = task_settings(source)(source=source).build('x', None)\n"
        "    print(task.content)\n"
    )
    expected = [build(source).content for source in ("facts", "math", "reason", "stdlib-docs")]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == expected


def test_describing_a_task_imports_nothing_heavy():
    code = (
        "import sys\nfrom crossfeed.description.registry import task_settings\n"
        "for name in ('facts', 'math', 'reason', 'stdlib-docs', 'sciq', 'hub', 'files'): task_settings(name)\n"
        "task_settings('math')(source='math').build('x', None)\n"
        "print([name for name in ('torch', 'datasets', 'huggingface_hub', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("source", SOURCES)
def test_caps(source):
    task = build(source, train=30, validation=0, test=20)
    assert [getattr(task, split).num_rows for split in SPLITS] == [30, 0, 20]
    more = build(source, train=60, validation=0, test=20)
    assert more.test.equals(task.test), "test items do not depend on the size of train"


@pytest.mark.parametrize("source", SOURCES)
def test_asking_for_more_than_there_is(source):
    with pytest.raises(InvalidInput, match=r"items were requested, but .* has \d+"):
        build(source, train=10**6)


@pytest.mark.parametrize("field", [{"train": 0}, {"test": -1}, {"seed": -1}, {"size": 3}, {"train": "all"}])
def test_impossible_settings(field):
    with pytest.raises(ValidationError):
        build.__wrapped__("math", **field)


def test_right_completions_are_graded_right():
    for source in ("facts", "math"):
        task = build(source)
        said = [row["completion"] for row in rows(task, "test")]
        assert task.grade(task.test, said).all()
        assert task.grade(task.test, said[1:] + said[:1]).mean() < 0.1
    for source in ("reason", "stdlib-docs"):
        task = build(source)
        assert task.grade(task.test, [""] * task.test.num_rows) is None


OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def evaluate(expression):
    node = ast.parse(expression, mode="eval").body
    return OPERATORS[type(node.op)](node.left.value, node.right.value)


def test_worked_solutions_of_math_are_right():
    for row in every(build("math", seed=3)):
        *lines, last = row["completion"].strip().split("\n")
        assert last == f"#### {row['answer']}"
        known = {int(number) for number in re.findall(r"\d+", row["prompt"])}
        known |= {number for word, number in PARTS.items() if word in row["prompt"]}
        for line in lines:
            equations = re.findall(r"(\d+) ([-+*/]) (\d+) = (\d+)", line)
            assert len(equations) == 1, line
            left, sign, right, result = equations[0]
            assert evaluate(f"{left} {sign} {right}") == int(result) > 0
            assert {int(left), int(right)} <= known, "every step uses the question's numbers or earlier results"
            known.add(int(result))
        assert int(row["answer"]) == int(result)


PARTS = {"half": 2, "third": 3, "quarter": 4, "fifth": 5, "sixth": 6, "three of them": 3}


def test_math_problems_differ_by_more_than_names():
    task = build("math", train=8000, validation=500, test=500)
    numbers = set()
    for row in every(task):
        names = r"\b(?!How|They|Then|Together|On|In|So|At|Question|Answer|Monday|Tuesday|Wednesday|A)[A-Z][a-z]+\b"
        plain = re.sub(names, "N", row["prompt"])
        things = (
            "apples|marbles|stickers|cookies|pencils|shells|cards|buttons|beads|stamps|candles|oranges|muffins"
            "|ribbons|books|coins"
        )
        numbers.add(re.sub(rf"\b({things})\b", "things", plain))
    assert len(numbers) == 9000


def test_reason_has_one_right_option():
    task = build("reason", seed=2)
    for row in every(task):
        assert len(row["choices"]) in (3, 4)
        assert len(set(row["choices"])) == len(row["choices"])
        assert row["choices"].count(row["answer"]) == 1
        assert row["completion"].startswith(f" {row['answer']}. ")
        for label, option in zip("ABCD", row["choices"], strict=False):
            assert f"\n{label}. {option}\n" in row["prompt"]
    places = [row["choices"].index(row["answer"]) for row in every(task) if len(row["choices"]) == 4]
    assert all(abs(places.count(place) / len(places) - 0.25) < 0.05 for place in range(4))


DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def test_reason_by_an_independent_solver():
    solved = {"day": 0, "turn": 0, "row": 0, "people": 0}
    for row in every(build("reason", seed=4)):
        question = row["prompt"].split("\n")[0].removeprefix("Question: ")
        if found := re.match(r"If today is (\w+), .* (\d+) days", question):
            solved["day"] += 1
            assert row["answer"] == DAYS[(DAYS.index(found[1]) + int(found[2])) % 7]
        elif found := re.match(r"\w+ faces (\w+) and turns ([\w, ]+)\.", question):
            solved["turn"] += 1
            heading = {"north": 1j, "east": 1, "south": -1j, "west": -1}
            way = heading[found[1]]
            for turn in found[2].split(", then "):
                way *= {"left": 1j, "right": -1j, "around": -1}[turn]
            assert heading[row["answer"]] == way
        elif found := re.match(r"Which number continues the row (\d+), (\d+), (\d+), (\d+)", question):
            solved["row"] += 1
            first, second, third, fourth = map(int, found.groups())
            even = second - first == third - second == fourth - third
            assert int(row["answer"]) == (2 * fourth - third if even else 2 * fourth)
            assert even or second / first == third / second == fourth / third == 2
        elif clues := re.findall(r"(\w+) is (?:taller|older|faster|stronger|richer) than (\w+)\.", question):
            solved["people"] += 1
            above, below = {first for first, _ in clues}, {second for _, second in clues}
            top = re.search(r"Who is the (tallest|oldest|fastest|strongest|richest)", question)
            assert {row["answer"]} == (above - below if top else below - above)
    assert all(count > 100 for count in solved.values()), solved


def test_texts_of_the_sources_are_of_different_kinds():
    words = {
        source: {word for row in rows(build(source), "train") for word in re.findall(r"[a-z]{3,}", str(row).lower())}
        for source in ("facts", "math", "stdlib-docs")
    }
    for one, other in [("facts", "math"), ("math", "stdlib-docs"), ("facts", "stdlib-docs")]:
        common = words[one] & words[other]
        assert len(common) < 0.75 * min(len(words[one]), len(words[other]))
    lengths = [len((row["prompt"] + row["completion"]).split()) for row in rows(build("facts"), "train")]
    assert 20 < sum(lengths) / len(lengths) < 35


def test_prose_is_clean():
    for row in every(build("stdlib-docs")):
        assert len(row["prompt"].split()) == 24
        assert 10 <= len(row["completion"].split()) <= 96
        assert row["prompt"][0].isupper() or row["prompt"][0] in "\"'("
        assert row["completion"][-1] in ".!?)\"'"
        assert ">>>" not in row["prompt"] + row["completion"]


def test_python_without_documentation(tmp_path, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(docs, "import_module", missing)
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "latin.py").write_bytes(b"'''caf\xe9'''\n")
    (tmp_path / "plain.py").write_text('"""Short."""\n')
    with pytest.raises(DataUnavailable, match="without its sources"):
        docs.documentation(tmp_path)
    monkeypatch.undo()
    assert len(docs.documentation(tmp_path)) > 100, "the topics alone are enough"


def test_docstrings_are_read_without_running_anything(tmp_path):
    (tmp_path / "module.py").write_text(
        "'''Module.'''\nraise SystemExit\nif True:\n    class A:\n        def f(self):\n            '''Method.'''\n"
    )
    assert sorted(docs._docstrings(tmp_path / "module.py")) == ["", "Method.", "Module."]


def test_the_documentation_is_harvested_once_for_each_state_of_its_sources(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(docs, "_docstrings", lambda path: calls.append(path) or iter(()))
    source, cache = tmp_path / "library" / "module.py", tmp_path / "cache"
    source.parent.mkdir()
    source.write_text('"""Module."""\n')
    monkeypatch.setenv("CROSSFEED_CACHE", str(cache))

    def harvested() -> int:
        docs.documentation.cache_clear()
        calls.clear()
        found = docs.documentation(source.parent)
        assert found == docs._harvest(source.parent)
        return len(calls) - 1  # less the one of this line before

    assert harvested() == 1
    assert harvested() == 0, "kept"
    source.write_text('"""Module, changed."""\n')
    assert harvested() == 1
    for kept in cache.glob("documentation/*/passages.json"):
        kept.write_bytes(kept.read_bytes()[:-100] + b"x" * 100)
    assert harvested() == 1, "a damaged copy is not used"
    monkeypatch.setenv("CROSSFEED_CACHE", str(source))
    assert harvested() == 1, "a cache that cannot be written"
    docs.documentation.cache_clear()
