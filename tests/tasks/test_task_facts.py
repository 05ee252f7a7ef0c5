"""Facts against truths written down independently of the package's tables."""

import csv
import re
from importlib.resources import files
from itertools import pairwise

import pytest

from crossfeed.tasks.facts import facts

SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts "
    "Og"
)
ELEMENTS = SYMBOLS.split()
NOBLE_GASES = (2, 10, 18, 36, 54, 86, 118)
CAPITALS = {
    "Australia": "Canberra",
    "Brazil": "Brasília",
    "Canada": "Ottawa",
    "Turkey": "Ankara",
    "Switzerland": "Bern",
    "Nigeria": "Abuja",
    "Morocco": "Rabat",
    "New Zealand": "Wellington",
    "Pakistan": "Islamabad",
    "Vietnam": "Hanoi",
    "Myanmar": "Naypyidaw",
    "Kazakhstan": "Astana",
    "Ecuador": "Quito",
    "Ivory Coast": "Yamoussoukro",
    "Tanzania": "Dodoma",
    "the United States": "Washington, D.C.",
    "Iceland": "Reykjavík",
    "the Philippines": "Manila",
    "Belize": "Belmopan",
    "Palau": "Ngerulmud",
    "Slovenia": "Ljubljana",
    "Slovakia": "Bratislava",
    "Guinea": "Conakry",
    "Guinea-Bissau": "Bissau",
    "Guyana": "Georgetown",
    "Suriname": "Paramaribo",
    "Togo": "Lomé",
    "Benin": "Porto-Novo",
    "Mauritania": "Nouakchott",
    "Bhutan": "Thimphu",
}
CURRENCIES = {
    "Japan": "yen",
    "Poland": "zloty",
    "Sweden": "Swedish krona",
    "Croatia": "euro",
    "Ghana": "cedi",
    "Thailand": "baht",
    "Ecuador": "United States dollar",
    "Senegal": "West African CFA franc",
    "Israel": "new shekel",
    "Peru": "sol",
    "Ukraine": "hryvnia",
    "South Africa": "rand",
}
EUROPE_SAMPLE = ("Albania", "Malta", "Norway", "Ukraine", "Portugal", "Moldova", "Iceland")
STATES = {
    "California": ("Sacramento", "CA", "1850"),
    "New York": ("Albany", "NY", "1788"),
    "Texas": ("Austin", "TX", "1845"),
    "Kentucky": ("Frankfort", "KY", "1792"),
    "Alaska": ("Juneau", "AK", "1959"),
    "Missouri": ("Jefferson City", "MO", "1821"),
    "Nevada": ("Carson City", "NV", "1864"),
    "Vermont": ("Montpelier", "VT", "1791"),
    "South Dakota": ("Pierre", "SD", "1889"),
    "Utah": ("Salt Lake City", "UT", "1896"),
}


@pytest.fixture(scope="module")
def answers():
    found = {}
    for row in facts(0):
        question = row.prompt.removeprefix("Question: ").removesuffix("\nAnswer:")
        found[question] = row.answer
    return found


def test_there_are_thousands_of_questions(answers):
    assert len(answers) > 4000
    assert all(question.endswith("?") for question in answers)


def test_every_element(answers):
    assert len(ELEMENTS) == 118
    for number, symbol in enumerate(ELEMENTS, start=1):
        name = answers[f"Which element has the atomic number {number}?"]
        assert answers[f"What is the chemical symbol of {name}?"] == symbol
        assert answers[f"Which element has the chemical symbol {symbol}?"] == name
        assert answers[f"What is the atomic number of {name}?"] == str(number)
        period = next(place for place, last in enumerate(NOBLE_GASES, start=1) if number <= last)
        assert answers[f"In which period of the periodic table is {name}?"] == f"period {period}"


def test_groups_of_elements_by_counting(answers):
    asked = 0
    for number in range(1, 119):
        name = answers[f"Which element has the atomic number {number}?"]
        group = answers.get(f"In which group of the periodic table is {name}?")
        last = next(gas for gas in NOBLE_GASES if number <= gas)
        first = max([0, *(gas for gas in NOBLE_GASES if gas < number)]) + 1
        left = number - first < 2 and number != 2
        expected = number - first + 1 if left else 18 - (last - number)
        if 57 <= number <= 71 or 89 <= number <= 103:
            assert group is None, "the inner rows belong to no group, or which one is disputed"
        else:
            assert group == f"group {expected}", name
            asked += 1
    assert asked == 88


