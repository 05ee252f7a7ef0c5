"""Names and ids of cells: a name that is safe for a folder, and a hash of a description."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final

__all__ = ["digest", "label"]

_LONGEST: Final = 100  # a cell's name is a folder's, and systems keep at most 255 bytes of one


def label(point: dict[str, Any], seed: int) -> str:
    """Return the name of a point of the grid, its values by path, with a seed."""
    last = [path.rpartition(".")[2] for path in point]
    words = [path.replace(".", "-") if last.count(word) > 1 else word for path, word in zip(point, last, strict=True)]
    parts = [f"{word}-{_slug(value)}" for word, value in zip(words, point.values(), strict=True)]
    name = "_".join(parts)
    if len(name) > _LONGEST:
        name = f"{name[:_LONGEST]}-{digest(point)[:6]}"
    return f"{name}_seed-{seed}" if name else f"seed-{seed}"


def _slug(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1 and 1.0 are one value
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.") or "none"
    return plain if plain == text and len(plain) <= 40 else f"{plain[:30]}-{digest(value)[:6]}"


def digest(content: Any) -> str:
    """Return 12 hexadecimal digits that any change of the content, plain data, changes."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
