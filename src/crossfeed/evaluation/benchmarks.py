"""The verb `evaluate`: benchmarks of lm-evaluation-harness on the checkpoints of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from crossfeed.evaluation.checkpoints import evaluate_checkpoints
from crossfeed.evaluation.harness import Harness
from crossfeed.protocols import Progress
from crossfeed.reporting.data.opening import RunLike, open_run

__all__ = ["evaluate"]


def evaluate(
    run: RunLike,
    tasks: Sequence[str],
    *,
    data_root: Path | None = None,
    shots: int | None = None,
    limit: int | None = None,
    new_tokens: int | None = None,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> pa.Table:
    """Evaluate every checkpoint that a run keeps with lm-evaluation-harness (extra ``eval``).

    Numbers are kept in the run; a task is not evaluated again on a checkpoint with the same options.

    Args:
        run: A run of language models: a `Run` or its location (folder or URL).
        tasks: Names of the harness's tasks, such as ``sciq``, ``gsm8k``, ``arc_challenge``.
        data_root: A folder laid out ``<task>/<split>.parquet`` to read instead of the hub.
        shots: Worked examples in each prompt; default: as each task states.
        limit: Number of items of each task, the first ones; default: all.
        new_tokens: Most tokens of a generated answer; default: as each task states, else 256.
        batch_size: Items in a batch; it changes no number beyond rounding.
        progress: Receives the progress; default: none is reported.

    Returns:
        One row per number: the columns of the records, then ``stderr``, ``items``, ``shots``, ``warning`` and
        ``options``. Numbers of earlier calls are included.

    Raises:
        InvalidInput: The models are no language models, or a task is unknown or does not fit them.
        DataUnavailable: The data of a task cannot be read.
        MissingDependency: The harness is not installed.
        StoreError: There is no run, it keeps no checkpoints, or one cannot be read.
    """
    harness = Harness(
        tasks, data_root=data_root, shots=shots, limit=limit, new_tokens=new_tokens, batch_size=batch_size
    )
    opened = open_run(run)
    return evaluate_checkpoints(opened.experiment, opened.store, harness, progress)