def test_families_and_states(answers):
    def family(name):
        return answers.get(f"Which family of elements includes {name}?")

    def names(*symbols):
        return [answers[f"Which element has the chemical symbol {symbol}?"] for symbol in symbols]

    for name in names("Li", "Na", "K", "Rb", "Cs", "Fr"):
        assert family(name) == "alkali metals"
    for name in names("He", "Ne", "Ar", "Kr", "Xe", "Rn"):
        assert family(name) == "noble gases"
    for name in names("F", "Cl", "Br", "I", "At"):
        assert family(name) == "halogens"
    assert family("hydrogen") is None
    liquid = [q for q, a in answers.items() if q.startswith("Is ") and "room temperature" in q and a == "liquid"]
    gas = [q for q, a in answers.items() if q.startswith("Is ") and "room temperature" in q and a == "gas"]
    assert sorted(q.split()[1] for q in liquid) == ["bromine", "mercury"]
    assert sorted(q.split()[1] for q in gas) == sorted(
        names("H", "N", "O", "F", "Cl", "He", "Ne", "Ar", "Kr", "Xe", "Rn")
    )


def test_atomic_weights_grow_except_where_they_do_not(answers):
    text = files("crossfeed.tasks").joinpath("tables", "elements.csv").read_text("utf-8")
    weights = [(int(row["number"]), float(row["weight"])) for row in csv.DictReader(text.splitlines()) if row["weight"]]
    falls = {second[0] for first, second in pairwise(weights) if second[1] < first[1]}
    # Potassium, nickel, iodine and protactinium are lighter than the element before them.
    assert falls == {19, 28, 53, 91}
    assert all(number * 0.99 < weight < 2.75 * number for number, weight in weights)
    assert answers["Rounded to a whole number, what is the atomic weight of gold?"] == "197"
    assert answers["Rounded to a whole number, what is the atomic weight of carbon?"] == "12"


def test_countries(answers):
    for country, capital in CAPITALS.items():
        assert answers[f"What is the capital of {country}?"] == capital
        assert answers[f"Which country has {capital} as its capital?"] == country
    for country, currency in CURRENCIES.items():
        assert answers[f"What is the currency of {country}?"] == currency
    for country in EUROPE_SAMPLE:
        assert answers[f"On which continent is {country}?"] == "Europe"
    assert answers["On which continent is Suriname?"] == "South America"
    assert answers["On which continent is Honduras?"] == "North America"
    assert answers["On which continent is Nepal?"] == "Asia"
    assert answers["On which continent is Egypt?"] == "Africa"


def test_there_are_as_many_countries_as_there_are():
    text = files("crossfeed.tasks").joinpath("tables", "countries.csv").read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 194, "the members of the United Nations and Vatican City"
    capitals = [row["capital"] for row in rows if row["capital"]]
    assert len(set(capitals)) == len(capitals)
    counted = [row["continent"] for row in rows]
    assert counted.count("South America") == 12
    assert counted.count("North America") == 23
    assert counted.count("Africa") == 54
    assert counted.count("Oceania") == 14
    assert {row["continent"] for row in rows} == {
        *("Africa", "Asia", "Europe", "North America", "South America", "Oceania", "")
    }


def test_disputed_and_changing_facts_are_not_asked(answers):
    for country in ("Israel", "Bolivia", "South Africa", "Nauru"):
        assert f"What is the capital of {country}?" not in answers
    for country in ("Russia", "Turkey", "Georgia", "Cyprus"):
        assert f"On which continent is {country}?" not in answers


def test_states(answers):
    for state, (capital, letters, year) in STATES.items():
        assert answers[f"What is the capital of the state of {state}?"] == capital
        assert answers[f"What is the postal abbreviation of the state of {state}?"] == letters
        assert answers[f"In which year did {state} become a state?"] == year
    asked = [question for question in answers if question.startswith("Which state was number")]
    assert len(asked) == 50
    years = [
        int(
            answers[
                f"In which year did {answers[f'Which state was number {n} to join the United States?']} become a state?"
            ]
        )
        for n in range(1, 51)
    ]
    assert years == sorted(years)


def test_planets_units_and_letters(answers):
    order = ["Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune"]
    assert [answers[f"Which planet is number {n} from the Sun?"] for n in range(1, 9)] == order
    sizes = [answers[f"From large to small, which planet of the solar system has number {n}?"] for n in range(1, 9)]
    assert sizes == ["Jupiter", "Saturn", "Uranus", "Neptune", "Earth", "Venus", "Mars", "Mercury"]
    assert answers["What is the SI unit of force?"] == "newton"
    assert answers["What is the symbol of the unit ohm?"] == "Ω"
    for place in range(24):
        lower = chr(ord("α") + place + (place > 16))  # the final sigma is no letter of its own
        name = answers[f"What is the Greek letter {lower} called?"]
        assert answers[f"Which letter is number {place + 1} in the Greek alphabet?"] == name


def test_completions_answer_first_and_then_support():
    for row in facts(1):
        stop = "" if row.answer.endswith(".") else "."
        assert row.completion.startswith(f" {row.answer}{stop} ")
        sentence = row.completion.removeprefix(f" {row.answer}{stop} ")
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert row.answer.casefold() in sentence.casefold()
        assert not re.search(r"\bNone\b|(?<!\')\ba [aeiou](?!uro|S )", sentence), sentence
