"""The sockets on which this process and those that it started wait for connections, as Linux lists them."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

__all__ = ["Listening", "listening"]

_PROC: Final = Path("/proc")
_LISTEN: Final = "0A"
_WORD: Final = 8
"""Hexadecimal digits of four bytes, which the kernel prints in the order of the processor."""


@dataclass(frozen=True)
class Listening:
    """A socket that waits for connections.

    Attributes:
        inode: Its number.
        address: The address that it is bound to; unspecified: all of this machine's.
        port: Its port.
    """

    inode: str
    address: IPv4Address | IPv6Address
    port: int

    @property
    def on_loopback(self) -> bool:
        """True if this machine alone reaches it."""
        mapped = self.address.ipv4_mapped if isinstance(self.address, IPv6Address) else None
        return (mapped or self.address).is_loopback

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"


def listening() -> frozenset[Listening]:
    """Return the sockets of this process and of all that it started, directly or not; none without ``/proc``."""
    inodes = {inode for process in _descendants(os.getpid()) for inode in _sockets(process)}
    return frozenset(each for name in ("tcp", "tcp6") for each in _table(name) if each.inode in inodes)


def _descendants(process: int) -> set[int]:
    parents: dict[int, int] = {}
    for entry in _PROC.glob("[0-9]*"):
        with suppress(OSError, IndexError):  # it ended meanwhile
            fields = (entry / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            parents[int(entry.name)] = int(fields[1])
    found, size = {process}, 0
    while len(found) > size:
        size = len(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return found


def _sockets(process: int) -> set[str]:
    inodes = set()
    with suppress(OSError):
        for descriptor in (_PROC / str(process) / "fd").iterdir():
            with suppress(OSError):
                inodes.add(os.readlink(descriptor).removeprefix("socket:[").removesuffix("]"))
    return inodes


def _table(name: str) -> list[Listening]:
    try:
        lines = (_PROC / "net" / name).read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return []
    rows = [line.split() for line in lines]
    return [Listening(row[9], *_address(row[1])) for row in rows if row[3] == _LISTEN]


def _address(text: str) -> tuple[IPv4Address | IPv6Address, int]:
    digits, _, port = text.partition(":")
    words = [bytes.fromhex(digits[start : start + _WORD])[::-1] for start in range(0, len(digits), _WORD)]
    packed = b"".join(words)
    return (IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)), int(port, 16)
