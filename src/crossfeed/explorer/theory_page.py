"""The page on which exact theory follows the sliders, for one tab of a browser."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import numpy as np
from bokeh.document import Document

from crossfeed.description.ecosystem import Ecosystem
from crossfeed.display.formatting import number, plain
from crossfeed.errors import CrossfeedError
from crossfeed.explorer.answer import Answer
from crossfeed.explorer.landscape import Survey
from crossfeed.explorer.lines import LOOKS, Trajectories, looks
from crossfeed.explorer.maps import Influence, Map
from crossfeed.explorer.pages import Conversation, dress, escaped, html, opened
from crossfeed.explorer.server import Site
from crossfeed.explorer.shared import Answers, Maps
from crossfeed.explorer.short_yaml import short_yaml
from crossfeed.explorer.sliders import Sliders, Start
from crossfeed.explorer.summary import as_described, influence_words, map_words, summary, undetermined

__all__ = ["site"]

#: Seconds that the maps of all tabs together may take before the server listens again.
_SLICE: Final = 0.02
#: A bias that is smaller beside the error is none.
_ROUNDING: Final = 1e-12


@dataclass(frozen=True)
class _Control:
    """A slider.

    Attributes:
        name: The setting.
        symbol: Of theory.
        label: What it is.
        step: Between two of its values.
    """

    name: str
    symbol: str
    label: str
    step: float


_CONTROLS: Final = (
    _Control("alpha", "α", "synthetic share", 0.01),
    _Control("beta", "β", "private share of the real data", 0.01),
    _Control("entities", "K", "entities", 1),
    _Control("dimension", "d", "dimensions of the features", 1),
    _Control("rank", "rank", "of each entity's features", 1),
    _Control("share", "w₁", "first entity's share of the pool", 0.01),
    _Control("fresh_fraction", "φ", "fresh human data in the pool", 0.01),
    _Control("noise", "σ", "noise of human responses", 0.05),
    _Control("generated_noise", "σ_g", "noise of generated responses", 0.05),
)


def site(start: Start) -> Site:
    """Return the site that shows exact theory with sliders.

    Args:
        start: Where the sliders start.
    """

    def described(moved: dict[str, Any]) -> str:
        comment = "From crossfeed explore: crossfeed predict FILE has these numbers, crossfeed plan FILE the map."
        return short_yaml(start.describe(start.change(moved)), comment=comment)

    answers, maps = Answers(start), Maps()
    return Site(
        start.experiment.name,
        lambda document: maps.watch(_Page(start, answers, maps, document)),
        described,
        lambda: maps.advance(_SLICE),
    )


class _Page:
    """One tab.

    Args:
        start: Where its sliders start.
        answers: Theory's, for all tabs.
        maps: Likewise.
        document: The tab's document.

    Attributes:
        survey: The map that it shows.
    """

    def __init__(self, start: Start, answers: Answers, maps: Maps, document: Document) -> None:
        self._start, self._answers, self._maps, self._document = start, answers, maps, document
        self._trajectories, self._map = Trajectories(start.experiment.generations), Map()
        self._influence = Influence()
        self._words = Conversation(document, self._move)
        self._ground: Sliders | None = None
        self._answer, self.survey = self._ask({})
        experiment = start.experiment
        dress(
            document,
            self._words,
            [self._trajectories.figure, self._map.figure, self._influence.figure],
            "theory.html.j2",
            name=experiment.name,
            description=plain(experiment.description),
            file=f"{experiment.name}.yaml",
            # Where the update scheme decides alpha, `crossfeed plan` has nothing to search.
            plan="crossfeed plan" if experiment.ecosystem.update == "accumulate-and-subsample" else "",
            controls=[_fitted(control, start) for control in _CONTROLS],
            described_network=start.settings.reads == "described",
        )

    @property
    def active(self) -> float:
        """When the reader asked or was answered last, by the monotonic clock."""
        return self._words.active

    def looking(self) -> bool:
        """Return True if the tab is open."""
        return opened(self._document)

    def map_changed(self) -> None:
        """Show the map again, as soon as the document may be changed."""
        self._document.add_next_tick_callback(self._show_map)

    def _move(self, moved: dict[str, Any]) -> None:
        """Answer a reader who moved a slider, all in one message."""
        self._document.hold("combine")
        try:
            self._answer, self.survey = self._ask(moved)
            self._words.tell(html={"error": ""})
        except CrossfeedError as error:
            self._words.tell(html=escaped({"error": str(error)}))
        finally:
            self._document.unhold()

    def _ask(self, moved: dict[str, Any]) -> tuple[Answer, Survey]:
        begun = time.perf_counter()
        settings = self._start.change(moved)
        answer = self._answers.of(settings)
        self._trajectories.show(answer)
        self._influence.show(answer)
        self._map.stand(*_common_weights(answer))
        survey = self._survey_of(settings, answer)
        words = {
            "summary": summary(answer),
            "undetermined": undetermined(answer),
            "influence-words": influence_words(answer),
            "map-words": map_words(answer, survey),
        }
        tables = {"limits": _entities(answer), "facts": _facts(answer, time.perf_counter() - begun)}
        self._words.tell(
            html=escaped(words) | tables,
            controls=_controls(self._start, settings, answer.experiment.ecosystem),
            yaml=f"experiment.yaml?{urlencode({'moved': json.dumps(moved)})}",
        )
        return answer, survey

    def _survey_of(self, settings: Sliders, answer: Answer) -> Survey:
        """Return the map, another one where it depends on what was moved: on anything but the weights that it shows."""
        ground = settings.model_copy(update={"alpha": None, "beta": None})
        if ground == self._ground:
            return self.survey
        self._ground = ground
        survey = self._maps.of(ground, answer.eco)
        self._map.clear()
        if survey.side:
            self._map.show(survey)
        return survey

    def _show_map(self) -> None:
        if not self.survey.side:
            return  # a slider was moved meanwhile, and nothing of its map is there yet
        self._document.hold("combine")
        self._map.show(self.survey)
        self._words.tell(html=escaped({"map-words": map_words(self._answer, self.survey)}))
        self._document.unhold()


def _fitted(control: _Control, start: Start) -> dict[str, Any]:
    """Return a slider with the span that it has here."""
    low, high = start.spans[control.name]
    whole = control.step == 1
    return vars(control) | {"low": int(low) if whole else low, "high": int(high) if whole else high}


def _controls(start: Start, settings: Sliders, ecosystem: Ecosystem) -> dict[str, Any]:
    """Return every slider's position, text and, if it is locked, the reason."""
    standing = {
        "alpha": float(np.nan_to_num(ecosystem.alphas(1).mean())),
        "beta": float(ecosystem.betas(1).mean()),
        "share": float(ecosystem.shares[0]),
    }
    locked = dict(start.locked)
    if settings.entities == 1:
        locked["share"] = "one entity publishes everything"
    elif settings.reads != "pool":
        locked["share"] = "a network says who reads whom"
    told: dict[str, Any] = {}
    for control in _CONTROLS:
        value = getattr(settings, control.name)
        text = as_described(ecosystem, control.name) if value is None else f"{value:.4g}"
        told[control.name] = {
            "value": standing[control.name] if value is None else value,
            "text": text,
            "why": locked.get(control.name, ""),
        }
    told["rank"]["high"] = settings.dimension
    told["history"] = {"value": settings.history, "why": ""}
    told["reads"] = {"value": settings.reads, "why": ""}
    return told


