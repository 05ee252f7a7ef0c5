"""Public data files of unlike shapes, each as an entity's private task, unedited.

Copy the files from their repositories (`FILES` says where each lies) into one folder, then

    python examples/public_files.py FOLDER

reads each that is there, trains a tiny model on it for one generation, and prints the YAML, the number of items, what
was left out or cut, and one item as the model reads it.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

from crossfeed import Experiment, MemoryStore, check, run

__all__ = ["FILES", "PublicFile", "experiment_on"]


@dataclass(frozen=True)
class PublicFile:
    """A public file.

    Attributes:
        name: Its name in the folder.
        origin: Its repository on GitHub and its path there.
        task: The task's fields besides its path, as YAML.
    """

    name: str
    origin: str
    task: str


FILES = (
    PublicFile(
        "gsm8k.jsonl",
        "openai/grade-school-math: grade_school_math/data/test.jsonl",
        r'fields: {prompt: "{question}\nAnswer:", completion: " {answer}", answer: "{answer}"}, grading: number',
    ),
    PublicFile(
        "svamp.json",
        "arkilpatel/SVAMP: SVAMP.json",
        'fields: {prompt: "{Body} {Question}", completion: " {Answer}", answer: "{Answer}"}, grading: number',
    ),
    PublicFile(
        "svamp_fold.csv",
        "arkilpatel/SVAMP: data/cv_svamp_augmented/fold1/dev.csv",
        'fields: {prompt: "{Question}", completion: " {Equation} = {Answer}"}',
    ),
    PublicFile(
        "seed_tasks.jsonl",
        "yizhongw/self-instruct: data/seed_tasks.jsonl",
        r'fields: {prompt: "{instruction}\n", completion: "\n{instances.0.output}"}',
    ),
    PublicFile(
        "humaneval.jsonl.gz",
        "openai/human-eval: data/HumanEval.jsonl.gz",
        'fields: {prompt: "{prompt}", completion: "{canonical_solution}"}',
    ),
    PublicFile(
        "aqua.json",
        "deepmind/AQuA: dev.json",
        r'fields: {prompt: "{question}\nAnswer:", completion: " {rationale}", answer: "{correct}"}, grading: letter',
    ),
    PublicFile(
        "bbq.jsonl",
        "nyu-mll/BBQ: data/Age.jsonl",
        'fields: {prompt: "{context} {question}", completion: " {right_choice}", answer: "{label}", '
        'choices: ["{ans0}", "{ans1}", "{ans2}"], labels: ["0", "1", "2"]}',
    ),
    PublicFile(
        "conversations.json",
        "lm-sys/FastChat: data/dummy_conversation.json",
        "fields: {messages: {column: conversations, turn: all}}",
    ),
    PublicFile(
        "mt_bench.jsonl",
        "lm-sys/FastChat: fastchat/llm_judge/data/mt_bench/question.jsonl",
        'fields: {prompt: "{turns.0}", completion: " {turns.1}"}',
    ),
    PublicFile(
        "e2e.csv",
        "tuetschek/e2e-dataset: devset.csv",
        'fields: {prompt: "{mr}", completion: " {ref}", key: "{mr}"}',
    ),
    PublicFile(
        "winogender.tsv",
        "rudinger/winogender-schemas: data/all_sentences.tsv",
        'fields: {prompt: "{sentid}", completion: " {sentence}"}',
    ),
    PublicFile(
        "shakespeare.txt",
        "karpathy/char-rnn: data/tinyshakespeare/input.txt",
        'fields: {text: "{text}"}',
    ),
)

_EXPERIMENT = """
ecosystem: {{entities: [{{name: reader, private: mine}}, {{name: math, private: math}}], alpha: 0.5}}
learner:
  kind: language
  base:
    scratch:
      config: {{hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2}}
      vocabulary: 400
      steps: 1
      length: 32
  training: {{steps: 1, initial_steps: 1, max_length: 256}}
  generation: {{max_new_tokens: 8}}
tasks:
  mine: {{source: files, path: '{path}', {task}}}
  math: {{source: math, train: 20, validation: 2, test: 4}}
public: {{source: math, seed: 1, train: 40, validation: 2, test: 4}}
n: 8
generations: 1
metrics: {{loss: true, accuracy: {{items: 4}}}}
"""


def experiment_on(file: PublicFile, folder: Path) -> Experiment:
    """Return a tiny experiment in which one entity owns the file.

    Args:
        file: The file.
        folder: The folder that it lies in.
    """
    return Experiment.from_yaml(_EXPERIMENT.format(path=folder / file.name, task=file.task))


def main(folder: Path) -> None:
    """Try every file that is in a folder.

    Args:
        folder: The folder.
    """
    for file in FILES:
        if not (folder / file.name).is_file():
            print(f"{file.name}: not in {folder}; copy it from {file.origin}\n")
            continue
        experiment = experiment_on(file, folder)
        checked = check(experiment)
        mine = next((task for task in checked.tasks if task.name == "mine"), None)
        print(f"{file.name} ({file.origin})\n  {file.task}")
        print(*(f"  PROBLEM: {problem}" for problem in checked.problems), sep="\n", end="")
        if mine is not None:
            print(f"  items: {mine.items}")
            print(*(f"  {note}" for note in checked.notes if note.startswith("mine")), sep="\n")
            print("  read as:", mine.samples[0].replace("\n", "⏎")[:300])
            with tempfile.TemporaryDirectory() as cache:
                failures = run(experiment, MemoryStore(), cache=Path(cache)).failures
            print("  one step:", failures or "done", "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    main(parser.parse_args().folder)
