"""Benchmark numbers of a run's checkpoints: what is kept and not done twice, and that the harness reads our models."""

from __future__ import annotations

import io
import json
import math
import re
from importlib.util import find_spec

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from crossfeed import Experiment, Run, open_store, run
from crossfeed.errors import CrossfeedError, DataUnavailable, InvalidInput, MissingDependency, StoreError
from crossfeed.evaluation.checkpoints import Evaluated, Score, evaluate_checkpoints, results_of
from crossfeed.reporting.terminal.benchmarks import render_evaluation
from tests.tiny import TINY

needs_harness = pytest.mark.skipif(
    find_spec("lm_eval") is None or find_spec("accelerate") is None, reason="the extra `eval` is not installed"
)


class Counting:
    """An evaluator whose numbers say how many checkpoints it has seen."""

    def __init__(self, *tasks: str, options: str = "limit=4", fail_at: int | None = None) -> None:
        self.tasks, self.options, self.fail_at = tasks, options, fail_at
        self.seen: list[tuple[str, tuple[str, ...]]] = []

    def evaluate(self, folder, tasks, name):
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in folder.iterdir()}
        if len(self.seen) == self.fail_at:
            raise CrossfeedError("out of room")
        self.seen.append((folder.name, tuple(tasks)))
        scores = [Score(task, "acc", float(len(self.seen)), 0.5, 4, 0, "") for task in tasks]
        return Evaluated(scores, {"model": name, "results": {task: {"acc,none": 1.0} for task in tasks}})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A tiny run of two cells that share generation 0."""
    folder = tmp_path_factory.mktemp("run") / "tiny"
    experiment = Experiment.from_yaml(
        TINY, ("metrics={loss: {}}", "generations=1", "learner.training.max_length=192", "checkpoints=all")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSFEED_CACHE", str(tmp_path_factory.mktemp("cache")))
        assert not run(experiment, open_store(folder)).failures
    return folder, experiment


@pytest.fixture
def fresh(finished, tmp_path):
    """A copy of the run in which nothing has been evaluated."""
    import shutil

    folder, experiment = finished
    return shutil.copytree(folder, tmp_path / "run"), experiment


def test_every_checkpoint_is_evaluated_once_and_listed_under_every_cell(fresh):
    folder, experiment = fresh
    judge = Counting("sciq")
    table = evaluate_checkpoints(experiment, open_store(folder), judge).to_pandas()
    # Generation 0 is shared by the two cells: three places, two entities.
    assert len(judge.seen) == 6
    assert len(table) == 8
    first = table[table["generation"] == 0].pivot_table(index="model", columns="cell", values="value")
    assert (first.nunique(axis=1) == 1).all()
    assert table.groupby(["cell", "generation", "model"]).size().eq(1).all()
    assert set(table["alpha"]) == {0.0, 0.5}
    assert Run.load(folder).store.read_result("evaluation").to_pandas().equals(table)


def test_what_was_evaluated_with_the_same_options_is_not_evaluated_again(fresh):
    folder, experiment = fresh
    evaluate_checkpoints(experiment, open_store(folder), Counting("sciq"))
    again = Counting("sciq", "gsm8k")
    table = evaluate_checkpoints(experiment, open_store(folder), again).to_pandas()
    assert {tasks for _, tasks in again.seen} == {("gsm8k",)}
    assert set(table["task"]) == {"sciq", "gsm8k"}
    other = Counting("sciq", options="limit=8")
    table = evaluate_checkpoints(experiment, open_store(folder), other).to_pandas()
    assert len(other.seen) == 6
    assert set(table.loc[table["task"] == "sciq", "options"]) == {"limit=8"}
    assert set(table.loc[table["task"] == "gsm8k", "options"]) == {"limit=4"}


def test_an_evaluation_that_stopped_goes_on(fresh):
    folder, experiment = fresh
    with pytest.raises(CrossfeedError, match="out of room"):
        evaluate_checkpoints(experiment, open_store(folder), Counting("sciq", fail_at=4))
    rest = Counting("sciq")
    table = evaluate_checkpoints(experiment, open_store(folder), rest)
    assert len(rest.seen) == 2
    assert table.num_rows == 8


def test_a_run_without_checkpoints_is_refused(fresh, tmp_path):
    folder, experiment = fresh
    with pytest.raises(StoreError, match="no run here"):
        evaluate_checkpoints(experiment, open_store(tmp_path / "nothing"), Counting("sciq"))
    import shutil

    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(StoreError, match="keeps no checkpoints"):
        evaluate_checkpoints(experiment, open_store(folder), Counting("sciq"))


def test_models_that_write_no_text_are_refused(fake, tmp_path):
    with pytest.raises(InvalidInput, match="of kind 'fake'"):
        evaluate_checkpoints(fake(), open_store(tmp_path / "run"), Counting("sciq"))


def test_numbers_are_shown_initial_to_final(fresh):
    folder, experiment = fresh
    evaluate_checkpoints(experiment, open_store(folder), Counting("sciq"))
    shown = io.StringIO()
    render_evaluation(Run.load(folder), Console(file=shown, width=100))
    text = shown.getvalue()
    # Generation 0 is shared: its a and b are evaluated first, then those of the first cell, then of the second.
    for line in (
        r"a, t = 0 +1\.00 +1\.00",
        r"a, t = 1 +3\.00 +5\.00",
        r"b, t = 0 +2\.00 +2\.00",
        r"b, t = 1 +4\.00 +6\.00",
    ):
        assert re.search(line, text), text
    assert "sciq: 4 items, 0 shots; limit=4." in text


def test_nothing_is_shown_where_nothing_was_evaluated(fresh):
    shown = io.StringIO()
    render_evaluation(Run.load(fresh[0]), Console(file=shown))
    assert not shown.getvalue()


def test_no_task_is_an_error():
    from crossfeed.evaluation.harness import Harness

    with pytest.raises(InvalidInput, match="none was given"):
        Harness([])


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    from crossfeed.evaluation import harness

    monkeypatch.setattr(harness, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=re.escape("pip install 'crossfeed[eval]'")):
        harness.Harness(["sciq"])


def science(numbers: range) -> pa.Table:
    """SciQ's columns with questions of our own."""
    words = [f"{stem}{number}" for number in numbers for stem in ("ion", "cell", "wave", "rock")]
    named = {name: words[place::4] for place, name in enumerate(("distractor1", "distractor2", "distractor3"))}
    return pa.table(
        {
            "question": [f"What is thing {number}?" for number in numbers],
            **named,
            "correct_answer": words[3::4],
            "support": [f"Thing {number} is what the answer to the question says it is." for number in numbers],
        }
    )