def _common_weights(answer: Answer) -> tuple[float, float]:
    """Return the weights that all entities have at every generation; nan where there are none such."""
    weights = (answer.eco.alpha, answer.eco.beta)
    if not answer.eco.constant or any(len(set(weight.at(1).tolist())) > 1 for weight in weights):
        return float("nan"), float("nan")
    alpha, beta = (float(weight.at(1)[0]) for weight in weights)
    return alpha, beta


def _facts(answer: Answer, seconds: float) -> str:
    facts = [
        ("radius", "spectral radius", answer.spectral_radius),
        ("limit", "limit of the mean MSE", float(answer.limit.mean())),
        ("efficiency", "mean relative efficiency", float(answer.efficiency.mean())),
        ("dispersion", "distance between entities in the limit", answer.dispersion),
    ]
    told = [
        {
            "id": name,
            "label": label,
            "value": repr(value),
            "text": f"{value:.4f}" if name == "radius" else _shown(value),
        }
        for name, label, value in facts
    ]
    if answer.eco.entities == 1:
        told.pop()
    milliseconds = f"{1000 * seconds:.0f} ms"
    told.append({"id": "time", "label": "computed in", "value": repr(seconds), "text": milliseconds})
    return html("facts.html.j2", facts=told)


def _entities(answer: Answer) -> str:
    """Return the table of the limit, which is also the key to the lines."""
    lines = looks(answer)
    names = answer.experiment.ecosystem.names
    bias = np.where(answer.bias_squared > _ROUNDING * answer.limit, answer.bias_squared, 0.0 * answer.limit)
    each = list(zip(answer.mse[-1], answer.limit, bias, answer.efficiency, strict=True))
    rows: list[dict[str, Any]] = []
    if len(names) > len(LOOKS):
        rows += [
            {"name": "", "label": plain(label), "look": look, "numbers": [float(values[-1]), limit, np.nan, np.nan]}
            for label, (look, values, limit) in lines.items()
        ]
    for name, values in zip(names, each, strict=True):
        look = lines[name][0] if name in lines else None
        rows.append({"name": name, "label": plain(name), "look": look, "numbers": [float(value) for value in values]})
    last = int(answer.generations[-1])
    return html("entities.html.j2", rows=rows, last=last, shown=_shown)


def _shown(value: float) -> str:
    return "–" if np.isnan(value) else "0" if value == 0 else number(value)
