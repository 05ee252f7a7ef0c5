"""Packages of trackers, imported when one begins."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from crossfeed.errors import MissingDependency

__all__ = ["imported"]


def imported(module: str, title: str) -> Any:
    """Import a module of a tracker's package.

    Args:
        module: The module's full name.
        title: The tracker's name in messages.

    Raises:
        MissingDependency: The package is not installed.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise  # it is there, and something that it needs is not
        raise MissingDependency(f"{title} is not installed: pip install 'crossfeed[track]'") from error
