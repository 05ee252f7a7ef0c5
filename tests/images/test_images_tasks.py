"""Sources of images, how they are read, and the classifier that grades them."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from crossfeed.errors import DataUnavailable, InvalidInput
from crossfeed.tasks.images import SCHEMA, ImageTask, from_bytes, images_of, table_of, to_png
from crossfeed.tasks.images_classifier import fixed_classifier
from crossfeed.tasks.images_sources import DigitsSettings, ImageFilesSettings
from crossfeed.testing import TaskContract

SPLITS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSFEED_CACHE", str(tmp_path / "cache"))


def stripes(rng, label, size=8, channels=1):
    """An image that its class can be told of: upright or lying stripes, and noise."""
    image = rng.integers(0, 60, (size, size, channels))
    image[(slice(None), slice(0, None, 2)) if label == "upright" else slice(0, None, 2)] += 190
    return image.astype(np.uint8)


def folder_of(path, rng, labels=("lying", "upright"), count=20, ending="png", **shape):
    for label in labels:
        (path / label).mkdir(parents=True)
        for number in range(count):
            image = stripes(rng, label, **shape)
            Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(path / label / f"{number}.{ending}")
    return path


@pytest.fixture
def rng():
    return np.random.default_rng()


class TestDigits(TaskContract):
    settings: ClassVar = {"source": "digits", "classes": [1, 2, 6], "per_class": 30, "test": 10}


def test_tasks_that_skip_what_another_takes_share_no_training_image():
    low = DigitsSettings(classes=["0", "1", "2", "3", "4"], skip=20).build("low", None)
    public = DigitsSettings(per_class=20).build("public", None)
    assert set(low.train.column("prompt").to_pylist()) == set("01234")
    counts = public.train.column("prompt").value_counts().to_pylist()
    assert {one["values"]: one["counts"] for one in counts} == dict.fromkeys("0123456789", 20)
    images = [set(task.train.column("completion").to_pylist()) for task in (low, public)]
    assert not images[0] & images[1]
    whole = DigitsSettings().build("all", None)
    assert images[0] | images[1] <= set(whole.train.column("completion").to_pylist())
    assert sum(getattr(whole, split).num_rows for split in SPLITS) == 1797


def test_the_classifier_reads_test_digits_and_knows_a_wrong_one():
    task = DigitsSettings(classes=["3", "8"]).build("mine", None)
    files = task.test.column("completion").to_pylist()
    assert task.grade(task.test, files).mean() > 0.9
    assert task.grade(task.test, files[::-1]).mean() < 0.9  # other classes
    assert set(task.classifier().classes) == set("0123456789")
    small = table_of(["3"], np.zeros((1, 4, 4, 1), dtype=np.uint8))
    wrong = [b"", b"\x89PNG\r\n\x1a\n", *small.column("completion").to_pylist()]
    assert not task.grade(task.test.slice(0, 3), wrong).any()


def test_images_survive_their_files(rng):
    for channels in (1, 3):
        images = rng.integers(0, 256, (3, 5, 7, channels), dtype=np.uint8)
        table = table_of(["a", "b", "a"], images)
        assert table.schema.equals(SCHEMA)
        np.testing.assert_array_equal(images_of(table, "x"), images)
        buffer = io.BytesIO()
        Image.open(io.BytesIO(to_png(images[0]))).save(buffer, format="BMP")
        np.testing.assert_array_equal(from_bytes(buffer.getvalue(), "x"), images[0])


def test_the_classifier_is_made_once_whatever_the_order_and_shares_its_numbers(rng, tmp_path):
    labels = ["upright", "lying"] * 30
    images = np.stack([stripes(rng, label) for label in labels])
    first = fixed_classifier(labels, images, tmp_path)
    order = rng.permutation(len(labels))
    again = fixed_classifier([labels[row] for row in order], images[order], tmp_path)
    np.testing.assert_array_equal(first.hidden, again.hidden)
    assert len([path for path in (tmp_path / "classifier").iterdir() if path.is_dir()]) == 1
    fresh = np.stack([stripes(rng, label) for label in labels])
    assert first.predict(fresh) == labels  # two classes share one output of scikit-learn's
    norms = np.linalg.norm(first.features(np.concatenate([fresh, np.zeros_like(fresh)])), axis=1)
    np.testing.assert_allclose(norms, 1, rtol=1e-5)
    with pytest.raises(InvalidInput, match="two classes"):
        fixed_classifier(["a"], images[:1], tmp_path)
    with pytest.raises(InvalidInput, match="one size"):
        first.predict(np.zeros((1, 4, 4, 1), dtype=np.uint8))


@pytest.mark.parametrize("layout", ["classes", "splits", "parquet", "hub"])
def test_own_images_are_read_however_they_are_laid_out(rng, tmp_path, layout):
    if layout == "classes":
        folder_of(tmp_path / "own", rng, size=28)
    elif layout == "splits":
        for split in SPLITS:
            folder_of(tmp_path / "own" / split, rng, size=28)
    else:
        (tmp_path / "own").mkdir()
        labels = ["lying", "upright"] * 20
        files = [to_png(stripes(rng, label, size=28)) for label in labels]
        images = [{"bytes": data, "path": "/etc/passwd"} for data in files] if layout == "hub" else files
        pq.write_table(
            pa.table({"image": images, "label": [int(x == "lying") for x in labels]}), tmp_path / "own/train.parquet"
        )
    task = ImageFilesSettings(path=str(tmp_path / "own")).build("mine", None)
    assert isinstance(task, ImageTask)
    assert images_of(task.train, "x").shape[1:] == (28, 28, 1)
    total = sum(getattr(task, split).num_rows for split in SPLITS)
    assert total == (120 if layout == "splits" else 40)
    classes = {"0", "1"} if layout in ("parquet", "hub") else {"lying", "upright"}
    assert set(task.test.column("answer").to_pylist()) == classes
    assert task.grade(task.test, task.test.column("completion").to_pylist()).all()


def test_images_are_scaled_and_coloured_on_request(rng, tmp_path):
    folder_of(tmp_path / "rgb", rng, size=40, channels=3, ending="jpg")
    settings = ImageFilesSettings(path=str(tmp_path / "rgb"), size=32, colour="grey")
    assert images_of(settings.build("mine", None).train, "x").shape[1:] == (32, 32, 1)
    plain = ImageFilesSettings(path=str(tmp_path / "rgb")).build("mine", None)
    assert images_of(plain.train, "x").shape[1:] == (40, 40, 3)


def test_an_image_that_is_there_twice_is_kept_once(rng, tmp_path):
    folder = folder_of(tmp_path / "own", rng)
    for number in range(20):
        (folder / "lying" / f"again{number}.png").write_bytes((folder / "lying" / f"{number}.png").read_bytes())
    task = ImageFilesSettings(path=str(folder)).build("mine", None)
    assert sum(getattr(task, split).num_rows for split in SPLITS) == 40


def test_what_cannot_be_read_is_named(rng, tmp_path):
    def build(**settings):
        return ImageFilesSettings(path=str(tmp_path / "own"), **settings).build("mine", None)

    with pytest.raises(DataUnavailable, match="there is no folder"):
        build()
    (tmp_path / "own").mkdir()
    with pytest.raises(DataUnavailable, match="no subfolders with"):
        build()
    folder_of(tmp_path / "own", rng)
    with pytest.raises(InvalidInput, match="no class 'sideways'; there are lying, upright"):
        build(classes=["sideways"])
    with pytest.raises(InvalidInput, match="one class has"):
        build(skip=20)
    with pytest.raises(InvalidInput, match="test: 1000 images were requested"):
        build(test=1000)
    path = tmp_path / "own" / "lying" / "0.png"
    path.write_bytes(to_png(stripes(rng, "lying", size=9)))
    with pytest.raises(InvalidInput, match="give size and colour"):
        build()
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    with pytest.raises(InvalidInput, match=r"0\.png: it is no PNG"):
        build()
    Image.new("L", (2000, 1)).save(path)
    with pytest.raises(InvalidInput, match="2000 x 1 pixels"):
        build()
    pq.write_table(pa.table({"picture": ["a"], "label": [True]}), tmp_path / "own/train.parquet")
    with pytest.raises(InvalidInput, match="no column 'image'"):
        build()
    with pytest.raises(InvalidInput, match="the class is True"):
        build(image="picture")


def test_describing_images_loads_neither_scikit_learn_nor_pillow():
    code = (
        "import sys, crossfeed.description.registry as r\n"
        "r.task_settings('digits'); r.task_settings('images'); r.learner_settings('images')\n"
        "r.metric_settings('frechet'); r.metric_settings('precision_recall')\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"sklearn", "PIL", "torch", "diffusers", "pandas"}


def drawn(folder, name, image, **how):
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / name, **how)


def of_files(folder, **fields):
    return ImageFilesSettings(path=str(folder), **fields).build("mine", None)


def pixels(task):
    """Every image of a task by its class, as whole numbers."""
    tables = [task.train, task.validation, task.test]
    labels = [label for table in tables for label in table.column("prompt").to_pylist()]
    images = [image for table in tables if table.num_rows for image in images_of(table, "x")]
    return [(label, image[..., 0].astype(int)) for label, image in zip(labels, images, strict=True)]


def test_samples_of_sixteen_bits_are_scaled_by_their_range(tmp_path):
    for n in range(24):
        deep = np.full((8, 8), 257 * 10 * (n % 12), dtype=np.uint16)
        deep[0, 0] = 65535 - n
        drawn(tmp_path / "ab"[n % 2], f"{n}.png", Image.fromarray(deep))
    task = of_files(tmp_path)
    assert {int(image[4, 4]) for _, image in pixels(task)} == {10 * n for n in range(12)}
    assert {int(image[0, 0]) for _, image in pixels(task)} == {255}
    assert "of 8 x 8 I;16" in task.notes[0]


@pytest.mark.parametrize(("ground", "behind"), [(None, 255), ("white", 255), ("black", 0)])
def test_what_is_transparent_shows_the_ground(tmp_path, ground, behind):
    for n in range(24):
        image = np.zeros((8, 8, 4), dtype=np.uint8)
        image[n % 8, :, 3] = 255  # a black line on nothing
        image[(n + 4) % 8, :, :] = (200, 200, 200, 255 - n)
        drawn(tmp_path / "ab"[n % 2], f"{n}.png", Image.fromarray(image))
    made = pixels(of_files(tmp_path, **({} if ground is None else {"ground": ground})))
    assert len(made) == 24
    for _, image in made:
        assert (image == behind).sum() >= 48


def test_images_are_turned_as_their_exif_says(tmp_path):
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16) // 32 * 32)  # darker at the top
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the file is the right side of the picture
    for n in range(12):
        marked = image.copy()
        marked.putpixel((n, 8), 255)
        drawn(tmp_path / "ab"[n % 2], f"{n}.jpg", marked, exif=exif, quality=95)
    task = of_files(tmp_path)
    assert all(image[:, -3:].mean() < image[:, :3].mean() - 100 for _, image in pixels(task))
    assert "12 of 16 x 16 L, turned as EXIF says" in task.notes[0]


def test_hidden_and_other_files_are_left_out_and_said(tmp_path):
    for n in range(12):
        drawn(tmp_path / "ab"[n % 2], f"{n}.png", Image.fromarray(np.full((8, 8), 20 * n, dtype=np.uint8)))
    (tmp_path / "a" / "._0.png").write_bytes(b"Mac OS X")
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    task = of_files(tmp_path)
    assert len(pixels(task)) == 12
    assert task.notes == (
        "12 images of 2 classes: 12 of 8 x 8 L",
        "3 hidden or other files and folders left out: ._0.png, .ipynb_checkpoints, notes.txt",
    )
