"""One small plan: searching takes seconds."""

from __future__ import annotations

import numpy as np
import pytest

from crossfeed import Experiment
from crossfeed.exact.planning import Plan, plan

ONE = """
ecosystem: {entities: [{name: a, private: p}], beta: 0.5}
learner: {kind: linear}
tasks: {p: {source: regression, dimension: 2, rows: 8, rank: 1, truth: [2, -1]}}
public: {source: regression, dimension: 2, rows: 9, truth: [2, -1]}
generations: 2
grid: {ecosystem.alpha: [0.1, 0.3, 0.5, 0.7, 0.9]}
"""


@pytest.fixture(scope="session")
def planned() -> Plan:
    with pytest.MonkeyPatch.context() as patch:
        for axis in ("_ALPHAS", "_BETAS"):
            patch.setattr(f"crossfeed.exact.planning.{axis}", np.linspace(0.0, 1.0, 9))
        return plan(Experiment.from_yaml(ONE))
