"""The commands `keys` and `schema`, for what is installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import resources

import pytest
from jsonschema import Draft7Validator

from crossfeed.cli import completion
from crossfeed.description import registry
from crossfeed.description.docstrings import field_meanings, text_of
from crossfeed.description.json_schema import FILE, description_schema
from crossfeed.description.key_reference import sections_of
from crossfeed.description.reading import preset_names, read_preset
from crossfeed.settings import Frozen
from tests.faults.cli import crossfeed_cli
from tests.golden.test_ids import described
from tests.test_extending import EXAMPLE, install

GROUPS = {
    "learner": (registry._LEARNERS, registry.learner_settings),
    "task": (registry._TASKS, registry.task_settings),
    "metric": (registry._METRICS, registry.metric_settings),
    "filter": (registry._FILTERS, registry.filter_settings),
    "reward": (registry._REWARDS, registry.reward_settings),
}


DESCRIBED = ("description", "learners", "tasks", "metrics", "filters", "rewards")


def rows(*path: str) -> list[dict]:
    answer = crossfeed_cli("keys", *path, "--json")
    assert answer.code == 0, answer.err
    return json.loads(answer.out)["keys"]


def test_every_field_of_every_kind_is_a_key_with_its_meaning():
    found = {(row["path"].rpartition(".")[2], row["meaning"]) for row in rows()}
    for kind in described():
        of_descriptions = kind.__module__.split(".")[1] in DESCRIBED
        if not of_descriptions or kind.__name__.startswith(("_", "PerEntity")):
            continue
        for name, field in kind.model_fields.items():
            if name in ("kind", "source"):
                continue
            meaning = field_meanings(kind)[name]
            assert meaning, f"{kind.__name__}.{name} says nothing in its docstring"
            assert (field.alias or name, meaning) in found


def test_docstrings_are_read_as_the_site_reads_them():
    griffe = pytest.importorskip("griffe")
    for kind in described():
        own = re.sub(r"\n    ", "\n", kind.__dict__.get("__doc__") or "")
        for section in griffe.Docstring(own).parse("google", warnings=False):
            if section.kind is griffe.DocstringSectionKind.attributes:
                for each in section.value:
                    told = re.sub(r"\bNone\b", "null", " ".join(each.description.split()).replace("``", "`"))
                    assert field_meanings(kind)[each.name] == told
            elif section.kind is griffe.DocstringSectionKind.text:
                assert text_of(kind).startswith(section.value.strip().replace("``", "`")[:60])


@pytest.mark.parametrize(
    ("path", "first", "more"),
    [
        ("ecosystem", "ecosystem", "ecosystem.entities.reads"),
        ("ecosystem.entities.reads", "ecosystem.entities.reads", None),
        ("ecosystem.entities.0.reads", "ecosystem.entities.reads", None),
        ("learner.language", "learner.base", "learner.base.scratch.vocabulary"),
        ("learner.language.base.scratch", "learner.base.scratch", "learner.base.scratch.vocabulary"),
        ("learner.base.scratch.vocabulary", "learner.base.scratch.vocabulary", None),
        ("learner.kind", "learner.kind", None),
        ("metrics.mauve", "metrics.mauve.every", "metrics.mauve.items"),
        ("metrics.mauve.items", "metrics.mauve.items", None),
        ("ecosystem.curation.detector", "ecosystem.curation.detector.recall", None),
        ("tasks.files", "tasks.NAME.part", "tasks.NAME.fields.prompt"),
        ("tasks.mine.fields.prompt", "tasks.NAME.fields.prompt", None),
        ("tasks.files.source", "tasks.NAME.source", None),
        ("public.source", "tasks.NAME.source", None),
        ("public.fields.text", "tasks.NAME.fields.text", None),
        ("n", "n", "n.factor"),
    ],
)
def test_a_path_narrows(path, first, more):
    found = [row["path"] for row in rows(path)]
    assert found[0] == first
    assert more in found or more is None
    assert len(found) < len(rows()) / 2


def test_a_kind_is_not_mixed_with_others():
    assert {row["kind"] for row in rows("learner.language")} == {"language"}
    assert {row["kind"] for row in rows("learner.training")} == {"language", "images"}


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("learner.lm", "learner.glm"),
        ("ecosystem.alhpa", "ecosystem.alpha"),
        ("metrics.mauv", "metrics.mauve"),
        ("alpha", "ecosystem.alpha"),
        ("tasks.fcts", "tasks.facts"),
        ("nothing.like.it", "`crossfeed keys` prints all"),
        ("", "`crossfeed keys` prints all"),
    ],
)
def test_a_wrong_path_is_told_what_is_near(path, near):
    answer = crossfeed_cli("keys", path)
    assert (answer.code, answer.out) == (2, "")
    assert near in answer.err
    assert answer.err.count("\n") == 1


def test_it_reads_well_at_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = crossfeed_cli("keys").out
    assert max(map(len, out.splitlines())) <= 80
    shown = crossfeed_cli("keys", "ecosystem.access.top").out
    assert shown.splitlines()[-4:-1] == [
        "ecosystem.access.top",
        "  whole number from 1 to 100,000,000; default 10",
        "    Number of items that are seen: every draw from the pool is one of the first.",
    ]


def test_types_limits_and_defaults():
    told = {row["path"]: row for row in rows("ecosystem")}
    assert told["ecosystem.alpha"]["type"] == "number from 0 to 1, list of numbers from 0 to 1, proportional or null"
    assert told["ecosystem.fresh_fraction"]["default"] == 0.0
    assert told["ecosystem.entities"]["required"]
    assert not told["ecosystem.history"]["required"]
    (betas,) = rows("learner.language.training.betas")
    assert (betas["type"], betas["default"]) == ("list of 2 numbers from 0 below 1", [0.9, 0.999])


def test_keys_load_no_settings_of_a_kind():
    code = "from crossfeed.cli import main\ntry: main()\nexcept SystemExit: pass\nprint(*sys.modules, file=sys.stderr)"
    for arguments in (["keys"], ["schema"], ["keys", "learner.lm"]):
        start = f"import sys; sys.argv = ['crossfeed', *{arguments!r}]\n"
        done = subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, check=True)
        loaded = {name.split(".")[0] for name in done.stderr.split()}
        assert not loaded & {"pyarrow", "torch", "pandas", "scipy", "matplotlib", "networkx", "transformers"}
        assert "crossfeed.learners" not in done.stderr


def test_the_schema_is_printed_or_written(tmp_path):
    printed = crossfeed_cli("schema")
    assert json.loads(printed.out) == description_schema()
    place = tmp_path / FILE
    answer = crossfeed_cli("schema", "--out", str(place))
    assert (answer.code, answer.out) == (0, f"file  {place}\n")
    assert place.read_text() == printed.out
    refused = crossfeed_cli("schema", "--out", str(tmp_path / "none" / "x.json"))
    assert refused.code == 2
    assert refused.err.count("\n") == 1


def test_presets_name_the_schema_that_lies_beside_them():
    for name in preset_names():
        assert read_preset(name).startswith(f"# yaml-language-server: $schema={FILE}\n# "), name
    assert (resources.files("crossfeed") / "presets" / FILE).is_file()


def test_a_schema_says_what_draft_7_knows_and_editors_can_compile():
    document = description_schema()
    Draft7Validator.check_schema(document)
    text = json.dumps(document)
    assert not re.search(r'"(prefixItems|\$defs|ge|gt|le|lt|x-chosen)":', text)
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        inner = document
        for part in reference.split("/"):
            inner = inner[part]
    for pattern in re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', text):
        assert not re.search(r"\\\\[-_ ]|\(\?[aiLmsux]", pattern), "no regular expression of JavaScript"


@pytest.fixture
def letters(tmp_path, monkeypatch):
    """The example's package, installed."""
    import tomllib

    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    site = install(tmp_path / "site", project["name"], project["entry-points"], project["version"])
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "letters"]:
        del sys.modules[name]


