"""Many tabs at once: of a tab's requests the newest is answered, equal ones once, and maps wait for all of them."""

from __future__ import annotations

import asyncio
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from benchmarks.websocket_tab import Tab, explorer
from bokeh.document import Document

from crossfeed import Experiment
from crossfeed.exact.linear_ecosystem import linear_ecosystem
from crossfeed.explorer import shared, theory_page
from crossfeed.explorer.answer import Answer, Data
from crossfeed.explorer.landscape import Survey
from crossfeed.explorer.shared import Answers, Maps
from crossfeed.explorer.sliders import Start

from .test_explore_pages import answer, opened, told
from .test_explore_settings import NUMBERED


@pytest.fixture
def start():
    return Start.of(Experiment.from_yaml(NUMBERED))


@pytest.fixture
def computed(monkeypatch):
    """Every answer that theory was asked for."""
    asked = []

    class Counted(Answer):
        @classmethod
        def of(cls, experiment, data):
            asked.append(experiment.ecosystem.alphas(1)[0])
            return Answer.of(experiment, data)

    monkeypatch.setattr(shared, "Answer", Counted)
    return asked


def request(page, turn, **moved):
    page.get_model_by_name("state").asked = json.dumps({"turn": turn, "moved": moved})


def test_of_a_tabs_requests_that_wait_the_newest_alone_is_answered(start, computed):
    page = opened(theory_page.site(start))
    computed.clear()
    for turn, alpha in enumerate((0.1, 0.2, 0.3), start=1):
        request(page, turn, alpha=alpha)
    assert (told(page)["turn"], computed) == (0, [])
    answer(page)
    assert (told(page)["turn"], computed) == (3, [0.3])
    assert told(page)["controls"]["alpha"]["value"] == 0.3


def test_equal_questions_of_two_tabs_are_answered_once_and_each_tab_has_its_own_answer(start, computed):
    site = theory_page.site(start)
    first, second = opened(site), opened(site)
    computed.clear()
    for page, alphas in ((first, (0.1, 0.2)), (second, (0.2, 0.1, 0.7))):
        for turn, alpha in enumerate(alphas, start=1):
            request(page, turn, alpha=alpha)
            answer(page)
    assert computed == [0.1, 0.2, 0.7]
    assert [told(page)["controls"]["alpha"]["value"] for page in (first, second)] == [0.2, 0.7]
    assert told(first)["html"]["summary"] != told(second)["html"]["summary"]


def test_answers_are_kept_as_long_as_there_is_room(start, monkeypatch, computed):
    one = 4 * 6**2
    monkeypatch.setattr(shared, "_MOST_NUMBERS", 2 * one)
    answers = Answers(start)
    for alpha in (0.1, 0.2, 0.1, 0.3, 0.1, 0.2):
        found = answers.of(start.change({"alpha": alpha}))
        np.testing.assert_array_equal(found.mse, Answer.of(found.experiment, Data()).mse)
    assert computed == [0.1, 0.2, 0.3, 0.2]  # 0.2 was the one not asked for longest when 0.3 came


class Watcher:
    """Somebody who looks at a map."""

    def __init__(self, survey, *, looks=True):
        self.survey, self.looks, self.active, self.news = survey, looks, -math.inf, 0

    def looking(self):
        return self.looks

    def map_changed(self):
        self.news += 1


@pytest.fixture
def eco():
    return linear_ecosystem(Experiment.from_yaml(NUMBERED))


def test_a_map_is_computed_once_for_all_who_look_at_it(eco):
    maps = Maps()
    watchers = [Watcher(maps.of("one", eco)) for _ in range(3)]
    for each in watchers:
        maps.watch(each)
    assert len({each.survey for each in watchers}) == 1
    while watchers[0].survey.side < 5:
        assert maps.advance(0.01)
    assert [each.news for each in watchers] == [2, 2, 2]
    other = Watcher(maps.of("two", eco))
    assert other.survey is not watchers[0].survey


