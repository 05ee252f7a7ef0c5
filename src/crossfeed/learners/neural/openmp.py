"""The waiting of OpenMP's threads; needs no torch, since it must be set before torch is imported."""

from __future__ import annotations

import os

__all__ = ["spin_briefly"]


def spin_briefly() -> None:
    """Have OpenMP's threads wait for each other by spinning for some microseconds, then by sleeping.

    By default they spin for milliseconds. Nothing is gained by that, and where another program or worker wants the
    core, a step of a small model takes ten times as long. OpenMP reads the setting once, when torch is first imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