def test_kinds_of_other_packages_are_in_it(letters):
    import yaml

    document = description_schema()
    data = yaml.safe_load((EXAMPLE / "experiment.yaml").read_text())
    assert not list(Draft7Validator(document).iter_errors(data))
    data["metrics"]["letter_entropy"] = {"wheels": 3}
    (error,) = Draft7Validator(document).iter_errors(data)
    assert error.json_path == "$.metrics.letter_entropy"
    sections = {section.address: section for section in sections_of(document)}
    assert "learner.letters" in sections
    assert "metrics.letter_entropy.every" in {key.path for key in sections["metrics.letter_entropy"].keys}
    assert "learner.letters" in crossfeed_cli("keys", "learner.letters").out
    grid = document["properties"]["grid"]
    assert any(re.search(pattern, "metrics.letter_entropy.every") for pattern in grid["patternProperties"])


def test_a_package_that_cannot_be_imported_is_left_out(tmp_path, monkeypatch):
    site = install(tmp_path / "site", "broken", {"crossfeed.metrics": {"crooked": "no_such_module:Settings"}})
    monkeypatch.syspath_prepend(str(site))
    document = description_schema()
    assert "crooked" not in document["definitions"]["metrics"]["properties"]
    assert crossfeed_cli("keys", "metrics.mauve").code == 0


ODD = """
from collections.abc import Callable
from typing import Annotated, Any
from pydantic import BeforeValidator, ConfigDict
from crossfeed.settings import MetricSettings

class Settings(MetricSettings):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    how: Callable[[int], int] = abs
    where: Annotated[object, BeforeValidator(str)] = object()
"""


def test_settings_of_another_package_that_json_cannot_say_let_anything_pass(tmp_path, monkeypatch):
    site = install(tmp_path / "site", "odd", {"crossfeed.metrics": {"odd": "odd_settings_of_tests:Settings"}})
    (site / "odd_settings_of_tests.py").write_text(ODD)
    monkeypatch.syspath_prepend(str(site))
    document = description_schema()
    assert not list(Draft7Validator(document["definitions"]["metric.odd"]).iter_errors({"how": 5, "every": 2}))
    assert [row["path"] for row in rows("metrics.odd")] == ["metrics.odd.every", "metrics.odd.how", "metrics.odd.where"]
    assert not any(row["required"] for row in rows("metrics.odd"))


def test_paths_are_completed_level_by_level():
    assert completion.keys("ecosystem.ac") == ["ecosystem.access"]
    assert completion.keys("learner.lang") == ["learner.language"]
    assert "metrics.mauve.items" in completion.keys("metrics.mauve.")
    assert completion.keys("nothing") == []


def test_everything_in_the_registry_is_in_the_schema():
    definitions = description_schema()["definitions"]
    for group, (table, settings) in GROUPS.items():
        for name in table:
            kind: type[Frozen] = settings(name)
            known = {field.alias or each for each, field in kind.model_fields.items()}
            assert definitions[f"{group}.{name}"]["properties"].keys() == known
            assert definitions[f"{group}.{name}"]["additionalProperties"] is False
