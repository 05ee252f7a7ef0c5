"""Data sets that need no download: `stdlib-docs`, `facts`, `math`, `reason`, and `topic`, small parts of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from crossfeed.errors import InvalidInput
from crossfeed.settings import PartOf, numbers_of
from crossfeed.tasks.choice_problems import MOST_CHOICES, choice_problems
from crossfeed.tasks.docs import documentation
from crossfeed.tasks.facts import facts
from crossfeed.tasks.languages import Language
from crossfeed.tasks.prose import prose_row
from crossfeed.tasks.splits import SPLITS, Row, TextSettings, assemble, shuffled
from crossfeed.tasks.text import Answers, TextTask
from crossfeed.tasks.topics import TOPICS
from crossfeed.tasks.word_problems import MOST_PROBLEMS, problems

__all__ = ["FactsSettings", "MathSettings", "ReasonSettings", "StdlibDocsSettings", "TopicSettings"]

_DEFAULT_SIZES: Final = {"train": 2000, "validation": 200, "test": 200}
_TOPIC_SIZES: Final = {"train": 110, "validation": 10, "test": 20}
_MOST_OF_A_TOPIC: Final = sum(_TOPIC_SIZES.values())


class StdlibDocsSettings(TextSettings):
    """Public prose: passages of the running Python's own documentation (see `crossfeed.tasks.docs`).

    The first 24 words of a passage are the prompt. A tenth each is test and validation, the rest train; no passage is
    in two splits. Default size: all.
    """

    source: Literal["stdlib-docs"] = "stdlib-docs"
    licence: ClassVar[str] = "other"

    def build(self, name: str, data_root: Path | None) -> TextTask:
        """Extract the passages; `data_root` is not read."""
        rows = [prose_row(passage) for passage in documentation()]
        return assemble(name, {"train": rows}, self, answers=None, percent=10)


class FactsSettings(TextSettings):
    """Questions about real facts (see `crossfeed.tasks.facts`), with an answer and a sentence about it.

    No question is in two splits; a fact may be asked about in several wordings, so that a model that has learnt the
    facts of train can often answer a test question. Default sizes: 2000, 200 and 200.

    Attributes:
        language: The language of questions and answers.
        part: ``i/m``: questions about every m-th row of the tables, from the i-th on; the same rows in every language.
            Parts of one m have no fact in common. Default: all.
    """

    divides_itself: ClassVar[bool] = True

    source: Literal["facts"] = "facts"
    licence: ClassVar[str] = "apache-2.0"
    language: Language = "en"
    part: PartOf | None = None

    def build(self, name: str, data_root: Path | None) -> TextTask:
        """Generate the questions; `data_root` is not read."""
        part = None if self.part is None else numbers_of(self.part)
        rows = shuffled(facts(self.seed, language=self.language, part=part), self.seed, "facts")
        sizes = _sizes(name, self, len(rows))
        # Test comes first, so that it does not depend on the number of training items.
        ends = [sizes["test"], sizes["test"] + sizes["validation"], sum(sizes.values())]
        splits = {
            "test": rows[: ends[0]],
            "validation": rows[ends[0] : ends[1]],
            "train": rows[ends[1] : ends[2]],
        }
        return assemble(name, splits, self, answers="text")


class MathSettings(TextSettings):
    """Word problems with worked answers that end in the number (see `crossfeed.tasks.word_problems`).

    No problem, that is, no story with its numbers, is in two splits. Default sizes: 2000, 200 and 200.

    Attributes:
        language: The language of the problems; the same seed gives the same problems in each.
    """

    source: Literal["math"] = "math"
    licence: ClassVar[str] = "apache-2.0"
    language: Language = "en"

    def build(self, name: str, data_root: Path | None) -> TextTask:
        """Generate the problems; `data_root` is not read."""
        return _generated(name, self, partial(problems, language=self.language), MOST_PROBLEMS, "number")


class ReasonSettings(TextSettings):
    """Multiple choice questions that take a step of reasoning (see `crossfeed.tasks.choice_problems`).

    No question with the same set of options is in two splits. Default sizes: 2000, 200 and 200.
    """

    source: Literal["reason"] = "reason"
    licence: ClassVar[str] = "apache-2.0"

    def build(self, name: str, data_root: Path | None) -> TextTask:
        """Generate the questions; `data_root` is not read."""
        return _generated(name, self, choice_problems, MOST_CHOICES, "choice")


class TopicSettings(TextSettings):
    """One of many small data sets (see `crossfeed.tasks.topics`), no two of which have an item in common.

    Default sizes: 110, 10 and 20, which are all items.

    Attributes:
        number: Its number, from 1 on.
    """

    source: Literal["topic"] = "topic"
    licence: ClassVar[str] = "apache-2.0"
    number: Annotated[int, Field(ge=1, le=len(TOPICS))]

    def build(self, name: str, data_root: Path | None) -> TextTask:
        """Generate the items; `data_root` is not read."""
        topic = TOPICS[self.number - 1]
        sizes = _sizes(name, self, _MOST_OF_A_TOPIC, _TOPIC_SIZES)
        return assemble(name, topic.make(self.seed, sizes), self, topic.answers)


def _generated(
    name: str,
    settings: TextSettings,
    make: Callable[[int, dict[str, int]], dict[str, list[Row]]],
    most: int,
    answers: Answers,
) -> TextTask:
    sizes = _sizes(name, settings, most)
    return assemble(name, make(settings.seed, sizes), settings, answers)


def _sizes(name: str, settings: TextSettings, most: int, default: Mapping[str, int] = _DEFAULT_SIZES) -> dict[str, int]:
    sizes = {split: default[split] if (cap := settings.caps[split]) is None else cap for split in SPLITS}
    if sum(sizes.values()) > most:
        requested = " + ".join(f"{size} {split}" for split, size in sizes.items())
        raise InvalidInput(
            f"{name}: {requested} items were requested, but {settings.source} has {most} in all; give smaller sizes"
        )
    return sizes
