"""What the schema accepts and refuses is what the reading code does, as far as a schema can say."""

from __future__ import annotations

import json
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfeed import Experiment
from crossfeed.description.reading import preset_names, read_preset
from crossfeed.description.strict_yaml import parse_yaml
from tests.docs.blocks import PAGES, blocks, described, is_excerpt
from tests.faults.corpus.fields import BASE
from tests.schema.mutations import complaint, mutated, refusal

#: Said of one value alone; the schema has to say it, too.
PLAIN = re.compile(
    r"^([\w.-]+): (input should|unknown key|unknown (learner|task|metric|filter|reward)|missing; it has)", re.M
)
#: Of these the schema knows the form alone: values may be the entity's number, or lie over another learner's.
FREE = re.compile(r"^(tasks\.e\d+\.|ecosystem\.entities\.\w+\.learner\.|ecosystem\.entities: input should be a list)")

BASES = {name: parse_yaml(read_preset(name)) for name in preset_names()} | {"base": parse_yaml(BASE)}
WHOLE = {
    name: json.loads(json.dumps(Experiment.from_yaml(read_preset(name)).model_dump(mode="json")))
    for name in ("fake", "quickstart", "curated-pool", "late-entrant", "figure-4")
}


@pytest.mark.parametrize("name", BASES)
def test_good_descriptions_are_accepted(name):
    assert complaint(BASES[name]) == ""


@pytest.mark.parametrize("name", WHOLE)
def test_descriptions_with_all_their_defaults_are_accepted(name):
    assert complaint(WHOLE[name]) == ""


def test_descriptions_of_the_pages_and_examples_are_accepted():
    texts = [
        block.text
        for page in PAGES
        for block in blocks(page, "yaml")
        if not is_excerpt(block.text) and described(block)[1]
    ]
    assert len(texts) > 5
    for text in texts:
        assert complaint(parse_yaml(text)) == "", text


def given_by_grid(path: tuple, data: dict) -> bool:
    """Whether the grid gives a value in a place, so that what stands there is not read."""
    dotted = ".".join(map(str, path))
    return any(
        each == dotted or each.startswith(f"{dotted}.") or dotted.startswith(f"{each}.")
        for each in data.get("grid", {})
    )


def whole_floats(data: object) -> bool:
    """Whether there is a number such as 1.0, which is a whole number for JSON Schema and none for a description."""
    if isinstance(data, dict):
        return any(map(whole_floats, data.values()))
    if isinstance(data, list):
        return any(map(whole_floats, data))
    return isinstance(data, float) and data.is_integer()


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted({**BASES, **WHOLE})), st.randoms(use_true_random=False))
def test_a_change_in_one_place_is_judged_alike(name, rng: random.Random):
    data = {**BASES, **WHOLE}[name]
    path, other = mutated(data, rng)
    refused, complained = refusal(other), complaint(other)
    if complained and not refused:
        assert given_by_grid(path, data), f"the schema alone refuses {path}: {complained}"
    if refused and not complained and not whole_floats(other):
        within = path[0] == "grid" or given_by_grid(path, data)
        plain = [each[0] for each in PLAIN.finditer(refused) if not FREE.match(each[0])]
        assert within or not plain, f"the schema lets {path} pass: {refused}"
