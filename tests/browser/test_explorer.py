"""The explorer in a real browser: sliders moved by keys, its numbers against the library, a run that goes on."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("bokeh", reason="no Bokeh: install the extra explore")

from crossfeed import Experiment, Run, open_store, run
from crossfeed.cli import app
from crossfeed.description.reading import read_preset
from crossfeed.display.progress import Silent
from crossfeed.exact.linear_ecosystem import linear_ecosystem
from crossfeed.exact.prediction import predict
from crossfeed.theory import landscape, optimal_weights
from crossfeed.theory.influence import influence_shares
from tests.explore.test_explore_settings import NUMBERED


@contextmanager
def explorer(*arguments):
    """The command as a person types it; its address while it runs. It ends without a word when Ctrl-C is pressed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "crossfeed", "explore", *map(str, arguments), "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"BOKEH_RESOURCES": "cdn", "BOKEH_ALLOW_WS_ORIGIN": "*", "PYTHONUNBUFFERED": "1"},
    )
    try:
        said = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/", said)
        assert address, process.communicate(timeout=60)
        yield address[0]
    finally:
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in complaints


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    file = tmp_path_factory.mktemp("explorer") / "three.yaml"
    file.write_text(f"name: three\n{NUMBERED}")
    with explorer(file) as found:
        yield found


START = Experiment.from_yaml(NUMBERED)


def ready(page):
    """A page that listens."""
    page.wait_for_selector("body[data-waiting=no]")
    return page


def press(page, name, key, times=1):
    """Move a slider by keys, and wait for the answer to the last of them."""
    page.focus(f"#{name}")
    for _ in range(times):
        page.keyboard.press(key)
    ready(page)


def number(page, selector):
    return float(page.get_attribute(selector, "data-value"))


def drawn(page, figure, renderer, column):
    """The numbers that a figure holds, flattened."""
    model = f"Bokeh.documents[0].get_model_by_name('{figure}').renderers[{renderer}].data_source"
    return page.evaluate(f"Array.from({model}.data['{column}'][0])")


def of(table, metric, **place):
    chosen = table[table["metric"] == metric]
    for name, value in place.items():
        chosen = chosen[chosen[name] == value]
    return chosen["value"].tolist()


def downloaded(page, link=0):
    with page.expect_download() as download:
        page.locator("a.yaml").nth(link).click()
    return download.value