def sums(numbers: range) -> pa.Table:
    """GSM8K's columns with problems of our own."""
    questions = [f"Tom has {n} pens and buys 2. How many?" for n in numbers]
    return pa.table({"question": questions, "answer": [f"{n} + 2 = {n + 2}\n#### {n + 2}" for n in numbers]})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data root with a few made-up items for two tasks of the harness."""
    import pyarrow.parquet as pq

    root = tmp_path_factory.mktemp("data")
    for split, numbers in {"train": range(20), "test": range(20, 28)}.items():
        for name, table in {"sciq": science(numbers), "gsm8k": sums(numbers)}.items():
            (root / name).mkdir(exist_ok=True)
            pq.write_table(table, root / name / f"{split}.parquet")
    return root


@needs_harness
def test_the_harness_reads_checkpoints_with_local_data(fresh, data):
    from crossfeed.evaluation.harness import Harness

    folder, experiment = fresh
    judge = Harness(["sciq", "gsm8k"], data_root=data, limit=6, shots=1, new_tokens=8)
    table = evaluate_checkpoints(experiment, open_store(folder), judge).to_pandas()
    assert set(zip(table["task"], table["metric"], strict=True)) == {
        ("sciq", "acc"),
        ("sciq", "acc_norm"),
        ("gsm8k", "exact_match (strict-match)"),
        ("gsm8k", "exact_match (flexible-extract)"),
    }
    assert table["value"].between(0, 1).all()
    assert (table["value"] * 6).round(9).mod(1).eq(0).all()
    assert set(table["items"]) == {6}
    assert set(table["shots"]) == {1}

    long = Harness(["gsm8k"], data_root=data)
    with pytest.raises(InvalidInput, match=r"reads 192 in all.*--new-tokens 96"):
        evaluate_checkpoints(experiment, open_store(folder), long)
    cut = Harness(["gsm8k"], data_root=data, limit=2, new_tokens=150)
    table = evaluate_checkpoints(experiment, open_store(folder), cut).to_pandas()
    assert table.loc[table["task"] == "gsm8k", "warning"].str.contains("runcat").all()
    assert (table.loc[table["task"] == "sciq", "warning"] == "").all()


@needs_harness
def test_its_own_results_file_is_written_as_its_command_writes_it(fresh, data, tmp_path):
    """Key by key, and number by number, that of the harness's own verb and its own writer on the same checkpoint."""
    import lm_eval
    from lm_eval.loggers import EvaluationTracker

    from crossfeed.evaluation.harness import Harness

    folder, experiment = fresh
    judge = Harness(["sciq"], data_root=data, limit=4)
    evaluate_checkpoints(experiment, open_store(folder), judge)
    places = sorted(folder.glob("evaluation/*/*/*/*/results_*.json"))
    assert len(places) == 2, "of the shared generation 0"
    assert len(sorted(folder.glob("evaluation/*/*/*/results_*.json"))) == 4
    ours = json.loads(places[0].read_text())
    checkpoint = ours["config"]["model_args"]["pretrained"]
    assert (folder / checkpoint / "config.json").is_file(), "the path within the run, and not of this machine"
    assert str(folder) not in places[0].read_text()

    tracker = EvaluationTracker(output_path=str(tmp_path / "out"))
    theirs = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(folder / checkpoint)},
        tasks=[judge._tasks["sciq"]],
        limit=4,
        batch_size=8,
        log_samples=False,
        device="cpu",
        evaluation_tracker=tracker,
    )
    tracker.save_results_aggregated(results=theirs, samples={})
    (written,) = (tmp_path / "out").rglob("results_*.json")
    theirs = json.loads(written.read_text())
    assert ours.keys() - {"checksum"} == theirs.keys()
    assert ours["config"].keys() == theirs["config"].keys()
    same = ("results", "versions", "n-shot", "higher_is_better", "n-samples", "group_subtasks", "git_hash")
    assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}
    assert ours["configs"]["sciq"].keys() == theirs["configs"]["sciq"].keys()
    assert ours["model_name_sanitized"] == checkpoint.replace("/", "__")


