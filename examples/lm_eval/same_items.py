"""Our accuracy on SciQ beside lm-evaluation-harness, on the items of one checkpoint: where do they differ, and why?

    python examples/lm_eval/same_items.py RUN/checkpoints/CELL/generation-006/sciq data/

Both take the choice with the highest likelihood. The harness (a) shows the support text before the question, (b) keeps
items without one, and (c) compares sums (``acc``) or means a character (``acc_norm``); ours shows the question alone
and compares means a token, with the end of the text as the last token. Undoing these one by one ends at the same choice
for every item.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import lm_eval
import numpy as np
import pyarrow as pa
from lm_eval.api.registry import get_model
from lm_eval.tasks import TaskManager

from crossfeed import Experiment
from crossfeed.cache import default_cache
from crossfeed.display.progress import Silent
from crossfeed.protocols import LearnerContext

DESCRIPTION = """
ecosystem: {{entities: [{{name: sciq, private: sciq}}], alpha: 0, beta: 1}}
learner:
  kind: language
  base: {{model: "{model}"}}
  training: {{max_length: {room}}}
  generation: {{max_prompt_tokens: {half}, max_new_tokens: {half}}}
  device: cpu
tasks: {{sciq: sciq}}
public: math
n: 1
generations: 0
"""


def learner_of(checkpoint: str) -> tuple[Experiment, Any]:
    room = json.loads((Path(checkpoint) / "config.json").read_text())["max_position_embeddings"]
    experiment = Experiment.from_yaml(DESCRIPTION.format(model=checkpoint, room=room, half=room // 2))
    return experiment, experiment.learner.build(LearnerContext({}, 0, default_cache(), Silent()))


def our_losses(checkpoint: str, asked: list[tuple[str, str]], ends: bool) -> tuple[Any, Any]:
    """``(requests,)`` loss of each choice and its tokens, with or without the end of the text."""
    _, learner = learner_of(checkpoint)
    table = pa.table({"prompt": [prompt for prompt, _ in asked], "completion": [said for _, said in asked]})
    table = table.append_column("finished", pa.array([ends] * len(asked)))
    ((scores,),) = learner.score([learner.load(Path(checkpoint))], [table])
    return scores.completion_loss, scores.completion_size


@cache
def tasks_of_harness() -> TaskManager:
    return TaskManager()


def harness(checkpoint: str, data: str, **changed: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The harness's samples on the test split, with some fields of its task changed."""
    places = {"test": str(Path(data).resolve() / "sciq" / "test.parquet")}
    local = {"dataset_path": "parquet", "dataset_name": None, "dataset_kwargs": {"data_files": places}}
    only_test = {"training_split": None, "validation_split": None, "num_fewshot": 0}
    with contextlib.redirect_stderr(io.StringIO()):
        members = [{"task": "sciq"} | local | only_test | changed]
        tasks = tasks_of_harness().load([{"group": "local", "task": members}])["tasks"]
        model = get_model("hf")(pretrained=str(checkpoint), device="cpu", batch_size=32)
        found = lm_eval.evaluate(model, {"tasks": tasks}, bootstrap_iters=0, log_samples=True)
    return found["results"]["sciq"], found["samples"]["sciq"]


def chosen(values: Any, choices: int = 4) -> Any:
    return np.asarray(values).reshape(-1, choices).argmax(axis=1)


def main(checkpoint: str, data: str) -> None:
    stock, _ = harness(checkpoint, data)
    print(f"harness, all items:            acc {stock['acc,none']:.4f}, acc_norm {stock['acc_norm,none']:.4f}")
    _, samples = harness(checkpoint, data, doc_to_text="Question: {{question}}\nAnswer:")
    experiment, _ = learner_of(checkpoint)
    kept = set(experiment.tasks["sciq"].build("sciq", Path(data)).test.column("prompt").to_pylist())
    samples = [sample for sample in samples if sample["arguments"][0][0] in kept]
    asked = [request for sample in samples for request in sample["arguments"]]
    right = np.array([sample["target"] for sample in samples])
    likelihood = np.array([found[0][0] for sample in samples for found in sample["resps"]])
    length = np.array([len(said) - 1 for _, said in asked])  # without the space before it
    loss, tokens = our_losses(checkpoint, asked, ends=True)
    bare, bare_tokens = our_losses(checkpoint, asked, ends=False)
    ours = chosen(-loss / tokens)
    print(f"the {len(samples)} items that we keep, our prompt:")
    for name, choice in {
        "harness, sum": chosen(likelihood),
        "harness, mean a character": chosen(likelihood / length),
        "harness, mean a token": chosen(likelihood / bare_tokens),
        "ours without the end of text": chosen(-bare / bare_tokens),
        "ours (the metric `accuracy`)": ours,
    }.items():
        print(f"  {name:<29} {np.mean(choice == right):.4f}   same choice as ours {np.mean(choice == ours):.4f}")
    same = np.mean(chosen(likelihood / bare_tokens) == chosen(-bare / bare_tokens))
    print(f"harness, mean a token, and ours without the end of text: same choice {same:.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