def test_the_page_fits_and_shows_the_librarys_numbers(open_page, address):
    page = ready(open_page(address, 380, "dark"))
    answer = predict(START)
    assert [number(page, "#radius")] == of(answer.limit, "spectral_radius")
    assert number(page, "#limit") == np.mean(of(answer.limit, "mse"))
    assert page.locator(".plot canvas").count() >= 3
    for width, scheme, ground in ((380, "dark", "rgb(21, 24, 28)"), (1600, "light", "rgb(254, 254, 254)")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground


def test_on_a_phone_figures_come_before_most_sliders_and_a_finger_meets_everything(open_page, address):
    page = ready(open_page(address, 390))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("input[type=range]:visible").count() == 2
    assert page.locator(".plot").first.bounding_box()["y"] < 600
    page.click("#more > summary")
    assert page.locator("input[type=range]:visible").count() == 9
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    small = "each => each.filter(one => one.getBoundingClientRect().height < 44).map(one => one.outerHTML)"
    assert page.eval_on_selector_all("input[type=range], summary, button, fieldset label, a.yaml", small) == []
    press(page, "entities", "ArrowRight")
    assert page.locator("#more").get_attribute("open") is not None
    page.set_viewport_size({"width": 1600, "height": 900})
    assert page.locator("#more > summary:visible").count() == 0
    assert page.locator("input[type=range]:visible").count() == 9


def test_moved_sliders_show_what_predict_says_of_the_yaml(open_page, address):
    page = ready(open_page(address))
    press(page, "alpha", "ArrowRight", 3)
    press(page, "entities", "ArrowRight")
    press(page, "dimension", "ArrowLeft", 2)
    press(page, "fresh_fraction", "PageUp", 2)
    page.check("input[value=accumulate]")
    ready(page)
    file = downloaded(page)
    assert file.suggested_filename == "three.yaml"
    experiment = Experiment.from_yaml(file.path().read_text())
    ecosystem = experiment.ecosystem
    assert (ecosystem.alpha, ecosystem.names, ecosystem.fresh_fraction) == (0.43, ("e1", "e2", "e3", "e4"), 0.2)
    assert (ecosystem.history, {task.dimension for task in experiment.tasks.values()}) == ("accumulate", {4})
    said = CliRunner().invoke(app, ["predict", str(file.path()), "--json"])
    limit = [row for row in json.loads(said.stdout)["limit"] if row["metric"] == "mse"]
    assert len(limit) == 4
    for row in limit:
        assert number(page, f"tr[data-entity='{row['model']}'] td:nth-of-type(2)") == row["value"]
    records = predict(experiment).records
    last = records[(records["metric"] == "mse") & (records["generation"] == 4)]
    for model, value in zip(last["model"], last["value"], strict=True):
        assert number(page, f"tr[data-entity='{model}'] td:nth-of-type(1)") == value
    wanted = of(records, "mse", model="e1")
    assert drawn(page, "trajectories", 1, "ys")[: len(wanted)] == wanted
    assert drawn(page, "influence", 0, "share") == influence_shares(linear_ecosystem(experiment)).ravel().tolist()
    assert page.locator("figure").count() == page.locator("a.yaml").count() == 4
    for link in range(1, 4):
        assert Experiment.from_yaml(downloaded(page, link).path().read_text()) == experiment


def test_the_map_finds_the_librarys_optimum_and_stays_while_weights_move(open_page, address):
    page = ready(open_page(address))
    page.wait_for_function("document.querySelector('#map-words').textContent.includes('33 points.')", timeout=60_000)
    wanted = optimal_weights(linear_ecosystem(START))
    words = page.inner_text("#map-words")
    found = re.search(r"error ([\d.]+) at α = ([\d.]+), β = ([\d.]+); the weights shown cost \+([\d.]+) %", words)
    assert float(found[1]) == pytest.approx(wanted.value, abs=0.005)
    assert (float(found[2]), float(found[3])) == pytest.approx((wanted.alpha, wanted.beta), abs=0.002)
    ground = landscape(linear_ecosystem(START), [0.25], [0.0, 0.5])
    level = np.reshape(drawn(page, "map", 0, "value"), (33, 33))
    assert level[[0, 16], 8].tolist() == pytest.approx(ground.values[0].tolist(), rel=1e-12)
    other = ready(open_page(address))
    before = number(other, "#radius")
    press(page, "alpha", "PageDown")
    assert "33 × 33 points." in page.inner_text("#map-words")
    press(other, "noise", "ArrowRight")
    assert number(page, "#radius") < before == number(other, "#radius")


def test_the_page_says_what_has_no_limit_what_is_biased_and_what_cannot_be_moved(open_page, address):
    page = ready(open_page(address))
    press(page, "alpha", "End")
    assert page.inner_text("#summary") == (
        "There is no limit (spectral radius 1): each generation adds the same variance."
    )
    assert page.get_attribute("#limit", "data-value") == "nan"
    press(page, "alpha", "Home")
    press(page, "beta", "End")
    assert "(G is singular)" in page.inner_text("#undetermined")
    press(page, "entities", "Home")
    assert page.is_disabled("#share")
    assert page.inner_text("#share-why") == "one entity publishes everything"
    press(page, "dimension", "Home")
    assert page.input_value("#rank") == "1"
    page.click("#reset")
    ready(page)
    assert [page.input_value(f"#{name}") for name in ("entities", "rank", "alpha")] == ["3", "3", "0.4"]
    assert not page.is_disabled("#share")


def asked(address, path, **headers):
    with closing(http.client.HTTPConnection(address.removeprefix("http://").rstrip("/"), timeout=30)) as there:
        there.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = there.getresponse()
        return answer.status, answer.read().decode()


def test_strangers_and_nonsense_are_refused(address):
    assert asked(address, "/experiment.yaml")[0] == 200
    assert asked(address, "/experiment.yaml", Host="elsewhere.example")[0] == 403
    status, said = asked(address, "/experiment.yaml?moved=%7B%22alpha%22%3A2%7D")
    assert (status, said) == (400, "alpha: give a number from 0 to 1; received 2\n")
    for nonsense in ("nonsense", "3", "[]", "%7B%22alpha%22%3Anull%7D%7D"):
        assert asked(address, f"/experiment.yaml?moved={nonsense}")[0] == 400
    knock = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13"}
    status, _ = asked(address, "/ws", **knock, Sec_WebSocket_Key="dGhlIHNhbXBsZQ==", Origin="http://elsewhere.example")
    assert status == 403


class Paced(Silent):
    """A run that waits for a word before each of its steps, and stops when it is told to."""

    def __init__(self):
        self.steps, self.stop = threading.Semaphore(0), False

    @contextmanager
    def stage(self, name, total=None, detail=""):
        if name == "measure":
            self.steps.acquire()
            if self.stop:
                raise KeyboardInterrupt
        yield lambda steps: None


def test_a_run_is_watched_while_it_goes_on_stops_and_vanishes(open_page, tmp_path):
    place, pace = tmp_path / "run", Paced()
    experiment = Experiment.from_yaml(read_preset("fake"), ("ecosystem.alpha=0.5", "seeds=[0, 1]", "n=60"))

    def work():
        with suppress(KeyboardInterrupt):
            run(experiment, open_store(place), progress=pace)

    at_work = threading.Thread(target=work)
    at_work.start()
    try:
        while not (place / "run.json").exists():
            time.sleep(0.02)
        with explorer(place) as address:
            page = ready(open_page(address, 380))
            assert "Nothing is measured yet" in page.inner_text("#state")
            for reached in ("0", "1", "2"):
                pace.steps.release()
                page.wait_for_selector(f"tr[data-state=running][data-reached='{reached}']", timeout=60_000)
            pace.stop = True
            pace.steps.release()
            at_work.join()
            page.wait_for_selector("tr[data-state=stopped]", timeout=60_000)
            assert page.locator("tr[data-state=waiting]").count() == 1
            records = Run.load(place).records
            page.select_option("#metric", "accuracy")
            ready(page)
            wanted = of(records, "accuracy", model="cold", generation=2)
            shown = page.eval_on_selector_all("td[data-model=cold]", "cells => cells.map(cell => cell.dataset.value)")
            assert [float(value) for value in shown if value] == wanted
            lines = [drawn(page, f"panel{number}", 1, "ys") for number in range(2)]
            assert lines == [of(records, "accuracy", model="warm", task=task) for task in ("warm", "cold")]
            for width in (380, 1600):
                page.set_viewport_size({"width": width, "height": 900})
                assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert downloaded(page).path().read_text() == (place / "experiment.yaml").read_text()
            shutil.rmtree(place)
            page.wait_for_selector("#problem:not(:empty)", timeout=30_000)
            assert "not a crossfeed run" in page.inner_text("#problem")
            assert page.locator("td[data-model=cold]").count() == 3
            page.close()
    finally:
        pace.stop = True
        pace.steps.release()
        at_work.join()
