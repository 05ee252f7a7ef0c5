"""Names of models: a folder here or an id of the Hugging Face hub, and a quick test that the hub can be reached.

The hub's own client tries for minutes before it gives up.
"""

from __future__ import annotations

import difflib
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from crossfeed.cache import expanded

__all__ = ["is_hub_id", "local_only", "no_folder"]

_PATIENCE = 5.0
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_LISTED = 4


def local_only() -> bool:
    """Return True if only earlier downloads can be used: the hub is switched off by settings or cannot be reached."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return True
    if getproxies():
        return False  # the way out is not known here; its client will see
    address = urlsplit(constants.ENDPOINT)
    try:
        socket.create_connection((address.hostname or "", address.port or 443), timeout=_PATIENCE).close()
    except OSError:
        return True
    return False


def is_hub_id(name: str) -> bool:
    """Return True if a name can be an id of the hub: ``name`` or ``owner/name``, and no path.

    Args:
        name: The name.
    """
    return bool(_HUB_ID.fullmatch(name)) and not name.startswith(".")


def no_folder(name: str) -> str:
    """Return a clause that says that a name is no folder here, with the folders that may be meant.

    Args:
        name: The name.
    """
    folder = expanded(name)
    if not folder.parent.is_dir():
        return f"there is no folder {name!r}"
    there = sorted(path.name for path in folder.parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    close = difflib.get_close_matches(folder.name, there, n=1)
    if close:
        return f"there is no folder {name!r} (is it {str(folder.parent / close[0])!r}?)"
    if folder.parent == Path() or not there:
        return f"there is no folder {name!r}"
    listed = ", ".join(there[:_LISTED]) + (", ..." if len(there) > _LISTED else "")
    return f"there is no folder {name!r} ({str(folder.parent)!r} holds {listed})"
