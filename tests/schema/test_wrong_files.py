"""What is wrong is refused at its place, and every short form that the reading code takes is accepted."""

from __future__ import annotations

import pytest

from crossfeed.description.reading import override
from crossfeed.description.strict_yaml import parse_yaml
from tests.faults.corpus.fields import BASE
from tests.schema.mutations import complaint, refusal

LANGUAGE = "{kind: language, base: {CHANGE}}"

WRONG = [
    # Unknown keys.
    ("colour", "red", "$: Additional properties"),
    ("ecosystem.colour", "red", "$.ecosystem: Additional"),
    ("ecosystem.entities.0.colour", "red", "$.ecosystem.entities[0]: Additional"),
    ("ecosystem.entities.0.from_", "1", "$.ecosystem.entities[0]: Additional"),
    ("ecosystem.entities.0.learner", "{wheels: 3}", "$.ecosystem.entities[0].learner: Additional"),
    ("learner.wheels", "3", "$.learner: Additional"),
    ("tasks.warm.wheels", "3", "$.tasks.warm: Additional"),
    ("metrics.loss.wheels", "3", "$.metrics.loss: Additional"),
    ("metrics.loses", "{}", "$.metrics: Additional"),
    ("grid", "{ecosystem.colour: [1]}", "$.grid: "),
    ("grid", "{learner.wheels: [1]}", "$.grid: "),
    # Wrong types.
    ("generations", "five", "$.generations: 'five' is not of type"),
    ("name", "5", "$.name: 5 is not of type"),
    ("seeds", "5", "$.seeds: 5 is not of type"),
    ("ecosystem.entities", "{}", "$.ecosystem.entities: "),
    ("ecosystem.alpha", "half", "$.ecosystem.alpha: "),
    ("n", "10.5", "$.n: "),
    ("tasks.warm.words", "red", "$.tasks.warm.words: 'red' is not of type"),
    ("metrics.loss", "5", "$.metrics.loss: "),
    ("grid", "{n: 5}", "$.grid.n: 5 is not of type"),
    # Out of range.
    ("generations", "-1", "$.generations: -1 is less"),
    ("n", "0", "$.n: 0 "),
    ("ecosystem.alpha", "1.5", "$.ecosystem.alpha: "),
    ("ecosystem.beta", "[0.5, 2]", "$.ecosystem.beta"),
    ("ecosystem.fresh_fraction", "-0.1", "$.ecosystem.fresh_fraction: -0.1 is less"),
    ("ecosystem.probability", "0", "$.ecosystem.probability: "),
    ("metrics.accuracy", "{items: 0}", "$.metrics.accuracy.items: "),
    ("seeds", "[0, 0]", "$.seeds: [0, 0] has non-unique"),
    ("seeds", "[]", "$.seeds: []"),
    ("checkpoints", "some", "$.checkpoints: 'some'"),
    ("ecosystem.entities", "[]", "$.ecosystem.entities: "),
    ("ecosystem.entities", "1001", "$.tasks: 'each' is a required"),
    # Wrong kinds.
    ("learner", "{kind: robot}", "$.learner.kind: 'robot' is not one of"),
    ("learner", "fake", "$.learner: 'fake' is not of type"),
    ("learner", "{}", "$.learner: 'kind' is a required"),
    ("tasks.warm", "nothing", "$.tasks.warm: 'nothing' is not one of"),
    ("tasks.warm", "{source: nothing}", "$.tasks.warm.source: 'nothing' is not one of"),
    ("tasks.warm", "hub", "$.tasks.warm: 'hub' is not one of"),  # it has to be given more than its name
    ("ecosystem.curation", "{detector: true}", "$.ecosystem.curation.detector: True is not one of"),
    ("ecosystem.curation", "{nothing: {}}", "$.ecosystem.curation: Additional"),
    # Names, and values that exclude each other.
    ("ecosystem.entities.0.name", "../x", "$.ecosystem.entities[0].name: '../x' does not match"),
    ("ecosystem.entities.0.name", "aux", "$.ecosystem.entities[0].name: 'aux' does not match"),
    ("ecosystem.entities.0.name", "public", "$.ecosystem.entities[0].name: 'public' should not be valid"),
    ("tasks", "{a b: {source: fake}}", "$.tasks: 'a b' does not match"),
    ("n", "{first: 10}", "$.n: "),
    ("n", "{first: 10, add: 1, factor: 2}", "$.n"),
    ("learner", LANGUAGE.replace("CHANGE", ""), "$.learner.base: "),
    ("learner", LANGUAGE.replace("CHANGE", "model: x, scratch: {}"), "$.learner.base: "),
    ("learner", LANGUAGE.replace("CHANGE", "scratch: {config: {vocab_size: 5}}"), "$.learner.base.scratch.config: "),
    ("learner", LANGUAGE.replace("CHANGE", "scratch: {betas: [0.9]}"), "$.learner.base.scratch.betas: [0.9]"),
    ("tasks.warm", "{source: fake, part: 2}", "$.tasks.warm.part: "),
    ("tasks.warm", "{source: fake, non_iid: {alpha: 1}}", "$.tasks.warm: 'part' is a required"),
    ("tasks.warm", "{source: regression}", "$.tasks.warm: "),
    ("ecosystem.curation", "{loss: {quantile: 0.5, at_most: 2}}", "$.ecosystem.curation.loss"),
    ("ecosystem.reads", "{graph: ring, file: x.csv}", "$.ecosystem.reads: "),
    ("ecosystem.reads", "{graph: ring, self: 2}", "$.ecosystem.reads"),
    ("ecosystem.reads", "{file: x.txt}", "$.ecosystem.reads"),
    ("ecosystem.alpha", "null", "$.ecosystem.alpha: "),
]


