"""Questions about real facts, from the tables in the folder ``tables``.

The tables hold elements, countries, US states, planets, units of measurement and Greek letters.

A fact is a row and a relation (the capital of Peru). Every fact is asked in each wording of its relation, and an
item is one such question; its completion gives the answer and then one sentence about the row. Cells are empty where
the truth is disputed, changing, or not known, and nothing is asked about them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from string import Formatter
from typing import Final

from crossfeed.keys import generator
from crossfeed.tasks.splits import Row

__all__ = ["facts"]


@dataclass(frozen=True)
class Relation:
    """What is asked about the rows of a table.

    Attributes:
        answer: Template of the answer.
        questions: Its wordings.
    """

    answer: str
    questions: tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """A table, what is asked about its rows, and sentences that can follow any of the answers."""

    table: str
    relations: tuple[Relation, ...]
    sentences: tuple[str, ...]


_SUBJECTS: Final = (
    Subject(
        "elements",
        (
            Relation(
                "{symbol}",
                (
                    "What is the chemical symbol of {name}?",
                    "Which symbol stands for {name} in the periodic table?",
                    "How do chemists abbreviate the element {name}?",
                ),
            ),
            Relation(
                "{name}",
                (
                    "Which element has the chemical symbol {symbol}?",
                    "Which element do chemists abbreviate as {symbol}?",
                ),
            ),
            Relation(
                "{number}",
                (
                    "What is the atomic number of {name}?",
                    "How many protons are in the nucleus of an atom of {name}?",
                ),
            ),
            Relation(
                "{name}",
                (
                    "Which element has the atomic number {number}?",
                    "Which element is number {number} in the periodic table?",
                ),
            ),
            Relation(
                "period {period}",
                (
                    "In which period of the periodic table is {name}?",
                    "To which period does the element {name} belong?",
                ),
            ),
            Relation(
                "group {group}",
                (
                    "In which group of the periodic table is {name}?",
                    "To which group does the element {name} belong?",
                ),
            ),
            Relation(
                "{families}",
                (
                    "Which family of elements includes {name}?",
                    "To which family of elements does {name} belong?",
                ),
            ),
            Relation(
                "{state}",
                (
                    "Is {name} a solid, a liquid or a gas at room temperature?",
                    "In which state of matter is {name} at room temperature?",
                ),
            ),
            Relation("{mass}", ("Rounded to a whole number, what is the atomic weight of {name}?",)),
        ),
        (
            "{Name} has the symbol {symbol} and the atomic number {number}, and {note}.",
            "{Name} is element number {number}, it stands in period {period}, and {note}.",
            "{Name} is one of the {families} in period {period} of the periodic table, and {note}.",
            "The element {name}, written {symbol}, is a {state} at room temperature, and {note}.",
            "{Name} stands in group {group} and period {period} of the periodic table, and {note}.",
            "The atomic weight of {name} is about {mass}, its symbol is {symbol}, and {note}.",
        ),
    ),
    Subject(
        "countries",
        (
            Relation(
                "{capital}",
                (
                    "What is the capital of {name}?",
                    "Which city is the capital of {name}?",
                    "What is the capital city of {name} called?",
                ),
            ),
            Relation(
                "{name}",
                (
                    "{capital} is the capital of which country?",
                    "Which country has {capital} as its capital?",
                ),
            ),
            Relation(
                "{continent}",
                (
                    "On which continent is {name}?",
                    "Which continent does {name} belong to?",
                    "In which part of the world would you find {name}?",
                ),
            ),
            Relation(
                "{currency}",
                (
                    "What is the currency of {name}?",
                    "With which currency do people pay in {name}?",
                    "What is the money of {name} called?",
                ),
            ),
        ),
        (
            "{capital} is the capital of {name}, a country in {continent} where people pay with the {currency}.",
            "The capital of {name} is {capital}, and the money that people use there is the {currency}.",
            "A visitor to the country of {name} in {continent} will need some of its currency, the {currency}.",
            "A map of {continent} shows {capital} as the capital city of {name}.",
        ),
    ),
    Subject(
        "states",
        (
            Relation(
                "{capital}",
                (
                    "What is the capital of the state of {name}?",
                    "Which city is the capital of the US state of {name}?",
                    "In which city does the government of the state of {name} sit?",
                ),
            ),
            Relation(
                "{name}",
                ("{capital} is the capital of which US state?", "Which US state has the capital {capital}?"),
            ),
            Relation(
                "{abbreviation}",
                (
                    "What is the postal abbreviation of the state of {name}?",
                    "Which two letters stand for the state of {name} in an address?",
                ),
            ),
            Relation(
                "{name}",
                (
                    "Which US state has the postal abbreviation {abbreviation}?",
                    "Which US state do the letters {abbreviation} stand for in an address?",
                ),
            ),
            Relation(
                "{year}",
                (
                    "In which year did {name} become a state?",
                    "When did the state of {name} join the United States?",
                ),
            ),
            Relation("{name}", ("Which state was number {order} to join the United States?",)),
        ),
        (
            "{capital} is the capital of {name}, which joined the United States in {year} as state number {order}.",
            "The state of {name} has the postal abbreviation {abbreviation}, and its government sits in {capital}.",
            "{name} became state number {order} of the United States in {year}, and its capital is {capital}.",
        ),
    ),
    Subject(
        "planets",
        (
            Relation(
                "{name}",
                (
                    "Which planet is number {order} from the Sun?",
                    "Counting outward from the Sun, which planet has number {order}?",
                ),
            ),
            Relation("{order}", ("Counting outward from the Sun, which number has the planet {name}?",)),
            Relation(
                "{kind}",
                (
                    "What kind of planet is {name}?",
                    "Is {name} a rocky planet, a gas giant or an ice giant?",
                ),
            ),
            Relation("{name}", ("From large to small, which planet of the solar system has number {size}?",)),
        ),
        (
            "{name} is planet number {order} from the Sun, and {note}.",
            "The {kind} {name} is number {size} in size among the planets, and {note}.",
        ),
    ),
    Subject(
        "units",
        (
            Relation(
                "{unit}",
                (
                    "What is the SI unit of {quantity}?",
                    "In which international unit do scientists measure {quantity}?",
                ),
            ),
            Relation(
                "{quantity}",
                (
                    "Which quantity is measured in the unit {unit}?",
                    "What do scientists measure in the unit with the symbol {symbol}?",
                ),
            ),
            Relation("{symbol}", ("What is the symbol of the unit {unit}?",)),
        ),
        ("The {unit}, written {symbol}, is the international unit of {quantity}, and {note}.",),
    ),
    Subject(
        "greek",
        (
            Relation(
                "{name}",
                (
                    "Which letter is number {order} in the Greek alphabet?",
                    "What is the Greek letter {lower} called?",
                ),
            ),
            Relation("{lower}", ("How is the Greek letter {name} written in lower case?",)),
            Relation("{order}", ("Which place does {name} have in the Greek alphabet?",)),
        ),
        ("The letter {name} is number {order} of the 24 Greek letters, and its lower case form is {lower}.",),
    ),
)


def facts(seed: int, relation: tuple[str, int] | None = None) -> tuple[Row, ...]:
    """All the items, in the order of the tables; the seed chooses the sentence that follows each answer.

    Args:
        seed: Fixes the sentences.
        relation: Only the questions of one relation: its table, and its place among the table's relations.
    """
    rows = _facts(seed)
    return tuple(row for row, place in rows if relation is None or place == relation)


@lru_cache(maxsize=4)
def _facts(seed: int) -> tuple[tuple[Row, tuple[str, int]], ...]:
    """All the items, each with its relation."""
    rows: dict[str, tuple[Row, tuple[str, int]]] = {}
    for subject in _SUBJECTS:
        random = generator(seed, "tasks", "facts", subject.table)
        for cells in _table(subject.table):
            for place, question, answer in _asked(subject, cells):
                sentences = _fitting(subject, cells, answer)
                sentence = sentences[random.integers(len(sentences))]
                # The key is the question: the same fact may be asked in other words elsewhere.
                rows.setdefault(question, (_row(question, answer, sentence), (subject.table, place)))
    return tuple(rows.values())


def _asked(subject: Subject, cells: Mapping[str, str]) -> Iterator[tuple[int, str, str]]:
    for place, relation in enumerate(subject.relations):
        for question in relation.questions:
            if _filled(relation.answer + question, cells):
                yield place, _capital(question.format_map(cells)), relation.answer.format_map(cells)


def _fitting(subject: Subject, cells: Mapping[str, str], answer: str) -> list[str]:
    """The sentences about a row that name the answer, so that they support it."""
    every = [text.format_map(cells) for text in subject.sentences if _filled(text, cells)]
    return [text for text in every if _says(text, answer)] or every


def _says(text: str, answer: str) -> bool:
    """Whether a text has the answer as words of their own."""
    text, answer = f" {text.lower()} ", answer.lower()
    at = text.find(answer)
    while at >= 0:
        if not (_in_word(text[at - 1]) or _in_word(text[at + len(answer)])):
            return True
        at = text.find(answer, at + 1)
    return False


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _row(question: str, answer: str, sentence: str) -> Row:
    stop = "" if answer.endswith(".") else "."
    completion = f" {answer}{stop} {_capital(sentence)}"
    return Row(f"Question: {question}\nAnswer:", completion, answer=answer, key=question)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _filled(template: str, cells: Mapping[str, str]) -> bool:
    """Whether the row has all that a template names."""
    return all(cells.get(name) for name in _named(template))


@cache
def _named(template: str) -> tuple[str, ...]:
    return tuple(name for _, name, _, _ in Formatter().parse(template) if name is not None)


def _table(name: str) -> Iterator[dict[str, str]]:
    text = files("crossfeed.tasks").joinpath("tables", f"{name}.csv").read_text("utf-8")
    for cells in csv.DictReader(text.splitlines()):
        first = cells.get("name", "")
        cells["Name"] = first[:1].upper() + first[1:]
        if cells.get("family"):
            cells["families"] = cells["family"].removesuffix("s") + ("ses" if cells["family"][-1] == "s" else "s")
        if cells.get("weight"):
            cells["mass"] = str(round(float(cells["weight"])))
        yield cells
