"""Every claim's number stands where its link says; its command is there and on the linked page."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
import yaml
from markdown.extensions.toc import slugify

from crossfeed.description.reading import preset_names
from tests.docs.blocks import ROOT

PAGE = ROOT / "docs" / "claims.md"
GROUPS = ["Theory", "Language models", "Images", "Densities", "Speed", "Reliability"]
#: What a claim's number may be: one number, with its standard error, or one beside another.
NUMBER = re.compile(r"[+-]?[\d,.]*\d(?:·10[⁻⁰¹²³⁴-⁹]+)?(?: ± [\d.]+| (?:→|of|to) [\d.]+)?")


@dataclass(frozen=True)
class Claim:
    """A row of the page's tables: a sentence, a number with its unit, a command, and where the number stands."""

    sentence: str
    number: str
    command: str
    where: str
    page: str
    anchor: str

    @property
    def bare(self) -> str:
        """The number without its unit."""
        return NUMBER.match(self.number)[0]


def claims_in(text: str) -> list[Claim]:
    """The rows of all tables that have the four columns of a claim."""
    found = []
    for row in re.findall(r"^\| (?!Claim )(.*) \|$", text, re.M):
        sentence, number, command, link = re.split(r"(?<!\\) \| ", row)
        where, page, anchor = re.fullmatch(r"\[(.*)\]\(([^)#]+)(?:#([^)]+))?\)", link).groups()
        found.append(Claim(sentence, number, command.strip("`"), where.replace("\\|", "|"), page, anchor or ""))
    return found


CLAIMS = claims_in(PAGE.read_text(encoding="utf-8"))


def section(text: str, anchor: str) -> str:
    """What stands under the heading with this anchor, down to the next one as high; the whole page without one."""
    if not anchor:
        return text
    headings = [(found.start(), len(found[1]), found[2]) for found in re.finditer(r"^(#+) (.*)$", text, re.M)]
    slugs = [slugify(re.sub(r"[`*$\\]", "", title), "-") for _, _, title in headings]
    assert anchor in slugs, f"there is no section {anchor}: {slugs}"
    start, depth, _ = headings[slugs.index(anchor)]
    return text[start : next((at for at, level, _ in headings if at > start and level <= depth), len(text))]


def places(text: str) -> list[str]:
    """The rows of a section's tables, its paragraphs and points, each without emphasis and on one line."""
    plain = text.replace("**", "").replace("*", "")
    pieces = re.split(r"\n\s*\n|\n(?=\|)|\n(?=- )", plain)
    return [" ".join(piece.split()) for piece in pieces]


def holds(place: str, number: str) -> bool:
    """True if the number stands there by itself, not as a part of a longer one."""
    return re.search(rf"(?<![\d.,]){re.escape(number)}(?![\d]|[.,]\d)", place) is not None


def proof_of(claim: Claim) -> list[str]:
    """The rows and paragraphs that hold both the number and the words of the link."""
    text = (PAGE.parent / claim.page).read_text(encoding="utf-8")
    words = " ".join(claim.where.replace("*", "").split())
    return [
        each
        for each in places(section(text, claim.anchor))
        if words.casefold() in each.casefold() and holds(each, claim.bare)
    ]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.page}: {claim.number}")
def test_a_claims_number_stands_where_its_link_says(claim):
    assert proof_of(claim), f"{claim.bare!r} does not stand beside {claim.where!r} in {claim.page}#{claim.anchor}"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.page}: {claim.number}")
def test_a_claims_command_is_there_and_on_the_linked_page(claim):
    program, *words = claim.command.split()
    text = " ".join((PAGE.parent / claim.page).read_text(encoding="utf-8").split())
    if program == "crossfeed":
        verb, *given = words
        if verb in {"run", "predict", "plan"}:
            assert given[0] in preset_names(), claim.command
        assert re.search(rf"{re.escape(claim.command)}(?![\w-])", text), f"{claim.page} does not show {claim.command}"
    else:
        assert program in {"python", "pytest"}
        assert (ROOT / words[0]).is_file(), f"there is no {words[0]}"
        assert words[0] in text, f"{claim.page} does not name {words[0]}"


def test_the_check_can_fail():
    one = CLAIMS[1]
    assert not proof_of(Claim(one.sentence, "0.64", one.command, one.where, one.page, one.anchor))
    assert not proof_of(Claim(one.sentence, one.number, one.command, "other words", one.page, one.anchor))
    assert not holds("it is 10.63 or 0.631", "0.63")
    with pytest.raises(AssertionError, match="no section"):
        section("# One\n\n## Two\n", "three")


def test_the_groups_are_there_and_each_has_claims():
    parts = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.M)[1:]
    assert [part.partition("\n")[0] for part in parts] == GROUPS
    assert all(claims_in(part) for part in parts)
    assert 40 <= len(CLAIMS) <= 95
    assert all(NUMBER.match(claim.number) for claim in CLAIMS)
    assert len({(claim.page, claim.anchor, claim.where, claim.number) for claim in CLAIMS}) == len(CLAIMS)


class _Site(yaml.SafeLoader):
    """YAML of the site's configuration, whose tags name functions of Python."""


_Site.add_multi_constructor("", lambda loader, tag, node: None)


def test_the_pages_that_hold_the_results_are_its_appendix():
    nav = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), _Site)["nav"]
    (pages,) = [each["Claims"] for each in nav if "Claims" in each]
    assert pages[0] == "claims.md"
    appendix = {path: title for entry in pages[1:] for title, path in entry.items()}
    assert all(title.startswith("Appendix: ") for title in appendix.values())
    results = ("results", "paper", "beyond", "languages", "images", "literature", "universality", "published-values")
    others = ("worlds", "choice", "discrete", "pretrained", "forecast", "benchmarks", "reliability")
    assert set(appendix) == {f"{name}.md" for name in (*results, *others)}
    assert {claim.page for claim in CLAIMS} >= set(appendix)
