"""The device and the precision that models run in."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from crossfeed.environment import WORKER_NUMBER
from crossfeed.errors import InvalidInput

__all__ = ["Device", "open_device", "quiet"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


@dataclass(frozen=True)
class Device:
    """A torch device and the precision of forward passes.

    Attributes:
        torch_device: The device.
        bf16: True if forward passes run under bf16 autocast.
    """

    torch_device: torch.device
    bf16: bool

    @property
    def on_host(self) -> bool:
        """True if results are read without waiting for an accelerator."""
        return self.torch_device.type == "cpu"

    def in_host_memory(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return copies in host memory; pinned on a CUDA device, so that all transfers are under way at once.

        Args:
            tensors: Tensors by name.
        """
        pinned = self.torch_device.type == "cuda"
        copies = {}
        for name, tensor in tensors.items():
            room = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=pinned)
            copies[name] = room.copy_(tensor.detach(), non_blocking=pinned)
        if pinned:
            torch.cuda.synchronize(self.torch_device)
        return copies

    def autocast(self) -> AbstractContextManager[object]:
        """Return a context in which forward passes have this precision."""
        return torch.autocast(self.torch_device.type, dtype=torch.bfloat16, enabled=self.bf16)

    def describe(self) -> dict[str, str]:
        """Return device, precision and threads as text."""
        device = self.torch_device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu"
        return {
            "device": f"{device} ({name})",
            "precision": "bf16 autocast" if self.bf16 else "fp32",
            "threads": str(torch.get_num_threads()),
        }

    @contextmanager
    def seeded(self, key: int) -> Iterator[None]:
        """Seed torch's own generators (dropout, initial weights) by a key, and restore them afterwards.

        Args:
            key: The seed.
        """
        device = self.torch_device
        with torch.random.fork_rng(devices=[device.index or 0] if device.type == "cuda" else []):
            torch.manual_seed(key)
            yield


def open_device(name: str, precision: Literal["auto", "fp32", "bf16"], threads: int) -> Device:
    """Open a device and set the number of torch's threads.

    Args:
        name: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:<number>``.
        precision: ``auto`` is bf16 on CUDA devices that have it, else fp32.
        threads: CPU threads for torch.

    Raises:
        InvalidInput: The device does not exist on this machine.
    """
    device = torch.device(_own(_best() if name == "auto" else name))
    _check(device)
    torch.set_num_threads(threads)
    if device.type == "cpu":
        _keep_freed_memory()
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return Device(device, bf16=precision == "bf16" or (precision == "auto" and has_bf16))


def _own(name: str) -> str:
    """Return the accelerator that has this worker's number, if there are several."""
    number = int(os.environ.get(WORKER_NUMBER, "0"))
    return f"cuda:{number % max(1, torch.cuda.device_count())}" if name == "cuda" else name


def _best() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _check(device: torch.device) -> None:
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InvalidInput("device: 'mps' is not available here; give 'auto' or 'cpu'")
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise InvalidInput(f"device: {str(device)!r} is not there ({count} CUDA devices); give 'auto' or 'cpu'")


def _keep_freed_memory() -> None:
    """Have glibc keep freed blocks for the next step.

    Activations and logits are a few megabytes: by default each is mapped and given back at every step, and the
    page faults cost a tenth to a third of a small model's time.
    """
    if sys.platform.startswith("linux"):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, 1 << 28)
            mallopt(_M_TRIM_THRESHOLD, 1 << 29)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bars and advice of transformers while a model is read or written; restored afterwards."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