@pytest.mark.parametrize(("path", "value", "said"), WRONG, ids=[f"{path}={value}" for path, value, _ in WRONG])
def test_what_is_wrong_is_refused_at_its_place(path, value, said):
    data = override(parse_yaml(BASE), f"{path}={value}")
    assert refusal(data)
    assert complaint(data).startswith(said), complaint(data)


@pytest.mark.parametrize("key", ["ecosystem", "learner", "tasks", "public", "generations"])
def test_what_is_missing_is_named(key):
    data = parse_yaml(BASE)
    del data[key]
    assert complaint(data) == f"$: {key!r} is a required property"


FORMS = [
    ("tasks.warm", "facts"),
    ("public", "stdlib-docs"),
    ("tasks.warm", "{source: files, path: x.csv, fields: {text: '{t}'}}"),
    (
        "tasks.warm",
        "{source: files, path: x, fields: {prompt: '{q}', completion: ' {a}', choices: ['{b}', true, 3], answer: x}}",
    ),
    ("tasks.warm", "{source: files, path: x.csv, fields: {messages: {column: chat}}, grading: {regex: a}}"),
    ("tasks.warm", "{source: fake, part: 2/4, non_iid: {alpha: 1}}"),
    ("metrics", "{loss: true, accuracy: {}, similarity: null, distinct: false}"),
    ("metrics", "{variety: {order: inf}}"),
    ("metrics", "{variety: {order: 0}}"),
    ("ecosystem.alpha", "[0, 1, 0.5]"),
    ("ecosystem.alpha", "1"),
    ("ecosystem.alpha", "proportional"),
    ("ecosystem.beta", "[0.5]"),
    ("ecosystem.curation", "{detector: {recall: 0.9}, loss: {quantile: 0.5}, exact_answer: true}"),
    ("n", "[10, 20]"),
    ("n", "{first: 10, add: 5}"),
    ("n", "{first: 10, factor: 1.5}"),
    ("pool_size", "{first: 10, add: -1}"),
    ("ecosystem.entities.0.n", "[10, 20]"),
    ("ecosystem.entities.0.private", "{warm: 2, cold: 1}"),
    ("ecosystem.entities.0.reads", "{warm: 1, cold: 3}"),
    ("ecosystem.entities.0.from", "0"),
    ("ecosystem.entities.0.learner", "{reads_at_most: 5}"),
    ("ecosystem.entities.0.learner", "{kind: fake, reads_at_most: 5}"),
    ("ecosystem.prompts", "{warm: 1, public: 2}"),
    ("ecosystem.access", "{rank: bm25}"),
    ("ecosystem.reads", "ring"),
    ("ecosystem.reads", "[[0.5, 0.5], [0, 1]]"),
    ("ecosystem.reads", "{graph: cliques, count: 2, self: 0.5}"),
    ("ecosystem.reads", "{graph: watts_strogatz_graph, k: 2, p: 0}"),
    ("ecosystem.reads", "{edges: [[warm, cold], [cold, warm, 2]]}"),
    ("ecosystem.reads", "{communities: {a: [warm], b: [cold]}, within: 0.9}"),
    ("learner", LANGUAGE.replace("CHANGE", "scratch: {}")),
    ("learner", LANGUAGE.replace("CHANGE", "model: x, scratch: null")),
    ("grid", "{ecosystem.alpha: [0, [0, 1], proportional], ecosystem.entities.0.share: [1, 3]}"),
    ("grid", "{ecosystem.entities.warm.share: [1, 3], tasks.warm.train: [10, 12], learner.reads_at_most: [null, 5]}"),
    ("grid", "{ecosystem.reads: [ring, {graph: star}], n: [10, {first: 10, add: 5}], metrics.loss.items: [2, 3]}"),
]


