"""The notes of a release, from the changelog: those of a version, or of what is not released yet.

::

    python tests/install/release_notes.py          # what stands under Unreleased
    python tests/install/release_notes.py 0.1.0
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"


def main() -> int:
    """Print the section."""
    version = sys.argv[1] if len(sys.argv) > 1 else "Unreleased"
    parts = re.split(r"^## \[?([^\]\s]+)\]?.*\n", CHANGELOG.read_text(encoding="utf-8"), flags=re.M)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    if version not in sections:
        print(f"CHANGELOG.md has no section {version}; it has {', '.join(sections)}", file=sys.stderr)
        return 2
    print(sections[version].strip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
