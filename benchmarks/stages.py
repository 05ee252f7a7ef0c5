"""Where a run's time goes, by stage: base, generate, draw, tokenise, train, evaluate, embed, store.

    python benchmarks/stages.py                          # the quickstart, whole, in one process
    python benchmarks/stages.py sciq-gsm8k-small --data-root FOLDER
    python benchmarks/stages.py --set generations=2      # any preset or file, any change, as for `crossfeed run`

One process, one thread, an empty run folder and an empty cache (so that the base model is made, and timed). Time is
processor time of this process, which other programs disturb least. A stage's own time leaves out what is counted under
another stage within it. What is left, `everything else`, is orchestration: the loop, metrics' arithmetic, imports of
libraries, the joined records. The report is made last.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import read_description
from crossfeed.display.progress import for_stream
from crossfeed.loop import run
from crossfeed.store import open_store


class Stages:
    """Processor seconds by stage; a stage within another stops the outer one's clock."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._open: list[str] = ["everything else"]
        self._since = time.process_time()

    def turn(self) -> None:
        """Give the time since the last turn to the stage that is open."""
        now = time.process_time()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def watch(self, owner: Any, name: str, stage: str) -> None:
        """Count a function's time under a stage."""
        function: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.turn()
            self._open.append(stage)
            self.calls[stage] += 1
            try:
                return function(*args, **kwargs)
            finally:
                self.turn()
                self._open.pop()

        setattr(owner, name, watched)


def watch_all(stages: Stages) -> None:
    """Put the clocks in; those of libraries' own loading count as everything else."""
    from crossfeed.learners.language import learner, scratch
    from crossfeed.learners.language.embedding import Embedder
    from crossfeed.learners.language.tokens import ItemTokenizer
    from crossfeed.running import cell_runner
    from crossfeed.store.folder import FolderStore

    stages.watch(learner, "make_base", "base")
    stages.watch(scratch, "train_tokenizer", "tokenise")
    for name in ("examples", "prompts", "completions", "documents"):
        stages.watch(ItemTokenizer, name, "tokenise")
    stages.watch(learner, "train", "train")
    stages.watch(learner, "complete", "generate")
    stages.watch(learner, "score", "evaluate")
    stages.watch(Embedder, "embed", "embed")
    for name in ("publish", "compose"):
        stages.watch(cell_runner, name, "draw")
    for name in dir(FolderStore):
        if name.startswith(("write_", "read_", "drop_", "has_")) or name in ("begin", "end", "documents"):
            stages.watch(FolderStore, name, "store")


def main() -> None:
    """Read the command line, run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="quickstart", metavar="PRESET|FILE")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--data-root", type=Path)
    chosen = parser.parse_args()
    stages = Stages()
    watch_all(stages)
    experiment = Experiment.from_yaml(read_description(chosen.source), chosen.overrides)
    with tempfile.TemporaryDirectory() as folder, for_stream(sys.stderr) as progress:
        place = Path(folder, "run")
        run(
            experiment,
            open_store(str(place)),
            data_root=chosen.data_root,
            cache=Path(folder, "cache"),
            progress=progress,
        )
        from crossfeed.reporting import html
        from crossfeed.reporting.data.frames import Run

        stages.watch(html, "write_report", "report")
        html.write_report(Run.load(str(place)))
        stages.turn()
    whole = sum(stages.seconds.values())
    print("| stage | seconds | share | calls |\n|---|---|---|---|")
    for stage, seconds in stages.seconds.most_common():
        print(f"| {stage} | {seconds:.1f} | {seconds / whole:.1%} | {stages.calls[stage] or ''} |")
    print(f"| all | {whole:.1f} | | |")


if __name__ == "__main__":
    main()
