"""Every description on a page can be read: whole ones as they are, parts of one laid over a preset."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from crossfeed import Experiment
from crossfeed.description.reading import read_preset
from tests.docs.blocks import PAGES, blocks, described, is_excerpt

DESCRIPTIONS = [block for page in PAGES for block in blocks(page, "yaml") if not is_excerpt(block.text)]


def laid_over(base: Any, part: Any) -> Any:
    """Mappings are merged; one that names its kind or source takes nothing from the other."""
    if not (isinstance(base, dict) and isinstance(part, dict)) or {"kind", "source"} & part.keys():
        return part
    return base | {key: laid_over(base.get(key), value) for key, value in part.items()}


@pytest.mark.parametrize("block", DESCRIPTIONS, ids=lambda block: block.name)
def test_a_description_on_a_page_can_be_read(block):
    data, whole = described(block)
    text = block.text if whole else yaml.safe_dump(laid_over(yaml.safe_load(read_preset("quickstart")), data))
    experiment = Experiment.from_yaml(text)
    assert experiment.cells()
    assert Experiment.from_yaml(experiment.to_yaml()) == experiment


def test_there_are_whole_ones():
    whole = [block.page.name for block in DESCRIPTIONS if described(block)[1]]
    assert {"README.md", "theory.md", "plan.md", "tutorial.md"} <= set(whole)
