"""What crossfeed asks of every learner and task, asked of ours; and what our own metric and filter promise."""

from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pyarrow as pa
import pytest
from letters.filter import StutterSettings
from letters.metric import entropy

from crossfeed.testing import LearnerContract, TaskContract


class TestLetters(LearnerContract):
    """Eleven tests, inherited."""

    experiment = Path(__file__).with_name("experiment.yaml").read_text()


class TestAlphabet(TaskContract):
    """Five tests, inherited."""

    settings: ClassVar = {"source": "alphabet", "direction": "backward", "train": 40}


def test_entropy_of_letters() -> None:
    assert entropy(["ab", " ba"]) == pytest.approx(1)
    assert entropy(["aaa"]) == 0
    assert entropy([" ", ""]) is None


def test_stutters_are_thrown_out() -> None:
    pool = SimpleNamespace(authors=("a",), items=lambda author: pa.table({"completion": [" abc", " aba", " "]}))
    (kept,) = StutterSettings().build({}).synthetic(pool)
    assert kept.tolist() == [[True, False, True]]
