"""The verb `compare`: runs of one experiment laid beside the paper's tables."""

from __future__ import annotations

from collections.abc import Sequence

from crossfeed.reporting.data.opening import RunLike, open_runs
from crossfeed.reporting.paper.agreement import Comparison, compare_combined
from crossfeed.reporting.paper.runs import combine

__all__ = ["compare"]


def compare(runs: RunLike | Sequence[RunLike], table: str | None = None) -> Comparison:
    """Compare runs with the paper's tables, cell by cell and by how many directions agree.

    Args:
        runs: A run or a sequence of runs of one experiment, in which seeds, alpha and beta may differ; each a `Run` or
            its location (folder or URL). They may be unfinished.
        table: A table of the paper, such as ``7`` or ``2a``; default: every table of the same tasks whose metric the
            runs measured.

    Returns:
        The cells, and for each table the number of directions that agree.

    Raises:
        InvalidInput: No run is given; the runs are not one experiment, or not about the paper's tasks; or the table
            does not exist or does not fit the runs.
        StoreError: There is no run at a location, or part of it is damaged.
        NewerSchema: A run was written by a newer crossfeed.
    """
    return compare_combined(combine(open_runs(runs)), table)
