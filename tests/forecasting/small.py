"""A language model's experiment that is small enough to be forecast and run in a second or two."""

from __future__ import annotations

from contextlib import contextmanager

from crossfeed.description.experiment import Experiment
from tests.tiny import TINY

SMALL = (
    TINY.replace("train: 40, validation: 4, test: 6", "train: 24, validation: 2, test: 3")
    .replace("n: 64", "n: 32")
    .replace("generations: 2", "generations: 2\nmetrics: {loss: {}}")
    .replace(
        "metrics: {loss: {}, completion_loss: {}, accuracy: {}, similarity: {}, distinct: {}, projection: {}}\n", ""
    )
    .replace("ecosystem.alpha: [0, 0.5]", "ecosystem.alpha: [0.5, 1]")
)


def small(*overrides):
    """Two cells: one is a probe, one is not; the other probe is not on the grid."""
    return Experiment.from_yaml(SMALL, overrides)


class Interrupted(Exception):
    """What stops a forecast in the middle."""


class Stages:
    """Progress that keeps the names of stages, and may stop the work in one of them.

    Args:
        stop_in: The name of a stage, or the beginning of a line that is logged.
        time: How many times it has to have begun.
    """

    def __init__(self, stop_in="", time=1):
        self.names, self._stop_in, self._time = [], stop_in, time

    @contextmanager
    def stage(self, name, total=None, detail=""):
        self.names.append(name)

        def advance(steps):
            if name == self._stop_in and self.names.count(name) == self._time:
                raise Interrupted(name)

        yield advance
        advance(0)

    def log(self, text):
        if self._stop_in and text.startswith(self._stop_in):
            raise Interrupted(text)
