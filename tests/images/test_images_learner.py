"""The generator of images: the contract, flow matching against its definition, a whole run and its report."""

from __future__ import annotations

import base64
import re
from importlib.util import find_spec
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.special import ndtri

torch = pytest.importorskip("torch", reason="images need the images extra")
if find_spec("diffusers") is None:  # which takes four seconds to import: tests do that, collecting them does not
    pytest.skip("images need the images extra", allow_module_level=True)

from crossfeed.description.experiment import Experiment  # noqa: E402
from crossfeed.display.progress import Silent  # noqa: E402
from crossfeed.errors import DataUnavailable, Diverged, InvalidInput  # noqa: E402
from crossfeed.keys import address, item_keys, uniforms  # noqa: E402
from crossfeed.learners.images.noise import normals  # noqa: E402
from crossfeed.learners.images.settings import FlowTrainingSettings  # noqa: E402
from crossfeed.learners.neural.device import open_device  # noqa: E402
from crossfeed.loop import run  # noqa: E402
from crossfeed.protocols import LearnerContext, Part, TrainingSet  # noqa: E402
from crossfeed.reporting.data.frames import Run  # noqa: E402
from crossfeed.reporting.html import write_report  # noqa: E402
from crossfeed.reporting.page.image_samples import _classes, _sheet  # noqa: E402
from crossfeed.store import open_store  # noqa: E402
from crossfeed.tasks.images import to_png  # noqa: E402
from crossfeed.testing import LearnerContract  # noqa: E402

SMALL = """
name: small
ecosystem:
  entities: [{name: low, private: low}, {name: high, private: high}]
  beta: 0.9
learner:
  kind: images
  network: {block_out_channels: [8]}
  training: {learning_rate: 5e-3, batch_size: 16, warmup: 2}
  sampling: {steps: 2, batch_size: 16}
  scoring: {draws: 2}
tasks:
  low: {source: digits, classes: [0, 1], skip: 2, test: 12}
  high: {source: digits, classes: [6, 7], skip: 2, test: 12}
public: {source: digits, classes: [0, 1, 6, 7], per_class: 2, test: 12}
n: 128
generations: 2
metrics: {loss: {}, accuracy: {}, similarity: {}, frechet: {}, precision_recall: {}}
grid: {ecosystem.alpha: [0, 1]}
"""


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSFEED_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def rng():
    return np.random.default_rng()


class TestContract(LearnerContract):
    experiment = SMALL


def build(tmp_path, *overrides):
    cell = Experiment.from_yaml(SMALL, overrides).cells()[0]
    tasks = {name: settings.build(name, None) for name, settings in cell.experiment.tasks.items()}
    tasks["public"] = cell.experiment.public.build("public", None)
    learner = cell.experiment.combined_learner.build(LearnerContext(tasks, cell.seed, tmp_path / "cache", Silent()))
    return learner, tasks


class Field:
    """A velocity that is written down."""

    def __init__(self, velocity, shape=(2, 3, 1)):
        self.velocity, self.shape = velocity, shape
        self.device = open_device("cpu", "fp32", 1)


def test_noise_is_standard_normal_and_hangs_on_its_key_alone(rng):
    keys = rng.integers(0, 2**63, 2000).astype(np.uint64)
    found = normals(keys, 6)
    one = np.array([float(ndtri(uniforms(item_keys(int(keys[7]), np.array([j]))))[0]) for j in range(6)])
    np.testing.assert_allclose(found[7], one, rtol=1e-6)
    np.testing.assert_array_equal(normals(keys[[9, 3]], 6), found[[9, 3]])
    n = found.size
    assert abs(found.mean()) < 5 / np.sqrt(n)
    assert abs((found**2).mean() - 1) < 5 * np.sqrt(2 / n)
    assert abs((found[:, :-1] * found[:, 1:]).mean()) < 5 / np.sqrt(n)


def test_drawing_follows_the_velocity_from_keyed_noise(rng):
    from crossfeed.learners.images.flow import draw

    keys = rng.integers(0, 2**63, 9).astype(np.uint64)
    start = normals(keys, 6).reshape(9, 2, 3, 1)

    def pixels(x):
        return ((np.clip(x, -1, 1) + 1) * 127.5).round()

    still = draw(Field(lambda x, t, c: torch.zeros_like(x)), np.zeros(9, dtype=np.int64), keys, 3, 4, lambda _: None)
    np.testing.assert_allclose(still, pixels(start), atol=1)
    # dx/dt = -x + c t is solved by x(1) = x(0) / e + c / e; the midpoint rule of 64 steps is nearly exact.
    classes = rng.integers(0, 3, 9)
    field = Field(lambda x, t, c: -x + (c * t)[:, None, None, None])
    found = draw(field, classes, keys, 64, 4, lambda _: None)
    np.testing.assert_allclose(found, pixels((start + classes[:, None, None, None]) / np.e), atol=1)


