"""CUDA graphs: work that a device repeats is captured once and replayed.

A small model's kernels take the device less time than the host needs to launch them one by one. A CUDA graph launches
them all at once (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs). Captured work reads and writes the
same memory at every replay, so that inputs are copied into place before it and results are read after it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

__all__ = ["CudaGraphs", "Replay"]

Replay = Callable[[], None]
"""Repeats captured work on the device."""


class CudaGraphs:
    """Captures work on one device; the captured graphs share memory for intermediate results.

    Replays follow one another: what one leaves in shared memory is gone with the next. One object serves a process:
    each stream of work has a workspace of its own on the device.

    Args:
        device: A CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call, unused-ignore]
        self._pool: Any = torch.cuda.graph_pool_handle()

    def preserved_generators(self) -> AbstractContextManager[None]:
        """Restore torch's generators at the end, as if nothing had been drawn."""
        return torch.random.fork_rng(devices=[self._device])

    def warm_up(self, work: Callable[[], None]) -> None:
        """Do work once as it will be captured: what libraries set up at their first call cannot be captured.

        Args:
            work: Launches kernels.
        """
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            work()
        current.wait_stream(self._stream)

    def capture(self, work: Callable[[], None]) -> Replay:
        """Capture work without doing it.

        Random numbers drawn in it come from torch's generator, as it stands at each replay.

        Args:
            work: Launches kernels.

        Returns:
            A function that does the work.

        Raises:
            RuntimeError: The work waits for the device or copies to the host, which cannot be captured.
        """
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                work()
        except RuntimeError:
            self._renew_generator()
            raise
        replay: Replay = graph.replay
        return replay

    def _renew_generator(self) -> None:
        """Let random numbers be drawn again: a capture that broke off leaves torch's generator in capture mode."""
        generator = torch.cuda.default_generators[self._device.index or 0]
        generator.graphsafe_set_state(torch.Generator(self._device).graphsafe_get_state())