@pytest.mark.parametrize(("path", "value"), FORMS, ids=[f"{path}={value}"[:60] for path, value in FORMS])
def test_every_form_that_is_read_is_accepted(path, value):
    data = override(parse_yaml(BASE), f"{path}={value}")
    assert refusal(data) == ""
    assert complaint(data) == ""


def test_what_the_grid_gives_need_not_be_given_twice():
    data = parse_yaml(BASE)
    del data["generations"], data["public"], data["ecosystem"]["alpha"], data["learner"]["kind"]
    del data["ecosystem"]["entities"][0]["private"], data["tasks"]["warm"]
    data["grid"] = {
        "generations": [1, 2], "public.source": ["fake"], "ecosystem.alpha": [0.5], "learner.kind": ["fake"],
        "ecosystem.entities.0.private": ["cold", "warm"], "tasks.warm.source": ["fake"],
    }  # fmt: skip
    assert refusal(data) == ""
    assert complaint(data) == ""


MANY = """
ecosystem: {entities: 3, alpha: 0.5}
learner: {kind: language, base: {scratch: {}}}
tasks: {each: {source: topic, number: "{k}", part: "{k}/{K}"}, facts: facts}
public: {source: facts, part: 1/2}
n: 10
generations: 1
"""


def test_alpha_is_missed_where_nobody_has_one():
    data = parse_yaml(BASE)
    del data["ecosystem"]["alpha"]
    assert complaint(data) == "$.ecosystem: 'alpha' is a required property"
    assert complaint(data | {"ecosystem": data["ecosystem"] | {"update": "replace"}}) == ""
    for entity in data["ecosystem"]["entities"]:
        entity["alpha"] = 0.5
    assert complaint(data) == ""


def test_many_entities_are_given_by_their_number():
    assert complaint(parse_yaml(MANY.replace(', part: "{k}/{K}"', ""))) == ""
    assert complaint(parse_yaml(MANY.replace('source: topic, number: "{k}", part: "{k}/{K}"', "source: facts"))) == ""
    assert "number" in complaint(parse_yaml(MANY.replace('number: "{k}"', "number: many")))
    assert "'wheels'" in complaint(parse_yaml(MANY.replace('number: "{k}"', "number: 1, wheels: 3")))
    assert "'each' is a required" in complaint(parse_yaml(MANY.replace("each:", "all:")))