def test_the_loss_is_its_definition(rng):
    from crossfeed.learners.images.flow import noised, score

    images = rng.integers(0, 256, (5, 2, 3, 1), dtype=np.uint8)
    names, draws = ["a", "b", "a", "c", "a"], 3
    classes = np.array([0, 1, 0, 2, 0])
    field = Field(lambda x, t, c: x * t[:, None, None, None] + c[:, None, None, None])
    found = score(field, noised(images, names, classes, draws), 4)
    for row, name in enumerate(names):
        keys = item_keys(address("score", name, images[row].tobytes().hex()), np.arange(draws))
        real, terms = images[row].reshape(-1) / 127.5 - 1, []
        for j, key in enumerate(keys):
            t, noise = (j + uniforms(np.array([key]), 1)[0]) / draws, normals(np.array([key]), 6)[0]
            x = (1 - t) * noise + t * real
            terms.append(((x * t + classes[row] - (real - noise)) ** 2).sum())
        assert found[row] == pytest.approx(np.mean(terms), rel=1e-4)
    alone = score(field, noised(images[3:4], ["c"], classes[3:4], draws), 4)
    assert alone[0] == pytest.approx(found[3], rel=1e-6)
    assert len(score(field, noised(images[:0], [], classes[:0], draws), 4)) == 0


def test_the_loss_without_a_velocity_is_what_noise_and_pixels_have(rng):
    from crossfeed.learners.images.flow import noised, score

    images = rng.integers(0, 256, (800, 2, 3, 1), dtype=np.uint8)
    field = Field(lambda x, t, c: torch.zeros_like(x))
    found = score(field, noised(images, ["a"] * 800, np.zeros(800, dtype=np.int64), 4), 64)
    expected = ((images.reshape(800, -1) / 127.5 - 1) ** 2).sum(axis=1) + 6  # E |x - noise|^2
    error = found - expected
    assert abs(error.mean()) < 5 * error.std() / np.sqrt(800)


def test_steps_read_the_drawn_order_first_and_then_every_image_once_a_pass():
    from crossfeed.learners.images.flow import images_of_steps

    settings = FlowTrainingSettings(steps=5, batch_size=4)
    plan = np.concatenate(images_of_steps(8, settings, 1, 3))
    assert len(plan) == 20
    np.testing.assert_array_equal(plan[:8], np.arange(8))
    assert sorted(plan[8:16]) == list(range(8))
    assert list(plan[8:16]) != list(range(8))
    assert [len(rows) for rows in images_of_steps(6, settings, 0, 3)] == [4, 2]  # one pass
    assert images_of_steps(0, settings, 0, 3) == []


def test_other_batches_draw_the_same_images_up_to_rounding(tmp_path):
    tables = []
    for size in (4, 16):
        learner, tasks = build(tmp_path, f"learner.sampling.batch_size={size}")
        table = tasks["low"].test.slice(0, 6)
        made = learner.generate(learner.start([0]), [table], [item_keys(5, np.arange(6))])[0]
        tables.append(np.stack([np.frombuffer(data, np.uint8) for data in _raw(made)]).astype(int))
    assert np.abs(tables[0] - tables[1]).max() <= 1


def _raw(table):
    from crossfeed.tasks.images import images_of

    return [image.tobytes() for image in images_of(table, "x")]


def test_a_checkpoint_is_one_of_diffusers(tmp_path):
    from diffusers import UNet2DModel

    learner, _ = build(tmp_path)
    (state,) = learner.start([0])
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    learner.save(state, folder)
    opened = UNet2DModel.from_pretrained(folder)
    for name, parameter in opened.named_parameters():
        torch.testing.assert_close(parameter.detach(), state[name], rtol=0, atol=0)
    (weights,) = folder.glob("*.safetensors")
    weights.write_bytes(b"no weights")
    with pytest.raises(DataUnavailable, match="cannot be read"):
        learner.load(folder)
    other, _ = build(tmp_path, "learner.network.block_out_channels=[4]")
    again = tmp_path / "again"
    again.mkdir()
    other.save(other.start([0])[0], again)
    with pytest.raises(DataUnavailable, match="another network"):
        learner.load(again)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("learner.network.block_out_channels=[8, 8, 8, 8, 8]", "8 x 8 pixels cannot be halved 4 times"),
        ("learner.network.wings=2", "UNet2DModel cannot be made of"),
        ("learner.network.block_out_channels=[6]", "UNet2DModel cannot be made of"),
        ("learner.network.block_out_channels=7", "UNet2DModel cannot be made of"),
    ],
)
def test_networks_that_cannot_be_are_refused(tmp_path, override, message):
    learner, _ = build(tmp_path, override)
    with pytest.raises(InvalidInput, match=message):
        learner.start([0])


