"""A learner and a task whose every text is an attack, and their tame twins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from crossfeed.learners.fake import FakeLearner, FakeSettings, FakeTask
from crossfeed.protocols import Learner, LearnerContext, Task
from crossfeed.settings import LearnerSettings, TaskSettings

__all__ = ["ATTACKS", "TAME", "HostileSettings", "HostileTaskSettings"]

ATTACKS = (
    # Pages.
    "<script>alert(1)</script>",
    "</style><style>*{display:none}</style>",
    "<img src=x onerror=alert(2)>",
    '" onmouseover="alert(3)" x="',
    "' onfocus='alert(4)' autofocus x='",
    "</bdi></pre></td></tr></table><iframe src=//example.org>",
    "]]><svg onload=alert(5)>",
    "<!-- a",
    "--> b",
    "<?php system('id') ?>",
    "{{ 7 * 7 }}{% raw %}${7*7}",
    "&lt;b&gt;&#60;i&#62;&amp;",
    "<a href='javascript:alert(6)'>x</a>",
    "<base href=//example.org><meta http-equiv=refresh content=0>",
    "<title></head><body onload=alert(7)>",
    # Terminals.
    "\x1b[2J\x1b[31mred",
    "\x1b]0;owned\x07",
    "\x1b]8;;http://example.org\x07link\x1b]8;;\x07",
    "\x1bP$q\x1b\\",
    "\x9b31m\x90q\x9c",
    "line\rOVERWRITTEN",
    "\x08\x08\x08\x7f\x0b\x0c\x00\x05",
    "\u202eevil\u2066\u200f\u061c",
    "a\u2028b\u2029c\x85d",
    "\ufeff\u200b\u2060\u00ad\U000e0041",
    "[bold red]markup[/] :smile: [link=file:///etc/passwd]x[/link] [/]",
    # Spreadsheets.
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(1+1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    ";=cmd|' /C calc'!A0",
    'x";=1',
    "a\n=1",
    "\uff1d1+1",
    # Papers.
    "\\input{/etc/passwd}\\write18{id}",
    "$\\frac{",
    "$x_{$ % & # ~ ^ {",
    "| a | b |\n|---|---|",
    "`code` **bold** [x](http://example.org) ![x](http://example.org/x.png)",
    # Odd and harmless.
    "long " * 400,
    "z" + "\u0301" * 200,
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \ud7ff \ufffe",
)
TAME = tuple(f"word{number} and so on" for number in range(len(ATTACKS)))


class HostileTaskSettings(TaskSettings):
    """Items that are attacks, or not."""

    source: Literal["hostile"] = "hostile"
    tame: bool = False
    shift: int = 0

    def build(self, name: str, data_root: Path | None) -> Task:
        texts = _texts(self.tame, self.shift)
        tables = [
            pa.table(
                {
                    "prompt": [f"{text} {split}" for text in texts],
                    "completion": [f" {text} {split}" for text in texts],
                    "answer": list(texts),
                }
            )
            for split in ("train", "validation", "test")
        ]
        return FakeTask(name, *tables, content=f"{name} {self}")


class HostileSettings(LearnerSettings):
    """A learner that answers with attacks, or not, and may fail with one."""

    kind: Literal["hostile"] = "hostile"
    tame: bool = False
    label: str = ""
    fails: bool = False

    def build(self, context: LearnerContext) -> Learner:
        return _HostileLearner(FakeLearner(FakeSettings(), ("word",) * 64), self)


@dataclass(frozen=True)
class _HostileLearner:
    fake: FakeLearner
    settings: HostileSettings

    def __getattr__(self, name: str) -> Any:
        return getattr(self.fake, name)

    def update(self, states: Any, sets: Any, keys: Any, generation: int) -> list[Any]:
        if self.settings.fails and generation > 0:
            raise RuntimeError("\n".join(_texts(self.settings.tame, 0)))
        return self.fake.update(states, sets, keys, generation)

    def generate(self, states: Sequence[Any], prompts: Sequence[pa.Table], keys: Sequence[Any]) -> list[pa.Table]:
        made = []
        for shift, table in enumerate(prompts):
            texts = list(islice(cycle(_texts(self.settings.tame, shift)), table.num_rows))
            made.append(pa.table({"prompt": table.column("prompt"), "completion": texts}))
        return made

    def describe(self) -> dict[str, str]:
        texts = _texts(self.settings.tame, 0)
        return {"device": texts[0], **{f"key {number}": text for number, text in enumerate(texts)}}


def _texts(tame: bool, shift: int) -> tuple[str, ...]:
    texts = TAME if tame else ATTACKS
    return texts[shift:] + texts[:shift]
