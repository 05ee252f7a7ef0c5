from decimal import Decimal

import pytest

from crossfeed.tasks.grading import grader_of, letter_in, number_in, same_letter, same_number, same_text

NUMBERS = [
    (" The answer is 12.", "12"),
    (" 3 + 4 = 7\n#### 7", "7"),
    (" #### 7\nQuestion: What is 2 + 9?", "7"),
    ("####12", "12"),
    (" #### -5", "-5"),
    (" #### $1,234.50 dollars", "1234.5"),
    (" #### about 1,200,000", "1200000"),
    (" 10 - 4 = 6", "6"),
    (" so 10-4", "4"),
    (" it is \u22123", "-3"),
    (" (-3)", "-3"),
    (" COVID-19", "19"),
    (" .5", "0.5"),
    (" 007", "7"),
    (" 1,2,3", "3"),
    (" 12,3456", "3456"),
    (" costs $5.00.", "5"),
    (" 50%", "50"),
    (" #### 5 apples and 3 pears", "5"),
]


@pytest.mark.parametrize(("said", "value"), NUMBERS)
def test_the_final_number(said, value):
    assert number_in(said) == Decimal(value)
    assert same_number(value, said)
    assert not same_number(str(Decimal(value) + 1), said)


@pytest.mark.parametrize("said", ["", " ", " none", "####", " 5\n####", " 5 #### \n7", " \u0665", "#" * 100_000])
def test_no_final_number(said):
    assert number_in(said) is None
    assert not same_number("5", said)
    assert not same_number("7", said)


def test_equal_numbers_may_be_written_differently():
    assert same_number("1,200", " #### 1200.0")
    assert same_number("1200.00", " $1,200")
    assert not same_number("0.1", " 0.10000000000000001")
    assert same_number("9" * 30_000, " " + "9" * 30_000)
    assert not same_number("no number", " no number")


RIGHT = [
    ("Paris", " Paris"),
    ("Paris", " paris. It lies on the Seine."),
    ("Paris", "\n\n PARIS!\nQuestion: and then?"),
    ("the Bahamas", " Bahamas. They are islands."),
    ("Bahamas", " the Bahamas"),
    ("St. John's", " St. John's. It is a capital."),
    ("Washington, D.C.", " Washington D.C. is"[:16]),
    ("Washington, D.C.", " Washington, D.C. Washington, D.C., is the capital."),
    ("A", " A. It is a blood group."),
    ("carbon-14", " carbon 14; it decays"),
    ("3.5", " 3.5. That is"),
    ("-5", " \u22125. It is cold"),
    ("Yaoundé", " Yaounde\u0301."),
    ("α", " Α"),
]
WRONG = [
    ("Paris", ""),
    ("Paris", " Paris Hilton"),
    ("Paris", " It is Paris"),
    ("Paris", " No. Paris."),
    ("Paris", "\nLondon\nParis"),
    ("Paris", " London. Paris. Rome."),
    ("3.5", " 35."),
    ("35", " 3.5 is it"),
    ("-5", " 5"),
    ("C", " C++"),
    ("", " "),
    ("...", " ..."),
    ("no", " " + "no. " * 1000),
]


@pytest.mark.parametrize(("answer", "said"), RIGHT)
def test_right_words(answer, said):
    assert same_text(answer, said)


@pytest.mark.parametrize(("answer", "said"), [pair for pair in WRONG if pair[0] != "no"])
def test_wrong_words(answer, said):
    assert not same_text(answer, said)


def test_long_completions_are_graded_by_their_start():
    assert same_text("no", " " + "no. " * 100_000)
    assert not same_text("yes", " " + "no. " * 100_000 + "yes.")


@pytest.mark.parametrize(
    ("completion", "letter"),
    [
        (" B", "B"),
        (" (b)", "B"),
        ("B. red", "B"),
        ("The answer is C.", "C"),
        ("Answer: (D) because A dog barks", "D"),
        ("I think that it is (A), since B) is wrong, so (C)", "C"),
        ("red", None),
        ("A dog barks", None),
        ("", None),
    ],
)
def test_letters(completion, letter):
    assert letter_in(completion) == letter
    assert same_letter("c ", completion) is (letter == "C")


@pytest.mark.parametrize(
    ("kind", "answer", "right", "wrong"),
    [
        ("exact", "Red 5", " Red 5\n", "red 5"),
        ("letter", "B", "The answer is B", "(A)"),
        ("number", "0.000044", "It is 4.4e-5.", "5"),
        ("number", "1200", "1.2e3", "1.2"),
        (r"regex:<(\w+)>", "red", "so <red>", "red"),
        (r"regex:[0-9]{4}", "1969", "in 1969, or 1970", "in 69"),
    ],
)
def test_graders_by_name(kind, answer, right, wrong):
    assert grader_of(kind)(answer, right)
    assert not grader_of(kind)(answer, wrong)
