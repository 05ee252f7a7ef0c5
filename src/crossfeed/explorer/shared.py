"""Answers that were given already and maps in the making, which the tabs of one page share.

Sliders have steps, so tabs that move come upon the same settings: each is answered once. A map takes seconds, so it is
computed for all tabs that show it together, a slice at a time, and no tab waits for it.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Hashable
from itertools import count
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from crossfeed.explorer.answer import Answer, Data
from crossfeed.explorer.landscape import Survey
from crossfeed.explorer.sliders import Sliders, Start
from crossfeed.theory import LinearEcosystem

__all__ = ["Answers", "Maps", "Viewer"]

#: Numbers in the Gram matrices of all answers that are kept: some 100 MB, for theory keeps a matrix up to three times.
_MOST_NUMBERS: Final = 4_000_000
#: Seconds without a request after which maps are worked on; or, where requests never cease, since they were.
_QUIET: Final = 0.05
_LONGEST: Final = 1.0


class Answers:
    """Theory's answers, the last ones kept.

    Args:
        start: What settings are changes of.
    """

    def __init__(self, start: Start) -> None:
        self._start, self._data = start, Data()
        self._known: OrderedDict[Sliders, Answer] = OrderedDict()
        self._numbers = 0

    def of(self, settings: Sliders) -> Answer:
        """Return the answer for settings.

        Args:
            settings: Positions of the sliders.

        Raises:
            InvalidDescription: They describe nothing possible.
            DataUnavailable: Features cannot be read.
        """
        if settings in self._known:
            self._known.move_to_end(settings)
            return self._known[settings]
        answer = self._known[settings] = Answer.of(self._start.describe(settings), self._data)
        self._numbers += _size(answer)
        while self._numbers > _MOST_NUMBERS and len(self._known) > 1:
            self._numbers -= _size(self._known.popitem(last=False)[1])
        return answer


def _size(answer: Answer) -> int:
    return (answer.eco.entities + 1) * answer.eco.dimension**2


class Viewer(Protocol):
    """Somebody who looks at a map.

    Attributes:
        survey: The map.
    """

    survey: Survey

    @property
    def active(self) -> float:
        """When the viewer asked or was answered last, by the monotonic clock."""
        ...

    def looking(self) -> bool:
        """Return True if anybody sees what is shown."""
        ...

    def map_changed(self) -> None:
        """Show the map again; called when there is more of it."""
        ...


class Maps:
    """The maps that tabs look at, worked on while nobody asks; those that differ in what they are of take turns."""

    def __init__(self) -> None:
        self._by_ground: WeakValueDictionary[Hashable, Survey] = WeakValueDictionary()
        self._viewers: WeakSet[Any] = WeakSet()
        self._turns: WeakKeyDictionary[Survey, int] = WeakKeyDictionary()
        self._broken: WeakSet[Survey] = WeakSet()
        self._turn, self._worked = count(1), -math.inf

    def of(self, ground: Hashable, eco: LinearEcosystem) -> Survey:
        """Return the map of an ecosystem, which is begun where no tab has one.

        Args:
            ground: What the map depends on.
            eco: The ecosystem.
        """
        survey = self._by_ground.get(ground)
        if survey is None:
            survey = self._by_ground[ground] = Survey(eco)
        return survey

    def watch(self, viewer: Viewer) -> None:
        """Keep a viewer's map going, for as long as the viewer exists.

        Args:
            viewer: Who is told of news.
        """
        self._viewers.add(viewer)

    def advance(self, seconds: float) -> bool:
        """Work on the map that has waited longest, of those that somebody sees and that are not complete.

        Args:
            seconds: Of processor time.

        Returns:
            Whether anything was done; nothing is while tabs ask for other things, but for a slice each second.
        """
        now, asked = time.monotonic(), max((viewer.active for viewer in self._viewers), default=-math.inf)
        if now - asked < _QUIET and now - self._worked < _LONGEST:
            return False
        viewers = [viewer for viewer in self._viewers if self._goes_on(viewer.survey) and viewer.looking()]
        if not viewers:
            return False
        survey = min((viewer.survey for viewer in viewers), key=lambda each: self._turns.get(each, 0))
        self._turns[survey], self._worked = next(self._turn), now
        try:
            news = survey.advance(seconds)
        except Exception:
            self._broken.add(survey)
            raise
        for viewer in viewers:
            if news and viewer.survey is survey:
                viewer.map_changed()
        return True

    def _goes_on(self, survey: Survey) -> bool:
        return not survey.complete and survey not in self._broken