def test_maps_wait_while_anybody_asks_but_not_for_ever(eco, monkeypatch):
    maps, asking = Maps(), Watcher(Survey(eco))
    maps.watch(asking)
    assert maps.advance(0.0)
    asking.active = time.monotonic()
    monkeypatch.setattr(shared, "_QUIET", 1000.0)
    assert not maps.advance(0.0)
    monkeypatch.setattr(shared, "_LONGEST", 0.0)
    assert maps.advance(0.0)
    monkeypatch.setattr(shared, "_LONGEST", 1000.0)
    monkeypatch.setattr(shared, "_QUIET", 0.0)
    assert maps.advance(0.0)


def test_maps_take_turns_and_nobody_works_for_those_who_left(eco):
    maps = Maps()
    first, second, gone = Watcher(Survey(eco)), Watcher(Survey(eco)), Watcher(Survey(eco), looks=False)
    for each in (first, second, gone):
        maps.watch(each)
    while not (first.survey.side and second.survey.side):
        assert maps.advance(0.0)
        assert abs(len(first.survey._known) - len(second.survey._known)) <= 1
    assert not gone.survey._known
    first.looks = second.looks = False
    assert not maps.advance(0.0)


def test_a_map_that_breaks_is_left_and_the_others_go_on(eco, monkeypatch):
    maps, broken, whole = Maps(), Watcher(Survey(eco)), Watcher(Survey(eco))
    maps.watch(broken)

    def breaks(_):
        raise ZeroDivisionError

    monkeypatch.setattr(broken.survey, "advance", breaks)
    with pytest.raises(ZeroDivisionError):
        maps.advance(0.0)
    assert not maps.advance(0.0)
    maps.watch(whole)
    assert maps.advance(0.0)


def test_what_a_closed_tab_held_is_let_go(start):
    site, page = theory_page.site(start), Document()
    site.page(page)
    assert not site.work()  # it was never opened


def test_tabs_that_all_move_sliders_have_each_its_own_last_answer(tmp_path, start):
    """Over real websockets: many requests in a row, and nobody waits for an answer in between."""
    file = tmp_path / "three.yaml"
    file.write_text(f"name: three\n{NUMBERED}")
    tabs, requests = 6, 15

    async def drag(tab, number):
        for turn in range(1, requests + 1):
            await tab.ask(turn, {"alpha": turn / 100, "beta": number / 10})
        turns = []
        while requests not in turns:
            said = await tab.told()
            turns.append(said["turn"])
        assert turns == sorted(turns)
        return said

    async def all_at_once(address):
        opened_tabs = [await Tab.at(address) for _ in range(tabs)]
        said = await asyncio.gather(*(drag(tab, number) for number, tab in enumerate(opened_tabs)))
        await asyncio.gather(*(tab.close() for tab in opened_tabs))
        return said

    # In a thread of its own: where a browser was driven, a loop runs in this one.
    with explorer(str(file)) as (address, _), ThreadPoolExecutor(1) as thread:
        said = thread.submit(lambda: asyncio.run(all_at_once(address))).result()
    for number, last in enumerate(said):
        moved = {"alpha": requests / 100, "beta": number / 10}
        assert json.loads(parse_qs(urlsplit(last["yaml"]).query)["moved"][0]) == moved
        wanted = Answer.of(start.describe(start.change(moved)), Data())
        assert f'data-value="{float(wanted.limit.mean())!r}"' in last["html"]["facts"]


def test_a_map_that_was_about_to_be_shown_when_a_slider_moved_waits_for_its_successor(start):
    page = theory_page._Page(start, Answers(start), Maps(), Document())
    page._show_map()
    page.survey = Survey(page._answer.eco)
    assert page.survey.side == 0
    before = dict(page._map._image.data)
    page._show_map()
    assert page._map._image.data == before
