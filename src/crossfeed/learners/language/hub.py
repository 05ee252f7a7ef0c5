"""A quick test that the Hugging Face hub can be reached: its own client tries for minutes before it gives up."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit
from urllib.request import getproxies

__all__ = ["local_only"]

_PATIENCE = 5.0


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