def test_tasks_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="'low' has no images"):
        build(tmp_path, "tasks.low={source: facts}")
    with pytest.raises(ValueError, match="in_channels: set from the data"):
        build(tmp_path, "learner.network={in_channels: 3}")
    learner, tasks = build(tmp_path)
    wrong = tasks["low"].test.slice(0, 1).set_column(0, "prompt", pa.array(["horse"]))
    with pytest.raises(InvalidInput, match="image of 'horse' was asked for; the classes of the tasks are 0, 1, 6, 7"):
        learner.generate(learner.start([0]), [wrong], [np.zeros(1, dtype=np.uint64)])
    for side in (8, 12):
        (tmp_path / "own" / str(side)).mkdir(parents=True)
        for number in range(6):
            image = np.full((12, 12, 1), 20 * number + side, dtype=np.uint8)
            (tmp_path / "own" / str(side) / f"{number}.png").write_bytes(to_png(image))
    with pytest.raises(InvalidInput, match="give all of them one size and colour"):
        build(tmp_path, f"public={{source: images, path: '{tmp_path}/own'}}")


def test_training_that_diverges_says_whose_it_was(tmp_path):
    learner, tasks = build(tmp_path, "learner.training.learning_rate=1e30")
    items = tasks["low"].train.slice(0, 64)
    sets = [TrainingSet((Part("private", 0, 1.0, items, np.arange(64)),))] * 2
    with pytest.raises(Diverged, match="entity 0: generation 0"):
        learner.update(learner.start([0, 1]), sets, [1, 2], 0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("run") / "run"
    overrides = ("initial_n=512", "n=128", "grid={ecosystem.alpha: [0, 0.5]}", "ecosystem.beta=1", "generations=2")
    run(Experiment.from_yaml(SMALL, overrides), open_store(folder))
    return Run.load(folder)


def test_what_one_owns_reaches_the_other_through_the_pool(finished):
    """With no public images at all (beta = 1), only the pool can teach an entity the other's classes."""
    final = finished.records[(finished.records["metric"] == "loss") & (finished.records["generation"] == 2)]
    loss = final.set_index(["alpha", "model", "task"])["value"]
    for model, task in (("low", "high"), ("high", "low")):
        assert loss[0.5, model, task] < 0.95 * loss[0.0, model, task]


def test_every_metric_has_its_numbers(finished):
    found = finished.records[finished.records["generation"] == 2]
    for metric in ("loss", "accuracy", "frechet", "precision", "recall"):
        values = found.loc[found["metric"] == metric, "value"]
        assert len(values) == 2 * 2 * 3  # grid points, models, tasks
        assert np.isfinite(values).all()


def test_the_report_shows_what_was_drawn(finished, tmp_path):
    page = write_report(finished, tmp_path / "report")
    text = page.read_text(encoding="utf-8")
    assert "Outputs of low" in text
    assert "a row for each of the captions 0, 1, 6, 7" in text
    assert (tmp_path / "report" / "figures" / "images-high.png").exists()
    sources = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)" [^>]*alt="Images put out by', text)
    assert len(sources) == 2
    nodes = list(ElementTree.fromstring(base64.b64decode(sources[0])).iter())
    pictures = [node for node in nodes if node.tag.endswith("}image")]
    assert len(pictures) == 6  # the data, the start, and the middle and end of two grid points
    href = "{http://www.w3.org/1999/xlink}href"
    assert all(node.attrib[href].startswith("data:image/png;base64,") for node in pictures)
    assert "test item 0" not in text  # no bytes are shown as text


def test_captions_that_are_made_up_take_no_room():
    captions = pd.Series(["7"] * 200 + ["2"] * 300 + ["x", "y"])
    assert _classes(captions) == ["2", "7"]
    rare = _classes(pd.Series([f"{number:03}" for number in range(150)]))
    assert len(rare) == 20


def test_what_is_no_image_is_left_blank():
    sheet = _sheet({"a": [b"<script>", to_png(np.full((8, 8, 1), 200, np.uint8))], "b": []})
    assert sheet.pixels.shape == (18, 45, 4)
    assert sheet.pixels[:8, 9:17].tolist() == np.broadcast_to([200, 200, 200, 255], (8, 8, 4)).tolist()
    assert not sheet.pixels[:, :9].any()
    assert not sheet.pixels[9:].any()
