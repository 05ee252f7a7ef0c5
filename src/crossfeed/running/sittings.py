"""The sittings of a run: each start that computed something, its environment, and what changed since the one before.

Records of a restart are promised to be those of an undisturbed run, in the same environment. What would give numbers of
two kinds is refused; other versions and processors, which may change last digits, are said and noted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from crossfeed.environment import environment
from crossfeed.errors import StoreMismatch
from crossfeed.protocols import Store

__all__ = ["begin_sitting", "changes", "refuse_mixture"]

_KEPT: Final = ("python", "platform", "processor")
_ONE_DEVICE: Final = re.compile(r":\d+| \([^)]*\)")
_REFUSED: Final = {
    "precision": "set learner.precision",
    "device": "set learner.device",
    "compiled": "install the C compiler again, or have none as before",
}
"""Parts of a learner's description that may not change within a run, each with the way to have it as before."""


def begin_sitting(store: Store) -> None:
    """Keep the environment of a sitting: ``sittings/001``, ``sittings/002``, ...

    Args:
        store: The store of the run, which this process has opened for writing.
    """
    numbers = [int(number) for name in store.documents("sittings") if (number := name.rpartition("/")[2]).isdecimal()]
    begun = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    store.write_document(f"sittings/{max(numbers, default=0) + 1:03d}", {"begun": begun} | environment())


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two environments and may change numbers.

    Args:
        before: The environment of an earlier process (``environment.json``).
        now: That of this one.

    Returns:
        Sentences such as ``numpy 2.4.5 → 2.4.6``, in the order of the environment.
    """
    then, here = dict(_facts(before)), dict(_facts(now))
    differing = [name for name in here | then if then.get(name) != here.get(name)]
    return [f"{name} {then.get(name, 'none')} → {here.get(name, 'none')}" for name in differing]


def refuse_mixture(before: Mapping[str, Any], described: Mapping[str, str]) -> None:
    """Refuse to go on with a run in another precision, on another kind of device, or with other compiled code.

    Args:
        before: The environment of an earlier process; empty if there was none.
        described: The learner's description.

    Raises:
        StoreMismatch: Numbers of two kinds would be mixed.
    """
    for name, advice in _REFUSED.items():
        then, here = (_kind(each.get(name)) for each in (before.get("learner", {}), described))
        if then is not None and then != here:
            raise StoreMismatch(
                f"this run was begun with {name} {then}, and here it is {here}; numbers of both are not mixed: {advice}"
                ", or choose another folder with --out"
            )


def _kind(value: Any) -> str | None:
    """Return a precision, or a device without its number and name: ``cuda``, not ``cuda:0 (...)``."""
    return None if value is None else _ONE_DEVICE.sub("", str(value))


def _facts(of: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in _KEPT:
        if name in of:
            yield name, str(of[name])
    for name, version in of.get("packages", {}).items():
        yield name, str(version)
    for name, value in of.get("learner", {}).items():
        yield name, str(value)
