"""`crossfeed check` and `doctor --model`: what a run would do, all problems at once, and nothing written."""

from __future__ import annotations

import json
import shutil

import pytest

from crossfeed import Experiment, MemoryStore, check, run
from crossfeed.description.reading import read_preset
from crossfeed.doctor.model_folder import examine_model
from tests.tiny import GLM, LINEAR, TINY, UNEQUAL

from .faults.cli import crossfeed_cli


def test_what_is_said_of_an_experiment_that_can_be_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checked = check(Experiment.from_yaml(read_preset("fake")))
    assert checked.problems == ()
    assert checked.cells == 3
    assert {task.name: task.items["train"] for task in checked.tasks} == {"warm": 60, "cold": 60, "public": 60}
    assert checked.cost.total > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("described", [LINEAR, GLM.replace("FAMILY", "logistic"), read_preset("collapse-kde")])
def test_every_kind_of_learner_can_be_tried(described):
    checked = check(Experiment.from_yaml(described))
    assert checked.problems == ()
    assert set(checked.cost.seconds) == {"base", "start", "update", "publish", "measure", "store"}
    assert all(seconds >= 0 for seconds in checked.cost.seconds.values())


def test_the_items_that_a_run_publishes_are_counted_without_it():
    from crossfeed.display.progress import Silent
    from crossfeed.doctor.cost import _published
    from crossfeed.running.session import Session, Setup

    experiment = Experiment.from_yaml(read_preset("fake"), ("generations=1", "grid={ecosystem.alpha: [0.3, 0.9]}"))
    store = MemoryStore()
    run(experiment, store)
    made = sum(store.read_table("pool", cell.name, 1).num_rows for cell in experiment.cells())
    session = Session(Setup(experiment, MemoryStore(), None, None, Silent()))
    prepared = [session.prepared(position) for position in range(2)]
    assert _published(prepared, None) * 2 == made


def test_all_problems_of_the_data_are_said_at_once(tmp_path):
    (tmp_path / "broken.jsonl").write_text('{"q": "a", "a": "b"}\n{"q": \n')
    (tmp_path / "few.jsonl").write_text('{"q": "a", "a": "b"}\n')
    fields = "fields: {prompt: '{q}', completion: ' {a}'}"
    text = TINY.replace("facts: {source: facts, train: 40", "facts: {source: facts, train: 40000000")
    text = text.replace("  math: {", f"  one: {{source: files, path: '{tmp_path}/broken.jsonl', {fields}}}\n  math: {{")
    text = text.replace(
        "  math: {", f"  two: {{source: files, path: '{tmp_path}/none.jsonl', {fields}}}\n  math: {{", 1
    )
    checked = check(Experiment.from_yaml(text))
    assert len(checked.problems) == 3
    for problem, words in zip(sorted(checked.problems), ("facts", "one (", "two ("), strict=True):
        assert problem.startswith(words)
    assert "line 2" in sorted(checked.problems)[1]
    assert checked.cost is None
    (tmp_path / "it.yaml").write_text(text)
    for command in (("check", str(tmp_path / "it.yaml")), ("run", str(tmp_path / "it.yaml"), "--dry-run")):
        answer = crossfeed_cli(*command)
        assert answer.code == 2
        assert answer.out.count("PROBLEM: ") == 3


def test_a_dry_run_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = crossfeed_cli("run", "fake", "--dry-run", "--json")
    told = json.loads(answer.out)
    assert (answer.code, told["problems"], told["cells"]) == (0, [], 3)
    assert told["cost"]["total"] > 0
    assert list(tmp_path.iterdir()) == []
    assert json.loads(crossfeed_cli("check", "fake", "--json").out)["id"] == told["id"]


@pytest.mark.parametrize("described", [TINY, UNEQUAL])
def test_language_models_are_shown_items_as_they_read_them(described):
    pytest.importorskip("torch", reason="needs the extra 'lm'")
    checked = check(Experiment.from_yaml(described, ("learner.training.max_length=40",)))
    assert checked.problems == ()
    (facts,) = (task for task in checked.tasks if task.name == "facts")
    if described is TINY:
        assert len(facts.samples) == 2
        text = facts.samples[0].partition(" [")[0].replace("·", "").replace("‖", "")
        whole = Experiment.from_yaml(described).tasks["facts"].build("facts", None).train.to_pylist()[0]
        assert (whole["prompt"] + whole["completion"]).startswith(text.removesuffix("<|endoftext|>"))
    cut = [
        note for note in checked.notes if "training items are longer than training.max_length (40) and are cut" in note
    ]
    readers = {note.partition(": ")[0] for note in cut if note.startswith("facts")}
    sizes = (300,) if described is TINY else (300, 280)
    assert readers == {f"facts, read by a base with {size} tokens" for size in sizes}
    assert checked.cost.seconds["update"] > 0


def test_a_model_folder_is_examined_before_a_run_uses_it(tmp_path):
    pytest.importorskip("torch", reason="needs the extra 'lm'")
    cache = tmp_path / "cache"
    run(
        Experiment.from_yaml(TINY, ("generations=0", "metrics={loss: {}}", "grid={}", "ecosystem.alpha=0")),
        MemoryStore(),
        cache=cache,
    )
    (folder,) = (path for path in (cache / "base").iterdir() if path.is_dir())
    data = tmp_path / "data.jsonl"
    data.write_text(
        "".join(json.dumps({"prompt": "Question: what ", "completion": f"it is {n}"}) + "\n" for n in range(9))
    )
    answer = crossfeed_cli("doctor", "--model", str(folder), "--data", str(data), "--json")
    told = json.loads(answer.out)
    assert (answer.code, told["problems"]) == (0, [])
    assert told["facts"]["eos token"] == "<|endoftext|> (0)"
    assert "nats a token on the first 8 items" in told["facts"]["loss"]
    assert len(told["samples"]) == 2
    assert any("token would span the end of the prompt" in note for note in told["notes"])
    printed = crossfeed_cli("doctor", "--model", str(folder), "--data", str(data)).out
    assert "A run can use it." in printed
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "tokenizer.json").unlink()
    answer = crossfeed_cli("doctor", "--model", str(broken), "--data", str(data))
    assert answer.code == 2
    assert "PROBLEM: " in answer.out


@pytest.mark.parametrize(
    ("row", "prompt", "completion"),
    [
        ({"prompt": 1, "completion": None}, "1", ""),
        ({"prompt": [{"role": "user", "content": "a"}], "completion": {"text": ["b", "c"]}}, "user\na", "b\nc"),
        ({"text": "a", "more": [{"x": "b"}]}, "", "a\nb"),
    ],
)
def test_a_file_for_the_doctor_may_hold_anything(row, prompt, completion, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "crossfeed.learners.language.settings.LanguageSettings.examine", lambda folder, items: seen.append(items)
    )
    (tmp_path / "data.jsonl").write_text(json.dumps(row) + "\n")
    examine_model(tmp_path, tmp_path / "data.jsonl")
    assert seen[0].to_pylist() == [{"prompt": prompt, "completion": completion}]


def test_arguments_of_the_doctor_that_do_not_go_together(tmp_path):
    (tmp_path / "x.jsonl").write_text("{}\n")
    for arguments, words in (
        (("--data", "x.jsonl"), "belongs to --model"),
        (("--model", str(tmp_path / "none")), "there is no such folder"),
        (("--model", str(tmp_path), "--data", str(tmp_path / "none.jsonl")), "there is no file"),
    ):
        answer = crossfeed_cli("doctor", *arguments)
        assert answer.code == 2
        assert words in " ".join(answer.err.split())
