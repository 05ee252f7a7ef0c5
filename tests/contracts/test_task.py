"""What every task keeps to; add new ones to `TASKS`: what stands under ``tasks:``."""

from __future__ import annotations

import pytest

from crossfeed.testing import TaskContract

SMALL = {"train": 40, "validation": 4, "test": 10}
TASKS = {
    "fake": {"source": "fake"},
    "regression": {"source": "regression", "dimension": 3, "rows": 12},
    # As many replicates as make equal rows impossible in practice: items are compared by what they say.
    "categorical": {"source": "categorical", "zipf": {"symbols": 1000}, "replicates": 16, "train": 40, "test": 10},
    "topic": {"source": "topic", "number": 3},
    "facts-fr": {"source": "facts", "language": "fr", "part": "2/5", **SMALL},
    "math-de": {"source": "math", "language": "de", **SMALL},
    **{source: {"source": source, **SMALL} for source in ("facts", "math", "reason", "stdlib-docs")},
}


class TestTask(TaskContract):
    @pytest.fixture(scope="class", params=sorted(TASKS))
    @classmethod
    def described(cls, request):
        return TASKS[request.param]
