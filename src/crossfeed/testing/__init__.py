"""Contract suites for learners, tasks, stores and executors, as classes of tests for pytest.

Crossfeed's own implementations are tested with them. To test yours, subclass one in a file of tests::

    from crossfeed.testing import LearnerContract


    class TestLetters(LearnerContract):
        experiment = "..."  # YAML: two entities of your learner, small enough for tests

This package alone needs pytest; crossfeed itself does not.
"""

from __future__ import annotations

import pytest

# Before the import: failures of the suites then show values, as those in files of tests do.
for _name in ("executors", "learners", "stores", "tasks"):
    pytest.register_assert_rewrite(f"crossfeed.testing.{_name}")

from crossfeed.testing.executors import ExecutorContract  # noqa: E402
from crossfeed.testing.learners import LearnerContract  # noqa: E402
from crossfeed.testing.stores import StoreContract  # noqa: E402
from crossfeed.testing.tasks import TaskContract  # noqa: E402

__all__ = ["ExecutorContract", "LearnerContract", "StoreContract", "TaskContract"]
