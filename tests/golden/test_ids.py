"""Content ids stay what they are: a new field with a default changes none, a changed default changes them on purpose.

An id is a hash of what a description says beyond defaults (`crossfeed.settings.identity`). So a field may be added,
with a default that means what was done before. A default that is changed is a changed experiment: put the field under
`always_told` of its class, so that its ids change with it. A changed id is a new experiment: say so in the changelog.

``python -m tests.golden.test_ids`` adds new presets and fields to ``ids.json``. It changes nothing that is there: what
is meant to change is first removed by hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crossfeed.description import registry
from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import preset_names, read_preset
from crossfeed.settings import Frozen, identity

GOLDEN = Path(__file__).with_name("ids.json")


def ids() -> dict[str, str]:
    """The content id of every preset."""
    return {name: Experiment.from_yaml(read_preset(name)).id for name in preset_names()}


def defaults() -> dict[str, Any]:
    """Every default of a field that is in ids, by class and field."""
    found = {}
    for kind in described():
        for name, field in kind.model_fields.items():
            if not field.is_required() and name not in kind.no_effect:
                plain = identity(field.get_default(call_default_factory=True))
                found[f"{kind.__name__}.{name}"] = json.loads(json.dumps(plain))
    return found


def described() -> list[type[Frozen]]:
    """Every class that descriptions are made of; settings of plug-ins are loaded through the registry."""
    for load, known in (
        (registry.learner_settings, registry._LEARNERS),
        (registry.task_settings, registry._TASKS),
        (registry.metric_settings, registry._METRICS),
        (registry.filter_settings, registry._FILTERS),
        (registry.reward_settings, registry._REWARDS),
    ):
        for name in known:
            load(name)
    found, todo = [], [Frozen]
    while todo:
        todo += (below := todo.pop().__subclasses__())
        found += [kind for kind in below if kind.__module__.startswith("crossfeed.")]
    return sorted(set(found), key=lambda kind: kind.__name__)


def test_ids_of_presets_are_what_they_were():
    assert ids() == json.loads(GOLDEN.read_text())["presets"]


def test_defaults_are_what_they_were_or_are_told():
    known, told = json.loads(GOLDEN.read_text())["defaults"], always_told()
    found = defaults()
    assert not {name for name in known if name in found and found[name] != known[name]} - told
    assert found.keys() == known.keys(), "python -m tests.golden.test_ids adds new fields"


def always_told() -> set[str]:
    return {f"{kind.__name__}.{name}" for kind in described() for name in kind.always_told}


class _Before(Frozen):
    given: int
    kept: float = 1.0


class _Inner(Frozen):
    no_effect = frozenset({"speed"})
    size: int = 3
    speed: int = 1


class _After(Frozen):
    given: int
    kept: float = 1.0
    added: str = "as before"
    inner: _Inner = _Inner()


class _Changed(Frozen):
    always_told = frozenset({"kept"})
    given: int
    kept: float = 2.0


def test_a_new_field_changes_no_id_until_it_is_used():
    assert identity(_Before(given=1)) == identity(_After(given=1)) == {"given": 1}
    assert identity(_Before(given=1, kept=2.0)) == identity(_After(given=1, kept=2.0))
    assert identity(_After(given=1, added="x")) != identity(_After(given=1))
    assert identity(_After(given=1, inner=_Inner(size=4))) == {"given": 1, "inner": {"size": 4}}


def test_a_field_without_effect_changes_no_id_wherever_it_is():
    assert identity(_After(given=1, inner=_Inner(speed=9))) == identity(_After(given=1))
    assert identity(_Inner(size=4, speed=9)) == {"size": 4}


def test_a_changed_default_changes_ids_once_it_is_told():
    assert identity(_Changed(given=1)) == {"given": 1, "kept": 2.0}
    assert identity(_Changed(given=1)) != identity(_Before(given=1))


def test_fields_can_be_left_out_by_path():
    given = _After(given=1, kept=2.0, inner=_Inner(size=4))
    assert identity(given, without=("kept", "inner.size")) == {"given": 1}


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("ecosystem.fresh_fraction=0", True),
        ("tasks.warm.seed=0", True),
        ("metrics.similarity.items=200", True),
        ("checkpoints=all", True),
        ("tasks.warm.seed=1", False),
        ("metrics.similarity.items=199", False),
    ],
)
def test_spelling_a_default_out_is_no_other_experiment(fake, override, same):
    assert (fake(override).id == fake().id) is same


if __name__ == "__main__":
    had = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {"presets": {}, "defaults": {}}
    new = {"presets": ids() | had["presets"], "defaults": defaults() | had["defaults"]}
    GOLDEN.write_text(json.dumps(new, indent=1, sort_keys=True) + "\n")
