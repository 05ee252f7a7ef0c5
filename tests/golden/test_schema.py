"""The file of the JSON Schema in the package is what the settings of crossfeed's own kinds say.

``python -m tests.golden.test_schema`` writes it anew, after a key was added or its meaning changed.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from crossfeed.description.json_schema import FILE, built_in_schema


def text() -> str:
    """The file as it has to be."""
    return json.dumps(built_in_schema(), indent=1, ensure_ascii=False) + "\n"


def test_the_file_is_in_step_with_the_settings():
    there = (resources.files("crossfeed") / "presets" / FILE).read_text(encoding="utf-8")
    assert there == text(), "run: python -m tests.golden.test_schema"


if __name__ == "__main__":
    place = Path(__file__).parents[2] / "src" / "crossfeed" / "presets" / FILE
    place.write_text(text(), encoding="utf-8")
    print(f"wrote {place}")