def test_the_evaluators_documents_are_kept_as_they_come(fresh):
    folder, experiment = fresh
    evaluate_checkpoints(experiment, open_store(folder), Counting("sciq"))
    evaluate_checkpoints(experiment, open_store(folder), Counting("sciq", "gsm8k"))
    cell = experiment.cells()[0].name
    names = open_store(folder).documents(results_of(cell, 1, "a"))
    documents = [open_store(folder).read_document(name) for name in names]
    assert [list(each["results"]) for each in documents] == [["sciq"], ["gsm8k"]]
    assert {each["model"] for each in documents} == {f"checkpoints/{cell}/generation-001/a"}


@needs_harness
def test_the_harness_and_our_metric_see_the_same_likelihoods(fresh, data):
    """Where prompts agree (no support, no shots) the harness's choice is ours but for the normalisation."""
    import lm_eval
    from lm_eval.api.registry import get_model

    from crossfeed.cache import default_cache
    from crossfeed.display.progress import Silent
    from crossfeed.evaluation.harness import Harness
    from crossfeed.protocols import LearnerContext

    place = next((fresh[0] / "checkpoints" / "shared").glob("*/generation-000/a"))
    tasks = Harness(["sciq"], data_root=data)._tasks
    model = get_model("hf")(pretrained=str(place), device="cpu", batch_size=8)
    samples = lm_eval.evaluate(model, {"tasks": tasks}, log_samples=True)["samples"]["sciq"]
    theirs = np.array([found[0][0] for sample in samples for found in sample["resps"]])

    asked = [arguments for sample in samples for arguments in sample["arguments"]]
    settings = Experiment.from_yaml(TINY, (f"learner.base={{model: {place}}}",)).learner
    learner = settings.build(LearnerContext({}, 0, default_cache(), Silent()))
    items = pa.table({"prompt": [prompt for prompt, _ in asked], "completion": [said for _, said in asked]})
    items = items.append_column("finished", pa.array([False] * len(asked)))  # no end of text after a choice
    ((ours,),) = learner.score([learner.load(place)], [items])
    assert math.isfinite(theirs.sum())
    np.testing.assert_allclose(-ours.completion_loss, theirs, rtol=1e-4)


@needs_harness
def test_the_example_ends_at_the_same_choices(fresh, data, capsys, monkeypatch):
    from crossfeed.evaluation import harness
    from tests.test_examples import example

    module = example("lm_eval/same_items")
    monkeypatch.setattr(module, "tasks_of_harness", harness._manager)
    module.main(str(next((fresh[0] / "checkpoints" / "shared").glob("*/generation-000/a"))), str(data))
    said = capsys.readouterr().out
    assert "the 8 items that we keep" in said
    assert said.splitlines()[-1].endswith("same choice 1.0000")


@needs_harness
@pytest.mark.parametrize(
    ("task", "error", "message"),
    [("sciqq", InvalidInput, "did you mean sciq"), ("arc_easy", DataUnavailable, "has no test.parquet")],
)
def test_tasks_that_cannot_be_had_are_named(fresh, data, task, error, message):
    from crossfeed.evaluation.harness import Harness

    (data / "sciqq").mkdir(exist_ok=True)
    (data / "sciqq" / "test.parquet").write_bytes((data / "sciq" / "test.parquet").read_bytes())
    with pytest.raises(error, match=message):
        evaluate_checkpoints(fresh[1], open_store(fresh[0]), Harness([task], data_root=data))
