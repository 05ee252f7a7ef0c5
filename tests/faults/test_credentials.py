"""Credentials in URLs: nowhere shown, and nowhere stored."""

from __future__ import annotations

import uuid
from pathlib import Path

import fsspec
import pytest

from crossfeed.display.addresses import credentials, masked
from crossfeed.errors import StoreError
from crossfeed.reporting.data.frames import Run
from crossfeed.store import open_store
from tests.faults.cli import crossfeed_cli
from tests.faults.test_links import TEXT

SECRET = "hidden-word"
KINDS = {
    "a user and a password": (f"sftp://user:{SECRET}@host/run", "sftp://***@host/run"),
    "a user": (f"ftp://{SECRET}@host/run", "ftp://***@host/run"),
    "a key with a slash": (f"s3://AKID:{SECRET}/x@bucket/run", "s3://***@bucket/run"),
    "a key with an at sign": (f"s3://AKID:{SECRET}@x@bucket/run", "s3://***@bucket/run"),
    "a signature": (f"https://host/run?X-Amz-Signature={SECRET}", "https://host/run?X-Amz-Signature=***"),
    "a shared signature": (
        f"abfs://box@account.example/run?sv=2024&sig={SECRET}%3D",
        "abfs://***@account.example/run?sv=***&sig=***",
    ),
    "a bare token": (f"https://host/run?{SECRET}", "https://host/run?***"),
    "a fragment": (f"https://host/run#token={SECRET}", "https://host/run#token=***"),
    "a chain": (f"simplecache::s3://AKID:{SECRET}@bucket/run", "simplecache::s3://***@bucket/run"),
    "a URL within": (f"filecache://x/s3://AKID:{SECRET}@bucket/run", "filecache://x/s3://***@bucket/run"),
}


@pytest.mark.parametrize(("url", "shown"), KINDS.values(), ids=KINDS)
def test_no_kind_of_credentials_is_shown(url, shown):
    assert masked(url) == shown
    assert masked(f"'{url}' and {url}: both") == f"'{shown}' and {shown}: both"
    assert any(SECRET in each for each in credentials(url))


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/run",
        "memory://run/a@b",
        "http://127.0.0.1:80/",
        "http://[::1]:80/x@y",
        "file:///a/run",
        "a@b: c?d=e",
    ],
)
def test_what_holds_none_is_shown_as_it_is(url):
    assert masked(url) == url


def test_percent_signs_hide_nothing():
    assert {"p%40ss", "p@ss"} <= set(credentials("s3://key:p%40ss@bucket/run"))


@pytest.mark.parametrize("url", [url for url, _ in KINDS.values()], ids=KINDS)
def test_an_address_that_cannot_be_opened_or_read_is_named_without_them(url, monkeypatch):
    """Whatever a client's message holds of the address it was given."""

    def fail(address, **_):
        raise OSError(f"cannot connect to {address}, that is {address.partition('://')[2]}")

    monkeypatch.setattr(fsspec.core, "url_to_fs", fail)
    for command in ("show", "status", "report", "explore"):
        answer = crossfeed_cli(command, url)
        assert answer.code == 2, answer.err
        assert "cannot" in answer.err
        assert SECRET not in answer.out + answer.err
    with pytest.raises(StoreError) as caught:
        open_store(url)
    assert SECRET not in str(caught.value)


def test_a_run_and_what_reads_it_show_and_store_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = f"memory://user:{SECRET}@{uuid.uuid4().hex}/run"
    (tmp_path / "linked.yaml").write_text(TEXT)
    commands = [
        ("run", "linked.yaml", "--out", place),
        ("run", "linked.yaml", "--out", place, "--set", "n=5"),  # refused: another run is there
        ("show", place),
        ("show", place, "--json"),
        ("status", place),
        ("status", place, "--json"),
        ("report", place),
        ("explore", place, "--set", "n=3"),
        ("explore", place + "/none"),
    ]
    answers = [crossfeed_cli(*words) for words in commands]
    assert [answer.code for answer in answers] == [0, 2, 0, 0, 0, 0, 0, 2, 2], answers
    assert "memory://***@" in answers[0].err
    assert SECRET not in "".join(answer.out + answer.err for answer in answers)
    assert SECRET not in str(open_store(place))
    assert SECRET not in repr(Run.load(place).store)
    files = fsspec.filesystem("memory")
    stored = {name: files.cat_file(name) for name in files.find(place.removeprefix("memory:/"))}
    assert any(name.endswith("records.parquet") for name in stored)
    written = {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert not [name for name, content in (stored | written).items() if SECRET.encode() in content]


def test_a_failure_is_kept_without_them(tmp_path, monkeypatch):
    from crossfeed.learners.fake import FakeLearner

    def fail(*_, **__):
        raise RuntimeError(f"no answer from {KINDS['a signature'][0]}")

    monkeypatch.setattr(FakeLearner, "update", fail)
    (tmp_path / "linked.yaml").write_text(TEXT)
    answer = crossfeed_cli("run", str(tmp_path / "linked.yaml"), "--out", str(tmp_path / "run"))
    assert answer.code == 1
    (kept,) = (tmp_path / "run" / "failures").glob("*.json")
    assert "X-Amz-Signature=***" in kept.read_text()
    assert SECRET not in kept.read_text() + answer.out + answer.err


def test_a_mistake_of_crossfeeds_own_shows_none(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError(f"at {KINDS['a user and a password'][0]}")

    monkeypatch.setattr("crossfeed.reporting.data.frames.Run.load", fail)
    answer = crossfeed_cli("show", "x")
    assert answer.code == 70
    assert "sftp://***@host/run" in answer.err
    assert SECRET not in answer.err
