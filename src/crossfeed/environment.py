"""The environment of a run: versions, processor, git commit."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from crossfeed.description.registry import plugin_packages

__all__ = ["WORKER_NUMBER", "absent_packages", "environment"]

WORKER_NUMBER: Final = "CROSSFEED_WORKER"
"""Environment variable with the number of a worker: of several accelerators it takes the one of that number."""

_PACKAGES = (
    "crossfeed",
    "numpy",
    "scipy",
    "pyarrow",
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "sentence-transformers",
)


def environment() -> dict[str, Any]:
    """Describe the environment of this process.

    Returns:
        Plain data: versions of Python and packages, the machine, and the git commit of the source, if it is a checkout.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name)) is not None}
        | plugin_packages(),
        "git_commit": _commit(Path(__file__).parent),
    }


def absent_packages(written: Mapping[str, Any]) -> list[str]:
    """Return packages with parts of descriptions that were installed where a run was made, and are not here.

    Args:
        written: The run's ``environment.json``.

    Returns:
        Each as ``name==version``.
    """
    packages = {name: version for name, version in written.get("packages", {}).items() if name not in _PACKAGES}
    return [f"{name}=={version}" for name, version in packages.items() if _version(name) != version]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit(folder: Path) -> str | None:
    """Return the commit of the checkout that the package runs from; None for an installed package or without git."""
    if not (folder.parent.parent / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
