"""Learners are built by name: what is not installed is named with its extra, and crossfeed's own faults are not."""

from __future__ import annotations

import subprocess
import sys
from typing import ClassVar, Literal

import pytest

from crossfeed.errors import MissingDependency
from crossfeed.settings import LearnerSettings

CONTEXT = None  # nothing is read before the code is imported
MESSAGES = {
    "language": (
        "torch",
        {"base": {"model": "x"}},
        "language models need the package 'torch': pip install 'crossfeed[lm]'",
    ),
    "images": ("torch", {}, "generators of images need the package 'torch': pip install 'crossfeed[images]'"),
    "gmm": ("sklearn", {}, "the learner 'gmm' needs scikit-learn: pip install 'crossfeed[density]'"),
}


class Plugged(LearnerSettings):
    kind: Literal["plugged"] = "plugged"
    builder: ClassVar[str] = "plugged_package.learner:build"


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_package_that_is_not_installed_is_named_with_its_extra(kind):
    package, fields, message = MESSAGES[kind]
    code = (
        "import sys\n"
        f"sys.modules[{package!r}] = None\n"  # as if it were not there
        "from crossfeed.description.registry import learner_settings\n"
        "from crossfeed.errors import MissingDependency\n"
        f"try: learner_settings({kind!r})(**{fields!r}).build(None)\n"
        "except MissingDependency as error: print(error)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == message


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        (
            "import a_library_that_is_missing\n",
            MissingDependency,
            "'plugged' needs the package 'a_library_that_is_missing'",
        ),
        ("import crossfeed.nowhere\n", ModuleNotFoundError, "crossfeed.nowhere"),
        ("import plugged_package.nowhere\n", ModuleNotFoundError, "plugged_package.nowhere"),
        ("from crossfeed.keys import nothing\n", ImportError, "nothing"),
        ("def build(settings, context):\n    return settings.kind\n", None, "plugged"),
    ],
)
def test_only_packages_of_others_are_missing_ones(tmp_path, monkeypatch, source, error, words):
    package = tmp_path / "plugged_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "learner.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        if error is None:
            assert Plugged().build(CONTEXT) == words
            return
        with pytest.raises(error, match=words) as raised:
            Plugged().build(CONTEXT)
        assert type(raised.value) is error
    finally:
        for name in [name for name in sys.modules if name.startswith("plugged_package")]:
            del sys.modules[name]


def test_settings_that_name_no_builder_say_so():
    class Bare(LearnerSettings):
        kind: Literal["bare"] = "bare"

    with pytest.raises(NotImplementedError, match="Bare names no `builder`"):
        Bare().build(CONTEXT)
