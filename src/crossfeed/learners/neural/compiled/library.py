"""The library of `kernels.c`: compiled once by the machine's own compiler, kept in the cache, and loaded."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

import torch

from crossfeed.cache import cached_folder, default_cache
from crossfeed.errors import CrossfeedError

__all__ = ["compiler", "library"]

_SOURCES: Final = tuple(Path(__file__).with_name(name) for name in ("kernels.c", "rows.h"))
_LIBRARY: Final = "kernels.so"
_FLAGS: Final = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
_MACHINES: Final = {"AVX512": ("-march=skylake-avx512",), "AVX2": ("-march=haswell",)}
"""Instructions beyond what every processor of an architecture has, by torch's names."""
_LONGEST_S: Final = 60.0


def library(capability: str | None = None) -> ctypes.CDLL | None:
    """Return the compiled library, or None where no compiler builds it or it cannot be stored.

    It is compiled in half a second, and taken from the cache from then on, from a folder that only this user can write.

    Args:
        capability: The instructions to use, by torch's names; None takes those that torch uses here.
    """
    flags = (*_FLAGS, *_MACHINES.get(capability or torch.backends.cpu.get_cpu_capability(), ()))
    try:
        command = compiler()
        if command is None:
            return None
        version = _output([*command, "--version"])
        sources = [source.read_text(encoding="utf-8") for source in _SOURCES]
        described = "\n".join([*sources, *command, *flags, version, platform.machine()])
        name = hashlib.blake2b(described.encode(), digest_size=16).hexdigest()

        def make(folder: Path) -> None:
            _output([*command, *flags, str(_SOURCES[0]), "-o", str(folder / _LIBRARY), "-lm"])

        folder = cached_folder(default_cache() / "kernels" / name, make)
        return ctypes.CDLL(str(folder / _LIBRARY)) if _is_own(folder) else None
    # Also what cannot be a command or a path, and a cache that cannot be written: it is only slower without.
    except (OSError, ValueError, RuntimeError, CrossfeedError, subprocess.SubprocessError):
        return None


def compiler() -> list[str] | None:
    """Return the command of the C compiler: ``$CC``, or the first of cc, gcc and clang that exists; None on Windows.

    Raises:
        ValueError: ``$CC`` is not a command.
    """
    if sys.platform == "win32":
        return None
    given = os.environ.get("CC")
    if given is not None:
        return shlex.split(given) or None
    return next(([name] for name in ("cc", "gcc", "clang") if shutil.which(name)), None)


def _is_own(folder: Path) -> bool:
    """Return True if a folder belongs to this user, and nobody else may write into it."""
    about = folder.lstat()
    return about.st_uid == os.getuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _output(command: list[str]) -> str:
    answer = subprocess.run(command, check=True, capture_output=True, text=True, errors="replace", timeout=_LONGEST_S)  # noqa: S603
    return answer.stdout
