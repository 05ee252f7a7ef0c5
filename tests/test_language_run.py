"""Whole runs with real (tiny) transformers: what is on disk is what other programs can read, and nothing is lost."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from crossfeed import Experiment, open_store, run
from tests.runs import numbers
from tests.tiny import TINY

torch = pytest.importorskip("torch", reason="the language learner needs the lm extra")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run: its experiment, folder and outcome."""
    folder = tmp_path_factory.mktemp("language") / "run"
    experiment = Experiment.from_yaml(TINY)
    outcome = run(experiment, open_store(folder), cache=tmp_path_factory.mktemp("cache"))
    assert not outcome.failures
    return experiment, folder, outcome


def plain_loss(checkpoint, texts, longest):
    """Mean loss a token by transformers alone, one text at a time, as anyone would compute it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    total = count = 0.0
    for text in texts:
        ids = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id][:longest]
        with torch.no_grad():
            loss = model(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss
        total += float(loss) * (len(ids) - 1)
        count += len(ids) - 1
    return total / count


def test_a_checkpoint_gives_the_recorded_loss_in_plain_transformers(finished):
    experiment, folder, outcome = finished
    records = outcome.records.to_pandas()
    for task, settings in experiment.tasks.items():
        test = settings.build(task, None).test
        texts = [row["prompt"] + row["completion"] for row in test.to_pylist()]
        for cell in experiment.cells():
            for model in ("a", "b"):
                checkpoint = folder / "checkpoints" / cell.name / "generation-002" / model
                chosen = records.query(
                    "cell == @cell.name and generation == 2 and model == @model and task == @task and metric == 'loss'"
                )
                assert plain_loss(checkpoint, texts, 160) == pytest.approx(chosen["value"].item(), rel=1e-5)


def test_records_read_in_pandas_and_duckdb(finished):
    import duckdb
    import pandas as pd

    _, folder, outcome = finished
    path = folder / "records.parquet"
    frame = pd.read_parquet(path)
    assert {"cell", "seed", "alpha", "beta", "generation", "model", "task", "metric", "value"} <= set(frame.columns)
    assert len(frame) == outcome.records.num_rows
    query = f"select metric, count(*) from '{path}' group by metric"
    assert dict(duckdb.sql(query).fetchall()) == frame["metric"].value_counts().to_dict()
    assert {"loss", "completion_loss", "accuracy", "similarity", "distinct_1", "distinct_2", "drawn", "seconds"} == set(
        frame["metric"]
    )


def test_the_pool_reads_as_a_data_set_with_its_provenance(finished, tmp_path):
    from datasets import load_dataset

    experiment, folder, _ = finished
    pool = load_dataset(str(folder / "pool"), split="train", cache_dir=str(tmp_path))  # all of it, as it lies there
    assert set(pool.column_names) >= {
        "cell",
        "generation",
        "author",
        "item",
        "prompt_row",
        "key",
        "prompt",
        "completion",
    }
    prompts = {
        entity.name: experiment.tasks[entity.private].build("x", None).train.column("prompt").to_pylist()
        for entity in experiment.ecosystem.entities
    }
    assert set(pool["generation"]) == {1, 2}
    assert set(pool["cell"]) == {cell.name for cell in experiment.cells() if cell.point["ecosystem.alpha"] > 0}
    assert all(row["prompt"] == prompts[row["author"]][row["prompt_row"]] for row in pool)


def test_models_learn_from_the_pool_but_not_without_it(finished):
    """With alpha = 0 nothing is drawn from the others; with alpha = 0.5 about half is."""
    frame = finished[2].records.to_pandas().query("metric == 'drawn' and generation > 0")
    synthetic = frame[frame["task"].isin(["a", "b"])].groupby("alpha")["value"].sum()
    total = frame.groupby("alpha")["value"].sum()
    assert synthetic.get(0.0, 0.0) == 0
    share = synthetic[0.5] / total[0.5]
    assert abs(share - 0.5) < 4 * np.sqrt(0.25 / total[0.5])


def test_killed_runs_go_on_to_identical_records(finished, tmp_path):
    _, _, undisturbed = finished
    (tmp_path / "tiny.yaml").write_text(TINY)
    command = [sys.executable, "-m", "crossfeed", "run", "tiny.yaml", "--quiet", "--out", "run"]
    chance = random.Random(1)
    killed = 0
    for _ in range(4):
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (tmp_path / "run" / "environment.json").exists():
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 4))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed
    again = run(Experiment.from_yaml(TINY), open_store(tmp_path / "run"))

    assert numbers(again) == numbers(undisturbed)


def test_a_model_that_diverges_stops_its_cell_alone(tmp_path):
    text = TINY.replace(
        "ecosystem.alpha: [0, 0.5]", "learner.training.learning_rate: [1e30, 0.01]\n  ecosystem.alpha: [0]"
    )
    outcome = run(Experiment.from_yaml(text, ("learner.training.clipping=null",)), open_store(tmp_path / "run"))
    (failure,) = outcome.failures.values()
    assert failure["type"] == "Diverged"
    assert "entity a: generation 0" in failure["message"]
    assert set(outcome.records.to_pandas()["cell"]) == {c.name for c in Experiment.from_yaml(text).cells()} - set(
        outcome.failures
    )
